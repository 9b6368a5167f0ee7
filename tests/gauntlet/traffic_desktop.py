"""QuickBooks Desktop: bookkeepers at a company file, and its Web Connector that updates again and again.

The Web Connector gives an update up at its first failed call, and comes back at its next turn.
"""

from __future__ import annotations

import collections
import threading
from collections.abc import Callable, Sequence
from typing import Any

from sources.quickbooks_desktop.standin import FILE_ID, Company, Faults, HResult, WebConnector
from tests.gauntlet.happenings import Batch, Happening
from tests.gauntlet.schedule import Fault
from tests.gauntlet.traffic import Traffic
from tests.stack import Stack

ZONE = "America/Chicago"
PASSWORD = "fake-web-connector-password"
#: Seconds between two updates, and how long the Web Connector waits for an answer.
PAUSE, TIMEOUT = 2.0, 15.0
#: A call takes longer than this.
IN_A_CALL = 0.004
NOT_RUNNING, BUSY, BAD_REQUEST = "0x80040416", "0x80040414", "0x80040400"
KINDS = {
    "bill": "Bill",
    "purchase_order": "PurchaseOrder",
    "vendor": "Vendor",
    "payment": "ReceivePayment",
    "bill_payment": "BillPaymentCheck",
}
Strike = Callable[[], object]


def fields(happening: Happening) -> dict[str, Any]:
    """What a new record holds."""
    amount, number = f"{happening.amount}.00", happening.number
    return {
        "bill": {"VendorRef": "Cascade Paper Co.", "AmountDue": amount, "RefNumber": number},
        "purchase_order": {"VendorRef": "Umpqua Print", "TotalAmount": amount, "RefNumber": number},
        "vendor": {"Name": happening.name},
        "payment": {"CustomerRef": "Willamette Dental Group", "TotalAmount": amount, "RefNumber": number},
        "bill_payment": {"PayeeEntityRef": "Cascade Paper Co.", "Amount": amount, "RefNumber": number},
    }[happening.noun]


def changed(happening: Happening) -> dict[str, Any]:
    """What an update sets."""
    amount = f"{happening.amount}.00"
    return {
        "bill": {"AmountDue": amount, "OpenAmount": amount},
        "purchase_order": {"TotalAmount": amount},
        "vendor": {"Name": happening.name},
        "payment": {"TotalAmount": amount},
    }[happening.noun]


class DesktopTraffic(Traffic):
    """One company file with its Web Connector."""

    system = "quickbooks_desktop"

    def __init__(self, stack: Stack, batches: Sequence[Batch]) -> None:
        super().__init__(stack, batches)
        self.company = Company("Acme Services LLC", zone=ZONE)
        url = f"{stack.url}/soap/quickbooks-desktop/"
        self.web_connector = WebConnector(url, self.slug, PASSWORD, self.company)
        self.web_connector.timeout = TIMEOUT
        self.web_connector.before_call = self._called
        self.outcomes: collections.Counter[str] = collections.Counter()
        self._ids: dict[int, str] = {}
        self._calls = 0
        #: What happens at that call of an update.
        self._strikes: list[tuple[int, Strike]] = []
        self._struck: list[int] = []
        self._coming: collections.deque[Faults] = collections.deque()
        self._is_read = False

    @property
    def connection(self) -> dict[str, Any]:
        return {
            "slug": self.slug,
            "system": self.system,
            "account": FILE_ID,
            "credentials": {"password": PASSWORD},
            "settings": {"poll_minutes": 0, "timezone": ZONE, "home_currency": "USD"},
        }

    @property
    def violations(self) -> list[str]:
        return self.web_connector.violations

    @property
    def notes(self) -> list[tuple[str, str]]:
        told = ", ".join(f"{count} {outcome}" for outcome, count in sorted(self.outcomes.items()))
        struck = ", ".join(map(str, sorted(self._struck))) or "none"
        return [("updates of the Web Connector", told), ("calls at which the web was killed", struck)]

    @property
    def is_over(self) -> bool:
        return self._is_read

    def suffer(self, fault: Fault, kill: Callable[[str], bool]) -> None:
        if fault.target == "web killed between calls":
            target = ("web", "web child")[fault.call % 2]
            self._strikes.append((fault.call, lambda: kill(target)))
        elif fault.target == "web killed in a call":
            # The child is the one that answers.
            self._strikes.append((fault.call, threading.Timer(IN_A_CALL, kill, ("web child",)).start))
        else:
            self._coming.append(self._faults(fault))

    def _faults(self, fault: Fault) -> Faults:
        """How the next update goes wrong. Two calls, a question and its answer, make a round."""
        rounds = max(1, (fault.call - 3) // 2)
        other = Company("Somebody else's", zone=ZONE, file_id="{0C5E8C7E-0000-4000-8000-00000000FFFF}")
        menu: dict[str, Faults] = {
            "answer lost": {"lose_response": rounds},
            "answer twice": {"resend": rounds},
            "stopped": {"stop_after": fault.call},
            "answer cut": {"mangle": lambda text: text[: len(text) // 2]},
            "not running": {"problem": HResult(NOT_RUNNING)},
            "query fails": {"fails": {rounds: HResult(BUSY)}},
            "query refused": {"fails": {rounds: HResult(BAD_REQUEST)}},
            "stale ticket": {"ticket": "{00000000-0000-4000-8000-000000000000}"},
            "wrong file": {"company": other},
            "not closed": {"close": False},
        }
        return menu[fault.target]

    def make_peace(self) -> None:
        self._strikes.clear()
        self._coming.clear()

    def _works(self) -> Sequence[Callable[[], None]]:
        keeper = threading.Thread(target=self._keep, daemon=True)

        def update() -> None:
            keeper.start()
            self._update(keeper)
            keeper.join()

        return [update]

    def _update(self, keeper: threading.Thread) -> None:
        """Updates until one that began after the last entry, and that nothing disturbed, has read everything."""
        while not self._stopping.is_set():
            is_last = not keeper.is_alive()
            faults = self._coming.popleft() if self._coming else {}
            self._calls = 0
            cycle = self.web_connector.run_cycle(**faults)
            self.outcomes[cycle.outcome] += 1
            if is_last and not faults and cycle.outcome == "done":
                self._is_read = True
                return
            self._stopping.wait(PAUSE)

    def _called(self, operation: str) -> None:
        self._calls += 1
        for due in [strike for strike in self._strikes if strike[0] == self._calls]:
            self._strikes.remove(due)
            self._struck.append(self._calls)
            due[1]()

    def _enter(self, happening: Happening) -> None:
        company, record = self.company, happening.record
        if happening.operation == "created":
            self._ids[record] = company.add(KINDS[happening.noun], **fields(happening))
        elif happening.operation == "updated":
            company.change(self._ids[record], **changed(happening))
        elif happening.operation == "deleted":
            company.delete(self._ids[record])
        else:
            payment = Happening(self.system, happening.payer, "bill_payment", "created", happening.amount)
            applied = [{"TxnID": self._ids[record], "Amount": f"{happening.amount}.00"}]
            company.add("BillPaymentCheck", **fields(payment), AppliedToTxnRet=applied)
