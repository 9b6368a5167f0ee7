"""What a state of a record means after what was last told of it. Pure.

An order counts from its first activation: it is created then, updated while active, voided when it goes back to draft.
What we write on records ourselves (the `QBO_` fields) is never news.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from connector.kernel.contracts import Ignored
from connector.kernel.events import FinancialEvent, Line
from sources.salesforce.fetch import ACTIVATED

_OWN_MARK = Ignored("only our own mark changed")
_SAME = Ignored("nothing that is told has changed")
_DRAFT = Ignored("a draft says nothing")
#: Operations after which an order counts no more.
_ENDED = ("voided", "deleted")


def follow(event: FinancialEvent, before: FinancialEvent | None) -> FinancialEvent | Ignored:
    """The event as it is to be told, or why it is not.

    A customer's always is: each route knows what it told, and the same state again may mean that what was written
    there has been undone.
    """
    return _order(event, before) if event.record == "order" else event


def _order(event: FinancialEvent, before: FinancialEvent | None) -> FinancialEvent | Ignored:
    counts = before is not None and before.operation not in _ENDED
    if event.operation == "deleted":
        if before is None:
            return Ignored("an order that was never told is gone")
        return _SAME if before.operation == "deleted" else event
    if event.status != ACTIVATED:
        return dataclasses.replace(event, operation="voided") if counts else _DRAFT
    if before is None:
        return dataclasses.replace(event, operation="created")
    if counts and _booked(event) == _booked(before):
        return _OWN_MARK if event.linked_id != before.linked_id else _SAME
    return dataclasses.replace(event, operation="updated")


def _booked(event: FinancialEvent) -> tuple[Any, ...]:
    """What of an order ends in the books: names of parties and items, and our marks, do not."""
    party = event.party.id if event.party else ""
    return event.number, party, event.amount, event.day, event.facts, tuple(map(_booked_line, event.lines))


def _booked_line(line: Line) -> tuple[Any, ...]:
    return line.amount, line.item.id if line.item else "", line.codes, line.quantity, line.department, line.class_
