"""QuickBooks Desktop records to financial events. Pure; element names as in the qbXML 13.0 reference."""

from __future__ import annotations

import dataclasses
import datetime as dt
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any

from connector.kernel.contracts import Names, Notice, Record
from connector.kernel.events import Fact, FinancialEvent, Line, Money, Ref, Settled
from connector.kernel.values import BadValue, amount, day, dig, flag, rows, text
from sources.quickbooks_desktop.currencies import code_of

#: `TxnType` of what a payment settles -> our record. Others are told by the vendor's own word.
SETTLED = {"Bill": "bill", "Invoice": "invoice", "JournalEntry": "journal_entry"}


@dataclasses.dataclass(frozen=True, slots=True)
class Scope:
    """One record while it is mapped."""

    row: str
    document: Mapping[str, Any]
    names: Names
    home_currency: str
    today: dt.date

    @property
    def currency(self) -> str:
        """The record's own; without one it is in the company's home currency, which no answer names."""
        name = text(self.document, "CurrencyRef", "FullName")
        return code_of(name) if name else self.home_currency

    def money(self, document: Any, *path: str) -> Money | None:
        value = amount(document, *path)
        return None if value is None else Money(value, self.currency)

    def ref(self, kind: str, document: Any, name: str) -> Ref | None:
        """The thing that a `…Ref` names; some have only a name."""
        list_id, full_name = text(document, name, "ListID"), text(document, name, "FullName")
        if not list_id and not full_name:
            return None
        return Ref(kind, list_id or full_name, self.names(kind, list_id or full_name, full_name))


def to_event(record: Record, notice: Notice, names: Names, *, home_currency: str, today: dt.date) -> FinancialEvent:
    """The event of a record. Raises `BadValue` for one that cannot be read."""
    row, document = next(iter(record.body.items()), ("", {}))
    at = notice.occurred_at or record.updated_at
    if record.is_gone:
        return _deleted(record, document, at)
    if row not in _READERS:
        raise BadValue("the record is of a type that is not read")
    scope = Scope(row, document, names, home_currency.upper(), today)
    base = FinancialEvent(
        record=record.record,
        operation="created" if notice.operation == "created" else "updated",
        record_id=record.record_id,
        number=text(document, "RefNumber"),
        day=day(document, "TxnDate"),
        due=day(document, "DueDate"),
        memo=text(document, "Memo"),
        occurred_at=at,
    )
    event = _READERS[row](scope, base)
    if _is_void(event):
        event = dataclasses.replace(event, operation="voided", status="voided")
    return event


def _deleted(record: Record, document: Any, at: dt.datetime | None) -> FinancialEvent:
    """All that a deletion says of itself: a transaction's number, a name of a list's entry."""
    name = text(document, "FullName")
    return FinancialEvent(
        record=record.record,
        operation="deleted",
        record_id=record.record_id,
        number=text(document, "RefNumber"),
        party=Ref(record.record, record.record_id, name) if name else None,
        status="deleted",
        occurred_at=at,
    )


def _is_void(event: FinancialEvent) -> bool:
    """A voided transaction stays, with nothing in it and its memo marked."""
    is_empty = event.amount is not None and event.amount.amount == 0
    return is_empty and event.memo.upper().startswith("VOID")


def _vendor(scope: Scope, base: FinancialEvent) -> FinancialEvent:
    return _party(scope, base, text(scope.document, "Name"), scope.money(scope.document, "Balance"))


def _customer(scope: Scope, base: FinancialEvent) -> FinancialEvent:
    name = text(scope.document, "FullName") or text(scope.document, "Name")
    total = scope.money(scope.document, "TotalBalance") or scope.money(scope.document, "Balance")
    event = _party(scope, base, name, total)
    parent = scope.ref("customer", scope.document, "ParentRef")
    return dataclasses.replace(event, facts=(*event.facts, *_labelled("Parent", parent.name if parent else "")))


def _party(scope: Scope, base: FinancialEvent, name: str, balance: Money | None) -> FinancialEvent:
    """A vendor or a customer: the party is the record itself, and one made inactive counts as gone."""
    document = scope.document
    is_inactive = flag(document, "IsActive") is False
    company = text(document, "CompanyName")
    facts = [
        *_labelled("Company", company if company != name else ""),
        *_labelled("Contact", text(document, "Contact")),
        *_labelled("Email", text(document, "Email")),
        *_labelled("Phone", text(document, "Phone")),
        *_labelled("Terms", text(document, "TermsRef", "FullName")),
        *_labelled("Type", text(document, "VendorTypeRef", "FullName")),
        *_labelled("Address", _address(document)),
    ]
    return dataclasses.replace(
        base,
        operation="deleted" if is_inactive else base.operation,
        status="inactive" if is_inactive else "",
        party=Ref(base.record, base.record_id, scope.names(base.record, base.record_id, name)),
        balance=balance,
        facts=tuple(facts),
    )


