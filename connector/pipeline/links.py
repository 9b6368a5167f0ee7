"""The link table: which record of one connection is which of another, seen from either side."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from django.db import transaction

from connector.kernel.contracts import Link
from connector.models import Link as Row
from connector.models.base import keyed_uuid
from connector.pipeline import clock


def find(source_id: UUID, sink_id: UUID, record: str, record_id: str) -> Link | None:
    """The counterpart at the sink's connection of a record of the source's; None when none is known."""
    left, right = _sides(source_id, sink_id)
    if left == source_id:
        row = Row.objects.filter(left=left, right=right, record=record, left_record_id=record_id).first()
    else:
        row = (
            Row.objects.filter(left=left, right=right, record=record, right_record_id=record_id).order_by("pk").first()
        )
    if row is None:
        return None
    other = row.right_record_id if left == source_id else row.left_record_id
    return Link(record, record_id, other, row.state or {})


def keep(source_id: UUID, sink_id: UUID, link: Link) -> None:
    """Stores the link as it is from now on, in the caller's transaction.

    A record that changed its counterpart (a merge) takes its link along; the counterpart's older link goes.
    """
    left, right = _sides(source_id, sink_id)
    mine, other = (link.source_id, link.sink_id) if left == source_id else (link.sink_id, link.source_id)
    with transaction.atomic():
        same_right = Row.objects.filter(left=left, right=right, record=link.record, right_record_id=other)
        if other:
            same_right.exclude(left_record_id=mine).delete()
        row = Row(
            id=keyed_uuid(left, right, link.record, mine),
            left_id=left,
            right_id=right,
            record=link.record,
            left_record_id=mine,
            right_record_id=other,
            changed_at=clock.now(),
        )
        row.state = dict(link.state)
        # In one statement: both directions may come to the same new pair at once.
        Row.objects.bulk_create(
            [row],
            update_conflicts=True,
            unique_fields=["id"],
            update_fields=["right_record_id", "state_sealed", "changed_at"],
        )


def known(connection_id: UUID, record: str, record_ids: Iterable[str]) -> list[Row]:
    """The links whose right-hand or left-hand record is one of those of the connection."""
    ids = list(record_ids)
    rows = Row.objects.filter(right=connection_id, record=record, right_record_id__in=ids)
    return [*rows, *Row.objects.filter(left=connection_id, record=record, left_record_id__in=ids)]


def _sides(source_id: UUID, sink_id: UUID) -> tuple[UUID, UUID]:
    """The same two, in the same order, whichever way a record goes."""
    return (source_id, sink_id) if source_id < sink_id else (sink_id, source_id)
