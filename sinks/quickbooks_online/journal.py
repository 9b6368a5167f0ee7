"""An order as a balanced journal entry, and an entry's reversal. Pure.

Fields as in the Accounting API reference, "JournalEntry". Every line of an order is a credit of its item's income
account (a negative one a debit of the absolute amount); one line on the debit account balances them. Amounts are
rounded half-up to the currency's smallest unit, each line by itself.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from babel.numbers import get_currency_precision

from connector.kernel.events import FinancialEvent, Line, Ref
from connector.kernel.values import BadValue, dig, rows, text
from sinks.quickbooks_online.books import Books, Entry

Row = Mapping[str, Any]
DETAIL = "JournalEntryLineDetail"
#: The vendor's limits of a document number and of texts.
NUMBER_LENGTH, TEXT_LENGTH = 21, 4000
#: Room for the suffixes of later versions and reversals, such as `-12-R`.
_SUFFIX = 5
_RECEIVABLE, _PAYABLE = "Accounts Receivable", "Accounts Payable"
_MARK = re.compile(r"\[([0-9a-f]{12})\]")


NO_CUSTOMER = "its account is not linked to a customer in QuickBooks: link or create the customer first"


@dataclasses.dataclass(frozen=True, slots=True)
class Draft:
    """What an order would post: its lines, and every reason why it cannot. No lines: nothing to post.

    `reasons` name lines by their place; `detail` quotes what they are about.
    """

    lines: tuple[Row, ...] = ()
    currency: str = ""
    reasons: tuple[str, ...] = ()
    detail: str = ""


def number_of(event: FinancialEvent) -> str:
    """The document number of an order's first entry, the same for every try, with room for a suffix."""
    number = f"SF-{event.number or event.record_id}"
    if len(number) <= NUMBER_LENGTH - _SUFFIX:
        return number
    return f"SF-{event.number[-4:]}{hashlib.sha256(event.record_id.encode()).hexdigest()[:8]}"


def version_number(number: str, version: int, *, is_reversal: bool = False) -> str:
    """The document number of that version of an order (from 1), or of its reversal."""
    return number + (f"-{version}" if version > 1 else "") + ("-R" if is_reversal else "")


def fingerprint(event: FinancialEvent) -> str:
    """Twelve digits for what an order is about: two states that would be posted alike have the same."""
    party = event.party
    content = [
        event.day.isoformat() if event.day else "",
        party.id if party else "",
        event.amount.currency if event.amount else "",
        *(_about(line) for line in event.lines),
    ]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:12]


def _about(line: Line) -> list[str]:
    amount = f"{line.amount.amount.normalize():f}" if line.amount else ""
    return [amount, *(ref.name or ref.id if ref else "" for ref in (line.department, line.class_)), *line.codes]


def note(event: FinancialEvent) -> str:
    """The private note of an entry: the order's number and ID, and its fingerprint."""
    return f"Salesforce order {event.number} ({event.record_id}) [{fingerprint(event)}]"


def noted_fingerprint(private_note: str) -> str:
    """The fingerprint in an entry's note, empty when somebody removed it."""
    marked = _MARK.search(private_note)
    return marked[1] if marked else ""


def draft(
    event: FinancialEvent, settings: Row, books: Books, customer: Entry | None, dates: Sequence[dt.date]
) -> Draft:
    """The entry for an order. `dates` are those on which something would be posted."""
    return _Drafting(event, settings, books, customer).draft(dates)


def reversal_lines(entry: Row) -> Sequence[Row]:
    """The lines of a posted entry with debit and credit changed over. Raises `BadValue`."""
    swapped = {"Debit": "Credit", "Credit": "Debit"}
    found = []
    for row in rows(entry, "Line"):
        detail = dig(row, DETAIL)
        if text(row, "DetailType") != DETAIL or not isinstance(detail, Mapping):
            continue  # a line of text alone
        posting = text(detail, "PostingType")
        if posting not in swapped:
            raise BadValue("PostingType is neither Debit nor Credit")
        line = {"DetailType": DETAIL, "Amount": row.get("Amount"), DETAIL: {**detail, "PostingType": swapped[posting]}}
        found.append({"Description": f"Reverse: {text(row, 'Description')}"[:TEXT_LENGTH], **line})
    return found


