"""The gateway's rows as values: every vendor field name is read here, once.

Field names as in the vendor's `lookup`. Amounts are exact, times are UTC, dates have no zone.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from decimal import Decimal

from connector.kernel.values import BadValue, amount, text
from sources.sage_intacct.answer import Row
from sources.sage_intacct.formatting import DATE, Formatting

BATCH_FIELDS = (
    "RECORDNO", "BATCHNO", "BATCH_TITLE", "JOURNAL", "BATCH_DATE", "MODULE", "STATE", "BASELOCATION_NO",
    "WHENCREATED", "WHENMODIFIED", "MODIFIED", "STATISTICAL", "RECORD_URL",
)  # fmt: skip
ENTRY_FIELDS = (
    "RECORDNO", "BATCHNO", "LINE_NO", "TR_TYPE", "AMOUNT", "TRX_AMOUNT", "ACCOUNTNO", "ACCOUNTTITLE", "STATISTICAL",
    "DEPARTMENT", "LOCATION", "LOCATIONNAME", "BASECURR", "CURRENCY", "STATE",
)  # fmt: skip
PAYMENT_FIELDS = (
    "RECORDNO", "PRBATCHKEY", "PRBATCH", "STATE", "DISPLAYSTATE", "PAYMENTMETHOD", "VENDORID", "VENDORNAME",
    "DOCNUMBER", "WHENPAID", "BASECURR", "CURRENCY", "TOTALENTERED", "TRX_TOTALENTERED", "WHENMODIFIED",
    "AUWHENCREATED", "RECORD_URL",
)  # fmt: skip
VENDOR_FIELDS = ("VENDORID", "NAME", "STATUS", "STATE", "ONHOLD", "DONOTCUTCHECK", "WHENMODIFIED")
#: Times before this one stand for none.
NEVER = dt.datetime(1971, 1, 1, tzinfo=dt.UTC)
_YES = frozenset({"true", "t", "yes", "1"})
_POSTED = frozenset({"posted", "p"})


@dataclasses.dataclass(frozen=True, slots=True)
class Batch:
    """A journal entry's head. `at` is its last change, None where the row has no time at all."""

    id: str
    number: str
    title: str
    journal: str
    day: dt.date | None
    state: str
    is_posted: bool
    is_statistical: bool
    link: str
    at: dt.datetime | None

    @property
    def name(self) -> str:
        """What people call it: "GJ 249"."""
        return f"{self.journal} {self.number}".strip() or self.id


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """One line of a journal entry; the amount is absolute and in the base currency."""

    id: str
    batch: str
    is_debit: bool
    amount: Decimal
    currency: str
    account: str
    account_title: str
    location: str
    location_name: str
    is_statistical: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Payment:
    """One payment, in its own currency and in the base one."""

    id: str
    batch: str
    batch_title: str
    state: str
    label: str
    method: str
    vendor: str
    vendor_name: str
    number: str
    day: dt.date | None
    amount: Decimal
    currency: str
    base_amount: Decimal
    base_currency: str
    link: str
    at: dt.datetime | None


@dataclasses.dataclass(frozen=True, slots=True)
class Vendor:
    """A vendor with what stands against paying it: "on hold", "inactive", "do not pay", "declined"."""

    id: str
    name: str
    flags: tuple[str, ...]


def batch_in(row: Row, formatting: Formatting) -> Batch:
    """A GLBATCH row."""
    state = text(row, "STATE")
    return Batch(
        id=_key(row),
        number=text(row, "BATCHNO"),
        title=text(row, "BATCH_TITLE"),
        journal=text(row, "JOURNAL"),
        day=_day(row, "BATCH_DATE"),
        state=state,
        is_posted=state.lower() in _POSTED,
        is_statistical=_flag(row, "STATISTICAL"),
        link=_link(row),
        at=_changed(row, formatting, "WHENMODIFIED", "MODIFIED", "WHENCREATED"),
    )


def entry_in(row: Row) -> Entry:
    """A GLENTRY row. Its BATCHNO is the record number of the batch."""
    kind = text(row, "TR_TYPE")
    if kind not in ("1", "-1"):
        raise BadValue("TR_TYPE is neither debit nor credit")
    return Entry(
        id=_key(row),
        batch=text(row, "BATCHNO"),
        is_debit=kind == "1",
        amount=_amount(row, "AMOUNT"),
        currency=text(row, "BASECURR").upper(),
        account=text(row, "ACCOUNTNO"),
        account_title=text(row, "ACCOUNTTITLE"),
        location=text(row, "LOCATION"),
        location_name=text(row, "LOCATIONNAME"),
        is_statistical=_flag(row, "STATISTICAL"),
    )


def payment_in(row: Row, formatting: Formatting) -> Payment:
    """An APPYMT row; without a transaction amount or currency, the base ones are its own."""
    base = _amount(row, "TOTALENTERED")
    base_currency = text(row, "BASECURR").upper()
    own = amount(row, "TRX_TOTALENTERED")
    return Payment(
        id=_key(row),
        batch=text(row, "PRBATCHKEY"),
        batch_title=text(row, "PRBATCH"),
        state=text(row, "STATE").upper(),
        label=text(row, "DISPLAYSTATE"),
        method=text(row, "PAYMENTMETHOD"),
        vendor=text(row, "VENDORID"),
        vendor_name=text(row, "VENDORNAME"),
        number=text(row, "DOCNUMBER"),
        day=_day(row, "WHENPAID"),
        amount=base if own is None else own,
        currency=(text(row, "CURRENCY").upper() or base_currency) if own is not None else base_currency,
        base_amount=base,
        base_currency=base_currency,
        link=_link(row),
        at=_changed(row, formatting, "WHENMODIFIED", "AUWHENCREATED"),
    )


def vendor_in(row: Row) -> Vendor:
    """A VENDOR row."""
    found = {
        "on hold": _flag(row, "ONHOLD"),
        "do not pay": _flag(row, "DONOTCUTCHECK"),
        "inactive": text(row, "STATUS").lower() in ("inactive", "f"),
        "declined": text(row, "STATE").lower() in ("declined", "rejected"),
    }
    vendor_id = text(row, "VENDORID")
    if not vendor_id:
        raise BadValue("VENDORID is missing")
    return Vendor(vendor_id, text(row, "NAME"), tuple(flag for flag, is_set in found.items() if is_set))


def _key(row: Row) -> str:
    key = text(row, "RECORDNO")
    if not key:
        raise BadValue("RECORDNO is missing")
    return key


def _amount(row: Row, name: str) -> Decimal:
    found = amount(row, name)
    if found is None:
        raise BadValue(f"{name} is missing")
    return found


def _flag(row: Row, name: str) -> bool:
    return text(row, name).lower() in _YES


def _day(row: Row, name: str) -> dt.date | None:
    value = text(row, name)
    try:
        return dt.datetime.strptime(value[:10], DATE).replace(tzinfo=dt.UTC).date() if value else None
    except ValueError:
        raise BadValue(f"{name} is not a date") from None


def _changed(row: Row, formatting: Formatting, *names: str) -> dt.datetime | None:
    """The first time that is one: the last change may be missing, and in old rows it is 1970."""
    for name in names:
        at = formatting.read(row, name)
        if at is not None and at >= NEVER:
            return at
    return None


def _link(row: Row) -> str:
    url = text(row, "RECORD_URL")
    return url if url.startswith("https://") and not any(sign.isspace() for sign in url) else ""
