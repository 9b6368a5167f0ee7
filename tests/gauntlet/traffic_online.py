"""QuickBooks Online: small batches of webhooks, some twice or in both formats, each sent until a 200 comes."""

from __future__ import annotations

import datetime as dt
import random
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from sources.quickbooks_online.standin_faults import outage, system_fault, throttle, throttle_as_xml
from sources.quickbooks_online.standin_webhooks import Change, post
from tests.gauntlet.happenings import Batch, Happening
from tests.gauntlet.schedule import Fault
from tests.gauntlet.traffic import Traffic
from tests.stack import REALM, Stack, bill

SENDERS = 4
PAUSE = 0.3
FORMATS = (("cloudevents",), ("cloudevents",), ("legacy",), ("cloudevents", "legacy"), ("cloudevents",) * 2)
READ, TOKEN = "/v3/company/", "/tokens/bearer"
#: Slower than HTTP_TIMEOUT_SECONDS of the gauntlet's stack.
SLOW = 4.0


def document(happening: Happening) -> dict[str, Any]:
    """The record as QuickBooks has it."""
    amount = happening.amount
    if happening.noun == "bill":
        return bill(happening.number, amount)
    line = {"ItemRef": {"value": "1", "name": "Services"}}
    return {
        "CustomerRef": {"value": "1", "name": "Amy's Bird Sanctuary"},
        "DocNumber": happening.number,
        "TotalAmt": amount,
        "Balance": amount,
        "TxnDate": "2026-11-03",
        "DueDate": "2026-12-03",
        "CurrencyRef": {"value": "USD"},
        "Line": [{"Id": "1", "Amount": amount, "DetailType": "SalesItemLineDetail", "SalesItemLineDetail": line}],
    }


class OnlineTraffic(Traffic):
    """Several senders: a batch that is not acknowledged holds up only its own."""

    system = "quickbooks_online"

    def __init__(self, stack: Stack, batches: Sequence[Batch], seed: int) -> None:
        super().__init__(stack, batches)
        self._intuit = stack.intuit
        self._intuit.add_company(REALM, "Acme Services LLC")
        self._chance = random.Random(f"formats {seed}")
        self._ids: dict[int, str] = {}
        self._turn = threading.Lock()

    @property
    def connection(self) -> dict[str, Any]:
        tokens = self._intuit.issue_tokens(REALM)
        credentials = {name: tokens[name] for name in ("access_token", "refresh_token")}
        credentials["expires_at"] = "2099-01-01T00:00:00Z"
        return {"slug": self.slug, "system": self.system, "account": REALM, "credentials": credentials}

    @property
    def is_over(self) -> bool:
        return not any(thread.is_alive() for thread in self._threads)

    def suffer(self, fault: Fault, kill: Callable[[str], bool]) -> None:
        name, _, refresh = fault.target.partition(", ")
        if name == "token expired":
            if refresh:
                kind = "cut_after" if refresh == "refresh cut" else "answer"
                self._intuit.fail(TOKEN, kind, answer=outage())
            self._intuit.expire_access_tokens(REALM)
            return
        kind, times, answer = {
            "503": ("answer", 3, outage()),
            "429": ("answer", 3, throttle()),
            "429 in XML": ("answer", 2, throttle_as_xml()),
            "10000": ("answer", 2, system_fault()),
            "truncated": ("truncate", 2, None),
            "slow": ("slow", 2, None),
        }[name]
        self._intuit.fail(READ, kind, times=times, answer=answer, seconds=SLOW)

    def make_peace(self) -> None:
        self._intuit.faults.clear()

    def _works(self) -> Sequence[Callable[[], None]]:
        return [self._run] * SENDERS

    def _run(self) -> None:
        while not self._stopping.is_set():
            with self._turn:
                if not self._waiting:
                    return
                batch = self._waiting.popleft()
                formats = self._chance.choice(FORMATS)
                if self._stopping.wait(max(0.0, self._start + batch.at - time.monotonic())):
                    return
                changes = [self._happen(happening) for happening in batch.happenings]
            for form in formats:
                self._send(changes, form)
            with self._turn:
                self.sent += batch.happenings

    def _happen(self, happening: Happening) -> Change:
        record, entity = happening.record, happening.noun.capitalize()
        if happening.operation == "created":
            self._ids[record] = self._intuit.put(REALM, entity, document(happening))["Id"]
        else:
            amount = happening.amount
            self._intuit.change(REALM, entity, self._ids[record], TotalAmt=amount, Balance=amount)
        now = dt.datetime.now(dt.UTC)
        return Change(REALM, entity, self._ids[record], happening.operation, now, f"{happening.operation}-{record}")

    def _send(self, changes: Sequence[Change], form: str) -> None:
        body, headers = self._intuit.build_notification(changes, form)
        url = f"{self._stack.url}/webhooks/quickbooks-online/"
        while not self._stopping.is_set():
            began = time.monotonic()
            status = post(url, body, headers)
            if status == 200:
                self.slowest = max(self.slowest, time.monotonic() - began)
                return
            self.refused[status] += 1
            self._stopping.wait(PAUSE)
