"""Salesforce records to financial events. Pure; field names as in the vendor's object reference.

A deleted Account is `deleted`, one that was merged into another `merged`. Whether an order's state is told, and as
what, `follow` decides.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from connector.kernel.contracts import Notice, Record
from connector.kernel.events import Fact, FinancialEvent, Line, Money, Profile, Ref
from connector.kernel.values import BadValue, amount, day, flag, text
from sources.salesforce.documents import children
from sources.salesforce.layout import Names
from sources.salesforce.notices import begins
from sources.salesforce.soql import full_id, is_id

#: Item number and ID, by which the lines of an order stand in its own order.
_PLACE = ("OrderItemNumber", "Id")


@dataclasses.dataclass(frozen=True, slots=True)
class Scope:
    """One record being read. `currency` is that of an org with a single one, as the settings have it."""

    document: Mapping[str, Any]
    names: Names
    currency: str

    def money(self, number: Decimal | None) -> Money | None:
        return Money(number, text(self.document, "CurrencyIsoCode") or self.currency) if number is not None else None

    def marks(self, *rows: Any) -> tuple[Ref | None, Ref | None]:
        """Department and class by the first of the rows that names one."""
        return _first("department", self.names.department, rows), _first("class", self.names.class_, rows)


def to_event(notice: Notice, record: Record, names: Names, *, base: str, currency: str) -> FinancialEvent:
    """The event of a record. `base` is the org's address, for the link. Raises `BadValue` for what cannot be read."""
    at = notice.occurred_at or record.updated_at
    if record.is_gone:
        return _vanished(record, at)
    event = FinancialEvent(
        record=record.record,
        operation="created" if _is_new(notice, record) else "updated",
        record_id=record.record_id,
        link=f"{base}/{record.record_id}" if base else "",
        occurred_at=at,
    )
    scope = Scope(record.body, names, currency)
    return _customer(scope, event) if record.record == "customer" else _order(scope, event)


def _is_new(notice: Notice, record: Record) -> bool:
    """By the notice; where that only says "changed since", by when the record was made."""
    since = begins(notice)
    if since is not None and record.created_at is not None:
        return record.created_at >= since
    return notice.operation == "created"


def _vanished(record: Record, at: dt.datetime | None) -> FinancialEvent:
    winner = text(record.body, "merged_into")
    event = FinancialEvent(record.record, "merged" if winner else "deleted", record.record_id, occurred_at=at)
    if not winner:
        return dataclasses.replace(event, status="deleted")
    return dataclasses.replace(event, status="merged", facts=(Fact("Merged into", winner),))


def _customer(scope: Scope, event: FinancialEvent) -> FinancialEvent:
    document = scope.document
    department, class_ = scope.marks(document)
    profile = _profile(document, scope.currency)
    return dataclasses.replace(
        event,
        party=Ref("customer", event.record_id, profile.name, text(document, scope.names.customer_id)),
        status=profile.kind,
        departments=(department,) if department else (),
        classes=(class_,) if class_ else (),
        profile=profile,
        linked_id=text(document, scope.names.customer_id),
    )


def _profile(document: Any, currency: str) -> Profile:
    """The Account, with its person: itself where it is a person account, else its first contact."""
    person = next(iter(children(document, "Contacts")), None) or document
    return Profile(
        name=text(document, "Name"),
        given_name=text(person, "FirstName"),
        family_name=text(person, "LastName"),
        email=text(person, "Email") or text(document, "PersonEmail"),
        phone=text(document, "Phone") or text(person, "Phone"),
        street=text(document, "BillingStreet"),
        city=text(document, "BillingCity"),
        region=text(document, "BillingState"),
        postal_code=text(document, "BillingPostalCode"),
        country=text(document, "BillingCountry"),
        currency=text(document, "CurrencyIsoCode") or currency,
        kind=text(document, "Type"),
    )


def _order(scope: Scope, event: FinancialEvent) -> FinancialEvent:
    document = scope.document
    status = text(document, "StatusCode")
    if not status:
        raise BadValue("StatusCode is missing")
    lines = tuple(_lines(scope))
    return dataclasses.replace(
        event,
        number=text(document, "OrderNumber"),
        party=_party(scope),
        amount=scope.money(amount(document, "TotalAmount")),
        day=day(document, "EffectiveDate"),
        status=status,
        lines=lines,
        departments=tuple(dict.fromkeys(line.department for line in lines if line.department)),
        classes=tuple(dict.fromkeys(line.class_ for line in lines if line.class_)),
        facts=tuple(_reduction(document)),
        linked_id=text(document, scope.names.journal_entry_id),
    )


def _party(scope: Scope) -> Ref | None:
    account_id = text(scope.document, "AccountId")
    if not is_id(account_id):
        return None
    linked_id = text(scope.document, "Account", scope.names.customer_id)
    return Ref("customer", full_id(account_id), text(scope.document, "Account", "Name"), linked_id)


def _lines(scope: Scope) -> Iterator[Line]:
    document = scope.document
    for row in sorted(children(document, "OrderItems"), key=lambda row: [text(row, key) for key in _PLACE]):
        quantity, price, total = (amount(row, key) for key in ("Quantity", "UnitPrice", "TotalPrice"))
        if total is None and price is not None and quantity is not None:
            total = price * quantity
        department, class_ = scope.marks(row, document, document.get("Account"))
        product_id, codes = text(row, "Product2Id"), ("StockKeepingUnit", "ProductCode")
        yield Line(
            description=text(row, "Description"),
            amount=scope.money(total),
            item=Ref("item", full_id(product_id), text(row, "Product2", "Name")) if is_id(product_id) else None,
            department=department,
            class_=class_,
            quantity=quantity,
            codes=tuple(dict.fromkeys(code for code in (text(row, "Product2", key) for key in codes) if code)),
        )


def _first(kind: str, field: str, rows: tuple[Any, ...]) -> Ref | None:
    named = next((value for value in (text(row, field) for row in rows) if value), "")
    return Ref(kind, "", named) if named else None


def _reduction(document: Any) -> Iterator[Fact]:
    if flag(document, "IsReductionOrder"):
        yield Fact("Reduction order", "yes")
    if original := text(document, "OriginalOrderId"):
        yield Fact("Original order", full_id(original) if is_id(original) else original)
