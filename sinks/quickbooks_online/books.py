"""What an entry may refer to: the company's items, accounts, departments, classes and customers, and its own rules.

The lists are read whole and kept in this process, customers as they are met. One call asks what has changed since, a
few seconds apart at most, so that an entry is checked against the present state for little; what was found wrong is
looked at once more in lists read anew, and QuickBooks itself refuses what became inactive within those seconds.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import threading
from collections.abc import Iterable, Iterator, Mapping

from connector.kernel.contracts import Context
from connector.kernel.errors import Reject, Retry, VendorError
from connector.kernel.values import BadValue, day, flag, text
from sources.quickbooks_online.client import Client, Row
from sources.quickbooks_online.documents import identifier, own_name
from sources.quickbooks_online.errors import Gone
from sources.quickbooks_online.queries import PAGE, everything

LISTS = ("Account", "Item", "Department", "Class")
CUSTOMER = "Customer"
#: Lists are read anew after this long, and when more has changed than one answer holds.
KEPT = dt.timedelta(minutes=10)
#: So long an answer about changes is believed: with many orders at once, it is asked for once for all of them.
BELIEVED = dt.timedelta(seconds=5)
_CHANGES = 1000
#: How far the question for changes reaches back behind the last answer: the vendor's clock may not be ours.
_OVERLAP = dt.timedelta(minutes=2)


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """One row of a list. `name` is the fully qualified one; the rest is empty where the entity does not have it.

    `kind` is an account's type, `account` an item's income account, `currency` that of an account or customer.
    """

    id: str
    name: str
    short_name: str = ""
    is_active: bool = True
    kind: str = ""
    currency: str = ""
    sku: str = ""
    account: str = ""


Lists = Mapping[str, Mapping[str, Entry]]


@dataclasses.dataclass(frozen=True, slots=True)
class Books:
    """The lists by entity and ID, the home currency, and the day up to which the books are closed."""

    lists: Lists
    home_currency: str
    is_multicurrency: bool
    closed_until: dt.date | None
    #: The vendor's time of the last answer, ours of that, and ours of the whole reading.
    as_of: dt.datetime
    asked_at: dt.datetime
    read_at: dt.datetime

    def find(self, entity: str, record_id: str) -> Entry | None:
        return self.lists.get(entity, {}).get(record_id)

    def named(self, entity: str, name: str) -> list[Entry]:
        """Every row of that fully qualified name, without regard to case."""
        wanted = name.casefold()
        return [entry for entry in self.lists.get(entity, {}).values() if entry.name.casefold() == wanted]


class _Shelf:
    """The books of the companies that this process has worked for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[tuple[str, str], Books] = {}

    def get(self, key: tuple[str, str]) -> Books | None:
        with self._lock:
            return self._kept.get(key)

    def put(self, key: tuple[str, str], books: Books) -> Books:
        with self._lock:
            self._kept[key] = books
        return books

    def forget(self, key: tuple[str, str]) -> None:
        with self._lock:
            self._kept.pop(key, None)


_shelf = _Shelf()


def load(ctx: Context, client: Client, *, is_anew: bool = False) -> Books:
    """The books as they are now."""
    key, now = _key(ctx), ctx.now()
    books = None if is_anew else _shelf.get(key)
    if books is None or now - books.read_at >= KEPT:
        return _shelf.put(key, _read(ctx, client))
    if now - books.asked_at < BELIEVED:
        return books
    try:
        changed, at = client.changes((*LISTS, CUSTOMER), books.as_of - _OVERLAP)
    except Reject:
        changed, at = {}, None
    if at is None or sum(len(rows) for rows in changed.values()) >= _CHANGES:
        return _shelf.put(key, _read(ctx, client))
    lists = {entity: {**books.lists[entity], **_entries(entity, changed.get(entity, ()))} for entity in LISTS}
    met = books.lists[CUSTOMER]
    newer = _entries(CUSTOMER, changed.get(CUSTOMER, ()))
    lists[CUSTOMER] = {**met, **{record_id: entry for record_id, entry in newer.items() if record_id in met}}
    return _shelf.put(key, dataclasses.replace(books, lists=lists, as_of=at, asked_at=now))


def forget(ctx: Context) -> None:
    """The next `load` reads everything anew."""
    _shelf.forget(_key(ctx))


def _key(ctx: Context) -> tuple[str, str]:
    return ctx.app.get("api_url", ""), ctx.account


def customer(ctx: Context, client: Client, record_id: str) -> Entry | None:
    """The customer with that ID, inactive ones included; None when there is none. To be asked for after `load`."""
    books = _shelf.get(_key(ctx))
    if books is not None and (met := books.find(CUSTOMER, record_id)) is not None:
        return met
    try:
        entry = _entry(CUSTOMER, client.read(CUSTOMER, record_id))
    except (Gone, BadValue):
        return None
    except Reject as error:
        if error.code == "2030":  # not a number
            return None
        raise
    if books is not None:
        met_now = {**books.lists[CUSTOMER], record_id: entry}
        _shelf.put(_key(ctx), dataclasses.replace(books, lists={**books.lists, CUSTOMER: met_now}))
    return entry


def _read(ctx: Context, client: Client) -> Books:
    started = ctx.now()
    try:
        preferences = client.read("Preferences")
        home = text(preferences, "CurrencyPrefs", "HomeCurrency", "value")
        closed_until = day(preferences, "AccountingInfoPrefs", "BookCloseDate")
        is_multicurrency = flag(preferences, "CurrencyPrefs", "MultiCurrencyEnabled") is True
        lists = _whole_lists(client)
    except BadValue as error:
        raise Retry(f"QuickBooks Online's lists cannot be read: {error}") from None
    return Books(lists, home, is_multicurrency, closed_until, as_of=started, asked_at=started, read_at=started)


def _whole_lists(client: Client) -> Lists:
    lists: dict[str, dict[str, Entry]] = {entity: {} for entity in LISTS}
    queries = [everything(entity) for entity in LISTS]
    while queries:
        pages = []
        for query, result in zip(queries, client.run(queries), strict=True):
            if isinstance(result, Retry):
                raise result
            if isinstance(result, VendorError):
                continue  # a list that this edition does not have
            lists[query.entity].update(_entries(query.entity, result))
            if len(result) >= PAGE:
                pages.append(everything(query.entity, query.start + PAGE))
        queries = pages
    return {**lists, CUSTOMER: {}}


def _entries(entity: str, rows: Iterable[Row]) -> dict[str, Entry]:
    return {entry.id: entry for entry in _readable(entity, rows)}


def _readable(entity: str, rows: Iterable[Row]) -> Iterator[Entry]:
    for row in rows:
        try:
            yield _entry(entity, row)
        except BadValue:
            continue  # it is then as if it were not there, and an entry that needs it is refused


def _entry(entity: str, row: Row) -> Entry:
    return Entry(
        id=identifier(row, "Id"),
        name=own_name(row),
        short_name=text(row, "Name"),
        is_active=flag(row, "Active") is not False,
        kind=text(row, "AccountType"),
        currency=text(row, "CurrencyRef", "value"),
        sku=text(row, "Sku"),
        account=text(row, "IncomeAccountRef", "value"),
    )
