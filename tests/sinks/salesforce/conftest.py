"""A stand-in org, the sink that writes there, and events as QuickBooks Online tells them."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from connector.kernel.contracts import Context, Link, Posting, Receipt, Secrets, Style
from connector.kernel.events import FinancialEvent, Money, Profile, Ref
from connector.kernel.http import Http
from sinks.salesforce.sink import SalesforceSink
from sources.salesforce.client import Client
from sources.salesforce.standin import SalesforceStandIn

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
)
AT = dt.datetime(2026, 11, 20, 18, 0, tzinfo=dt.UTC)
KEYS = {"client_id": "fake-client-id", "client_secret": "fake-client-secret"}


class World:
    """The org, the sink, and what one delivery of an event to it comes to."""

    def __init__(self, org: SalesforceStandIn) -> None:
        self.org = org
        self.sink = SalesforceSink()
        ctx = Context("acme-crm", "", {"instance_url": org.url}, {}, Secrets(KEYS), Http(seconds=5), org.now)
        self.ctx = dataclasses.replace(ctx, secrets=self.sink.refresh(ctx))
        Client(self.ctx).forget_describes()  # of an earlier org on the same port

    def posting(self, event: FinancialEvent, link: Link | None = None, **settings: Any) -> Posting:
        defaults = {field.name: field.default for field in self.sink.route_fields}
        message = self.sink.render(event, Style(settings=defaults | settings))
        return Posting("key", self.sink.target_of(event), message, link=link)

    def post(self, event: FinancialEvent, link: Link | None = None, **settings: Any) -> Receipt:
        return self.sink.post(self.ctx, self.posting(event, link, **settings))

    def one(self, entity: str) -> dict[str, Any]:
        """The only record of an object, its empty fields left out."""
        (row,) = self.org.all_of(entity)
        return {name: value for name, value in row.items() if value not in (None, "")}

    def written(self) -> list[tuple[str, dict[str, Any]]]:
        """What was written since this was last asked."""
        listed = [(write.object, dict(write.fields)) for write in self.org.writes]
        self.org.writes.clear()
        return listed


@pytest.fixture
def world() -> Iterator[World]:
    with SalesforceStandIn() as org:
        yield World(org)
        assert org.violations == []


def customer(operation: str = "created", profile: Profile = PROFILE, **changes: Any) -> FinancialEvent:
    event = FinancialEvent(
        record="customer",
        operation=operation,
        record_id="58",
        party=Ref("customer", "58", profile.name),
        profile=profile,
        occurred_at=AT,
    )
    return dataclasses.replace(event, **changes)


def invoice(operation: str = "created", **changes: Any) -> FinancialEvent:
    event = FinancialEvent(
        record="invoice",
        operation=operation,
        record_id="130",
        number="1037",
        party=Ref("customer", "58", "Northwind Bakery"),
        amount=Money(Decimal("362.07"), "USD"),
        balance=Money(Decimal("362.07"), "USD"),
        day=dt.date(2026, 11, 20),
        status="open",
        departments=(Ref("department", "2", "West"),),
        classes=(Ref("class", "7", "Sales:Retail"),),
        occurred_at=AT,
    )
    return dataclasses.replace(event, **changes)
