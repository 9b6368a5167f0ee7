"""Notices to records: one query for up to 200 of a kind, and one look into the recycle bin for those it lacks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from connector.kernel.contracts import Notice, Record
from connector.kernel.errors import Misconfigured, Reject, Retry, VendorError
from connector.kernel.values import BadValue, flag, text
from sources.salesforce import layout
from sources.salesforce.answers import Row, id_in
from sources.salesforce.client import Client
from sources.salesforce.documents import children, gone, own_id, record_of
from sources.salesforce.errors import Gone
from sources.salesforce.soql import chunks, full_id, is_id, literals, select

Fetched = Record | VendorError
ACTIVATED = "Activated"
#: Our own mark on a row that came from the recycle bin.
_BINNED = "(binned)"


def fetch(client: Client, notices: Sequence[Notice], names: layout.Names) -> Iterator[tuple[Notice, Fetched]]:
    """Every notice with its record, or with the error of that record alone; an error of all is raised."""
    asked: dict[str, dict[str, list[Notice]]] = {}
    for notice in notices:
        if notice.record not in layout.OBJECTS:
            yield notice, Reject(f"Salesforce has no record of the kind {notice.record or 'that was named'}")
        elif not is_id(notice.record_id):
            yield notice, Reject("that is not the ID of a Salesforce record", code="bad_id")
        else:
            asked.setdefault(notice.record, {}).setdefault(full_id(notice.record_id), []).append(notice)
    for record, by_id in asked.items():
        for portion in chunks(list(by_id)):
            for record_id, row in _read(client, record, portion, names).items():
                for notice in by_id[record_id]:
                    yield notice, _record(record, row) if row is not None else _vanished(notice)


def _read(client: Client, record: str, ids: Sequence[str], names: layout.Names) -> dict[str, Row | None]:
    """The row of each ID, a deleted one's with `IsDeleted`; None where there is none."""
    try:
        found = _rows(client, record, ids, names)
    except Misconfigured as error:
        if error.code != "INVALID_FIELD":
            raise
        client.forget_describes()  # somebody took a field away meanwhile
        found = _rows(client, record, ids, names)
    missing = [record_id for record_id in ids if record_id not in found]
    if missing:
        found |= _binned(client, layout.OBJECTS[record], missing)
    return {record_id: found.get(record_id) for record_id in ids}


def _rows(client: Client, record: str, ids: Sequence[str], names: layout.Names) -> dict[str, Row]:
    fields = layout.account_fields if record == "customer" else layout.order_fields
    soql = select(fields(client, names), layout.OBJECTS[record], f"Id IN {literals(ids)}")
    return _by_id(client.query(soql))


def _binned(client: Client, obj: str, ids: Sequence[str]) -> dict[str, Row]:
    """What the recycle bin says of deleted records; `MasterRecordId` is the winner of a merge."""
    fields = ["Id", "IsDeleted", "SystemModstamp", *client.describe(obj).only(["MasterRecordId"])]
    found = _by_id(client.query(select(fields, obj, f"Id IN {literals(ids)}"), with_deleted=True))
    return {record_id: {**row, _BINNED: True} for record_id, row in found.items()}


def _by_id(rows: Iterator[Row]) -> dict[str, Row]:
    found = {}
    for row in rows:
        try:
            found[own_id(row)] = row
        except BadValue:
            raise Retry("Salesforce answered with a record without an ID", code="unreadable") from None
    return found


def _record(record: str, row: Row) -> Fetched:
    try:
        if row.get(_BINNED):
            if flag(row, "IsDeleted"):
                return gone(record, own_id(row), row)
            return Retry("the Salesforce record came while it was looked for", code="raced")
        if record == "order" and text(row, "StatusCode") == ACTIVATED and not children(row, "OrderItems"):
            return Retry("the Salesforce order is active, and its items cannot be seen yet", code="no_items", after=5.0)
        return record_of(record, row)
    except BadValue as error:
        return Reject(f"the record cannot be read: {error}", code="unreadable")


def _vanished(notice: Notice) -> Fetched:
    """A record that even the recycle bin lacks. Only a notice of its end proves that it was not merely hidden."""
    if notice.operation == "deleted":
        return gone(notice.record, full_id(notice.record_id))
    return Gone(
        "the record cannot be seen: give the run-as user View All Records, if it is still there", code="invisible"
    )


def orders_of(client: Client, item_ids: Sequence[str]) -> dict[str, str]:
    """Item ID -> the ID of its order, deleted items included; those that are gone for good are left out."""
    found = {}
    for portion in chunks(list(dict.fromkeys(item_ids))):
        soql = select(("Id", "OrderId"), layout.ITEM, f"Id IN {literals(portion)}")
        for item_id, row in _by_id(client.query(soql, with_deleted=True)).items():
            if order_id := id_in(row, "OrderId"):
                found[item_id] = order_id
    return found
