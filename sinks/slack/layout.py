"""One event as a message that a person wants to read: heading, what changed, the figures, the lines, the way back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from connector.kernel.contracts import Message, Style
from connector.kernel.events import FinancialEvent, Line, Ref
from sinks.slack import blocks, wording
from sinks.slack.blocks import Block
from sinks.slack.markup import cut, instant, link, mention, safe, safe_lines

#: Together these keep a message well under the size of all blocks that Slack takes (about 12,000 characters).
MAX_FIELDS = 16
MAX_LINES = 10
MAX_NOTES = 5
MAX_CHANGES = 8
FIELD_TEXT = 200
LINE_TEXT = 180
NOTE_TEXT = 160
MEMO_TEXT = 500
#: What the lists of a message with details may hold together.
DETAILS_TEXT = 7500
#: What Slack shows of a message without blocks; longer ones it may refuse.
TEXT = 3900

_SEPARATOR = " · "


def render(event: FinancialEvent, style: Style) -> Message:
    """The message for one event. Pure; within Slack's limits whatever the event holds."""
    found = [
        *blocks.header(wording.title(event)),
        *blocks.section(mention(style.mention)),
        *blocks.section("\n".join(f"⚠️ {note}" for note in (*_alarms(event, style.locale), *_notes(event, style)))),
        *_changes(style),
        *(_details(event, style.locale) if event.part == "details" else _body(event, style.locale)),
        *_memo(event),
        *blocks.context(_origin(event, style)),
    ]
    return Message(text=_text(event, style), body={"blocks": found[: blocks.MAX_BLOCKS]})


def _body(event: FinancialEvent, locale: str) -> list[Block]:
    return [*blocks.fields(_fields(event, locale)), *_lines(event, locale)]


def _alarms(event: FinancialEvent, locale: str) -> list[str]:
    return [f"*{safe(label, 40)}*: {safe(value, FIELD_TEXT)}" for label, value in wording.alarms(event, locale)]


def _text(event: FinancialEvent, style: Style) -> str:
    """What notifications and screen readers say: whole by itself."""
    said = wording.sentence(event, style.locale)
    if style.changes:
        said = f"{said}; changed: {'; '.join(_differences(style))}"
    return cut(" ".join(filter(None, (mention(style.mention), " — ".join((said, *_notes(event, style)))))), TEXT)


def _notes(event: FinancialEvent, style: Style) -> list[str]:
    return _first([note for note in (wording.unusual(event, style.locale), *style.notes) if note], MAX_NOTES)


def _differences(style: Style) -> list[str]:
    return _first([wording.change(item, style.locale) for item in style.changes], MAX_CHANGES)


def _first(texts: Sequence[str], limit: int) -> list[str]:
    shown = [safe(text, NOTE_TEXT) for text in texts[:limit]]
    return [*shown, f"and {len(texts) - limit} more"] if len(texts) > limit else shown


def _changes(style: Style) -> list[Block]:
    bullets = [f"• {change}" for change in _differences(style)]
    return blocks.section("\n".join(["*Changed*", *bullets])) if bullets else []


def _fields(event: FinancialEvent, locale: str) -> list[str]:
    """The figures as labelled fields, the empty ones left out."""
    shown = [f"*{safe(label, 40)}*\n{text}" for label, text in _figures(event, locale) if text]
    if len(shown) > MAX_FIELDS:
        shown = [*shown[: MAX_FIELDS - 1], f"*More*\n{len(shown) - MAX_FIELDS + 1} further details are left out"]
    return shown


def _figures(event: FinancialEvent, locale: str) -> Iterator[tuple[str, str]]:
    """Each label with its escaped text, most wanted first."""
    who = event.party.kind.replace("_", " ") if event.party else wording.noun(event.record)
    yield wording.capital(who), safe(wording.party_of(event), FIELD_TEXT)
    number = "" if wording.is_phrase(event) else event.number
    yield "Connection" if event.record == "connection" else "Number", safe(number, FIELD_TEXT)
    if not event.number and not wording.party_of(event):
        yield "ID", safe(event.record_id, FIELD_TEXT)
    amount = "Out of balance by" if event.operation == "unbalanced" else "Amount"
    yield amount, "" if wording.is_told_by_facts(event) else safe(wording.money(event.amount, locale), FIELD_TEXT)
    yield "Balance", safe(wording.money(event.balance, locale), FIELD_TEXT)
    yield "Date", wording.day(event.day, locale)
    yield "Expected" if event.record == "purchase_order" else "Due", wording.day(event.due, locale)
    yield "Status", safe(event.status, FIELD_TEXT)
    yield "Settles", _stack(wording.settled(event, locale))
    yield _refs("Department", "Departments", event.departments)
    yield _refs("Class", "Classes", event.classes)
    yield _refs("Account", "Accounts", _accounts(event))
    told = wording.alarms(event, locale)
    for label, text in wording.facts(event, locale):
        if (label, text) not in told:
            yield label, safe(text, FIELD_TEXT)


