"""Notices to records: as few calls as the vendor's batching allows, and no record lost or confused."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest

from connector.kernel.contracts import Notice, Record
from connector.kernel.errors import Reauthorize, Refresh, Reject, Retry
from connector.kernel.values import parse_json
from sources.quickbooks_online.client import Client
from sources.quickbooks_online.errors import Gone
from sources.quickbooks_online.queries import Query
from sources.quickbooks_online.source import QuickBooksOnline

from . import wire
from .wire import NOW, REALM, Api, context, entity, sample

api = wire.api

SOURCE = QuickBooksOnline()
DELETED = sample("faults/400_610_object_not_found_deleted.json")


def notice(record: str, record_id: str, operation: str = "updated") -> Notice:
    return Notice(REALM, record, record_id, operation, NOW, change_key=f"{record}|{record_id}|{operation}")


def fetch(api: Api, notices: Iterable[Notice]) -> list[tuple[Notice, Any]]:
    return list(SOURCE.fetch(context(api.url), list(notices)))


def page(name: str, *documents: Any) -> dict[str, Any]:
    return {"QueryResponse": {name: list(documents)} if documents else {}}


def batch(*items: Any) -> dict[str, Any]:
    return {"BatchItemResponse": [{**item, "bId": f"q{number}"} for number, item in enumerate(items)]}


def kinds(fetched: list[tuple[Notice, Any]]) -> list[tuple[str, str]]:
    return [
        (asked.record_id, "gone" if getattr(got, "is_gone", False) else type(got).__name__) for asked, got in fetched
    ]


def test_one_record_is_read_by_its_id(api: Api) -> None:
    api.on("GET bill/25$", sample("entities/bill_paid.json"))
    asked = notice("bill", "25")
    ((told, record),) = fetch(api, [asked])
    assert told == asked
    assert record == Record(
        record="bill",
        record_id="25",
        body=entity("bill_paid"),
        version=(2, "2015-02-09T18:11:11.000Z"),
        created_at=NOW.replace(2014, 11, 6, 23, 37, 25),
        updated_at=NOW.replace(2015, 2, 9, 18, 11, 11),
    )
    assert api.asked() == ["GET bill/25"]


def test_fifty_bills_are_one_query(api: Api) -> None:
    ids = [str(number) for number in range(1, 51)]
    api.on("query", page("Bill", *({"Id": number, "SyncToken": "3"} for number in reversed(ids))))
    fetched = fetch(api, [notice("bill", number) for number in ids])
    assert [(asked.record_id, got.record_id, got.version) for asked, got in fetched] == [(n, n, (3, "")) for n in ids]
    quoted = ",".join(f"'{number}'" for number in ids)
    assert api.asked() == [f"GET query query=select * from Bill where Id in ({quoted}) maxresults 1000"]


def test_lists_are_asked_for_inactive_rows_too(api: Api) -> None:
    api.on("query", page("Vendor", {"Id": "30", "Active": False}, {"Id": "31"}))
    assert kinds(fetch(api, [notice("vendor", "30", "deleted"), notice("vendor", "31")])) == [
        ("30", "Record"),
        ("31", "Record"),
    ]
    assert api.asked() == [
        "GET query query=select * from Vendor where Id in ('30','31') and Active in (true, false) maxresults 1000"
    ]


def test_several_entities_are_one_batch_and_a_missing_id_is_confirmed(api: Api) -> None:
    numbers = {b'"bill-1"': b'"q0"', b'"inv-1"': b'"q1"', b'"je-1"': b'"q2"'}
    body = sample("batch/read_many_response.json")
    for theirs, ours in numbers.items():
        body = body.replace(theirs, ours)
    api.on("batch", body)
    api.on("GET bill/19", sample("entities/bill_open_department_class.json"))
    api.on("GET journalentry/999999", DELETED, 400)
    wanted = [("bill", "25"), ("bill", "19"), ("invoice", "130"), ("journal_entry", "999999"), ("bill", "25")]
    notices = [notice(*key) for key in wanted]
    fetched = fetch(api, notices)
    assert kinds(fetched) == [
        ("25", "Record"),
        ("25", "Record"),
        ("130", "Record"),
        ("19", "Record"),
        ("999999", "gone"),
    ]
    assert {asked for asked, _ in fetched} == set(notices)
    assert fetched[2][1].body == entity("invoice_taxed")
    assert fetched[4][1] == Record("journal_entry", "999999", is_gone=True)
    assert api.asked() == [
        "POST batch select * from Bill where Id in ('25','19') maxresults 1000"
        " | select * from Invoice where Id in ('130') maxresults 1000"
        " | select * from JournalEntry where Id in ('999999') maxresults 1000",
        "GET bill/19",
        "GET journalentry/999999",
    ]
    ours = api.calls[0].json()["BatchItemRequest"]
    theirs = json.loads(sample("batch/read_many_request.json"))["BatchItemRequest"]
    assert [set(item) for item in ours] == [set(item) for item in theirs]


def test_more_ids_than_a_query_takes_are_portions_of_one_batch(api: Api) -> None:
    ids = [str(number) for number in range(250)]
    api.on("batch", batch(*(page("Bill", *({"Id": n} for n in ids[at : at + 100])) for at in (0, 100, 200))))
    assert kinds(fetch(api, [notice("bill", n) for n in ids])) == [(n, "Record") for n in ids]
    assert len(api.calls) == 1


def test_a_thousand_changes_in_portions_of_fifty_cost_forty_calls_at_the_most(api: Api) -> None:
    for start in range(0, 1000, 50):
        api.on("query", page("Invoice", *({"Id": str(n)} for n in range(start, start + 50))))
        fetched = fetch(api, [notice("invoice", str(n)) for n in range(start, start + 50)])
        assert kinds(fetched) == [(str(n), "Record") for n in range(start, start + 50)]
    assert len(api.calls) == 20


def test_deleted_transactions_need_no_call_and_deleted_lists_do(api: Api) -> None:
    transactions = ["bill", "bill_payment", "invoice", "payment", "journal_entry"]
    fetched = fetch(api, [notice(record, "7", "deleted") for record in transactions])
    assert [got for _, got in fetched] == [Record(record, "7", is_gone=True, updated_at=NOW) for record in transactions]
    assert not api.calls
    api.on("GET account/5", sample("entities/account_deactivated.json"))
    ((_, account),) = fetch(api, [notice("account", "5", "deleted")])
    assert (account.is_gone, account.body["Active"]) == (False, False)


def test_a_record_that_the_vendor_has_no_more_is_gone(api: Api) -> None:
    api.on("GET vendor/5", sample("faults/400_610_object_not_found_inactive.json"), 400)
    assert fetch(api, [notice("vendor", "5")]) == [(notice("vendor", "5"), Record("vendor", "5", is_gone=True))]


def test_the_error_of_one_record_stands_in_its_place(api: Api) -> None:
    api.on("GET bill/x", {"Fault": {"Error": [{"code": "2030"}]}}, 400)
    api.on("batch", batch(page("Bill", {"Id": "1"}), {"Fault": {"Error": [{"code": "10000"}]}}, {}))
    api.on("GET bill/2", b"", 500)
    wanted = [("bill", "x"), ("bill", "1"), ("bill", "2"), ("invoice", "3"), ("payment", "4"), ("order", "9")]
    fetched = fetch(api, [notice(*key) for key in wanted])
    assert kinds(fetched) == [
        ("9", "Reject"),
        ("x", "Reject"),
        ("1", "Record"),
        ("3", "Retry"),
        ("4", "Retry"),
        ("2", "Retry"),
    ]
    assert [got.code for _, got in fetched if not isinstance(got, Record)] == ["", "2030", "10000", "unreadable", ""]


def test_the_error_of_all_is_raised(api: Api) -> None:
    two = [notice("bill", "1"), notice("invoice", "2")]
    api.on("bill/1", sample("faults/401_3200_token_expired_lowercase.json"), 401)
    api.on("query", sample("faults/403_3100_application_authorization_failed_lowercase.json"), 403)
    api.on("batch", batch({"Fault": {"Error": [{"code": "003001"}]}}, page("Invoice")))
    with pytest.raises(Refresh):
        fetch(api, two[:1])
    with pytest.raises(Reauthorize):
        fetch(api, [notice("bill", "1"), notice("bill", "2")])
    with pytest.raises(Retry) as caught:
        fetch(api, two)
    assert caught.value.pause_connection


def test_a_batch_without_an_answer_is_halved_once(api: Api) -> None:
    records = {"bill": "Bill", "invoice": "Invoice", "payment": "Payment", "bill_payment": "BillPayment"}
    notices = [notice(record, "1") for record in records]
    api.fail("batch", "cut_before")
    api.on("from Bill ", batch(page("Bill", {"Id": "1"}), page("Invoice", {"Id": "1"})))
    api.on("from Payment ", batch(page("Payment", {"Id": "1"}), page("BillPayment", {"Id": "1"})))
    assert kinds(fetch(api, notices)) == [("1", "Record")] * 4
    assert len(api.calls) == 3
    api.clear()
    api.fail("batch", "cut_before", times=2)
    api.on("from Payment ", batch(page("Payment", {"Id": "1"}), page("BillPayment", {"Id": "1"})))
    assert kinds(fetch(api, notices)) == [("1", "NoAnswer"), ("1", "NoAnswer"), ("1", "Record"), ("1", "Record")]
    assert len(api.calls) == 3


def test_a_document_that_cannot_be_read_is_refused_without_quoting_it(api: Api) -> None:
    api.on("bill/25", {"Bill": {"Id": "25", "MetaData": {"LastUpdatedTime": "secret nonsense"}}})
    ((_, error),) = fetch(api, [notice("bill", "25")])
    assert type(error) is Reject
    assert str(error) == "the record cannot be read: MetaData.LastUpdatedTime is not a time"


def test_items_of_a_batch_stand_for_themselves(api: Api) -> None:
    body = sample("batch/mixed_response.json")
    ids = [item["bId"] for item in json.loads(sample("batch/mixed_request.json"))["BatchItemRequest"]]
    for number, theirs in enumerate(ids):
        body = body.replace(f'"{theirs}"'.encode(), f'"q{number}"'.encode())
    api.on("batch", body)
    results = Client(context(api.url)).run([Query("SalesReceipt", f"statement {number}") for number in range(4)])
    created, missing, stale, found = results
    assert [(type(error), getattr(error, "code", "")) for error in (created, missing, stale)] == [
        (Retry, "unreadable"),
        (Gone, "610"),
        (Reject, "5010"),
    ]
    assert isinstance(found, list)
    assert found == parse_json(body)["BatchItemResponse"][3]["QueryResponse"]["SalesReceipt"]


def test_samples_of_queries_are_read(api: Api) -> None:
    api.on("query", sample("query/accounts_page.json"))
    ids = ["13320", "12079", "636", "1688"]
    assert kinds(fetch(api, [notice("account", number) for number in ids])) == [(n, "Record") for n in ids]
    api.on("query", sample("query/inactive_vendors_head.json"))
    assert kinds(fetch(api, [notice("vendor", "56"), notice("vendor", "30")])) == [("56", "Record"), ("30", "Record")]
    for empty in ("no_rows", "count"):
        api.clear()
        api.on("query", sample(f"query/{empty}.json"))
        api.on("bill/1", DELETED, 400)
        api.on("bill/2", DELETED, 400)
        assert kinds(fetch(api, [notice("bill", "1"), notice("bill", "2")])) == [("1", "gone"), ("2", "gone")]
        assert len(api.calls) == 3
