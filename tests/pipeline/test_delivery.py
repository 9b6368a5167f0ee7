"""What becomes of a message when Slack says anything but yes: one branch for each verdict, nothing lost or doubled."""

from __future__ import annotations

import datetime as dt
import importlib
from pathlib import Path
from typing import Any

import pytest

from connector.models import AuditEntry, Connection, Delivery, DeliveryState, InboxEvent, Mailbox, Message
from connector.pipeline import audit, clock, connections, delivery, parking, replay
from tests.pipeline.conftest import CHANNEL, World
from tests.stack import REALM, bill

POST = "POST /api/chat.postMessage"


def send(world: World, number: str = "B-1", **fields: Any) -> Delivery:
    """A bill that has come as far as its delivery."""
    record = world.intuit.put(REALM, "Bill", bill(number, **fields))
    world.notify(("Bill", record["Id"], "created"))
    world.work(posts=False)
    return Delivery.objects.order_by("-event_id")[0]


def later(**columns: Any) -> None:
    """Time passes for what waits."""
    past = clock.now() - dt.timedelta(seconds=1)
    Delivery.objects.filter(state=DeliveryState.WAITING).update(next_attempt_at=past, **columns)
    Delivery.objects.filter(state=DeliveryState.SENDING).update(lease_until=past)


def test_a_connection_cut_after_accepting_is_settled_by_reading_back(world: World) -> None:
    world.route()
    row = send(world)
    world.slack.fail(POST, "cut_after")
    world.work()
    row.refresh_from_db()
    assert (row.state, row.reason) == ("sending", "cut")
    later()
    world.work()
    row.refresh_from_db()
    assert row.state == "delivered"
    assert [post.text for post in world.slack.posts] == [
        "Bill B-1 created: Books by Bessie, $100.00, due Dec 3, 2026 (open)"
    ]
    assert row.message is not None and row.message.ts == world.slack.posts[0].ts
    assert [attempt.outcome for attempt in row.message.attempts.order_by("id")] == ["doubt", "found"]


def test_a_connection_cut_before_anything_arrived_is_posted_again_after_two_looks(world: World) -> None:
    world.route()
    row = send(world)
    world.slack.fail(POST, "cut_before")
    world.work()
    for _ in range(2):
        later()
        world.work()
    row.refresh_from_db()
    assert row.state == "delivered"
    assert len(world.slack.posts) == 1
    assert world.slack.count("POST /api/conversations.history") == 2
    assert row.message is not None
    assert [attempt.outcome for attempt in row.message.attempts.order_by("id")] == [
        "doubt",
        "absent",
        "absent",
        "delivered",
    ]


def test_a_doubt_that_cannot_be_read_parks_with_the_thing_to_fix_and_goes_on_once_mended(world: World) -> None:
    world.route()
    world.authorize(world.chat, bot_token=world.slack.issue_token(scopes=("chat:write", "chat:write.public")))
    row = send(world)
    world.slack.fail(POST, "cut_after")
    world.work()
    later()
    world.work()
    row.refresh_from_db()
    assert (row.state, row.hold) == ("parked", "doubt")
    assert "channels:history" in row.reason
    world.authorize(world.chat, bot_token=world.slack.issue_token())
    connections.check(str(world.chat.pk))
    world.work()
    row.refresh_from_db()
    assert row.state == "delivered"
    assert len(world.slack.posts) == 1


def test_when_the_connection_says_repost_an_unreadable_doubt_is_told_again_with_a_note(world: World) -> None:
    world.route()
    Connection.objects.filter(pk=world.chat.pk).update(settings={"when_unreadable": "repost"})
    world.authorize(world.chat, bot_token=world.slack.issue_token(scopes=("chat:write", "chat:write.public")))
    send(world)
    world.slack.fail(POST, "cut_after")
    world.work()
    later()
    world.work()
    first, second = world.slack.posts
    assert "Possible repeat" not in str(first.blocks)
    assert "Possible repeat" in str(second.blocks)