def _accounts(event: FinancialEvent) -> Sequence[Ref]:
    """The accounts that nothing else in the message names."""
    if event.record == "account" or any(line.account for line in event.lines):
        return ()
    named = {fact.text for fact in event.facts}
    return [account for account in event.accounts if wording.name_of(account) not in named]


def _refs(one: str, many: str, refs: Sequence[Ref]) -> tuple[str, str]:
    return (many if len(refs) > 1 else one), safe(wording.listing(map(wording.name_of, refs), 8), FIELD_TEXT)


def _stack(texts: Sequence[str]) -> str:
    """Several texts below each other in one field."""
    shown = [safe(text, 60) for text in texts[:MAX_LINES]]
    return "\n".join([*shown, f"and {len(texts) - MAX_LINES} more"] if len(texts) > MAX_LINES else shown)


def _lines(event: FinancialEvent, locale: str) -> list[Block]:
    shown = [f"• {_line(line, locale)}" for line in event.lines[:MAX_LINES]]
    left = len(event.lines) - len(shown)
    if left:
        shown.append(f"and {left} more line{'' if left == 1 else 's'}")
    return blocks.section("\n".join([f"*{wording.lines_label(event)}*", *shown])) if shown else []


def _details(event: FinancialEvent, locale: str) -> list[Block]:
    """All lines, and all facts below each other, as many of both as one message holds."""
    lines = [f"• {_line(line, locale)}" for line in event.lines]
    facts = [f"• {safe(f'{label}: {text}', LINE_TEXT)}" for label, text in wording.facts(event, locale)]
    sizes = [sum(len(text) + 1 for text in texts) for texts in (lines, facts)]
    # Each may have what the other leaves of its half.
    rooms = [max(DETAILS_TEXT // 2, DETAILS_TEXT - other) for other in reversed(sizes)]
    found = []
    for label, texts, room in zip((wording.lines_label(event), "Accounts"), (lines, facts), rooms, strict=True):
        if texts:
            found += blocks.paragraphs([f"*{label}*", *_fitting(texts, room)])
    return found


def _fitting(texts: Sequence[str], room: int) -> list[str]:
    """The first texts that fit, and how many more there are."""
    shown: list[str] = []
    for text in texts:
        room -= len(text) + 1
        if room < 0:
            return [*shown, f"and {len(texts) - len(shown)} more, which one message cannot hold"]
        shown.append(text)
    return shown


def _line(line: Line, locale: str) -> str:
    """One line: amount first, then what it is for; journal lines say debit or credit."""
    item = wording.name_of(line.item)
    if line.quantity is not None:
        item = f"{wording.quantity(line.quantity, locale)} \N{MULTIPLICATION SIGN} {item or 'units'}"
    parts = [
        f"{wording.capital(line.posting)} {wording.money(line.amount, locale)}",
        item,
        *(wording.name_of(ref) for ref in (line.account, line.entity, line.department, line.class_)),
        line.description,
    ]
    return cut(_SEPARATOR.join(filter(None, (safe(part, LINE_TEXT) for part in parts))), LINE_TEXT) or "(empty line)"


def _memo(event: FinancialEvent) -> list[Block]:
    label = "Reason" if event.operation in wording.PROBLEMS else "Memo"
    label = "What to do" if event.record == "connection" else label
    memo = safe_lines(event.memo, MEMO_TEXT)
    return blocks.section(f"*{label}*\n{memo}") if memo else []


def _origin(event: FinancialEvent, style: Style) -> str:
    """Whose books, which system, when, and the way to the record."""
    label = "Open the connection" if event.record == "connection" else f"Open in {style.source or 'the source'}"
    parts = (
        safe(style.organization, 100),
        safe(style.source, 60),
        instant(event.occurred_at) if event.occurred_at else "",
        link(event.link, label) if event.link else "",
    )
    return _SEPARATOR.join(filter(None, parts))
