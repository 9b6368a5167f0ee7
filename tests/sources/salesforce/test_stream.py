"""The listener against the stand-in's real gRPC service, and the scheduled reading."""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import json
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from connector.kernel.contracts import Batch, Context, Notice, Secrets
from connector.kernel.errors import Misconfigured, Reauthorize, Refresh, Retry, VendorError
from connector.kernel.http import Http
from sources.salesforce import changes, notices, protocol, pubsub
from sources.salesforce.change_event import ChangeEvent
from sources.salesforce.client import Client
from sources.salesforce.standin import SalesforceStandIn
from sources.salesforce.standin_pubsub import message
from sources.salesforce.stream import Position, read_position
from tests.sources.salesforce.org import FIXTURES, KEYS, SALESFORCE, context

ACCOUNT, ORDER, ITEM = (f"/data/{name}ChangeEvent" for name in ("Account", "Order", "OrderItem"))
MINUTE = dt.timedelta(minutes=1)
NOON = dt.datetime(2026, 11, 20, 12, 0, 30, tzinfo=dt.UTC)


@pytest.fixture
def org() -> Iterator[SalesforceStandIn]:
    with SalesforceStandIn() as standin:
        yield standin
        assert standin.violations == []


class Listening:
    """A stream that is read in a thread of its own, as a listener does."""

    def __init__(self, ctx: Context, topic: str = ACCOUNT, position: Mapping[str, Any] | None = None) -> None:
        self.stop, self.found = threading.Event(), queue.SimpleQueue[Any]()
        self.position: Mapping[str, Any] = position or {}
        self._work = (ctx, topic)
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def _listen(self) -> None:
        ctx, topic = self._work
        try:
            for batch in SALESFORCE.stream(ctx, topic, self.position, self.stop):
                self.position = batch.cursor or self.position
                self.found.put(batch)
            self.found.put(None)
        except VendorError as error:
            self.found.put(error)

    def __enter__(self) -> Listening:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop.set()
        self._thread.join(5)
        assert not self._thread.is_alive()

    def until(self, is_it: Callable[[Any], bool]) -> list[Notice]:
        """The notices up to (and with) the batch, the end or the error that is waited for."""
        seen: list[Notice] = []
        while True:
            each = self.found.get(timeout=10)
            seen += each.notices if isinstance(each, Batch) else ()
            if is_it(each):
                return seen
            assert isinstance(each, Batch), each

    def next(self) -> list[Notice]:
        """The next notices, whatever empty batches come before."""
        return self.until(lambda each: isinstance(each, Batch) and bool(each.notices))

    def error(self) -> VendorError:
        found: list[VendorError] = []
        self.until(lambda each: isinstance(each, VendorError) and not found.append(each))
        return found[0]


def opened(org: SalesforceStandIn, listening: Listening) -> Listening:
    """Waits until the stand-in has the subscription."""
    for _ in range(200):
        if org.streams:
            return listening
        listening.stop.wait(0.02)
    raise AssertionError("no stream was opened")


def brief(found: list[Notice]) -> list[tuple[str, str, str]]:
    return [(notice.record, notice.record_id, notice.operation) for notice in found]


def test_events_become_notices_and_the_position_follows(org: SalesforceStandIn) -> None:
    ctx = context(org)
    with Listening(ctx) as listening:
        opened(org, listening)
        account = org.create("Account", Name="Zed")
        (notice,) = listening.next()
        event = org.events()[0]
        header = event["ChangeEventHeader"]
        assert brief([notice]) == [("customer", account, "created")]
        assert notice.account == "00D000000000001"
        assert notice.change_key == f"{header['transactionKey']}|{header['sequenceNumber']}|Account|{account}"
        assert notice.delivery_key.startswith("event:")
        assert notice.occurred_at == dt.datetime.fromtimestamp(header["commitTimestamp"] / 1000, dt.UTC)
        assert '"changeType":"CREATE"' in notice.raw
    position = listening.position
    assert len(base64.b64decode(position["replay_id"])) >= 8
    org.edit("Account", account, Phone="1")
    org.delete("Account", account)
    # The place is kept: nothing is listed again, and what came meanwhile is told in order.
    with Listening(ctx, position={key: value for key, value in position.items() if key != "missed"}) as again:
        found = again.next()
        found += again.next() if len(found) < 2 else []
    assert brief(found) == [("customer", account, "updated"), ("customer", account, "deleted")]
    assert org.pubsub.calls[-2][1] == "CUSTOM" or org.pubsub.calls[-1][1] == "CUSTOM"


