"""Records of QuickBooks Desktop as financial events, from the vendor's samples."""

from __future__ import annotations

import dataclasses
import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from connector.kernel.contracts import Notice, Record
from connector.kernel.events import Fact, FinancialEvent, Line, Money, Ref, Settled, from_json, to_json
from connector.kernel.values import BadValue
from sources.quickbooks_desktop import mapping, qbxml, records
from sources.quickbooks_desktop.currencies import code_of

FIXTURES = Path(__file__).parent / "fixtures" / "qbxml" / "responses"
ORIGIN = records.Origin("{file}", ZoneInfo("America/Los_Angeles"), "cycle-1", "1-X", "2026-11-19T06:00:00")
TODAY = dt.date(2026, 11, 20)
CASCADE = Ref("vendor", "80000042-1763401325", "Cascade Paper Co.")
WILLAMETTE = Ref("customer", "80000061-1735829000", "Willamette Dental Group")
PAYABLE = Ref("account", "80000019-1735743600", "Accounts Payable")


def read(name: str, *told: tuple[str, str]) -> list[tuple[Notice, Record]]:
    answers = qbxml.parse((FIXTURES / f"{name}.xml").read_text(encoding="utf-8"))
    return list(records.read(answers, ORIGIN, lambda wanted: frozenset(told))[0].records)


def mapped(name: str, index: int = 0, *told: tuple[str, str]) -> FinancialEvent:
    notice, record = read(name, *told)[index]
    event = event_of(record, notice)
    assert from_json(FinancialEvent, to_json(event)) == event
    return event


def event_of(record: Record, notice: Notice, *, home: str = "USD") -> FinancialEvent:
    return mapping.to_event(record, notice, lambda kind, record_id, name: name, home_currency=home, today=TODAY)


def changed(name: str, index: int = 0, **fields: Any) -> FinancialEvent:
    """The event of a sample record with other fields."""
    notice, record = read(name)[index]
    ((row, document),) = record.body.items()
    return event_of(dataclasses.replace(record, body={row: {**document, **fields}}), notice)


def usd(text: str) -> Money:
    return Money(Decimal(text), "USD")


def at(hour: int, minute: int, second: int) -> dt.datetime:
    return dt.datetime(2026, 11, 19, hour, minute, second, tzinfo=dt.UTC)


def test_vendors() -> None:
    assert mapped("VendorQuery.new_and_modified") == FinancialEvent(
        "vendor",
        "created",
        "80000044-1795100531",
        party=Ref("vendor", "80000044-1795100531", "Umpqua Print & Sign"),
        balance=usd("0.00"),
        facts=(Fact("Email", "ap@umpqua.example"), Fact("Phone", "541-555-0144"), Fact("Terms", "Net 30")),
        occurred_at=at(15, 2, 11),
    )
    assert mapped("VendorQuery.new_and_modified", 1) == FinancialEvent(
        "vendor",
        "updated",
        "80000042-1763401325",
        party=CASCADE,
        balance=usd("1380.70"),
        facts=(
            Fact("Company", "Cascade Paper Company"),
            Fact("Email", "billing@cascadepaper.example"),
            Fact("Phone", "503-555-0119"),
            Fact("Terms", "Net 30"),
            Fact("Address", "1400 River Rd, Salem, OR, 97301"),
        ),
        occurred_at=at(14, 55, 12),
    )
    inactive = changed("VendorQuery.new_and_modified", IsActive="false")
    assert (inactive.operation, inactive.status) == ("deleted", "inactive")


def test_bills() -> None:
    assert mapped("BillQuery.page1") == FinancialEvent(
        "bill",
        "created",
        "2F1A-1795097525",
        number="CP-10442",
        party=CASCADE,
        amount=usd("1284.50"),
        balance=usd("1284.50"),
        day=dt.date(2026, 11, 18),
        due=dt.date(2026, 12, 18),
        status="open",
        memo="November paper stock",
        lines=(Line("40 cartons", usd("1284.50"), account=Ref("account", "80000021-1735743600", "Office Supplies")),),
        facts=(Fact("Terms", "Net 30"),),
        accounts=(Ref("account", "80000021-1735743600", "Office Supplies"), PAYABLE),
        occurred_at=at(14, 12, 5),
    )
    freight = Ref("item", "80000031-1735743600", "Freight:Inbound")
    assert mapped("BillQuery.page1", 1).lines == (
        Line("Inbound freight, 2 pallets", usd("310.00"), item=freight, quantity=Decimal(2)),
    )
    paid = mapped("BillQuery.page2")
    assert (paid.operation, paid.status, paid.balance) == ("updated", "paid", usd("0.00"))


def test_purchase_orders() -> None:
    event = mapped("PurchaseOrderQuery")
    assert (event.type, event.number, event.party, event.amount, event.due, event.status, event.memo) == (
        "purchase_order.created", "PO-3107", CASCADE, usd("842.00"), dt.date(2026, 12, 1), "open",
        "Restock before year end",
    )  # fmt: skip
    assert [(line.item.name, line.quantity, line.amount) for line in event.lines if line.item] == [
        ("Paper:A4-80", Decimal(100), usd("725.00")),
        ("Paper:A3-80", Decimal(9), usd("117.00")),
    ]
    assert changed("PurchaseOrderQuery", IsFullyReceived="true").status == "received"
    assert changed("PurchaseOrderQuery", IsManuallyClosed="true").status == "closed"


