"""Words, amounts and dates: how an event is said in one sentence.

The sentences stand in `templates/slack/`, one file per record: the first line says what happened, each further line
is one detail, and an empty detail falls away.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path

from babel import Locale, UnknownLocaleError
from babel.dates import format_date
from babel.numbers import format_currency, format_decimal, list_currencies
from django.template import Context, Engine, Template

from connector.kernel.contracts import Change
from connector.kernel.events import Fact, FinancialEvent, Money, Ref
from sinks.slack.markup import cut, flat, safe, short

TEMPLATES = Path(__file__).parents[2] / "templates" / "slack"
#: The longest sentence, so that notes and changes find room beside it.
SENTENCE = 1500

#: Each record in the singular and the plural.
NOUNS: Mapping[str, tuple[str, str]] = {
    "bill": ("bill", "bills"),
    "bill_payment": ("bill payment", "bill payments"),
    "invoice": ("invoice", "invoices"),
    "payment": ("payment", "payments"),
    "journal_entry": ("journal entry", "journal entries"),
    "vendor": ("vendor", "vendors"),
    "customer": ("customer", "customers"),
    "purchase_order": ("purchase order", "purchase orders"),
    "expense": ("expense", "expenses"),
    "order": ("order", "orders"),
    "account": ("account", "accounts"),
    "gl_posting": ("GL posting", "GL postings"),
    "payment_batch": ("payment batch", "payment batches"),
    "connection": ("connection", "connections"),
}
_DONE: Mapping[str, str] = {
    "needs_reauthorization": "must be connected again",
    "unbalanced": "is out of balance",
    "bill_payment.created": "made",
    "payment.created": "received",
    "vendor.failed": "has an exception",
    "connection.failed": "is failing",
}
#: Records that are made inactive rather than deleted.
_LISTED = ("vendor", "customer", "account")
#: Operations whose memo is the reason, and belongs in the sentence.
PROBLEMS = ("rejected", "unbalanced", "failed")
#: Records that are settled by a payment, and then called paid.
_PAYABLE = ("bill", "invoice")
#: Records that sum up others. Their number may be a phrase ("of 2 batches"), and some of their facts need a hand.
_SUMMARIES = ("gl_posting", "payment_batch")
ALARMS = frozenset({"Out of balance", "No line visible", "Rejected", "Voided", "Check vendors", "Vendors not checked"})
MAX_ALARMS = 8
#: What the lines of a record are, where they are not simply its lines; those of its details by the second name.
_LINES: Mapping[str, tuple[str, str]] = {
    "gl_posting": ("Accounts", "Batches"),
    "payment_batch": ("By vendor", "Payments"),
}


def noun(record: str, *, count: int = 1) -> str:
    words = record.replace("_", " ") or "record"
    one, many = NOUNS.get(record) or (words, f"{words} records")
    return one if count == 1 else many


def capital(words: str) -> str:
    """With a capital letter, the others left alone ("GL posting")."""
    return f"{words[:1].upper()}{words[1:]}"


def done(event: FinancialEvent) -> str:
    """What happened to the record: "created", "paid", "made inactive"."""
    status = event.status.lower()
    if event.part == "details":
        return "in detail"
    if is_phrase(event) and event.number.startswith("of no "):
        return ""
    if event.record == "payment_batch" and status == "pending":
        return "is pending"
    if event.operation == "updated" and event.record in _PAYABLE and status == "paid":
        return "paid"
    if event.operation == "deleted" and event.record in _LISTED and status != "deleted":
        return "made inactive"
    return _DONE.get(event.type) or _DONE.get(event.operation) or event.operation.replace("_", " ") or "changed"


def name_of(ref: Ref | None) -> str:
    """What people call it, else its ID."""
    return (ref.name or ref.id) if ref else ""


def party_of(event: FinancialEvent) -> str:
    """Whom the event is about: the party, or an account's own name."""
    own = event.accounts[0] if event.record == "account" and event.accounts else None
    return name_of(event.party or own)


def number_of(event: FinancialEvent) -> str:
    """The number people know the record by; its ID where nothing else names it."""
    if event.number or party_of(event) or event.record == "connection":
        return event.number
    return f"ID {event.record_id}" if event.record_id else ""


def is_phrase(event: FinancialEvent) -> bool:
    """Whether the number is one that can only stand in a heading."""
    return event.record in _SUMMARIES and event.number.startswith("of ")


def lines_label(event: FinancialEvent) -> str:
    """What the lines are called."""
    whole, detail = _LINES.get(event.record, ("Lines", "Lines"))
    return detail if event.part == "details" else whole


def alarms(event: FinancialEvent, locale: str) -> list[tuple[str, str]]:
    """What a summary says of things that need a hand, as label and value."""
    if event.record not in _SUMMARIES or event.operation != "completed" or event.part == "details":
        return []
    # Where there are several currencies, the label names its own.
    return [pair for pair in facts(event, locale) if {pair[0], pair[0].rpartition(" ")[0]} & ALARMS][:MAX_ALARMS]


def title(event: FinancialEvent) -> str:
    """The heading: "New bill: Books by Bessie", "Invoice 1043 paid: Amy's Bird Sanctuary". Not escaped."""
    what, number, party = noun(event.record), number_of(event), party_of(event)
    if done(event) == "created":
        head = f"New {what}" if party else f"New {what} {number}"
    else:
        head = f"{capital(what)} {number} {done(event)}"
    head = " ".join(head.split())
    return f"{head}: {party}" if party else head


