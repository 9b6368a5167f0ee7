"""When reports are due: cron lines in the organization's zone, the close window, and what beat has missed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import pytest
import time_machine
from django_celery_beat.models import PeriodicTask

from connector.models import Connection, Organization, Report, Schedule
from connector.pipeline import schedules

FRIDAY_7_CHICAGO = "2026-11-20T13:00:00Z"


@pytest.fixture
def connection(db: None) -> Connection:
    organization = Organization.objects.create(slug="acme", name="Acme", timezone="America/Chicago")
    return Connection.objects.create(
        organization=organization, slug="acme-intacct", system="sage_intacct", account="ACME-COMPANY"
    )


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel("2026-11-20T12:00:00Z", tick=False) as clock:
        yield clock


def due() -> list[str]:
    return list(Report.objects.filter(due_at__isnull=False).values_list("name", flat=True))


@pytest.mark.parametrize(
    ("cron", "problem"),
    [
        ("0 7 * * 1-5", ""),
        ("*/30 7-19 * * *", ""),
        ("0 0 1,15 * 7", ""),
        ("0 6 * * mon-fri", ""),
        ("0 7 * *", "it has 4 fields"),
        ("0 25 * * *", "25"),
        ("daily", "it has 1 fields"),
    ],
)
def test_a_cron_line_is_read_or_told_what_is_wrong(cron: str, problem: str) -> None:
    assert (problem in schedules.problem(cron)) if problem else schedules.problem(cron) == ""


def test_sunday_is_both_0_and_7() -> None:
    assert schedules.parsed("0 7 * * 7", "UTC").day_of_week == {0}
    assert schedules.parsed("0 7 * * 5-7", "UTC").day_of_week == {5, 6, 0}
    assert schedules.parsed("0 7 17 * *", "UTC").day_of_week == set(range(7))


@pytest.mark.parametrize(
    ("year", "month", "days"),
    [(2026, 11, [2, 3, 4, 5, 6, 27, 30]), (2026, 2, [2, 3, 4, 5, 6, 26, 27]), (2026, 8, [3, 4, 5, 6, 7, 28, 31])],
)
def test_the_close_window_is_made_of_business_days(year: int, month: int, days: list[int]) -> None:
    every = [dt.date(year, month, 1) + dt.timedelta(days=number) for number in range(31)]
    found = [day.day for day in every if day.month == month and schedules.is_in_window(day, last=2, first=5)]
    assert found == days
    assert schedules.is_in_window(dt.date(2026, 11, 14), last=0, first=0)


def test_beat_has_a_row_for_each_schedule_in_the_organizations_zone(connection: Connection) -> None:
    schedules.replace(connection, [("gl_postings", "0 7 * * 1-5", 0, 0), ("gl_postings", "*/30 7-19 * * *", 2, 5)])
    schedules.sync(connection)
    tasks = PeriodicTask.objects.filter(task="connector.tasks.fire_schedule").order_by("pk")
    assert sorted((str(task.crontab.timezone), task.crontab.minute, task.enabled) for task in tasks) == [
        ("America/Chicago", "*/30", True),
        ("America/Chicago", "0", True),
    ]
    connection.organization.timezone = "Europe/Berlin"
    connection.organization.save()
    schedules.sync(connection)
    assert {str(task.crontab.timezone) for task in tasks.all()} == {"Europe/Berlin"}
    done = schedules.replace(connection, [("gl_postings", "0 7 * * 1-5", 0, 0)])
    schedules.sync(connection)
    assert done == {"created": [], "removed": ["gl_postings */30 7-19 * * *"], "unchanged": ["gl_postings 0 7 * * 1-5"]}
    assert tasks.all().count() == 1


def test_a_fired_schedule_asks_for_its_report_unless_the_window_is_shut(
    connection: Connection, clock: time_machine.Traveller
) -> None:
    schedules.add(connection, "gl_postings", "*/30 7-19 * * *", 2, 5)
    schedules.add(connection, "payment_batches", "30 7 * * 1-5")
    shut, always = Schedule.objects.order_by("report")
    schedules.fire(shut.pk)
    assert due() == []
    schedules.fire(always.pk)
    assert due() == ["payment_batches"]
    # The 30th in Chicago, though the 1st of December in UTC already.
    clock.move_to("2026-12-01T04:00:00Z")
    schedules.fire(shut.pk)
    assert sorted(due()) == ["gl_postings", "payment_batches"]


def test_what_beat_missed_is_made_up_for_once(connection: Connection, clock: time_machine.Traveller) -> None:
    schedules.add(connection, "gl_postings", "0 7 * * 1-5")
    clock.move_to("2026-11-20T13:01:00Z")
    schedules.fire_missed()
    assert due() == []
    clock.move_to("2026-11-20T13:02:00Z")
    schedules.fire_missed()
    assert due() == ["gl_postings"]
    Report.objects.update(due_at=None)
    schedules.fire_missed()
    assert due() == []
