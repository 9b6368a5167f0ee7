"""Ledger postings as events: the run, its details, and a batch out of balance."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from connector.kernel.events import Fact, FinancialEvent, Line, Money, Ref
from connector.kernel.values import amount, day, dig, rows, text
from sources.sage_intacct.postings import MAX_ACCOUNTS
from sources.sage_intacct.wording import Scope, by_currency, counted, decimal_of, labelled, listed, plain


def run(scope: Scope, base: FinancialEvent) -> FinancialEvent:
    """What a run posted, what needs a hand first."""
    body = scope.body
    accounts = rows(body, "accounts")
    return dataclasses.replace(
        _headline(scope, base),
        lines=tuple(_account_lines(scope, accounts))[:MAX_ACCOUNTS],
        facts=(
            *_troubles(body),
            *_sizes(body),
            *by_currency("Debits", _sums(body, 0)),
            *by_currency("Credits", _sums(body, 1)),
            *labelled("Journals", listed(f"{name or 'none'}: {count}" for name, count in _counts(body, "journals"))),
            *labelled("Locations", listed(str(each) for each in dig(body, "locations") or ())),
            *_apart(body),
            *(_batch_fact(batch) for batch in rows(body, "listed")),
            Fact("Read", f"{scope.when('from')} to {scope.when('to')}"),
        ),
    )


def details(scope: Scope, base: FinancialEvent) -> FinancialEvent:
    """Every batch as a line, every account as a fact."""
    return dataclasses.replace(
        _headline(scope, base),
        part="details",
        lines=tuple(_batch_line(batch) for batch in rows(scope.body, "listed")),
        facts=tuple(_account_fact(scope, account) for account in rows(scope.body, "accounts")),
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
        "lines), then open the entry in Intacct."
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
            *labelled("Locations", listed(str(each) for each in dig(body, "locations") or ())),
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
    number = f"of {counted(batches, 'batch', 'batches')}"
    if not batches and changed:
        number = f"of changes to {counted(changed, 'batch', 'batches')}"
    accounts = {(text(row, "id"), text(row, "title")): None for row in rows(body, "accounts")}
    refs = (scope.ref("account", account_id, title) for account_id, title in accounts)
    return dataclasses.replace(
        base,
        number=number,
        amount=Money(next(iter(debits.values())), next(iter(debits))) if len(debits) == 1 else None,
        memo="" if batches or changed else "Nothing new was posted",
        accounts=tuple(ref for ref in refs if ref),
    )


def _troubles(body: Any) -> Iterator[Fact]:
    out, bare = dig(body, "unbalanced") or (), dig(body, "bare") or ()
    if out:
        yield Fact("Out of balance", f"{counted(len(out), 'batch', 'batches')}: {listed(map(str, out))}")
    if bare:
        yield Fact("No line visible", f"{listed(map(str, bare))}: check what the API user may see")


def _sizes(body: Any) -> Iterator[Fact]:
    if _number(body, "batches"):
        yield Fact("Batches", str(_number(body, "batches")))
        yield Fact("Lines", str(_number(body, "lines")))


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
    return Fact(label, f"{', '.join(sides) or 'nothing'}; {counted(_number(row, 'lines'), 'line')}")


def _batch_text(batch: Any) -> str:
    """What a batch came to, in words: its title, lines, and both sides of each currency."""
    sides = []
    debits, credits_ = _sums(batch, 0), _sums(batch, 1)
    for code, debit in debits.items():
        if debit == credits_[code]:
            sides.append(f"debits and credits {plain(Money(debit, code))}")
        else:
            sides.append(f"debits {plain(Money(debit, code))}, credits {plain(Money(credits_[code], code))}")
    state = text(batch, "state")
    said = [text(batch, "title"), counted(_number(batch, "lines"), "line"), *sides]
    if state and state.lower() not in ("posted", "p"):
        said.append(state)
    return ", ".join(filter(None, said))


def _batch_fact(batch: Any) -> Fact:
    return Fact(text(batch, "name"), _batch_text(batch))


def _batch_line(batch: Any) -> Line:
    debits = _sums(batch, 0)
    only = Money(next(iter(debits.values())), next(iter(debits))) if len(debits) == 1 else None
    said = f"{text(batch, 'name')} {_batch_text(batch)}"
    return Line(" ".join(filter(None, (said, text(batch, "link")))), only)