def test_a_merged_event_is_a_notice_for_each_record(org: SalesforceStandIn) -> None:
    accounts = [org.load("Account", Name=f"A{number}") for number in range(3)]
    with Listening(context(org)) as listening:
        opened(org, listening)
        org.edit_all("Account", accounts, Industry="Retail")
        assert brief(listening.next()) == [("customer", each, "updated") for each in accounts]


def test_more_events_than_the_first_credit_all_come(org: SalesforceStandIn) -> None:
    with Listening(context(org)) as listening:
        opened(org, listening)
        made = [org.create("Account", Name=f"A{number}") for number in range(130)]
        seen: list[Notice] = []
        while len({notice.record_id for notice in seen if notice.change_key}) < 130:
            seen += listening.next()
    assert [notice.record_id for notice in seen if notice.change_key] == made
    assert org.violations == []


def test_items_become_notices_of_their_order(org: SalesforceStandIn) -> None:
    account, product = org.create("Account", Name="Zed"), org.add_product("A", 5)
    ctx = context(org)
    with Listening(ctx, ITEM) as listening:
        opened(org, listening)
        order = org.add_order(account, [(product, 1, 5), (product, 2, 5)])
        created = listening.next()
        created += listening.next() if len(created) < 2 else []
        assert set(brief(created)) == {("order", order, "updated")}
        item = org.all_of("OrderItem")[0]["Id"]
        calls = org.count("GET .*/queryAll")
        org.edit("OrderItem", item, Quantity=3)
        org.delete("OrderItem", item)
        found = [notice for notice in listening.next() if notice.change_key]
        found += [] if len(found) > 1 else [notice for notice in listening.next() if notice.change_key]
        assert set(brief(found)) == {("order", order, "updated")}
        assert org.count("GET .*/queryAll") > calls


def test_a_new_field_changes_the_schema_in_the_middle_of_a_stream(org: SalesforceStandIn) -> None:
    with Listening(context(org)) as listening:
        opened(org, listening)
        first = org.create("Account", Name="Zed")
        assert brief(listening.next()) == [("customer", first, "created")]
        org.add_field("Account", "Amount_Owed__c", "currency")
        org.edit("Account", first, Amount_Owed__c="3233")
        found = listening.until(
            lambda each: isinstance(each, Batch) and any(notice.change_key for notice in each.notices)
        )
    assert all(not notice.problem for notice in found)
    assert len({call[2] for call in org.pubsub.calls if call[0] == "GetSchema"}) == 2


def test_a_gap_is_read_again_and_an_overflow_listed(org: SalesforceStandIn) -> None:
    ctx, account = context(org), org.create("Account", Name="Zed")
    with Listening(ctx) as listening:
        opened(org, listening)
        org.gap("Account", "UPDATE", [account])
        assert ("customer", account, "updated") in brief(listening.next())
        org.gap("Account", "DELETE", [account])
        found = listening.until(
            lambda each: isinstance(each, Batch) and any(notice.operation == "deleted" for notice in each.notices)
        )
        assert ("customer", account, "deleted") in brief(found)
        org.overflow("Account")
        listed = listening.next()
        assert brief(listed) == [("customer", account, "updated")]
        assert listed[0].delivery_key.startswith(f"updated:Account|{account}|")


def test_a_wildcard_reads_everything_again(org: SalesforceStandIn) -> None:
    accounts = [org.load("Account", Name=f"A{number}") for number in range(3)]
    with Listening(context(org)) as listening:
        opened(org, listening)
        org.gap("Account", "UPDATE", ["001*"])
        found = listening.next()
        while not found[-1].delivery_key.startswith("resync:"):
            found = listening.next()
    assert brief(found) == [("customer", each, "updated") for each in accounts]


