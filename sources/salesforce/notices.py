"""Change events and listings as notices. An event only says that something changed: the record is read again.

`delivery_key` is the event's ID (or the listing's window), `change_key` the transaction's: the same change may come
twice, under another replay ID or even another event ID.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from connector.kernel.contracts import Notice
from connector.kernel.values import BadValue, moment, parse_json
from sources.salesforce.answers import id_in
from sources.salesforce.change_event import ChangeEvent
from sources.salesforce.changes import Listing
from sources.salesforce.layout import ITEM, RECORDS
from sources.salesforce.soql import full_id, instant, is_id

#: `changeType` -> operation; any other means "read it again".
OPERATIONS = {
    "CREATE": "created",
    "UPDATE": "updated",
    "DELETE": "deleted",
    "UNDELETE": "updated",
    "GAP_CREATE": "created",
    "GAP_UPDATE": "updated",
    "GAP_DELETE": "deleted",
    "GAP_UNDELETE": "updated",
}
OVERFLOW = "GAP_OVERFLOW"


def from_event(account: str, event_id: str, event: ChangeEvent, orders: Mapping[str, str]) -> Iterator[Notice]:
    """A notice for each record of the event. `orders` are the orders of its items, by item."""
    operation, is_item = OPERATIONS.get(event.change, "updated"), event.entity == ITEM
    for record_id in _targets(event.record_ids, orders if is_item else None):
        yield Notice(
            account=account,
            record=RECORDS[event.entity],
            record_id=record_id,
            operation="updated" if is_item else operation,
            occurred_at=event.committed_at,
            delivery_key=f"event:{event_id}|{record_id}",
            change_key=f"{event.transaction}|{event.sequence}|{event.entity}|{record_id}",
            raw=event.raw(),
        )


def from_listing(account: str, obj: str, listing: Listing, orders: Mapping[str, str]) -> Iterator[Notice]:
    """A notice for each record of a listing."""
    is_item, since = obj == ITEM, instant(listing.start)
    window = f"{since}|{instant(listing.covered)}"
    raw = json.dumps({"object": obj, "since": since}, separators=(",", ":"))
    for record_id in _targets(listing.updated, orders if is_item else None):
        key = f"updated:{obj}|{record_id}|{window}"
        yield Notice(account, RECORDS[obj], record_id, "updated", delivery_key=key, raw=raw)
    if is_item:
        for order_id in _targets((item_id for item_id, _ in listing.deleted), orders):
            key = f"deleted:{obj}|{order_id}|{window}"
            yield Notice(account, RECORDS[obj], order_id, "updated", delivery_key=key, raw=raw)
        return
    for record_id, at in listing.deleted:
        key = f"deleted:{obj}|{record_id}|{instant(at) if at else window}"
        yield Notice(account, RECORDS[obj], record_id, "deleted", occurred_at=at, delivery_key=key, raw=raw)


def broken(account: str, obj: str, produced: Any, problem: str) -> Notice:
    """The notice of an event that cannot be read, with its payload in base64."""
    payload = base64.b64encode(produced.payload).decode()
    raw = json.dumps({"schema_id": produced.schema_id, "payload": payload}, separators=(",", ":"))
    return Notice(account, RECORDS[obj], delivery_key=f"event:{produced.id}", raw=raw, problem=problem)


def resync(account: str, obj: str, ids: Iterable[str], key: str) -> Iterator[Notice]:
    """A notice for each of the records, read again because of the change named by `key`."""
    for record_id in ids:
        yield Notice(account, RECORDS[obj], record_id, "updated", delivery_key=f"resync:{key}|{record_id}")


def begins(notice: Notice) -> dt.datetime | None:
    """From when on a listing's changes are; None for any other notice."""
    try:
        return moment(parse_json(notice.raw), "since") if '"since"' in notice.raw else None
    except BadValue:
        return None


def _targets(ids: Iterable[str], orders: Mapping[str, str] | None) -> list[str]:
    """The records to read, each once: those named, or the orders of the items named."""
    named = [full_id(each) for each in ids if is_id(each)]
    if orders is not None:
        named = [orders[each] for each in named if each in orders]
    return list(dict.fromkeys(named))


def order_in(event: ChangeEvent) -> str:
    """The order that an item's event itself names; empty where it does not."""
    return id_in(event.body, "OrderId")