class _Drafting:
    """One order on its way to an entry: every reason against it, in the order found, each once."""

    def __init__(self, event: FinancialEvent, settings: Row, books: Books, customer: Entry | None) -> None:
        self.event = event
        self.settings = settings
        self.books = books
        self.customer = customer
        self.currency = (event.amount.currency if event.amount else "") or books.home_currency
        self.amounts = [_rounded(line.amount.amount, self.currency) if line.amount else None for line in event.lines]
        self.total = sum((amount for amount in self.amounts if amount), Decimal(0))
        self.reasons: list[str] = []
        self.details: list[str] = []

    def draft(self, dates: Sequence[dt.date]) -> Draft:
        self.check_order()
        if not self.total and not self.reasons:
            return Draft(currency=self.currency)
        self.check_customer()
        self.check_company(dates)
        debit = self.debit_account()
        credit = self.chosen_account("credit_account")
        drawn = [self.credit(place, credit) for place in range(len(self.amounts))]
        if self.reasons or debit is None or self.customer is None:
            return Draft(currency=self.currency, reasons=tuple(self.reasons), detail="; ".join(self.details))
        credits = [line for line in drawn if line]
        detail = {
            "AccountRef": {"value": debit.id},
            "Entity": {"Type": "Customer", "EntityRef": {"value": self.customer.id}},
            **_common_department(credits),
        }
        return Draft((_line(f"Order {self.event.number}".strip(), -self.total, detail), *credits), self.currency)

    def refuse(self, reason: str, detail: str = "") -> None:
        if reason not in self.reasons:
            self.reasons.append(reason)
        if detail:
            self.details.append(detail)

    def check_order(self) -> None:
        event, told = self.event, self.event.amount.amount if self.event.amount else None
        for place, amount in enumerate(self.amounts, start=1):
            if amount is None:
                self.refuse(f"line {place}: it has no amount")
        if not event.lines and told:
            self.refuse("the order has a total but no products")
        elif told is not None and abs(self.total - told) > Decimal("0.01") * len(event.lines):
            told_apart = f"{self.total} is not {told}"
            self.refuse("the sum of the order's lines is not its total: correct the order", told_apart)
        if any(line.amount and line.amount.currency not in ("", self.currency) for line in event.lines):
            self.refuse("its lines are in another currency than the order")

    def check_customer(self) -> None:
        customer, currency = self.customer, self.currency
        if customer is None:
            self.refuse(NO_CUSTOMER)
        elif not customer.is_active:
            self.refuse(f"the QuickBooks customer {customer.id} is inactive: make it active")
        elif customer.currency and customer.currency != currency:
            self.refuse(f"the order is in {currency}, the QuickBooks customer {customer.id} in {customer.currency}")

    def check_company(self, dates: Sequence[dt.date]) -> None:
        home, closed = self.books.home_currency, self.books.closed_until
        if self.currency != home and not self.books.is_multicurrency:
            self.refuse(f"the order is in {self.currency}, and the company in QuickBooks uses {home} alone")
        if closed and any(date <= closed for date in dates):
            self.refuse(
                f"the books in QuickBooks are closed up to {closed}: reopen them or change the order's start date"
            )

    def debit_account(self) -> Entry | None:
        if not str(self.settings.get("debit_account") or "").strip():
            self.refuse("the route has no debit_account: set it to the ID of a clearing account in QuickBooks")
            return None
        account = self.chosen_account("debit_account")
        if account is not None and account.kind == _PAYABLE:
            self.refuse("the route's debit_account is Accounts Payable: choose a clearing account")
        if account is not None and account.kind == _RECEIVABLE and account.currency not in ("", self.currency):
            self.refuse(f"the route's debit_account is in {account.currency}, the order in {self.currency}")
        return account

    def chosen_account(self, name: str) -> Entry | None:
        """The account that a setting names by ID or by its full name; None where it is empty."""
        chosen = str(self.settings.get(name) or "").strip()
        if not chosen:
            return None
        named = self.books.named("Account", chosen)
        account = self.books.find("Account", chosen) or (named[0] if len(named) == 1 else None)
        if account is None:
            self.refuse(f"the route's {name} is not an account in QuickBooks: correct it", chosen)
        elif not account.is_active:
            self.refuse(f"the route's {name} ({account.id}) is inactive in QuickBooks: make it active")
        return account

    def credit(self, place: int, credit: Entry | None) -> Row | None:
        """One line of the order on its account; None where something is wrong with it, or where it is zero."""
        line, amount, label = self.event.lines[place], self.amounts[place], f"line {place + 1}"
        item = self.item(line, label)
        account = credit or self.income_account(item, label)
        detail: dict[str, Any] = {}
        for entity, key, ref in (("Department", "DepartmentRef", line.department), ("Class", "ClassRef", line.class_)):
            if ref is not None and (tracked := self.tracked(entity, ref, label)):
                detail[key] = {"value": tracked.id}
        if item is None or account is None or not amount:
            return None
        named = line.description or (line.item.name if line.item else "") or item.name
        return _line(named, amount, {"AccountRef": {"value": account.id}, **detail})

    def item(self, line: Line, label: str) -> Entry | None:
        """The item that the line's codes mean: the first of them by SKU, then the last (the product code) by name."""
        if not line.codes:
            self.refuse(f"{label}: its product has neither a SKU nor a product code")
            return None
        matches = [found for found in _matches(line.codes, self.books) if found]
        candidates = next((found for found in matches if any(item.is_active for item in found)), [*matches, []][0])
        active = [item for item in candidates if item.is_active]
        if len(active) == 1:
            return active[0]
        codes, ids = ", ".join(line.codes), ", ".join(item.id for item in active or candidates)
        if active:
            self.refuse(f"{label}: several items in QuickBooks have its code ({ids}): keep one", codes)
        elif candidates:
            self.refuse(f"{label}: its item in QuickBooks ({ids}) is inactive: make it active", codes)
        else:
            self.refuse(f"{label}: no item in QuickBooks has the SKU or product code of its product", codes)
        return None

    def income_account(self, item: Entry | None, label: str) -> Entry | None:
        if item is None:
            return None
        account = self.books.find("Account", item.account) if item.account else None
        if account is None:
            self.refuse(f"{label}: the item {item.id} has no income account in QuickBooks: give it one")
        elif not account.is_active:
            self.refuse(f"{label}: the income account {account.id} of the item {item.id} is inactive: make it active")
        return account

    def tracked(self, entity: str, ref: Ref, label: str) -> Entry | None:
        """The department or class of that full name."""
        name = ref.name or ref.id
        found = [entry for entry in self.books.named(entity, name) if entry.is_active]
        if len(found) == 1:
            return found[0]
        self.refuse(f"{label}: its {entity.lower()} is unknown or inactive in QuickBooks", name)
        return None


def _rounded(amount: Decimal, currency: str) -> Decimal:
    places = min(2, get_currency_precision(currency)) if currency else 2
    return amount.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)


def _line(description: str, credited: Decimal, detail: Row) -> Row:
    """A credit of the amount, or a debit where it is negative."""
    posting = "Credit" if credited > 0 else "Debit"
    return {
        "Description": description[:TEXT_LENGTH],
        "Amount": abs(credited),
        "DetailType": DETAIL,
        DETAIL: {"PostingType": posting, **detail},
    }


def _common_department(lines: Sequence[Row]) -> Row:
    """The department of all lines, for the line that balances them; nothing where they differ."""
    found = [line[DETAIL].get("DepartmentRef") for line in lines]
    return {"DepartmentRef": found[0]} if found and found[0] and all(each == found[0] for each in found) else {}


def _matches(codes: Sequence[str], books: Books) -> Iterator[list[Entry]]:
    items = books.lists.get("Item", {}).values()
    for code in codes:
        yield [item for item in items if item.sku.casefold() == code.casefold()]
    by_name = codes[-1].casefold()
    yield [item for item in items if by_name in (item.name.casefold(), item.short_name.casefold())]