def test_a_lost_place_is_bridged_after_the_stream_was_opened(org: SalesforceStandIn) -> None:
    clock = [NOON]
    org.now = lambda: clock[0]  # type: ignore[method-assign]
    ctx = context(org)
    with Listening(ctx) as listening:
        opened(org, listening)
        known = org.create("Account", Name="Known")
        listening.next()
    clock[0] += dt.timedelta(days=4)
    changed, deleted = org.create("Account", Name="Changed"), org.create("Account", Name="Deleted")
    org.delete("Account", deleted)
    org.forget_events_before(clock[0] + MINUTE)
    org.clear()
    last = org.create("Account", Name="In this very minute")
    position = {key: value for key, value in listening.position.items() if key != "missed"}
    with Listening(context(org), position=position) as again:
        found = again.next()
        while last not in {notice.record_id for notice in found}:
            found += again.next()
        assert {
            ("customer", changed, "updated"),
            ("customer", deleted, "deleted"),
            ("customer", known, "updated"),
        } <= set(brief(found))
        presets = [preset for rpc, preset, _ in org.pubsub.calls if rpc == "Subscribe"]
        assert presets[-2:] == ["CUSTOM", "LATEST"]
        # A change after the opening comes by the stream; once a whole minute is listed, the bridge ends.
        clock[0] += 2 * MINUTE
        later = org.create("Account", Name="Later")
        again.until(lambda each: isinstance(each, Batch) and later in {notice.record_id for notice in each.notices})
        clock[0] += 2 * MINUTE
        org.create("Account", Name="Last")
        again.until(lambda each: isinstance(each, Batch) and each.cursor is not None and "missed" not in each.cursor)
    starts = {call.query["start"] for call in org.calls if call.path.endswith("/updated/")}
    assert min(starts) == "2026-11-20T11:50:00Z"


def test_a_quiet_stream_keeps_its_place(org: SalesforceStandIn) -> None:
    org.pubsub.keepalive_seconds = 0.2
    with Listening(context(org)) as listening:
        listening.until(lambda each: isinstance(each, Batch) and not each.notices and bool(each.cursor["replay_id"]))


def test_silence_ends_a_stream(org: SalesforceStandIn) -> None:
    org.silence()
    with Listening(context(org, silence_seconds=0.5)) as listening:
        assert listening.until(lambda each: each is None) == []


def test_stopping_and_the_vendors_own_end_are_no_errors(org: SalesforceStandIn) -> None:
    with Listening(context(org)) as listening:
        opened(org, listening)
        org.end_streams()
        listening.until(lambda each: each is None)
    with Listening(context(org)) as listening:
        opened(org, listening)
        listening.stop.set()
        listening.until(lambda each: each is None)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("service.auth.error", Misconfigured),
        ("service.unavailable", Retry),
        ("subscription.limit.exceeded", Misconfigured),
        ("concurrent.client.limit.exceeded", Retry),
    ],
)
def test_a_stream_that_breaks(org: SalesforceStandIn, code: str, kind: type[VendorError]) -> None:
    with Listening(context(org)) as listening:
        opened(org, listening)
        org.cut_streams(code)
        error = listening.error()
    assert (type(error), error.code) == (kind, f"sfdc.platform.eventbus.grpc.{code}")


def test_an_old_token_that_is_refused_is_renewed(org: SalesforceStandIn) -> None:
    ctx = context(org)
    with Listening(ctx) as listening:
        opened(org, listening)
        org.now = lambda: NOON + dt.timedelta(days=365)  # type: ignore[method-assign]
        org.cut_streams("service.auth.error")
        assert type(listening.error()) is Refresh


def test_a_lost_connection_and_a_refused_schema(org: SalesforceStandIn) -> None:
    with Listening(context(org)) as listening:
        opened(org, listening)
        org.cut_streams()
        assert (type(listening.error()), listening.position["replay_id"]) == (Retry, "")
    with Listening(context(org)) as listening:
        opened(org, listening)
        org.fail_rpc("GetSchema", "schema.api.unavailable")
        org.create("Account", Name="Zed")
        assert type(listening.error()) is Retry


