"""The stand-in's change events: what they carry, and how the Pub/Sub service delivers and refuses."""

from __future__ import annotations

import base64
import datetime as dt
import io
import json
from collections.abc import Iterator
from typing import Any

import fastavro
import grpc
import pytest

from sources.salesforce.standin import SalesforceStandIn
from sources.salesforce.standin_avro import schema
from sources.salesforce.standin_streams import ERROR_STATUSES
from sources.salesforce.standin_types import object_types
from tests.sources.salesforce.standin_client import NOON, Client, refusal, sample

ACCOUNTS, ORDERS = "/data/AccountChangeEvent", "/data/OrderChangeEvent"
NOON_MS = int(NOON.timestamp()) * 1000


@pytest.fixture
def org() -> Iterator[SalesforceStandIn]:
    standin = SalesforceStandIn()
    standin.now = lambda: NOON
    with standin:
        yield standin


@pytest.fixture
def client(org: SalesforceStandIn) -> Client:
    return Client(org)


def decode(client: Client, event: Any) -> dict[str, Any]:
    """An event by the schema that it names; all of its bytes must be used."""
    document = json.loads(client.schema(event.event.schema_id).schema_json)
    stream = io.BytesIO(event.event.payload)
    found: Any = fastavro.schemaless_reader(stream, fastavro.parse_schema(document), None)
    assert stream.read() == b""
    return {name: value for name, value in found.items() if value is not None}


# Schemas and bitmaps


def bare(document: Any) -> Any:
    """A schema without the numbers of custom fields in its docs."""
    fields = [{**field, "doc": ":".join(field["doc"].split(":")[:2])} for field in document["fields"]]
    return {**document, "fields": fields}


@pytest.mark.parametrize(("entity", "missing"), [("Account", {"QBO_Sync_Token__c"}), ("Order", set())])
def test_schemas_are_those_of_the_samples(entity: str, missing: set[str]) -> None:
    wanted = bare(sample(f"{entity}ChangeEvent.avsc"))
    wanted["fields"] = [field for field in wanted["fields"] if field["name"] not in missing]
    assert bare(json.loads(schema(object_types()[entity]).json)) == wanted


def test_sample_events_encode_to_the_same_bytes() -> None:
    parsed = {
        f"/data/{entity}ChangeEvent": fastavro.parse_schema(sample(f"{entity}ChangeEvent.avsc"))
        for entity in ("Account", "Order")
    }
    shapes = {f"/data/{entity}ChangeEvent": schema(object_types()[entity]) for entity in ("Account", "Order")}
    for event in sample("events.json"):
        payload = base64.b64decode(event["event"]["payload_base64"])
        document: Any = fastavro.schemaless_reader(io.BytesIO(payload), parsed[event["topic"]], None)
        header = document.pop("ChangeEventHeader")
        # The sample's Account has one field more at its end, whose null is one byte.
        ours = shapes[event["topic"]].encode(header, {k: v for k, v in document.items() if v is not None})
        assert ours + b"\x00" * (event["topic"] == ACCOUNTS) == payload


def test_bitmaps_name_fields_and_parts_of_compound_fields() -> None:
    account, order = schema(object_types()["Account"]), schema(object_types()["Order"])
    assert account.bitmaps(["Name"]) == ["0x02"]
    assert account.bitmaps(["Name", "Industry"]) == ["0x0402"]
    assert account.bitmaps(["BillingCity"]) == ["4-0x02"]
    assert account.bitmaps(["BillingLatitude", "BillingLongitude"]) == ["4-0x0180"]
    assert account.bitmaps(["Name", "LastModifiedDate", "BillingCity"]) == ["0x020002", "4-0x02"]
    activation = ["Status", "StatusCode", "ActivatedDate", "ActivatedById", "LastModifiedDate"]
    assert order.bitmaps(activation) == ["0x02070200"]


# What an event carries


