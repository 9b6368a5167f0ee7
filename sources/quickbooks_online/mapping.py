"""QuickBooks Online documents to financial events. Pure; field names as in the Accounting API reference."""

from __future__ import annotations

import dataclasses
import datetime as dt
import re
from collections.abc import Callable, Iterator
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any
from urllib.parse import quote

from babel.numbers import get_currency_precision

from connector.kernel.contracts import Names, Notice, Record
from connector.kernel.events import Fact, FinancialEvent, Money, Ref, Settled
from connector.kernel.values import BadValue, amount, day, dig, flag, rows, text
from sources.quickbooks_online.documents import NAME_ENTITIES, own_name
from sources.quickbooks_online.entities import BY_RECORD
from sources.quickbooks_online.lines import read_lines
from sources.quickbooks_online.profiles import noted_account, profile_of
from sources.quickbooks_online.scope import Scope, distinct
from sources.quickbooks_online.webhook import vanished_id

#: Records of which the vendor can void a single one.
VOIDABLE = ("invoice", "payment", "bill_payment")
#: `LinkedTxn.TxnType` -> what is settled. Others are told by the vendor's own word.
SETTLED = {"Bill": "bill", "Invoice": "invoice", "JournalEntry": "journal_entry", "Expense": "expense"}
_METHODS = {"Check": "Check", "CreditCard": "Credit card"}
#: Only accounts of the balance sheet have a register to link to.
_WITH_REGISTER = ("Asset", "Liability", "Equity")


def to_event(record: Record, notice: Notice, names: Names, *, today: dt.date, app_url: str) -> FinancialEvent:
    """The event of a record. Raises `BadValue` for a document that cannot be read."""
    at = notice.occurred_at or record.updated_at
    if record.is_gone:
        return FinancialEvent(record.record, "deleted", record.record_id, status="deleted", occurred_at=at)
    scope = Scope(record, notice, names, today=today)
    operation, status = _state(scope)
    base = FinancialEvent(
        record=record.record,
        operation=operation,
        record_id=record.record_id,
        day=day(scope.document, "TxnDate"),
        due=day(scope.document, "DueDate"),
        memo=text(scope.document, "PrivateNote"),
        link=_link(scope, app_url),
        occurred_at=at,
    )
    event = _READERS[record.record](scope, base)
    facts = (*event.facts, *_common_facts(scope, event.amount))
    return dataclasses.replace(event, status=status or event.status, facts=facts)


def references(record: Record) -> list[Ref]:
    """What `to_event` would have to look up, and the company itself: found by mapping with a notebook for names."""
    wanted: dict[Ref, None] = {}

    def note(kind: str, ref_id: str, fallback: str) -> str:
        kind = kind.partition(":")[0]
        if kind == "company" or (not fallback and kind in NAME_ENTITIES and ref_id.isdecimal()):
            wanted[Ref(kind, ref_id)] = None
        return fallback

    try:
        to_event(record, Notice(account=""), note, today=dt.date.min, app_url="")
    except BadValue:
        pass  # `to_event` says so when its turn comes
    return list(wanted)


def _state(scope: Scope) -> tuple[str, str]:
    """The operation and, where it says all, the status: by what the record is now rather than by the notice."""
    told, document = scope.notice.operation, scope.document
    if BY_RECORD[scope.record.record].is_list and flag(document, "Active") is False:
        return "deleted", "inactive"
    is_noted = text(document, "PrivateNote").lower().startswith("voided")
    is_empty = amount(document, "TotalAmt") == 0
    if scope.record.record in VOIDABLE and is_empty and (is_noted or told == "voided"):
        return "voided", "voided"
    return (told if told in ("created", "merged", "emailed") else "updated"), ""


def _link(scope: Scope, app_url: str) -> str:
    if scope.record.record == "account" and text(scope.document, "Classification") not in _WITH_REGISTER:
        return ""
    template = BY_RECORD[scope.record.record].link
    return f"{app_url.rstrip('/')}/{template.format(id=quote(scope.record.record_id, safe=''))}"


def _common_facts(scope: Scope, total: Money | None) -> Iterator[Fact]:
    yield from _home_total(scope, total)
    if scope.notice.operation == "merged" and (merged_id := vanished_id(scope.notice.raw)):
        yield Fact("Merged with", scope.names(scope.record.record, merged_id, merged_id))
    if company := scope.names("company", "name", ""):
        yield Fact("Company", company)


