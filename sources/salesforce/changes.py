"""What changed in an object since a time, by the replication resources: the scheduled reading, and the bridge over a
stream that lost its place.

`/updated/` reaches back 30 days and `/deleted/` 15; what is older is asked for by query. An org's recycle bin forgets
after 15 days, so that a deletion older than that cannot be seen any more.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Iterator

from sources.salesforce.answers import id_in
from sources.salesforce.client import Client
from sources.salesforce.errors import TooMany, TooOld
from sources.salesforce.soql import instant, select

MINUTE = dt.timedelta(minutes=1)
#: A little less than the vendor's own limits, which count from its clock.
UPDATED_REACH = dt.timedelta(days=30) - dt.timedelta(hours=1)
DELETED_REACH = dt.timedelta(days=15) - dt.timedelta(hours=1)

Deleted = list[tuple[str, dt.datetime | None]]


@dataclasses.dataclass(frozen=True, slots=True)
class Listing:
    """What changed between `start` and `covered`, each ID once. Salesforce may come less far than it was asked for."""

    start: dt.datetime
    covered: dt.datetime
    updated: tuple[str, ...] = ()
    deleted: tuple[tuple[str, dt.datetime | None], ...] = ()


def since(client: Client, obj: str, start: dt.datetime, end: dt.datetime) -> Listing:
    """The changes between the two, whole minutes each; none, and nothing covered, within one minute."""
    start, end = _floor(start), _floor(end)
    if start >= end:
        return Listing(start, start)
    updated, updated_to = _updated(client, obj, start, end)
    deleted, deleted_to = _deleted(client, obj, start, end)
    covered = max(start, min(updated_to, deleted_to, end))
    return Listing(start, covered, tuple(dict.fromkeys(updated)), tuple(dict(deleted).items()))


def tail(client: Client, obj: str, start: dt.datetime, end: dt.datetime) -> Listing:
    """The changes since `start` whose minute is not over, by query: the replication resources list whole minutes."""
    soql = select(("Id", "IsDeleted", "SystemModstamp"), obj, f"SystemModstamp >= {instant(start)}")
    found = [(id_in(row), row.get("IsDeleted") is True) for row in client.query(soql, with_deleted=True)]
    updated = tuple(each for each, is_deleted in found if each and not is_deleted)
    deleted = tuple((each, None) for each, is_deleted in found if each and is_deleted)
    return Listing(start, end, updated, deleted)


def every_id(client: Client, obj: str) -> Iterator[str]:
    """The ID of every record of the object."""
    return filter(None, map(id_in, client.query(select(["Id"], obj))))


def _floor(at: dt.datetime) -> dt.datetime:
    return at.astimezone(dt.UTC).replace(second=0, microsecond=0)


def _updated(client: Client, obj: str, start: dt.datetime, end: dt.datetime) -> tuple[list[str], dt.datetime]:
    if start < end - UPDATED_REACH:
        return _by_query(client, obj, start), end
    try:
        return client.updated(obj, start, end)
    except TooOld:
        return _by_query(client, obj, start), end
    except TooMany:
        middle = _floor(start + (end - start) / 2)
        if not start < middle < end:
            raise
        first, reached = _updated(client, obj, start, middle)
        if reached < middle:
            return first, reached
        rest, reached = _updated(client, obj, middle, end)
        return first + rest, reached


def _by_query(client: Client, obj: str, start: dt.datetime) -> list[str]:
    found = client.query(select(["Id"], obj, f"SystemModstamp >= {instant(start)}"))
    return list(filter(None, map(id_in, found)))


def _deleted(client: Client, obj: str, start: dt.datetime, end: dt.datetime) -> tuple[Deleted, dt.datetime]:
    begin = max(start, _floor(end - DELETED_REACH))
    try:
        listed, reached, earliest = client.deleted(obj, begin, end)
    except TooOld:
        return _binned(client, obj, start), end
    except TooMany:
        middle = _floor(begin + (end - begin) / 2)
        if not begin < middle < end:
            raise
        first, reached = _deleted(client, obj, begin, middle)
        if reached < middle:
            return first, reached
        rest, reached = _deleted(client, obj, middle, end)
        return first + rest, reached
    if begin > start or (earliest is not None and earliest > begin):
        listed = _binned(client, obj, start) + listed
    return listed, reached


def _binned(client: Client, obj: str, start: dt.datetime) -> Deleted:
    """What is still in the recycle bin; the times of deletion are not asked for."""
    where = f"IsDeleted = true AND SystemModstamp >= {instant(start)}"
    found = client.query(select(["Id"], obj, where), with_deleted=True)
    return [(each, None) for each in map(id_in, found) if each]
