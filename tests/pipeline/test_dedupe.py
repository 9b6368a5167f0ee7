"""Late, repeated, reordered and dual-format notices post once, and never an older state after a newer one."""

from __future__ import annotations

import datetime as dt
from typing import Any
from unittest import mock

from connector.kernel.events import FinancialEvent
from connector.models import Delivery, InboxEvent
from connector.pipeline import mapping, resolve
from sources.quickbooks_online.standin_webhooks import Change
from tests.pipeline.conftest import World
from tests.stack import REALM, bill

AT = dt.datetime(2026, 11, 20, 9, 0, 0, 123000, tzinfo=dt.UTC)


def change(record_id: str, operation: str, *, seconds: float = 0, event_id: str = "") -> Change:
    return Change(REALM, "Bill", record_id, operation, at=AT + dt.timedelta(seconds=seconds), event_id=event_id)


def test_one_change_in_both_formats_and_again_is_one_event_and_one_message(world: World) -> None:
    world.route()
    record = world.intuit.put(REALM, "Bill", bill("B-1"))
    for _ in range(2):
        for form in ("cloudevents", "legacy"):
            world.notify(change(record["Id"], "created"), format=form)
    world.work()
    assert InboxEvent.objects.count() == 1
    assert len(world.texts) == 1
    assert world.texts[0].startswith("Bill B-1 created: Books by Bessie, $100.00")


def test_a_creation_and_updates_that_lead_to_one_fetched_state_are_told_once_as_created(world: World) -> None:
    world.route()
    record = world.intuit.put(REALM, "Bill", bill("B-1"))
    world.intuit.change(REALM, "Bill", record["Id"], TotalAmt=150)
    world.notify(change(record["Id"], "updated", seconds=2))
    world.notify(change(record["Id"], "created"), change(record["Id"], "updated", seconds=1))
    world.work()
    assert len(world.texts) == 1
    assert "created" in world.texts[0] and "$150.00" in world.texts[0]
    assert sorted(InboxEvent.objects.values_list("state", "reason")) == [
        ("ignored", "duplicate: this state of the record was told before"),
        ("ignored", "duplicate: this state of the record was told before"),
        ("routed", ""),
    ]


def test_a_creation_that_comes_after_an_update_was_told_is_an_update(world: World) -> None:
    world.route()
    record = world.intuit.put(REALM, "Bill", bill("B-1"))
    world.notify(change(record["Id"], "created"))
    late = InboxEvent.objects.get()
    InboxEvent.objects.update(state="failed")
    world.notify(change(record["Id"], "updated", seconds=1))
    world.work()
    world.intuit.change(REALM, "Bill", record["Id"], Balance=0)
    InboxEvent.objects.filter(pk=late.pk).update(state="received")
    world.work()
    assert [text.partition(":")[0] for text in world.texts] == ["Bill B-1 updated", "Bill B-1 paid"]
    assert "Late" not in str(world.slack.posts[1].blocks)


def test_what_is_read_again_while_it_is_mapped_is_told_as_it_was_read_last(world: World) -> None:
    world.route()
    record = world.intuit.put(REALM, "Bill", bill("B-1"))
    world.notify(change(record["Id"], "created"))
    event = str(InboxEvent.objects.get().pk)
    resolve.fetch([event])
    to_event = mapping.to_event

    def slowly(*arguments: Any) -> FinancialEvent:
        found = to_event(*arguments)
        world.intuit.change(REALM, "Bill", record["Id"], TotalAmt=150)
        InboxEvent.objects.update(state="received")
        resolve.fetch([event])
        return found

    with mock.patch.object(mapping, "to_event", slowly):
        mapping.map_events([event])
    assert InboxEvent.objects.get().state == "fetched"
    world.work()
    assert ["$150.00" in text for text in world.texts] == [True]


def test_each_route_hears_a_state_once_even_when_only_the_late_creation_is_for_it(world: World) -> None:
    world.route("everything")
    world.route("only new", "bill.created", target="C0NEW0001")
    world.slack.add_channel("C0NEW0001", "new")
    record = world.intuit.put(REALM, "Bill", bill("B-1"))
    world.notify(change(record["Id"], "updated", seconds=1))
    world.work()
    world.notify(change(record["Id"], "created"))
    world.work()
    assert [post.channel for post in world.slack.posts] == ["C0AP00001", "C0NEW0001"]


def test_an_older_state_is_read_again_instead_of_told_after_a_newer_one(world: World) -> None:
    world.route()
    record = world.intuit.put(REALM, "Bill", bill("B-1"))
    world.notify(change(record["Id"], "created"))
    world.work()
    old = InboxEvent.objects.get()
    world.intuit.change(REALM, "Bill", record["Id"], TotalAmt=175)
    world.notify(change(record["Id"], "updated", seconds=5))
    world.work()
    assert ["$175.00" in text for text in world.texts] == [False, True]
    # A worker that slept through all this still holds the first state.
    InboxEvent.objects.filter(pk=old.pk).update(state="mapped")
    Delivery.objects.filter(event=old).update(state_key="forgotten")
    world.work()
    assert len(world.texts) == 2


def test_a_late_update_after_the_deletion_says_nothing(world: World) -> None:
    world.route()
    record = world.intuit.put(REALM, "Bill", bill("B-1"))
    world.notify(change(record["Id"], "created"))
    world.work()
    world.intuit.delete(REALM, "Bill", record["Id"])
    world.notify(change(record["Id"], "updated", seconds=1))
    world.work()
    world.notify(change(record["Id"], "deleted", seconds=2))
    world.work()
    assert len(world.texts) == 2
    assert world.texts[1].startswith("Bill B-1 deleted: Books by Bessie")


def test_a_deleted_record_that_was_never_seen_is_named_by_its_id(world: World) -> None:
    world.route()
    world.notify(change("777", "deleted"))
    world.work()
    assert len(world.texts) == 1
    assert "777" in world.texts[0] and "deleted" in world.texts[0]


def test_updates_go_into_the_thread_of_the_first_message_when_the_route_says_so(world: World) -> None:
    world.route(thread_updates=True)
    record = world.intuit.put(REALM, "Bill", bill("B-1"))
    world.notify(change(record["Id"], "created"))
    world.work()
    for step in (1, 2):
        world.intuit.change(REALM, "Bill", record["Id"], TotalAmt=100 + step)
        world.notify(change(record["Id"], "updated", seconds=step))
        world.work()
    first, *rest = world.slack.posts
    assert not first.thread_ts
    assert [post.thread_ts for post in rest] == [first.ts, first.ts]
