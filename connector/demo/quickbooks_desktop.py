"""QuickBooks Desktop's part of the day: a PC in the office, its Web Connector, and what goes wrong between them."""

from __future__ import annotations

import threading
from decimal import Decimal
from typing import Any, Unpack

from connector.demo.day import Cut, Expected, Play, Scene, Stage, Until
from connector.demo.slack import route
from sources.quickbooks_desktop.standin import FILE_ID, Company, Cycle, Faults, HResult, WebConnector

CONNECTION = "acme-desktop"
ZONE = "America/Chicago"
_PASSWORD = "fake-web-connector-password"  # noqa: S105 - the stand-in's own
#: After a good update the next one brings nothing for a minute, less the 15 s that a clock may be early.
_POLL_MINUTES, _PACE_SECONDS = 1, 46.0
_VENDOR, _CUSTOMER = "Umpqua Print and Sign", "Willamette Dental Group"
#: The call at which the line goes dead: the question about checks; vendors, bills and orders are through by then.
_DEAD_LINE = 10
_NOT_RUNNING = HResult("0x80040416")


class DesktopScene(Scene):
    """One company file. What is read twice must be told once: every update reads the last minutes again."""

    label = "QB Desktop"

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self.company = Company("Acme Services LLC", zone=ZONE)
        url = f"{stage.connector.url}/soap/quickbooks-desktop/"
        self.web_connector = WebConnector(url, CONNECTION, _PASSWORD, self.company)
        self._first: dict[str, Expected] = {}
        self._ids: dict[str, str] = {}

    def connections(self) -> list[dict[str, Any]]:
        settings = {"poll_minutes": _POLL_MINUTES, "timezone": ZONE, "home_currency": "USD"}
        return [
            {
                "slug": CONNECTION,
                "system": "quickbooks_desktop",
                "account": FILE_ID,
                "credentials": {"password": _PASSWORD},
                "settings": settings,
            }
        ]

    def routes(self) -> list[dict[str, Any]]:
        rows = (
            ("Desktop vendors and orders to purchasing", "purchasing", ["vendor.*", "purchase_order.*"]),
            ("Desktop bills to AP", "ap", ["bill.*", "bill_payment.*"]),
            ("Desktop payments to AR", "ar", ["payment.*"]),
        )
        told = [route(name, CONNECTION, channel, events, thread_updates=True) for name, channel, events in rows]
        return [*told, route("Desktop troubles to ops", CONNECTION, "ops", ["connection.*"])]

    def play(self) -> Play:
        yield from self._update("the Web Connector updates: nothing is new in the company file", "done")
        ends = self.stage.pause(_PACE_SECONDS)
        yield from self._entries()
        yield ends
        yield from self._update(
            "QuickBooks is closed when the Web Connector updates", "connection", problem=_NOT_RUNNING
        )
        yield from self._update("the line goes dead in the middle of an update", "interrupted", stop_after=_DEAD_LINE)
        yield self.stage.until(*self._first.values())
        yield from self._changes()
        yield from self._update("the next update starts anew, and one answer arrives twice", "done", resend=2)
        yield from self._update("an update right after it is too early, and brings nothing", "none")
        # Whoever stays to look around sees a Web Connector that calls, not one that fell silent.
        self.web_connector.poll_every(_POLL_MINUTES * 60)

    def problems(self) -> list[str]:
        return [f"The Web Connector was treated badly: {text}" for text in self.web_connector.violations]

    # --- what the bookkeeper does ------------------------------------------------------------------------------------

    def _entries(self) -> Play:
        vendor = self.company.add("Vendor", Name=_VENDOR, CompanyName=_VENDOR)
        self.say(f"vendor {_VENDOR} is entered")
        self._expect("purchasing", _VENDOR, f"Vendor created: {_VENDOR}")
        yield self.stage.pause(1.5)
        for number, amount in (("CP-10442", "1284.50"), ("CP-10443", "310.00"), ("CP-10444", "96.20")):
            line = {"AccountRef": "Office Supplies", "Amount": amount}
            self._ids[number] = self.company.add(
                "Bill", VendorRef=vendor, RefNumber=number, AmountDue=amount, ExpenseLineRet=[line]
            )
            self.say(f"bill {number} is entered")
            self._expect("ap", number, f"Bill {number} created: {_VENDOR}, {_dollars(amount)}")
            yield self.stage.pause(1.5)
        line = {"ItemRef": "Paper:A4-80", "Desc": "A4 80 gsm, white", "Quantity": "100", "Rate": "7.25"}
        self._ids["PO-3107"] = self.company.add(
            "PurchaseOrder",
            VendorRef=vendor,
            RefNumber="PO-3107",
            TotalAmount="725.00",
            PurchaseOrderLineRet=[{**line, "Amount": "725.00"}],
        )
        self.say("purchase order PO-3107 is entered")
        self._expect("purchasing", "PO-3107", f"Purchase order PO-3107 created: {_VENDOR}, $725.00")

    def _changes(self) -> Play:
        paid, changed, wrong = (self._ids[number] for number in ("CP-10442", "CP-10443", "CP-10444"))
        self.company.change(changed, AmountDue="345.00", OpenAmount="345.00", Memo="With the pallets")
        self._tell("ap", "CP-10443", f"Bill CP-10443 updated: {_VENDOR}, $345.00")
        self.company.add(
            "BillPaymentCheck",
            PayeeEntityRef=_VENDOR,
            Amount="1284.50",
            RefNumber="5502",
            AppliedToTxnRet=[{"TxnID": paid, "Amount": "1284.50"}],
        )
        self._tell("ap", "CP-10442", f"Bill CP-10442 paid: {_VENDOR}")
        self._expect("ap", "5502", f"Bill payment 5502 made: {_VENDOR}, $1,284.50")
        self.company.void(self._ids["PO-3107"])
        self._tell("purchasing", "PO-3107", f"Purchase order PO-3107 voided: {_VENDOR}")
        self.company.delete(wrong)
        self._tell("ap", "CP-10444", f"Bill CP-10444 deleted: {_VENDOR}")
        self.company.add("ReceivePayment", CustomerRef=_CUSTOMER, RefNumber="20441", TotalAmount="2450.00")
        self._expect("ar", "20441", f"Payment 20441 received: {_CUSTOMER}, $2,450.00")
        self.say("a check pays one bill, one is changed, one is deleted; the order is voided; a customer pays")
        yield self.stage.pause(1.5)

    # --- expecting and updating --------------------------------------------------------------------------------------

    def _expect(self, channel: str, key: str, text: str) -> None:
        """The first message about a record. Other connections post in most channels, whenever these are polled."""
        is_delayed = channel != "purchasing"
        self._first[key] = self.stage.expect(Expected(channel, text, is_delayed=is_delayed))

    def _tell(self, channel: str, key: str, text: str) -> None:
        """A further message, in the thread of the first."""
        self.stage.expect(Expected(channel, text, self._first[key], is_delayed=channel != "purchasing"))

    def _update(self, what: str, outcome: str, **faults: Unpack[Faults]) -> Play:
        """One update of the Web Connector, beside the play. Raises `Cut` when it does not end as it should."""
        self.say(what)
        ended: list[Cycle] = []
        thread = threading.Thread(target=lambda: ended.append(self.web_connector.run_cycle(**faults)), daemon=True)
        thread.start()
        yield Until("the end of the update", lambda: not thread.is_alive(), 60)
        for cycle in ended:
            self.say(f"{len(cycle.calls)} calls: {cycle.outcome} {cycle.text}".rstrip())
        if [cycle.outcome for cycle in ended] != [outcome]:
            raise Cut(f"the update should have been {outcome}: {what}")


def _dollars(amount: str) -> str:
    return f"${Decimal(amount):,.2f}"
