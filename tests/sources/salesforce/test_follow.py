"""What a state means after the one that was last told."""

from __future__ import annotations

import dataclasses
import datetime as dt
from decimal import Decimal
from typing import Any

import pytest

from connector.kernel.contracts import Ignored
from connector.kernel.events import Fact, FinancialEvent, Line, Money, Profile, Ref
from tests.sources.salesforce.org import SALESFORCE

DAY = dt.date(2026, 11, 20)
LINE = Line(
    description="Design work",
    amount=Money(Decimal("302.07"), "USD"),
    item=Ref("item", "01t", "Design"),
    department=Ref("department", "", "West"),
    quantity=Decimal(3),
    codes=("DES-1",),
)
ACTIVE = FinancialEvent(
    record="order",
    operation="updated",
    record_id="801",
    number="00000107",
    party=Ref("customer", "001", "Northwind", "58"),
    amount=Money(Decimal("302.07"), "USD"),
    day=DAY,
    status="Activated",
    lines=(LINE,),
)
DRAFT = dataclasses.replace(ACTIVE, status="Draft")
GONE = FinancialEvent("order", "deleted", "801", status="deleted")
PROFILE = Profile(name="Northwind", city="Austin")
CUSTOMER = FinancialEvent("customer", "updated", "001", party=Ref("customer", "001", "Northwind"), profile=PROFILE)


def as_(operation: str, event: FinancialEvent = ACTIVE, **changes: Any) -> FinancialEvent:
    return dataclasses.replace(event, operation=operation, **changes)


@pytest.mark.parametrize(
    ("event", "before", "wanted"),
    [
        (DRAFT, None, "a draft says nothing"),
        (as_("created", DRAFT), None, "a draft says nothing"),
        (ACTIVE, None, "created"),
        (as_("created"), None, "created"),
        (ACTIVE, as_("created"), "nothing that is told has changed"),
        (as_("updated", linked_id="9"), as_("created"), "only our own mark changed"),
        (as_("updated", amount=Money(Decimal("1"), "USD")), as_("created"), "updated"),
        (DRAFT, as_("created"), "voided"),
        (DRAFT, as_("updated"), "voided"),
        (dataclasses.replace(ACTIVE, status="Canceled"), as_("created"), "voided"),
        (DRAFT, as_("voided", DRAFT), "a draft says nothing"),
        (ACTIVE, as_("voided", DRAFT), "updated"),
        (ACTIVE, as_("voided"), "updated"),
        (ACTIVE, as_("deleted"), "updated"),
        (GONE, None, "an order that was never told is gone"),
        (GONE, as_("created"), "deleted"),
        (GONE, as_("voided", DRAFT), "deleted"),
        (GONE, as_("deleted"), "nothing that is told has changed"),
    ],
)
def test_the_life_of_an_order(event: FinancialEvent, before: FinancialEvent | None, wanted: str) -> None:
    found = SALESFORCE.follow(event, before)
    if isinstance(found, Ignored):
        assert found.reason == wanted
    else:
        assert found == dataclasses.replace(event, operation=wanted)


@pytest.mark.parametrize(
    ("changes", "is_news"),
    [
        ({"number": "2"}, True),
        ({"party": Ref("customer", "002", "Northwind", "58")}, True),
        ({"party": Ref("customer", "001", "Renamed", "59")}, False),
        ({"day": dt.date(2026, 11, 21)}, True),
        ({"facts": (Fact("Reduction order", "yes"),)}, True),
        ({"lines": ()}, True),
        ({"lines": (LINE, LINE)}, True),
        ({"lines": (dataclasses.replace(LINE, department=None),)}, True),
        ({"lines": (dataclasses.replace(LINE, class_=Ref("class", "", "Retail")),)}, True),
        ({"lines": (dataclasses.replace(LINE, quantity=Decimal(4)),)}, True),
        ({"lines": (dataclasses.replace(LINE, codes=("DES-2",)),)}, True),
        ({"lines": (dataclasses.replace(LINE, item=Ref("item", "01u", "Design")),)}, True),
        ({"lines": (dataclasses.replace(LINE, item=Ref("item", "01t", "Renamed"), description="x"),)}, False),
        ({"lines": (dataclasses.replace(LINE, quantity=Decimal("3.0")),)}, False),
        ({"link": "x", "occurred_at": dt.datetime(2026, 11, 20, tzinfo=dt.UTC)}, False),
    ],
)
def test_what_of_an_active_order_is_news(changes: dict[str, Any], is_news: bool) -> None:
    event = dataclasses.replace(ACTIVE, **changes)
    found = SALESFORCE.follow(event, as_("created"))
    assert found == (event if is_news else Ignored("nothing that is told has changed"))


def test_a_customer_is_told_in_whatever_state() -> None:
    for before in (None, CUSTOMER, as_("created", CUSTOMER), as_("deleted", CUSTOMER)):
        assert SALESFORCE.follow(CUSTOMER, before) == CUSTOMER
