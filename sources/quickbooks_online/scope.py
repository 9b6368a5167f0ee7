"""One record while it is being read: its document, its currency, and the way to friendly names."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any

from connector.kernel.contracts import Names, Notice, Record
from connector.kernel.events import Money, Ref
from connector.kernel.values import amount, text
from sources.quickbooks_online.documents import shown


class Scope:
    """Readers over one record. `today` is the organization's day, for what is overdue."""

    def __init__(self, record: Record, notice: Notice, names: Names, *, today: dt.date) -> None:
        self.record = record
        self.notice = notice
        self.names = names
        self.today = today
        self.document = record.body
        #: Every amount of a record is in this currency; the company's own where the record names none.
        self.currency = text(self.document, "CurrencyRef", "value") or self.home_currency()

    def home_currency(self) -> str:
        return self.names("company", "home_currency", "")

    def money(self, document: Any, *path: str) -> Money | None:
        number = amount(document, *path)
        return None if number is None else Money(number, self.currency)

    def ref(self, kind: str, document: Any, *path: str) -> Ref | None:
        """The thing a `{value, name}` reference names, by the name people know; None where there is none."""
        ref_id = text(document, *path, "value")
        return self.named(kind, ref_id, text(document, *path, "name")) if ref_id else None

    def named(self, kind: str, ref_id: str, fallback: str = "") -> Ref:
        return Ref(kind, ref_id, self.names(kind, ref_id, shown(fallback)))

    def item_account(self, item: Ref | None, *roles: str) -> Ref | None:
        """The account behind an item: the first of these roles that it has."""
        for role in roles if item else ():
            assert item is not None
            if account_id := self.names(f"item:{role}", item.id, ""):
                return self.named("account", account_id, self.names(f"item:{role}_name", item.id, ""))
        return None


def distinct(refs: Iterable[Ref | None]) -> tuple[Ref, ...]:
    """The references in the order they came, each once."""
    return tuple({ref.id: ref for ref in refs if ref is not None}.values())
