"""Salesforce's part of the day: sales people and bookkeepers work on the same customers, and orders become entries."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Generator
from decimal import Decimal
from typing import Any

from connector.demo import salesforce_books as books
from connector.demo.day import Expected, Play, Scene, Stage, Until
from connector.demo.salesforce_books import CLEARING, EQUIPMENT, ORG, REALM, SERVICES, Document, Entry
from connector.demo.slack import route
from sources.quickbooks_online.standin import IntuitStandIn
from sources.salesforce.standin import SalesforceStandIn

CONNECTION, LEDGER = "acme-salesforce", "acme-ledger"
#: One for each object that is listened to.
_STREAMS = 3
_STATUS, _ENTRY, _CUSTOMER = "QBO_Sync_Status__c", "QBO_JournalEntry_Id__c", "QBO_Customer_Id__c"


class SalesforceScene(Scene):
    """One org and one company that are kept in step. Whatever is written on one side comes back as nothing."""

    label = "Salesforce"

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        org, intuit = stage.standins["salesforce"], stage.standins["quickbooks_online"]
        assert isinstance(org, SalesforceStandIn)
        assert isinstance(intuit, IntuitStandIn)
        self.org = org
        self.intuit = intuit
        self._began = dt.datetime.now(dt.UTC)
        #: Order ID -> the message that told it first.
        self._first: dict[str, Expected] = {}
        #: What must stand in the books: number of each entry -> debit by account.
        self._entries: dict[str, dict[str, Decimal]] = {}

    def connections(self) -> list[dict[str, Any]]:
        tokens = {
            "access_token": "env:LEDGER_ACCESS",
            "refresh_token": "env:LEDGER_REFRESH",
            "expires_at": (self._began + dt.timedelta(hours=1)).isoformat(timespec="seconds"),
        }
        keys = {"client_id": "env:SF_CLIENT_ID", "client_secret": "env:SF_CLIENT_SECRET"}
        settings = {"instance_url": self.org.url, "currency": "USD"}
        return [
            {"slug": LEDGER, "system": "quickbooks_online", "account": REALM, "credentials": tokens},
            {"slug": CONNECTION, "system": "salesforce", "account": ORG, "credentials": keys, "settings": settings},
        ]

    def routes(self) -> list[dict[str, Any]]:
        there: dict[str, Any] = {
            "name": "Customers and invoices to Salesforce",
            "from": LEDGER,
            "to": CONNECTION,
            "events": ["customer.*", "invoice.*"],
        }
        back: dict[str, Any] = {
            "name": "Orders and customers to the ledger",
            "from": CONNECTION,
            "to": LEDGER,
            "events": ["order.*", "customer.created", "customer.updated"],
            "settings": {"debit_account": CLEARING, "credit_account": "", "create_customers": "all"},
        }
        return [
            there,
            back,
            route("Orders to sales", CONNECTION, "orders", ["order.*"], thread_updates=True),
            route("Ledger entries", LEDGER, "ledger", ["journal_entry.*"], thread_updates=True),
            route("Salesforce troubles to ops", CONNECTION, "ops", ["connection.*"]),
            route("Ledger troubles to ops", LEDGER, "ops", ["connection.*"]),
        ]

    def start(self) -> None:
        # Also of what the connector writes, which is how an echo would begin.
        self.intuit.subscribe(f"{self.stage.connector.url}/webhooks/quickbooks-online/", realm_id=REALM)

    def play(self) -> Play:
        yield Until("Salesforce's streams to be open", lambda: self.org.streams == _STREAMS)
        yield from self._invoice()
        account = yield from self._new_account()
        order = yield from self._order(account)
        yield from self._refused(account)
        yield from self._undone(order)
        yield from self._both_sides(account)
        yield from self._interrupted()

    def problems(self) -> list[str]:
        found = [f"Salesforce was treated badly: {text}" for text in self.org.violations]
        return found + self._wrong_entries() + self._wrong_records() + self._needless_writes()

    # --- the chapters ------------------------------------------------------------------------------------------------

    def _invoice(self) -> Play:
        person = {"GivenName": "Maya", "FamilyName": "Lund", "PrimaryEmailAddr": {"Address": "maya@prairie.example"}}
        customer = self._put("Customer", {"DisplayName": "Prairie Wind Energy", **person})
        self.say("customer Prairie Wind Energy is entered in QuickBooks")
        yield Until("its Account", lambda: self._account_of(customer) is not None)
        invoice = self._put("Invoice", books.invoice("T-501", customer, "1250.50", "Two solar pumps"))
        self.say("invoice T-501 is entered in QuickBooks")
        yield Until("its Opportunity", lambda: self._stages() == {"Invoice T-501": "Proposal/Price Quote"})
        self.intuit.change(REALM, "Invoice", invoice["Id"], Balance=0)
        self.say("invoice T-501 is paid")
        yield Until("the Opportunity to be won", lambda: self._stages() == {"Invoice T-501": "Closed Won"})

    def _new_account(self) -> Generator[Until, None, str]:
        account = self.org.create("Account", Name="Juniper Robotics", Phone="555-0142", BillingCity="Waco")
        self.say("a new Account in Salesforce: Juniper Robotics")
        yield Until("its customer in QuickBooks", lambda: bool(self.org.record("Account", account)[_CUSTOMER]))
        return account

    def _order(self, account: str) -> Generator[Until, None, str]:
        pump, work = books.product(self.org, "Solar pump"), books.product(self.org, "Installation")
        lines = [(pump, 3, "450.25"), (work, 1, "200")]
        order = self.org.add_order(account, lines, QBO_Department__c="West")
        number = str(self.org.record("Order", order)["OrderNumber"])
        self.say(f"order {number} is drafted in Salesforce, and nothing is posted")
        yield self.stage.pause(2)
        self.org.fail(r"PATCH .*/sobjects/Order/", "cut_after")
        self.org.activate(order)
        self.say(f"order {number} is activated; Salesforce cuts the connection when its entry is noted on it")
        self._expect_order(order, "created", "1,550.75")
        self._expect_entry(number, {EQUIPMENT: "-1350.75", SERVICES: "-200.00"})
        yield Until("its entry to be noted on it", lambda: self._is_noted(order, "Posted"))
        return order

    def _refused(self, account: str) -> Play:
        gauge = self.org.add_product("Rain gauge", "1", sku="GAUGE-3")
        order = self.org.add_order(account, [(gauge, 4, "75")], QBO_Class__c="Wholesale", activate=True)
        number = str(self.org.record("Order", order)["OrderNumber"])
        self.say(f"order {number} is activated, with a product and a class that QuickBooks does not know")
        told = [self._expect_order(order, "created", "300.00"), self._expect_order(order, "rejected", "")]
        yield Until("the reasons on the order", lambda: self._is_noted(order, "Refused"))
        yield self.stage.until(*told)
        books.add_item(self.intuit, "13", "Rain gauge", "GAUGE-3", EQUIPMENT)
        self.intuit.put(REALM, "Class", {"Id": "8", "Name": "Wholesale", "FullyQualifiedName": "Wholesale"})
        self.say("item and class are added in QuickBooks")
        replay = self.stage.connector.begin("replay", "--connection", LEDGER, "--status", "parked")
        self._expect_entry(number, {EQUIPMENT: "-300.00"})
        yield from self.run(replay)
        yield Until("its entry to be noted on it", lambda: self._is_noted(order, "Posted"))

    def _undone(self, order: str) -> Play:
        number = str(self.org.record("Order", order)["OrderNumber"])
        self.org.deactivate(order)
        self.say(f"order {number} is taken back to draft")
        self._expect_order(order, "voided", "")
        self._expect_entry(f"{number}-R", {EQUIPMENT: "1350.75", SERVICES: "200.00"})
        yield Until("its reversal to be noted on it", lambda: self._is_noted(order, "Reversed"))

    def _both_sides(self, account: str) -> Play:
        customer = str(self.org.record("Account", account)[_CUSTOMER])
        self.org.edit("Account", account, Phone="555-0199")
        self.intuit.change(REALM, "Customer", customer, BillAddr={"City": "Austin"})
        self.say("both sides edit Juniper Robotics at once: its phone here, its city there")

        def is_settled() -> bool:
            there, here = self.org.record("Account", account), self._customer(customer)
            shown = {here["PrimaryPhone"]["FreeFormNumber"], here["BillAddr"]["City"]}
            return shown == {there["Phone"], there["BillingCity"]} == {"555-0199", "Austin"}

        yield Until("both to say the same", is_settled)

    def _interrupted(self) -> Play:
        self.org.cut_streams()
        self.org.revoke_tokens()
        late = self.org.create("Account", Name="Sandhill Orchards")
        self.say("the streams are cut and the token is revoked; meanwhile there is a new Account, Sandhill Orchards")
        yield Until("its customer in QuickBooks", lambda: bool(self.org.record("Account", late)[_CUSTOMER]))

    # --- entering, expecting, judging --------------------------------------------------------------------------------

    def _put(self, entity: str, document: Document) -> Document:
        return self.intuit.put(REALM, entity, document)

    def _account_of(self, customer: Document) -> Document | None:
        return next((row for row in self.org.all_of("Account") if row[_CUSTOMER] == customer["Id"]), None)

    def _customer(self, number: str) -> Document:
        return next(row for row in self.intuit.companies[REALM].rows("Customer") if row["Id"] == number)

    def _stages(self) -> dict[str, str]:
        """The stage of each Opportunity, by the invoice that its name tells."""
        return {str(row["Name"]).partition(" - ")[0]: str(row["StageName"]) for row in self.org.all_of("Opportunity")}

    def _is_noted(self, order: str, status: str) -> bool:
        return str(self.org.record("Order", order)[_STATUS] or "").startswith(status)

    def _expect_order(self, order: str, done: str, amount: str) -> Expected:
        """The message about an order, in the thread of its first."""
        row = self.org.record("Order", order)
        party = self.org.record("Account", row["AccountId"])["Name"]
        text = f"Order {row['OrderNumber']} {done}: {party}" + (f", ${amount}" if amount else "")
        expected = self.stage.expect(Expected("orders", text, self._first.get(order)))
        self._first.setdefault(order, expected)
        return expected

    def _expect_entry(self, number: str, credits: dict[str, str]) -> None:
        """The entry of an order, and the message about it when QuickBooks tells of it."""
        sums = {account: Decimal(amount) for account, amount in credits.items()}
        total = sum(sums.values(), Decimal(0))
        self._entries[f"SF-{number}"] = {CLEARING: -total, **sums}
        self.stage.expect(Expected("ledger", f"Journal entry SF-{number} created: ${abs(total):,.2f}"))

    def _wrong_entries(self) -> list[str]:
        there = list(books.entries(self.intuit))
        found = [f"the entry {entry.number} is not balanced" for entry in there if not entry.is_balanced]
        found += [f"the entry {number} is there {count} times" for number, count in _repeated(there)]
        shown = {entry.number: entry.sums for entry in there}
        if shown != self._entries:
            found.append(f"the ledger holds {shown} instead of {self._entries}")
        return found

    def _wrong_records(self) -> list[str]:
        """Each customer is one Account and the other way round; each invoice is one Opportunity."""
        company = self.intuit.companies[REALM]
        customers = sorted((row["Id"], row["DisplayName"]) for row in company.rows("Customer"))
        accounts = sorted((str(row[_CUSTOMER]), str(row["Name"])) for row in self.org.all_of("Account"))
        found = [] if customers == accounts else [f"QuickBooks has {customers}, Salesforce {accounts}"]
        invoices = sorted((row["Id"], Decimal(row["TotalAmt"])) for row in company.rows("Invoice"))
        told = sorted((str(row["QBO_Invoice_Id__c"]), row["Amount"]) for row in self.org.all_of("Opportunity"))
        return found if invoices == told else [*found, f"QuickBooks has {invoices}, Salesforce {told}"]

    def _needless_writes(self) -> list[str]:
        """What was written more often than the changes needed."""
        here = Counter((write.entity, write.operation) for write in self.intuit.writes if write.realm == REALM)
        there = Counter(write.object for write in self.org.writes)
        wanted = {("Customer", "create"): 2, ("Customer", "update"): 1, ("JournalEntry", "create"): 3}
        # Accounts: one made, its allocation, two IDs, a city; orders: posted, refused, posted, reversed, one repeated.
        most = {"Account": 5, "Contact": 1, "Opportunity": 2, "OpportunityContactRole": 1, "Order": 5}
        found = [] if here == wanted else [f"QuickBooks was written to {dict(here)} instead of {wanted}"]
        return found if there <= Counter(most) else [*found, f"Salesforce was written to {dict(there)}, not {most}"]


def _repeated(entries: list[Entry]) -> list[tuple[str, int]]:
    return [(number, count) for number, count in Counter(entry.number for entry in entries).items() if count > 1]