def _address(document: Any) -> str:
    """The address in one line, without the name that some begin it with."""
    place = dig(document, "VendorAddress") or dig(document, "BillAddress")
    own = {text(document, "Name"), text(document, "CompanyName")}
    parts = [text(place, name) for name in ("Addr1", "Addr2", "Addr3", "City", "State", "PostalCode", "Country")]
    return ", ".join(part for part in parts if part and part not in own)


def _bill(scope: Scope, base: FinancialEvent) -> FinancialEvent:
    document = scope.document
    total, left = amount(document, "AmountDue"), amount(document, "OpenAmount")
    event = _with_lines(scope, base, scope.ref("account", document, "APAccountRef"))
    return dataclasses.replace(
        event,
        party=scope.ref("vendor", document, "VendorRef"),
        amount=scope.money(document, "AmountDue"),
        balance=scope.money(document, "OpenAmount"),
        status=_standing(flag(document, "IsPaid"), total, left, base.due, scope.today),
        facts=(*_labelled("Terms", text(document, "TermsRef", "FullName")), *_home(scope, "AmountDueInHomeCurrency")),
    )


def _invoice(scope: Scope, base: FinancialEvent) -> FinancialEvent:
    document = scope.document
    net, tax = amount(document, "Subtotal"), amount(document, "SalesTaxTotal")
    total = None if net is None else net + (tax or Decimal(0))  # no element says it
    event = _with_lines(scope, base)
    facts = [
        *_labelled("PO number", text(document, "PONumber")),
        *_labelled("Terms", text(document, "TermsRef", "FullName")),
        *_nonzero("Tax", scope.money(document, "SalesTaxTotal")),
        *_labelled("Pending", "yes" if flag(document, "IsPending") else ""),
        *_home(scope, ""),
    ]
    left = amount(document, "BalanceRemaining")
    return dataclasses.replace(
        event,
        party=scope.ref("customer", document, "CustomerRef"),
        amount=None if total is None else Money(total, scope.currency),
        balance=scope.money(document, "BalanceRemaining"),
        status=_standing(flag(document, "IsPaid"), total, left, base.due, scope.today),
        facts=tuple(facts),
    )


def _standing(
    is_paid: bool | None, total: Decimal | None, left: Decimal | None, due: dt.date | None, today: dt.date
) -> str:
    """Where a bill or invoice stands. One without an amount owes nothing."""
    if not total:
        return ""
    if is_paid or left == 0:
        return "paid"
    if due is not None and due < today:
        return "overdue"
    return "partly paid" if left is not None and left < total else "open"


def _purchase_order(scope: Scope, base: FinancialEvent) -> FinancialEvent:
    document = scope.document
    is_closed, is_received = flag(document, "IsManuallyClosed"), flag(document, "IsFullyReceived")
    facts = [
        *_labelled("Terms", text(document, "TermsRef", "FullName")),
        *_labelled("Ship via", text(document, "ShipMethodRef", "FullName")),
        *_labelled("Message", text(document, "VendorMsg")),
        *_home(scope, "TotalAmountInHomeCurrency"),
    ]
    return dataclasses.replace(
        _with_lines(scope, base),
        party=scope.ref("vendor", document, "VendorRef"),
        amount=scope.money(document, "TotalAmount"),
        due=day(document, "ExpectedDate") or base.due,
        status="received" if is_received else "closed" if is_closed else "open",
        facts=tuple(facts),
    )


def _bill_payment(scope: Scope, base: FinancialEvent) -> FinancialEvent:
    document = scope.document
    is_check = scope.row == "BillPaymentCheckRet"
    paid_from = scope.ref("account", document, "BankAccountRef" if is_check else "CreditCardAccountRef")
    facts = [
        *_labelled("Paid from", paid_from.name or paid_from.id if paid_from else ""),
        *_labelled("Method", "Check" if is_check else "Credit card"),
        *_home(scope, "AmountInHomeCurrency"),
    ]
    return dataclasses.replace(
        base,
        party=scope.ref("vendor", document, "PayeeEntityRef"),
        amount=scope.money(document, "Amount"),
        settles=tuple(_settles(scope)),
        accounts=_distinct([paid_from, scope.ref("account", document, "APAccountRef")]),
        facts=tuple(facts),
    )


