"""Rows of an answer as notices and records, with the keys by which a repetition is known."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import json
from collections.abc import Callable, Iterable
from typing import Any

from connector.kernel.contracts import Batch, Notice, Record
from connector.kernel.values import BadValue, text
from sources.quickbooks_desktop.dates import clock_text, instant
from sources.quickbooks_desktop.entities import BY_NAME, Entity
from sources.quickbooks_desktop.qbxml import Answer

#: Which of the records (type, ID) were told before.
Known = Callable[[Iterable[tuple[str, str]]], frozenset[tuple[str, str]]]


@dataclasses.dataclass(frozen=True, slots=True)
class Origin:
    """Where rows come from: the connection's account, the PC's zone, and the cycle's marks for the audit."""

    account: str
    zone: dt.tzinfo
    cycle: str
    request: str = ""
    #: The start of the query, as the PC's wall clock.
    since: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class _Row:
    """A row that could be read."""

    record: Record
    at: str
    created: str
    change_key: str


def read(answers: Iterable[Answer], origin: Origin, known: Known) -> tuple[Batch, str]:
    """The batch of all rows, and the latest change among them on the PC's clock ("" when there is none).

    A row that cannot be read becomes a notice with its problem: visible, and no obstacle to the others.
    """
    rows: list[_Row] = []
    problems: list[Notice] = []
    for answer in answers:
        for document in answer.rows:
            try:
                rows.append(_read(answer.entity, document, origin.zone))
            except BadValue as error:
                problems.append(_problem(answer.entity, document, origin, str(error)))
    told = known([(row.record.record, row.record.record_id) for row in rows]) if rows else frozenset()
    pairs = tuple((_notice(row, origin, told), row.record) for row in rows)
    return Batch(notices=tuple(problems), records=pairs), max((row.at for row in rows), default="")


def _read(entity: Entity, document: dict[str, Any], zone: dt.tzinfo) -> _Row:
    return _deleted(entity, document, zone) if entity.is_deletions else _changed(entity, document, zone)


def _changed(entity: Entity, document: dict[str, Any], zone: dt.tzinfo) -> _Row:
    record_id = _needed(document, entity.key)
    modified = _clock(document, "TimeModified")
    sequence = text(document, "EditSequence")
    at = instant(modified, sequence, zone)
    created = clock_text(text(document, "TimeCreated"))
    record = Record(
        record=entity.record,
        record_id=record_id,
        body={entity.row: document},
        version=(int(at.timestamp()), (sequence.zfill(20) if sequence.isdecimal() else sequence)[:40]),
        created_at=instant(created, "", zone) if created else None,
        updated_at=at,
    )
    return _Row(record, modified, created, f"{entity.name}|{record_id}|{sequence or modified}")


def _deleted(entity: Entity, document: dict[str, Any], zone: dt.tzinfo) -> _Row:
    """A deletion: no EditSequence, no amount, no party. What is known from before is added when it is mapped."""
    kind = text(document, "ListDelType" if entity.is_list else "TxnDelType")
    if kind not in BY_NAME or BY_NAME[kind].is_deletions:
        raise BadValue("the deleted record is of a type that was not asked for")
    record_id = _needed(document, entity.key)
    deleted = _clock(document, "TimeDeleted")
    record = Record(
        record=BY_NAME[kind].record,
        record_id=record_id,
        body={entity.row: document},
        is_gone=True,
        updated_at=instant(deleted, "", zone),
    )
    return _Row(record, deleted, "", f"{kind}|{record_id}|deleted:{deleted}")


def _needed(document: dict[str, Any], name: str) -> str:
    value = text(document, name)
    if not value:
        raise BadValue(f"{name} is missing")
    if len(value) > 200:
        raise BadValue(f"{name} is too long")
    return value


def _clock(document: dict[str, Any], name: str) -> str:
    value = clock_text(text(document, name))
    if not value:
        raise BadValue(f"{name} is not a time")
    return value


def _notice(row: _Row, origin: Origin, told: frozenset[tuple[str, str]]) -> Notice:
    return Notice(
        account=origin.account,
        record=row.record.record,
        record_id=row.record.record_id,
        operation=_operation(row, origin, told),
        occurred_at=row.record.updated_at,
        change_key=row.change_key,
        raw=json.dumps({"cycle": origin.cycle, "request": origin.request}),
    )


def _operation(row: _Row, origin: Origin, told: frozenset[tuple[str, str]]) -> str:
    """New when it was never seen and was made within the time asked about, or never changed since."""
    if row.record.is_gone:
        return "deleted"
    if (row.record.record, row.record.record_id) in told:
        return "updated"
    is_new = bool(row.created) and (row.created == row.at or (bool(origin.since) and row.created >= origin.since))
    return "created" if is_new else "updated"


def _problem(entity: Entity, document: dict[str, Any], origin: Origin, problem: str) -> Notice:
    raw = json.dumps({entity.row: document}, sort_keys=True)
    record_id = document.get(entity.key)
    return Notice(
        account=origin.account,
        record=entity.record,
        record_id=record_id[:200] if isinstance(record_id, str) else "",
        change_key=f"unreadable|{hashlib.sha256(raw.encode('utf-8', 'replace')).hexdigest()}",
        raw=raw,
        problem=problem,
    )
