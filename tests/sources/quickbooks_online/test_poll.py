"""Change data capture: full records with their operation, the cap, and a cursor that never skips."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest

from connector.kernel.contracts import Batch, Notice, Record
from connector.kernel.errors import Refresh, Reject, Retry
from connector.kernel.values import parse_json
from sources.quickbooks_online.source import QuickBooksOnline

from . import wire
from .wire import NOW, REALM, Api, context, sample

api = wire.api

SOURCE = QuickBooksOnline()
ALL = "Bill,BillPayment,Invoice,Payment,JournalEntry,Vendor,Customer,Account"
SINCE = "2026-11-19T12:00:00.000Z"


def poll(api: Api, cursor: dict[str, Any] | None = None, since: dt.datetime | None = None) -> list[Batch]:
    return list(SOURCE.poll(context(api.url), {"changed_since": SINCE} if cursor is None else cursor, since=since))


def cdc(time: str = "2026-11-20T04:00:00-08:00", **blocks: Any) -> dict[str, Any]:
    found = [{name: rows, "maxResults": len(rows)} if rows else {} for name, rows in blocks.items()]
    return {"CDCResponse": [{"QueryResponse": found}], "time": time}


def row(number: int, updated: str = "2026-11-20T10:00:00Z", created: str = "2026-11-01T00:00:00Z") -> dict[str, Any]:
    times = {"CreateTime": created, "LastUpdatedTime": updated}
    return {"Id": str(number), "SyncToken": "1", "MetaData": times}


def asked_cdc(since: str = "2026-11-19T12:00:00Z", entities: str = ALL) -> str:
    return f"GET cdc entities={entities} changedSince={since}"


def change(record: str, word: str, record_id: str, operation: str, token: int, time: str) -> Notice:
    return Notice(
        account=REALM,
        record=record,
        record_id=record_id,
        operation=operation,
        occurred_at=dt.datetime.fromisoformat(time),
        delivery_key=f"cdc:{word}|{record_id}|{'gone' if operation == 'deleted' else token}|{time}",
        change_key=f"{word}|{record_id}|{operation}|{time}",
    )


def test_the_first_poll_looks_back_at_nothing(api: Api) -> None:
    assert poll(api, {}) == [Batch(cursor={"changed_since": "2026-11-20T12:00:00.000Z"})]
    assert not api.calls


def test_the_captured_answer_becomes_full_records_oldest_first(api: Api) -> None:
    body = sample("cdc/cdc_response_with_deletion_and_empty_blocks.json")
    api.on("cdc", body)
    (batch,) = poll(api)
    assert [told for told, _ in batch.records] == [
        # The records are far older than the cursor, so none counts as new.
        change("invoice", "invoice", "65", "deleted", 0, "2016-04-13T14:34:31.000Z"),
        change("invoice", "invoice", "103", "updated", 2, "2016-04-13T14:34:40.000Z"),
        change("payment", "payment", "147", "updated", 0, "2016-04-13T14:34:40.000Z"),
        change("bill", "bill", "126", "updated", 1, "2016-04-13T14:34:55.000Z"),
        change("bill_payment", "billpayment", "148", "updated", 0, "2016-04-13T14:34:55.000Z"),
        change("bill", "bill", "19", "updated", 1, "2016-04-13T14:35:06.000Z"),
        change("bill_payment", "billpayment", "149", "updated", 0, "2016-04-13T14:35:06.000Z"),
    ]
    at = dt.datetime(2016, 4, 13, 14, 34, 31, tzinfo=dt.UTC)
    assert batch.records[0][1] == Record("invoice", "65", is_gone=True, updated_at=at)
    bill = parse_json(body)["CDCResponse"][0]["QueryResponse"][0]["Bill"][0]
    assert batch.records[3][1].body == bill
    assert batch.records[3][1].version == (1, "2016-04-13T14:34:55.000Z")
    assert batch.notices == ()
    assert api.asked() == [asked_cdc()]


def test_what_was_made_since_the_cursor_is_created(api: Api) -> None:
    made = [row(1, created="2026-11-19T11:59:59Z"), row(2, created="2026-11-19T12:00:00Z")]
    api.on("cdc", cdc(Bill=made))
    (batch,) = poll(api, {"changed_since": "2026-11-19T12:00:00.500Z"})
    assert [told.operation for told, _ in batch.records] == ["updated", "created"]
    assert batch.cursor == {"changed_since": "2026-11-20T11:55:00.000Z"}


@pytest.mark.parametrize(
    ("name", "expected"),
    [("empty", []), ("deposits", []), ("only_deletion", [("payment", "39", "deleted")])],
)
def test_the_other_samples(api: Api, name: str, expected: list[tuple[str, str, str]]) -> None:
    api.on("cdc", sample(f"cdc/cdc_response_{name}.json"))
    (batch,) = poll(api)
    assert [(told.record, told.record_id, told.operation) for told, _ in batch.records] == expected
    # The vendor's clock of these samples is years back; the cursor never goes back with it.
    assert batch.cursor == {"changed_since": "2026-11-19T12:00:00.000Z"}


@pytest.mark.parametrize(
    ("cursor", "since", "asked"),
    [
        ({}, NOW - dt.timedelta(hours=2), "2026-11-20T10:00:00Z"),
        ({"changed_since": SINCE}, NOW - dt.timedelta(days=9), "2026-11-19T12:00:00Z"),
        ({"changed_since": "2020-01-01T00:00:00Z"}, None, "2026-10-22T12:00:00Z"),
        ({"changed_since": "2030-01-01T00:00:00Z"}, None, "2026-11-20T12:00:00Z"),
        ({"changed_since": "garbage"}, NOW - dt.timedelta(hours=2), "2026-11-20T10:00:00Z"),
    ],
)
def test_how_far_back_is_asked(api: Api, cursor: dict[str, Any], since: dt.datetime | None, asked: str) -> None:
    api.on("cdc", cdc())
    poll(api, cursor, since)
    assert api.asked() == [asked_cdc(asked)]


def test_a_row_that_cannot_be_read_is_a_problem_and_costs_the_others_nothing(api: Api) -> None:
    api.on("cdc", cdc(Bill=[{"Id": {}}, row(2)]))
    (batch,) = poll(api)
    (broken,) = batch.notices
    assert (broken.record, broken.problem, broken.raw) == ("bill", "Id is not text", '{"Id":{}}')
    assert broken.delivery_key.startswith("cdc:")
    assert [told.record_id for told, _ in batch.records] == ["2"]


def test_a_full_answer_is_asked_for_again_by_entity_and_a_full_entity_page_by_page(api: Api) -> None:
    since = "2026-11-19T12:00:00Z"
    api.on(f"entities={ALL} ", cdc(Bill=[row(1)], Vendor=[row(n) for n in range(999)]))
    gone = {"Id": "5", "status": "Deleted", "MetaData": {"LastUpdatedTime": "2026-11-20T09:00:00Z"}}
    for name in ALL.split(","):
        full = {"Vendor": [gone, *(row(n) for n in range(10, 1009))]}.get(name, [row(1)] if name == "Bill" else [])
        api.on(f"entities={name} ", cdc("2026-11-20T04:00:09-08:00", **{name: full}))
    api.on("startposition 1 ", {"QueryResponse": {"Vendor": [row(n) for n in range(1000)]}})
    api.on("startposition 951 ", {"QueryResponse": {"Vendor": [row(n) for n in range(950, 1200)]}})
    batches = poll(api)
    where = f"where MetaData.LastUpdatedTime >= '{since}' and Active in (true, false)"
    query = f"GET query query=select * from Vendor {where} order by MetaData.LastUpdatedTime"
    assert api.asked() == [
        asked_cdc(),
        *(asked_cdc(entities=name) for name in ("Bill", "BillPayment", "Invoice", "Payment", "JournalEntry", "Vendor")),
        f"{query} startposition 1 maxresults 1000",
        f"{query} startposition 951 maxresults 1000",
        asked_cdc(entities="Customer"),
        asked_cdc(entities="Account"),
    ]
    found = {(told.record, told.record_id, told.operation) for batch in batches for told, _ in batch.records}
    expected = {("vendor", str(n), "updated") for n in range(1200)}
    assert found == expected | {("bill", "1", "updated"), ("vendor", "5", "deleted")}
    # Only the end of it all moves the cursor, by the earliest of the answers.
    assert [batch.cursor for batch in batches[:-1]] == [None] * (len(batches) - 1)
    assert batches[-1] == Batch(cursor={"changed_since": "2026-11-20T11:55:00.000Z"})


def test_without_an_answer_one_entity_is_asked_at_a_time(api: Api) -> None:
    api.fail("cdc", "cut_before")
    for name in ALL.split(","):
        blocks: dict[str, Any] = {name: [row(1)]}
        api.on(f"entities={name} ", cdc(**blocks))
    batches = poll(api)
    assert [told.record for batch in batches for told, _ in batch.records] == [
        "bill",
        "bill_payment",
        "invoice",
        "payment",
        "journal_entry",
        "vendor",
        "customer",
        "account",
    ]
    assert len(api.calls) == 9


@pytest.mark.parametrize(
    ("document", "kind"),
    [
        ({"CDCResponse": [{"QueryResponse": [{}, {"Fault": {"Error": [{"code": "10000"}]}}]}]}, Retry),
        ({"CDCResponse": [{"Fault": {"Error": [{"code": "4001"}]}}]}, Reject),
        ({"fault": {"error": [{"code": "3200"}]}}, Refresh),
        ({"time": "2026-11-20T04:00:00-08:00"}, Retry),
        ({"CDCResponse": [{"QueryResponse": [{"Bill": 5}]}]}, Retry),
    ],
)
def test_an_answer_with_a_fault_is_no_answer(api: Api, document: Any, kind: type[Exception]) -> None:
    api.on("cdc", json.dumps(document).encode())
    with pytest.raises(kind):
        poll(api)
