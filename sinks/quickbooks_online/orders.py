"""Orders as journal entries: what is posted is looked up first, and only what is missing is posted.

An order's entries carry numbers made from the order's own (`SF-00000107`, its later versions `-2`, `-3`, and `-R` for a
reversal) and its ID and fingerprint in their note, so the company's books tell by themselves how far an earlier try
came. A posted entry is never edited or deleted: what no longer holds is reversed, then posted anew.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import zoneinfo
from collections.abc import Iterator, Mapping
from typing import Any

from connector.kernel.contracts import Context, Feedback, Link, Receipt, Watched
from connector.kernel.errors import NotYet, Refuse
from connector.kernel.events import FinancialEvent
from connector.kernel.values import BadValue, day, rows, text
from sinks.quickbooks_online import books as shelf
from sinks.quickbooks_online import customers, journal
from sinks.quickbooks_online.writing import TAKEN_NUMBER, found, request_id, where, write
from sources.quickbooks_online.client import Client, Row
from sources.quickbooks_online.documents import identifier

#: Versions of an order that are asked for at once.
_VERSIONS = 5
#: An order this young may be about an account whose customer is just being created.
_CUSTOMER_WAIT = dt.timedelta(seconds=15)
#: A polled state is timed by the second, a streamed one by the millisecond.
_WHOLE_SECOND = dt.timedelta(seconds=1)
_ACTIVE = ("created", "updated")


@dataclasses.dataclass(frozen=True, slots=True)
class Posted:
    """One entry of an order in the company's books."""

    id: str
    number: str
    version: int
    is_reversal: bool
    fingerprint: str
    sync_token: str
    row: Row


@dataclasses.dataclass(frozen=True, slots=True)
class Order:
    """One event of an order, and what is known of it: the route's settings, its link, its entries."""

    event: FinancialEvent
    settings: Mapping[str, Any]
    link: Link | None
    entries: tuple[Posted, ...]

    @property
    def live(self) -> list[Posted]:
        """The entries that have no reversal yet, oldest first."""
        reversed_ = {entry.version for entry in self.entries if entry.is_reversal}
        return [entry for entry in self.entries if not entry.is_reversal and entry.version not in reversed_]

    @property
    def is_known(self) -> bool:
        """Whether anything was ever posted for it, also what somebody has deleted since."""
        return bool(self.entries or self.remembered())

    @property
    def is_late(self) -> bool:
        """Whether a newer state of the order was told before."""
        version = str(self.link.state.get("version") or "") if self.link else ""
        at = self.event.occurred_at
        return bool(version) and at is not None and at + _WHOLE_SECOND < dt.datetime.fromisoformat(version)

    def next_version(self) -> int:
        versions = [int(entry.get("version", 0)) for entry in self.remembered()]
        return 1 + max([entry.version for entry in self.entries] + versions, default=0)

    def is_in_step(self) -> bool:
        """Whether the books hold what the order says, so that nothing is left to do."""
        if self.is_late:
            return True
        if self.event.operation not in _ACTIVE:
            return not self.live
        if self.event.operation == "created":
            return self.is_known
        return len(self.live) == 1 and self.live[0].fingerprint == journal.fingerprint(self.event)

    def remembered(self) -> list[Mapping[str, Any]]:
        return list(self.link.state.get("entries", ())) if self.link else []


def post(
    ctx: Context, client: Client, event: FinancialEvent, settings: Mapping[str, Any], link: Link | None
) -> Receipt:
    """Brings the books in step with the order, from wherever an earlier try left them."""
    order = look(client, event, settings, link)
    if order.is_in_step():
        return receipt(order)
    # Before anything is reversed: an order that is refused leaves the books as they are.
    drafted = _drafted(ctx, client, order) if event.operation in _ACTIVE else journal.Draft()
    for entry in order.live:
        order = _reverse(ctx, client, order, entry)
    if drafted.lines:
        order = _post(ctx, client, order, drafted)
    return receipt(order)


def look(client: Client, event: FinancialEvent, settings: Mapping[str, Any], link: Link | None) -> Order:
    """The order with its entries as the company's books have them."""
    number = journal.number_of(event)
    known = {
        str(entry.get("id")): str(entry.get("hash", "")) for entry in (link.state.get("entries", ()) if link else ())
    }
    entries: list[Posted] = []
    first = 1
    while True:
        asked = _numbers(number, range(first, first + _VERSIONS))
        listed = found(client, where("JournalEntry", "DocNumber", list(asked), is_list=False))
        entries += [_read(row, asked, event, known) for row in listed if text(row, "DocNumber") in asked]
        first += _VERSIONS
        if not any(entry.version == first - 1 for entry in entries):
            break
    return Order(event, settings, link, tuple(sorted(entries, key=lambda entry: (entry.version, entry.is_reversal))))


