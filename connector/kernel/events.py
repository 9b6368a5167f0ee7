"""The neutral form of what happened in somebody's books.

Amounts are `Decimal` with an ISO 4217 currency, instants are aware UTC, accounting dates are dates.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import typing
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, TypeVar

RECORDS = frozenset(
    {
        "bill", "bill_payment", "invoice", "payment", "journal_entry", "vendor", "customer", "purchase_order",
        "expense", "order", "account", "gl_posting", "payment_batch", "connection",
    }
)  # fmt: skip
OPERATIONS = frozenset(
    {
        "created", "updated", "deleted", "voided", "merged", "emailed", "completed", "rejected", "unbalanced",
        "needs_reauthorization", "failed",
    }
)  # fmt: skip
#: Kinds of names that a person may override, and that a source can look up.
NAME_KINDS = ("account", "vendor", "customer", "department", "class", "item", "location")


@dataclasses.dataclass(frozen=True, slots=True)
class Money:
    """An amount in its own currency; `currency` is empty only where the vendor says none and none can be known."""

    amount: Decimal
    currency: str


@dataclasses.dataclass(frozen=True, slots=True)
class Ref:
    """Something named elsewhere in the source: `kind` is one of NAME_KINDS, `name` what people call it."""

    kind: str
    id: str
    name: str = ""
    #: Its ID in the system with which the source is kept in step.
    linked_id: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    """One line of a record. `posting` is "debit" or "credit" on journal lines, else empty."""

    description: str = ""
    amount: Money | None = None
    account: Ref | None = None
    item: Ref | None = None
    department: Ref | None = None
    class_: Ref | None = None
    entity: Ref | None = None
    posting: str = ""
    quantity: Decimal | None = None
    #: Codes by which another system may know the item, the best first (SKU, product code).
    codes: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Settled:
    """What a payment settles: another record, by its number when known."""

    record: str
    id: str
    number: str = ""
    amount: Money | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Fact:
    """One more labelled thing a reader wants to know ("Paid from" / "Checking")."""

    label: str
    text: str = ""
    money: Money | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Unusual:
    """The amount lies far outside what this party's own last records say is usual."""

    low: Money
    high: Money
    count: int


@dataclasses.dataclass(frozen=True, slots=True)
class Profile:
    """Who a customer or vendor is: what two systems keep in step. Empty text where the source says nothing."""

    name: str = ""
    given_name: str = ""
    family_name: str = ""
    email: str = ""
    phone: str = ""
    street: str = ""
    city: str = ""
    region: str = ""
    postal_code: str = ""
    country: str = ""
    currency: str = ""
    kind: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class FinancialEvent:
    """What a route decides on and a sink renders. `version` orders the states of one record (see `Record`)."""

    record: str
    operation: str
    record_id: str
    number: str = ""
    party: Ref | None = None
    amount: Money | None = None
    balance: Money | None = None
    day: dt.date | None = None
    due: dt.date | None = None
    status: str = ""
    memo: str = ""
    lines: tuple[Line, ...] = ()
    settles: tuple[Settled, ...] = ()
    facts: tuple[Fact, ...] = ()
    departments: tuple[Ref, ...] = ()
    classes: tuple[Ref, ...] = ()
    accounts: tuple[Ref, ...] = ()
    is_internal: bool = False
    unusual: Unusual | None = None
    link: str = ""
    occurred_at: dt.datetime | None = None
    profile: Profile | None = None
    #: The record's ID in the system with which the source is kept in step.
    linked_id: str = ""
    #: "details" = more of what was told before, "update" = its newer state: either belongs in the thread of that.
    part: str = ""

    @property
    def type(self) -> str:
        return f"{self.record}.{self.operation}"


T = TypeVar("T")


def to_json(value: Any) -> Any:
    """A dataclass of this module as plain JSON; `from_json` reads it back exactly."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = ((f.name, getattr(value, f.name), f.default) for f in dataclasses.fields(value))
        return {name: to_json(item) for name, item, default in fields if item != default}
    if isinstance(value, tuple | list):
        return [to_json(item) for item in value]
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, dt.datetime | dt.date):
        return value.isoformat()
    return value


def from_json(kind: type[T], value: Mapping[str, Any]) -> T:
    """The dataclass `kind` from what `to_json` made of it."""
    hints = typing.get_type_hints(kind)
    return kind(**{name: _read(hints[name], item) for name, item in value.items()})


def _read(hint: Any, value: Any) -> Any:
    arguments = typing.get_args(hint)
    if typing.get_origin(hint) is tuple:
        return tuple(_read(arguments[0], item) for item in value)
    if arguments:
        hint = next(kind for kind in arguments if kind is not type(None))
    if value is None:
        return None
    if dataclasses.is_dataclass(hint):
        return from_json(typing.cast(type[Any], hint), value)
    if hint is Decimal:
        return Decimal(value)
    if hint is dt.datetime:
        return dt.datetime.fromisoformat(value)
    if hint is dt.date:
        return dt.date.fromisoformat(value)
    return value
