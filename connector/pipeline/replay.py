"""Replay: a person sets free what is parked or failed. Nothing delivered is told again, unless on purpose."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections import Counter
from uuid import UUID

from django.db import transaction
from django.db.models import Q, QuerySet

from connector import registry
from connector.models import (
    BLOCKED,
    MOVING,
    Connection,
    Delivery,
    DeliveryState,
    EventState,
    InboxEvent,
    Mailbox,
    PayloadKind,
)
from connector.pipeline import audit, clock, hints

STATES = (DeliveryState.PARKED, DeliveryState.FAILED)
CHUNK = 200


@dataclasses.dataclass(frozen=True, slots=True)
class Selection:
    """Which deliveries and events are meant; every given part narrows it."""

    delivery: str = ""
    event: str = ""
    status: str = ""
    organization: str = ""
    connection: str = ""
    route: str = ""
    channel: str = ""
    since: dt.datetime | None = None
    until: dt.datetime | None = None

    def is_empty(self) -> bool:
        return self == Selection()


@dataclasses.dataclass(slots=True)
class Result:
    """How many were meant, set free, and left alone (delivered before, or on their way)."""

    matched: int = 0
    released: int = 0
    skipped: int = 0
    #: The deliveries set free, for whoever wants to watch them go.
    freed: list[UUID] = dataclasses.field(default_factory=list)


def replay(selection: Selection, *, actor: str, is_dry: bool = False, again: bool = False) -> Result:
    """Sets free what the selection means, oldest first."""
    result = Result()
    _replay_events(selection, result, actor, is_dry)
    rows = _deliveries(selection, again=again)
    ids = list(rows.order_by("event_id").values_list("pk", flat=True))
    result.matched += len(ids)
    for start in range(0, len(ids), CHUNK):
        chunk = Delivery.objects.filter(pk__in=ids[start : start + CHUNK]).select_related(
            "mailbox__connection__organization"
        )
        _replay_chunk(list(chunk.order_by("event_id")), result, actor, is_dry, again)
    if selection.connection and not is_dry:
        _wake(selection.connection)
    return result


def progress(freed: list[UUID]) -> dict[str, int]:
    """How far deliveries set free have come: a count for each state."""
    counts: Counter[str] = Counter()
    for start in range(0, len(freed), CHUNK):
        rows = Delivery.objects.filter(pk__in=freed[start : start + CHUNK])
        counts.update(rows.values_list("state", flat=True))
    return dict(counts)


def _deliveries(selection: Selection, *, again: bool) -> QuerySet[Delivery]:
    rows = Delivery.objects.all()
    if selection.delivery:
        rows = rows.filter(pk=selection.delivery)
    if selection.event:
        rows = rows.filter(event__pk=selection.event)
    if selection.status:
        rows = rows.filter(state=selection.status)
    elif not (selection.delivery or selection.event or again):
        rows = rows.filter(state__in=STATES)
    if selection.organization:
        rows = rows.filter(route__organization__slug=selection.organization)
    if selection.connection:
        rows = rows.filter(
            Q(event__connection__slug=selection.connection) | Q(mailbox__connection__slug=selection.connection)
        )
    if selection.route:
        rows = rows.filter(route__name=selection.route)
    if selection.channel:
        rows = rows.filter(mailbox__target=selection.channel)
    if selection.since:
        rows = rows.filter(event__received_at__gte=selection.since)
    if selection.until:
        rows = rows.filter(event__received_at__lte=selection.until)
    return rows


def _replay_chunk(rows: list[Delivery], result: Result, actor: str, is_dry: bool, again: bool) -> None:
    free = (*STATES, DeliveryState.DELIVERED) if again else STATES
    meant = [row for row in rows if row.state in free]
    result.skipped += len(rows) - len(meant)
    if is_dry:
        result.released += len(meant)
        return
    with transaction.atomic():
        for row in meant:
            if _free(row, actor):
                result.released += 1
                result.freed.append(row.pk)
            else:
                result.skipped += 1
        mailboxes = {row.mailbox_id: row.mailbox for row in meant}
        for mailbox in mailboxes.values():
            Mailbox.objects.filter(pk=mailbox.pk).exclude(hold="").update(hold="", reason="", parked_at=None, parks=0)
        hints.drain(mailboxes)


def _free(row: Delivery, actor: str) -> bool:
    """Back to waiting, by compare-and-set on the state it was found in."""
    now = clock.now()
    columns: dict[str, object] = {
        "state": DeliveryState.WAITING, "hold": "", "reason": "", "next_attempt_at": now, "due_since": now,
        "replayed_by": actor, "delivered_at": None,
    }  # fmt: skip
    if row.state == DeliveryState.DELIVERED:
        # A message told again on purpose is a new message.
        columns["message"] = None
    if not Delivery.objects.filter(pk=row.pk, state=row.state).update(**columns):
        return False
    connection = row.mailbox.connection
    audit.append(
        connection.organization,
        audit.Entry(
            "delivery.replayed", actor=actor, connection=connection.slug, event=str(row.event_id),
            delivery=str(row.pk), reason=row.state, channel=row.mailbox.target, attempts=row.attempts,
        ),
    )  # fmt: skip
    return True


def _replay_events(selection: Selection, result: Result, actor: str, is_dry: bool) -> None:
    """Failed events of the selection start again: from the notice, or from the record where it cannot be fetched."""
    if selection.delivery or selection.route or selection.channel or selection.status not in ("", "failed"):
        return
    rows = InboxEvent.objects.filter(state=EventState.FAILED, connection__isnull=False).exclude(record_id="")
    if selection.event:
        rows = rows.filter(pk=selection.event)
    if selection.organization:
        rows = rows.filter(connection__organization__slug=selection.organization)
    if selection.connection:
        rows = rows.filter(connection__slug=selection.connection)
    if selection.since:
        rows = rows.filter(received_at__gte=selection.since)
    if selection.until:
        rows = rows.filter(received_at__lte=selection.until)
    for event in rows.select_related("connection__organization").order_by("pk"):
        result.matched += 1
        if is_dry or _restart(event, actor):
            result.released += 1
        else:
            result.skipped += 1


def _restart(event: InboxEvent, actor: str) -> bool:
    assert event.connection is not None
    now = clock.now()
    is_kept = bool(registry.source(event.system).caller)
    state = EventState.FETCHED if is_kept else EventState.RECEIVED
    with transaction.atomic():
        moved = InboxEvent.objects.filter(pk=event.pk, state=EventState.FAILED).update(
            state=state, state_at=now, received_at=now, reason="", attempts=0, next_attempt_at=now
        )
        if moved:
            if not is_kept:
                event.payloads.filter(kind=PayloadKind.RECORD).delete()
            entry = audit.Entry(
                "event.replayed",
                actor=actor,
                connection=event.connection.slug,
                event=str(event.pk),
                reason=event.reason,
            )
            audit.append(event.connection.organization, entry)
            hints.start_events([event.pk])
    return bool(moved)


def _wake(slug: str) -> None:
    """Everything of the connection that waits for a later time is due now."""
    now = clock.now()
    connection = Connection.objects.filter(slug=slug).first()
    if connection is None:
        return
    if connection.state in BLOCKED:
        # Perhaps it was mended at the vendor's end: the ping tells, and sets free what waits.
        hints.run("check_connection", str(connection.pk))
    events = InboxEvent.objects.filter(connection=connection, state__in=MOVING)
    events.update(next_attempt_at=now)
    hints.start_events(list(events.order_by("pk").values_list("pk", flat=True)[:1000]))
    waiting = Delivery.objects.filter(mailbox__connection=connection, state=DeliveryState.WAITING)
    waiting.update(next_attempt_at=now)
    hints.drain(set(waiting.values_list("mailbox_id", flat=True)))
