"""When reports are due: cron lines in the organization's time zone, and the close window of a month.

Celery beat fires them; what beat has missed (it was down, or its message was lost) is noticed by the sweep.
"""

from __future__ import annotations

import datetime as dt
import logging
import re
import zoneinfo
from collections.abc import Sequence
from uuid import UUID

from celery.schedules import ParseException
from django.db import transaction
from django_celery_beat.models import CrontabSchedule, PeriodicTask
from django_celery_beat.tzcrontab import TzAwareCrontab

from connector.models import Connection, Schedule
from connector.pipeline import clock, reports

log = logging.getLogger(__name__)

#: So late beat may be before the sweep fires in its place.
GRACE = dt.timedelta(seconds=90)
#: More business days than a month has would be no window.
MOST_DAYS = 20
FIELDS = ("minute", "hour", "day_of_month", "month_of_year", "day_of_week")
_PREFIX = "report schedule "


def problem(cron: str) -> str:
    """What is wrong with a cron line, for people; "" when it is good."""
    try:
        parsed(cron, "UTC")
    except (ParseException, ValueError) as error:
        hint = 'write five fields: minute, hour, day of month, month, day of week, such as "0 7 * * 1-5"'
        return f"{cron!r} is no cron line ({str(error) or 'it cannot be read'}): {hint}"
    return ""


def parsed(cron: str, timezone: str) -> TzAwareCrontab:
    """The cron line as Celery reads it. Raises `ParseException` or `ValueError`."""
    parts = cron.split()
    if len(parts) != len(FIELDS):
        raise ValueError(f"it has {len(parts)} fields")
    values = dict(zip(FIELDS, parts, strict=True))
    # Sunday is 0 in Celery and 0 or 7 everywhere else.
    values["day_of_week"] = re.sub(r"(?<![\d/])7(?!\d)", "0", values["day_of_week"].replace("-7", "-6,0"))
    return TzAwareCrontab(**values, tz=zoneinfo.ZoneInfo(timezone))


def is_in_window(day: dt.date, *, last: int, first: int) -> bool:
    """Whether it is one of the last or first business days (Monday to Friday) of its month; always without a window."""
    if not (last or first):
        return True
    if day.weekday() > 4:
        return False
    days = [day.replace(day=number) for number in range(1, _length(day) + 1)]
    business = [each for each in days if each.weekday() < 5]
    place = business.index(day)
    return place < first or place >= len(business) - last


def _length(day: dt.date) -> int:
    return ((day.replace(day=28) + dt.timedelta(days=4)).replace(day=1) - dt.timedelta(days=1)).day


def fire(schedule_id: str | UUID) -> None:
    """The time has come: asks for the report, unless the close window is shut."""
    schedule = Schedule.objects.select_related("connection__organization").filter(pk=schedule_id).first()
    if schedule is None or not schedule.is_active or not schedule.connection.is_active:
        return
    zone = zoneinfo.ZoneInfo(schedule.connection.organization.timezone)
    today = clock.now().astimezone(zone).date()
    with transaction.atomic():
        Schedule.objects.filter(pk=schedule.pk).update(fired_at=clock.now())
        if is_in_window(today, last=schedule.window_last, first=schedule.window_first):
            reports.ask(schedule.connection, [schedule.report])


def fire_missed() -> None:
    """Fires what beat should have fired by now."""
    rows = Schedule.objects.filter(is_active=True, connection__is_active=True)
    for schedule in rows.select_related("connection__organization"):
        cron = parsed(schedule.cron, schedule.connection.organization.timezone)
        if cron.remaining_estimate(schedule.fired_at.astimezone(cron.tz)) < -GRACE:
            log.warning("the schedule %s of %s was missed and is made up for", schedule, schedule.connection.slug)
            fire(schedule.pk)


def replace(connection: Connection, wanted: Sequence[tuple[str, str, int, int]]) -> dict[str, list[str]]:
    """Makes the connection's schedules the wanted ones (report, cron, last, first); what was done, by verb."""
    stored = {_key_of(row): row for row in Schedule.objects.filter(connection=connection, is_active=True)}
    done: dict[str, list[str]] = {"created": [], "removed": [], "unchanged": []}
    for key in wanted:
        row = stored.pop(key, None)
        done["unchanged" if row else "created"].append(f"{key[0]} {key[1]}")
        if row is None:
            add(connection, *key)
    for row in stored.values():
        row.delete()
        done["removed"].append(str(row))
    return done


def _key_of(row: Schedule) -> tuple[str, str, int, int]:
    return row.report, row.cron, row.window_last, row.window_first


def add(connection: Connection, report: str, cron: str, last: int = 0, first: int = 0) -> None:
    """Adds the schedule, or switches on the one that is there; its first time is the next one to come."""
    Schedule.objects.update_or_create(
        connection=connection,
        report=report,
        cron=cron,
        window_last=last,
        window_first=first,
        defaults={"is_active": True, "fired_at": clock.now()},
    )


def sync(connection: Connection) -> None:
    """Makes beat's table what the connection's schedules say, in the caller's transaction."""
    wanted = {}
    for schedule in Schedule.objects.filter(connection=connection, is_active=True):
        wanted[f"{_PREFIX}{schedule.pk}"] = schedule
    for name, schedule in wanted.items():
        cron = parsed(schedule.cron, connection.organization.timezone)
        values = {field: str(getattr(cron, f"_orig_{field}")) for field in FIELDS}
        line, _ = CrontabSchedule.objects.get_or_create(timezone=connection.organization.timezone, **values)
        row = PeriodicTask.objects.filter(name=name).first() or PeriodicTask(name=name)
        if row.crontab_id != line.pk or row.enabled != connection.is_active or row.pk is None:
            row.crontab, row.enabled = line, connection.is_active
            row.task, row.queue = "connector.tasks.fire_schedule", None
            row.args, row.expire_seconds = f'["{schedule.pk}"]', int(GRACE.total_seconds())
            row.description = f"{schedule.report} of {connection.slug}"
            row.save()
    known = Schedule.objects.filter(is_active=True).values_list("pk", flat=True)
    names = [f"{_PREFIX}{pk}" for pk in known]
    for stale in PeriodicTask.objects.filter(name__startswith=_PREFIX).exclude(name__in=names):
        stale.delete()
