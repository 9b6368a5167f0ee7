"""The inbox: every notice that came in, what became of it, and the state each record was last seen in."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any

from django.db import models
from django.db.models import Q
from django.utils import timezone

from connector.crypto import sealed_property
from connector.models.base import Row, keyed_uuid
from connector.models.connections import Connection


class EventState(models.TextChoices):
    RECEIVED = "received"
    FETCHED = "fetched"
    MAPPED = "mapped"
    ROUTED = "routed"
    IGNORED = "ignored"
    FAILED = "failed"


#: States in which an event still has a way to go.
MOVING = (EventState.RECEIVED, EventState.FETCHED, EventState.MAPPED)


class InboxEvent(Row):
    """One incoming fact. The key's order is the order in which facts were stored.

    `delivery_key` and `change_key` are hashes, unique where present: whichever repeats makes the notice a duplicate.
    `record`, `record_id` and `operation` are those of the notice until it is mapped, then those of the event.
    """

    connection = models.ForeignKey(
        Connection, null=True, blank=True, on_delete=models.PROTECT, related_name="inbox_events"
    )
    system = models.CharField(max_length=40)
    account = models.CharField(max_length=200, blank=True)
    origin = models.CharField(max_length=20, default="webhook")
    record = models.CharField(max_length=40, blank=True)
    record_id = models.CharField(max_length=200, blank=True)
    operation = models.CharField(max_length=40, blank=True)
    occurred_at = models.DateTimeField(null=True, blank=True)
    received_at = models.DateTimeField()
    delivery_key = models.CharField(max_length=32, null=True, unique=True, editable=False)
    change_key = models.CharField(max_length=32, null=True, unique=True, editable=False)
    state = models.CharField(max_length=10, choices=EventState, default=EventState.RECEIVED)
    state_at = models.DateTimeField()
    reason = models.CharField(max_length=200, blank=True)
    version_number = models.BigIntegerField(default=0)
    version_stamp = models.CharField(max_length=40, blank=True)
    attempts = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField(null=True, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(state__in=EventState.values), name="inbox_event_state"),
            models.CheckConstraint(
                condition=Q(connection__isnull=False) | ~Q(state__in=MOVING), name="inbox_event_unmatched_rests"
            ),
        ]
        indexes = [
            models.Index(fields=["connection", "record", "record_id"]),
            # What still moves is few among many: the sweeps read only this.
            models.Index(fields=["next_attempt_at"], condition=Q(state__in=MOVING), name="inbox_event_moving"),
            models.Index(fields=["connection", "id"], condition=Q(state__in=MOVING), name="inbox_event_ahead"),
            models.Index(fields=["state", "received_at"]),
        ]

    @property
    def type(self) -> str:
        return f"{self.record}.{self.operation}"


class PayloadKind(models.TextChoices):
    NOTICE = "notice"
    RECORD = "record"
    EVENT = "event"
    DECISIONS = "decisions"


class Payload(Row):
    """Content that belongs to an event, sealed: the vendor's notice and record, our event, the routes' decisions."""

    event = models.ForeignKey(InboxEvent, on_delete=models.CASCADE, related_name="payloads")
    kind = models.CharField(max_length=10, choices=PayloadKind)
    content_sealed = models.TextField()
    content = sealed_property("content_sealed")
    created_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["event", "kind"], name="payload_once")]
        indexes = [models.Index(fields=["created_at"])]

    @staticmethod
    def of(event: InboxEvent, kind: PayloadKind, content: Any) -> Payload:
        """An unsaved payload."""
        payload = Payload(id=keyed_uuid(event.pk, kind), event=event, kind=kind, created_at=timezone.now())
        payload.content = content
        return payload

    @staticmethod
    def put_many(rows: Iterable[tuple[InboxEvent, PayloadKind, Any]]) -> None:
        """Stores payloads, each in the place of an earlier one of that event and kind."""
        Payload.objects.bulk_create(
            [Payload.of(event, kind, content) for event, kind, content in rows],
            update_conflicts=True,
            unique_fields=["id"],
            update_fields=["content_sealed", "created_at"],
        )

    @staticmethod
    def put(event: InboxEvent, kind: PayloadKind, content: Any) -> None:
        Payload.put_many([(event, kind, content)])

    @staticmethod
    def read_many(events: Iterable[InboxEvent], kind: PayloadKind) -> dict[uuid.UUID, Any]:
        """The contents of that kind by event; those without one (any more) are left out."""
        rows = Payload.objects.filter(pk__in=[keyed_uuid(event.pk, kind) for event in events])
        return {row.event_id: row.content for row in rows}

    @staticmethod
    def read(event: InboxEvent, kind: PayloadKind) -> Any:
        """The content of that kind, or None when there is none (any more)."""
        return Payload.read_many([event], kind).get(event.pk)


class RecordState(Row):
    """The newest state seen of one record: what decides that another is older, and what a deletion is told with."""

    connection = models.ForeignKey(Connection, on_delete=models.CASCADE, related_name="record_states")
    record = models.CharField(max_length=40)
    record_id = models.CharField(max_length=200)
    version_number = models.BigIntegerField(default=0)
    version_stamp = models.CharField(max_length=40, blank=True)
    is_gone = models.BooleanField(default=False)
    #: A keyed hash of its party, to find that party's other records without naming it.
    party_hash = models.CharField(max_length=32, blank=True)
    event_sealed = models.TextField(blank=True)
    event = sealed_property("event_sealed")
    seen_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["connection", "record", "record_id"], name="record_state_once"),
        ]
        indexes = [models.Index(fields=["party_hash", "seen_at"])]


class SearchTerm(models.Model):
    """A keyed hash of a word or value of an event: finds it without opening it."""

    id = models.BigAutoField(primary_key=True)
    term_hash = models.CharField(max_length=32)
    event = models.ForeignKey(InboxEvent, on_delete=models.CASCADE, related_name="search_terms")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["term_hash", "event"], name="search_term_once")]

    def __str__(self) -> str:
        return str(self.pk)
