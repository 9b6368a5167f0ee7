"""FreshBooks' objects as events: sample records as whole values, and the oddities of the wire."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from connector.kernel.contracts import Notice, Record
from connector.kernel.events import Fact, FinancialEvent, Line, Money, Ref, Settled
from connector.kernel.values import BadValue
from sources.freshbooks.documents import gone, record_of
from sources.freshbooks.entities import BILL, BY_RECORD, CATEGORY, CLIENT, EXPENSE, INVOICE, PAYMENT, VENDOR
from sources.freshbooks.mapping import references, to_event
from sources.freshbooks.names import name_in

FIXTURES = Path(__file__).parent / "fixtures"


def sample(name: str, key: str) -> Any:
    return json.loads((FIXTURES / f"{name}.json").read_text())["response"]["result"][key]


def event(entity: Any, row: Any, operation: str = "updated", **names: str) -> FinancialEvent:
    def look(kind: str, ref_id: str, fallback: str) -> str:
        return fallback or names.get(kind, "")

    return to_event(record_of(entity, row), Notice("A", operation=operation), look, account="A", links={})


def cad(text: str) -> Money:
    return Money(Decimal(text), "CAD")


def test_a_bill_with_a_payment_whose_figures_disagree() -> None:
    row = sample("bill_unpaid", "bill")
    row["bill_payments"].append({**sample("bill_payment", "bill_payment"), "vis_state": 1})
    equipment = Ref("account", "3696445", "Equipment")
    assert event(BILL, row, "created") == FinancialEvent(
        record="bill",
        operation="created",
        record_id="43221133",
        number="BN101",
        party=Ref("vendor", "1234413", "IKEA"),
        amount=cad("1500.00"),
        balance=cad("2500.00"),
        day=dt.date(2021, 9, 1),
        due=dt.date(2021, 9, 1),
        status="unpaid",
        memo="Raw material",
        lines=(Line("Raw material", cad("1500.00"), equipment, quantity=Decimal(10)),),
        facts=(Fact("Payment 2021-09-01", "Check", cad("1500.00")),),
        accounts=(equipment,),
        link="https://my.freshbooks.com/#/bills",
        occurred_at=dt.datetime(2021, 9, 1, 15, 30, 29, tzinfo=dt.UTC),
    )


def test_a_payment_names_its_client_and_invoice() -> None:
    row = sample("payment_check", "payment")
    assert references(record_of(PAYMENT, row)) == [Ref("invoice", "987654"), Ref("customer", "12345")]
    assert event(PAYMENT, row, "created", invoice="ACM0002", customer="American Cyanamid") == FinancialEvent(
        record="payment",
        operation="created",
        record_id="235435",
        party=Ref("customer", "12345", "American Cyanamid"),
        amount=cad("41.94"),
        day=dt.date(2021, 4, 16),
        memo="Some note",
        settles=(Settled("invoice", "987654", "ACM0002", cad("41.94")),),
        facts=(Fact("Method", "Check"),),
        link="https://my.freshbooks.com/#/invoice/A-987654",
        occurred_at=dt.datetime(2021, 4, 17, 9, 29, 31, tzinfo=dt.UTC),
    )


def test_names_of_samples() -> None:
    assert name_in(CLIENT, sample("client", "client")) == "American Cyanamid"
    assert name_in(CLIENT, {**sample("client", "client"), "organization": ""}) == "Gordon Shumway"
    assert name_in(CLIENT, {"email": "gordon@example.com"}) == "gordon@example.com"
    assert name_in(VENDOR, sample("bill_vendor", "bill_vendor")) == "IKEA"
    assert name_in(CATEGORY, sample("expense_category", "category")) == "Airfare"


@pytest.mark.parametrize(
    ("amount", "expected"),
    [
        ({"amount": "1222.00", "code": "USD"}, Money(Decimal("1222.00"), "USD")),
        ({"amount": 10, "code": "CAD"}, Money(Decimal(10), "CAD")),
        ({"amount": Decimal("10.50"), "code": "CAD"}, Money(Decimal("10.50"), "CAD")),
        ({"amount": "-7.60133524082021936099189318"}, Money(Decimal("-7.60133524082021936099189318"), "EUR")),
        ({"amount": None, "code": "CAD"}, None),
        ([], None),
    ],
)
def test_money_as_text_number_or_nothing(amount: Any, expected: Money | None) -> None:
    assert event(INVOICE, {"id": 1, "amount": amount, "currency_code": "EUR"}).amount == expected


def test_money_that_is_none_is_refused() -> None:
    with pytest.raises(BadValue, match=r"^amount is not an amount$"):
        event(INVOICE, {"id": 1, "amount": {"amount": "a lot", "code": "USD"}})


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"v3_status": "overdue", "status": 2}, "overdue"),
        ({"v3_status": "autopaid"}, "paid"),
        ({"v3_status": "deposit_partial"}, "deposit-partial"),
        ({"v3_status": "something new"}, "something new"),
        ({"status": 8}, "partial"),
        ({"status": "4"}, "paid"),
        ({"display_status": "viewed"}, "viewed"),
        ({"payment_status": "auto-paid"}, "paid"),
        ({}, ""),
    ],
)
def test_states_of_an_invoice(fields: dict[str, Any], status: str) -> None:
    assert event(INVOICE, {"id": 1, **fields}).status == status


@pytest.mark.parametrize(
    ("fields", "status", "is_internal"),
    [
        ({"status": 0, "clientid": 0}, "internal", True),
        ({"status": 0, "clientid": None}, "internal", True),
        ({"status": 0, "clientid": 5}, "internal", False),
        ({"status": 1, "clientid": 5}, "outstanding", False),
        ({"status": 2}, "invoiced", False),
        ({"status": 4}, "recouped", False),
        ({"status": 9}, "9", False),
    ],
)
def test_states_of_an_expense(fields: dict[str, Any], status: str, is_internal: bool) -> None:
    found = event(EXPENSE, {"id": 1, **fields})
    assert (found.status, found.is_internal) == (status, is_internal)


def test_deleted_archived_and_gone() -> None:
    assert event(INVOICE, {"id": 1, "vis_state": 1, "v3_status": "paid"}, "updated").type == "invoice.deleted"
    assert event(INVOICE, {"id": 1, "vis_state": 0}, "deleted").type == "invoice.updated"
    archived = event(BILL, {"id": 1, "vis_state": 2, "status": "paid"})
    assert (archived.type, archived.status, archived.facts) == ("bill.updated", "paid", (Fact("Archived", "yes"),))
    hints = {"amount": "lots", "currency": "USD", "vendor_name": "IKEA"}
    left = to_event(gone(BILL, "7", hints), Notice("A"), lambda *_: "", account="A", links={})
    assert left == FinancialEvent("bill", "deleted", "7", party=Ref("vendor", "", "IKEA"), status="deleted")


@pytest.mark.parametrize(
    ("entity", "fields", "expected"),
    [
        (INVOICE, {"updated": "2021-07-16 10:31:58"}, dt.datetime(2021, 7, 16, 14, 31, 58, tzinfo=dt.UTC)),
        (INVOICE, {"updated": "2021-01-16 10:31:58"}, dt.datetime(2021, 1, 16, 15, 31, 58, tzinfo=dt.UTC)),
        (INVOICE, {"updated": "2021-07-16T10:31:58Z"}, dt.datetime(2021, 7, 16, 10, 31, 58, tzinfo=dt.UTC)),
        (INVOICE, {"updated": "2021-07-16T10:31:58"}, dt.datetime(2021, 7, 16, 10, 31, 58, tzinfo=dt.UTC)),
        (BILL, {"updated_at": "2021-07-16 10:31:58"}, dt.datetime(2021, 7, 16, 10, 31, 58, tzinfo=dt.UTC)),
        (EXPENSE, {}, None),
    ],
)
def test_times_are_eastern_or_utc(entity: Any, fields: dict[str, str], expected: dt.datetime | None) -> None:
    assert record_of(entity, {"id": 1, **fields}).updated_at == expected


def test_the_version_orders_by_time_and_tells_states_apart() -> None:
    def version(**fields: Any) -> tuple[int, str]:
        return record_of(INVOICE, {"id": 1, "updated": "2021-04-16 10:31:58", **fields}).version

    number, stamp = version()
    assert number == 1_618_583_518_000_000 and stamp.startswith("#") and len(stamp) == 17
    assert version(version="2021-04-16 10:31:58.480684")[0] == number + 480_684
    assert version(v3_status="paid") != version() == version(presentation={"x": 1})


def test_an_object_without_an_id_is_refused() -> None:
    for row in ({}, {"id": None}, [], {"id": True}):
        with pytest.raises(BadValue):
            record_of(INVOICE, row)
    assert isinstance(record_of(BY_RECORD["expense"], {"expenseid": "7"}), Record)