def _home_total(scope: Scope, total: Money | None) -> Iterator[Fact]:
    """The rate, and the total in the company's own currency, for a record in another one."""
    rate = amount(scope.document, "ExchangeRate")
    # A journal entry's own totals are always zero.
    given = None if scope.record.record == "journal_entry" else amount(scope.document, "HomeTotalAmt")
    if rate is None and given is None:
        return
    home = scope.home_currency()
    if total is None or not home or home == scope.currency:
        return
    if rate is not None:
        yield Fact("Exchange rate", f"{rate.normalize():f}")
        given = given if given is not None else _rounded(total.amount * rate, home)
    if given is not None:
        yield Fact("Home total", money=Money(given, home))


def _rounded(number: Decimal, currency: str) -> Decimal:
    try:
        return number.quantize(Decimal(1).scaleb(-get_currency_precision(currency)), ROUND_HALF_UP)
    except InvalidOperation:
        raise BadValue("TotalAmt x ExchangeRate is out of reason") from None


def _open_status(scope: Scope, due: dt.date | None) -> str:
    """Where a bill or invoice stands. A total of zero is legal and owes nothing."""
    total, balance = amount(scope.document, "TotalAmt"), amount(scope.document, "Balance")
    if balance is None:
        return ""
    if balance == 0:
        return "paid" if total else ""
    if due is not None and due < scope.today and balance > 0:
        return "overdue"
    if total is not None and 0 < balance < total:
        return "partly paid"
    return "emailed" if text(scope.document, "EmailStatus") == "EmailSent" else "open"


def _bill(scope: Scope, base: FinancialEvent) -> FinancialEvent:
    return dataclasses.replace(
        _with_lines(scope, base, scope.ref("account", scope.document, "APAccountRef")),
        party=scope.ref("vendor", scope.document, "VendorRef"),
        status=_open_status(scope, base.due),
        facts=tuple(_labelled("Terms", text(scope.document, "SalesTermRef", "name"))),
    )


def _invoice(scope: Scope, base: FinancialEvent) -> FinancialEvent:
    document = scope.document
    facts = [
        *_labelled("Customer memo", text(document, "CustomerMemo", "value")),
        *_labelled("Terms", text(document, "SalesTermRef", "name")),
        *_nonzero("Tax", scope.money(document, "TxnTaxDetail", "TotalTax")),
        *_nonzero("Deposit", scope.money(document, "Deposit")),
    ]
    return dataclasses.replace(
        _with_lines(scope, base),
        party=scope.ref("customer", document, "CustomerRef"),
        status=_open_status(scope, base.due),
        facts=tuple(facts),
    )


def _journal_entry(scope: Scope, base: FinancialEvent) -> FinancialEvent:
    event = _with_lines(scope, base)
    debits = [line.amount.amount for line in event.lines if line.posting == "debit" and line.amount]
    return dataclasses.replace(
        event,
        # The vendor's own total of a journal entry is always zero.
        amount=Money(sum(debits, Decimal(0)), scope.currency) if event.lines else None,
        facts=tuple(_labelled("Adjustment", "Yes" if flag(scope.document, "Adjustment") else "")),
    )


def _bill_payment(scope: Scope, base: FinancialEvent) -> FinancialEvent:
    document = scope.document
    method = text(document, "PayType")
    paid_from = scope.ref("account", document, "CheckPayment", "BankAccountRef") or scope.ref(
        "account", document, "CreditCardPayment", "CCAccountRef"
    )
    return dataclasses.replace(
        _tracked(scope, base, paid_from),
        number=text(document, "DocNumber"),
        party=scope.ref("vendor", document, "VendorRef"),
        amount=scope.money(document, "TotalAmt"),
        settles=tuple(_settles(scope)),
        facts=(*_account_fact("Paid from", paid_from), *_labelled("Method", _METHODS.get(method, method))),
    )


def _payment(scope: Scope, base: FinancialEvent) -> FinancialEvent:
    document = scope.document
    deposited_to = scope.ref("account", document, "DepositToAccountRef")
    facts = [
        *_nonzero("Unapplied", scope.money(document, "UnappliedAmt")),
        *_account_fact("Deposited to", deposited_to),
        *_labelled("Method", text(document, "PaymentMethodRef", "name")),
    ]
    return dataclasses.replace(
        _tracked(scope, base, deposited_to),
        number=text(document, "PaymentRefNum"),
        party=scope.ref("customer", document, "CustomerRef"),
        amount=scope.money(document, "TotalAmt"),
        settles=tuple(_settles(scope)),
        facts=tuple(facts),
    )


