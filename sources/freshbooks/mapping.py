"""FreshBooks objects to financial events. Pure; field names as in the vendor's API reference and SDKs."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

from connector.kernel.contracts import Names, Notice, Record
from connector.kernel.events import Fact, FinancialEvent, Line, Money, Ref, Settled
from connector.kernel.values import BadValue, amount, day, dig, flag, rows, text
from sources.freshbooks.documents import ARCHIVED, is_deleted
from sources.freshbooks.names import person_in

#: Link patterns by record; a payment leads to its invoice.
LINKS = {
    "invoice": "https://my.freshbooks.com/#/invoice/{account}-{id}",
    "bill": "https://my.freshbooks.com/#/bills",
    "expense": "https://my.freshbooks.com/#/expense/{id}",
}
#: `status` of an invoice without a `v3_status`.
INVOICE_STATUSES = {
    "0": "disputed", "1": "draft", "2": "sent", "3": "viewed", "4": "paid", "5": "paid", "6": "retry", "7": "failed",
    "8": "partial",
}  # fmt: skip
#: Words of `v3_status` that people call otherwise; the others are shown as they are.
WORDS = {"autopaid": "paid", "auto-paid": "paid", "deposit_partial": "deposit-partial", "deposit_paid": "deposit-paid"}
#: `status` of an expense. The vendor's SDKs disagree on the number of "recouped".
EXPENSE_STATUSES = {"0": "internal", "1": "outstanding", "2": "invoiced", "3": "recouped", "4": "recouped"}


@dataclasses.dataclass(frozen=True, slots=True)
class Scope:
    """One object being read."""

    document: Mapping[str, Any]
    names: Names

    def money(self, *path: str) -> Money | None:
        """An amount object; its code, else that of the whole object."""
        holder = dig(self.document, *path)
        if holder is None or holder == []:
            return None
        if not isinstance(holder, Mapping):
            raise BadValue(f"{'.'.join(path)} is not an amount")
        return money_in(holder, text(self.document, "currency_code"))

    def ref(self, kind: str, ref_id: str, name: str = "") -> Ref | None:
        """Something named: zero and nothing both mean none."""
        if ref_id in ("", "0"):
            return Ref(kind, "", name) if name else None
        return Ref(kind, ref_id, self.names(kind, ref_id, name))


def money_in(holder: Mapping[str, Any], fallback: str = "") -> Money | None:
    """`{"amount", "code"}`; the amount comes as text or as a number."""
    number = amount(holder, "amount")
    return Money(number, text(holder, "code") or fallback) if number is not None else None


def to_event(record: Record, notice: Notice, names: Names, *, account: str, links: Mapping[str, str]) -> FinancialEvent:
    """The event of a record. Raises `BadValue` for an object that cannot be read."""
    at = notice.occurred_at or record.updated_at
    if record.is_gone:
        return _vanished(record, at)
    scope = Scope(record.body, names)
    base = FinancialEvent(
        record=record.record, operation=_operation(record.body, notice), record_id=record.record_id, occurred_at=at
    )
    event = _READERS[record.record](scope, base)
    facts = event.facts
    if text(record.body, "vis_state") == ARCHIVED:
        facts = (*facts, Fact("Archived", "yes"))
    status = "deleted" if event.operation == "deleted" else event.status
    return dataclasses.replace(event, status=status, facts=facts, link=_link(event, account, links))


def references(record: Record) -> list[Ref]:
    """What `to_event` would have to look up: found by mapping with a notebook for names."""
    wanted: dict[Ref, None] = {}

    def note(kind: str, ref_id: str, fallback: str) -> str:
        if not fallback and ref_id.isdecimal():
            wanted[Ref(kind, ref_id)] = None
        return fallback

    try:
        to_event(record, Notice(account=""), note, account="", links={})
    except BadValue:
        pass  # `to_event` says so when its turn comes
    return list(wanted)


def _operation(document: Mapping[str, Any], notice: Notice) -> str:
    """By what the record is now rather than by the notice: deleting is soft, and can be undone."""
    if is_deleted(document):
        return "deleted"
    return notice.operation if notice.operation in ("created", "emailed") else "updated"


def _vanished(record: Record, at: dt.datetime | None) -> FinancialEvent:
    """An object that cannot be read any more, with what the notice itself told of it, if anything."""
    event = FinancialEvent(record.record, "deleted", record.record_id, status="deleted", occurred_at=at)
    hints = dig(record.body, "hints")
    number = text(hints, "number") or text(hints, f"{record.record}_number")
    name = text(hints, "client_name") or text(hints, "vendor_name") or text(hints, "organization")
    try:
        told = amount(hints, "amount")
    except BadValue:
        told = None
    currency = text(hints, "currency") or text(hints, "currency_code") or text(hints, "code")
    kind = "customer" if record.record in ("invoice", "payment") else "vendor"
    return dataclasses.replace(
        event,
        number=number,
        party=Ref(kind, "", name) if name else None,
        amount=Money(told, currency) if told is not None and currency else None,
    )


def _link(event: FinancialEvent, account: str, links: Mapping[str, str]) -> str:
    record, record_id = event.record, event.record_id
    if record == "payment":
        if not event.settles:
            return ""
        record, record_id = "invoice", event.settles[0].id
    pattern = links.get(record) or LINKS[record]
    return pattern.replace("{account}", quote(account, safe="")).replace("{id}", quote(record_id, safe=""))


def _invoice(scope: Scope, base: FinancialEvent) -> FinancialEvent:
    document = scope.document
    return dataclasses.replace(
        base,
        number=text(document, "invoice_number"),
        party=scope.ref("customer", text(document, "customerid"), person_in(document)),
        amount=scope.money("amount"),
        balance=scope.money("outstanding"),
        day=day(document, "create_date"),
        due=day(document, "due_date"),
        status=_invoice_status(document),
        memo=text(document, "notes"),
        lines=tuple(_invoice_lines(scope)),
        facts=(
            *_nonzero("Discount", scope.money("discount_total")),
            *_labelled("PO number", text(document, "po_number")),
            *_labelled("Payment", "automatic" if text(document, "v3_status") == "autopaid" else ""),
        ),
    )


def _invoice_status(document: Mapping[str, Any]) -> str:
    word = text(document, "v3_status") or INVOICE_STATUSES.get(text(document, "status"), "")
    word = word or text(document, "display_status") or text(document, "payment_status")
    return WORDS.get(word.lower(), word)


def _invoice_lines(scope: Scope) -> Iterator[Line]:
    for row in rows(scope.document, "lines"):
        line = Scope(row, scope.names)
        described = ": ".join(filter(None, (text(row, "name"), text(row, "description"))))
        yield Line(description=described, amount=line.money("amount"), quantity=amount(row, "qty"))


def _payment(scope: Scope, base: FinancialEvent) -> FinancialEvent:
    document = scope.document
    invoice_id = text(document, "invoiceid")
    settles: tuple[Settled, ...] = ()
    if invoice_id not in ("", "0"):
        settles = (Settled("invoice", invoice_id, scope.names("invoice", invoice_id, ""), scope.money("amount")),)
    return dataclasses.replace(
        base,
        party=scope.ref("customer", text(document, "clientid")),
        amount=scope.money("amount"),
        day=day(document, "date"),
        memo=text(document, "note"),
        settles=settles,
        facts=(
            *_labelled("Method", text(document, "type")),
            *_labelled("Gateway", text(document, "gateway")),
            *_labelled("From credit", "yes" if flag(document, "from_credit") else ""),
        ),
    )


def _bill(scope: Scope, base: FinancialEvent) -> FinancialEvent:
    document = scope.document
    lines = tuple(_bill_lines(scope))
    return dataclasses.replace(
        base,
        number=text(document, "bill_number"),
        party=scope.ref("vendor", text(document, "vendorid"), text(document, "vendor", "vendor_name")),
        # `amount` is before tax.
        amount=scope.money("total_amount") or scope.money("amount"),
        balance=scope.money("outstanding"),
        day=day(document, "issue_date"),
        due=day(document, "due_date"),
        status=text(document, "status"),
        memo=text(document, "overall_description"),
        lines=lines,
        accounts=tuple(dict.fromkeys(line.account for line in lines if line.account)),
        facts=(
            *_nonzero("Tax", scope.money("tax_amount")),
            *_bill_payments(scope),
        ),
    )


def _bill_lines(scope: Scope) -> Iterator[Line]:
    for row in rows(scope.document, "lines"):
        line = Scope(row, scope.names)
        yield Line(
            description=text(row, "description"),
            amount=line.money("amount"),
            account=line.ref("account", text(row, "categoryid"), text(row, "category")),
            quantity=amount(row, "quantity"),
        )


def _bill_payments(scope: Scope) -> Iterator[Fact]:
    """Each payment of the bill: FreshBooks tells of them by the bill alone."""
    for row in rows(scope.document, "bill_payments"):
        paid, on = Scope(row, scope.names).money("amount"), day(row, "paid_date")
        if paid is not None and not is_deleted(row):
            label = f"Payment {on.isoformat()}" if on else "Payment"
            yield Fact(label, text(row, "payment_type"), paid)


def _expense(scope: Scope, base: FinancialEvent) -> FinancialEvent:
    document = scope.document
    client = scope.ref("customer", text(document, "clientid"))
    category = scope.ref("account", text(document, "categoryid"), text(document, "category", "category"))
    number = text(document, "status")
    vendor = text(document, "vendor")
    return dataclasses.replace(
        base,
        party=Ref("vendor", "", vendor) if vendor else None,
        amount=scope.money("amount"),
        day=day(document, "date"),
        status=EXPENSE_STATUSES.get(number, number),
        memo=text(document, "notes"),
        accounts=(category,) if category else (),
        # For no client: the ordinary case, which a route may leave out.
        is_internal=number == "0" and client is None,
        facts=(
            *_labelled("Client", (client.name or client.id) if client else ""),
            *_tax(scope, "1"),
            *_tax(scope, "2"),
            *_labelled("Bank", text(document, "bank_name")),
        ),
    )


def _tax(scope: Scope, number: str) -> Iterator[Fact]:
    name = text(scope.document, f"taxName{number}")
    yield from _nonzero(f"Tax {name}".strip(), scope.money(f"taxAmount{number}"))


def _labelled(label: str, value: str) -> Iterator[Fact]:
    if value:
        yield Fact(label, value)


def _nonzero(label: str, money: Money | None) -> Iterator[Fact]:
    if money is not None and money.amount:
        yield Fact(label, money=money)


_READERS: dict[str, Callable[[Scope, FinancialEvent], FinancialEvent]] = {
    "invoice": _invoice,
    "payment": _payment,
    "bill": _bill,
    "expense": _expense,
}