@pytest.mark.parametrize(
    ("code", "state", "hold", "mailbox_hold", "connection_state"),
    [
        ("channel_not_found", "parked", "target", "target", "ok"),
        ("is_archived", "parked", "target", "target", "ok"),
        ("token_revoked", "parked", "connection", "connection", "needs_reauthorization"),
        ("account_inactive", "parked", "connection", "connection", "needs_reauthorization"),
        ("missing_scope", "parked", "connection", "connection", "misconfigured"),
        ("unknown_method", "failed", "", "", "ok"),
        ("service_unavailable", "waiting", "", "", "ok"),
        ("a_code_nobody_knows", "waiting", "", "", "ok"),
    ],
)
def test_each_verdict_has_its_branch(
    world: World, code: str, state: str, hold: str, mailbox_hold: str, connection_state: str
) -> None:
    world.route()
    first, second = send(world, "B-1"), send(world, "B-2")
    world.slack.fail(POST, "answer", answer=world.slack.error(code))
    delivery.drain(first.mailbox_id)
    first.refresh_from_db()
    second.refresh_from_db()
    world.chat.refresh_from_db()
    assert (first.state, first.hold) == (state, hold)
    assert Mailbox.objects.get().hold == mailbox_hold
    assert world.chat.state == connection_state
    assert second.state == ("parked" if mailbox_hold else "waiting")
    assert world.slack.count(POST) == 1


def test_a_refused_message_does_not_stop_the_queue(world: World) -> None:
    world.route()
    send(world, "B-1")
    send(world, "B-2")
    world.slack.fail(POST, "answer", times=1, answer=world.slack.error("unknown_method"))
    world.work()
    assert [(row.state) for row in Delivery.objects.order_by("event_id")] == ["failed", "delivered"]
    assert [post.text[:8] for post in world.slack.posts] == ["Bill B-2"]


def test_an_archived_channel_alerts_once_and_its_queue_goes_on_in_order_when_it_is_open_again(world: World) -> None:
    world.slack.add_channel("C0OPS0001", "ops", is_member=True)
    world.route()
    alerts = world.route("alerts", "connection.failed", target="C0OPS0001")
    alerts.source = world.chat
    alerts.save()
    world.slack.archive(CHANNEL)
    for number in range(4):
        send(world, f"B-{number}")
    world.work()
    assert Delivery.objects.filter(state="parked").count() == 4
    assert [post.channel for post in world.slack.posts] == ["C0OPS0001"]
    assert "is_archived" in world.slack.posts[0].text or "archived" in world.slack.posts[0].text
    world.slack.unarchive(CHANNEL)
    world.slack.set_member(CHANNEL, True)
    parking.open_target(world.chat, CHANNEL)
    world.work()
    assert [post.text[:8] for post in world.slack.posts[1:]] == [f"Bill B-{n}" for n in range(4)]


def test_a_rate_limit_holds_every_channel_of_the_workspace(world: World) -> None:
    world.slack.add_channel("C0NEW0001", "new", is_member=True)
    world.route()
    world.route("second", target="C0NEW0001")
    send(world)
    world.slack.fail(POST, "answer", answer=world.slack.ratelimited(2))
    for box in Mailbox.objects.order_by("target"):
        delivery.drain(box.pk)
    assert world.slack.count(POST) == 1
    assert sorted(Delivery.objects.values_list("state", flat=True)) == ["waiting", "waiting"]
    assert not world.slack.violations


def test_retries_end_after_their_age_and_wait_for_a_person(world: World, settings: Any) -> None:
    world.route()
    row = send(world)
    settings.RETRY_MAX_AGE_SECONDS = 10
    Delivery.objects.update(due_since=clock.now() - dt.timedelta(seconds=11))
    world.slack.fail(POST, "answer", answer=world.slack.error("service_unavailable"))
    world.work()
    row.refresh_from_db()
    assert (row.state, row.hold) == ("parked", "exhausted")
    result = replay.replay(replay.Selection(status="parked"), actor="test")
    assert (result.matched, result.released, result.skipped) == (1, 1, 0)
    world.work()
    row.refresh_from_db()
    assert row.state == "delivered"


def test_replay_never_repeats_what_was_delivered_unless_told(world: World) -> None:
    world.route()
    row = send(world)
    world.work()
    selection = replay.Selection(delivery=str(row.pk))
    result = replay.replay(selection, actor="test")
    assert (result.matched, result.released, result.skipped) == (1, 0, 1)
    world.work()
    assert len(world.slack.posts) == 1
    assert replay.replay(selection, actor="test", again=True).released == 1
    world.work()
    assert len(world.slack.posts) == 2
    assert not world.slack.duplicates()


def test_a_late_older_event_goes_into_the_thread_and_says_so(world: World) -> None:
    world.route()
    record = world.intuit.put(REALM, "Bill", bill("B-1"))
    world.notify(("Bill", record["Id"], "created"))
    world.work(posts=False)
    Delivery.objects.update(state="failed")
    world.intuit.change(REALM, "Bill", record["Id"], TotalAmt=120)
    world.notify(("Bill", record["Id"], "updated"))
    world.work()
    replay.replay(replay.Selection(status="failed"), actor="test")
    world.work()
    newer, older = world.slack.posts
    assert "$120.00" in newer.text and "$100.00" in older.text
    assert older.thread_ts == newer.ts
    assert "Late" in str(older.blocks)


