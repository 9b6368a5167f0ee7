"""received -> fetched: the full records, in as few vendor calls as the batching allows, and the names they mention."""

from __future__ import annotations

import dataclasses
import datetime as dt
import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection as database
from django.db import transaction
from django.db.models import F, Q

from connector import registry
from connector.kernel.contracts import Context, Notice, Record
from connector.kernel.errors import Misconfigured, Reauthorize, Reject, Retry, Unknown, VendorError
from connector.kernel.events import Ref
from connector.models import BLOCKED, Connection, EventState, InboxEvent, Payload, PayloadKind
from connector.pipeline import audit, clock, connections, directory, intake, retry, stumble

log = logging.getLogger(__name__)


def fetch(event_ids: Sequence[str | UUID]) -> None:
    """Advances those of the events that are `received`, due, and nobody else's just now."""
    # Should this worker die, the next one must not be kept waiting for long; two that fetch at once do no harm.
    lease = clock.after(max(5.0, float(settings.HTTP_TIMEOUT_SECONDS) / 2))
    now = clock.now()
    free = Q(lease_until__isnull=True) | Q(lease_until__lt=now)
    rows = InboxEvent.objects.filter(pk__in=event_ids, state=EventState.RECEIVED)
    mine = rows.filter(free).exclude(connection__state__in=BLOCKED)
    claimed = list(mine.values_list("pk", flat=True))
    if not claimed or not rows.filter(free, pk__in=claimed).update(lease_until=lease, next_attempt_at=lease):
        return
    by_connection: dict[UUID, list[InboxEvent]] = defaultdict(list)
    for event in rows.filter(pk__in=claimed, lease_until=lease).order_by("pk"):
        assert event.connection_id is not None
        by_connection[event.connection_id].append(event)
    for connection_id, events in by_connection.items():
        connection = Connection.objects.select_related("organization", "credential").get(pk=connection_id)
        _fetch_for(connection, events)


def _fetch_for(connection: Connection, events: list[InboxEvent]) -> None:
    try:
        _fetch_together(connection, events)
    except stumble.KINDS as error:
        if len(events) > 1:
            for event in events:
                _fetch_for(connection, [event])
        else:
            fail(connection, events[0], stumble.reason(error))


def _fetch_together(connection: Connection, events: list[InboxEvent]) -> None:
    source = registry.source(connection.system)
    notices = notices_of(events)
    by_notice = {id(notice): pk for pk, notice in notices.items()}
    asked_at = clock.now()

    def work(ctx: Context) -> dict[UUID, Record | Exception]:
        found = {
            by_notice[id(notice)]: dataclasses.replace(each, asked_at=asked_at) if isinstance(each, Record) else each
            for notice, each in source.fetch(ctx, list(notices.values()))
        }
        records = [record for record in found.values() if isinstance(record, Record)]
        _name(ctx, connection, [ref for record in records for ref in source.references(record)], events)
        return found

    try:
        found = connections.call(connection, work)
    except (Reauthorize, Misconfigured) as error:
        _wait_for_person(events, error)
        return
    except VendorError as error:
        if isinstance(error, Retry | Unknown):
            connections.note_unreachable(connection, error)
        found = dict.fromkeys(notices, error)
    _settle(connection, events, found)


def _name(ctx: Context, connection: Connection, wanted: list[Ref], events: list[InboxEvent]) -> None:
    """Looks the names up. When that keeps failing, a message with IDs in it is better than none."""
    try:
        directory.ensure(ctx, connection, wanted)
    except (Retry, Unknown) as error:
        if min(event.attempts for event in events) < 2:
            raise
        log.warning("names of %s cannot be looked up (%s)", connection.slug, error.code)


def notices_of(events: Sequence[InboxEvent]) -> dict[UUID, Notice]:
    """The stored notice of each event (its table's columns where the payload is gone)."""
    contents = Payload.read_many(events, PayloadKind.NOTICE)
    return {event.pk: notice_of(event, contents.get(event.pk)) for event in events}


