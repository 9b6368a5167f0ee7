"""QuickBooks Online's part of the day: what the bookkeepers of Acme do, and what Intuit's side lets go wrong."""

from __future__ import annotations

import datetime as dt
import http.client
import uuid
from decimal import Decimal
from typing import Any

from connector.demo import quickbooks_books as books
from connector.demo.day import Cut, Expected, Play, Scene, Stage
from connector.demo.quickbooks_books import BRIDGE, REALM, Document
from connector.demo.slack import CHANNELS, SlackScene, route
from sources.quickbooks_online.standin import IntuitStandIn
from sources.quickbooks_online.standin_faults import outage, throttle
from sources.quickbooks_online.standin_webhooks import Change

CONNECTION = "acme-books"
_API = r" /v3/company/"
_OUTAGE_SECONDS = 4.0
#: How often a notification is sent that nobody acknowledges.
_TRIES = 3
#: A memo as somebody with bad manners writes it.
_HOSTILE = "Rush job <!channel> <!here> *pay* <https://pay.example|now> & call <@U0ADMIN>"


class QuickBooksScene(Scene):
    """One company. Every chapter waits for what it needs, so that each message can be foretold exactly."""

    label = "QuickBooks"

    def __init__(self, stage: Stage, workspace: SlackScene) -> None:
        super().__init__(stage)
        standin = stage.standins["quickbooks_online"]
        assert isinstance(standin, IntuitStandIn)
        self.intuit = standin
        self.workspace = workspace
        # Each renewal brings a new refresh token, as it does once a day.
        self.intuit.rotate_after = 0
        self._began = dt.datetime.now(dt.UTC)
        self.flyers = books.bill("CPM-2207", "30", "1240.50", "Trade show flyers", memo=_HOSTILE, department="1")
        self.dental = books.invoice("1043", "50", "1850.00", "Clinic rewiring")
        self.schools = books.invoice("1044", "51", "12400.00", "Gymnasium lighting")
        self.bridge = books.invoice("1045", "52", "7300.00", "Bridge inspection", currency="EUR", rate="1.0852")
        self.steel = [
            books.bill(f"IRS-{number}", "35", f"{37 * number % 1900}.25", "Steel plates", account="64")
            for number in range(7001, 7013)
        ]
        #: (channel, entity, ID) -> the message that told the record first, above the replies.
        self._first: dict[tuple[str, str, str], Expected] = {}
        #: (entity, ID) -> the message about its latest change, in the first of its channels.
        self._latest: dict[tuple[str, str], Expected] = {}

    def connections(self) -> list[dict[str, Any]]:
        credentials = {
            "access_token": "env:QBO_ACCESS",
            "refresh_token": "env:QBO_REFRESH",
            "expires_at": (self._began + dt.timedelta(hours=1)).isoformat(timespec="seconds"),
        }
        return [{"slug": CONNECTION, "system": "quickbooks_online", "account": REALM, "credentials": credentials}]

    def routes(self) -> list[dict[str, Any]]:
        large = {"above_amount": "5000"}
        rows: tuple[tuple[str, str, list[str], dict[str, Any]], ...] = (
            ("Bills and vendors to AP", "ap", ["bill.*", "bill_payment.*", "vendor.*"], {}),
            ("Bridge project", "projects", ["bill.*"], {"where": {"classes": ["Bridge Retrofit"]}}),
            ("Invoices and customers to AR", "ar", ["invoice.*", "customer.*"], {}),
            ("Large invoices to executives", "exec-alerts", ["invoice.*"], {"where": large}),
            ("Payments to AR", "ar", ["payment.*"], {}),
            ("Payments to cash desk", "cash", ["payment.*"], {}),
            ("Journal entries to finance", "finance", ["journal_entry.*"], {}),
        )
        told = [
            route(name, CONNECTION, where, events, thread_updates=True, **more) for name, where, events, more in rows
        ]
        return [*told, route("Book troubles to ops", CONNECTION, "ops", ["connection.*"])]

    def start(self) -> None:
        self._began = dt.datetime.now(dt.UTC)

    def play(self) -> Play:
        yield from self._morning()
        yield from self._invoices()
        yield from self._burst()
        yield from self._out_of_order()
        yield from self._expired_token()
        yield from self._throttle()
        yield from self._outage()
        yield from self._slack_pause()
        yield from self._slack_doubt()
        yield from self._archived()
        yield from self._archived_unseen()
        yield from self._settlement()
        yield from self._undone()
        yield from self._revoked()
        yield from self._lost()

    def problems(self) -> list[str]:
        found = [f"Intuit was treated badly: {text}" for text in self.intuit.violations]
        renewals = self.intuit.count(r"POST /oauth2/v1/tokens/bearer")
        return found + ([f"the token was renewed {renewals} times instead of once"] if renewals != 1 else [])

    # --- the chapters ------------------------------------------------------------------------------------------------

    def _morning(self) -> Play:
        yield from self._send(
            self._new("Vendor", books.person("Bluestem Drone Imaging", "billing@bluestem.example"), "ap"),
            self._new("Bill", self.flyers, "ap"),
        )
        survey = books.bill(
            "MLS-0418", "32", "2310.00", "Site survey", currency="CAD", account="64", department="2", class_=BRIDGE
        )
        yield from self._send(self._new("Bill", survey, "ap", "projects"), style="legacy")
        payroll = books.journal_entry("PR-1103", "Payroll, first half", {"60": "18250.00", "61": "1396.13"}, "35")
        yield from self._send(self._new("JournalEntry", payroll, "finance"))
        more = Decimal("1310.50")
        later = books.day(45)
        yield from self._send(
            self._changed("Bill", self.flyers, "updated", "ap", TotalAmt=more, Balance=more, DueDate=later)
        )

    def _invoices(self) -> Play:
        changes = (
            self._new("Customer", books.person("Copper Kettle Bistro", "owner@copperkettle.example"), "ar"),
            self._new("Invoice", self.dental, "ar"),
            self._new("Invoice", self.schools, "ar", "exec-alerts"),
            self._new("Invoice", self.bridge, "ar", "exec-alerts"),
        )
        yield from self._send(*changes)
        self.say("Intuit sends the same notification again, in both formats")
        for style in ("cloudevents", "legacy"):
            self._post(changes, style)

    def _burst(self) -> Play:
        self.say(f"{len(self.steel)} bills are imported at once, and told in one notification")
        yield from self._send(*(self._enter("Bill", each, "created", ("ap",)) for each in self.steel))

    def _out_of_order(self) -> Play:
        entry = books.journal_entry("ADJ-31", "Depreciation", {"70": "910.00"}, "71")
        created = self._change_of("JournalEntry", self.intuit.put(REALM, "JournalEntry", entry), "created")
        corrected = books.journal_entry("ADJ-31", "Depreciation, corrected", {"70": "934.40"}, "71")
        kept = self.intuit.change(REALM, "JournalEntry", created.id, Line=corrected["Line"])
        self.say("journal entry ADJ-31 is made and corrected; the second notification overtakes the first")
        self._expect("JournalEntry", kept, "updated", ("finance",))
        yield from self._send(self._change_of("JournalEntry", kept, "updated"))
        self._post((created,), "cloudevents")

    def _expired_token(self) -> Play:
        self.intuit.expire_access_tokens(REALM)
        self.say("the access token runs out before its time")
        yield from self._pay("88123", "1850.00", self.dental, "ar")

    def _throttle(self) -> Play:
        self.intuit.fail(_API, "answer", times=2, answer=throttle())
        self.say("Intuit throttles the next two calls")
        yield from self._pay("88124", "12400.00", self.schools, "ar", "exec-alerts", is_delayed=True)

    def _outage(self) -> Play:
        self.intuit.fail(_API, "answer", times=10_000, answer=outage())
        self.say("Intuit's API is down: 503 to every call")
        rent = books.journal_entry("INS-11", "Insurance, November", {"73": "412.75"}, "72")
        estate = books.invoice("1046", "54", "4880.00", "Facade report", currency="GBP", rate="1.2713")
        meters = books.bill("NI-5530", "33", "125000", "Vibration meters", currency="JPY", account="64")
        wanted = len(self.stage.expected)
        for change in (
            self._new("JournalEntry", rent, "finance", is_delayed=True),
            self._new("Invoice", estate, "ar", is_delayed=True),
            self._new("Bill", meters, "ap", is_delayed=True),
        ):
            self._post((change,), "cloudevents")
            yield self.stage.pause(0.4)
        yield self.stage.pause(_OUTAGE_SECONDS)
        with self.intuit.lock:
            self.intuit.faults.clear()
        self.say("Intuit is back")
        yield self.stage.until(*self.stage.expected[wanted:])

    def _slack_pause(self) -> Play:
        self.workspace.ask_for_pause(3)
        yield from self._send(self._new("Invoice", books.invoice("1047", "53", "960.00", "Roof check"), "ar"))

    def _slack_doubt(self) -> Play:
        is_looked_up = self.workspace.hang_up()
        entry = books.journal_entry("ACC-07", "Accrued wages", {"60": "2204.10"}, "35")
        yield from self._send(self._new("JournalEntry", entry, "finance"))
        yield is_looked_up
        self.workspace.say("the connector reads #finance back, and finds ACC-07 there")

    def _archived(self) -> Play:
        self.workspace.archive("cash", is_told=True)
        yield self.stage.until(self.workspace.expect_closed("cash"))
        deposit = books.invoice("1048", "50", "700.00", "Deposit, second clinic")
        yield from self._send(self._new("Invoice", deposit, "ar"))
        yield from self._pay("88125", "700.00", deposit, "ar")
        self.workspace.unarchive("cash", is_told=True)
        yield self.stage.until(*(one for one in self.stage.expected if one.channel == "cash"))

    def _archived_unseen(self) -> Play:
        self.workspace.archive("finance", is_told=False)
        entry = books.journal_entry("ADJ-32", "Prepaid insurance", {"72": "4953.00"}, "35")
        self._post((self._new("JournalEntry", entry, "finance"),), "cloudevents")
        waits = self.stage.expected[-1]
        yield self.stage.until(self.workspace.expect_closed("finance"))
        self.workspace.unarchive("finance", is_told=False)
        replay = ("replay", "--channel", CHANNELS["finance"], "--status", "parked")
        yield from self.run(self.stage.connector.begin(*replay))
        yield self.stage.until(waits)

    def _settlement(self) -> Play:
        paid = [self.steel[0], self.steel[1]]
        yield self.stage.until(*(self._first["ap", "Bill", each["Id"]] for each in paid))
        yield from self._send(
            self._new("BillPayment", books.bill_payment("2041", *paid), "ap", done="made"),
            *(self._changed("Bill", each, "paid", "ap", Balance=0) for each in paid),
        )

    def _undone(self) -> Play:
        voided = self.intuit.void(REALM, "Invoice", self.bridge["Id"])
        # Nothing is left of its amount; but who heard of the large invoice hears of its end.
        self.say("invoice 1045 is voided")
        self._expect("Invoice", voided, "voided", ("ar", "exec-alerts"))
        yield from self._send(self._change_of("Invoice", voided, "voided"))
        double = self.steel[2]
        self.intuit.delete(REALM, "Bill", double["Id"])
        self.say(f"bill {double['DocNumber']} was entered by mistake, and is deleted")
        self._expect("Bill", double, "deleted", ("ap",))
        yield from self._send(self._change_of("Bill", double, "deleted"))

    def _revoked(self) -> Play:
        alert = self.workspace.revoke()
        paper = self._new("Bill", books.bill("POS-615", "34", "86.40", "Paper"), "ap")
        power = self._new("Bill", books.bill("LEC-1120", "31", "1922.08", "Power, October"), "ap")
        waits = self.stage.expected[-1]
        self._post((paper, power), "legacy")
        yield self.stage.pause(1.0)
        yield from self.workspace.renew()
        yield self.stage.until(alert, waits)

    def _lost(self) -> Play:
        self._new("Bill", books.bill("CPM-2219", "30", "318.00", "Business cards"), "ap")
        waits = self.stage.expected[-1]
        self.say("the notification of bill CPM-2219 is lost on its way")
        since = self._began.isoformat(timespec="seconds")
        yield from self.run(self.stage.connector.begin("backfill", CONNECTION, "--since", since))
        yield self.stage.until(waits)

    # --- entering, expecting, notifying ------------------------------------------------------------------------------

    def _new(self, entity: str, document: Document, *channels: str, done: str = "", is_delayed: bool = False) -> Change:
        """Enters a record, and expects its message in the channels."""
        self.say(books.headline(entity, document, "is entered"))
        done = done or ("received" if entity == "Payment" else "created")
        return self._enter(entity, document, done, channels, is_delayed=is_delayed)

    def _enter(
        self, entity: str, document: Document, done: str, channels: tuple[str, ...], *, is_delayed: bool = False
    ) -> Change:
        document.update(self.intuit.put(REALM, entity, document))
        self._expect(entity, document, done, channels, is_delayed=is_delayed)
        return self._change_of(entity, document, "created")

    def _changed(
        self, entity: str, document: Document, done: str, *channels: str, is_delayed: bool = False, **fields: Any
    ) -> Change:
        """Changes a record, and expects its message in the channels."""
        document.update(self.intuit.change(REALM, entity, document["Id"], **fields))
        self.say(books.headline(entity, document, f"is {done}"))
        self._expect(entity, document, done, channels, is_delayed=is_delayed)
        return self._change_of(entity, document, "updated")

    def _pay(self, number: str, amount: str, settled: Document, *channels: str, is_delayed: bool = False) -> Play:
        """A payment that settles an invoice: QuickBooks tells of both in one notification."""
        received = self._new("Payment", books.payment(number, amount, settled), "ar", "cash", is_delayed=is_delayed)
        yield from self._send(
            received, self._changed("Invoice", settled, "paid", *channels, is_delayed=is_delayed, Balance=0)
        )

    def _change_of(self, entity: str, kept: Document, operation: str) -> Change:
        return Change(REALM, entity, kept["Id"], operation, dt.datetime.now(dt.UTC), str(uuid.uuid4()))

    def _expect(
        self, entity: str, kept: Document, done: str, channels: tuple[str, ...], *, is_delayed: bool = False
    ) -> None:
        text = books.headline(entity, kept, done)
        for channel in channels:
            key = (channel, entity, kept["Id"])
            expected = self.stage.expect(Expected(channel, text, self._first.get(key), is_delayed))
            self._first.setdefault(key, expected)
            if channel == channels[0]:
                self._latest[entity, kept["Id"]] = expected

    def _send(self, *changes: Change, style: str = "cloudevents") -> Play:
        """One notification; goes on once the first message that it leads to has arrived."""
        self._post(changes, style)
        yield self.stage.until(self._latest[changes[0].entity, changes[0].id])

    def _post(self, changes: tuple[Change, ...], style: str) -> None:
        """One notification, repeated while it is not acknowledged. Raises `Cut` after a few tries."""
        url = f"{self.stage.connector.url}/webhooks/quickbooks-online/"
        answers = []
        while http.client.OK not in answers:
            answers.append(self.intuit.notify(url, changes, style))
            if len(answers) == _TRIES:
                raise Cut(f"a notification was answered {', '.join(map(str, answers))}")
