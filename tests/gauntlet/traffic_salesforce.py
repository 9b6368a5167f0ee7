"""Salesforce: an org and a company of its own that must agree, whatever happens to streams, answers and processes."""

from __future__ import annotations

import collections
import dataclasses
import random
import threading
import time
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from sources.salesforce.standin import SalesforceStandIn
from sources.salesforce.standin_faults import ANSWERS
from tests.gauntlet.happenings import LEDGER
from tests.gauntlet.oracle import Case, Findings
from tests.gauntlet.schedule import Fault
from tests.gauntlet.traffic import LOOK, Traffic
from tests.salesforce.books import BACK, THERE, WANTED, Books
from tests.stack import Stack, wait_for

REALM = "9130350000000077"
TOPICS = 3
#: Slower than HTTP_TIMEOUT_SECONDS of the gauntlet's stack.
SLOW = 4.0
#: How long a stream that goes deaf can be opened by nobody (seconds).
DEAF = 3.0
API, RECORDS = "/services/data/", r"(POST|PATCH) /services/data/.*/sobjects/"
LEDGER_WRITES = r"POST /v3/.*/(journalentry|customer)"
#: What happens -> how often.
ACTS = {"order": 8, "account": 3, "edit there": 3, "edit here": 3, "deactivate": 2, "reactivate": 1}


@dataclasses.dataclass(frozen=True, slots=True)
class Act:
    """Something that happens so many seconds after the start; what it meets is chosen then."""

    at: float
    what: str


def plan(seed: int, events: int, seconds: float) -> list[Act]:
    """So many acts, evenly over the time; the first makes an account."""
    chance = random.Random(f"salesforce {seed}")
    chosen = ["account", *chance.choices(list(ACTS), list(ACTS.values()), k=max(0, events - 1))]
    return [Act(seconds * number / events, what) for number, what in enumerate(chosen)]


