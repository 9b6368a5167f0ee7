"""For any day: what the webhooks brought against what the source itself shows, and the repair of what is missing."""

from __future__ import annotations

import dataclasses
import datetime as dt
from zoneinfo import ZoneInfo

from django.db.models import QuerySet

from connector import registry
from connector.kernel.contracts import Context, Notice, Record
from connector.models import Connection, EventState, InboxEvent
from connector.pipeline import connections, polling


@dataclasses.dataclass(slots=True)
class Report:
    """Counts of records, and the records that no webhook of that day had told of.

    `changed` is what the source shows as last changed within the day; a record that changed again later counts on
    the later day. `polled` were known by another way than webhooks.
    """

    day: str
    changed: int = 0
    by_webhook: int = 0
    polled: int = 0
    webhook_events: int = 0
    failed_events: int = 0
    repaired: int = 0
    missing: list[dict[str, str]] = dataclasses.field(default_factory=list)


def bounds(connection: Connection, day: dt.date) -> tuple[dt.datetime, dt.datetime]:
    """The day's first and last instant in the organization's time zone."""
    zone = ZoneInfo(connection.organization.timezone)
    begin = dt.datetime.combine(day, dt.time.min, zone)
    end = dt.datetime.combine(day + dt.timedelta(days=1), dt.time.min, zone)
    return begin.astimezone(dt.UTC), end.astimezone(dt.UTC) - dt.timedelta(microseconds=1)


def reconcile(connection: Connection, day: dt.date) -> Report:
    """Compares, then repairs. Raises the vendor's verdict, or `Unsupported` where the source shows no changes."""
    begin, end = bounds(connection, day)
    report = Report(day.isoformat())
    told = InboxEvent.objects.filter(connection=connection, origin="webhook", occurred_at__range=(begin, end))
    report.webhook_events = told.count()
    report.failed_events = told.filter(state=EventState.FAILED).count()
    for notice, record in _changed(connection, begin, end):
        report.changed += 1
        seen = set(_events_of(connection, record, begin).values_list("origin", flat=True))
        if "webhook" in seen:
            report.by_webhook += 1
        elif seen:
            report.polled += 1
        else:
            report.missing.append({"record": record.record, "id": record.record_id, "operation": notice.operation})
    if report.missing:
        report.repaired = polling.read(connection, origin="reconcile", since=begin, until=end).new
    return report


def _changed(connection: Connection, begin: dt.datetime, end: dt.datetime) -> list[tuple[Notice, Record]]:
    source = registry.source(connection.system)

    def work(ctx: Context) -> list[tuple[Notice, Record]]:
        return [
            (notice, record)
            for batch in source.poll(ctx, {}, since=begin)
            for notice, record in batch.records
            if notice.occurred_at is None or begin <= notice.occurred_at <= end
        ]

    return connections.call(connection, work)


def _events_of(connection: Connection, record: Record, begin: dt.datetime) -> QuerySet[InboxEvent]:
    rows = InboxEvent.objects.filter(connection=connection, record=record.record, record_id=record.record_id)
    return rows.filter(received_at__gte=begin).exclude(state=EventState.FAILED)
