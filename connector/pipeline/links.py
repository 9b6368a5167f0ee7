"""The link table: which record of one connection is which of another, seen from either side."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Iterable
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db import connection as database
from django.db.models import QuerySet

from connector.kernel.contracts import Link
from connector.models import Link as Row
from connector.models.base import keyed_uuid


class Overtaken(Exception):
    """The link is no longer what a delivery has gone by: the other direction has used it in between."""


@dataclasses.dataclass(frozen=True, slots=True)
class Seen:
    """A record's link as it was found, and when it had been stored; nothing where there was none."""

    link: Link | None = None
    stored_at: dt.datetime | None = None


def find(source_id: UUID, sink_id: UUID, record: str, record_id: str) -> Seen:
    """The counterpart at the sink's connection of a record of the source's, if one is known."""
    return _seen(source_id, _row(Row.objects.all(), source_id, sink_id, record, record_id))


def pair(source_id: UUID, sink_id: UUID, record: str, record_id: str) -> str:
    """A name for a record and its counterpart, the same from either side; empty when no counterpart is known."""
    row = _row(Row.objects.all(), source_id, sink_id, record, record_id)
    return f"link:{row.pk}" if row else ""


def keep(source_id: UUID, sink_id: UUID, link: Link, *, before: Seen, now: dt.datetime) -> None:
    """Stores the link as it is from now on, in the caller's transaction, in the place of what `find` gave `before`.

    A record that changed its counterpart (a merge) takes its link along; the counterpart's older link goes. Raises
    `Overtaken` where the link was stored again meanwhile, even unchanged: who did that has decided by what was before.
    """
    left, right = _sides(source_id, sink_id)
    mine, other = (link.source_id, link.sink_id) if left == source_id else (link.sink_id, link.source_id)
    with transaction.atomic():
        rows = Row.objects.select_for_update() if database.features.has_select_for_update else Row.objects.all()
        if _seen(source_id, _row(rows, source_id, sink_id, link.record, link.source_id)) != before:
            raise Overtaken
        if other:
            same_right = Row.objects.filter(left=left, right=right, record=link.record, right_record_id=other)
            same_right.exclude(left_record_id=mine).delete()
        row = Row(
            id=keyed_uuid(left, right, link.record, mine),
            left_id=left,
            right_id=right,
            record=link.record,
            left_record_id=mine,
            right_record_id=other,
            changed_at=now,
        )
        row.state = dict(link.state)
        _store(row)


def _store(row: Row) -> None:
    columns = {name: getattr(row, name) for name in ("right_record_id", "state_sealed", "changed_at")}
    if Row.objects.filter(pk=row.pk).update(**columns):
        return
    try:
        with transaction.atomic():
            row.save(force_insert=True)
    except IntegrityError:  # both directions came to the same new pair at once
        raise Overtaken from None


def _row(rows: QuerySet[Row], source_id: UUID, sink_id: UUID, record: str, record_id: str) -> Row | None:
    left, right = _sides(source_id, sink_id)
    side = "left_record_id" if left == source_id else "right_record_id"
    return rows.filter(left=left, right=right, record=record, **{side: record_id}).order_by("pk").first()


def _seen(source_id: UUID, row: Row | None) -> Seen:
    if row is None:
        return Seen()
    mine, other = row.left_record_id, row.right_record_id
    if row.left_id != source_id:
        mine, other = other, mine
    return Seen(Link(row.record, mine, other, row.state or {}), row.changed_at)


def known(connection_id: UUID, record: str, record_ids: Iterable[str]) -> list[Row]:
    """The links whose right-hand or left-hand record is one of those of the connection."""
    ids = list(record_ids)
    rows = Row.objects.filter(right=connection_id, record=record, right_record_id__in=ids)
    return [*rows, *Row.objects.filter(left=connection_id, record=record, left_record_id__in=ids)]


def _sides(source_id: UUID, sink_id: UUID) -> tuple[UUID, UUID]:
    """The same two, in the same order, whichever way a record goes."""
    return (source_id, sink_id) if source_id < sink_id else (sink_id, source_id)
