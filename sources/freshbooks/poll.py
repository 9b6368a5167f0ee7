"""The reconciliation sweep: everything that changed since the day before the last one, by `search[updated_min]`.

FreshBooks filters by whole days of US Eastern, so each sweep sees much again; what is known already is dropped by its
state. A lost notice is found this way.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from connector.kernel.contracts import Batch, Context, Notice, Record
from connector.kernel.values import BadValue, parse_moment
from sources.freshbooks.client import MAX_PAGES, Client
from sources.freshbooks.documents import DELETED, is_deleted, record_of
from sources.freshbooks.entities import BY_RECORD, EASTERN, Entity
from sources.freshbooks.webhook import change_key_of

#: Read twice, because an object may become visible a little after its own time.
OVERLAP = dt.timedelta(minutes=10)


def poll(ctx: Context, cursor: Mapping[str, Any], since: dt.datetime | None, records: Sequence[str]) -> Iterator[Batch]:
    """Batches of full records, a page each; the last one carries the cursor.

    Without a cursor and a time there is nothing to look back for: the cursor is set to now.
    """
    now = ctx.now()
    start, last = _read_cursor(cursor)
    start, last = since or start, since or last
    if start is None or last is None:
        yield Batch(cursor={"from": _stamp(now), "swept": _stamp(now)})
        return
    client = Client(ctx)
    for record in records:
        for rows in _pages(client, BY_RECORD[record], last):
            yield _batch(ctx, BY_RECORD[record], rows, start, last)
    yield Batch(cursor={"from": _stamp(start), "swept": _stamp(max(last, now - OVERLAP))})


def _stamp(at: dt.datetime) -> str:
    return at.astimezone(dt.UTC).isoformat()


def _read_cursor(cursor: Mapping[str, Any]) -> tuple[dt.datetime | None, dt.datetime | None]:
    """From when on changes count at all, and when they were last looked for."""
    try:
        return parse_moment(str(cursor["from"])), parse_moment(str(cursor["swept"]))
    except (KeyError, BadValue):
        return None, None


def _pages(client: Client, entity: Entity, last: dt.datetime) -> Iterator[list[Any]]:
    """What a list shows by itself, and then the deleted objects that it keeps to itself."""
    day = last.astimezone(EASTERN).date() - dt.timedelta(days=1)
    since = ("search[updated_min]", day.isoformat())
    for query in ([since], [since, ("search[vis_state]", DELETED)]):
        for number in range(1, MAX_PAGES + 1):
            rows, has_more = client.page(entity, query, number)
            yield rows
            if not has_more:
                break


def _batch(ctx: Context, entity: Entity, rows: Sequence[Any], start: dt.datetime, last: dt.datetime) -> Batch:
    broken, found = [], []
    for row in rows:
        try:
            record = record_of(entity, row)
        except BadValue as error:
            broken.append(_broken(ctx, entity, row, error))
            continue
        if record.updated_at is None or record.updated_at >= start - OVERLAP:
            found.append((_notice(ctx, record, last), record))
    found.sort(key=lambda pair: pair[1].version)
    return Batch(notices=tuple(broken), records=tuple(found))


def _notice(ctx: Context, record: Record, last: dt.datetime) -> Notice:
    is_new = record.created_at is not None and record.created_at >= last - OVERLAP
    operation = "deleted" if is_deleted(record.body) else "created" if is_new else "updated"
    return Notice(
        account=ctx.account,
        record=record.record,
        record_id=record.record_id,
        operation=operation,
        occurred_at=record.updated_at,
        delivery_key=f"sweep:{record.record}|{record.record_id}|{record.version[0]}{record.version[1]}",
        change_key=change_key_of(record.record, record.record_id) if operation == "created" else "",
    )


def _broken(ctx: Context, entity: Entity, row: Any, error: BadValue) -> Notice:
    raw = json.dumps(row, separators=(",", ":"), default=str)
    key = hashlib.sha256(raw.encode()).hexdigest()
    return Notice(ctx.account, record=entity.record, delivery_key=f"sweep:{key}", raw=raw, problem=str(error))
