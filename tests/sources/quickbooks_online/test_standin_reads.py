"""What the stand-in gives to read equals the vendor's samples; what the vendor's query language lacks is refused."""

from __future__ import annotations

import datetime as dt
import itertools
import urllib.parse
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sources.quickbooks_online.standin_faults import VendorError
from sources.quickbooks_online.standin_query import parse
from tests.sources.quickbooks_online.standin_client import (
    FIXTURES,
    NOON,
    OTHER,
    REALM,
    Client,
    entity_of,
    fault,
    sample,
    without,
)


def test_every_sample_entity_reads_back_exactly(client: Client) -> None:
    for path in sorted((FIXTURES / "entities").glob("*.json")):
        document = sample(f"entities/{path.name}")
        name = entity_of(document)
        client.intuit.load(REALM, name, document[name])
        number = {"CompanyInfo": f"/{REALM}", "Preferences": ""}.get(name, f"/{document[name]['Id']}")
        reply = client.get(name.lower() + number)
        assert reply.document == {name: document[name], "time": "2026-11-05T12:00:00.123-08:00"}, path.name


def test_single_reads_refuse(client: Client) -> None:
    client.intuit.put(REALM, "Bill", {"Id": "19", "TotalAmt": 5})
    client.intuit.delete(REALM, "Bill", "19")
    deleted, never = client.get("bill/19"), client.get("bill/20")
    assert (deleted.status, deleted.document["Fault"]) == (400, fault("400_610_object_not_found_deleted"))
    assert (never.status, never.document["Fault"]) == (400, fault("400_610_object_not_found_inactive"))
    assert client.get("bill/abc").codes == (400, ["2030"])
    assert client.get(f"companyinfo/{OTHER}").codes == (400, ["610"])
    assert client.get("bills/19").codes == (400, ["500"])


@pytest.mark.parametrize(
    ("statement", "ids"),
    [
        ("select * from Bill where Id = '1'", ["1"]),
        ("SELECT * FROM Bill WHERE Id IN ('1', '3') AND TotalAmt > '15.50' ORDERBY Id ASC", ["3"]),
        ("select * from Bill", ["3", "2", "1"]),
        ("select * from Bill order by TotalAmt desc, Id startposition 2 maxresults 1", ["2"]),
        ("select Id, SyncToken from Bill where DocNumber like 'B-%' orderby DocNumber", ["1", "2", "3"]),
        ("select * from Bill where MetaData.LastUpdatedTime >= '2026-11-05T20:00:00Z'", ["3", "2", "1"]),
        ("select * from Bill where MetaData.LastUpdatedTime > '2026-11-05T12:00:00-08:00'", []),
        ("select * from Vendor", ["5"]),
        ("select * from Vendor where Active in (true, false)", ["4", "5"]),
        ("select * from Vendor where Active = false", ["4"]),
        (r"select * from Vendor where DisplayName = 'Bob\'s Burger Joint'", ["5"]),
    ],
)
def test_query_finds(client: Client, statement: str, ids: list[str]) -> None:
    for number, total in ((1, 10), (2, Decimal("15.5")), (3, 20)):
        client.intuit.put(REALM, "Bill", {"Id": str(number), "DocNumber": f"B-{number}", "TotalAmt": total})
    client.intuit.put(REALM, "Vendor", {"Id": "4", "DisplayName": "Acme"})
    client.intuit.put(REALM, "Vendor", {"Id": "5", "DisplayName": "Bob's Burger Joint"})
    client.intuit.deactivate(REALM, "Vendor", "4")
    assert client.ids(statement) == ids


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("", "4000"),
        ("select from Bill", "4000"),
        ("select * from Bill where Id = 25", "4000"),
        ("select * from Bill where Id = '1' or Id = '2'", "4000"),
        ("select * from Bill where Id not in ('1')", "4000"),
        ("select * from Bill where Id in '1'", "4000"),
        ("select * from Vendor where DisplayName = 'Bob's'", "4000"),
        ("select * from Bill; drop", "4000"),
        ("select * from Vendor where Active = 'true'", "4000"),
        ("select * from Custmoer", "4001"),
        ("select * from Bill where PrivateNote = 'x'", "4001"),
        ("select * from Payment where DocNumber = '1'", "4001"),
        ("select * from Bill order by Line", "4001"),
        ("select * from Bill where Id = 'x'", "4001"),
        ("select * from Bill where MetaData.LastUpdatedTime > 'yesterday'", "4001"),
        ("select * from Bill maxresults 1001", "4001"),
        ("select * from Bill startposition 0", "4001"),
    ],
)
def test_query_refuses(client: Client, statement: str, code: str) -> None:
    assert client.query(statement).codes == (400, [code])


