"""What a reader would want to know of an update: the differences to the version last told."""

from __future__ import annotations

import dataclasses
from typing import Any

from connector.kernel.contracts import Change
from connector.kernel.events import FinancialEvent, Line, Ref, Settled

#: Differences in these are no news: when and how it was learnt, and where it can be seen.
_SILENT = frozenset(
    {"operation", "occurred_at", "link", "unusual", "is_internal", "accounts", "linked_id", "part", "profile"}
)
_PLAIN = (
    ("number", "number"),
    ("amount", "amount"),
    ("balance", "balance"),
    ("day", "date"),
    ("due", "due date"),
    ("status", "status"),
    ("memo", "memo"),
)


def is_visible(before: FinancialEvent, after: FinancialEvent) -> bool:
    """Whether a reader of both messages would see a difference."""
    old, new = _without_marks(before), _without_marks(after)
    names = [field.name for field in dataclasses.fields(FinancialEvent) if field.name not in _SILENT]
    return any(getattr(old, name) != getattr(new, name) for name in names)


def is_any(before: FinancialEvent, after: FinancialEvent) -> bool:
    """Whether anything but how it was learnt is different: what a system that keeps the record wants to know."""
    old, new = (dataclasses.replace(_without_marks(event), operation="", occurred_at=None) for event in (before, after))
    return old != new


def _without_marks(event: FinancialEvent) -> FinancialEvent:
    """Without what we write on records ourselves: the other system's IDs, and the allocation of a customer."""
    party = dataclasses.replace(event.party, linked_id="") if event.party else None
    marks: dict[str, Any] = {"departments": (), "classes": ()} if event.record == "customer" else {}
    return dataclasses.replace(event, linked_id="", party=party, **marks)


def between(before: FinancialEvent, after: FinancialEvent) -> tuple[Change, ...]:
    """Every visible difference, the ones that matter most first."""
    found = [
        Change(label, getattr(before, name) or None, getattr(after, name) or None)
        for name, label in _PLAIN
        if getattr(before, name) != getattr(after, name)
    ]
    found += _named("party", (before.party,), (after.party,))
    found += _named("department", before.departments, after.departments)
    found += _named("class", before.classes, after.classes)
    found += _facts(before, after)
    found += _lines(before.lines, after.lines)
    found += _settled(before.settles, after.settles)
    return tuple(found)


def _named(label: str, before: tuple[Ref | None, ...], after: tuple[Ref | None, ...]) -> list[Change]:
    old, new = (", ".join(ref.name or ref.id for ref in refs if ref) for refs in (before, after))
    return [Change(label, old or None, new or None)] if old != new else []


def _facts(before: FinancialEvent, after: FinancialEvent) -> list[Change]:
    old, new = ({fact.label: fact.money or fact.text for fact in event.facts} for event in (before, after))
    labels = [*old, *(label for label in new if label not in old)]
    return [Change(label, old.get(label), new.get(label)) for label in labels if old.get(label) != new.get(label)]


def _lines(before: tuple[Line, ...], after: tuple[Line, ...]) -> list[Change]:
    """Line by line where their number is the same, else what came and what went."""
    if len(before) == len(after):
        changes = []
        for number, (old, new) in enumerate(zip(before, after, strict=True), start=1):
            if old.amount != new.amount:
                changes.append(Change(f"line {number}", old.amount, new.amount))
            elif old != new:
                changes.append(Change(f"line {number}", _told(old), _told(new)))
        return changes
    gone = [Change("line removed", _told(line), None) for line in before if line not in after]
    return gone + [Change("line added", None, _told(line)) for line in after if line not in before]


def _told(line: Line) -> str:
    refs = (line.account, line.item, line.department, line.class_, line.entity)
    parts = [line.posting, *(ref.name or ref.id for ref in refs if ref), line.description]
    amount = f"{line.amount.amount:f} {line.amount.currency}".strip() if line.amount else ""
    return ", ".join(part for part in (*parts, amount) if part)


def _settled(before: tuple[Settled, ...], after: tuple[Settled, ...]) -> list[Change]:
    old, new = (", ".join(item.number or item.id for item in items) for items in (before, after))
    return [Change("settles", old or None, new or None)] if before != after else []
