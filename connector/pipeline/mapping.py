"""fetched -> mapped: the vendor's record in our neutral form. No call leaves here."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from django.db import transaction

from connector import registry
from connector.kernel.contracts import Names, Record
from connector.kernel.events import NAME_KINDS, FinancialEvent, from_json, to_json
from connector.kernel.values import BadValue
from connector.models import Connection, EventState, InboxEvent, Payload, PayloadKind, RecordState
from connector.models.base import keyed_uuid
from connector.pipeline import clock, credentials, directory, intake, resolve


def read_record(content: Mapping[str, Any]) -> Record:
    """The record that `intake.record_as_json` wrote."""
    created, updated = content["created_at"], content["updated_at"]
    return Record(
        record=content["record"],
        record_id=content["record_id"],
        body=content["body"],
        version=(content["version"][0], content["version"][1]),
        is_gone=content["is_gone"],
        created_at=dt.datetime.fromisoformat(created) if created else None,
        updated_at=dt.datetime.fromisoformat(updated) if updated else None,
    )


def map_events(event_ids: Sequence[str | UUID]) -> None:
    """Advances those of the events that are `fetched`."""
    rows = InboxEvent.objects.filter(pk__in=event_ids, state=EventState.FETCHED)
    readers: dict[UUID, Names] = {}
    for event in rows.select_related("connection__organization").order_by("pk"):
        connection = event.connection
        assert connection is not None
        names = readers.setdefault(connection.pk, directory.reader(connection))
        try:
            financial = to_event(connection, event, names)
        except BadValue as error:
            with transaction.atomic():
                resolve.fail(connection, event, f"the record cannot be read: {error}")
            continue
        _store(connection, event, financial)


def to_event(connection: Connection, event: InboxEvent, names: Names) -> FinancialEvent:
    """The neutral form of an event's stored record. Raises `BadValue`."""
    content = Payload.read(event, PayloadKind.RECORD)
    if content is None:
        raise BadValue("its payload is past retention")
    record = read_record(content)
    source = registry.source(connection.system)
    ctx = credentials.Use(connection).context(credentials.opened(None))
    financial = source.to_event(ctx, resolve.notice_of(event), record, names)
    return _remembered(connection, financial) if record.is_gone else financial


def _remembered(connection: Connection, financial: FinancialEvent) -> FinancialEvent:
    """A vanished record, told with what was known of it."""
    state = known_state(connection, financial.record, financial.record_id)
    if state is None or not state.event:
        return financial
    known = from_json(FinancialEvent, state.event)
    return dataclasses.replace(
        known, operation=financial.operation, status=financial.status, balance=None, occurred_at=financial.occurred_at
    )


def known_state(connection: Connection, record: str, record_id: str) -> RecordState | None:
    return RecordState.objects.filter(pk=keyed_uuid(connection.pk, record, record_id)).first()


def _store(connection: Connection, event: InboxEvent, financial: FinancialEvent) -> None:
    with transaction.atomic():
        moved = InboxEvent.objects.filter(pk=event.pk, state=EventState.FETCHED).update(
            state=EventState.MAPPED,
            state_at=clock.now(),
            record=financial.record,
            operation=financial.operation,
            next_attempt_at=clock.after(intake.GRACE),
        )
        if not moved:
            return
        Payload.put(event, PayloadKind.EVENT, to_json(financial))
        if financial.record in NAME_KINDS:
            directory.forget(connection, financial.record, financial.record_id)
