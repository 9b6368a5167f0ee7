"""A route's conditions: validating them, and deciding on an event with reasons."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from connector.kernel.contracts import Sink
from connector.kernel.events import OPERATIONS, RECORDS, FinancialEvent, Ref

AMOUNTS = ("min_amount", "max_amount", "above_amount")
LISTS = ("parties", "accounts", "departments", "classes", "statuses")
KEYS = (*AMOUNTS, "currency", *LISTS, "exclude_internal")


@dataclasses.dataclass(frozen=True, slots=True)
class Check:
    """One condition, what it wanted, what it met, and whether that satisfied it."""

    condition: str
    wanted: str
    met: str
    is_satisfied: bool


def problems(conditions: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(key, sentence) for every mistake in a `where`."""
    found = []
    for key, value in conditions.items():
        if key not in KEYS:
            found.append((key, f"unknown condition {key}; the conditions are {', '.join(KEYS)}"))
        elif key in AMOUNTS and value not in ("", None) and _decimal(value) is None:
            found.append((key, f'{key} must be a number in quotes, such as "100.00"'))
        elif key in LISTS and not (isinstance(value, list) and all(isinstance(item, str | int) for item in value)):
            found.append((key, f"{key} must be a list of names or IDs"))
        elif key == "exclude_internal" and not isinstance(value, bool):
            found.append((key, "exclude_internal must be true or false"))
        elif key == "currency" and not (isinstance(value, str) and (value == "" or len(value) == 3)):
            found.append((key, "currency must be a three-letter code such as USD"))
    return found


def _decimal(value: Any) -> Decimal | None:
    if isinstance(value, bool):
        return None
    try:
        number = Decimal(str(value).strip())
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def normal(conditions: Mapping[str, Any] | None) -> dict[str, Any]:
    """Valid conditions without those that restrict nothing, numbers as text."""
    kept = {}
    for key, value in (conditions or {}).items():
        if value in ("", None, [], False):
            continue
        if key in AMOUNTS:
            value = str(value).strip()
        elif key in LISTS:
            value = [str(item) for item in value]
        elif key == "currency":
            value = str(value).upper()
        kept[key] = value
    return kept


def bad_pattern(pattern: str) -> str:
    """What is wrong with an event pattern; empty when nothing is."""
    if pattern == "*":
        return ""
    record, dot, operation = pattern.partition(".")
    if not dot or "." in operation:
        return f"{pattern!r} is not an event pattern; write <record>.<operation>, <record>.*, *.<operation> or *"
    if record != "*" and record not in RECORDS:
        return f"{pattern!r}: there is no record {record!r}; the records are {', '.join(sorted(RECORDS))}"
    if operation != "*" and operation not in OPERATIONS:
        return f"{pattern!r}: there is no operation {operation!r}; the operations are {', '.join(sorted(OPERATIONS))}"
    return ""


def matches_pattern(patterns: Iterable[str], event_type: str) -> bool:
    record, _, operation = event_type.partition(".")
    wanted = {"*", event_type, f"{record}.*", f"*.{operation}", "*.*"}
    return any(pattern in wanted for pattern in patterns)


def route_problems(sink: Sink, patterns: Sequence[str], settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What of a route its destination cannot do: by "events" or the setting's name."""
    if sink.takes is None:
        return []
    wanted = frozenset(each for each in sink.takes if matches_pattern(patterns, each))
    if not wanted:
        return [("events", f"{sink.label} takes {', '.join(sorted(sink.takes))}: none of these events is one of them")]
    defaults = {field.name: field.default for field in sink.route_fields}
    return list(sink.route_problems(wanted, {**defaults, **settings}))


def decide(patterns: Iterable[str], conditions: Mapping[str, Any], event: FinancialEvent) -> list[Check]:
    """Every condition of a route with the value it met; the route matches when all are satisfied."""
    patterns = list(patterns)
    checks = [Check("events", ", ".join(patterns), event.type, matches_pattern(patterns, event.type))]
    for key, wanted in conditions.items():
        check = _CHECKS[key]
        checks.append(check(key, wanted, event))
    return checks


def _amount(key: str, wanted: str, event: FinancialEvent) -> Check:
    if event.amount is None:
        return Check(key, wanted, "no amount", False)
    value, limit = abs(event.amount.amount), Decimal(wanted)
    holds = {"min_amount": value >= limit, "max_amount": value <= limit, "above_amount": value > limit}[key]
    return Check(key, wanted, f"{value} {event.amount.currency}".strip(), holds)


def _currency(key: str, wanted: str, event: FinancialEvent) -> Check:
    met = event.amount.currency if event.amount else ""
    return Check(key, wanted, met or "no currency", met.upper() == wanted.upper())


def _any_of(wanted: list[str], refs: Iterable[Ref]) -> tuple[str, bool]:
    wishes = {item.strip().casefold() for item in wanted}
    refs = list(refs)
    met = ", ".join(ref.name or ref.id for ref in refs)
    return met or "none", any({ref.id.casefold(), ref.name.strip().casefold()} & wishes for ref in refs)


def _refs(select: Callable[[FinancialEvent], Iterable[Ref]]) -> Callable[[str, list[str], FinancialEvent], Check]:
    def check(key: str, wanted: list[str], event: FinancialEvent) -> Check:
        met, holds = _any_of(wanted, select(event))
        return Check(key, ", ".join(wanted), met, holds)

    return check


def _parties(event: FinancialEvent) -> list[Ref]:
    found = [event.party] if event.party else []
    return found + [line.entity for line in event.lines if line.entity]


def _statuses(key: str, wanted: list[str], event: FinancialEvent) -> Check:
    holds = event.status.casefold() in {item.strip().casefold() for item in wanted}
    return Check(key, ", ".join(wanted), event.status or "none", holds)


def _internal(key: str, wanted: bool, event: FinancialEvent) -> Check:
    return Check(key, "not internal", "internal" if event.is_internal else "not internal", not event.is_internal)


_CHECKS: dict[str, Callable[[str, Any, FinancialEvent], Check]] = {
    **dict.fromkeys(AMOUNTS, _amount),
    "currency": _currency,
    "parties": _refs(_parties),
    "accounts": _refs(lambda event: event.accounts),
    "departments": _refs(lambda event: event.departments),
    "classes": _refs(lambda event: event.classes),
    "statuses": _statuses,
    "exclude_internal": _internal,
}
