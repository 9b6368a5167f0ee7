"""Reading what changed at a source: gap fill by beat, `poll` and `backfill` by a person.

What a batch found and how far it got are stored in one transaction.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from uuid import UUID

from django.db import transaction

from connector import registry
from connector.kernel.contracts import Batch, Context, Notice, Record
from connector.kernel.errors import Retry, Unknown, VendorError
from connector.models import Connection, Cursor, EventState, InboxEvent, RecordState
from connector.models.base import keyed_uuid
from connector.pipeline import clock, connections, directory, hints, intake, mapping
from connector.pipeline.decisions import is_older

log = logging.getLogger(__name__)

CURSOR = "changes"


@dataclasses.dataclass(slots=True)
class Reading:
    """What one reading found."""

    seen: int = 0
    new: int = 0


def poll(connection_id: str | UUID) -> None:
    """A reading by beat: its failure is written down and tried again at the next turn."""
    connection = _connection(connection_id)
    try:
        read(connection, origin="poll")
    except (Retry, Unknown) as error:
        connections.note_unreachable(connection, error)
        log.warning("reading %s failed (%s); the next turn tries again", connection.slug, error.code)
    except VendorError as error:
        log.warning("reading %s failed (%s)", connection.slug, error.code or type(error).__name__)


def _connection(connection_id: str | UUID) -> Connection:
    return Connection.objects.select_related("organization", "credential").get(pk=connection_id)


def read(
    connection: Connection,
    *,
    origin: str,
    since: dt.datetime | None = None,
    until: dt.datetime | None = None,
    is_dry: bool = False,
) -> Reading:
    """Reads changes since the stored cursor, or since the given time (which leaves the cursor alone).

    Raises the vendor's verdict. What was stored before a failure stays, with its cursor.
    """
    source = registry.source(connection.system)
    cursor = Cursor.objects.filter(connection=connection, name=CURSOR).first()
    state = {} if since or cursor is None else cursor.state
    reading, asked_at = Reading(), clock.now()

    def work(ctx: Context) -> None:
        for batch in source.poll(ctx, state, since=since):
            wanted = [
                (notice, dataclasses.replace(record, asked_at=asked_at))
                for notice, record in batch.records
                if _is_within(notice, until)
            ]
            reading.seen += len(wanted)
            fresh = list(news(connection, wanted))
            if is_dry:
                reading.new += len(fresh)
                continue
            directory.ensure(ctx, connection, [ref for _, record in fresh for ref in source.references(record)])
            reading.new += store(connection, batch, fresh, origin, keeps_cursor=since is not None)

    connections.call(connection, work)
    return reading


def _is_within(notice: Notice, until: dt.datetime | None) -> bool:
    return until is None or notice.occurred_at is None or notice.occurred_at <= until


def news(connection: Connection, found: Iterable[tuple[Notice, Record]]) -> Iterator[tuple[Notice, Record]]:
    """Those whose state has not been seen yet.

    A creation that was told already is an update by now; and what nobody has heard of counts as new where the vendor
    does not say when it was made.
    """
    for notice, record in found:
        known = mapping.known_state(connection, record.record, record.record_id)
        if known is not None and not _is_newer(record, known):
            continue
        operation = notice.operation
        if known is not None and operation == "created":
            yield dataclasses.replace(notice, operation="updated", change_key=""), record
        elif known is None and operation == "updated" and record.created_at is None:
            yield dataclasses.replace(notice, operation="created"), record
        else:
            yield notice, record


def _is_newer(record: Record, known: RecordState) -> bool:
    if record.is_gone:
        return not known.is_gone
    version, seen = record.version, (known.version_number, known.version_stamp)
    return version != seen and not is_older(version, seen)


def store(
    connection: Connection,
    batch: Batch,
    fresh: Sequence[tuple[Notice, Record]],
    origin: str,
    *,
    keeps_cursor: bool = False,
) -> int:
    """Stores the fresh records of a batch and its notices, and with them how far it got; how many are new."""
    rows: list[tuple[InboxEvent, Notice]] = []
    records: dict[UUID, Record] = {}
    for notice, record in fresh:
        row = intake.new_event(connection.system, notice, connection, origin)
        row.state = EventState.FETCHED
        row.version_number, row.version_stamp = record.version[0], record.version[1][:40]
        records[row.pk] = record
        rows.append((row, notice))
    rows += [(intake.new_event(connection.system, notice, connection, origin), notice) for notice in batch.notices]
    with transaction.atomic():
        events = intake.store(rows, records)
        if batch.cursor is not None and not keeps_cursor:
            move_cursor(connection, CURSOR, batch.cursor)
        hints.start_events(event.pk for event in events)
    return len(events)


def move_cursor(connection: Connection, name: str, state: Mapping[str, object]) -> None:
    """Puts the state in the place of the cursor's own, in the caller's transaction."""
    Cursor.objects.update_or_create(
        id=keyed_uuid(connection.pk, name),
        defaults={"connection": connection, "name": name, "state": dict(state), "moved_at": clock.now()},
    )
