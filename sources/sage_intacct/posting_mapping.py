"""Ledger postings as events: the run, its details, and a batch out of balance."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

from connector.kernel.events import Fact, FinancialEvent, Line, Money, Ref
from connector.kernel.values import amount, day, dig, rows, text
from sources.sage_intacct.postings import MAX_PLACES
from sources.sage_intacct.wording import Scope, by_currency, counted, decimal_of, labelled, listed, plain


def run(scope: Scope, base: FinancialEvent) -> FinancialEvent:
    """What a run posted, what needs a hand first."""
    body = scope.body
    batches = rows(body, "listed")
    return dataclasses.replace(
        _headline(scope, base),
        lines=tuple(_account_lines(scope, rows(body, "accounts"))),
        facts=(
            *_troubles(body),
            *_sides(body),
            *_sizes(body),
            *_apart(body),
            *_places(scope, rows(body, "places")),
            *(_batch_fact(batch) for batch in batches),
            scope.covers(),
        ),
        link=text(batches[0], "link") if len(batches) == 1 else "",
    )


def details(scope: Scope, base: FinancialEvent) -> FinancialEvent:
    """Every batch as a line; every account, and of many locations each, as a fact."""
    places = rows(scope.body, "places")
    return dataclasses.replace(
        _headline(scope, base),
        part="details",
        lines=tuple(_batch_line(batch) for batch in rows(scope.body, "listed")),
        facts=(
            *(_account_fact(scope, account) for account in rows(scope.body, "accounts")),
            *(_place_fact(scope, place) for place in places if len(places) > MAX_PLACES),
        ),
    )


def unbalanced(scope: Scope, base: FinancialEvent) -> FinancialEvent:
    """A batch whose debits and credits differ, read twice."""
    body = scope.body
    out = {str(code): decimal_of(body, "out", str(code)) for code in dig(body, "out") or {}}
    code, gap = next(iter(out.items()), ("", Decimal(0)))
    where = f"this connection signs in to the entity {scope.entity}, and " if scope.entity else ""
    gaps = "; ".join(
        f"debits {plain(Money(decimal_of_sum(body, each, 0), each))}, "
        f"credits {plain(Money(decimal_of_sum(body, each, 1), each))}"
        for each in out
    )
    title = text(body, "title")
    memo = (
        f"{title + ': ' if title else ''}{gaps}; its lines were read twice. Intacct posts nothing unbalanced, so "
        f"check first whether the API user sees all of it ({where}restricted entities, locations or departments hide "
        "lines), then open the entry in Intacct"
    )
    return dataclasses.replace(
        base,
        number=text(body, "name"),
        amount=Money(abs(gap), code),
        day=day(body, "day"),
        status=text(body, "state"),
        memo=memo,
        facts=(
            *by_currency("Debits", _sums(body, 0)),
            *by_currency("Credits", _sums(body, 1)),
            *labelled("Lines", str(_number(body, "lines"))),
            *_named_places(scope, rows(body, "places")),
        ),
        link=text(body, "link"),
    )


def decimal_of_sum(body: Any, code: str, side: int) -> Decimal:
    """One side of a currency's sums: 0 debits, 1 credits."""
    return _sums(body, side).get(code, Decimal(0))


def _headline(scope: Scope, base: FinancialEvent) -> FinancialEvent:
    body = scope.body
    batches, changed = _number(body, "batches"), len(dig(body, "changed") or ())
    debits = _sums(body, 0)
    number = f"of {counted(batches, 'batch', 'batches')}" if batches else "of no new batches"
    if not batches and changed:
        number = f"of changes to {counted(changed, 'batch', 'batches')}"
    accounts = {(text(row, "id"), text(row, "title")): None for row in rows(body, "accounts")}
    refs = (scope.ref("account", account_id, title) for account_id, title in accounts)
    return dataclasses.replace(
        base,
        number=number,
        amount=Money(next(iter(debits.values())), next(iter(debits))) if len(debits) == 1 else None,
        accounts=tuple(ref for ref in refs if ref),
    )


def _troubles(body: Any) -> Iterator[Fact]:
    out, bare = rows(body, "unbalanced"), dig(body, "bare") or ()
    if out:
        yield Fact("Out of balance", listed(f"{text(row, 'name')} by {_gaps(row)}" for row in out))
    if bare:
        yield Fact("No line visible", f"{listed(map(str, bare))}: check what the API user may see")


def _gaps(row: Any) -> str:
    return " and ".join(
        plain(Money(abs(decimal_of(row, "out", str(code))), str(code))) for code in dig(row, "out") or ()
    )


def _sides(body: Any) -> Iterator[Fact]:
    """Debits and credits by currency, together where they are the same everywhere."""
    debits, credits_ = _sums(body, 0), _sums(body, 1)
    if debits == credits_:
        yield from by_currency("Debits and credits", debits)
    else:
        yield from by_currency("Debits", debits)
        yield from by_currency("Credits", credits_)


