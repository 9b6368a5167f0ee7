"""The whole product between a company and an org: real web, workers, beat, listener, Redis and database."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sources.salesforce.standin import SalesforceStandIn
from tests.salesforce.books import BACK, THERE, WANTED, Books
from tests.stack import REALM, Stack, acme, wait_for

CHANNEL, OPS = "C0ORDERS1", "C0OPS0001"
#: Kind of process -> a word of its command line.
PROCESSES = {"worker": "work@", "listener": "manage.py listen"}


class Installation(Stack):
    """One installation that keeps a company and an org in step. QuickBooks tells of every change, its own included."""

    def __init__(self, **env: str) -> None:
        self.org = SalesforceStandIn().start()
        paces = {"HTTP_TIMEOUT_SECONDS": "5", "DELIVERY_LEASE_SECONDS": "12", "RETRY_BASE_SECONDS": "1"}
        endpoint = {"SALESFORCE_PUBSUB_ENDPOINT": self.org.pubsub_endpoint, "SALESFORCE_PUBSUB_PLAINTEXT": "true"}
        super().__init__(**paces, **endpoint, **env)
        self.books = Books(self.intuit, self.org, REALM)
        for channel in (CHANNEL, OPS):
            self.slack.add_channel(channel, channel.lower())
        self.intuit.subscribe(f"{self.url}/webhooks/quickbooks-online/")

    def begin(self) -> Installation:
        """Starts it, configured, and waits until it listens."""
        self.start()
        self.configure(self.document())
        assert self.org.wait_for_streams(3, 25), self.log.read_text()[-4000:]
        return self

    def close(self) -> None:
        super().close()
        self.org.stop()

    def document(self) -> dict[str, Any]:
        found = acme(self)
        (organization,) = found["organizations"]
        organization["connections"].append(self.books.connection("acme-salesforce"))
        troubles = {"to": "acme-slack", "channel": OPS, "events": ["connection.*"]}
        organization["routes"] = [
            {"name": "There", "from": "acme-books", "to": "acme-salesforce", "events": THERE},
            {"name": "Back", "from": "acme-salesforce", "to": "acme-books", "events": BACK, "settings": WANTED},
            {"name": "Troubles of the books", "from": "acme-books", **troubles},
            {"name": "Troubles of the org", "from": "acme-salesforce", **troubles},
        ]
        return found

    # --- what happens there ------------------------------------------------------------------------------------------

    def kill(self, kind: str) -> None:
        """Ends a process of that kind as a crash does."""
        for pid in self.pids(PROCESSES[kind]):
            os.kill(pid, signal.SIGKILL)

    @contextmanager
    def deaf(self) -> Iterator[None]:
        """No stream can be opened inside; when it ends, nothing that was told meanwhile can be told again."""
        self.org.fail_rpc("Subscribe", "service.unavailable", times=100_000)
        self.org.cut_streams()
        wait_for(lambda: self.org.streams == 0, what="all streams to be down")
        yield
        self.org.forget_events_before(self.org.now())
        self.org.expire_replay_ids()
        self.org.allow_rpcs()

    def linked_accounts(self, count: int) -> list[str]:
        """Accounts with their customers."""
        accounts = [self.org.create("Account", Name=f"Customer {number:03}") for number in range(count)]
        wait_for(
            lambda: all(self.books.customer_of(each) for each in accounts),
            60 + count,
            what="every account to have its customer",
        )
        return accounts

    # --- what became of it -------------------------------------------------------------------------------------------

    def writes(self) -> int:
        return len(self.intuit.writes) + len(self.org.writes)

    def settle(self, *, quiet: float, seconds: float) -> None:
        """Waits until nothing is on its way and nothing has been written for so long."""
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            before = self.writes()
            time.sleep(quiet)
            if self.writes() == before and not undone(self.status()):
                return
        raise AssertionError(f"not settled within {seconds} s: {undone(self.status())}")

    def troubles(self) -> list[str]:
        return [*self.intuit.violations, *self.org.violations, *self.slack.violations]

    def memory(self) -> dict[str, float]:
        """The proportional set size of each process, in MiB."""
        found: dict[str, float] = {}
        words = {**PROCESSES, "slack worker": "slack@", "web": "gunicorn", "beat": " beat "}
        words |= {"supervisor": "connector.supervisor", "redis": "-server"}
        for kind, word in words.items():
            for pid in self.pids(word):
                text = Path(f"/proc/{pid}/smaps_rollup").read_text()
                kib = next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))
                found[kind] = round(found.get(kind, 0.0) + kib / 1024, 1)
        return found


def undone(status: Any) -> dict[str, int]:
    """What is on its way or stuck, by state."""
    states = {
        "events": ("received", "fetched", "mapped", "failed"),
        "deliveries": ("waiting", "sending", "parked", "failed"),
    }
    counts = {f"{kind} {state}": status[kind][state] for kind, names in states.items() for state in names}
    return {name: count for name, count in counts.items() if count}


def every(seconds: float, times: int, act: Callable[[int], None]) -> None:
    """Does something again and again, that long after each other."""
    for number in range(times):
        act(number)
        time.sleep(seconds)