def test_a_right_that_is_missing(org: SalesforceStandIn) -> None:
    org.deny_topic(ORDER)
    with Listening(context(org), ORDER) as listening:
        error = listening.error()
    assert type(error) is Misconfigured
    assert "View All Records" in error.text


def test_an_event_that_cannot_be_read_is_noted_and_what_it_meant_is_listed(org: SalesforceStandIn) -> None:
    ctx, account = context(org), org.load("Account", Name="Zed")
    with Listening(ctx) as listening:
        opened(org, listening)
        org.edit("Account", account, Phone="1")
        listening.until(lambda each: isinstance(each, Batch) and any(notice.change_key for notice in each.notices))
    org.edit("Account", account, Phone="2")
    org.edit("Account", account, Phone="3")
    object.__setattr__(org.bus.events[-2], "payload", b"\xff\xff")
    with Listening(ctx, position={"replay_id": listening.position["replay_id"]}) as again:
        found = again.until(
            lambda each: isinstance(each, Batch) and any("updated:" in notice.delivery_key for notice in each.notices)
        )
    (broken,) = [notice for notice in found if notice.problem]
    assert (broken.record, broken.record_id, broken.problem) == ("customer", "", "the event does not fit its schema")
    assert broken.delivery_key == f"event:{org.bus.events[-2].id}"
    assert base64.b64encode(b"\xff\xff").decode() in broken.raw
    assert [notice.record_id for notice in found if notice.change_key] == [account]


@pytest.mark.parametrize(
    ("app", "settings", "secrets", "kind"),
    [
        ({"pubsub_endpoint": "nowhere"}, {}, {}, Misconfigured),
        ({"pubsub_endpoint": "pubsub.example:7443", "pubsub_plaintext": "true"}, {}, {}, Misconfigured),
        ({}, {}, {"access_token": ""}, Refresh),
        ({}, {}, {"access_token": "tok\nen"}, Refresh),
        ({}, {}, {"access_token": "", "client_id": ""}, Reauthorize),
        ({}, {}, {"org_id": ""}, Refresh),
    ],
)
def test_what_cannot_be_opened(
    app: dict[str, str], settings: dict[str, Any], secrets: dict[str, str], kind: type[VendorError]
) -> None:
    values = {
        **KEYS,
        "access_token": "fake",
        "instance_url": "https://acme.my.salesforce.com",
        "org_id": "00D",
        **secrets,
    }
    ctx = Context("acme", "", settings, app, Secrets(values), Http(), lambda: NOON)
    with pytest.raises(VendorError) as caught:
        pubsub.Channel(ctx)
    assert type(caught.value) is kind


@pytest.mark.parametrize("silence", ["soon", [300]])
def test_a_setting_that_is_no_number(org: SalesforceStandIn, silence: Any) -> None:
    with Listening(context(org, silence_seconds=silence)) as listening:
        assert "silence_seconds" in listening.error().text


def test_a_refused_stream_moves_no_position_and_lists_nothing(org: SalesforceStandIn) -> None:
    """A batch would pass for a sign of life: the account would not be polled, nor its token renewed."""
    ctx = context(org)
    missed = Position(b"", org.now(), org.now() - MINUTE).as_cursor()
    org.create("Account", Name="Zed")
    org.fail_rpc("Subscribe", "topic.not.found")
    with Listening(ctx, position=missed) as listening:
        assert type(listening.error()) is Misconfigured
        assert listening.position == missed
    unreachable = dataclasses.replace(ctx, app={**ctx.app, "pubsub_endpoint": "127.0.0.1:1"})
    with Listening(unreachable, position=missed) as listening:
        assert type(listening.error()) is Retry
        assert listening.position == missed
    assert org.count("/updated/|/query") == 0


