"""The few query statements that are sent.

The vendor's language: strings in single quotes, IDs too; without `maxresults` a page is 100 rows and cut silently;
lists show active rows only unless asked for both.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Iterator, Sequence

#: Rows of one page, the vendor's largest.
PAGE = 1000
#: IDs of one `Id in (…)`.
IDS = 100
_ALL_OF = "select * from"
_BOTH = "Active in (true, false)"


@dataclasses.dataclass(frozen=True, slots=True)
class Query:
    """A statement and the entity whose rows it brings. `start` is the position of a page, 0 where there is one."""

    entity: str
    statement: str
    start: int = 0


def chunks(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    """The IDs in portions that fit one query."""
    for start in range(0, len(ids), IDS):
        yield ids[start : start + IDS]


def by_ids(entity: str, ids: Sequence[str], *, is_list: bool) -> Query:
    """The objects with these IDs (at most `IDS`)."""
    quoted = ",".join("'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'" for value in ids)
    active = f" and {_BOTH}" if is_list else ""
    return Query(entity, f"{_ALL_OF} {entity} where Id in ({quoted}){active} maxresults {PAGE}")


def everything(entity: str, start: int = 1) -> Query:
    """One page of a whole list, inactive rows included."""
    return Query(entity, f"{_ALL_OF} {entity} where {_BOTH} startposition {start} maxresults {PAGE}", start)


def changed(entity: str, since: dt.datetime, start: int = 1, *, is_list: bool) -> Query:
    """One page of what changed since then, oldest first."""
    since_text = since.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    where = f"MetaData.LastUpdatedTime >= '{since_text}'" + (f" and {_BOTH}" if is_list else "")
    order = f"order by MetaData.LastUpdatedTime startposition {start} maxresults {PAGE}"
    return Query(entity, f"{_ALL_OF} {entity} where {where} {order}", start)