def receipt(order: Order) -> Receipt:
    """What became of the order: its entry, the link with every entry, and what its source is to note."""
    live, entries = order.live, order.entries
    newest = live[-1] if live else next((entry for entry in reversed(entries) if not entry.is_reversal), None)
    entry_id = newest.id if newest else order.link.sink_id if order.link else ""
    link = Link("order", order.event.record_id, entry_id, _state(order))
    if order.is_late:
        return Receipt(id=entry_id, warnings=("late: a newer state of this order was told before",), link=link)
    copies = len({(entry.version, entry.is_reversal) for entry in entries})
    told = (*_feedback(order, newest), *_customer_feedback(order, newest))
    watched = tuple(Watched("journal_entry", entry.id, entry.number, _version(entry)) for entry in entries)
    return Receipt(id=entry_id, link=link, feedback=told, is_repeated=copies < len(entries), watched=watched)


def _version(entry: Posted) -> int:
    return int(entry.sync_token) if entry.sync_token.isdecimal() else 0


def _numbers(number: str, versions: range) -> dict[str, tuple[int, bool]]:
    pairs = [(version, is_reversal) for version in versions for is_reversal in (False, True)]
    return {journal.version_number(number, version, is_reversal=back): (version, back) for version, back in pairs}


def _read(row: Row, asked: Mapping[str, tuple[int, bool]], event: FinancialEvent, known: Mapping[str, str]) -> Posted:
    number, noted = text(row, "DocNumber"), text(row, "PrivateNote")
    try:
        entry_id = identifier(row, "Id")
    except BadValue:
        raise Refuse([f"the journal entry with the number {number} in QuickBooks cannot be read"]) from None
    if entry_id not in known and event.record_id not in noted:
        raise Refuse([f"another journal entry in QuickBooks ({entry_id}) has the number {number}: change its number"])
    version, is_reversal = asked[number]
    mark = journal.noted_fingerprint(noted) or known.get(entry_id, "")
    return Posted(entry_id, number, version, is_reversal, mark, text(row, "SyncToken"), row)


def _drafted(ctx: Context, client: Client, order: Order) -> journal.Draft:
    """The entry to post. Raises `Refuse` with every reason, each found again in books read anew."""
    event = order.event
    customer_id = _known_customer(client, event)
    drafted = _draft(ctx, client, order, customer_id)
    if list(drafted.reasons) == [journal.NO_CUSTOMER] and not customer_id:
        if order.settings.get("create_customers") == customers.ON_ORDER:
            drafted = _draft(ctx, client, order, customers.create_for_order(client, event))
        elif _is_young(ctx, order):
            raise NotYet("the order's customer may still be on its way to QuickBooks", code="no_customer", after=3.0)
    elif drafted.reasons:
        drafted = _draft(ctx, client, order, customer_id, is_anew=True)
    if drafted.reasons:
        raise Refuse(drafted.reasons, code="refused", detail=drafted.detail)
    return drafted


def _known_customer(client: Client, event: FinancialEvent) -> str:
    if event.party is None:
        return ""
    return event.party.linked_id or customers.made_for(client, event.party)


def _draft(ctx: Context, client: Client, order: Order, customer_id: str, *, is_anew: bool = False) -> journal.Draft:
    books = shelf.load(ctx, client, is_anew=is_anew)
    customer = shelf.customer(ctx, client, customer_id) if customer_id else None
    dates = [_day(ctx, order.event), *([_today(ctx)] if order.live else [])]
    return journal.draft(order.event, order.settings, books, customer, dates)


def _is_young(ctx: Context, order: Order) -> bool:
    at = order.event.occurred_at
    is_made_elsewhere = order.settings.get("create_customers", customers.ALL) in (customers.ALL, customers.BY_TYPE)
    return is_made_elsewhere and at is not None and abs(ctx.now() - at) < _CUSTOMER_WAIT


def _post(ctx: Context, client: Client, order: Order, drafted: journal.Draft) -> Order:
    event = order.event
    version = order.next_version()
    number = journal.version_number(journal.number_of(event), version)
    body = {
        "DocNumber": number,
        "TxnDate": _day(ctx, event).isoformat(),
        "PrivateNote": journal.note(event),
        "CurrencyRef": {"value": drafted.currency},
        "Line": list(drafted.lines),
    }
    return _written(ctx, client, order, body, version, request=(number, journal.fingerprint(event)))


