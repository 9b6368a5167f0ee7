"""Payments as events: a batch, its details, a payment that went wrong, a vendor that should not be paid."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

from connector.kernel.events import Fact, FinancialEvent, Line, Money
from connector.kernel.values import day, dig, flag, rows, text
from sources.sage_intacct.ledger import EXACT
from sources.sage_intacct.wording import Scope, by_currency, counted, decimal_of, labelled, listed, plain

#: Standings in the order in which they are told, with their labels.
_STANDINGS = {
    "rejected": "Rejected", "voided": "Voided", "processed": "Processed", "pending": "Pending", "other": "Other states",
}  # fmt: skip


def batch(scope: Scope, base: FinancialEvent) -> FinancialEvent:
    """A batch of payments, what needs a hand first."""
    found = rows(scope.body, "payments")
    return dataclasses.replace(
        _headline(scope, base, found),
        part="update" if flag(scope.body, "is_update") else "",
        lines=tuple(_vendor_lines(scope, found)),
        facts=(
            *_sums(found, "rejected"),
            *_sums(found, "voided"),
            *_vendor_facts(scope),
            *_sums(found, "processed"),
            *labelled("Payments", _size(found)),
            *_base_total(found),
            *_sums(found, "pending"),
            *_sums(found, "other"),
            *labelled("Methods", _methods(found)),
            *(() if found else (scope.covers(),)),
        ),
        link=text(found[0], "link") if len(found) == 1 else "",
    )


def _size(found: Sequence[Any]) -> str:
    vendors = len({text(row, "vendor") for row in found})
    return f"{len(found)} to {counted(vendors, 'vendor')}" if found else ""


def details(scope: Scope, base: FinancialEvent) -> FinancialEvent:
    """Every payment as a line."""
    found = rows(scope.body, "payments")
    return dataclasses.replace(
        _headline(scope, base, found), part="details", lines=tuple(_payment_line(scope, row) for row in _ordered(found))
    )


def payment(scope: Scope, base: FinancialEvent) -> FinancialEvent:
    """A payment that was voided or rejected."""
    body = scope.body
    label, own, in_base = text(body, "label"), _money(body), _base_money(body)
    told = [f"Intacct shows the payment as {label} (state {text(body, 'state')})"]
    if own != in_base:
        told.append(f"{plain(in_base)} in the base currency")
    if title := text(body, "title"):
        told.append(title)
    return dataclasses.replace(
        base,
        number=text(body, "number"),
        party=scope.ref("vendor", text(body, "vendor"), text(body, "vendor_name")),
        amount=own,
        day=day(body, "day"),
        status=label,
        memo="; ".join(told),
        facts=tuple(labelled("Method", text(body, "method"))),
        link=text(body, "link"),
    )


def vendor(scope: Scope, base: FinancialEvent) -> FinancialEvent:
    """A vendor that something stands against, with its payments of the run."""
    body = scope.body
    flags = [str(each) for each in dig(body, "flags") or ()]
    found = rows(body, "payments")
    told = listed((f"{_named(row)} {plain(_money(row))}, {text(row, 'label')}" for row in found), 5)
    said = ", ".join(flags)
    return dataclasses.replace(
        base,
        number=text(body, "id"),
        party=scope.ref("vendor", text(body, "id"), text(body, "name")),
        status=said,
        memo=f"the vendor is marked {said}, and this run has {counted(len(found), 'payment')} to it: {told}",
    )


def _headline(scope: Scope, base: FinancialEvent, found: Sequence[Any]) -> FinancialEvent:
    body = scope.body
    processed = _by_currency(found, "processed")
    key = text(body, "key")
    days = [each for each in (day(row, "day") for row in found) if each]
    is_waiting = bool(found) and not processed and all(text(row, "standing") == "pending" for row in found)
    return dataclasses.replace(
        base,
        number=key or f"of {counted(len(found), 'single payment') if found else 'no new payments'}",
        amount=Money(next(iter(processed.values())), next(iter(processed))) if len(processed) == 1 else None,
        day=max(days, default=None),
        status="pending" if is_waiting else "",
        memo=text(body, "title"),
    )


def _money(row: Any) -> Money:
    return Money(decimal_of(row, "amount"), text(row, "currency"))


def _base_money(row: Any) -> Money:
    return Money(decimal_of(row, "base_amount"), text(row, "base_currency"))


def _by_currency(found: Sequence[Any], standing: str) -> dict[str, Decimal]:
    return _added([_money(row) for row in found if text(row, "standing") == standing])


def _added(amounts: Sequence[Money]) -> dict[str, Decimal]:
    sums: dict[str, Decimal] = {}
    for money in amounts:
        sums[money.currency] = EXACT.add(sums.get(money.currency, Decimal(0)), money.amount)
    return dict(sorted(sums.items()))


def _sums(found: Sequence[Any], standing: str) -> Iterator[Fact]:
    """How many payments stand so, and what they come to in each currency."""
    mine = [row for row in found if text(row, "standing") == standing]
    label = _STANDINGS[standing]
    sums = _added([_money(row) for row in mine])
    said = {}
    for code in sums:
        theirs = [row for row in mine if text(row, "currency") == code]
        words = counted(len(theirs), "payment")
        if standing in ("pending", "other"):
            words += f" ({listed(dict.fromkeys(text(row, 'label') for row in theirs))})"
        said[code] = f"{words},"
    yield from by_currency(label, sums, said)


def _base_total(found: Sequence[Any]) -> Iterator[Fact]:
    """The processed payments in the base currency, where that says more."""
    mine = [row for row in found if text(row, "standing") == "processed"]
    base = _added([_base_money(row) for row in mine])
    if base and base != _by_currency(found, "processed"):
        yield from by_currency("Processed in base", base)


def _methods(found: Sequence[Any]) -> str:
    """How the processed payments were made; what each way came to, where there are several."""
    mine = [row for row in found if text(row, "standing") == "processed"]
    methods = sorted({text(row, "method") for row in mine})
    if len(methods) < 2:
        return "".join(methods)
    told = []
    for method in methods:
        theirs = [row for row in mine if text(row, "method") == method]
        sums = ", ".join(plain(Money(sum_, code)) for code, sum_ in _added([_money(row) for row in theirs]).items())
        told.append(f"{method or 'no method'}: {counted(len(theirs), 'payment')}, {sums}")
    return "; ".join(told)


def _vendor_facts(scope: Scope) -> Iterator[Fact]:
    told = []
    for row in rows(scope.body, "barred"):
        ref = scope.ref("vendor", text(row, "id"), text(row, "name"))
        flags = ", ".join(map(str, dig(row, "flags") or ()))
        told.append(f"{ref.name or ref.id if ref else ''} ({flags})")
    yield from labelled("Check vendors", listed(told))
    if reason := text(scope.body, "unchecked"):
        yield Fact("Vendors not checked", reason)


def _ordered(found: Sequence[Any]) -> list[Any]:
    """What needs a hand first, then the largest."""
    places = list(_STANDINGS)
    return sorted(found, key=lambda row: (places.index(text(row, "standing")), -abs(decimal_of(row, "amount"))))


def _vendor_lines(scope: Scope, found: Sequence[Any]) -> Iterator[Line]:
    """One line for each vendor, currency and standing."""
    groups: dict[tuple[str, str, str], list[Any]] = {}
    for row in _ordered(found):
        groups.setdefault((text(row, "standing"), text(row, "vendor"), text(row, "currency")), []).append(row)
    lines = []
    for (standing, _, code), group in groups.items():
        if len(group) == 1:
            lines.append((standing, _payment_line(scope, group[0])))
            continue
        total = _added([_money(row) for row in group])[code]
        words = "" if standing == "processed" else f", {listed(dict.fromkeys(text(row, 'label') for row in group))}"
        said = f"{counted(len(group), 'payment')}: {listed(_named(row) for row in group)}{words}"
        ref = scope.ref("vendor", text(group[0], "vendor"), text(group[0], "vendor_name"))
        lines.append((standing, Line(said, Money(total, code), entity=ref)))
    places = list(_STANDINGS)
    lines.sort(key=lambda item: (places.index(item[0]), -abs(item[1].amount.amount if item[1].amount else Decimal(0))))
    yield from (line for _, line in lines)


def _payment_line(scope: Scope, row: Any) -> Line:
    words = "" if text(row, "standing") == "processed" else text(row, "label")
    said = ", ".join(filter(None, (_named(row), words)))
    return Line(said, _money(row), entity=scope.ref("vendor", text(row, "vendor"), text(row, "vendor_name")))


def _named(row: Any) -> str:
    """ "Printed Check 10021"."""
    return " ".join(filter(None, (text(row, "method"), text(row, "number")))) or f"payment {text(row, 'id')}"
