"""Notices to records: one list for several of a kind, single reads for the rest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from connector.kernel.contracts import Notice, Record
from connector.kernel.errors import Reject, VendorError
from connector.kernel.values import BadValue
from sources.freshbooks.client import Client, Row
from sources.freshbooks.documents import gone, record_of
from sources.freshbooks.entities import BY_RECORD, Entity
from sources.freshbooks.errors import Gone
from sources.freshbooks.webhook import read_fields

Fetched = Record | VendorError


def fetch(client: Client, notices: Sequence[Notice]) -> Iterator[tuple[Notice, Fetched]]:
    """Every notice with its record, or with the error of that record alone; an error of all is raised.

    Deleted objects are read like any other, since FreshBooks keeps them.
    """
    asked: dict[str, dict[str, list[Notice]]] = {}
    for notice in notices:
        if notice.record not in BY_RECORD:
            yield notice, Reject(f"FreshBooks has no record of the kind {notice.record or 'that was named'}")
        else:
            asked.setdefault(notice.record, {}).setdefault(notice.record_id, []).append(notice)
    for record, by_id in asked.items():
        entity = BY_RECORD[record]
        for record_id, row in client.many(entity, by_id):
            for notice in by_id[record_id]:
                yield notice, _fetched(entity, notice, row)


def _fetched(entity: Entity, notice: Notice, row: Row | VendorError) -> Fetched:
    if isinstance(row, Gone):
        return gone(entity, notice.record_id, _hints(notice))
    if isinstance(row, VendorError):
        return row
    try:
        return record_of(entity, row)
    except BadValue as error:
        return Reject(f"the record cannot be read: {error}", code="unreadable")


def _hints(notice: Notice) -> dict[str, str]:
    """The (verified) fields of the notice: with the object gone, all that is left of it."""
    try:
        return read_fields(notice.raw)
    except BadValue:
        return {}