def sentence(event: FinancialEvent, locale: str) -> str:
    """One complete sentence with party, number, amount, date and status, escaped."""
    rendered = _template(event.record).render(Context(_words(event, locale), autoescape=False))
    lines = [" ".join(line.split()) for line in rendered.splitlines()]
    details = ", ".join(line for line in lines[1:] if line)
    said = f"{lines[0]}: {details}" if details else lines[0]
    if event.status and event.status.lower() not in done(event).split():
        said = f"{said} ({safe(event.status, 60)})"
    return cut(said, SENTENCE)


def money(value: Money | None, locale: str) -> str:
    """An amount as written in the locale, with its own currency and that currency's decimals."""
    if value is None:
        return ""
    code = value.currency.strip().upper()
    with decimal.localcontext() as exact:  # the default 28 digits are fewer than an amount may have
        exact.prec = 100
        if code in _currencies():
            shown = format_currency(value.amount, code, locale=_locale(locale))
            return flat(re.sub(r"(?<=[^\W\d_])(?=\d)", " ", shown))  # CLDR wants a space in "CHF 5"
        bare = format_decimal(value.amount, format="#,##0.00", locale=_locale(locale))
    return flat(f"{code} {bare}")


def change(item: Change, locale: str) -> str:
    """One difference: "due date Dec 3, 2026 → Dec 10, 2026". Not escaped."""
    before, after = (_value(value, locale) for value in (item.before, item.after))
    if item.label.endswith((" added", " removed")):
        return f"{item.label}: {after or before}"
    return f"{item.label} {before or 'none'} → {after or 'none'}"


def _value(value: str | Money | dt.date | None, locale: str) -> str:
    if isinstance(value, Money):
        return money(value, locale)
    return day(value, locale) if isinstance(value, dt.date) else short(value or "", 70)


def unusual(event: FinancialEvent, locale: str) -> str:
    """Why the amount is marked, or nothing."""
    found = event.unusual
    if found is None:
        return ""
    usual = f"{money(found.low, locale)} to {money(found.high, locale)}"
    return f"Unusual amount: the last {found.count} {noun(event.record, count=2)} of {party_of(event)} were {usual}"


def quantity(value: Decimal, locale: str) -> str:
    with decimal.localcontext() as exact:
        exact.prec = 100
        return format_decimal(value, format="#,##0.#####", locale=_locale(locale))


def day(value: dt.date | None, locale: str) -> str:
    """An accounting date as written in the locale; it is no instant, so no zone shifts it."""
    return format_date(value, "medium", locale=_locale(locale)) if value else ""


def listing(names: Iterable[str], limit: int) -> str:
    """The first names, and how many more there are."""
    every = [name for name in dict.fromkeys(names) if name]
    shown = ", ".join(every[:limit])
    return f"{shown} and {len(every) - limit} more" if len(every) > limit else shown


def settled(event: FinancialEvent, locale: str) -> list[str]:
    """What a payment settles, one text each: "Invoice 1043: $100.00"."""
    found = []
    for item in event.settles:
        head = f"{capital(noun(item.record))} {item.number or f'ID {item.id}'}"
        found.append(f"{head}: {money(item.amount, locale)}" if item.amount else head)
    return found


def facts(event: FinancialEvent, locale: str) -> list[tuple[str, str]]:
    """The further labelled things, as label and value."""
    return [(fact.label, " ".join(filter(None, (fact.text, money(fact.money, locale))))) for fact in event.facts]


def _words(event: FinancialEvent, locale: str) -> dict[str, str]:
    """Everything a sentence may hold, already escaped."""
    settles: Sequence[str] = [f"{noun(item.record)} {item.number or f'ID {item.id}'}" for item in event.settles]
    lines = len(event.lines)
    words = {
        "noun": capital(noun(event.record)),
        "number": number_of(event),
        "done": done(event),
        "party": party_of(event),
        "amount": money(event.amount, locale),
        "balance": money(event.balance, locale),
        "day": day(event.day, locale),
        "due": day(event.due, locale),
        "settles": listing(settles, 2),
        "accounts": listing(map(name_of, event.accounts), 3),
        "lines": f"{lines} line{'' if lines == 1 else 's'}" if lines else "",
    }
    long = {
        "facts": "; ".join(f"{label}: {value}" for label, value in _told_facts(event, locale)[:6]),
        "memo": event.memo,
        "problem": event.memo if event.operation in PROBLEMS else "",
    }
    return {name: safe(word, 150) for name, word in words.items()} | {
        name: safe(word, 500) for name, word in long.items()
    }


def is_told_by_facts(event: FinancialEvent) -> bool:
    """Whether a fact of a summary says its amount with better words."""
    return event.record in _SUMMARIES and any(_is_amount(fact, event) for fact in event.facts)


def _is_amount(fact: Fact, event: FinancialEvent) -> bool:
    return event.amount is not None and fact.money == event.amount and not fact.text


def _told_facts(event: FinancialEvent, locale: str) -> list[tuple[str, str]]:
    """The facts that a sentence has room for: not what the amount says already, and no details."""
    if event.part == "details":
        return []
    said = [fact for fact in event.facts if not _is_amount(fact, event)]
    return [pair for pair in facts(dataclasses.replace(event, facts=tuple(said)), locale) if pair[1]]


@functools.cache
def _template(record: str) -> Template:
    return _engine().get_template(f"{record if record in NOUNS else 'record'}.txt")


@functools.cache
def _engine() -> Engine:
    return Engine(dirs=[str(TEMPLATES)], autoescape=False)


@functools.cache
def _currencies() -> frozenset[str]:
    return frozenset(list_currencies())


@functools.lru_cache(maxsize=256)
def _locale(name: str) -> Locale:
    try:
        return Locale.parse(name.replace("-", "_"))
    except (UnknownLocaleError, ValueError, TypeError):
        return Locale("en", "US")