def _party(scope: Scope, base: FinancialEvent) -> FinancialEvent:
    """A vendor or a customer: the party is the record itself."""
    document = scope.document
    parent = scope.ref("customer", document, "ParentRef")
    facts = [
        *_labelled("Email", text(document, "PrimaryEmailAddr", "Address")),
        *_labelled("Phone", text(document, "PrimaryPhone", "FreeFormNumber")),
        *_labelled("Parent", parent.name if parent else ""),
    ]
    return dataclasses.replace(
        base,
        number=text(document, "AcctNum"),
        party=scope.named(base.record, base.record_id, own_name(document)),
        balance=scope.money(document, "Balance"),
        facts=tuple(facts),
        profile=dataclasses.replace(profile_of(document), currency=scope.currency),
        linked_id=noted_account(document) if base.record == "customer" else "",
    )


def _account(scope: Scope, base: FinancialEvent) -> FinancialEvent:
    """An account of the ledger, which stands as the party of its own changes."""
    account = scope.named("account", base.record_id, own_name(scope.document))
    return dataclasses.replace(
        base,
        number=text(scope.document, "AcctNum"),
        party=account,
        balance=scope.money(scope.document, "CurrentBalance"),
        facts=tuple(_labelled("Type", text(scope.document, "AccountType"))),
        accounts=(account,),
    )


def _with_lines(scope: Scope, base: FinancialEvent, *header_accounts: Ref | None) -> FinancialEvent:
    event = dataclasses.replace(
        base,
        number=text(scope.document, "DocNumber"),
        amount=scope.money(scope.document, "TotalAmt"),
        balance=scope.money(scope.document, "Balance"),
        lines=tuple(read_lines(scope, scope.document)),
    )
    return _tracked(scope, event, *header_accounts)


def _tracked(scope: Scope, event: FinancialEvent, *header_accounts: Ref | None) -> FinancialEvent:
    """The event with what routes ask about: every account, department and class of the lines and the header."""
    department = scope.ref("department", scope.document, "DepartmentRef")
    class_ = scope.ref("class", scope.document, "ClassRef")
    return dataclasses.replace(
        event,
        accounts=distinct([*(line.account for line in event.lines), *header_accounts]),
        departments=distinct([department, *(line.department for line in event.lines)]),
        classes=distinct([class_, *(line.class_ for line in event.lines)]),
    )


def _settles(scope: Scope) -> Iterator[Settled]:
    for line in rows(scope.document, "Line"):
        linked = rows(line, "LinkedTxn")
        for link in linked:
            kind, is_only = text(link, "TxnType"), len(linked) == 1
            yield Settled(
                record=SETTLED.get(kind, re.sub(r"(?<=[a-z])(?=[A-Z])", "_", kind).lower()),
                id=text(link, "TxnId"),
                # One line may settle several; what it says is then true of all together only.
                number=_line_extra(line).get("txnReferenceNumber", "") if is_only else "",
                amount=scope.money(line, "Amount") if is_only else None,
            )


def _line_extra(line: Any) -> dict[str, str]:
    """The name-value pairs of `LineEx`, which come in two shapes."""
    pairs = [dig(entry, "value") for entry in rows(line, "LineEx", "any")] + rows(line, "LineEx", "NameValue")
    return {text(pair, "Name"): text(pair, "Value") for pair in pairs}


def _labelled(label: str, value: str) -> Iterator[Fact]:
    if value:
        yield Fact(label, value)


def _nonzero(label: str, money: Money | None) -> Iterator[Fact]:
    if money is not None and money.amount:
        yield Fact(label, money=money)


def _account_fact(label: str, account: Ref | None) -> Iterator[Fact]:
    if account is not None:
        yield Fact(label, account.name or account.id)


_READERS: dict[str, Callable[[Scope, FinancialEvent], FinancialEvent]] = {
    "bill": _bill,
    "bill_payment": _bill_payment,
    "invoice": _invoice,
    "payment": _payment,
    "journal_entry": _journal_entry,
    "vendor": _party,
    "customer": _party,
    "account": _account,
}
