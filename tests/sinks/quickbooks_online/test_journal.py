"""Any order: a balanced entry equal to an independent sum, whose reversal nets to zero. No wire."""

from __future__ import annotations

import dataclasses
import datetime as dt
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.kernel.events import FinancialEvent, Line, Money, Ref
from connector.kernel.values import parse_json
from sinks.quickbooks_online import journal
from sinks.quickbooks_online.books import Books, Entry
from sinks.quickbooks_online.writing import encode

from .conftest import NOW, order

DAY = dt.date(2026, 11, 5)
CUSTOMER = Entry("58", "Northwind Bakery", currency="USD")
BOOKS = Books(
    lists={
        "Account": {each: Entry(each, f"Account {each}") for each in ("82", "79", "91")},
        "Item": {
            "5": Entry("5", "Design", sku="D", account="82"),
            "6": Entry("6", "Goods:Pump", short_name="Pump", account="79"),
        },
        "Department": {"2": Entry("2", "West"), "3": Entry("3", "East")},
        "Class": {},
    },
    home_currency="USD",
    is_multicurrency=False,
    closed_until=None,
    as_of=NOW,
    asked_at=NOW,
    read_at=NOW,
)
INCOME = {"D": "82", "pump": "79"}
AMOUNTS = st.decimals(min_value=-100000, max_value=100000, places=4)


@st.composite
def orders(draw: st.DrawFn) -> FinancialEvent:
    lines = [
        Line(amount=Money(amount, "USD"), codes=(code,), department=Ref("department", "", place) if place else None)
        for amount, code, place in draw(
            st.lists(
                st.tuples(AMOUNTS, st.sampled_from(sorted(INCOME)), st.sampled_from(["", "West", "east"])), min_size=1
            )
        )
    ]
    total = sum((line.amount.amount for line in lines if line.amount), Decimal(0)).quantize(Decimal("0.01"))
    return order("created", *lines, amount=Money(total, "USD"))


def totals(lines: Iterable[Mapping[str, Any]]) -> Counter[str]:
    """Cents on each account, debits positive."""
    found: Counter[str] = Counter()
    for line in lines:
        cents = Decimal(line["Amount"]) * 100
        assert cents > 0
        assert cents == int(cents)
        detail = line[journal.DETAIL]
        found[detail["AccountRef"]["value"]] += int(cents) if detail["PostingType"] == "Debit" else -int(cents)
    return found


@given(orders())
def test_every_order_is_balanced_and_equal_to_an_independent_sum(event: FinancialEvent) -> None:
    drafted = journal.draft(event, {"debit_account": "91"}, BOOKS, CUSTOMER, [DAY])
    expected: Counter[str] = Counter()
    for line in event.lines:
        assert line.amount is not None
        expected[INCOME[line.codes[0]]] -= int((line.amount.amount * 100).quantize(Decimal(1), ROUND_HALF_UP))
    sum_of_lines = sum(expected.values())
    assert drafted.reasons == ()
    if not sum_of_lines:
        assert drafted.lines == ()
        return
    expected["91"] = -sum_of_lines
    written = parse_json(encode({"Line": drafted.lines}))
    found = totals(written["Line"])
    assert sum(found.values()) == 0
    assert {account: cents for account, cents in found.items() if cents} == {
        account: cents for account, cents in expected.items() if cents
    }
    found.update(totals(journal.reversal_lines(written)))
    assert not any(found.values())


@pytest.mark.parametrize(
    ("number", "version", "is_reversal", "expected"),
    [
        ("00000107", 1, False, "SF-00000107"),
        ("00000107", 1, True, "SF-00000107-R"),
        ("00000107", 12, True, "SF-00000107-12-R"),
        ("1234567890123456", 2, False, "SF-3456d7b7a607-2"),
        ("", 1, False, "SF-d7b7a607"),
    ],
)
def test_numbers_fit_and_tell_the_version(number: str, version: int, is_reversal: bool, expected: str) -> None:
    base = journal.number_of(order(number=number))
    assert journal.version_number(base, version, is_reversal=is_reversal) == expected


@given(st.text(max_size=40), st.integers(1, 99))
def test_no_number_is_longer_than_quickbooks_takes(number: str, version: int) -> None:
    base = journal.number_of(order(number=number))
    assert len(journal.version_number(base, version, is_reversal=True)) <= 21


def test_the_fingerprint_is_that_of_what_is_booked() -> None:
    plain = journal.fingerprint(order())
    renamed = dataclasses.replace(order().lines[0], description="other words")
    assert journal.fingerprint(order("updated", renamed, order().lines[1], link="x", status="y")) == plain
    dearer = dataclasses.replace(order().lines[0], amount=Money(Decimal("302.08"), "USD"))
    assert journal.fingerprint(order("created", dearer, order().lines[1])) != plain
    assert journal.fingerprint(order(day=dt.date(2026, 11, 6))) != plain
    assert journal.noted_fingerprint(journal.note(order())) == plain
    assert journal.noted_fingerprint("somebody's own words") == ""


@pytest.mark.parametrize(
    ("items", "codes", "expected"),
    [
        ([("1", "A", "x", True)], ("a",), "1"),
        ([("1", "", "Goods:Pump", True)], ("pump",), "1"),
        ([("1", "", "Goods:Pump", True)], ("goods:pump",), "1"),
        ([("1", "sku", "x", True), ("2", "code", "y", True)], ("sku", "code"), "1"),
        ([("1", "sku", "x", False), ("2", "code", "y", True)], ("sku", "code"), "2"),
        ([("1", "", "sku", True)], ("sku", "code"), "no item in QuickBooks has"),
        ([("1", "sku", "x", False)], ("sku",), "its item in QuickBooks \\(1\\) is inactive"),
        ([("1", "sku", "x", True), ("2", "sku", "y", True)], ("sku",), "several items .* \\(1, 2\\)"),
    ],
)
def test_how_an_item_is_found(items: list[tuple[str, str, str, bool]], codes: tuple[str, ...], expected: str) -> None:
    listed = {
        number: Entry(number, name, name.split(":")[-1], is_active, sku=sku, account="82")
        for number, sku, name, is_active in items
    }
    books = dataclasses.replace(BOOKS, lists={**BOOKS.lists, "Item": listed})
    event = order("created", Line(amount=Money(Decimal(1), "USD"), codes=codes))
    drafted = journal.draft(event, {"debit_account": "91"}, books, CUSTOMER, [DAY])
    if expected.isdecimal():
        assert drafted.reasons == ()
        assert drafted.lines[1]["Description"] == listed[expected].name
    else:
        (reason,) = drafted.reasons
        assert re.search(expected, reason)
