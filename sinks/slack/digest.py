"""Many events as one message, with every one of them named."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal

from connector.kernel.contracts import Message, Style
from connector.kernel.events import FinancialEvent, Money
from sinks.slack import blocks, wording
from sinks.slack.blocks import Block
from sinks.slack.markup import cut, flat, link, mention, safe

#: More would not fit into Slack's blocks with a readable line for each.
MAX_EVENTS = 45
#: Characters for all lines: blocks are refused as a whole at about 12,000, a text at about 4,000.
_BLOCK_BUDGET = 9000
_TEXT_BUDGET = 3400
_LINE = 300
#: What happened to these no longer counts as an amount.
_WITHOUT_AMOUNT = ("deleted", "voided", "merged", "rejected", "failed")

Told = tuple[FinancialEvent, Style]


def render_digest(events: Sequence[Told]) -> Message:
    """One message for 1 to 45 events, grouped by record, with totals per currency. Pure."""
    if not 0 < len(events) <= MAX_EVENTS:
        raise ValueError(f"a digest holds 1 to {MAX_EVENTS} events, not {len(events)}")
    groups: dict[str, list[Told]] = {}
    for event, style in events:
        groups.setdefault(event.record, []).append((event, style))
    counts = ", ".join(f"{len(group)} {wording.noun(record, count=len(group))}" for record, group in groups.items())
    heading = f"Digest: {counts}"
    pings = _pings(events)
    found = [*blocks.header(heading), *blocks.section(pings)]
    said = [" ".join(filter(None, (pings, safe(heading, 1000))))]
    for record, group in groups.items():
        title = _title(record, group)
        found += _block_lines(f"*{title}*", group, room=min(_BLOCK_BUDGET // len(events), _LINE))
        said += [title, *(_line(event, style, min(_TEXT_BUDGET // len(events), _LINE)) for event, style in group)]
    origins = dict.fromkeys(" · ".join(filter(None, (style.organization, style.source))) for _, style in events)
    found += blocks.context(safe(", ".join(origins), 500))
    return Message(text="\n".join(said), body={"blocks": found[: blocks.MAX_BLOCKS]})


def _block_lines(title: str, group: Iterable[Told], *, room: int) -> list[Block]:
    return blocks.paragraphs([title, *(f"• {_linked(event, style, room)}" for event, style in group)])


def _linked(event: FinancialEvent, style: Style, room: int) -> str:
    """A line that ends in a link, where the link leaves enough room for the line."""
    way = link(event.link, "Open") if event.link else ""
    if not way.startswith("<") or len(way) > room - 90:
        return _line(event, style, room)
    return f"{_line(event, style, room - len(way) - 3)} · {way}"


def _line(event: FinancialEvent, style: Style, room: int) -> str:
    """What, whom and how much: a long name is shortened before the amount is."""
    words = (wording.capital(wording.noun(event.record)), wording.number_of(event), wording.done(event))
    head = " ".join(filter(None, (safe(word, 30) for word in words)))
    amount = safe(wording.money(event.amount, style.locale), 40)
    told = (wording.unusual(event, style.locale), *style.notes[:2])
    told += tuple(wording.change(item, style.locale) for item in style.changes[:3])
    remarks = "; ".join(safe(remark, 80) for remark in told if remark)
    party = safe(wording.party_of(event), max(room - len(head) - len(amount) - 4, 12))
    line = f"{head}: {', '.join(filter(None, (party, amount)))}".removesuffix(": ")
    spare = room - len(line) - 3
    return f"{line} ({cut(remarks, spare)})" if remarks and spare > 10 else line


def _title(record: str, group: Sequence[Told]) -> str:
    """The group's heading with its totals: "Bills (2), total $300.00 and €12.00"."""
    name = f"{safe(wording.capital(wording.noun(record, count=2)), 40)} ({len(group)})"
    totals = [safe(wording.money(total, group[0][1].locale), 60) for total in _totals(group)]
    return f"{name}, total {' and '.join(totals)}" if totals else name


def _totals(group: Sequence[Told]) -> list[Money]:
    """Sums per currency, each record counted once, as it was told last."""
    latest: dict[tuple[str, str, str], FinancialEvent] = {
        (style.organization, style.source, event.record_id): event for event, style in group
    }
    sums: dict[str, Decimal] = {}
    for event in latest.values():
        if event.amount is not None and event.operation not in _WITHOUT_AMOUNT:
            sums[event.amount.currency] = sums.get(event.amount.currency, Decimal(0)) + event.amount.amount
    return [Money(total, currency) for currency, total in sums.items()]


def _pings(events: Sequence[Told]) -> str:
    """Everybody who is to be mentioned, each once."""
    found = dict.fromkeys(flat(style.mention) for _, style in events)
    return mention(" ".join(filter(None, found)))