def test_create_carries_all_populated_fields(client: Client) -> None:
    with client.subscribe(ACCOUNTS) as stream:
        assert client.org.wait_for_streams()
        identifier = client.org.create("Account", Name="Northwind Bakery", BillingCity="Austin", Phone="1")
        answer = stream.next()
    event = decode(client, answer.events[0])
    header = event.pop("ChangeEventHeader")
    user = client.org.person
    assert (len(header.pop("transactionKey")), header.pop("commitNumber") > 2**40) == (36, True)
    assert header == {
        "entityName": "Account",
        "recordIds": [identifier],
        "changeType": "CREATE",
        "changeOrigin": "com/salesforce/api/soap/68.0;client=SfdcInternalAPI/",
        "sequenceNumber": 1,
        "commitTimestamp": NOON_MS,
        "commitUser": user,
        "nulledFields": [],
        "diffFields": [],
        "changedFields": [],
    }
    names = ("Street", "City", "State", "PostalCode", "Country", "StateCode", "CountryCode", "Latitude", "Longitude")
    assert event == {
        "Name": "Northwind Bakery",
        "BillingAddress": {**dict.fromkeys((*names, "GeocodeAccuracy")), "City": "Austin"},
        "Phone": "1",
        "OwnerId": user,
        "CreatedDate": NOON_MS,
        "CreatedById": user,
        "LastModifiedDate": NOON_MS,
        "LastModifiedById": user,
    }


def test_update_carries_changes_alone_and_tells_nulls(client: Client) -> None:
    identifier = client.account("58", Phone="1", Industry="Retail")
    client.org.now = lambda: NOON + dt.timedelta(minutes=1)
    client.send("PATCH", f"sobjects/Account/{identifier}", {"Phone": None, "QBO_Department__c": "West"})
    event = client.org.events()[-1]
    header = event.pop("ChangeEventHeader")
    assert (header["changeType"], header["changedFields"], header["nulledFields"]) == ("UPDATE", ["0x120040"], ["0x40"])
    assert (header["commitUser"], header["changeOrigin"]) == (
        client.org.run_as,
        "com/salesforce/api/rest/68.0;client=ml-connector",
    )
    assert event == {"LastModifiedDate": NOON_MS + 60_000, "QBO_Department__c": "West"}


def test_activation_tells_neither_account_nor_lines(client: Client) -> None:
    order = client.org.add_order(client.account(), [(client.org.add_product("Design"), 1, "10")])
    client.org.now = lambda: NOON + dt.timedelta(minutes=1)
    client.org.activate(order)
    active = client.org.events()[-1]
    client.org.now = lambda: NOON + dt.timedelta(minutes=2)
    client.org.deactivate(order)
    draft = client.org.events()[-1]
    assert active.pop("ChangeEventHeader")["changedFields"] == ["0x02070200"]
    assert active == {
        "Status": "Activated",
        "ActivatedDate": NOON_MS + 60_000,
        "ActivatedById": client.org.person,
        "StatusCode": "Activated",
        "LastModifiedDate": NOON_MS + 60_000,
    }
    assert draft["ChangeEventHeader"]["nulledFields"] == ["0x030000"]
    made = client.org.events()[1:4]
    headers = [each["ChangeEventHeader"] for each in made]
    told = [(header["entityName"], header["sequenceNumber"]) for header in headers]
    assert told == [("Order", 1), ("OrderItem", 2), ("Order", 1)]
    assert made[0]["EffectiveDate"] == int(dt.datetime(2026, 11, 20, tzinfo=dt.UTC).timestamp()) * 1000
    assert made[0]["TotalAmount"] == 10.0


def test_contacts_have_a_compound_name(client: Client) -> None:
    contact = client.org.create("Contact", FirstName="Bo", LastName="Baker")
    client.org.edit("Contact", contact, LastName="Miller")
    made, changed = client.org.events()
    assert made["Name"] == {"Salutation": None, "FirstName": "Bo", "LastName": "Baker"}
    assert changed.pop("ChangeEventHeader")["changedFields"] == ["2-0x04"]
    assert changed == {"Name": {"Salutation": None, "FirstName": None, "LastName": "Miller"}}


def test_merged_gap_and_deletion_events(client: Client) -> None:
    ids = [client.account(str(number)) for number in range(3)]
    client.org.edit_all("Account", ids, Industry="Retail")
    client.org.gap("Account", "UPDATE", ids[:1])
    client.org.overflow("Account")
    client.org.merge(ids[0], ids[1])
    client.org.delete("Account", ids[2])
    client.org.undelete("Account", ids[2])
    told = [event["ChangeEventHeader"] for event in client.org.events()[3:]]
    assert [(each["changeType"], each["recordIds"]) for each in told] == [
        ("UPDATE", ids),
        ("GAP_UPDATE", ids[:1]),
        ("GAP_OVERFLOW", ["000000000000000AAA"]),
        ("DELETE", [ids[1]]),
        ("DELETE", [ids[2]]),
        ("UNDELETE", [ids[2]]),
    ]