def test_query_shapes(client: Client) -> None:
    stamp = {"time": "2026-11-05T12:00:00.123-08:00"}
    assert client.query("select * from Bill").document == {**sample("query/no_rows.json"), **stamp}
    assert client.query("select * from Custmoer").document["Fault"] == fault("400_4001_invalid_query")
    for _ in range(101):
        client.intuit.put(REALM, "Bill", {"TotalAmt": 1})
    page = client.api("POST", "query", "select * from Bill", Content_Type="application/text").document["QueryResponse"]
    assert (len(page["Bill"]), page["startPosition"], page["maxResults"]) == (100, 1, 100)
    assert client.query("select count(*) from Bill").document == {"QueryResponse": {"totalCount": 101}, **stamp}


@given(st.text() | st.text("selct*fromBilwhrId ='\\(),0123<>%.").map("select * from Bill where ".__add__))
def test_query_parser_only_ever_refuses_in_the_vendors_way(statement: str) -> None:
    try:
        parse(statement, ZoneInfo("America/Los_Angeles"))
    except VendorError as error:
        assert error.code in ("4000", "4001")


def test_change_data_capture(client: Client) -> None:
    moments = (NOON - dt.timedelta(hours=hours) for hours in itertools.count(3, -1))
    client.intuit.now = lambda: moment
    for number in ("1", "2"):
        moment = next(moments)
        client.intuit.put(REALM, "Payment", {"Id": number, "TotalAmt": 1})
    moment = next(moments)
    client.intuit.delete(REALM, "Payment", "1")
    since = urllib.parse.quote((NOON - dt.timedelta(hours=1)).isoformat(timespec="seconds"))
    block = sample("cdc/cdc_response_only_deletion.json")["CDCResponse"][0]["QueryResponse"][0]
    block["Payment"][0] |= {"Id": "1", "MetaData": {"LastUpdatedTime": "2026-11-05T11:00:00-08:00"}}
    found = client.get(f"cdc?entities=Bill,Payment&changedSince={since}").document["CDCResponse"]
    assert found == [{"QueryResponse": [{}, {**block, "startPosition": 1}]}]
    wide = client.get("cdc?entities=Payment&changedSince=2026-11-05").document["CDCResponse"][0]["QueryResponse"][0]
    assert [row["Id"] for row in wide["Payment"]] == ["2", "1"]
    for query in ("Payment&changedSince=2026-10-05", "Payment", "TaxCode&changedSince=2026-11-05"):
        assert client.get(f"cdc?entities={query}").status == 400
    # An offset whose plus sign was not encoded arrives as a space.
    assert client.get("cdc?entities=Bill&changedSince=2026-11-05T00:00:00+01:00").status == 400


def test_change_data_capture_stops_at_a_thousand_objects(client: Client) -> None:
    for _ in range(600):
        client.intuit.put(REALM, "Bill", {})
        client.intuit.put(REALM, "Invoice", {})
    blocks = client.get("cdc?entities=Bill,Invoice&changedSince=2026-11-05").document["CDCResponse"][0]["QueryResponse"]
    assert [block["totalCount"] for block in blocks] == [600, 400]


def test_batch_answers_each_item_for_itself(client: Client) -> None:
    expected = {item["bId"]: item for item in sample("batch/mixed_response.json")["BatchItemResponse"]}
    client.intuit.put(REALM, "SalesReceipt", {"Id": "11", "SyncToken": "1", "TotalAmt": 337})
    request = sample("batch/mixed_request.json")
    answer = client.post("batch", request).document["BatchItemResponse"]
    items = {item["bId"]: item for item in answer}
    assert (items["bid2"], items["bid3"]) == (expected["bid2"], expected["bid3"])
    own = ("Id", "MetaData")
    assert without(items["bid1"]["Vendor"], *own) == without(expected["bid1"]["Vendor"], *own)
    assert list(items["bid4"]["QueryResponse"]) == list(expected["bid4"]["QueryResponse"])
    many = client.post("batch", sample("batch/read_many_request.json")).document["BatchItemResponse"]
    assert [item["bId"] for item in many] == ["bill-1", "inv-1", "je-1"]


def test_batch_refuses_too_many_and_unnamed_items(client: Client) -> None:
    items = [
        {"bId": str(number), "Vendor": {"DisplayName": str(number)}, "operation": "create"} for number in range(31)
    ]
    assert client.post("batch", {"BatchItemRequest": items}).status == 400
    assert client.post("batch", {"BatchItemRequest": [items[0], items[0]]}).status == 400
    assert client.post("batch", {"BatchItemRequest": []}).codes == (400, ["2020"])
    assert client.ids("select * from Vendor") == []
    assert len(client.intuit.violations) == 2
    assert client.post("batch", {"BatchItemRequest": items[:30]}).status == 200