def _sizes(body: Any) -> Iterator[Fact]:
    if count := _number(body, "batches"):
        journals = _counts(body, "journals")
        said = [(name or "no journal", number) for name, number in journals]
        each = listed(f"{name} {number}" for name, number in said)
        yield Fact("Batches", f"{count} in {said[0][0]}" if len(said) == 1 else f"{count} ({each})")
        yield Fact("Lines", str(_number(body, "lines")))


def _places(scope: Scope, places: Sequence[Any]) -> Iterator[Fact]:
    """The location, or what each of a few was moved by; of many only their names, as the details have the rest."""
    if 1 < len(places) <= MAX_PLACES:
        yield from (_place_fact(scope, place) for place in places)
    else:
        yield from _named_places(scope, places)


def _named_places(scope: Scope, places: Sequence[Any]) -> Iterator[Fact]:
    names = [_place_name(scope, place) for place in places]
    yield from labelled("Locations" if len(names) > 1 else "Location", listed(names))


def _place_name(scope: Scope, place: Any) -> str:
    ref = scope.ref("location", text(place, "id"), text(place, "name"))
    return (ref.name or ref.id) if ref else ""


def _place_fact(scope: Scope, place: Any) -> Fact:
    return Fact(f"Location {_place_name(scope, place)}", ", ".join(_side_texts(place)))


def _apart(body: Any) -> Iterator[Fact]:
    changed = [" ".join(filter(None, map(str, each))) for each in dig(body, "changed") or ()]
    yield from labelled("Changed since told", listed(changed))
    yield from labelled("Not posted", listed(f"{count} {state}" for state, count in _counts(body, "apart")))
    statistical = _number(body, "statistical")
    yield from labelled("Statistical", counted(statistical, "batch", "batches") if statistical else "")


def _sums(body: Any, side: int) -> dict[str, Decimal]:
    """Debits (0) or credits (1) by currency."""
    found = {}
    for code, pair in (dig(body, "sums") or {}).items():
        found[str(code)] = amount({"sum": pair[side]}, "sum") or Decimal(0)
    return found


def _number(body: Any, key: str) -> int:
    return int(decimal_of(body, key))


def _counts(body: Any, key: str) -> list[tuple[str, int]]:
    return [(str(name), int(count)) for name, count in (dig(body, key) or {}).items()]


def _account_lines(scope: Scope, accounts: list[Any]) -> Iterator[Line]:
    """One line for each side that an account was moved on."""
    for row in accounts:
        ref = scope.ref("account", text(row, "id"), text(row, "title"))
        said = f"{text(row, 'id')}, {counted(_number(row, 'lines'), 'line')}"
        for side, posting in enumerate(("debit", "credit")):
            if moved := _side(row, side):
                yield Line(said, Money(moved, text(row, "currency")), account=ref, posting=posting)


def _side(row: Any, side: int) -> Decimal:
    return amount({"sum": (dig(row, "sums") or ("0", "0"))[side]}, "sum") or Decimal(0)


def _account_fact(scope: Scope, row: Any) -> Fact:
    ref: Ref | None = scope.ref("account", text(row, "id"), text(row, "title"))
    code = text(row, "currency")
    sides = [
        f"{word} {plain(Money(moved, code))}"
        for word, moved in (("debits", _side(row, 0)), ("credits", _side(row, 1)))
        if moved
    ]
    label = " ".join(filter(None, (text(row, "id"), ref.name if ref else "")))
    return Fact(label, ", ".join([*(sides or ["nothing"]), counted(_number(row, "lines"), "line")]))


def _side_texts(holder: Any) -> Iterator[str]:
    """Both sides of each currency in words."""
    debits, credits_ = _sums(holder, 0), _sums(holder, 1)
    for code, debit in debits.items():
        if debit == credits_[code]:
            yield f"debits and credits {plain(Money(debit, code))}"
            continue
        for word, moved in (("debits", debit), ("credits", credits_[code])):
            if moved:
                yield f"{word} {plain(Money(moved, code))}"


def _batch_text(batch: Any) -> tuple[str, Money | None]:
    """A batch in words, and what it came to where one amount says it."""
    debits = _sums(batch, 0)
    whole = Money(next(iter(debits.values())), next(iter(debits))) if len(debits) == 1 else None
    if debits != _sums(batch, 1):
        whole = None
    state = text(batch, "state")
    if state and state.lower() not in ("posted", "p"):
        return ", ".join(filter(None, (text(batch, "title"), state))), None
    said = [text(batch, "title"), *([] if whole else _side_texts(batch)), counted(_number(batch, "lines"), "line")]
    return ", ".join(filter(None, said)), whole


def _batch_fact(batch: Any) -> Fact:
    said, whole = _batch_text(batch)
    return Fact(text(batch, "name"), f"{said}," if whole else said, whole)


def _batch_line(batch: Any) -> Line:
    said, whole = _batch_text(batch)
    return Line(f"{text(batch, 'name')} {said}", whole)