def _payment(scope: Scope, base: FinancialEvent) -> FinancialEvent:
    document = scope.document
    deposited_to = scope.ref("account", document, "DepositToAccountRef")
    facts = [
        *_nonzero("Unapplied", scope.money(document, "UnusedPayment")),
        *_labelled("Deposited to", deposited_to.name or deposited_to.id if deposited_to else ""),
        *_labelled("Method", text(document, "PaymentMethodRef", "FullName")),
        *_home(scope, "TotalAmountInHomeCurrency"),
    ]
    return dataclasses.replace(
        base,
        party=scope.ref("customer", document, "CustomerRef"),
        amount=scope.money(document, "TotalAmount"),
        settles=tuple(_settles(scope)),
        accounts=_distinct([deposited_to, scope.ref("account", document, "ARAccountRef")]),
        facts=tuple(facts),
    )


def _settles(scope: Scope) -> Iterator[Settled]:
    for applied in rows(scope.document, "AppliedToTxnRet"):
        kind = text(applied, "TxnType")
        yield Settled(
            record=SETTLED.get(kind, re.sub(r"(?<=[a-z])(?=[A-Z])", "_", kind).lower()),
            id=text(applied, "TxnID"),
            number=text(applied, "RefNumber"),
            amount=scope.money(applied, "Amount"),
        )


def _with_lines(scope: Scope, base: FinancialEvent, *header_accounts: Ref | None) -> FinancialEvent:
    """The event with its lines, and with what routes ask about: every account and class of lines and header."""
    lines = tuple(_lines(scope))
    return dataclasses.replace(
        base,
        lines=lines,
        accounts=_distinct([*(line.account for line in lines), *header_accounts]),
        classes=_distinct([scope.ref("class", scope.document, "ClassRef"), *(line.class_ for line in lines)]),
    )


def _lines(scope: Scope) -> Iterator[Line]:
    document = scope.document
    for line in rows(document, "ExpenseLineRet"):
        yield Line(
            description=text(line, "Memo"),
            amount=scope.money(line, "Amount"),
            account=scope.ref("account", line, "AccountRef"),
            class_=scope.ref("class", line, "ClassRef"),
            entity=scope.ref("customer", line, "CustomerRef"),
        )
    for name in ("ItemLineRet", "PurchaseOrderLineRet", "InvoiceLineRet"):
        yield from (_item_line(scope, line) for line in rows(document, name))
    for name in ("ItemGroupLineRet", "PurchaseOrderLineGroupRet", "InvoiceLineGroupRet"):
        for line in rows(document, name):
            yield Line(
                description=text(line, "Desc"),
                amount=scope.money(line, "TotalAmount"),
                item=scope.ref("item", line, "ItemGroupRef"),
                quantity=amount(line, "Quantity"),
            )


def _item_line(scope: Scope, line: Any) -> Line:
    return Line(
        description=text(line, "Desc"),
        amount=scope.money(line, "Amount"),
        item=scope.ref("item", line, "ItemRef"),
        class_=scope.ref("class", line, "ClassRef"),
        entity=scope.ref("customer", line, "CustomerRef"),
        quantity=amount(line, "Quantity"),
    )


def _home(scope: Scope, total: str) -> Iterator[Fact]:
    """The rate, and the total in the company's own currency, for a record in another one."""
    if scope.currency == scope.home_currency:
        return
    rate = amount(scope.document, "ExchangeRate")
    if rate is not None:
        yield Fact("Exchange rate", f"{rate.normalize():f}")
    value = amount(scope.document, total) if total else None
    if value is not None:
        yield Fact("Home total", money=Money(value, scope.home_currency))


def _labelled(label: str, value: str) -> Iterator[Fact]:
    if value:
        yield Fact(label, value)


def _nonzero(label: str, money: Money | None) -> Iterator[Fact]:
    if money is not None and money.amount:
        yield Fact(label, money=money)


def _distinct(refs: Iterable[Ref | None]) -> tuple[Ref, ...]:
    return tuple(dict.fromkeys(ref for ref in refs if ref is not None))


_READERS: dict[str, Callable[[Scope, FinancialEvent], FinancialEvent]] = {
    "VendorRet": _vendor,
    "CustomerRet": _customer,
    "BillRet": _bill,
    "PurchaseOrderRet": _purchase_order,
    "BillPaymentCheckRet": _bill_payment,
    "BillPaymentCreditCardRet": _bill_payment,
    "ReceivePaymentRet": _payment,
    "InvoiceRet": _invoice,
}
