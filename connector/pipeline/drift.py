"""Records that only the connector may change at a destination: another's edit of one is told."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from connector.kernel.contracts import Watched as Wanted
from connector.models import Connection, InboxEvent, Watched
from connector.models.base import keyed_uuid
from connector.pipeline import alerts, audit, clock

_CHANGES = ("updated", "deleted", "voided")


def watch(connection_id: UUID, wanted: Iterable[Wanted], *, origin: str) -> None:
    """Remembers what was written, in the caller's transaction. `origin` says what for."""
    rows = [
        Watched(
            id=keyed_uuid(connection_id, "watched", each.record, each.record_id),
            connection_id=connection_id,
            record=each.record,
            record_id=each.record_id,
            origin=origin[:240],
            number=each.number[:100],
            version=each.version,
            changed_at=clock.now(),
        )
        for each in wanted
    ]
    # The version in which it was first written stays: a newer one, met later, is somebody else's.
    Watched.objects.bulk_create(rows, ignore_conflicts=True)


def notice(connection: Connection, events: Iterable[InboxEvent]) -> None:
    """Tells of those events that are another's change of a watched record, once for each of its versions."""
    changes = {(event.record, event.record_id): event for event in events if event.operation in _CHANGES}
    if not changes:
        return
    rows = Watched.objects.filter(connection=connection, record_id__in={record_id for _, record_id in changes})
    for row in rows:
        event = changes.get((row.record, row.record_id))
        is_newer = event is not None and (event.version_number > row.version or event.operation == "deleted")
        if event is None or not is_newer or row.version < 0:
            continue
        version = -1 if event.operation == "deleted" else event.version_number
        if Watched.objects.filter(pk=row.pk, version=row.version).update(version=version, changed_at=clock.now()):
            _tell(connection, row, event)


def _tell(connection: Connection, row: Watched, event: InboxEvent) -> None:
    what = f"{row.record.replace('_', ' ')} {row.number or row.record_id}"
    entry = audit.Entry(
        "record.drifted", connection=connection.slug, event=str(event.pk), reason=f"{row.record} {row.record_id}"
    )
    audit.append(connection.organization, entry)
    text = (
        f"The {what}, posted for {row.origin}, was {event.operation} by somebody else. What the connector posts is not "
        "to be edited: correct the source, and it posts a reversing entry."
    )
    alerts.announce(connection, "failed", text, key=f"drift {event.pk}"[:40])
