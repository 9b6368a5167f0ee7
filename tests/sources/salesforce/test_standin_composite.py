"""The stand-in's collections and composite calls: what fails alone, and what fails together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from sources.salesforce.standin import SalesforceStandIn
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


def collection(*rows: dict[str, Any], all_or_none: bool = False) -> dict[str, Any]:
    return {"allOrNone": all_or_none, "records": [{"attributes": {"type": "Account"}, **row} for row in rows]}


def test_collection_answers_item_by_item_in_order(client: Client) -> None:
    known = client.account("58")
    body = collection(
        {"QBO_Customer_Id__c": "58", "Name": "Northwind Bakery"},
        {"QBO_Customer_Id__c": "59", "Name": ""},
        {"QBO_Customer_Id__c": "60", "Name": "Zed"},
        {"QBO_Customer_Id__c": "60", "Name": "Zed again"},
    )
    reply = client.send("PATCH", "composite/sobjects/Account/QBO_Customer_Id__c", body)
    missing = {
        "statusCode": "REQUIRED_FIELD_MISSING",
        "message": "Required fields are missing: [Name]",
        "fields": ["Name"],
    }
    assert (reply.status, reply.document[:2]) == (
        200,
        [
            {"id": known, "success": True, "errors": [], "created": False},
            {"success": False, "errors": [missing]},
        ],
    )
    assert (reply.document[2]["created"], reply.document[3]["errors"][0]["statusCode"]) == (True, "DUPLICATE_VALUE")
    assert len(client.org.violations) == 1
    origins = {each["ChangeEventHeader"]["changeOrigin"] for each in client.org.events()[1:]}
    assert origins == {"com/salesforce/api/rest/68.0"}


def test_all_or_none_leaves_nothing(client: Client) -> None:
    body = collection(
        {"QBO_Customer_Id__c": "60", "Name": "Zed"}, {"QBO_Customer_Id__c": "59", "Name": ""}, all_or_none=True
    )
    reply = client.send("PATCH", "composite/sobjects/Account/QBO_Customer_Id__c", body)
    codes = [item["errors"][0]["statusCode"] for item in reply.document]
    assert codes == ["ALL_OR_NONE_OPERATION_ROLLED_BACK", "REQUIRED_FIELD_MISSING"]
    assert (client.org.writes, client.org.all_of("Account"), client.org.events()) == ([], [], [])


def test_collection_of_more_than_200_is_refused(client: Client) -> None:
    body = collection(*({"QBO_Customer_Id__c": str(number), "Name": "A"} for number in range(201)))
    reply = client.send("PATCH", "composite/sobjects/Account/QBO_Customer_Id__c", body)
    assert (reply.status, len(client.org.violations), client.org.writes) == (400, 1, [])


def test_collections_by_id(client: Client) -> None:
    made = client.send("POST", "composite/sobjects", collection({"Name": "A"}, {"Name": "B"})).document
    ids = [item["id"] for item in made]
    changed = client.send("PATCH", "composite/sobjects", collection({"id": ids[0], "Phone": "1"}, {"Phone": "2"}))
    assert [item["success"] for item in changed.document] == [True, False]
    found = client.get("composite/sobjects/Account", ids=f"{ids[1]},001Sm00000Nobody", fields="Name,Phone").document
    assert ([each and each["Name"] for each in found], found[0]["Phone"]) == (["B", None], None)
    gone = client.send("DELETE", "composite/sobjects", params={"ids": ",".join(ids), "allOrNone": "true"}).document
    assert [item["success"] for item in gone] == [True, True]
    assert [(write.id, write.fields) for write in client.org.writes][-2:] == [(ids[0], {}), (ids[1], {})]


def composite(invoice: dict[str, Any], *, all_or_none: bool = True) -> dict[str, Any]:
    base = "/services/data/v68.0/sobjects"
    account = {
        "method": "PATCH",
        "url": f"{base}/Account/QBO_Customer_Id__c/58",
        "referenceId": "acct",
        "body": {"Name": "Northwind Bakery"},
    }
    opportunity = {
        "method": "PATCH",
        "url": f"{base}/Opportunity/QBO_Invoice_Id__c/130",
        "referenceId": "opp",
        "body": {"Name": "Invoice 1037", "StageName": "Closed Won", "AccountId": "@{acct.id}", **invoice},
    }
    return {"allOrNone": all_or_none, "compositeRequest": [account, opportunity]}


def test_composite_refers_to_earlier_parts(client: Client) -> None:
    reply = client.send("POST", "composite", composite({"CloseDate": "2026-11-20"}))
    account, opportunity = reply.document["compositeResponse"]
    identifier = opportunity["body"]["id"]
    assert opportunity == {
        "body": {"id": identifier, "success": True, "errors": [], "created": True},
        "httpHeaders": {"Location": f"/services/data/v68.0/sobjects/Opportunity/{identifier}"},
        "httpStatusCode": 201,
        "referenceId": "opp",
    }
    assert client.org.record("Opportunity", identifier)["AccountId"] == account["body"]["id"]
    assert (client.org.api_usage, len(client.org.writes)) == (1, 2)


def test_composite_rolls_back(client: Client) -> None:
    reply = client.send("POST", "composite", composite({}))
    halted, failed = reply.document["compositeResponse"]
    text = "The transaction was rolled back since another operation in the same transaction failed."
    assert halted == {
        "body": [{"message": text, "errorCode": "PROCESSING_HALTED"}],
        "httpHeaders": {},
        "httpStatusCode": 400,
        "referenceId": "acct",
    }
    assert (failed["httpStatusCode"], failed["body"][0]["errorCode"]) == (400, "REQUIRED_FIELD_MISSING")
    assert (client.org.writes, client.org.all_of("Account")) == ([], [])
    apart = client.send("POST", "composite", composite({}, all_or_none=False)).document["compositeResponse"]
    assert [part["httpStatusCode"] for part in apart] == [201, 400]
