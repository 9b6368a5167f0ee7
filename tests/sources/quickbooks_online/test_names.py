"""Friendly names: what a record needs, and how few calls bring it."""

from __future__ import annotations

from typing import Any

import pytest

from connector.kernel.contracts import Name, Record
from connector.kernel.errors import Refresh, Retry
from connector.kernel.events import Ref
from sources.quickbooks_online.source import QuickBooksOnline

from . import wire
from .wire import Api, context, entity, sample

api = wire.api

SOURCE = QuickBooksOnline()
COMPANY = Ref("company", "name")
HOME = Ref("company", "home_currency")


def wanted(record: str, name: str) -> set[Ref]:
    document = entity(name)
    return set(SOURCE.references(Record(record, document["Id"], document)))


@pytest.mark.parametrize(
    ("record", "name", "expected"),
    [
        ("bill", "bill_paid", set()),
        ("bill", "bill_open_department_class", {Ref("item", "11")}),
        ("bill_payment", "billpayment_check", {HOME}),
        ("bill_payment", "billpayment_credit_card", set()),
        ("invoice", "invoice_created", {Ref("item", "1")}),
        ("invoice", "invoice_taxed", {HOME, Ref("item", "5"), Ref("item", "11"), Ref("item", "3")}),
        ("invoice", "invoice_multicurrency", {HOME}),
        ("payment", "payment_partly_unapplied", {HOME, Ref("account", "4")}),
        ("journal_entry", "journalentry", {HOME}),
        ("journal_entry", "journalentry_departments_totalamt_zero", {HOME}),
        ("vendor", "vendor", set()),
        ("customer", "customer_sub_job", set()),
        ("account", "account", {HOME}),
    ],
)
def test_what_a_record_names_by_id_alone(record: str, name: str, expected: set[Ref]) -> None:
    assert wanted(record, name) == expected | {COMPANY}


def test_a_gone_or_broken_record_wants_what_could_be_read_of_it() -> None:
    assert SOURCE.references(Record("bill", "1", is_gone=True)) == []
    broken = {"Id": "1", "CurrencyRef": {"value": "USD"}, "VendorRef": {"value": "9"}, "Line": 5}
    assert SOURCE.references(Record("bill_payment", "1", broken)) == [Ref("vendor", "9")]


def page(name: str, *documents: Any) -> dict[str, Any]:
    return {"QueryResponse": {name: list(documents)} if documents else {}}


def batch(*items: Any) -> dict[str, Any]:
    return {"BatchItemResponse": [{**item, "bId": f"q{number}"} for number, item in enumerate(items)]}


def load(api: Api, *refs: Ref) -> list[Name]:
    return list(SOURCE.load_names(context(api.url), refs))


def test_all_lists_wanted_are_one_call(api: Api) -> None:
    api.on(
        "batch",
        batch(
            page("Account", entity("account_sub_numbered"), entity("account_deactivated")),
            page("Department", entity("department")),
            page("Class", entity("class")),
            page("Item", entity("item_service"), entity("item_inventory"), entity("item_category")),
            page("Vendor", entity("vendor")),
            page("Customer", entity("customer_sub_job")),
        ),
    )
    api.on("companyinfo", {"CompanyInfo": entity("companyinfo")})
    api.on("preferences", {"Preferences": entity("preferences_trimmed")})
    refs = [Ref(kind, "1") for kind in ("department", "class", "item")]
    names = load(api, *refs, Ref("vendor", "30"), Ref("customer", "62"), Ref("vendor", "30"), COMPANY)
    accounts = {
        "income_account": "79",
        "income_account_name": "Sales of Product Income",
        "expense_account": "80",
        "expense_account_name": "Cost of Goods Sold",
        "asset_account": "81",
        "asset_account_name": "Inventory Asset",
    }
    assert names == [
        Name("company", "name", "Larry's Bakery"),
        Name("company", "home_currency", "USD"),
        Name("account", "64", "Job Expenses:Job Materials:Decks and Patios"),
        Name("account", "5", "Fees Billed", is_active=False),
        Name("department", "2", "Marketing Department"),
        Name("class", "5000000000000007280", "France"),
        Name("item", "4", "Design", extra={"income_account": "82", "income_account_name": "Design income"}),
        Name("item", "11", "Pump", extra=accounts),
        Name("item", "29", "Trees"),
        Name("vendor", "30", "Books by Bessie"),
        Name("customer", "62", "Dukes Basketball Camp:Court resurfacing"),
    ]
    whole = "where Active in (true, false) startposition 1 maxresults 1000"
    assert api.asked() == [
        "GET companyinfo/9130350000000001",
        "GET preferences",
        f"POST batch select * from Account {whole} | select * from Department {whole} | select * from Class {whole}"
        f" | select * from Item {whole}"
        " | select * from Vendor where Id in ('30') and Active in (true, false) maxresults 1000"
        " | select * from Customer where Id in ('62') and Active in (true, false) maxresults 1000",
    ]


def test_one_list_is_a_plain_query_and_a_long_one_goes_on(api: Api) -> None:
    rows = [{"Id": str(number), "Name": f"A{number}"} for number in range(1001)]
    api.on("startposition 1 ", page("Account", *rows[:1000]))
    api.on("startposition 1001 ", page("Account", *rows[1000:]))
    names = load(api, Ref("account", "1"))
    assert [name.name for name in names] == [f"A{number}" for number in range(1001)]
    assert len(api.calls) == 2


def test_vendors_are_asked_for_by_the_hundred(api: Api) -> None:
    api.on("batch", batch(page("Vendor", {"Id": "7", "DisplayName": "Seven"}), page("Vendor")))
    names = load(api, *(Ref("vendor", str(number)) for number in range(101)))
    assert names == [Name("vendor", "7", "Seven")]
    assert len(api.calls) == 1


def test_nothing_that_can_be_loaded_is_no_call(api: Api) -> None:
    assert load(api, Ref("employee", "5"), Ref("vendor", "SHIPPING_ITEM_ID")) == []
    assert not api.calls


def test_a_list_that_the_company_does_not_have_costs_the_others_nothing(api: Api) -> None:
    fault = {"Fault": {"Error": [{"code": "4001"}]}}
    api.on("batch", batch({"QueryResponse": {"Department": [{"Id": "2", "Name": "West"}, {"Id": {}}]}}, fault))
    assert load(api, Ref("class", "1"), Ref("department", "2")) == [Name("department", "2", "West")]


@pytest.mark.parametrize(("status", "kind"), [(500, Retry), (401, Refresh)])
def test_names_that_cannot_be_had_now_are_asked_for_later(api: Api, status: int, kind: type[Exception]) -> None:
    api.on("query", b"", status)
    with pytest.raises(kind):
        load(api, Ref("account", "1"))


def test_the_sampled_page_of_accounts(api: Api) -> None:
    api.on("query", sample("query/accounts_page.json"))
    assert load(api, Ref("account", "636"))[2] == Name("account", "636", "Acct10115087251982090345")