def test_messages_mean_the_same_to_both_sides() -> None:
    keepalive = json.loads((FIXTURES / "keepalive.json").read_text())["fetch_response"]
    captured = json.loads((FIXTURES / "real_capture" / "events.json").read_text())
    for case in [{"response": keepalive}, *captured]:
        response = case["response"]
        sent = message("FetchResponse")(
            latest_replay_id=bytes.fromhex(response["latest_replay_id_hex"]),
            rpc_id=response["rpc_id"],
            pending_num_requested=response["pending_num_requested"],
        )
        if event := case.get("event"):
            payload = base64.b64decode(event["payload_base64"])
            sent.events.add(replay_id=bytes.fromhex(case["replay_id_hex"])).event.CopyFrom(
                message("ProducerEvent")(id=event["id"], schema_id=event["schema_id"], payload=payload)
            )
        found = protocol.FetchResponse.FromString(sent.SerializeToString())
        assert str(found) == str(sent)
        assert len(found.latest_replay_id) == 10
    asked = protocol.FetchRequest(topic_name=ACCOUNT, replay_preset=protocol.CUSTOM, replay_id=b"\0\1", num_requested=9)
    assert str(message("FetchRequest").FromString(asked.SerializeToString())) == str(asked)


def test_topics() -> None:
    assert SALESFORCE.topics({}) == (ACCOUNT, ORDER, ITEM)
    assert SALESFORCE.topics({"stream": "polling"}) == ()


def test_positions() -> None:
    assert read_position({}, NOON) == Position(b"", NOON, NOON)
    whole = Position(b"\x00\xff", NOON, NOON - MINUTE)
    assert read_position(whole.as_cursor(), NOON + MINUTE) == whole
    without = Position(b"\x00\xff", NOON)
    assert read_position(without.as_cursor(), NOON + MINUTE) == without
    ten = dt.timedelta(minutes=10)
    assert without.lost(NOON) == Position(b"", NOON, NOON - ten)
    assert whole.lost(NOON) == Position(b"", NOON, NOON - ten)
    assert Position(b"a").lost(NOON) == Position(b"", None, NOON - dt.timedelta(days=30))
    for odd in ({"replay_id": "?"}, {"replay_id": 3}, {"replay_id": "AA==", "commit": "soon"}):
        assert read_position(odd, NOON) == Position(b"", None, NOON - dt.timedelta(days=30))


def change(**header: Any) -> ChangeEvent:
    given = {
        "entity": "Account", "change": "UPDATE", "record_ids": ("001Sm00000Acct1IAA",), "transaction": "t",
        "sequence": 1, "committed_at": NOON, "user": "", "origin": "", "body": {}, "changed": (), "nulled": (),
        "header": {},
    }  # fmt: skip
    return ChangeEvent(**{**given, **header})


@pytest.mark.parametrize(
    ("kind", "operation"),
    [
        ("CREATE", "created"), ("UPDATE", "updated"), ("DELETE", "deleted"), ("UNDELETE", "updated"),
        ("GAP_CREATE", "created"), ("GAP_UPDATE", "updated"), ("GAP_DELETE", "deleted"), ("GAP_UNDELETE", "updated"),
        ("SNAPSHOT", "updated"), ("SOMETHING_NEW", "updated"),
    ],
)  # fmt: skip
def test_kinds_of_changes(kind: str, operation: str) -> None:
    (notice,) = notices.from_event("00D", "e1", change(change=kind), {})
    assert notice == Notice(
        "00D", "customer", "001Sm00000Acct1IAA", operation, NOON,
        delivery_key="event:e1|001Sm00000Acct1IAA", change_key="t|1|Account|001Sm00000Acct1IAA", raw="{}",
    )  # fmt: skip


def test_an_item_whose_order_is_unknown_says_nothing() -> None:
    event = change(entity="OrderItem", record_ids=("802Sm00000Item1IAA", "802Sm00000Item2IAA"))
    orders = {"802Sm00000Item2IAA": "801Sm00000Ordr1IAA"}
    (notice,) = notices.from_event("00D", "e1", event, orders)
    assert (notice.record, notice.record_id) == ("order", "801Sm00000Ordr1IAA")
    assert notices.order_in(change(body={"OrderId": "801Dp00000JJkkH"})) == "801Dp00000JJkkHIAT"
    assert notices.order_in(change(body={"OrderId": None})) == ""


