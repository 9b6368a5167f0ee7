"""The pieces of which the events' texts are made: amounts, counts, and the names that people gave."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any

from connector.kernel.contracts import Names
from connector.kernel.events import Fact, Money, Ref
from connector.kernel.values import BadValue, amount, text

#: Decimals of the currencies that do not have two (ISO 4217).
_DECIMALS = dict.fromkeys(("JPY", "KRW", "VND", "CLP", "ISK", "PYG", "UGX", "XAF", "XOF", "XPF"), 0) | dict.fromkeys(
    ("BHD", "KWD", "OMR", "JOD", "TND"), 3
)


@dataclasses.dataclass(frozen=True, slots=True)
class Scope:
    """One record being mapped. `entity` is the one signed in to, empty at the top level."""

    body: Mapping[str, Any]
    names: Names
    zone: dt.tzinfo
    entity: str = ""

    def ref(self, kind: str, ref_id: str, name: str) -> Ref | None:
        """Something named, under the name that people want."""
        if not ref_id:
            return Ref(kind, "", name) if name else None
        return Ref(kind, ref_id, self.names(kind, ref_id, name))

    def when(self, key: str) -> str:
        """A time in the organization's zone."""
        try:
            at = dt.datetime.fromisoformat(text(self.body, key))
        except ValueError:
            raise BadValue(f"{key} is not a time") from None
        return at.astimezone(self.zone).strftime("%Y-%m-%d %H:%M")

    def covers(self) -> Fact:
        """The time that was read."""
        return Fact("Covers", f"{self.when('from')} to {self.when('to')}")


def decimal_of(row: Any, *path: str) -> Decimal:
    found = amount(row, *path)
    return Decimal(0) if found is None else found


def plain(money: Money) -> str:
    """An amount in words of its own: "1,200.00 USD", with all the decimals it has."""
    exponent = money.amount.normalize().as_tuple().exponent
    digits = max(_DECIMALS.get(money.currency, 2), -exponent if isinstance(exponent, int) else 0)
    return f"{money.amount:,.{digits}f} {money.currency}".strip()


def listed(texts: Iterable[str], limit: int = 6) -> str:
    """The first texts, and how many more there are."""
    every = list(texts)
    shown = ", ".join(every[:limit])
    return f"{shown} and {len(every) - limit} more" if len(every) > limit else shown


def counted(count: int, one: str, many: str = "") -> str:
    """ "1 line", "2 lines"."""
    return f"{count} {one if count == 1 else many or one + 's'}"


def by_currency(label: str, amounts: Mapping[str, Decimal], said: Mapping[str, str] | None = None) -> Iterator[Fact]:
    """One fact a currency; the label names the currency where there are several."""
    for code, sum_ in amounts.items():
        shown = f"{label} {code}".strip() if len(amounts) > 1 else label
        yield Fact(shown, (said or {}).get(code, ""), Money(sum_, code))


def labelled(label: str, value: str) -> Iterator[Fact]:
    """The fact, if there is anything to say."""
    if value:
        yield Fact(label, value)
