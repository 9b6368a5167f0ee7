"""The answers of Salesforce's REST API, read once: saved records, items of a collection, lists of addresses, usage."""

from __future__ import annotations

import dataclasses
import datetime as dt
import re
from collections.abc import Mapping
from typing import Any

from connector.kernel.errors import Reject, Unknown, VendorError
from connector.kernel.http import Answer
from connector.kernel.values import BadValue, dig, flag, moment, parse_json, rows, text
from sources.salesforce.errors import fault_in, unreadable, verdict
from sources.salesforce.soql import full_id, is_id

Row = Mapping[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Saved:
    """A record that was written."""

    id: str
    is_created: bool = False


class Several(Reject):
    """HTTP 300: the addresses of several records."""

    record_ids: tuple[str, ...] = ()


def several(answer: Answer) -> Several:
    """The verdict on an answer that lists the addresses of several records."""
    error = Several("several Salesforce records are meant", status=answer.status)
    try:
        listed = parse_json(answer.body)
    except BadValue:
        listed = None
    tails = [url.rsplit("/", 1)[-1] for url in listed if isinstance(url, str)] if isinstance(listed, list) else []
    error.record_ids = tuple(full_id(each) for each in tails if is_id(each))
    return error


def usage_in(header: str) -> tuple[int, int] | None:
    """Used and allowed calls in a `Sforce-Limit-Info` header; None when it does not say."""
    for part in header.split(";"):
        if found := re.fullmatch(r"\s*api-usage=(\d{1,12})/(\d{1,12})\s*", part):
            return int(found[1]), int(found[2])
    return None


def id_in(row: Row, key: str = "Id") -> str:
    """The ID in a row, of 18 characters; empty where there is none."""
    value = row.get(key)
    return full_id(value) if isinstance(value, str) and is_id(value) else ""


def one_object(document: Any, what: str) -> Row:
    """The document, which must be an object. Raises `Retry`."""
    if not isinstance(document, Mapping):
        raise unreadable(what)
    return document


def item(row: Any) -> Saved | VendorError:
    """What became of one record of a collection."""
    try:
        if flag(row, "success"):
            return saved(row)
        return verdict([fault_in(each) for each in rows(row, "errors")], 200)
    except Unknown as error:
        return error
    except BadValue:
        return Unknown("Salesforce's word on this record cannot be read", code="unreadable")


def saved(document: Any) -> Saved:
    """The record that a write answers with. Raises `Unknown` when it does not name it."""
    try:
        record_id = text(document, "id")
        if is_id(record_id) and dig(document, "success") is not False:
            return Saved(full_id(record_id), flag(document, "created") is True)
    except BadValue:
        pass
    raise Unknown("Salesforce answered a write without the record's ID", code="unreadable")


def changed_ids(document: Any) -> list[str]:
    """The IDs in an answer of `/updated/`. Raises `BadValue`."""
    return [full_id(each) for each in rows(document, "ids") if isinstance(each, str) and is_id(each)]


def deleted_ids(document: Any) -> list[tuple[str, dt.datetime | None]]:
    """The IDs in an answer of `/deleted/` with their times. Raises `BadValue`."""
    listed = [(text(row, "id"), moment(row, "deletedDate")) for row in rows(document, "deletedRecords")]
    return [(full_id(each), at) for each, at in listed if is_id(each)]
