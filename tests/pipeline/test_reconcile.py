"""Gaps: what a webhook never told is found by CDC, posted once, and shown in the day's report."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import pytest

from connector.models import Cursor, InboxEvent
from connector.pipeline import polling, reconciling
from tests.pipeline.conftest import World
from tests.stack import REALM, bill


def test_a_lost_webhook_is_found_posted_once_and_told_in_the_report(world: World) -> None:
    world.route()
    known = world.intuit.put(REALM, "Bill", bill("B-1"))
    world.notify(("Bill", known["Id"], "created"))
    lost = world.intuit.put(REALM, "Bill", bill("B-2"))
    world.work()
    today = dt.datetime.now(ZoneInfo(world.organization.timezone)).date()
    report = reconciling.reconcile(world.books, today)
    assert (report.changed, report.by_webhook, report.polled, report.repaired) == (2, 1, 0, 1)
    assert report.missing == [{"record": "bill", "id": lost["Id"], "operation": "created"}]
    world.work()
    assert [text[:16] for text in world.texts] == ["Bill B-1 created", "Bill B-2 created"]
    again = reconciling.reconcile(world.books, today)
    assert (again.missing, again.polled, again.repaired) == ([], 1, 0)


def test_polling_starts_now_fills_gaps_and_moves_its_cursor_with_what_it_stored(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.route()
    monkeypatch.setattr(world.intuit, "now", lambda: dt.datetime.now(dt.UTC) - dt.timedelta(seconds=5))
    world.intuit.put(REALM, "Bill", bill("B-1"))
    polling.poll(world.books.pk)
    assert not InboxEvent.objects.exists()
    before = Cursor.objects.get().state
    monkeypatch.setattr(world.intuit, "now", lambda: dt.datetime.now(dt.UTC) + dt.timedelta(seconds=2))
    record = world.intuit.put(REALM, "Bill", bill("B-2"))
    world.intuit.change(REALM, "Bill", record["Id"], TotalAmt=120)
    for _ in range(2):
        polling.poll(world.books.pk)
        world.work()
    world.notify(("Bill", record["Id"], "created"), ("Bill", record["Id"], "updated"))
    world.work()
    assert len(world.texts) == 1
    assert world.texts[0].startswith("Bill B-2 created: Books by Bessie, $120.00")
    assert Cursor.objects.get().state != before


def test_a_backfill_tells_what_was_missed_and_nothing_twice(world: World) -> None:
    world.route()
    record = world.intuit.put(REALM, "Bill", bill("B-1"))
    since = dt.datetime.now(dt.UTC) - dt.timedelta(hours=1)
    assert polling.read(world.books, origin="backfill", since=since, is_dry=True).new == 1
    assert polling.read(world.books, origin="backfill", since=since).new == 1
    world.work()
    assert polling.read(world.books, origin="backfill", since=since).new == 0
    world.intuit.delete(REALM, "Bill", record["Id"])
    assert polling.read(world.books, origin="backfill", since=since).new == 1
    world.work()
    assert [text[:16] for text in world.texts] == ["Bill B-1 created", "Bill B-1 deleted"]
