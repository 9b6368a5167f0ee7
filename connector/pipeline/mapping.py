"""fetched -> mapped: the vendor's record in our neutral form. No call leaves here."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from django.db import connection as database
from django.db import transaction

from connector import registry
from connector.kernel.contracts import Names, Notice, Record
from connector.kernel.events import NAME_KINDS, FinancialEvent, from_json, to_json
from connector.kernel.values import BadValue
from connector.models import Connection, EventState, InboxEvent, Payload, PayloadKind, RecordState
from connector.models.base import keyed_uuid
from connector.pipeline import clock, credentials, directory, intake, resolve, stumble


def read_record(content: Mapping[str, Any]) -> Record:
    """The record that `intake.record_as_json` wrote."""
    names = ("created_at", "updated_at", "asked_at")
    times = {name: dt.datetime.fromisoformat(at) if (at := content.get(name)) else None for name in names}
    return Record(
        record=content["record"],
        record_id=content["record_id"],
        body=content["body"],
        version=(content["version"][0], content["version"][1]),
        is_gone=content["is_gone"],
        **times,
    )


def map_events(event_ids: Sequence[str | UUID]) -> None:
    """Advances those of the events that are `fetched`."""
    rows = InboxEvent.objects.filter(pk__in=event_ids, state=EventState.FETCHED)
    events = list(rows.select_related("connection__organization").order_by("pk"))
    records = Payload.read_many(events, PayloadKind.RECORD)
    notices = Payload.read_many(events, PayloadKind.NOTICE)
    readers: dict[UUID, Names] = {}
    mapped: list[tuple[InboxEvent, FinancialEvent | str]] = []
    for event in events:
        connection = _connection(event)
        names = readers.setdefault(connection.pk, directory.reader(connection))
        try:
            notice = resolve.notice_of(event, notices.get(event.pk))
            mapped.append((event, to_event(connection, notice, records.get(event.pk), names)))
        except BadValue as error:
            mapped.append((event, f"the record cannot be read: {error}"))
        except stumble.KINDS as error:
            mapped.append((event, stumble.reason(error)))
    with transaction.atomic():
        _store([(event, result) for event, result in mapped if isinstance(result, FinancialEvent)])
        for event, result in mapped:
            if isinstance(result, str):
                resolve.fail(_connection(event), event, result)


def _connection(event: InboxEvent) -> Connection:
    assert event.connection is not None
    return event.connection


def to_event(connection: Connection, notice: Notice, content: Any, names: Names) -> FinancialEvent:
    """The neutral form of a stored record. Raises `BadValue`."""
    if content is None:
        raise BadValue("its payload is past retention")
    record = read_record(content)
    source = registry.source(connection.system)
    ctx = credentials.Use(connection).context(credentials.opened(None))
    financial = source.to_event(ctx, notice, record, names)
    return _remembered(connection, financial) if record.is_gone else _numbered(connection, financial)


def _remembered(connection: Connection, financial: FinancialEvent) -> FinancialEvent:
    """A vanished record, told with what was known of it."""
    state = known_state(connection, financial.record, financial.record_id)
    if state is None or not state.event:
        return financial
    known = from_json(FinancialEvent, state.event)
    return dataclasses.replace(
        known,
        operation=financial.operation,
        status=financial.status,
        balance=None,
        occurred_at=financial.occurred_at,
        facts=financial.facts or known.facts,
    )


def _numbered(connection: Connection, financial: FinancialEvent) -> FinancialEvent:
    """A payment with the numbers of what it settles, as far as those records were told before."""
    settles = []
    for item in financial.settles:
        state = None if item.number else known_state(connection, item.record, item.id)
        number = str((state.event or {}).get("number", "")) if state else ""
        settles.append(dataclasses.replace(item, number=number) if number else item)
    return dataclasses.replace(financial, settles=tuple(settles)) if settles else financial


def known_state(connection: Connection, record: str, record_id: str) -> RecordState | None:
    return RecordState.objects.filter(pk=keyed_uuid(connection.pk, record, record_id)).first()


def _store(mapped: list[tuple[InboxEvent, FinancialEvent]]) -> None:
    """Writes what is still `fetched`; one statement for all events of a kind."""
    held = InboxEvent.objects.filter(pk__in=[event.pk for event, _ in mapped], state=EventState.FETCHED)
    if database.features.has_select_for_update:
        held = held.select_for_update(of=("self",))
    still = {pk: version for pk, *version in held.values_list("pk", "version_number", "version_stamp")}
    groups: dict[tuple[str, str], list[UUID]] = defaultdict(list)
    # What was read again meanwhile is mapped by whoever read it.
    mine = [
        (event, financial)
        for event, financial in mapped
        if still.get(event.pk) == [event.version_number, event.version_stamp]
    ]
    for event, financial in mine:
        groups[financial.record, financial.operation].append(event.pk)
        if financial.record in NAME_KINDS:
            directory.forget(_connection(event), financial.record, financial.record_id)
    for (record, operation), ids in groups.items():
        InboxEvent.objects.filter(pk__in=ids).update(
            state=EventState.MAPPED,
            state_at=clock.now(),
            record=record,
            operation=operation,
            next_attempt_at=clock.after(intake.GRACE),
        )
    Payload.put_many((event, PayloadKind.EVENT, to_json(financial)) for event, financial in mine)