def test_payments_say_what_they_settle() -> None:
    assert mapped("BillPaymentCheckQuery") == FinancialEvent(
        "bill_payment",
        "created",
        "2F30-1795103910",
        number="5502",
        party=CASCADE,
        amount=usd("96.20"),
        day=dt.date(2026, 11, 19),
        memo="NW-2291",
        settles=(Settled("bill", "2EF0-1795042929", "CP-10431", usd("96.20")),),
        facts=(Fact("Paid from", "Checking"), Fact("Method", "Check")),
        accounts=(Ref("account", "80000011-1735743600", "Checking"), PAYABLE),
        occurred_at=at(15, 58, 30),
    )
    card = mapped("BillPaymentCreditCardQuery")
    assert card.facts == (Fact("Paid from", "Company Visa"), Fact("Method", "Credit card"))
    assert card.settles == (Settled("bill", "2F21-1795099251", "88213", usd("310.00")),)
    received = mapped("ReceivePaymentQuery")
    assert (received.type, received.number, received.party, received.amount) == (
        "payment.created", "20441", WILLAMETTE, usd("2450.00"),
    )  # fmt: skip
    assert received.settles == (Settled("invoice", "2E11-1794601200", "INV-2217", usd("2450.00")),)
    assert received.facts == (Fact("Deposited to", "Undeposited Funds"), Fact("Method", "Check"))


def test_invoices_have_the_total_that_no_element_says() -> None:
    event = changed("InvoiceQuery", SalesTaxTotal="96.00", BalanceRemaining="1296.00")
    assert (event.number, event.amount, event.balance, event.status) == (
        "INV-2230", usd("1296.00"), usd("1296.00"), "open",
    )  # fmt: skip
    assert Fact("Tax", money=usd("96.00")) in event.facts


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"IsPaid": "true"}, "paid"),
        ({"OpenAmount": "0.00"}, "paid"),
        ({"OpenAmount": "5.00"}, "partly paid"),
        ({"DueDate": "2026-11-19"}, "overdue"),
        ({"DueDate": ""}, "open"),
        ({"AmountDue": "0.00"}, ""),
    ],
)
def test_where_a_bill_stands(fields: dict[str, str], status: str) -> None:
    assert changed("BillQuery.page1", **fields).status == status


def test_voids_and_deletions() -> None:
    void = changed("BillQuery.page1", AmountDue="0.00", Memo="VOID: duplicate")
    assert (void.operation, void.status) == ("voided", "voided")
    assert changed("BillQuery.page1", AmountDue="0.00", Memo="nothing").operation == "created"
    assert mapped("TxnDeletedQuery") == FinancialEvent(
        "bill", "deleted", "2EE4-1795046400", number="CP-10425", status="deleted", occurred_at=at(15, 15, 0)
    )
    vendor = Ref("vendor", "8000003F-1763300000", "Test Vendor (do not use)")
    assert mapped("ListDeletedQuery") == FinancialEvent(
        "vendor", "deleted", "8000003F-1763300000", party=vendor, status="deleted", occurred_at=at(15, 16, 30)
    )


def test_new_against_changed() -> None:
    assert [notice.operation for notice, _ in read("BillQuery.page1")] == ["created", "created"]
    assert [notice.operation for notice, _ in read("BillQuery.page2")] == ["updated"]
    told = read("BillQuery.page1", ("bill", "2F1A-1795097525"))
    assert [notice.operation for notice, _ in told] == ["updated", "created"]


def test_keys_and_versions() -> None:
    (notice, record), _ = read("BillQuery.page1")
    assert notice.change_key == "Bill|2F1A-1795097525|1795097525"
    assert notice.raw == '{"cycle": "cycle-1", "request": "1-X"}'
    assert record.version == (1795097525, "00000000001795097525")
    ((deleted, gone),) = read("TxnDeletedQuery")
    assert deleted.change_key == "Bill|2EE4-1795046400|deleted:2026-11-19T07:15:00"
    assert (gone.is_gone, gone.version) == (True, (0, ""))


def test_currencies() -> None:
    event = changed(
        "BillQuery.page1",
        CurrencyRef={"FullName": "Euro"},
        ExchangeRate="1.0800",
        AmountDueInHomeCurrency="1387.26",
    )
    assert event.amount == Money(Decimal("1284.50"), "EUR")
    assert event.facts[1:] == (Fact("Exchange rate", "1.08"), Fact("Home total", money=usd("1387.26")))
    names = (
        "US Dollar",
        "Canadian Dollar",
        "British Pound Sterling",
        "Swiss Franc",
        "Japanese Yen",
        "chf",
        "Moon Coin",
    )
    assert [code_of(name) for name in names] == ["USD", "CAD", "GBP", "CHF", "JPY", "CHF", "Moon Coin"]


@pytest.mark.parametrize("fields", [{"AmountDue": "12,50"}, {"TxnDate": "soon"}, {"IsPaid": "perhaps"}])
def test_what_cannot_be_read_is_said_by_its_path(fields: dict[str, str]) -> None:
    with pytest.raises(BadValue, match=next(iter(fields))) as caught:
        changed("BillQuery.page1", **fields)
    assert next(iter(fields.values())) not in str(caught.value)
