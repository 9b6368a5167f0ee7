"""Intuit's webhooks: signatures over raw bytes, both bodies as exact notices, and nothing that can crash."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.kernel.contracts import Notice, Parsed
from connector.kernel.errors import BadSignature
from sources.quickbooks_online.source import QuickBooksOnline
from sources.quickbooks_online.webhook import vanished_id

from .wire import FIXTURES, REALM, request, sample

SOURCE = QuickBooksOnline()
VECTORS = json.loads(sample("webhooks/signature_vectors.json"))["vectors"]
TOKEN = "fake-verifier-token-for-tests"


def verify(body: bytes, signature: str, tokens: str) -> None:
    SOURCE.verify(request(body, **{"intuit-signature": signature}), {"webhook_token": tokens}, None)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: f"{vector['file']}-{vector['verifier_token'][:4]}")
def test_vectors_are_accepted_by_the_current_and_by_the_previous_token_and_by_no_other(vector: dict[str, str]) -> None:
    body = sample(f"webhooks/{vector['file']}")
    token, signature = vector["verifier_token"], vector["intuit_signature"]
    verify(body, signature, token)
    verify(body, signature, f"newer-fake-token, {token}")
    for tokens in ("", " , ", "newer-fake-token", token + "x"):
        with pytest.raises(BadSignature):
            verify(body, signature, tokens)
    with pytest.raises(BadSignature):
        verify(body + b"\n", signature, token)


@pytest.mark.parametrize("change", ["", "not base64", "é", "AAAA", "{}=", " {}", "{}\n", "{}AAAA", "\ud800"])
def test_a_signature_that_is_not_exactly_the_right_one_is_refused(change: str) -> None:
    vector = VECTORS[0]
    with pytest.raises(BadSignature):
        verify(sample(f"webhooks/{vector['file']}"), change.format(vector["intuit_signature"]), TOKEN)


def test_a_request_without_the_header_is_refused() -> None:
    with pytest.raises(BadSignature):
        SOURCE.verify(request(b"[]"), {"webhook_token": TOKEN}, None)


def test_content_type_and_the_other_headers_do_not_matter() -> None:
    samples = json.loads(sample("webhooks/request_headers.json"))
    vector = VECTORS[0]
    for headers in (samples["legacy_documented_sample"], *samples["cloudevents_variants_to_accept"]):
        signed = {**headers, "intuit-signature": vector["intuit_signature"]}
        SOURCE.verify(request(sample(f"webhooks/{vector['file']}"), **signed), {"webhook_token": TOKEN}, None)


def at(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text)


def compact(element: Any) -> str:
    return json.dumps(element, separators=(",", ":"))


def cloud(name: str) -> list[str]:
    return [compact(element) for element in json.loads(sample(f"webhooks/{name}.json"))]


def legacy(name: str) -> list[str]:
    (realm,) = json.loads(sample(f"webhooks/{name}.json"))["eventNotifications"]
    return [compact(element) for element in realm["dataChangeEvent"]["entities"]]


def change(
    record: str, word: str, record_id: str, operation: str, time: str, raw: str, key: str = "", account: str = REALM
) -> Notice:
    """A good notice; `time` is as the change key has it, cut to milliseconds."""
    return Notice(
        account=account,
        record=record,
        record_id=record_id,
        operation=operation,
        occurred_at=at(time),
        delivery_key=key,
        change_key=f"{word}|{record_id}|{operation}|{time[:23]}Z",
        raw=raw,
    )


def event_key(number: str) -> str:
    return f"ce:0b6f0f7e-1111-4c2a-9b1e-00000000000{number}"


def mixed() -> list[Notice]:
    raw = cloud("cloudevents_batch_mixed_operations")
    key = event_key
    order = Notice(
        account=REALM,
        record_id="93",
        operation="created",
        occurred_at=at("2026-11-04T08:01:00Z"),
        delivery_key=key("9"),
        change_key="purchaseorder|93|created|2026-11-04T08:01:00.000Z",
        raw=raw[8],
        unknown="no integration tells of purchaseorder records",
    )
    return [
        change("bill", "bill", "25", "created", "2026-11-03T17:20:11.104882Z", raw[0], key("1")),
        change("invoice", "invoice", "130", "updated", "2026-11-03T17:20:15.220000Z", raw[1], key("2")),
        change("payment", "payment", "163", "created", "2026-11-03T17:20:15.301555Z", raw[2], key("3")),
        change("journal_entry", "journalentry", "227", "created", "2026-11-03T17:21:40.000000Z", raw[3], key("4")),
        change("bill_payment", "billpayment", "236", "created", "2026-11-03T17:22:02.950000Z", raw[4], key("5")),
        change("invoice", "invoice", "264", "voided", "2026-11-04T08:00:10.000000Z", raw[5], key("6")),
        change("bill", "bill", "19", "deleted", "2026-11-04T08:00:20.000000Z", raw[6], key("7")),
        change("invoice", "invoice", "266", "emailed", "2026-11-04T08:00:30.000000Z", raw[7], key("8")),
        order,
    ]


def one(name: str, **fields: Any) -> list[Notice]:
    return [Notice(**fields, raw=cloud(name)[0])]


EXPECTED: dict[str, Any] = {
    "cloudevents_account_created": lambda name: [
        change(
            "account",
            "account",
            "1234",
            "created",
            "2025-09-10T21:31:25.179851Z",
            cloud(name)[0],
            "ce:88cd52aa-33b6-4351-9aa4-47572edbd068",
            "310687",
        )
    ],
    "cloudevents_batch_mixed_operations": lambda name: mixed(),
    "cloudevents_class_created_alternative_ids": lambda name: one(
        name,
        account="310687",
        record="class",
        record_id="1234",
        operation="created",
        occurred_at=at("2025-10-07T19:59:07.034359Z"),
        delivery_key="ce:d1a3aedd-9670-41bf-a4f9-c148a1cc4e03",
        change_key="class|1234|created|2025-10-07T19:59:07.034Z",
        unknown="no integration tells of class records",
    ),
    "cloudevents_customer_merged": lambda name: [
        change("customer", "customer", "2", "merged", "2026-11-04T08:02:00.000000Z", cloud(name)[0], event_key("a"))
    ],
    "cloudevents_data_carries_id": lambda name: [
        change(
            "journal_entry",
            "journalentry",
            "227",
            "created",
            "2026-04-02T09:00:00.000000Z",
            cloud(name)[0],
            "ce:batch-test-001",
            "9876543210",
        )
    ],
    "cloudevents_minimal_without_time_source_data": lambda name: one(
        name,
        account="9341455322581846",
        record="invoice",
        record_id="29",
        operation="deleted",
        delivery_key="ce:delete-event",
    ),
    "legacy_account_create": lambda name: [
        change(
            "account", "account", "1234", "created", "2025-09-08T20:52:31.657000Z", legacy(name)[0], account="310687"
        )
    ],
    "legacy_bill_invoice_payment_journalentry": lambda name: [
        change("bill", "bill", "25", "created", "2026-11-03T17:20:11.000000Z", legacy(name)[0]),
        change("invoice", "invoice", "130", "updated", "2026-11-03T17:20:15.000000Z", legacy(name)[1]),
        change("payment", "payment", "163", "created", "2026-11-03T17:20:15.000000Z", legacy(name)[2]),
        change("journal_entry", "journalentry", "227", "created", "2026-11-03T17:21:40.000000Z", legacy(name)[3]),
        change("bill_payment", "billpayment", "236", "created", "2026-11-03T17:22:02.000000Z", legacy(name)[4]),
    ],
    "legacy_customer_create_offset_without_colon": lambda name: [
        change("customer", "customer", "1", "created", "2015-10-05T21:42:19.000000Z", legacy(name)[0], "", "1185883450")
    ],
    "legacy_merge_void_delete_emailed": lambda name: [
        change("vendor", "vendor", "30", "merged", "2026-11-04T08:00:00.000000Z", legacy(name)[0]),
        change("invoice", "invoice", "264", "voided", "2026-11-04T08:00:10.000000Z", legacy(name)[1]),
        change("bill", "bill", "19", "deleted", "2026-11-04T08:00:20.000000Z", legacy(name)[2]),
        change("invoice", "invoice", "266", "emailed", "2026-11-04T08:00:30.000000Z", legacy(name)[3]),
    ],
    "legacy_vendor_update_customer_create": lambda name: [
        change("vendor", "vendor", "40", "updated", "2016-10-05T03:09:04.000000Z", legacy(name)[0], "", "1269959970"),
        change(
            "customer", "customer", "43", "created", "2016-10-05T03:07:04.000000Z", legacy(name)[1], "", "1269959970"
        ),
    ],
}


@pytest.mark.parametrize("name", EXPECTED)
def test_every_sample_becomes_exactly_its_notices(name: str) -> None:
    assert SOURCE.parse(request(sample(f"webhooks/{name}.json"))) == Parsed(tuple(EXPECTED[name](name)))


def test_no_sample_is_left_out() -> None:
    bodies = {path.stem for path in (FIXTURES / "webhooks").glob("*.json")}
    assert bodies - {"request_headers", "signature_vectors"} == set(EXPECTED)


def test_a_merge_keeps_the_id_that_vanished() -> None:
    for name, vanished in (("legacy_merge_void_delete_emailed", "46"), ("cloudevents_customer_merged", "58")):
        assert vanished_id(SOURCE.parse(request(sample(f"webhooks/{name}.json"))).notices[0].raw) == vanished
    assert vanished_id("") == vanished_id("[1]") == vanished_id('{"deletedId": true}') == ""
    assert vanished_id('{"deletedid": 46}') == "46"


def test_both_formats_give_one_change_the_same_key() -> None:
    old = {"name": "Bill", "id": 25, "operation": "Void", "lastUpdated": "2026-11-03T09:20:11.104-0800"}
    new = {
        "type": "QBO.Bill.Voided.v2",
        "intuitentityid": "25",
        "intuitaccountid": 1,
        "time": "2026-11-03T17:20:11.104882310Z",
    }
    envelope = {"eventNotifications": [{"realmId": "1", "dataChangeEvent": {"entities": [old]}}]}
    for body in (envelope, [new], {**new, "specversion": "1.0"}):
        (notice,) = SOURCE.parse(request(compact(body).encode())).notices
        assert notice.change_key == "bill|25|voided|2026-11-03T17:20:11.104Z"
        assert (notice.account, notice.delivery_key, notice.problem, notice.unknown) == ("1", "", "", "")


GOOD = {"id": "ok", "type": "qbo.bill.created.v1", "intuitentityid": "25", "intuitaccountid": "7"}
KNOWN = Notice("7", "bill", "25", "created", delivery_key="ce:ok", raw=compact(GOOD))


@pytest.mark.parametrize(
    ("wrong", "lost", "told"),
    [
        ({"intuitentityid": True}, ["record_id"], "problem: intuitentityid is not text"),
        ({"intuitentityid": "\ud800"}, ["record_id"], "problem: intuitentityid is missing or not an ID"),
        ({"intuitaccountid": ["7"]}, ["account"], "problem: intuitaccountid is not text"),
        ({"type": {}}, ["record", "operation"], "problem: type is not text"),
        ({"time": "yesterday"}, [], "problem: time is not a time"),
        ({"type": "qbo.bill.shredded.v1"}, ["operation"], "unknown: no integration knows the operation shredded"),
        ({"type": "com.example.ping"}, ["record", "operation"], "unknown: no integration tells of unnamed records"),
    ],
)
def test_a_bad_element_is_told_and_costs_the_good_ones_nothing(wrong: Any, lost: list[str], told: str) -> None:
    element = {**GOOD, **wrong}
    first, odd, last = SOURCE.parse(request(compact([GOOD, element, GOOD]).encode())).notices
    field, _, text = told.partition(": ")
    changed: dict[str, Any] = {"raw": compact(element), field: text, **dict.fromkeys(lost, "")}
    assert odd == dataclasses.replace(KNOWN, **changed)
    assert first == last == KNOWN


def test_an_element_without_id_and_time_is_known_by_its_place_in_the_body() -> None:
    nameless = {**GOOD, "id": ""}
    body = compact([nameless, 5]).encode()
    digest = hashlib.sha256(body).hexdigest()
    told = "intuitaccountid is missing or not an ID; intuitentityid is missing or not an ID; type is missing"
    assert SOURCE.parse(request(body)).notices == (
        dataclasses.replace(KNOWN, delivery_key=f"{digest}:0", raw=compact(nameless)),
        Notice("", delivery_key=f"{digest}:1", raw="5", problem=told),
    )


def test_a_realm_whose_entities_are_no_list_is_a_problem_of_that_realm() -> None:
    realm = {"realmId": "7", "dataChangeEvent": {"entities": "many"}}
    fine = {"realmId": "8", "dataChangeEvent": {"entities": [{"name": "Bill", "id": "1", "operation": "Create"}]}}
    body = compact({"eventNotifications": [realm, fine]}).encode()
    bad, good = SOURCE.parse(request(body)).notices
    digest = hashlib.sha256(body).hexdigest()
    told = "id is missing or not an ID; name is missing"
    assert bad == Notice("7", delivery_key=f"{digest}:0", raw=compact(realm), problem=told)
    raw = compact(fine["dataChangeEvent"]["entities"][0])  # type: ignore[index]
    assert good == Notice("8", "bill", "1", "created", delivery_key=f"{digest}:1", raw=raw)


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"", "the body is not JSON (JSONDecodeError)"),
        (b"\xff\xfe\x00", "the body is not JSON (UnicodeDecodeError)"),
        (b"[NaN]", "the body holds NaN, which is not JSON"),
        (b"[" * 101 + b"]" * 101, "the body is nested too deeply"),
        (b'{"eventNotifications": 5}', "the body is neither a list of CloudEvents nor an eventNotifications envelope"),
        (b'"hello"', "the body is neither a list of CloudEvents nor an eventNotifications envelope"),
    ],
)
def test_a_body_that_is_no_notification_is_one_problem(body: bytes, problem: str) -> None:
    key, raw = hashlib.sha256(body).hexdigest(), body.decode("utf-8", "replace")
    assert SOURCE.parse(request(body)) == Parsed((Notice("", delivery_key=key, raw=raw, problem=problem),))


@pytest.mark.parametrize("body", [b"[]", b'{"eventNotifications": []}'])
def test_a_notification_of_nothing_is_nothing(body: bytes) -> None:
    assert SOURCE.parse(request(body)) == Parsed()


WORDS = """eventNotifications realmId dataChangeEvent entities name id operation lastUpdated
specversion type time intuitentityid intuitaccountid data"""
KEYS = st.sampled_from(WORDS.split())
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters())
    | st.sampled_from(["Bill", "Create", "qbo.bill.created.v1", "2026-11-03T17:20:11Z", "0001-01-01T00:00:00+14:00"])
)
DOCUMENTS = st.recursive(SCALARS, lambda child: st.lists(child, max_size=4) | st.dictionaries(KEYS, child, max_size=8))


@given(st.binary() | DOCUMENTS.map(lambda document: json.dumps(document).encode()))
def test_nothing_that_can_be_sent_makes_parsing_fail(body: bytes) -> None:
    for notice in SOURCE.parse(request(body)).notices:
        assert notice.delivery_key or notice.change_key
        assert notice.problem or (notice.account and notice.record_id)
        assert (notice.record_id + notice.account + notice.delivery_key).isascii()
