"""FreshBooks' part of the day: a small firm's books, callbacks that prove themselves, and a delivery that gets lost."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Generator
from decimal import Decimal
from typing import Any

from connector.demo.day import Cut, Expected, Play, Scene, Stage, Until
from connector.demo.slack import route
from sources.freshbooks.standin import FreshBooksStandIn

CONNECTION = "acme-freshbooks"
ACCOUNT, BUSINESS_ID = "6BApk", 77128
#: What is subscribed to: three verbs of each, and invoices that are emailed.
SUBSCRIBED = ("invoice", "payment", "bill", "expense")
_CALLBACKS = 13
#: How long the connector waits for the burst after a change, and how often FreshBooks tells a new record again.
_SETTLE_SECONDS, _ECHOES = 2, 2
_CLIENTS = {5001: "Cedar Ridge Cabinetry", 5002: "Juniper & Vale Architects"}
_VENDORS = {7001: "Tidewater Timber", 7002: "Blue Heron Freight"}
_CATEGORIES = {9001: "Travel", 9002: "Meals"}
_INTERNAL, _BILLABLE = 0, 1

Document = dict[str, Any]


def open_books(freshbooks: FreshBooksStandIn) -> dict[str, str]:
    """The business before the day began; the variables that hold its tokens."""
    business = freshbooks.add_business(ACCOUNT, "Acme Workshop", business_id=BUSINESS_ID)
    for number, name in _CLIENTS.items():
        business.put("clients", {"id": number, "organization": name})
    for number, name in _VENDORS.items():
        business.put("bill_vendors", {"vendorid": number, "vendor_name": name})
    for number, name in _CATEGORIES.items():
        business.put("categories", {"id": number, "category": name})
    business.updates_after_create = _ECHOES
    tokens = freshbooks.issue_tokens()
    return {"FB_ACCESS": tokens["access_token"], "FB_REFRESH": tokens["refresh_token"]}


class FreshBooksScene(Scene):
    """One business. Whatever FreshBooks tells several times over, and out of one change, must be told once."""

    label = "FreshBooks"

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        standin = stage.standins["freshbooks"]
        assert isinstance(standin, FreshBooksStandIn)
        self.freshbooks = standin
        self._began = dt.datetime.now(dt.UTC)
        #: (channel, record ID) -> the message that told the record first, above the replies.
        self._first: dict[tuple[str, int], Expected] = {}

    def connections(self) -> list[dict[str, Any]]:
        credentials = {
            "access_token": "env:FB_ACCESS",
            "refresh_token": "env:FB_REFRESH",
            "expires_at": (self._began + dt.timedelta(hours=12)).isoformat(timespec="seconds"),
        }
        settings = {
            "business_id": str(BUSINESS_ID),
            "subscribe": list(SUBSCRIBED),
            "settle_seconds": _SETTLE_SECONDS,
        }
        return [
            {
                "slug": CONNECTION,
                "system": "freshbooks",
                "account": ACCOUNT,
                "credentials": credentials,
                "settings": settings,
            }
        ]

    def routes(self) -> list[dict[str, Any]]:
        rows: tuple[tuple[str, str, list[str], dict[str, Any]], ...] = (
            ("FreshBooks invoices to AR", "ar", ["invoice.*"], {}),
            ("Large FreshBooks invoices to executives", "exec-alerts", ["invoice.*"], {"above_amount": "5000"}),
            ("FreshBooks payments to cash desk", "cash", ["payment.*"], {}),
            ("FreshBooks bills to AP", "ap", ["bill.*"], {}),
            ("FreshBooks expenses", "expenses", ["expense.*"], {"exclude_internal": True}),
        )
        told = [
            route(name, CONNECTION, channel, events, thread_updates=True, where=where)
            for name, channel, events, where in rows
        ]
        return [*told, route("FreshBooks troubles to ops", CONNECTION, "ops", ["connection.*"])]

    def play(self) -> Play:
        yield self._subscribed()
        small = yield from self._invoices()
        yield from self._bills()
        yield from self._expenses()
        self._forged(small)
        yield from self._renewed()
        yield from self._lost()
        self.freshbooks.delete(ACCOUNT, "invoices", small["id"])
        self.say(f"invoice {small['invoice_number']} is deleted")
        yield self.stage.until(*self._expect_invoice("deleted", small, "ar"))

    def problems(self) -> list[str]:
        found = [f"FreshBooks was treated badly: {text}" for text in self.freshbooks.violations]
        renewals = self.freshbooks.count(r"POST /auth/oauth/token")
        if renewals != 1:
            found.append(f"FreshBooks' token was renewed {renewals} times instead of once")
        registered = sorted((each.event, each.uri) for each in self.freshbooks.callbacks.values())
        if len(registered) != _CALLBACKS or len({uri for _, uri in registered}) != _CALLBACKS:
            found.append(f"FreshBooks has {len(registered)} callbacks: {registered}")
        refused = [each.name for each in self.freshbooks.deliveries if each.answers and each.answers[-1] != 200]
        return found + ([f"FreshBooks' deliveries were not acknowledged: {refused}"] if refused else [])

    # --- the chapters ------------------------------------------------------------------------------------------------

    def _subscribed(self) -> Until:
        def is_met() -> bool:
            callbacks = list(self.freshbooks.callbacks.values())
            return len(callbacks) >= _CALLBACKS and all(each.is_verified for each in callbacks)

        self.say("the connector registers its callbacks, and sends each one's verifier back")
        return Until("all callbacks to be registered and verified", is_met)

    def _invoices(self) -> Generator[Until, None, Document]:
        small = self._new_invoice("FB-2041", 5001, "1480.00", "ar")
        self.say(f"FreshBooks tells of it {_ECHOES + 1} times")
        yield self.stage.until(*self._first.values())
        # What the callbacks of its making still have to say must be read before it changes.
        yield self.stage.pause(_SETTLE_SECONDS + 2)
        self.freshbooks.send(ACCOUNT, small["id"])
        self.say("invoice FB-2041 is emailed to the client")
        yield self.stage.until(*self._expect_invoice("emailed", small, "ar"))
        large = self._new_invoice("FB-2042", 5002, "9600.00", "ar", "exec-alerts")
        yield self.stage.until(*self._first.values())
        paid = {"invoiceid": large["id"], "amount": large["amount"], "date": _today(), "type": "ACH"}
        payment = self.freshbooks.put(ACCOUNT, "payments", paid)
        self.say("a client pays invoice FB-2042, and FreshBooks tells of the payment twice")
        self.freshbooks.announce(ACCOUNT, "payment.create", payment["id"])
        told = self._expect(f"Payment received: {_escaped(_CLIENTS[5002])}, $9,600.00", payment["id"], "cash")
        yield self.stage.until(*told, *self._expect_invoice("paid", large, "ar", "exec-alerts"))
        return small

    def _bills(self) -> Play:
        bill = self._put("bills", vendorid=7001, bill_number="TT-880", amount=_dollars("2300.00"), issue_date=_today())
        self.say("bill TT-880 is entered")
        yield self.stage.until(*self._expect(f"Bill TT-880 created: {_VENDORS[7001]}, $2,300.00", bill["id"], "ap"))
        self._put("bill_payments", billid=bill["id"], amount=bill["amount"], paid_date=_today(), payment_type="Check")
        self.say("bill TT-880 is paid, of which FreshBooks tells by the bill alone")
        yield self.stage.until(*self._expect(f"Bill TT-880 paid: {_VENDORS[7001]}, $2,300.00", bill["id"], "ap"))

    def _expenses(self) -> Play:
        for vendor, amount, category, status in (
            ("Corner Deli", "31.75", 9002, _INTERNAL),
            ("Alpine Airlines", "412.80", 9001, _BILLABLE),
        ):
            expense = self._put(
                "expenses", vendor=vendor, amount=_dollars(amount), categoryid=category, date=_today(),
                status=status, clientid=5001 if status else 0,
            )  # fmt: skip
            self.say(f"an {'expense for a client' if status else 'internal expense'} is entered: {vendor}")
            if status:
                self._expect(f"Expense created: {vendor}, ${amount}", expense["id"], "expenses")
        yield self.stage.until(*self._first.values())

    def _forged(self, invoice: Document) -> None:
        """What a stranger sends is signed, too, but not with the verifier. Raises `Cut` when it is believed."""
        callback = next(each for each in self.freshbooks.callbacks.values() if each.event == "invoice.delete")
        stranger = dataclasses.replace(callback, verifier="fake-guess")
        forged = self.freshbooks.build(stranger, "invoice.delete", invoice["id"])
        forged.attempt()
        self.say(f"a stranger says that invoice {invoice['invoice_number']} is deleted: {forged.answers[0]}")
        if forged.answers != [401]:
            raise Cut("a forged delivery was not refused")

    def _renewed(self) -> Play:
        self.freshbooks.expire_access_tokens()
        self.say("the access token runs out; the refresh token is good once")
        bill = self._put("bills", vendorid=7002, bill_number="BHF-31", amount=_dollars("640.00"), issue_date=_today())
        yield self.stage.until(*self._expect(f"Bill BHF-31 created: {_VENDORS[7002]}, $640.00", bill["id"], "ap"))

    def _lost(self) -> Play:
        self.freshbooks.courier.loses = True
        lost = self._new_invoice("FB-2043", 5001, "275.00", "ar")
        self.freshbooks.courier.loses = False
        self.say("what FreshBooks tells of invoice FB-2043 is lost on its way")
        yield from self.run(self.stage.connector.begin("poll", CONNECTION))
        yield self.stage.until(self._first["ar", lost["id"]])

    # --- entering and expecting --------------------------------------------------------------------------------------

    def _put(self, kind: str, **document: Any) -> Document:
        return self.freshbooks.put(ACCOUNT, kind, document)

    def _new_invoice(self, number: str, client: int, amount: str, *channels: str) -> Document:
        """Enters an invoice, and expects its message in the channels."""
        made = self._put(
            "invoices", invoice_number=number, customerid=client, amount=_dollars(amount), create_date=_today()
        )
        self.say(f"invoice {number} is made")
        self._expect_invoice("created", made, *channels)
        return made

    def _expect_invoice(self, done: str, invoice: Document, *channels: str) -> list[Expected]:
        amount = f"${Decimal(invoice['amount']['amount']):,.2f}"
        text = f"Invoice {invoice['invoice_number']} {done}: {_escaped(invoice['organization'])}, {amount}"
        return self._expect(text, invoice["id"], *channels)

    def _expect(self, text: str, number: int, *channels: str) -> list[Expected]:
        """The messages about a record, in the thread of the first. Each waited for its record to settle."""
        found = []
        for channel in channels:
            first = self._first.get((channel, number))
            expected = self.stage.expect(Expected(channel, text, first, is_delayed=True))
            self._first.setdefault((channel, number), expected)
            found.append(expected)
        return found


def _escaped(name: str) -> str:
    return name.replace("&", "&amp;")


def _dollars(amount: str) -> dict[str, str]:
    return {"amount": amount, "code": "USD"}


def _today() -> str:
    return dt.datetime.now(dt.UTC).date().isoformat()