def test_new_field_gives_another_schema_and_both_stay_readable(client: Client) -> None:
    before = client.topic(ACCOUNTS).schema_id
    with client.subscribe(ACCOUNTS, credit=2) as stream:
        assert client.org.wait_for_streams()
        client.account("58")
        first = stream.next().events[0]
        client.org.add_field("Account", "Rating__c", "currency")
        client.org.create("Account", Name="B", Rating__c=5)
        second = stream.next().events[0]
    assert first.event.schema_id == before != second.event.schema_id == client.topic(ACCOUNTS).schema_id
    assert (decode(client, first)["Name"], decode(client, second)["Rating__c"]) == ("Customer 58", 5.0)


def test_hidden_fields_are_stripped(client: Client) -> None:
    client.org.hide_field("Account", "Phone")
    client.org.create("Account", Name="A", Phone="1")
    assert "Phone" not in client.org.events()[0]


# Delivery


def test_topic_and_schema(client: Client) -> None:
    topic = client.topic(ORDERS)
    assert (topic.topic_name, topic.can_subscribe, topic.can_publish) == (ORDERS, True, False)
    found = client.schema(topic.schema_id)
    assert (found.schema_id, json.loads(found.schema_json)["name"]) == (topic.schema_id, "OrderChangeEvent")


def test_credit_is_spent_asked_for_again_and_capped(client: Client) -> None:
    for number in range(5):
        client.account(str(number))
    with client.subscribe(ACCOUNTS, "EARLIEST", credit=2) as stream:
        first = stream.next()
        assert (len(first.events), first.pending_num_requested) == (2, 0)
        assert first.latest_replay_id == first.events[-1].replay_id
        stream.ask(10, ACCOUNTS)
        second = stream.next()
        assert (len(second.events), second.pending_num_requested) == (3, 7)
        stream.ask(94)
        assert stream.refusal() == ("INVALID_ARGUMENT", "subscription.fetch.overflow")
    with client.subscribe(ACCOUNTS) as stream:
        stream.ask(1, ORDERS)
        assert stream.refusal() == ("INVALID_ARGUMENT", "subscription.fetch.topic.mismatch")
    with client.subscribe(ACCOUNTS, credit=0) as stream:
        assert stream.refusal() == ("INVALID_ARGUMENT", "subscription.fetch.requested.events.invalid")


def test_stream_without_credit_is_closed_normally(client: Client) -> None:
    client.org.pubsub.credit_seconds = 0.05
    client.account()
    with client.subscribe(ACCOUNTS, "EARLIEST", credit=1) as stream:
        assert len(stream.next().events) == 1
        assert stream.refusal() == ("OK", "")


def test_replay_ids_are_opaque_and_resume_after_their_event(client: Client) -> None:
    for number in range(6):
        client.account(str(number))
    with client.subscribe(ACCOUNTS, "EARLIEST") as stream:
        events = list(stream.next().events)
    replay_ids = [event.replay_id for event in events]
    assert ({len(each) for each in replay_ids}, len(set(replay_ids))) == ({10}, 6)
    assert replay_ids != sorted(replay_ids)
    with client.subscribe(ACCOUNTS, "CUSTOM", replay_id=replay_ids[3]) as stream:
        assert [event.replay_id for event in stream.next().events] == replay_ids[4:]
    client.org.bus.repeat()
    with client.subscribe(ACCOUNTS, "CUSTOM", replay_id=replay_ids[5]) as stream:
        again = stream.next().events[0]
    assert (again.event.id, again.replay_id in replay_ids) == (events[5].event.id, False)


def test_keepalive_carries_a_replay_id_that_does_not_age_out(client: Client) -> None:
    client.org.pubsub.keepalive_seconds = 0.05
    client.account()
    with client.subscribe(ORDERS, credit=7) as stream:
        answer = stream.next()
    assert (list(answer.events), answer.pending_num_requested) == ([], 7)
    client.org.forget_events_before(NOON)
    with client.subscribe(ORDERS, "CUSTOM", replay_id=answer.latest_replay_id) as stream:
        assert stream.next().pending_num_requested == 10


def corrupted(client: Client, replay_id: bytes) -> tuple[str, str]:
    with client.subscribe(ACCOUNTS, "CUSTOM", replay_id=replay_id) as stream:
        return stream.refusal()