class SalesforceTraffic(Traffic):
    """Sales people and bookkeepers. The org's and the company's connections are its own."""

    system = "salesforce"

    def __init__(self, stack: Stack, acts: Sequence[Act], seed: int) -> None:
        super().__init__(stack, ())
        self.org = SalesforceStandIn().start()
        self.books = Books(stack.intuit, self.org, REALM)
        self._acts = collections.deque(acts)
        self._dice = random.Random(f"salesforce {seed} people")
        self._accounts: list[str] = []
        self._orders: list[str] = []
        self._reversed: list[str] = []
        self._again: list[str] = []
        self._is_done = False
        self._deaf: list[threading.Timer] = []
        stack.env |= {"SALESFORCE_PUBSUB_ENDPOINT": self.org.pubsub_endpoint, "SALESFORCE_PUBSUB_PLAINTEXT": "true"}
        hook = f"{stack.url}/webhooks/quickbooks-online/"
        stack.intuit.subscribe(hook, realm_id=REALM, retry_seconds=(0.5,))

    @property
    def connections(self) -> list[dict[str, Any]]:
        tokens = self._stack.intuit.issue_tokens(REALM)
        credentials = {name: tokens[name] for name in ("access_token", "refresh_token")}
        credentials["expires_at"] = "2099-01-01T00:00:00Z"
        ledger = {"slug": LEDGER, "system": "quickbooks_online", "account": REALM, "credentials": credentials}
        return [ledger, self.books.connection(self.slug)]

    def routes(self, channels: int) -> list[dict[str, Any]]:
        return [
            {"name": "There", "from": LEDGER, "to": self.slug, "events": THERE},
            {"name": "Back", "from": self.slug, "to": LEDGER, "events": BACK, "settings": WANTED},
        ]

    @property
    def violations(self) -> list[str]:
        return self.org.violations

    @property
    def notes(self) -> list[tuple[str, str]]:
        counts = f"{len(self._orders)}, {len(self._reversed)}, {len(self._again)}"
        writes = len(self.org.writes) + sum(write.realm == REALM for write in self._stack.intuit.writes)
        return [("orders activated, taken back, activated again", counts), ("writes to both sides", str(writes))]

    @property
    def is_over(self) -> bool:
        return self._is_done and not self._missing()

    def settle_in(self) -> None:
        wait_for(lambda: self.org.streams == TOPICS, 60, what="the streams of Salesforce")

    def close(self) -> None:
        self.org.stop()

    # --- what befalls it ---------------------------------------------------------------------------------------------

    def suffer(self, fault: Fault, kill: Callable[[str], bool]) -> None:
        if fault.target == "stream deaf":
            self._go_deaf()
            return
        acts: dict[str, Callable[[], None]] = {
            "token revoked": self.org.revoke_tokens,
            "streams cut": self.org.cut_streams,
            "streams ended": self.org.end_streams,
            "stream refused": lambda: self.org.fail_rpc("Subscribe", "service.unavailable", times=2),
            "ledger written, answer cut": lambda: self._stack.intuit.fail(LEDGER_WRITES, "cut_after", times=2),
            "ledger written, listener killed": lambda: self._cut_and_kill(kill, "listen"),
            "record written, worker killed": lambda: self._cut_and_kill(kill, "work"),
        }
        if fault.target in acts:
            acts[fault.target]()
            return
        pattern, kind, times, word = {
            "503": (API, "answer", 3, "unavailable"),
            "502 page": (API, "answer", 2, "gateway"),
            "throttle": (API, "answer", 2, "concurrent_limit"),
            "locked row": (RECORDS, "answer", 2, "lock_row"),
            "truncated": (API, "truncate", 2, ""),
            "slow": (API, "slow", 2, ""),
            "record written, answer cut": (RECORDS, "cut_after", 2, ""),
        }[fault.target]
        self.org.fail(pattern, kind, times=times, answer=ANSWERS[word]() if word else None, seconds=SLOW)

    def _cut_and_kill(self, kill: Callable[[str], bool], target: str) -> None:
        self._stack.intuit.fail(LEDGER_WRITES, "cut_after")
        self.org.fail(RECORDS, "cut_after")
        kill(target)

    def _go_deaf(self) -> None:
        """Every stream ends, and what is told until one can be opened again is past retention by then."""
        self.org.fail_rpc("Subscribe", "service.unavailable", times=100_000)
        self.org.cut_streams()
        self._deaf.append(threading.Timer(DEAF, self._hear_again))
        self._deaf[-1].start()

    def _hear_again(self) -> None:
        self.org.forget_events_before(self.org.now())
        self.org.expire_replay_ids()
        self.org.allow_rpcs()

    def make_peace(self) -> None:
        for timer in self._deaf:
            timer.join()
        self.org.faults.clear()
        self.org.allow_rpcs()

    # --- what people do ----------------------------------------------------------------------------------------------

    def _works(self) -> Sequence[Callable[[], None]]:
        return [self._run]

    def _run(self) -> None:
        held: list[Act] = []
        while not self._stopping.is_set() and (held or self._acts):
            held = [act for act in held if not self._do(act)]
            until = self._start + self._acts[0].at - time.monotonic() if self._acts else LOOK
            self._stopping.wait(min(LOOK, max(0.0, until)))
            while self._acts and self._start + self._acts[0].at <= time.monotonic():
                act = self._acts.popleft()
                held += [] if self._do(act) else [act]
        self._is_done = not held and not self._acts

    def _do(self, act: Act) -> bool:
        """Whether there was a record that it could happen to."""
        does: dict[str, Callable[[], bool]] = {
            "order": self._order,
            "account": self._account,
            "edit there": self._edit_there,
            "edit here": self._edit_here,
            "deactivate": self._deactivate,
            "reactivate": self._reactivate,
        }
        return does[act.what]()

    def _order(self) -> bool:
        products = (self.books.pump, self.books.labour)
        lines = [
            (self._dice.choice(products), self._dice.randint(1, 9), Decimal(self._dice.randint(1, 90_000)) / 1000)
            for _ in range(self._dice.randint(1, 4))
        ]
        self._orders.append(self.org.add_order(self._dice.choice(self._accounts), lines, activate=True))
        return True

    def _account(self) -> bool:
        self._accounts.append(self.org.create("Account", Name=f"Customer {len(self._accounts) + 1:04}"))
        return True

    def _linked(self) -> list[str]:
        return [account for account in self._accounts if self.books.customer_of(account)]

    def _edit_there(self) -> bool:
        if not (linked := self._linked()):
            return False
        said = f"555-{self._dice.randrange(10**6):06}"
        self.org.edit("Account", self._dice.choice(linked), **{self._dice.choice(("Phone", "BillingCity")): said})
        return True

    def _edit_here(self) -> bool:
        if not (linked := self._linked()):
            return False
        number, said = self.books.customer_of(self._dice.choice(linked)), f"556-{self._dice.randrange(10**6):06}"
        fields: dict[str, Any] = {"PrimaryPhone": {"FreeFormNumber": said}}
        if self._dice.random() < 0.5:
            fields = {"BillAddr": {**self.books.customer(number).get("BillAddr", {}), "City": said}}
        self._stack.intuit.change(REALM, "Customer", number, **fields)
        return True

    def _deactivate(self) -> bool:
        free = [order for order in self._orders if order not in self._reversed and self._says(order, "Posted")]
        if not free:
            return False
        self._reversed.append(self._dice.choice(free))
        self.org.deactivate(self._reversed[-1])
        return True

    def _reactivate(self) -> bool:
        free = [order for order in self._reversed if order not in self._again and self._says(order, "Reversed")]
        if not free:
            return False
        self._again.append(self._dice.choice(free))
        self.org.activate(self._again[-1])
        return True

    def _says(self, order: str, word: str) -> bool:
        return self.books.mark(order)[1].startswith(word)

    # --- what became of it -------------------------------------------------------------------------------------------

    def _missing(self) -> list[str]:
        """What has not come to be, or not to be known."""
        found = [f"{account} has no customer" for account in self._accounts if not self.books.customer_of(account)]
        back = set(self._reversed) - set(self._again)
        for order in self._orders:
            word = "Reversed" if order in back else "Posted"
            if not self._says(order, word):
                found.append(f"order {order} should be {word}: {self.books.mark(order)}")
        for account in self._linked():
            found += [f"{account} differs: {difference}" for difference in self.books.differences(account)]
        return found

    def judge(self, findings: Findings) -> None:
        findings.lost += [Case(self.system, text) for text in self._missing()]
        numbers = collections.Counter(row["DocNumber"] for row in self.books.rows("JournalEntry"))
        names = collections.Counter(row["DisplayName"] for row in self.books.rows("Customer"))
        wanted = self.books.wanted(self._orders, self._reversed, self._again)
        doubled = [f"{name} stands {count} times" for name, count in (numbers + names).items() if count > 1]
        doubled += [f"{number} is nobody's" for number in numbers.keys() - wanted.keys()]
        doubled += [f"customer {name} is nobody's" for name in names.keys() - self._names()]
        findings.doubled += [Case(self.system, text) for text in doubled]
        findings.lost += [Case(self.system, f"no entry {number}") for number in wanted.keys() - numbers.keys()]
        if not doubled:
            entries = self.books.entries()
            wrong = [number for number in wanted.keys() & entries.keys() if wanted[number] != entries[number]]
            findings.untrue += [Case(self.system, f"{each}: {entries[each]}, not {wanted[each]}") for each in wrong]

    def _names(self) -> set[str]:
        return {str(self.org.record("Account", account)["Name"]) for account in self._accounts}