def test_the_scheduled_reading(org: SalesforceStandIn) -> None:
    clock = [NOON]
    org.now = lambda: clock[0]  # type: ignore[method-assign]
    ctx = context(org)
    *_, first = SALESFORCE.poll(ctx, {})
    assert all(batch.notices == () for batch in SALESFORCE.poll(ctx, {}))
    assert first.cursor == dict.fromkeys(("Account", "Order", "OrderItem"), NOON.isoformat())
    account, product = org.create("Account", Name="Zed"), org.add_product("A", 5)
    order = org.add_order(account, [(product, 1, 5), (product, 2, 5)])
    gone = org.create("Account", Name="Gone")
    org.delete("Account", gone)
    clock[0] += 3 * MINUTE
    batches = list(SALESFORCE.poll(ctx, first.cursor))
    assert [sorted(brief(list(batch.notices))) for batch in batches] == [
        sorted([("customer", account, "updated"), ("customer", gone, "deleted")]),
        [("order", order, "updated")],
        [("order", order, "updated")],
    ]
    covered = clock[0].replace(second=0).isoformat()
    assert batches[-1].cursor == dict.fromkeys(("Account", "Order", "OrderItem"), covered)
    assert batches[0].cursor is not None
    assert batches[0].cursor["Order"] == NOON.isoformat()
    listed = {notice.record_id: notice for notice in batches[0].notices}
    ((_, record),) = SALESFORCE.fetch(ctx, [listed[account]])
    assert SALESFORCE.to_event(ctx, listed[account], record, lambda *_: "").operation == "created"  # type: ignore[arg-type]
    assert [batch.notices for batch in SALESFORCE.poll(ctx, batches[-1].cursor)] == [()] * 3
    again = list(SALESFORCE.poll(ctx, batches[-1].cursor, since=NOON - MINUTE))
    assert [len(batch.notices) for batch in again] == [2, 1, 1]


def test_a_reading_goes_no_farther_than_the_vendor_has_listed(org: SalesforceStandIn) -> None:
    clock = [NOON]
    org.now = lambda: clock[0]  # type: ignore[method-assign]
    org.replication.lag = 2 * MINUTE
    clock[0] += 10 * MINUTE
    *_, last = SALESFORCE.poll(context(org), dict.fromkeys(("Account", "Order", "OrderItem"), NOON.isoformat()))
    assert last.cursor is not None
    assert last.cursor["Account"] == "2026-11-20T12:08:00+00:00"


def test_old_changes_and_too_many(org: SalesforceStandIn) -> None:
    clock = [NOON - dt.timedelta(days=40)]
    org.now = lambda: clock[0]  # type: ignore[method-assign]
    old = org.create("Account", Name="Old")
    clock[0] = NOON
    accounts = []
    for _ in range(6):
        accounts.append(org.create("Account", Name="New"))
        clock[0] += MINUTE
    asking = Client(context(org))
    beyond = changes.since(asking, "Account", NOON - dt.timedelta(days=41), clock[0])
    assert beyond.updated == (old, *accounts)
    org.replication.most_ids = 2
    halved = changes.since(asking, "Account", NOON - MINUTE, clock[0])
    assert halved.updated == tuple(accounts)
    assert halved.covered == clock[0].replace(second=0)
    assert changes.since(asking, "Account", NOON, NOON + dt.timedelta(seconds=20)) == changes.Listing(
        NOON.replace(second=0), NOON.replace(second=0)
    )


def test_deletions_that_are_no_longer_listed_are_looked_for_in_the_bin(org: SalesforceStandIn) -> None:
    account = org.create("Account", Name="Zed")
    org.delete("Account", account)
    now = org.now() + MINUTE
    org.now = lambda: now  # type: ignore[method-assign]
    org.replication.forgotten_before = now
    found = changes.since(Client(context(org)), "Account", now - dt.timedelta(days=1), now)
    assert found.deleted == ((account, None),)


def test_nothing_of_grpc_is_loaded_before_a_stream_is_opened() -> None:
    """A worker forks after it has loaded the source, and grpcio does not survive that with a channel open."""
    heavy = {"grpc", "fastavro", "google.protobuf"}
    asked = f"import sys, sources.salesforce.source; print(sorted({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True).stdout == "[]\n"
