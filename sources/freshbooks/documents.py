"""FreshBooks objects as records: their IDs, times, states and versions.

Times are naive text: US Eastern or UTC by the kind of object (see `entities`); a text with a `T` is UTC.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from connector.kernel.contracts import Record
from connector.kernel.values import BadValue, dig, parse_moment, text
from sources.freshbooks.entities import Entity

#: `vis_state`: deleting is soft, the object can still be read.
DELETED, ARCHIVED = "1", "2"


def record_of(entity: Entity, row: Any) -> Record:
    """The record of an object. Raises `BadValue` when it has no ID or its times cannot be read."""
    if not isinstance(row, Mapping):
        raise BadValue(f"the {entity.record} is not an object")
    record_id = text(row, entity.key) or text(row, f"{entity.one}id")
    if not record_id:
        raise BadValue("id is missing")
    updated = time_of(row, entity.changed, entity.zone)
    changed = max((at for at in (updated, time_of(row, "version", entity.zone)) if at), default=None)
    return Record(
        record=entity.record,
        record_id=record_id,
        body=row,
        version=(_number(changed), f"#{_digest(entity, row)}"),
        created_at=time_of(row, "created_at", entity.zone),
        updated_at=updated,
    )


def gone(entity: Entity, record_id: str, hints: Mapping[str, str]) -> Record:
    """The record of an object that cannot be read any more; `hints` are what the notice itself told of it."""
    return Record(entity.record, record_id, {"hints": dict(hints)}, is_gone=True)


def time_of(row: Any, key: str, zone: dt.tzinfo) -> dt.datetime | None:
    """An instant in UTC, from the vendor's local text."""
    value = text(row, key)
    if not value:
        return None
    try:
        at = dt.datetime.fromisoformat(value)
        if at.tzinfo is None and "T" not in value:
            return at.replace(tzinfo=zone).astimezone(dt.UTC)
    except (ValueError, OverflowError):
        raise BadValue(f"{key} is not a time") from None
    return parse_moment(value, key)


def is_deleted(row: Any) -> bool:
    return text(row, "vis_state") == DELETED


def _number(at: dt.datetime | None) -> int:
    """Microseconds since 1970, which order the states of a record."""
    return (at - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(microseconds=1) if at else 0


def _digest(entity: Entity, row: Mapping[str, Any]) -> str:
    """Of what a reader sees: times are of whole seconds, and two changes may share one."""
    seen = [dig(row, key) for key in entity.shown]
    return hashlib.sha256(json.dumps(seen, default=str, sort_keys=True).encode()).hexdigest()[:16]