def test_replay_ids_that_are_too_old_or_refused(client: Client) -> None:
    refused = ("INVALID_ARGUMENT", "subscription.fetch.replayid.corrupted")
    client.account("58")
    with client.subscribe(ACCOUNTS, "EARLIEST") as stream:
        replay_id = stream.next().latest_replay_id
    assert corrupted(client, b"0123456789") == refused
    assert corrupted(client, b"") == ("INVALID_ARGUMENT", "subscription.fetch.replayid.validation.failed")
    client.org.now = lambda: NOON + dt.timedelta(hours=73)
    client.token = client.org.issue_token()
    assert corrupted(client, replay_id) == refused
    client.account("59")
    with client.subscribe(ACCOUNTS, "EARLIEST") as stream:
        answer = stream.next()
    assert len(answer.events) == 1
    client.org.expire_replay_ids()
    assert corrupted(client, answer.latest_replay_id) == refused


@pytest.mark.parametrize("code", ERROR_STATUSES)
def test_documented_error_codes_on_demand(client: Client, code: str) -> None:
    client.org.fail_rpc("Subscribe", code)
    with client.subscribe(ACCOUNTS) as stream:
        assert stream.refusal() == (ERROR_STATUSES[code].name, code)


def test_who_may_subscribe(client: Client) -> None:
    for metadata, code in (
        ((("accesstoken", "fake"), *client.metadata[1:]), "service.auth.error"),
        ((*client.metadata[:2], ("tenantid", "00D000000000002EAA")), "service.auth.headers.invalid"),
        (client.metadata[:2], "service.auth.headers.invalid"),
    ):
        with pytest.raises(grpc.RpcError) as caught:
            client.rpc("GetTopic", "TopicRequest", "TopicInfo", metadata, topic_name=ACCOUNTS)
        assert refusal(caught.value) == ("UNAUTHENTICATED", code)
    client.org.deny_topic(ACCOUNTS)
    client.org.hide("Order")
    for topic, status, code in (
        (ACCOUNTS, "PERMISSION_DENIED", "subscription.topic.cannot.subscribe"),
        (ORDERS, "PERMISSION_DENIED", "subscription.topic.cannot.subscribe"),
        ("/data/OpportunityChangeEvent", "NOT_FOUND", "topic.not.found"),
    ):
        with client.subscribe(topic) as stream:
            assert stream.refusal() == (status, code)
    assert client.topic(ACCOUNTS).can_subscribe is False


def test_revoked_token_ends_the_stream_with_its_next_event(client: Client) -> None:
    with client.subscribe(ACCOUNTS) as stream:
        assert client.org.wait_for_streams()
        client.account("58")
        assert len(stream.next().events) == 1
        client.org.revoke_tokens()
        client.org.create("Account", Name="B")
        assert stream.refusal() == ("UNAUTHENTICATED", "service.auth.error")


def test_streams_end_break_and_fall_silent(client: Client) -> None:
    client.org.pubsub.keepalive_seconds = 0.05
    with client.subscribe(ACCOUNTS) as stream:
        stream.next()
        client.org.end_streams()
        assert stream.refusal() == ("OK", "")
    with client.subscribe(ACCOUNTS) as stream:
        stream.next()
        client.org.cut_streams()
        assert stream.refusal() == ("UNAVAILABLE", "")
    with client.subscribe(ACCOUNTS) as stream:
        stream.next()
        client.org.cut_streams("subscription.internal.error")
        assert stream.refusal() == ("INTERNAL", "subscription.internal.error")
    client.org.silence()
    with client.subscribe(ACCOUNTS, "EARLIEST") as stream:
        client.account()
        client.org.silence(False)
        assert len(stream.next().events) <= 1
    assert [call[1:] for call in client.org.pubsub.calls][-1] == ("EARLIEST", ACCOUNTS)


def test_daily_allowance_of_deliveries(client: Client) -> None:
    client.org.pubsub.delivery_allowance = 1
    for number in range(2):
        client.account(str(number))
    with client.subscribe(ACCOUNTS, "EARLIEST", credit=2) as stream:
        assert stream.refusal() == ("RESOURCE_EXHAUSTED", "subscription.limit.exceeded")


def test_all_selected_objects_in_one_topic(client: Client) -> None:
    client.org.hide("Order")
    account = client.account()
    client.org.add_order(account, [])
    client.org.create("Contact", LastName="Baker", AccountId=account)
    with client.subscribe("/data/ChangeEvents", "EARLIEST") as stream:
        told = [decode(client, event)["ChangeEventHeader"]["entityName"] for event in stream.next().events]
    assert told == ["Account", "Contact"]
