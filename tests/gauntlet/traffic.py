"""What happens in the books, and its webhooks: small batches, some twice or in both formats, each until a 200 comes."""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import random
import threading
import time
from collections.abc import Sequence
from typing import Any

from sources.quickbooks_online.standin_webhooks import Change, post
from tests.stack import REALM, Stack, bill

CHANNEL, EVERYTHING = "C0GAUNTLET{:02}", "C0GAUNTLETALL"
#: A record is changed no sooner than so many seconds after it was made.
SETTLED = 4.0
SENDERS = 4
PAUSE = 0.3


@dataclasses.dataclass(frozen=True, slots=True)
class Happening:
    """A record is made, or changed; the amount is what it has from then on, in whole dollars."""

    record: int
    operation: str
    amount: int

    @property
    def entity(self) -> str:
        return "Bill" if self.record % 2 else "Invoice"

    @property
    def number(self) -> str:
        return f"G-{self.record:05}"

    @property
    def channel(self) -> str:
        """Each channel takes a thousand of amounts."""
        return CHANNEL.format(self.amount // 1000)


@dataclasses.dataclass(frozen=True, slots=True)
class Sending:
    """One notification: when it goes out, what it tells, and the formats that it is sent in, one after the other."""

    at: float
    happenings: tuple[Happening, ...]
    formats: tuple[str, ...]


def plan(seed: int, events: int, channels: int, seconds: float) -> list[Sending]:
    """So many happenings over so many seconds, one to four in a notification."""
    chance = random.Random(f"traffic {seed}")
    fresh: collections.deque[tuple[float, Happening]] = collections.deque()
    sendings: list[Sending] = []
    told = records = 0
    while told < events:
        at = seconds * told / events
        batch = []
        for _ in range(min(chance.choice((1, 1, 1, 2, 3, 4)), events - told)):
            if fresh and fresh[0][0] < at - SETTLED and chance.random() < 0.1:
                _, old = fresh.popleft()
                batch.append(dataclasses.replace(old, operation="updated", amount=old.amount + 1))
                continue
            records += 1
            amount = 1000 * chance.randrange(channels) + chance.randrange(100, 900)
            batch.append(Happening(records, "created", amount))
            fresh.append((at, batch[-1]))
        told += len(batch)
        formats = (("cloudevents",), ("cloudevents",), ("legacy",), ("cloudevents", "legacy"), ("cloudevents",) * 2)
        sendings.append(Sending(at, tuple(batch), chance.choice(formats)))
    return sendings


def document(happening: Happening) -> dict[str, Any]:
    """The record as QuickBooks has it."""
    amount = happening.amount
    if happening.entity == "Bill":
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


class Traffic:
    """Keeps the books and sends the notifications, each again and again until it is answered with 200."""

    def __init__(self, stack: Stack, sendings: Sequence[Sending]) -> None:
        self.sent: list[Happening] = []
        self.refused: collections.Counter[int] = collections.Counter()
        self.slowest = 0.0
        self._stack = stack
        self._waiting = collections.deque(sendings)
        self._ids: dict[int, str] = {}
        self._turn = threading.Lock()
        self._stopping = threading.Event()
        self._senders = [threading.Thread(target=self._run, daemon=True) for _ in range(SENDERS)]

    def start(self) -> None:
        self._start = time.monotonic()
        for sender in self._senders:
            sender.start()

    @property
    def is_over(self) -> bool:
        return not any(sender.is_alive() for sender in self._senders)

    def stop(self) -> None:
        self._stopping.set()
        for sender in self._senders:
            sender.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            with self._turn:
                if not self._waiting:
                    return
                sending = self._waiting.popleft()
                if self._stopping.wait(max(0.0, self._start + sending.at - time.monotonic())):
                    return
                changes = [self._happen(happening) for happening in sending.happenings]
            for form in sending.formats:
                self._send(changes, form)
            with self._turn:
                self.sent += sending.happenings

    def _happen(self, happening: Happening) -> Change:
        intuit, record = self._stack.intuit, happening.record
        if happening.operation == "created":
            self._ids[record] = intuit.put(REALM, happening.entity, document(happening))["Id"]
        else:
            amount = happening.amount
            intuit.change(REALM, happening.entity, self._ids[record], TotalAmt=amount, Balance=amount)
        now = dt.datetime.now(dt.UTC)
        event_id = f"{happening.operation}-{record}"
        return Change(REALM, happening.entity, self._ids[record], happening.operation, now, event_id)

    def _send(self, changes: Sequence[Change], form: str) -> None:
        body, headers = self._stack.intuit.build_notification(changes, form)
        url = f"{self._stack.url}/webhooks/quickbooks-online/"
        while not self._stopping.is_set():
            began = time.monotonic()
            status = post(url, body, headers)
            if status == 200:
                self.slowest = max(self.slowest, time.monotonic() - began)
                return
            self.refused[status] += 1
            self._stopping.wait(PAUSE)
