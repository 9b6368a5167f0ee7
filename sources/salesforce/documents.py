"""Salesforce records as records of ours: their IDs, times and versions.

An Order with its items is one record. `SystemModstamp` orders the states, the greatest of an order's own and its items'
being the order's; a digest tells apart states of the same instant.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from connector.kernel.contracts import Record
from connector.kernel.values import BadValue, dig, moment, rows, text
from sources.salesforce.soql import full_id, is_id

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_TIMES = frozenset({"SystemModstamp", "LastModifiedDate", "attributes"})


def record_of(record: str, row: Mapping[str, Any]) -> Record:
    """The record of a row. Raises `BadValue`."""
    parts = [row, *children(row, "OrderItems"), *children(row, "Contacts")]
    changed = max((at for at in map(_changed, parts) if at), default=None)
    return Record(
        record=record,
        record_id=own_id(row),
        body=row,
        version=(_milliseconds(changed), f"#{_digest(row)}"),
        created_at=moment(row, "CreatedDate"),
        updated_at=changed,
    )


def gone(record: str, record_id: str, row: Mapping[str, Any] | None = None) -> Record:
    """The record that Salesforce no longer has. `row` is what its recycle bin still says, if anything.

    With a version where one is known: a record can be taken out of the bin again.
    """
    if row is None:
        return Record(record, record_id, is_gone=True)
    at, winner = _changed(row), text(row, "MasterRecordId")
    return Record(
        record=record,
        record_id=record_id,
        body={"merged_into": full_id(winner)} if is_id(winner) else {},
        version=(_milliseconds(at), "") if at else (0, ""),
        is_gone=True,
        updated_at=at,
    )


def own_id(row: Any) -> str:
    """The row's own ID, of 18 characters. Raises `BadValue`."""
    value = text(row, "Id")
    if not is_id(value):
        raise BadValue("Id is missing or not an ID")
    return full_id(value)


def children(row: Any, name: str) -> list[Any]:
    """The rows of a child query."""
    return rows(row, name, "records")


def _changed(row: Any) -> dt.datetime | None:
    return moment(row, "SystemModstamp") or moment(row, "LastModifiedDate")


def _milliseconds(at: dt.datetime | None) -> int:
    return (at - EPOCH) // dt.timedelta(milliseconds=1) if at else 0


def _digest(row: Mapping[str, Any]) -> str:
    seen = json.dumps(_seen(row), default=str, sort_keys=True)
    return hashlib.sha256(seen.encode()).hexdigest()[:16]


def _seen(value: Any) -> Any:
    """What a reader sees of a row: neither times nor addresses of the API."""
    if isinstance(value, Mapping):
        listed = dig(value, "records")
        if isinstance(listed, list):
            return sorted((_seen(row) for row in listed), key=lambda row: str(dig(row, "Id")))
        return {key: _seen(item) for key, item in value.items() if key not in _TIMES}
    return value