def notice_of(event: InboxEvent, content: Mapping[str, Any] | None) -> Notice:
    """An event's notice from its stored content."""
    content = content or {}
    return Notice(
        account=event.account,
        record=event.record,
        record_id=event.record_id,
        operation=content.get("operation") or event.operation,
        occurred_at=event.occurred_at,
        raw=content.get("raw", ""),
    )


def _wait_for_person(events: Iterable[InboxEvent], error: VendorError) -> None:
    """Back to the queue without a time: the connection's mending sets them free."""
    ids = [event.pk for event in events]
    InboxEvent.objects.filter(pk__in=ids, state=EventState.RECEIVED).update(
        lease_until=None, reason=(error.code or type(error).__name__)[:200], attempts=F("attempts") + 1
    )


def _settle(connection: Connection, events: list[InboxEvent], found: dict[UUID, Record | Exception]) -> None:
    """Stores what was fetched, and when to try again for the rest."""
    missing = Retry("the source left this record out of its answer", code="missing")
    # Events with one error in common are asked for together again, in fewer calls and in their order.
    waits: dict[int, float] = {}
    with transaction.atomic():
        _store([(event, found.get(event.pk)) for event in events])
        for event in events:
            outcome = found.get(event.pk, missing)
            if isinstance(outcome, Record):
                continue
            if isinstance(outcome, Retry | Unknown) and not retry.is_exhausted(event.state_at):
                _again(event, outcome, waits.setdefault(id(outcome), _wait(event, outcome)))
            elif isinstance(outcome, VendorError):
                _fail(connection, event, outcome)
            else:
                _fail(connection, event, Reject(f"the record cannot be read: {outcome}", code="unreadable"))


def _store(fetched: Sequence[tuple[InboxEvent, Record | Exception | None]]) -> None:
    """Writes what was fetched of the events that are still `received`."""
    records = {event.pk: record for event, record in fetched if isinstance(record, Record)}
    held = InboxEvent.objects.filter(pk__in=records, state=EventState.RECEIVED)
    if database.features.has_select_for_update:
        held = held.select_for_update(of=("self",))
    events = list(held)
    for event in events:
        version = records[event.pk].version
        event.version_number, event.version_stamp = min(version[0], 2**63 - 1), version[1][:40]
    InboxEvent.objects.bulk_update(events, ["version_number", "version_stamp"])
    InboxEvent.objects.filter(pk__in=[event.pk for event in events]).update(
        state=EventState.FETCHED,
        state_at=clock.now(),
        reason="",
        lease_until=None,
        next_attempt_at=clock.after(intake.GRACE),
    )
    Payload.put_many((event, PayloadKind.RECORD, intake.record_as_json(records[event.pk])) for event in events)


def _wait(event: InboxEvent, error: Retry | Unknown) -> float:
    return retry.wait_seconds(
        event.attempts + 1,
        after=getattr(error, "after", None),
        is_throttle=getattr(error, "pause_connection", False),
    )


def _again(event: InboxEvent, error: Retry | Unknown, wait: float) -> None:
    InboxEvent.objects.filter(pk=event.pk, state=EventState.RECEIVED).update(
        lease_until=None,
        attempts=F("attempts") + 1,
        next_attempt_at=clock.now() + dt.timedelta(seconds=wait),
        reason=(error.code or type(error).__name__)[:200],
    )


def _fail(connection: Connection, event: InboxEvent, error: VendorError) -> None:
    code = f"{error.code}: " if error.code else ""
    fail(connection, event, f"{code}{error.text}", detail=error.detail)


def fail(connection: Connection, event: InboxEvent, reason: str, *, detail: str = "") -> None:
    """Ends an event that cannot be worked on; it stays visible and can be replayed."""
    moved = (
        InboxEvent.objects.filter(pk=event.pk)
        .exclude(state=EventState.ROUTED)
        .update(
            state=EventState.FAILED, state_at=clock.now(), reason=reason[:200], lease_until=None, next_attempt_at=None
        )
    )
    if moved:
        entry = audit.Entry(
            "event.failed", connection=connection.slug, event=str(event.pk), reason=reason,
            attempts=event.attempts + 1, body={"detail": detail} if detail else None,
        )  # fmt: skip
        audit.append(connection.organization, entry)
        log.warning("event %s failed", event.pk)
