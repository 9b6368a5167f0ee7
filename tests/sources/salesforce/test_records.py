"""Notices to records to events, read from the stand-in org: customers, orders with their items, and what is gone."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from connector.kernel.contracts import Context, Notice, Record
from connector.kernel.errors import Misconfigured, Reject, Retry
from connector.kernel.events import Fact, FinancialEvent, Line, Money, Profile, Ref
from connector.kernel.standin import json_answer
from connector.kernel.values import BadValue
from sources.salesforce.errors import Gone
from sources.salesforce.layout import names_in
from sources.salesforce.mapping import to_event
from sources.salesforce.standin import SalesforceStandIn
from tests.sources.salesforce.org import SALESFORCE, Service, context, sample, sent, service_context

NAMES = names_in({})


@pytest.fixture
def org() -> Iterator[SalesforceStandIn]:
    with SalesforceStandIn() as standin:
        yield standin
        assert standin.violations == []


def read(ctx: Context, record: str, record_id: str, operation: str = "updated") -> Record | Exception:
    ((_, found),) = SALESFORCE.fetch(ctx, [Notice("00D", record, record_id, operation)])
    return found


def told(ctx: Context, record: str, record_id: str, operation: str = "updated") -> FinancialEvent:
    notice = Notice("00D", record, record_id, operation)
    ((_, found),) = SALESFORCE.fetch(ctx, [notice])
    assert isinstance(found, Record), found
    return SALESFORCE.to_event(ctx, notice, found, lambda kind, id, name: name)


def test_an_order_with_everything(org: SalesforceStandIn) -> None:
    account = org.create("Account", Name="Northwind Bakery", QBO_Department__c="West", QBO_Class__c="Retail")
    org.edit("Account", account, QBO_Customer_Id__c="58")
    design = org.add_product("Design", "100.69", code="DES-1")
    setup = org.add_product("Setup", "60", code="INS-2", sku="SKU-2")
    order = org.add_order(
        account, [(design, 3, "100.69"), (setup, 1, 60)], QBO_Class__c="Wholesale", EffectiveDate="2026-11-20"
    )
    second = next(row for row in org.all_of("OrderItem") if row["Product2Id"] == setup)
    org.edit("OrderItem", second["Id"], QBO_Department__c="East")
    org.activate(order)
    event = told(context(org, currency="USD"), "order", order, "created")
    west, east = Ref("department", "", "West"), Ref("department", "", "East")
    wholesale = Ref("class", "", "Wholesale")
    assert event == FinancialEvent(
        record="order",
        operation="created",
        record_id=order,
        number=org.record("Order", order)["OrderNumber"],
        party=Ref("customer", account, "Northwind Bakery", "58"),
        amount=Money(Decimal("362.07"), "USD"),
        day=dt.date(2026, 11, 20),
        status="Activated",
        lines=(
            Line(
                amount=Money(Decimal("302.07"), "USD"),
                item=Ref("item", design, "Design"),
                department=west,
                class_=wholesale,
                quantity=Decimal(3),
                codes=("DES-1",),
            ),
            Line(
                amount=Money(Decimal(60), "USD"),
                item=Ref("item", setup, "Setup"),
                department=east,
                class_=wholesale,
                quantity=Decimal(1),
                codes=("SKU-2", "INS-2"),
            ),
        ),
        departments=(west, east),
        classes=(wholesale,),
        link=f"{org.url}/{order}",
        occurred_at=event.occurred_at,
    )


def test_a_customer_with_its_first_contact(org: SalesforceStandIn) -> None:
    account = org.create(
        "Account", Name="O'Hara", Type="Customer", Phone="1", BillingStreet="1 Mill Rd", BillingCity="Austin",
        BillingState="TX", BillingPostalCode="78701", BillingCountry="USA", QBO_Customer_Id__c="58",
        QBO_Class__c="Retail",
    )  # fmt: skip
    org.create("Contact", AccountId=account, FirstName="Ann", LastName="O'Hara", Email="ann@acme.example")
    event = told(context(org), "customer", account)
    assert event == FinancialEvent(
        record="customer",
        operation="updated",
        record_id=account,
        party=Ref("customer", account, "O'Hara", "58"),
        status="Customer",
        classes=(Ref("class", "", "Retail"),),
        link=f"{org.url}/{account}",
        occurred_at=event.occurred_at,
        profile=Profile(
            name="O'Hara", given_name="Ann", family_name="O'Hara", email="ann@acme.example", phone="1",
            street="1 Mill Rd", city="Austin", region="TX", postal_code="78701", country="USA", kind="Customer",
        ),
        linked_id="58",
    )  # fmt: skip


def test_the_currency_of_a_record_goes_before_the_setting(org: SalesforceStandIn) -> None:
    org.enable_currencies("EUR", "USD")
    account = org.create("Account", Name="Zed", CurrencyIsoCode="USD")
    order = org.add_order(account, [(org.add_product("A", 5), 1, 5)], activate=True)
    ctx = context(org, currency="GBP")
    event = told(ctx, "order", order)
    assert event.amount == Money(Decimal(5), "EUR")
    assert event.lines[0].amount == Money(Decimal(5), "EUR")
    profile = told(ctx, "customer", account).profile
    assert profile is not None
    assert profile.currency == "USD"


def test_a_reduction_order_says_what_it_reduces(org: SalesforceStandIn) -> None:
    account = org.create("Account", Name="Zed")
    order = org.add_order(account, [(org.add_product("A", 5), 2, 5)], activate=True)
    event = told(context(org), "order", org.reduce(order, activate=True))
    assert event.facts == (Fact("Reduction order", "yes"), Fact("Original order", order))
    assert event.amount == Money(Decimal(-10), "")
    assert [(line.quantity, line.amount) for line in event.lines] == [(Decimal(-2), Money(Decimal(-10), ""))]


def test_fields_that_the_org_lacks_are_not_asked_for(org: SalesforceStandIn) -> None:
    account = org.create("Account", Name="Zed", QBO_Department__c="West")
    order = org.add_order(account, [(org.add_product("A", 5), 1, 5)], activate=True)
    for obj in ("Account", "Order", "OrderItem"):
        org.hide_field(obj, "QBO_Department__c")
    org.hide_field("Product2", "StockKeepingUnit")
    ctx = context(org)
    assert told(ctx, "order", order).departments == ()
    asked = [call.query["q"] for call in org.calls if call.path.endswith("/query")]
    assert len(asked) == 1
    assert "QBO_Department__c" not in asked[0]
    assert "StockKeepingUnit" not in asked[0]


def test_a_field_that_was_taken_away_meanwhile(org: SalesforceStandIn) -> None:
    account, ctx = org.create("Account", Name="Zed"), context(org)
    told(ctx, "customer", account)
    org.hide_field("Account", "QBO_Class__c")
    assert told(ctx, "customer", account).classes == ()


def test_field_names_come_from_the_settings(org: SalesforceStandIn) -> None:
    org.add_field("Account", "Ledger__c", external_id=True)
    account = org.create("Account", Name="Zed", Ledger__c="77")
    assert told(context(org, customer_id_field="Ledger__c"), "customer", account).linked_id == "77"
    with pytest.raises(Misconfigured):
        told(context(org, customer_id_field="Id FROM User--"), "customer", account)


def test_many_are_read_in_few_calls(org: SalesforceStandIn) -> None:
    account = org.create("Account", Name="Zed")
    accounts = [org.load("Account", Name=f"A{number}") for number in range(450)]
    order = org.add_order(account, [(org.add_product("A", 5), 1, 5)])
    ctx = context(org)
    notices = [Notice("00D", "customer", each[:15] if number % 2 else each) for number, each in enumerate(accounts)]
    notices += [Notice("00D", "order", order), Notice("00D", "customer", accounts[0])]
    found = list(SALESFORCE.fetch(ctx, notices))
    assert sorted(notice.record_id[:15] for notice, _ in found) == sorted(each.record_id[:15] for each in notices)
    assert all(isinstance(record, Record) and len(record.record_id) == 18 for _, record in found)
    assert org.count("GET .*/query$") == 4
    assert org.count("GET .*/queryAll$") == 0


def test_a_deleted_record_is_gone_and_can_come_back(org: SalesforceStandIn) -> None:
    account, ctx = org.create("Account", Name="Zed"), context(org)
    alive = read(ctx, "customer", account)
    org.delete("Account", account)
    gone = read(ctx, "customer", account)
    assert isinstance(alive, Record)
    assert isinstance(gone, Record)
    assert (gone.is_gone, gone.body, gone.version[1]) == (True, {}, "")
    assert gone.version[0] >= alive.version[0]
    event = told(ctx, "customer", account, "deleted")
    assert (event.operation, event.status) == ("deleted", "deleted")
    org.undelete("Account", account)
    back = read(ctx, "customer", account)
    assert isinstance(back, Record)
    assert not back.is_gone


def test_a_merged_account_names_the_winner(org: SalesforceStandIn) -> None:
    winner, loser = (org.create("Account", Name=name) for name in ("Winner", "Loser"))
    org.merge(winner, loser)
    ctx = context(org)
    record = read(ctx, "customer", loser, "deleted")
    assert isinstance(record, Record)
    assert (record.is_gone, record.body) == (True, {"merged_into": winner})
    event = told(ctx, "customer", loser, "deleted")
    assert (event.operation, event.status, event.facts) == ("merged", "merged", (Fact("Merged into", winner),))


def test_a_record_that_cannot_be_seen_is_gone_only_when_its_end_was_told(org: SalesforceStandIn) -> None:
    account, ctx = org.create("Account", Name="Zed"), context(org)
    org.delete("Account", account)
    org.purge("Account", account)
    assert read(ctx, "customer", account, "deleted") == Record("customer", account, is_gone=True)
    hidden = read(ctx, "customer", account)
    assert isinstance(hidden, Gone)
    assert "View All Records" in hidden.text


def test_an_active_order_without_items_is_read_again(org: SalesforceStandIn) -> None:
    account = org.create("Account", Name="Zed")
    order = org.add_order(account, [(org.add_product("A", 5), 1, 5)], activate=True)
    ctx = context(org)
    row = {"Id": order, "StatusCode": "Activated", "OrderItems": None}
    empty = json_answer({"totalSize": 1, "done": True, "records": [row]})
    org.fail("GET .*/query$", "answer", answer=empty)
    found = read(ctx, "order", order)
    assert (type(found), getattr(found, "code", "")) == (Retry, "no_items")
    row["StatusCode"] = "Draft"
    org.fail("GET .*/query$", "answer", answer=json_answer({"totalSize": 1, "done": True, "records": [row]}))
    assert isinstance(read(ctx, "order", order), Record)


def test_what_cannot_be_asked_for(org: SalesforceStandIn) -> None:
    ctx = context(org)
    for record, record_id in (("invoice", "001Sm00000Acct1IAA"), ("", ""), ("customer", "' OR 1=1"), ("order", "")):
        assert type(read(ctx, record, record_id)) is Reject
    assert org.count("/query") == 0


def test_an_error_of_all_is_raised(org: SalesforceStandIn) -> None:
    account, ctx = org.create("Account", Name="Zed"), context(org)
    org.hide("Account")
    with pytest.raises(Misconfigured):
        read(ctx, "customer", account)


def test_the_version_of_an_order_moves_with_its_items(org: SalesforceStandIn) -> None:
    clock = [org.now()]
    org.now = lambda: clock[0]  # type: ignore[method-assign]
    account = org.create("Account", Name="Zed")
    order = org.add_order(account, [(org.add_product("A", 5), 1, 5)], activate=True)
    ctx = context(org)
    before = read(ctx, "order", order)
    again = read(ctx, "order", order)
    item = org.all_of("OrderItem")[0]["Id"]
    org.edit("OrderItem", item, QBO_Department__c="East")
    same_second = read(ctx, "order", order)
    clock[0] += dt.timedelta(seconds=5)
    org.edit("OrderItem", item, QBO_Department__c="West")
    later = read(ctx, "order", order)
    records = [each for each in (before, again, same_second, later) if isinstance(each, Record)]
    versions = [record.version for record in records]
    assert versions[0] == versions[1]
    assert versions[0] != versions[2]
    assert versions[3][0] > versions[2][0] >= versions[0][0]
    assert all(stamp.startswith("#") and len(stamp) == 17 for _, stamp in versions)


def test_the_sample_of_an_order() -> None:
    row = sample("query")["order_with_items"]["body"]["records"][0]
    with Service() as service:
        shape = json_answer({"name": "x", "fields": [{"name": "StatusCode"}]})
        service.answers = [shape, shape, shape, shape, sent(sample("query")["order_with_items"])]
        ((notice, record),) = SALESFORCE.fetch(service_context(service), [Notice("00D", "order", row["Id"])])
    assert isinstance(record, Record)
    event = to_event(notice, record, NAMES, base="", currency="USD")
    assert event.party == Ref("customer", row["AccountId"], "Northwind Bakery", "58")
    assert [line.codes for line in event.lines] == [("DES-1",), ("SKU-2", "INS-2")]
    assert {line.department for line in event.lines} == {Ref("department", "", "West")}
    assert sum(line.amount.amount for line in event.lines if line.amount) == Decimal("362.07")


@pytest.mark.parametrize(
    "body",
    [
        {"StatusCode": None},
        {"StatusCode": "Draft", "TotalAmount": "much"},
        {"StatusCode": "Draft", "EffectiveDate": "soon"},
        {"StatusCode": "Draft", "OrderItems": {"records": [{"Quantity": []}]}},
        {"StatusCode": "Draft", "OrderItems": {"records": 3}},
    ],
)
def test_an_order_that_cannot_be_read_is_a_bad_value(body: dict[str, Any]) -> None:
    with pytest.raises(BadValue):
        to_event(Notice("00D"), Record("order", "801", body), NAMES, base="", currency="")


def test_a_line_without_a_total_is_price_times_quantity() -> None:
    items = [{"Quantity": Decimal("2.5"), "UnitPrice": Decimal("1.01")}, {"Quantity": Decimal(1)}]
    record = Record("order", "801", {"StatusCode": "Draft", "OrderItems": {"records": items}})
    event = to_event(Notice("00D"), record, NAMES, base="", currency="USD")
    assert [line.amount for line in event.lines] == [Money(Decimal("2.525"), "USD"), None]
    assert event.amount is None


def test_whether_a_listed_record_is_new_is_told_by_its_age() -> None:
    since = dt.datetime(2026, 11, 20, 12, tzinfo=dt.UTC)
    listed = Notice("00D", operation="updated", raw='{"object":"Account","since":"2026-11-20T12:00:00Z"}')
    for made, operation in ((since, "created"), (since - dt.timedelta(seconds=1), "updated"), (None, "updated")):
        record = Record("customer", "001", {"Name": "Zed"}, created_at=made)
        assert to_event(listed, record, NAMES, base="", currency="").operation == operation
