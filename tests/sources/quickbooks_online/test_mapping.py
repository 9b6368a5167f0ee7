"""Documents to financial events: every sample written out whole, and the states that decide an operation."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.kernel.contracts import Notice, Record
from connector.kernel.events import Fact, FinancialEvent, Line, Money, Profile, Ref, Settled, from_json, to_json
from connector.kernel.values import BadValue
from sources.quickbooks_online.lines import read_lines
from sources.quickbooks_online.scope import Scope
from sources.quickbooks_online.source import QuickBooksOnline

from .wire import FIXTURES, NOW, REALM, context, entity

SOURCE = QuickBooksOnline()
APP = "https://app.sandbox.qbo.intuit.com/app/"
AT = dt.datetime(2026, 11, 19, 8, 30, tzinfo=dt.UTC)
#: The name directory: what the company's lists say, and one override by a person.
DIRECTORY = {
    ("company", "home_currency"): "USD",
    ("company", "name"): "Larry's Bakery",
    ("account", "4"): "Undeposited Funds",
    ("account", "35"): "Operating account",
    ("account", "79"): "Sales of Product Income",
    ("account", "81"): "Inventory Asset",
    ("item:income_account", "5"): "79",
    ("item:income_account", "11"): "79",
    ("item:expense_account", "11"): "80",
    ("item:asset_account", "11"): "81",
    ("vendor", "46"): "Old Lumber",
}
COMPANY = Fact("Company", "Larry's Bakery")
UNCHANGED: Mapping[str, Any] = {}


def names(kind: str, ref_id: str, fallback: str) -> str:
    return DIRECTORY.get((kind, ref_id), fallback)


def event_of(record: str, document: Mapping[str, Any], operation: str = "updated", raw: str = "") -> FinancialEvent:
    told = Notice(REALM, record, str(document["Id"]), operation, AT, raw=raw)
    return SOURCE.to_event(context(), told, Record(record, told.record_id, document), names)


def usd(amount: str) -> Money:
    return Money(Decimal(amount), "USD")


def gbp(amount: str) -> Money:
    return Money(Decimal(amount), "GBP")


def account(number: str, name: str) -> Ref:
    return Ref("account", number, name)


def item(number: str, name: str) -> Ref:
    return Ref("item", number, name)


PAYABLE = account("33", "Accounts Payable (A/P)")
DECKS = account("64", "Job Expenses:Job Materials:Decks and Patios")
SALES = account("79", "Sales of Product Income")
DESIGN_INCOME = account("82", "Design income")
MARKETING = Ref("department", "2", "Marketing Department")
FRANCE = Ref("class", "5000000000000007280", "France")
AMY = Ref("customer", "1", "Amy's Bird Sanctuary")

FOUNTAINS = FinancialEvent(
    record="invoice",
    operation="updated",
    record_id="130",
    number="1037",
    party=Ref("customer", "24", "Sonnenschein Family Store"),
    amount=usd("362.07"),
    balance=usd("362.07"),
    day=dt.date(2014, 9, 19),
    due=dt.date(2014, 10, 19),
    status="overdue",
    lines=(
        Line("Rock Fountain", usd("275.0"), account=SALES, item=item("5", "Rock Fountain"), quantity=Decimal(1)),
        Line("Fountain Pump", usd("12.75"), account=SALES, item=item("11", "Pump"), quantity=Decimal(1)),
        Line("Concrete for fountain installation", usd("47.5"), item=item("3", "Concrete"), quantity=Decimal(5)),
    ),
    facts=(
        Fact("Customer memo", "Thank you for your business and have a great day!"),
        Fact("Tax", money=usd("26.82")),
        COMPANY,
    ),
    accounts=(SALES,),
    link=f"{APP}invoice?txnId=130",
    occurred_at=AT,
)

EXPECTED: dict[str, FinancialEvent] = {
    "bill_paid": FinancialEvent(
        record="bill",
        operation="updated",
        record_id="25",
        party=Ref("vendor", "46", "Old Lumber"),
        amount=usd("103.55"),
        balance=usd("0"),
        day=dt.date(2014, 11, 6),
        due=dt.date(2014, 12, 6),
        status="paid",
        lines=(Line("Lumber", usd("103.55"), account=DECKS, entity=Ref("customer", "26", "Travis Waldron")),),
        facts=(COMPANY,),
        accounts=(DECKS, PAYABLE),
        link=f"{APP}bill?txnId=25",
        occurred_at=AT,
    ),
    "bill_open_department_class": FinancialEvent(
        record="bill",
        operation="updated",
        record_id="301",
        number="INV-7731",
        party=Ref("vendor", "30", "Books by Bessie"),
        amount=usd("1240.5"),
        balance=usd("1240.5"),
        day=dt.date(2026, 11, 3),
        due=dt.date(2026, 12, 3),
        status="open",
        memo="Q4 trade show",
        lines=(
            Line("Booth hire", usd("1000.0"), account=account("7", "Advertising"), class_=FRANCE),
            Line(
                "Fountain Pump",
                usd("240.5"),
                account=account("81", "Inventory Asset"),
                item=item("11", "Pump"),
                quantity=Decimal(10),
            ),
        ),
        facts=(Fact("Terms", "Net 30"), COMPANY),
        departments=(MARKETING,),
        classes=(FRANCE,),
        accounts=(account("7", "Advertising"), account("81", "Inventory Asset"), PAYABLE),
        link=f"{APP}bill?txnId=301",
        occurred_at=AT,
    ),
    "billpayment_check": FinancialEvent(
        record="bill_payment",
        operation="updated",
        record_id="236",
        party=Ref("vendor", "56", "Bob's Burger Joint"),
        amount=usd("200.0"),
        day=dt.date(2015, 7, 14),
        memo="Acct. 1JK90",
        settles=(Settled("bill", "234", amount=usd("200.0")),),
        facts=(Fact("Paid from", "Operating account"), Fact("Method", "Check"), COMPANY),
        accounts=(account("35", "Operating account"),),
        link=f"{APP}billpayment?txnId=236",
        occurred_at=AT,
    ),
    "billpayment_credit_card": FinancialEvent(
        record="bill_payment",
        operation="updated",
        record_id="302",
        number="CC-88",
        party=Ref("vendor", "30", "Books by Bessie"),
        amount=usd("500.0"),
        day=dt.date(2026, 11, 4),
        settles=(Settled("bill", "301", amount=usd("500.0")),),
        facts=(Fact("Paid from", "Mastercard"), Fact("Method", "Credit card"), COMPANY),
        accounts=(account("41", "Mastercard"),),
        link=f"{APP}billpayment?txnId=302",
        occurred_at=AT,
    ),
    "invoice_created": FinancialEvent(
        record="invoice",
        operation="updated",
        record_id="266",
        number="1043",
        party=AMY,
        amount=usd("100.0"),
        balance=usd("100.0"),
        day=dt.date(2020, 9, 29),
        due=dt.date(2020, 10, 29),
        status="overdue",
        lines=(Line("", usd("100.0"), item=item("1", "Services")),),
        facts=(COMPANY,),
        link=f"{APP}invoice?txnId=266",
        occurred_at=AT,
    ),
    "invoice_taxed": FOUNTAINS,
    "invoice_paid_in_full": dataclasses.replace(FOUNTAINS, balance=usd("0"), status="paid"),
    "invoice_voided": FinancialEvent(
        record="invoice",
        operation="voided",
        record_id="264",
        number="1041",
        party=AMY,
        amount=usd("0"),
        balance=usd("0"),
        day=dt.date(2020, 9, 29),
        due=dt.date(2020, 10, 29),
        status="voided",
        memo="Voided",
        lines=(Line("", usd("0"), item=item("1", "Services")),),
        facts=(COMPANY,),
        link=f"{APP}invoice?txnId=264",
        occurred_at=AT,
    ),
    "invoice_multicurrency": FinancialEvent(
        record="invoice",
        operation="updated",
        record_id="310",
        number="GB-1009",
        party=Ref("customer", "61", "Thames Gardens Ltd"),
        amount=gbp("800.0"),
        balance=gbp("800.0"),
        day=dt.date(2026, 11, 5),
        due=dt.date(2026, 12, 5),
        status="open",
        lines=(
            Line(
                "Design retainer",
                gbp("800.0"),
                account=DESIGN_INCOME,
                item=item("4", "Design"),
                class_=FRANCE,
                quantity=Decimal(10),
            ),
        ),
        facts=(Fact("Exchange rate", "1.25"), Fact("Home total", money=usd("1000.0")), COMPANY),
        departments=(MARKETING,),
        classes=(FRANCE,),
        accounts=(DESIGN_INCOME,),
        link=f"{APP}invoice?txnId=310",
        occurred_at=AT,
    ),
    "payment_partly_unapplied": FinancialEvent(
        record="payment",
        operation="updated",
        record_id="163",
        party=Ref("customer", "20", "Red Rock Diner"),
        amount=usd("65.0"),
        day=dt.date(2015, 1, 16),
        settles=(Settled("invoice", "70", "1024", usd("55.0")),),
        facts=(Fact("Unapplied", money=usd("10.0")), Fact("Deposited to", "Undeposited Funds"), COMPANY),
        accounts=(account("4", "Undeposited Funds"),),
        link=f"{APP}recvpayment?txnId=163",
        occurred_at=AT,
    ),
    "journalentry": FinancialEvent(
        record="journal_entry",
        operation="updated",
        record_id="227",
        amount=usd("25.54"),
        day=dt.date(2015, 6, 29),
        lines=(
            Line(
                "Four sprinkler heads damaged",
                usd("25.54"),
                account=account("65", "Job Expenses:Job Materials:Fountain and Garden Lighting"),
                entity=AMY,
                posting="debit",
            ),
            Line(
                "Sprinkler Hds - Sprinkler Hds Inventory Adjustment",
                usd("25.54"),
                account=account("44", "Notes Payable"),
                entity=Ref("vendor", "2", "IDX Vendor"),
                posting="credit",
            ),
        ),
        facts=(COMPANY,),
        accounts=(
            account("65", "Job Expenses:Job Materials:Fountain and Garden Lighting"),
            account("44", "Notes Payable"),
        ),
        link=f"{APP}journal?txnId=227",
        occurred_at=AT,
    ),
    "journalentry_departments_totalamt_zero": FinancialEvent(
        record="journal_entry",
        operation="updated",
        record_id="320",
        number="SF-00000123",
        amount=usd("900.0"),
        day=dt.date(2026, 11, 5),
        memo="Salesforce order 00000123",
        lines=(
            Line(
                "Order 00000123 receivable clearing",
                usd("900.0"),
                account=account("91", "Order Clearing"),
                department=MARKETING,
                posting="debit",
            ),
            Line(
                "Design hours",
                usd("600.0"),
                account=DESIGN_INCOME,
                department=MARKETING,
                class_=FRANCE,
                posting="credit",
            ),
            Line("Pumps", usd("300.0"), account=SALES, department=MARKETING, posting="credit"),
        ),
        facts=(COMPANY,),
        departments=(MARKETING,),
        classes=(FRANCE,),
        accounts=(account("91", "Order Clearing"), DESIGN_INCOME, SALES),
        link=f"{APP}journal?txnId=320",
        occurred_at=AT,
    ),
    "vendor": FinancialEvent(
        record="vendor",
        operation="updated",
        record_id="30",
        number="1345",
        party=Ref("vendor", "30", "Books by Bessie"),
        balance=usd("0"),
        facts=(Fact("Email", "Books@Intuit.com"), Fact("Phone", "(650) 555-7745"), COMPANY),
        link=f"{APP}vendordetail?nameId=30",
        occurred_at=AT,
        profile=Profile(
            name="Books by Bessie",
            given_name="Bessie",
            family_name="Williams",
            email="Books@Intuit.com",
            phone="(650) 555-7745",
            street="15 Main St.",
            city="Palo Alto",
            region="CA",
            postal_code="94303",
            currency="USD",
        ),
    ),
    "customer": FinancialEvent(
        record="customer",
        operation="updated",
        record_id="5",
        party=Ref("customer", "5", "Dukes Basketball Camp"),
        balance=usd("0"),
        facts=(Fact("Email", "Dukes_bball@intuit.com"), Fact("Phone", "(520) 420-5638"), COMPANY),
        link=f"{APP}customerdetail?nameId=5",
        occurred_at=AT,
        profile=Profile(
            name="Dukes Basketball Camp",
            given_name="Peter",
            family_name="Dukes",
            email="Dukes_bball@intuit.com",
            phone="(520) 420-5638",
            street="25 Court St.",
            city="Tucson",
            region="AZ",
            postal_code="85719",
            currency="USD",
        ),
    ),
    "customer_sub_job": FinancialEvent(
        record="customer",
        operation="updated",
        record_id="62",
        party=Ref("customer", "62", "Dukes Basketball Camp:Court resurfacing"),
        balance=usd("0"),
        facts=(Fact("Parent", "Dukes Basketball Camp"), COMPANY),
        link=f"{APP}customerdetail?nameId=62",
        occurred_at=AT,
        profile=Profile(name="Court resurfacing", currency="USD"),
    ),
    "account": FinancialEvent(
        record="account",
        operation="updated",
        record_id="33",
        party=PAYABLE,
        balance=usd("-1091.23"),
        facts=(Fact("Type", "Accounts Payable"), COMPANY),
        accounts=(PAYABLE,),
        link=f"{APP}register?accountId=33",
        occurred_at=AT,
    ),
    "account_sub_numbered": FinancialEvent(
        record="account",
        operation="updated",
        record_id="64",
        number="6120",
        party=DECKS,
        balance=usd("0"),
        facts=(Fact("Type", "Expense"), COMPANY),
        accounts=(DECKS,),
        occurred_at=AT,
    ),
    "account_deactivated": FinancialEvent(
        record="account",
        operation="deleted",
        record_id="5",
        party=account("5", "Fees Billed"),
        balance=usd("0"),
        status="inactive",
        facts=(Fact("Type", "Income"), COMPANY),
        accounts=(account("5", "Fees Billed"),),
        occurred_at=AT,
    ),
}
#: Samples that are no records of ours: read for names, or for their lines.
OTHERS = {"class", "companyinfo", "department", "item_category", "item_inventory", "item_service"}
OTHERS |= {"preferences_trimmed", "purchaseorder"}


@pytest.mark.parametrize("name", EXPECTED)
def test_every_sample_becomes_exactly_its_event(name: str) -> None:
    event = event_of(EXPECTED[name].record, entity(name))
    assert event == EXPECTED[name]
    assert from_json(FinancialEvent, to_json(event)) == event


def test_no_sample_is_left_out() -> None:
    assert {path.stem for path in (FIXTURES / "entities").iterdir()} == set(EXPECTED) | OTHERS


@pytest.mark.parametrize(
    ("record", "name", "changed", "told", "operation"),
    [
        ("invoice", "invoice_created", UNCHANGED, "created", "created"),
        ("invoice", "invoice_created", UNCHANGED, "emailed", "emailed"),
        ("invoice", "invoice_created", UNCHANGED, "", "updated"),
        # A void that the record does not show is an update; a zero total without the note needs the vendor's word.
        ("invoice", "invoice_created", UNCHANGED, "voided", "updated"),
        ("invoice", "invoice_voided", {"PrivateNote": "Annul\u00e9"}, "voided", "voided"),
        ("invoice", "invoice_voided", {"PrivateNote": "Annul\u00e9"}, "updated", "updated"),
        ("invoice", "invoice_created", {"PrivateNote": "Voided by mistake"}, "updated", "updated"),
        ("invoice", "invoice_voided", UNCHANGED, "emailed", "voided"),
        ("payment", "payment_partly_unapplied", {"TotalAmt": 0, "PrivateNote": "Voided"}, "created", "voided"),
        ("bill_payment", "billpayment_check", {"TotalAmt": 0, "PrivateNote": "Voided - x"}, "updated", "voided"),
        ("bill", "bill_paid", {"TotalAmt": 0, "PrivateNote": "Voided"}, "updated", "updated"),
        ("vendor", "vendor", UNCHANGED, "deleted", "updated"),
        ("vendor", "vendor", {"Active": False}, "updated", "deleted"),
        ("vendor", "vendor", UNCHANGED, "merged", "merged"),
    ],
)
def test_the_state_decides_the_operation(
    record: str, name: str, changed: Mapping[str, Any], told: str, operation: str
) -> None:
    assert event_of(record, {**entity(name), **changed}, told).operation == operation


def test_a_gone_record_is_deleted_and_says_no_more() -> None:
    told = Notice(REALM, "bill", "19", "updated")
    record = Record("bill", "19", is_gone=True, updated_at=AT)
    expected = FinancialEvent("bill", "deleted", "19", status="deleted", occurred_at=AT)
    assert SOURCE.to_event(context(), told, record, names) == expected


def test_a_merge_names_what_it_swallowed() -> None:
    for raw, shown in (('{"deletedId":"46"}', "Old Lumber"), ('{"data":{"deletedid":"58"}}', "58")):
        facts = event_of("vendor", entity("vendor"), "merged", raw).facts
        assert facts[-2:] == (Fact("Merged with", shown), COMPANY)


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        (UNCHANGED, "open"),
        ({"DueDate": "2026-11-20"}, "open"),
        ({"DueDate": "2026-11-19"}, "overdue"),
        ({"DueDate": ""}, "open"),
        ({"Balance": Decimal("240.5")}, "partly paid"),
        ({"Balance": 0}, "paid"),
        ({"Balance": 0, "TotalAmt": 0}, ""),
        ({"Balance": None}, ""),
        ({"EmailStatus": "EmailSent"}, "emailed"),
        ({"EmailStatus": "NeedToSend"}, "open"),
    ],
)
def test_where_a_bill_stands(changed: Mapping[str, Any], status: str) -> None:
    assert event_of("bill", {**entity("bill_open_department_class"), **changed}).status == status


def test_overdue_is_by_the_day_of_the_organization() -> None:
    document = {**entity("bill_open_department_class"), "DueDate": "2026-11-20"}
    record, told = Record("bill", "301", document), Notice(REALM, "bill", "301")
    found = {}
    # At noon in Greenwich it is already tomorrow in Kiritimati; an unknown zone counts as UTC.
    for zone in ("America/Los_Angeles", "Pacific/Kiritimati", "Mars/Olympus"):
        found[zone] = SOURCE.to_event(context(timezone=zone), told, record, names).status
    assert found == {"America/Los_Angeles": "open", "Pacific/Kiritimati": "overdue", "Mars/Olympus": "open"}
    assert NOW.hour == 12


def test_the_home_total_is_reckoned_where_the_record_does_not_say() -> None:
    document = {**entity("invoice_multicurrency"), "HomeTotalAmt": None, "ExchangeRate": Decimal("1.23456789")}
    facts = event_of("invoice", document).facts
    assert facts == (Fact("Exchange rate", "1.23456789"), Fact("Home total", money=usd("987.65")), COMPANY)
    entry = {**entity("journalentry_departments_totalamt_zero"), "CurrencyRef": {"value": "EUR"}, "ExchangeRate": 2}
    assert event_of("journal_entry", entry).facts[:2] == (
        Fact("Exchange rate", "2"),
        Fact("Home total", money=usd("1800.00")),
    )


def test_the_customer_of_a_payment_with_both_shapes_of_line_extras() -> None:
    extra = {"NameValue": [{"Name": "txnId", "Value": "103"}, {"Name": "txnReferenceNumber", "Value": "1033"}]}
    linked = [{"TxnId": "103", "TxnType": "Invoice"}]
    several = [{"TxnId": "1", "TxnType": "CreditMemo"}, {"TxnId": "2", "TxnType": "Deposit"}]
    lines = [
        {"Amount": Decimal("629.10"), "LinkedTxn": linked, "LineEx": extra},
        {"Amount": 5, "LinkedTxn": several, "LineEx": extra},
    ]
    document = {**entity("payment_partly_unapplied"), "PaymentRefNum": "#55", "Line": lines}
    event = event_of("payment", document)
    assert event.number == "#55"
    assert event.settles == (
        Settled("invoice", "103", "1033", usd("629.10")),
        Settled("credit_memo", "1"),
        Settled("deposit", "2"),
    )


def lines_of(*rows: Any) -> list[Line]:
    document = {"Id": "1", "CurrencyRef": {"value": "USD"}, "Line": list(rows)}
    scope = Scope(Record("invoice", "1", document), Notice(REALM), names, today=dt.date(2026, 1, 1))
    return list(read_lines(scope, document))


def test_kinds_of_lines() -> None:
    sale = {"Amount": 7, "DetailType": "SalesItemLineDetail", "SalesItemLineDetail": {"ItemRef": {"value": "5"}}}
    group = {"DetailType": "GroupLineDetail", "Amount": 7, "GroupLineDetail": {"Line": [sale]}}
    discount = {"Amount": 3, "DetailType": "DiscountLineDetail"}
    percent = {"DiscountPercent": 10, "DiscountAccountRef": {"value": "86", "name": "Discounts given"}}
    assert lines_of(
        group,
        {**discount, "DiscountLineDetail": percent},
        discount,
        {"DetailType": "DescriptionOnly", "Description": "See the contract", "DescriptionLineDetail": {}},
        {"DetailType": "DescriptionOnly"},
        {"DetailType": "SubTotalLineDetail", "Amount": 7},
        {"DetailType": "SomethingNew", "Description": "New", "Amount": "1.10"},
        {"DetailType": "GroupLineDetail"},
        "no line",
    ) == [
        Line("", usd("7"), account=SALES, item=item("5", "")),
        Line("Discount 10%", usd("-3"), account=account("86", "Discounts given")),
        Line("Discount", usd("-3")),
        Line("See the contract"),
        Line("New", usd("1.10")),
    ]


def test_the_lines_of_a_purchase_order() -> None:
    hose = Line(
        "hose",
        usd("72.0"),
        item=item("31", "Irrigation Hose"),
        class_=Ref("class", "100000000000128319", "Landscaping"),
        entity=Ref("customer", "110", "Adam's Candy Shop"),
        quantity=Decimal(1),
    )
    assert lines_of(*entity("purchaseorder")["Line"]) == [hose]


@pytest.mark.parametrize(
    ("record", "path", "value", "told"),
    [
        ("bill", "TotalAmt", "lots", "TotalAmt is not an amount"),
        ("bill", "TxnDate", "someday", "TxnDate is not a date"),
        ("bill", "Line", 5, "Line is not a list"),
        ("bill", "VendorRef", {"value": []}, "VendorRef.value is not text"),
        ("vendor", "Active", "perhaps", "Active is not true or false"),
        ("invoice", "ExchangeRate", Decimal("1E+50"), "TotalAmt x ExchangeRate is out of reason"),
    ],
)
def test_a_record_that_cannot_be_read_says_where(record: str, path: str, value: Any, told: str) -> None:
    samples = {"bill": "bill_paid", "vendor": "vendor", "invoice": "invoice_multicurrency"}
    document = {**entity(samples[record]), "HomeTotalAmt": None, path: value}
    with pytest.raises(BadValue) as caught:
        event_of(record, document)
    assert str(caught.value) == told


VALUES = st.none() | st.booleans() | st.integers() | st.decimals(allow_nan=True) | st.text(max_size=5)
TREES = st.recursive(VALUES, lambda child: st.lists(child, max_size=3) | st.dictionaries(st.text(), child, max_size=3))


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key) in a document."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield value, key
        yield from places(value[key])


@given(st.sampled_from(sorted(EXPECTED)), st.data())
def test_any_value_in_any_place_is_an_event_or_a_bad_value(name: str, data: st.DataObject) -> None:
    document = entity(name)
    container, key = data.draw(st.sampled_from(list(places(document))))
    container[key] = data.draw(TREES)
    record = Record(EXPECTED[name].record, EXPECTED[name].record_id, document)
    try:
        SOURCE.references(record)
        event = SOURCE.to_event(context(), Notice(REALM), record, names)
    except BadValue:
        return
    assert from_json(FinancialEvent, to_json(event)) == event
