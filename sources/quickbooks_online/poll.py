"""Changes since a time, by change data capture (CDC), and by queries where CDC cuts its answer off.

CDC gives full records, at most 1000 objects an answer and without pages, and reaches 30 days back.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from connector.kernel.contracts import Batch, Context, Notice, Record
from connector.kernel.errors import VendorError
from connector.kernel.values import BadValue, dig, parse_moment
from sources.quickbooks_online.client import Client
from sources.quickbooks_online.documents import record_of, stamp
from sources.quickbooks_online.entities import ENTITIES, Entity
from sources.quickbooks_online.errors import NoAnswer
from sources.quickbooks_online.queries import PAGE, changed
from sources.quickbooks_online.webhook import change_key_of

#: Objects of one CDC answer; at the cap something may be missing.
CAP = 1000
#: The vendor keeps 30 days; what is older may be an error or silently cut.
REACH = dt.timedelta(days=29)
#: Read twice, because a record may become visible a little after its own time.
OVERLAP = dt.timedelta(minutes=5)
#: Rows read twice between two pages: a row that changes meanwhile moves to the end and the others move up.
SHIFT = 50


def poll(ctx: Context, cursor: Mapping[str, Any], since: dt.datetime | None) -> Iterator[Batch]:
    """Batches of full records, oldest first within each; the last one carries the cursor.

    Without a cursor and a time there is nothing to look back for: the cursor is set to now.
    """
    now = ctx.now()
    begin = _begin(cursor, since)
    if begin is None:
        yield Batch(cursor=_cursor(now))
        return
    begin = min(max(begin, now - REACH), now).replace(microsecond=0)
    client = Client(ctx)
    found, answered_at = _changes(client, ENTITIES, begin)
    if found is not None:
        batch = _batch(ctx, found, begin)
        yield dataclasses.replace(batch, cursor=_cursor(max(begin, (answered_at or now) - OVERLAP)))
        return
    times = [answered_at or now]
    for entity in ENTITIES:
        rows, at = client.changes([entity.name], begin)
        times.append(at or now)
        for page in _pages(client, entity, begin, rows[entity.name]):
            yield _batch(ctx, [(entity, row) for row in page], begin)
    yield Batch(cursor=_cursor(max(begin, min(times) - OVERLAP)))


def _cursor(at: dt.datetime) -> dict[str, str]:
    return {"changed_since": stamp(at)}


def _begin(cursor: Mapping[str, Any], since: dt.datetime | None) -> dt.datetime | None:
    try:
        return parse_moment(str(cursor["changed_since"]))
    except (KeyError, BadValue):
        return since


def _changes(
    client: Client, entities: Sequence[Entity], begin: dt.datetime
) -> tuple[list[tuple[Entity, Any]] | None, dt.datetime | None]:
    """The changed rows of all entities and the vendor's time; None where the answer was cut off or did not come."""
    try:
        found, at = client.changes([entity.name for entity in entities], begin)
    except NoAnswer:
        return None, None
    rows = [(entity, row) for entity in entities for row in found[entity.name]]
    return (rows if len(rows) < CAP else None), at


def _pages(client: Client, entity: Entity, begin: dt.datetime, rows: list[Any]) -> Iterator[list[Any]]:
    """The rows of one entity: as CDC gave them, or page by page where it gave as many as it can.

    A query does not tell of deletes, so CDC's are kept.
    """
    if len(rows) < CAP:
        yield rows
        return
    yield [row for row in rows if dig(row, "status") == "Deleted"]
    start = 1
    while True:
        page = client.run([changed(entity.name, begin, start, is_list=entity.is_list)])[0]
        if isinstance(page, VendorError):
            raise page
        yield page
        if len(page) < PAGE:
            return
        start += PAGE - SHIFT


def _batch(ctx: Context, rows: Sequence[tuple[Entity, Any]], begin: dt.datetime) -> Batch:
    broken, found = [], []
    for entity, row in rows:
        try:
            record = record_of(entity, row)
        except BadValue as error:
            broken.append(_broken(ctx, entity, row, error))
            continue
        found.append((_notice(ctx, entity, record, begin), record))
    found.sort(key=lambda pair: stamp(pair[1].updated_at))
    return Batch(notices=tuple(broken), records=tuple(found))


def _notice(ctx: Context, entity: Entity, record: Record, begin: dt.datetime) -> Notice:
    is_new = record.created_at is not None and record.created_at >= begin
    operation = "deleted" if record.is_gone else "created" if is_new else "updated"
    token, at = "gone" if record.is_gone else record.version[0], record.updated_at
    return Notice(
        account=ctx.account,
        record=entity.record,
        record_id=record.record_id,
        operation=operation,
        occurred_at=at,
        delivery_key=f"cdc:{entity.word}|{record.record_id}|{token}|{stamp(at)}",
        change_key=change_key_of(entity.word, record.record_id, operation, at),
    )


def _broken(ctx: Context, entity: Entity, row: Any, error: BadValue) -> Notice:
    raw = json.dumps(row, separators=(",", ":"), default=str)
    key = hashlib.sha256(raw.encode()).hexdigest()
    return Notice(ctx.account, record=entity.record, delivery_key=f"cdc:{key}", raw=raw, problem=str(error))
