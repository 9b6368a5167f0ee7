"""The stand-in's queries, the life of its orders, and what it tells of the past."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal

import pytest

from sources.salesforce.standin import SalesforceStandIn
from sources.salesforce.standin_faults import VendorError
from tests.sources.salesforce.standin_client import NOON, Client


@pytest.fixture
def org() -> Iterator[SalesforceStandIn]:
    standin = SalesforceStandIn()
    standin.now = lambda: NOON
    with standin:
        yield standin


@pytest.fixture
def client(org: SalesforceStandIn) -> Client:
    return Client(org)


# Queries


def test_order_with_its_items_has_the_vendors_shape(client: Client) -> None:
    account = client.account("58", Name="Northwind Bakery", QBO_Department__c="West")
    design = client.org.add_product("Design", "100.69", code="DES-1")
    order = client.org.add_order(account, [(design, 3, "100.69"), (design, 1, "60")], activate=True)
    statement = (
        "SELECT Id, OrderNumber, StatusCode, TotalAmount, Account.Name, Account.QBO_Department__c, OriginalOrder.Id, "
        "(SELECT Quantity, UnitPrice, TotalPrice, Product2.ProductCode, Product2.StockKeepingUnit FROM OrderItems) "
        f"FROM Order WHERE Id IN ('{order}')"
    )
    base = "/services/data/v68.0/sobjects"
    items = [each["Id"] for each in client.org.all_of("OrderItem")]
    product = {
        "attributes": {"type": "Product2", "url": f"{base}/Product2/{design}"},
        "ProductCode": "DES-1",
        "StockKeepingUnit": None,
    }
    lines = [("3.0", "100.69", "302.07"), ("1.0", "60.0", "60.0")]
    record = {
        "attributes": {"type": "Order", "url": f"{base}/Order/{order}"},
        "Id": order,
        "OrderNumber": "00000100",
        "StatusCode": "Activated",
        "TotalAmount": Decimal("362.07"),
        "Account": {
            "attributes": {"type": "Account", "url": f"{base}/Account/{account}"},
            "Name": "Northwind Bakery",
            "QBO_Department__c": "West",
        },
        "OriginalOrder": None,
        "OrderItems": {
            "totalSize": 2,
            "done": True,
            "records": [
                {
                    "attributes": {"type": "OrderItem", "url": f"{base}/OrderItem/{item}"},
                    "Quantity": Decimal(quantity),
                    "UnitPrice": Decimal(price),
                    "TotalPrice": Decimal(total),
                    "Product2": product,
                }
                for item, (quantity, price, total) in zip(items, lines, strict=True)
            ],
        },
    }
    assert client.query(statement).document == {"totalSize": 1, "done": True, "records": [record]}


def test_answers_come_in_pages_and_so_do_children(client: Client) -> None:
    account = client.account()
    for number in range(5):
        client.org.create("Contact", LastName=f"C{number}", AccountId=account)
    client.org.answers.page_size, client.org.answers.child_page_size = 2, 3
    first = client.query("SELECT LastName FROM Contact ORDER BY LastName DESC").document
    assert (first["totalSize"], first["done"], len(first["records"])) == (5, False, 2)
    assert first["nextRecordsUrl"].startswith("/services/data/v68.0/query/01gSm")
    second = client.get(first["nextRecordsUrl"]).document
    third = client.get(second["nextRecordsUrl"]).document
    names = [each["LastName"] for page in (first, second, third) for each in page["records"]]
    assert (names, third["done"], "nextRecordsUrl" in third) == (["C4", "C3", "C2", "C1", "C0"], True, False)
    children = client.query("SELECT Id, (SELECT LastName FROM Contacts) FROM Account").document["records"][0][
        "Contacts"
    ]
    assert (children["totalSize"], children["done"]) == (5, False)
    assert len(client.get(children["nextRecordsUrl"]).document["records"]) == 2
    client.org.answers.forget()
    assert client.get(first["nextRecordsUrl"]).document == [
        {"message": "invalid query locator", "errorCode": "INVALID_QUERY_LOCATOR"}
    ]


@pytest.mark.parametrize(
    ("condition", "names"),
    [
        (r"Name = 'o\'hara'", ["O'Hara"]),
        (r"Name = 'back\\slash'", ["back\\slash"]),
        (r"Name = 'say \"hi\"' OR Name = 'line\nbreak'", ['say "hi"', "line\nbreak"]),
        (r"Name LIKE '50\%%'", ["50% off"]),
        ("Name LIKE '%a%' AND (Phone = null OR Phone = '1')", ["O'Hara", "back\\slash", "line\nbreak", 'say "hi"']),
        ("Name IN ('50% off', 'nobody')", ["50% off"]),
        ("NumberOfEmployees >= 10 AND NumberOfEmployees < 11", ["50% off"]),
        ("NOT Name LIKE '%a%'", ["50% off"]),
        ("Phone != '1' AND Name NOT IN ('50% off')", ["back\\slash", "line\nbreak", 'say "hi"']),
        ("LastModifiedDate > 2026-11-20T12:00:05Z", []),
        ("LastModifiedDate >= 2026-11-20T12:00:05.000+00:00 AND IsDeleted = false LIMIT 1", ["50% off"]),
    ],
)
def test_conditions(client: Client, condition: str, names: list[str]) -> None:
    for name in ("O'Hara", "back\\slash", 'say "hi"', "line\nbreak"):
        client.org.create("Account", Name=name, Phone="1" if name == "O'Hara" else None)
    client.org.create("Account", Name="50% off", NumberOfEmployees=10)
    order, _, limit = condition.partition(" LIMIT ")
    statement = f"SELECT Name FROM Account WHERE {order} ORDER BY Name" + (f" LIMIT {limit}" if limit else "")
    found = client.query(statement).document
    assert sorted(each["Name"] for each in found["records"]) == sorted(names)


@pytest.mark.parametrize(
    ("statement", "code", "ending"),
    [
        ("SELECT Id FROM Account WHERE Name = 'O'Hara'", "MALFORMED_QUERY", "unexpected token: 'Hara'"),
        ("SELECT Id FROM Invoice", "INVALID_TYPE",
         "\nSELECT Id FROM Invoice\n               ^\nERROR at Row:1:Column:16\n"
         "sObject type 'Invoice' is not supported."),
        ("SELECT Id FROM Account WHERE Name = 'a' AND Name = 'b' OR Name = 'c'", "MALFORMED_QUERY", "token: 'OR'"),
        ("SELECT Id, Id FROM Account", "MALFORMED_QUERY", "duplicate field selected: Id"),
        ("SELECT Id FROM Account WHERE LastModifiedDate > '2026-11-20'", "INVALID_FIELD",
         "must be of type dateTime and should not be enclosed in quotes"),
        ("SELECT Id FROM Account WHERE Name = 5", "INVALID_FIELD",
         "must be of type string and should be enclosed in quotes"),
        ("SELECT Id FROM Account WHERE Id = 'x'", "INVALID_QUERY_FILTER_OPERATOR", "invalid ID field: x"),
        ("SELECT Owner.Foo FROM Account", "INVALID_FIELD", "call for the appropriate names."),
        ("SELECT Id FROM", "MALFORMED_QUERY", "unexpected token: '<EOF>'"),
    ],
)  # fmt: skip
def test_statements_refused(client: Client, statement: str, code: str, ending: str) -> None:
    reply = client.query(statement)
    assert (reply.status, reply.code) == (400, code)
    assert reply.document[0]["message"].endswith(ending)


def test_too_long_an_address_is_refused(client: Client) -> None:
    ids = ",".join(f"'{number:018d}'" for number in range(900))
    assert client.query(f"SELECT Id FROM Account WHERE Id IN ({ids})").status == 414
    assert len(client.org.violations) == 1


# Orders


def test_orders_are_activated_frozen_and_taken_back(client: Client) -> None:
    account, other = client.account("58"), client.account("59")
    product = client.org.add_product("Design", code="DES-1")
    empty = client.org.add_order(account, [])
    with pytest.raises(VendorError, match="FAILED_ACTIVATION: An order must have at least one product"):
        client.org.activate(empty)
    order = client.org.add_order(account, [(product, "1.5", "33.33")])
    assert client.org.record("Order", order)["TotalAmount"] == Decimal("49.995")
    client.org.activate(order)
    active = client.org.record("Order", order)
    assert (active["StatusCode"], active["ActivatedDate"], active["ActivatedById"]) == (
        "Activated",
        NOON,
        client.org.person,
    )
    frozen = client.send("PATCH", f"sobjects/Order/{order}", {"AccountId": other})
    assert (frozen.code, frozen.document[0]["fields"]) == ("FIELD_INTEGRITY_EXCEPTION", ["AccountId"])
    line = {"OrderId": order, "Product2Id": product, "Quantity": 1, "UnitPrice": 1}
    assert client.send("POST", "sobjects/OrderItem", line).code == "FIELD_INTEGRITY_EXCEPTION"
    assert client.send("PATCH", f"sobjects/Order/{order}", {"QBO_JournalEntry_Id__c": "77"}).status == 204
    with pytest.raises(VendorError, match="DELETE_FAILED"):
        client.org.delete("Order", order)
    client.org.deactivate(order)
    draft = client.org.record("Order", order)
    assert (draft["StatusCode"], draft["ActivatedDate"], draft["QBO_JournalEntry_Id__c"]) == ("Draft", None, "77")
    client.org.delete("Order", order)
    assert [each["OrderId"] for each in client.org.all_of("OrderItem")] == []


def test_reduction_orders_are_negative(client: Client) -> None:
    product = client.org.add_product("Design")
    order = client.org.add_order(client.account(), [(product, 2, "10")], activate=True)
    reduction = client.org.record("Order", client.org.reduce(order, activate=True))
    assert (reduction["IsReductionOrder"], reduction["OriginalOrderId"], reduction["TotalAmount"]) == (
        True,
        order,
        Decimal(-20),
    )


def test_renamed_statuses_keep_their_codes(client: Client) -> None:
    client.org.rename_status("Activated", "Live")
    order = client.org.add_order(client.account(), [(client.org.add_product("Design"), 1, "10")], activate=True)
    record = client.org.record("Order", order)
    assert (record["Status"], record["StatusCode"]) == ("Live", "Activated")
    found = client.query("SELECT MasterLabel FROM OrderStatus WHERE StatusCode = 'Activated'").document
    assert [each["MasterLabel"] for each in found["records"]] == ["Live"]


# Replication


def test_updated_and_deleted_by_the_minute(client: Client) -> None:
    first, second = client.account("58"), client.account("59")
    client.org.delete("Account", second)
    client.org.now = lambda: NOON + dt.timedelta(minutes=3, seconds=30)
    third = client.account("60")
    span = {"start": "2026-11-20T12:00:59Z", "end": "2026-11-20T12:10:00+00:00"}
    updated = client.get("sobjects/Account/updated/", **span).document
    assert updated == {"ids": [first], "latestDateCovered": "2026-11-20T12:03:00.000+0000"}
    deleted = client.get("sobjects/Account/deleted/", **span).document
    assert deleted == {
        "deletedRecords": [{"id": second, "deletedDate": "2026-11-20T12:00:05.000+0000"}],
        "earliestDateAvailable": "2026-11-05T12:03:00.000+0000",
        "latestDateCovered": "2026-11-20T12:03:00.000+0000",
    }
    client.org.now = lambda: NOON + dt.timedelta(minutes=10)
    assert client.get("sobjects/Account/updated/", **span).document["ids"] == [first, third]
    client.org.replication.lag = dt.timedelta(minutes=8)
    held = client.get("sobjects/Account/updated/", **span).document
    assert held == {"ids": [first], "latestDateCovered": "2026-11-20T12:02:00.000+0000"}


@pytest.mark.parametrize(
    ("what", "start", "end"),
    [
        ("updated", "2026-11-20T12:00:10Z", "2026-11-20T12:00:50Z"),
        ("updated", "2026-10-20T12:00:00Z", "2026-11-20T12:00:00Z"),
        ("deleted", "2026-11-05T11:00:00Z", "2026-11-20T12:00:00Z"),
        ("updated", "2026-11-20T11:00:00 00:00", "2026-11-20T12:00:00Z"),
    ],
)
def test_spans_refused(client: Client, what: str, start: str, end: str) -> None:
    reply = client.get(f"sobjects/Account/{what}/", start=start, end=end)
    assert (reply.status, reply.code) == (400, "INVALID_REPLICATION_DATE")


def test_merge_keeps_the_winner_and_names_it(client: Client) -> None:
    winner, loser = client.account("58"), client.account("59")
    contact = client.org.create("Contact", LastName="Baker", AccountId=loser)
    client.org.merge(winner, loser)
    assert client.org.record("Contact", contact)["AccountId"] == winner
    statement = f"SELECT Id, IsDeleted, MasterRecordId FROM Account WHERE Id = '{loser}'"
    assert client.query(statement).document["totalSize"] == 0
    found = client.query(statement, resource="queryAll").document["records"][0]
    assert (found["IsDeleted"], found["MasterRecordId"]) == (True, winner)
