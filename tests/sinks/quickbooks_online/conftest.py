"""A company in the stand-in with its lists, and the sink that writes there."""

from __future__ import annotations

import dataclasses
import datetime as dt
import itertools
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from connector.kernel.contracts import Context, Link, Posting, Receipt, Secrets, Style
from connector.kernel.events import FinancialEvent, Line, Money, Profile, Ref
from connector.kernel.http import Http
from sinks.quickbooks_online.sink import QuickBooksOnlineSink
from sources.quickbooks_online.standin import IntuitStandIn

ACCOUNT = "001Sm00000Acct1IAA"
ORDER = "801Sm00000Ordr1IAA"
NOW = dt.datetime(2026, 11, 20, 18, 0, tzinfo=dt.UTC)
SETTINGS = {"debit_account": "91", "credit_account": "", "create_customers": "all"}
PROFILE = Profile(
    name="Northwind Bakery",
    given_name="Ann",
    family_name="Lee",
    email="ann@northwind.example",
    phone="555-0100",
    street="1 Main St\nSuite 2",
    city="Austin",
    region="TX",
    postal_code="78701",
    country="USA",
    currency="USD",
    kind="Customer - Direct",
)
_realms = itertools.count(9130350000001000)


class Books:
    """The stand-in's company, the sink, and what one delivery of an event to it comes to."""

    def __init__(self, intuit: IntuitStandIn) -> None:
        self.intuit = intuit
        self.realm = str(next(_realms))
        self.company = intuit.add_company(self.realm, "Larry's Bakery")
        self.sink = QuickBooksOnlineSink()
        self.now = NOW
        intuit.now = lambda: self.now
        self.token = intuit.issue_tokens(self.realm)["access_token"]
        for number, name, kind in (
            ("91", "Order Clearing", "Other Current Asset"),
            ("82", "Design income", "Income"),
            ("79", "Sales of Product Income", "Income"),
            ("84", "Accounts Receivable (A/R)", "Accounts Receivable"),
        ):
            self.put("Account", Id=number, Name=name, FullyQualifiedName=name, AccountType=kind)
        self.put("Item", Id="5", Name="Design", Sku="", IncomeAccountRef={"value": "82"}, Type="Service")
        self.put("Item", Id="6", Name="Pump", Sku="SKU-2", IncomeAccountRef={"value": "79"}, Type="Inventory")
        self.put("Department", Id="2", Name="West", FullyQualifiedName="West")
        self.put("Class", Id="7", Name="Retail", FullyQualifiedName="Sales:Retail")
        self.put("Customer", Id="58", DisplayName="Northwind Bakery", CurrencyRef={"value": "USD"})

    def put(self, entity: str, **document: Any) -> None:
        self.intuit.put(self.realm, entity, document)

    @property
    def ctx(self) -> Context:
        return Context(
            connection="acme-books",
            account=self.realm,
            settings={},
            app={"api_url": self.intuit.url},
            secrets=Secrets({"access_token": self.token}),
            http=Http(seconds=5.0),
            now=lambda: self.now,
            timezone="America/Chicago",
        )

    def posting(self, event: FinancialEvent, link: Link | None = None, **settings: Any) -> Posting:
        style = Style(settings=SETTINGS | settings)
        return Posting("key", self.sink.target_of(event), self.sink.render(event, style), link=link)

    def post(self, event: FinancialEvent, link: Link | None = None, **settings: Any) -> Receipt:
        return self.sink.post(self.ctx, self.posting(event, link, **settings))

    def look(self, event: FinancialEvent, link: Link | None = None, **settings: Any) -> Receipt | None:
        return self.sink.reconcile(self.ctx, self.posting(event, link, **settings), self.now)

    def entries(self) -> dict[str, dict[str, Any]]:
        """The journal entries by number; a number used twice is an error."""
        rows = self.company.rows("JournalEntry")
        found = {row["DocNumber"]: row for row in rows}
        assert len(found) == len(rows)
        return found

    def balances(self) -> dict[str, Decimal]:
        """What stands on each account, debits positive; accounts at zero are left out."""
        totals: dict[str, Decimal] = {}
        for entry in self.company.rows("JournalEntry"):
            for line in entry["Line"]:
                detail = line["JournalEntryLineDetail"]
                sign = 1 if detail["PostingType"] == "Debit" else -1
                number = detail["AccountRef"]["value"]
                totals[number] = totals.get(number, Decimal(0)) + sign * Decimal(line["Amount"])
        return {number: total for number, total in totals.items() if total}


@pytest.fixture
def books() -> Iterator[Books]:
    with IntuitStandIn() as server:
        server.enforce_limits = False
        yield Books(server)
        assert server.violations == []


def money(amount: str, currency: str = "USD") -> Money:
    return Money(Decimal(amount), currency)


def line(amount: str, *codes: str, **more: Any) -> Line:
    return Line(amount=money(amount), codes=codes, **more)


LINES = (
    line("302.065", "Design", description="Design hours", department=Ref("department", "", "West")),
    line("60", "SKU-2", "PUMP", class_=Ref("class", "", "sales:retail"), department=Ref("department", "", "West")),
)


def order(operation: str = "created", *lines: Line, **changes: Any) -> FinancialEvent:
    lines = lines or LINES
    total = sum((each.amount.amount for each in lines if each.amount), Decimal(0))
    event = FinancialEvent(
        record="order",
        operation=operation,
        record_id=ORDER,
        number="00000107",
        party=Ref("customer", ACCOUNT, "Northwind Bakery", "58"),
        amount=Money(total, "USD"),
        day=dt.date(2026, 11, 5),
        status="Activated",
        lines=lines,
        occurred_at=NOW,
    )
    return dataclasses.replace(event, **changes)


def customer(operation: str = "created", profile: Profile = PROFILE, **changes: Any) -> FinancialEvent:
    event = FinancialEvent(
        record="customer",
        operation=operation,
        record_id=ACCOUNT,
        party=Ref("customer", ACCOUNT, profile.name),
        profile=profile,
        occurred_at=NOW,
    )
    return dataclasses.replace(event, **changes)