def test_a_worker_killed_while_sending_leaves_a_doubt_that_is_looked_up(world: World) -> None:
    world.route()
    row = send(world)
    from connector.pipeline import outbox

    assert isinstance(outbox.claim(row.mailbox_id), outbox.Claim)
    # The worker dies here, before or after its call: nobody knows.
    assert outbox.claim(row.mailbox_id) == pytest.approx(60, abs=2)
    later()
    world.work()
    later()
    world.work()
    row.refresh_from_db()
    assert row.state == "delivered"
    assert len(world.slack.posts) == 1
    assert Message.objects.count() == 1


def test_the_backlog_past_its_limit_becomes_digests_with_every_event_in_exactly_one(world: World) -> None:
    world.route(digest_after=3)
    for number in range(7):
        record = world.intuit.put(REALM, "Bill", bill(f"B-{number}"))
        world.notify(("Bill", record["Id"], "created"))
    world.work()
    assert len(world.slack.posts) == 1
    assert [f"B-{n}" in world.slack.posts[0].text for n in range(7)] == [True] * 7
    assert Delivery.objects.filter(state="delivered").count() == 7
    send(world, "B-8")
    world.work()
    assert world.slack.posts[1].text.startswith("Bill B-8 created")


def test_everything_that_happened_stands_in_a_chain_that_proves_itself(world: World) -> None:
    world.route()
    row = send(world)
    world.work()
    entry = AuditEntry.objects.get(action="delivery.delivered")
    assert (entry.channel, entry.ts, entry.attempts) == (CHANNEL, world.slack.posts[0].ts, 1)
    assert (entry.event, entry.delivery) == (str(row.event_id), str(row.pk))
    proven, findings = audit.verify()
    assert (proven, findings) == (AuditEntry.objects.count(), [])
    from django.db import DatabaseError, connection, transaction

    with pytest.raises(DatabaseError), transaction.atomic():
        AuditEntry.objects.filter(pk=entry.pk).update(ts="0")
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM connector_auditbody")
        cursor.execute("UPDATE connector_audithead SET number = number + 1")
    assert [finding.chain for finding in audit.verify()[1]] == ["acme"]


def test_a_cut_off_tail_shows_against_the_mark_of_the_day(world: World, settings: Any, tmp_path: Path) -> None:
    from django.db import connection

    settings.VAR_DIR = tmp_path

    world.route()
    send(world)
    world.work()
    audit.mark()
    assert audit.verify()[1] == []
    last, before = AuditEntry.objects.filter(chain="acme").order_by("-number")[:2]
    with connection.schema_editor() as editor:
        importlib.import_module("connector.migrations.0002_audit_triggers").drop(None, editor)
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM connector_auditentry WHERE number = %s AND chain = 'acme'", [last.number])
        cursor.execute(
            "UPDATE connector_audithead SET number = %s, mac = %s WHERE chain = 'acme'", [before.number, before.mac]
        )
    assert [(finding.chain, finding.number) for finding in audit.verify()[1]] == [("acme", last.number)]


def test_a_flood_of_one_refusal_stops_with_one_alert_instead_of_failing_everything(world: World) -> None:
    from connector.models import Attempt

    world.route()
    rows = [send(world, f"B-{number}") for number in range(3)]
    delivery.drain(rows[0].mailbox_id)
    message = Message.objects.get()
    for number in range(parking.FLOOD_OF - 1):
        Attempt.objects.create(
            message=message, number=number, started_at=clock.now(), outcome="failed", code="unknown_method"
        )
    world.slack.fail(POST, "answer", answer=world.slack.error("unknown_method"))
    delivery.drain(rows[0].mailbox_id, is_armed=True)
    states = list(Delivery.objects.order_by("event_id").values_list("state", "hold"))
    assert states == [("delivered", ""), ("failed", ""), ("parked", "flood")]
    assert InboxEvent.objects.filter(record="connection", operation="failed").count() == 1


def test_a_channel_that_lets_us_in_and_refuses_all_the_same_is_told_once(world: World) -> None:
    world.route()
    row = send(world)
    for _ in range(3):
        world.slack.fail(POST, "answer", answer=world.slack.error("restricted_action"))
        world.work()
        delivery.prepare(row.mailbox_id)
    alerts = InboxEvent.objects.filter(record="connection", operation="failed")
    assert (alerts.count(), Mailbox.objects.get().parks) == (1, 3)
    world.work()
    assert (len(world.slack.posts), Mailbox.objects.get().parks) == (1, 0)
