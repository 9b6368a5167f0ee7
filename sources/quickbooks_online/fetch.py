"""Notices to records, in as few calls as the vendor's batching allows.

One record is read alone; several of one entity by one query; several entities by one batch of queries.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from connector.kernel.contracts import Notice, Record
from connector.kernel.errors import Reject, VendorError
from connector.kernel.values import BadValue
from sources.quickbooks_online.client import Client, Result
from sources.quickbooks_online.documents import gone, record_of
from sources.quickbooks_online.entities import BY_RECORD, Entity
from sources.quickbooks_online.errors import Gone, is_shared
from sources.quickbooks_online.queries import by_ids, chunks

Fetched = Record | VendorError
#: The notices of one record, by (record, ID).
_Asked = dict[tuple[str, str], list[Notice]]


def fetch(client: Client, notices: Sequence[Notice]) -> Iterator[tuple[Notice, Fetched]]:
    """Every notice with its record, or with the error of that record alone; an error of all is raised."""
    asked: _Asked = {}
    for notice in notices:
        entity = BY_RECORD.get(notice.record)
        if entity is None:
            yield notice, Reject(f"QuickBooks Online has no record of the kind {notice.record or 'that was named'}")
        elif notice.operation == "deleted" and not entity.is_list:
            # Deletes of transactions are final: there is nothing left to read.
            yield notice, gone(entity, notice.record_id, notice.occurred_at)
        else:
            asked.setdefault((notice.record, notice.record_id), []).append(notice)
    for entity, record_id, fetched in _read(client, list(asked)):
        for notice in asked[entity.record, record_id]:
            yield notice, fetched


def _read(client: Client, wanted: Sequence[tuple[str, str]]) -> Iterator[tuple[Entity, str, Fetched]]:
    # An ID that is no number would make the vendor refuse a whole query.
    numbered = [(record, record_id) for record, record_id in wanted if record_id.isdecimal()]
    alone = [key for key in wanted if key not in set(numbered)] if len(numbered) > 1 else wanted
    for record, record_id in alone:
        yield BY_RECORD[record], record_id, _read_one(client, BY_RECORD[record], record_id)
    if len(numbered) > 1:
        yield from _read_many(client, numbered)


def _read_many(client: Client, wanted: Sequence[tuple[str, str]]) -> Iterator[tuple[Entity, str, Fetched]]:
    by_entity: dict[str, list[str]] = {}
    for record, record_id in wanted:
        by_entity.setdefault(record, []).append(record_id)
    portions = [(BY_RECORD[record], ids) for record, every in by_entity.items() for ids in chunks(every)]
    results = client.run([by_ids(entity.name, ids, is_list=entity.is_list) for entity, ids in portions])
    missing = []
    for (entity, ids), result in zip(portions, results, strict=True):
        found = _by_id(entity, result)
        for record_id in ids:
            if isinstance(result, VendorError):
                yield entity, record_id, result
            elif record_id in found:
                yield entity, record_id, found[record_id]
            else:
                missing.append((entity, record_id))
    # What a query does not bring was deleted only if a read by ID says so.
    for entity, record_id in missing:
        yield entity, record_id, _read_one(client, entity, record_id)


def _by_id(entity: Entity, result: Result) -> dict[str, Record]:
    """The readable rows; one that is not is asked for alone, where its error has a place."""
    found = {}
    for row in [] if isinstance(result, VendorError) else result:
        try:
            record = record_of(entity, row)
        except BadValue:
            continue
        found[record.record_id] = record
    return found


def _read_one(client: Client, entity: Entity, record_id: str) -> Fetched:
    try:
        return record_of(entity, client.read(entity.name, record_id))
    except Gone:
        return gone(entity, record_id)
    except BadValue as error:
        return Reject(f"the record cannot be read: {error}")
    except VendorError as error:
        if is_shared(error):
            raise
        return error
