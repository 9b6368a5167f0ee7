"""What a set of journal lines comes to: debits and credits, exactly, and never across base currencies."""

from __future__ import annotations

import dataclasses
import decimal
from collections.abc import Iterable, Mapping
from decimal import Decimal

from sources.sage_intacct.rows import Entry

#: More than any sum of amounts that the readers let through needs.
EXACT = decimal.Context(prec=120)


@dataclasses.dataclass(frozen=True, slots=True)
class Sums:
    """Debits and credits in one currency."""

    debit: Decimal = Decimal(0)
    credit: Decimal = Decimal(0)

    def plus(self, entry: Entry) -> Sums:
        if entry.is_debit:
            return Sums(EXACT.add(self.debit, entry.amount), self.credit)
        return Sums(self.debit, EXACT.add(self.credit, entry.amount))

    @property
    def difference(self) -> Decimal:
        """Debits less credits."""
        return EXACT.subtract(self.debit, self.credit)

    def as_json(self) -> list[str]:
        return [str(self.debit), str(self.credit)]


@dataclasses.dataclass(frozen=True, slots=True)
class Account:
    """What one account was moved by in one currency."""

    id: str
    title: str
    currency: str
    sums: Sums
    lines: int

    @property
    def size(self) -> Decimal:
        return EXACT.add(abs(self.sums.debit), abs(self.sums.credit))

    def as_json(self) -> dict[str, object]:
        return {
            "id": self.id, "title": self.title, "currency": self.currency, "sums": self.sums.as_json(),
            "lines": self.lines,
        }  # fmt: skip


def monetary(entries: Iterable[Entry]) -> list[Entry]:
    """Without the statistical lines, which have one side by nature."""
    return [entry for entry in entries if not entry.is_statistical]


def totals(entries: Iterable[Entry]) -> dict[str, Sums]:
    """Debits and credits by base currency, in the order of the currencies' codes."""
    found: dict[str, Sums] = {}
    for entry in entries:
        found[entry.currency] = found.get(entry.currency, Sums()).plus(entry)
    return dict(sorted(found.items()))


def accounts(entries: Iterable[Entry]) -> list[Account]:
    """Every account that was moved, the largest first (accounts of different currencies apart)."""
    found: dict[tuple[str, str], Account] = {}
    for entry in entries:
        key = (entry.account, entry.currency)
        known = found.get(key) or Account(entry.account, entry.account_title, entry.currency, Sums(), 0)
        found[key] = dataclasses.replace(known, sums=known.sums.plus(entry), lines=known.lines + 1)
    return sorted(found.values(), key=lambda account: (-account.size, account.id, account.currency))


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """What one location was moved by, by currency. It need not balance: entries between entities do so together."""

    id: str
    name: str
    sums: Mapping[str, Sums]

    def as_json(self) -> dict[str, object]:
        return {"id": self.id, "name": self.name, "sums": {code: sums.as_json() for code, sums in self.sums.items()}}


def places(entries: Iterable[Entry]) -> list[Place]:
    """Every location that the lines name, by its ID."""
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        if entry.location:
            groups.setdefault(entry.location, []).append(entry)
    return [Place(key, group[0].location_name, totals(group)) for key, group in sorted(groups.items())]


def by_batch(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    """The lines of each batch."""
    found: dict[str, list[Entry]] = {}
    for entry in entries:
        found.setdefault(entry.batch, []).append(entry)
    return found


def differences(sums: Mapping[str, Sums], tolerance: Decimal) -> dict[str, Decimal]:
    """Where debits and credits are further apart than tolerated: debits less credits by currency."""
    return {code: each.difference for code, each in sums.items() if abs(each.difference) > tolerance}