def _reverse(ctx: Context, client: Client, order: Order, entry: Posted) -> Order:
    """Posts the opposite of an entry, as the entry is now, dated today but never before the entry."""
    number = f"{entry.number}-R"
    try:
        lines, dated = journal.reversal_lines(entry.row), day(entry.row, "TxnDate")
    except BadValue as error:
        raise Refuse([f"the journal entry {entry.id} in QuickBooks cannot be read: {error}"]) from None
    body: dict[str, Any] = {
        "DocNumber": number,
        "TxnDate": max(_today(ctx), dated or dt.date.min).isoformat(),
        "PrivateNote": f"Reversal of {entry.number} (QuickBooks entry {entry.id}), "
        f"Salesforce order {order.event.number} ({order.event.record_id})",
        "Line": lines,
    }
    body.update({name: entry.row[name] for name in ("CurrencyRef", "ExchangeRate") if entry.row.get(name)})
    return _written(ctx, client, order, body, entry.version, is_reversal=True, request=(number, entry.id))


def _written(
    ctx: Context,
    client: Client,
    order: Order,
    body: Mapping[str, Any],
    version: int,
    *,
    request: tuple[str, str],
    is_reversal: bool = False,
) -> Order:
    """The order with the entry that was written. What others wrote under its number meanwhile is found, not doubled."""
    try:
        row = write(client, "JournalEntry", body, request_id(order.event.record_id, *request))
    except Refuse as error:
        if error.code != TAKEN_NUMBER:
            shelf.forget(ctx)
            raise
        again = look(client, order.event, order.settings, order.link)
        if not any(entry.number == body["DocNumber"] for entry in again.entries):
            raise
        return again
    noted = journal.noted_fingerprint(text(row, "PrivateNote"))
    entry = Posted(identifier(row, "Id"), body["DocNumber"], version, is_reversal, noted, text(row, "SyncToken"), row)
    return dataclasses.replace(order, entries=(*order.entries, entry))


def _state(order: Order) -> dict[str, Any]:
    """What the link remembers: every entry ever seen, and the time of the newest state told."""
    older = {str(entry["id"]): entry for entry in order.remembered()}
    ids = {(entry.version, entry.is_reversal): entry.id for entry in order.entries}
    newer = {
        entry.id: {
            "id": entry.id,
            "doc": entry.number,
            "version": entry.version,
            "kind": "reversal" if entry.is_reversal else "entry",
            "reverses": ids.get((entry.version, False), "") if entry.is_reversal else "",
            "hash": entry.fingerprint,
            "sync_token": entry.sync_token,
        }
        for entry in order.entries
    }
    at = order.event.occurred_at
    before = str(order.link.state.get("version") or "") if order.link else ""
    version = before if order.is_late or at is None else at.isoformat()
    return {"entries": [*(older | newer).values()], "version": version}


def _feedback(order: Order, newest: Posted | None) -> Iterator[Feedback]:
    """What the order is to show; a deleted order shows nothing."""
    event = order.event
    if event.operation == "deleted":
        return
    if order.live:
        status, told = "posted", order.live[-1].number
    elif newest is not None:
        back = next((entry for entry in order.entries if entry.is_reversal and entry.version == newest.version), None)
        status, told = "reversed", back.number if back else ""
    elif event.operation in _ACTIVE and not order.is_known:
        status, told = "skipped", "nothing to post"
    else:
        return
    yield Feedback("order", event.record_id, status, newest.id if newest else "", told, dict(order.settings))


def _customer_feedback(order: Order, entry: Posted | None) -> Iterator[Feedback]:
    """The customer of the entry, where the order's account did not know it yet."""
    party = order.event.party
    if entry is None or party is None or party.linked_id:
        return
    for line in rows(entry.row, "Line"):
        if customer_id := text(line, journal.DETAIL, "Entity", "EntityRef", "value"):
            told = f"customer {customer_id} in QuickBooks"
            yield Feedback("customer", party.id, "created", customer_id, told, dict(order.settings))
            return


def _day(ctx: Context, event: FinancialEvent) -> dt.date:
    return event.day or _today(ctx)


def _today(ctx: Context) -> dt.date:
    """The day it is where the organization is."""
    try:
        zone: dt.tzinfo = zoneinfo.ZoneInfo(ctx.timezone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError):
        zone = dt.UTC
    return ctx.now().astimezone(zone).date()
