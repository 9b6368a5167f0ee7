"""The stand-in's company file: the records of one company, and what its bookkeepers do to them.

`Company` checks only that records and elements exist. Times follow the PC's wall clock, printed with the
standard-time offset all year, as QuickBooks does.
"""

from __future__ import annotations

import copy
import dataclasses
import datetime as dt
import itertools
import threading
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from sources.quickbooks_desktop.standin_layouts import AMOUNTS, LINE_AMOUNTS, LINES, LISTS, TRANSACTIONS, order_of

#: An element's content: a text, a group of elements, or several of either under the same name.
Value = Any
Fields = dict[str, Value]

FILE_ID = "{0C5E8C7E-0000-4000-8000-000000000001}"
OWNER_ID = "{3b1f0d52-6f0b-4f57-9a5e-0c5b6d7e8f90}"
FOLDER = "C:\\Users\\Public\\Documents\\Intuit\\QuickBooks\\Company Files\\"
_VOID = "VOID:"
#: Payment -> (the record that it settles, the element that shows what is still open).
_SETTLES = {
    "BillPaymentCheck": ("Bill", "OpenAmount"),
    "BillPaymentCreditCard": ("Bill", "OpenAmount"),
    "ReceivePayment": ("Invoice", "BalanceRemaining"),
}
_DEFAULTS: dict[str, Fields] = {
    "Vendor": {"IsActive": "true", "IsVendorEligibleFor1099": "false", "Balance": "0.00"},
    "Customer": {"IsActive": "true", "Sublevel": "0", "Balance": "0.00", "TotalBalance": "0.00"},
    "Bill": {"APAccountRef": "Accounts Payable", "IsPaid": "false"},
    "PurchaseOrder": {"IsManuallyClosed": "false", "IsFullyReceived": "false"},
    "BillPaymentCheck": {
        "APAccountRef": "Accounts Payable",
        "BankAccountRef": "Checking",
        "IsToBePrinted": "false",
    },
    "BillPaymentCreditCard": {"APAccountRef": "Accounts Payable", "CreditCardAccountRef": "Company Visa"},
    "ReceivePayment": {
        "ARAccountRef": "Accounts Receivable",
        "DepositToAccountRef": "Undeposited Funds",
        "UnusedPayment": "0.00",
        "UnusedCredits": "0.00",
    },
    "Invoice": {
        "ARAccountRef": "Accounts Receivable",
        "IsPending": "false",
        "SalesTaxTotal": "0.00",
        "AppliedAmount": "0.00",
        "IsPaid": "false",
    },
}


@dataclasses.dataclass(slots=True)
class Record:
    """One record; times are aware UTC in whole seconds."""

    kind: str
    id: str
    created: dt.datetime
    modified: dt.datetime
    sequence: int
    fields: Fields


@dataclasses.dataclass(frozen=True, slots=True)
class Deletion:
    """What QuickBooks still knows of a deleted record: `name` is its number, or the list's full name."""

    kind: str
    id: str
    created: dt.datetime
    deleted: dt.datetime
    name: str


class Company:
    """One company file on a PC in `zone`. Its clock is the machine's own until `set_clock`."""

    def __init__(self, name: str, *, zone: str = "America/Los_Angeles", file_id: str = "", path: str = "") -> None:
        self.name = name
        self.path = path or f"{FOLDER}{name}.qbw"
        self.zone = ZoneInfo(zone)
        self.is_multicurrency = False
        #: (OwnerID, name) -> value; what applications keep in the file. The Web Connector writes FileID here.
        self.extensions: dict[tuple[str, str], str] = {(OWNER_ID, "FileID"): file_id} if file_id else {}
        self.records: dict[str, Record] = {}
        self.deletions: list[Deletion] = []
        self.lock = threading.RLock()
        #: Name -> ID of vendors and customers, and of whatever else a record refers to.
        self._parties: dict[str, str] = {}
        self._names: dict[str, str] = {}
        self._frozen: dt.datetime | None = None
        self._ahead = dt.timedelta()
        self._numbers = {"list": itertools.count(0x80000050), "txn": itertools.count(0x2F40)}
        self._txn_numbers = itertools.count(4140)

    # --- the clock ---------------------------------------------------------------------------------------------------

    def set_clock(self, moment: dt.datetime) -> None:
        """Stops the PC's clock at an aware moment."""
        self._frozen, self._ahead = moment.astimezone(dt.UTC), dt.timedelta()

    def advance(self, **duration: float) -> None:
        """Moves the PC's clock on (or back) by a timedelta's arguments."""
        self._ahead += dt.timedelta(**duration)

    def now(self) -> dt.datetime:
        """The PC's clock as an instant, in whole seconds."""
        return ((self._frozen or dt.datetime.now(dt.UTC)) + self._ahead).replace(microsecond=0)

    def wall(self, moment: dt.datetime) -> dt.datetime:
        """What the PC's clock shows at that moment (naive)."""
        return moment.astimezone(self.zone).replace(tzinfo=None)

    def stamp(self, moment: dt.datetime) -> str:
        """As QuickBooks prints it: local time with daylight saving, under the offset of standard time."""
        local = moment.astimezone(self.zone)
        offset = (local.utcoffset() or dt.timedelta()) - (local.dst() or dt.timedelta())
        minutes = int(offset.total_seconds() // 60)
        hours, rest = divmod(abs(minutes), 60)
        return f"{local:%Y-%m-%dT%H:%M:%S}{'-' if minutes < 0 else '+'}{hours:02}:{rest:02}"

    # --- what people do ----------------------------------------------------------------------------------------------

    def add(self, kind: str, /, **fields: Value) -> str:
        """Enters a record; its ID. A reference may be given as an ID or a name, an amount as Decimal or text.

        A payment's AppliedToTxnRet ({"TxnID": ..., "Amount": ...}) settles these records.
        """
        with self.lock:
            now = self.now()
            number = next(self._numbers["list" if kind in LISTS else "txn"])
            record = Record(kind, f"{number:X}-{int(now.timestamp())}", now, now, int(now.timestamp()), {})
            record.fields = self._filled(record, fields)
            self._keep(record)
            self._settle(record)
            return record.id

    def restore(self, kind: str, fields: Mapping[str, Value]) -> str:
        """Puts a record into the file exactly as a response shows it, head included; its ID."""
        rest = dict(fields)
        head = [rest.pop(name) for name in (id_name(kind), "TimeCreated", "TimeModified", "EditSequence")]
        created, modified = (self._instant(text) for text in head[1:3])
        record = Record(kind, head[0], created, modified, int(head[3]), _ordered(kind, rest))
        with self.lock:
            self._keep(record)
        return record.id

    def change(self, id_: str, /, **fields: Value) -> None:
        """Changes elements of a record; None takes one away."""
        with self.lock:
            record = self.records[id_]
            kept = {**record.fields, **{name: self._resolved(name, value) for name, value in fields.items()}}
            record.fields = _ordered(record.kind, {name: value for name, value in kept.items() if value is not None})
            self._keep(record)
            self._touch(record)

    def void(self, id_: str, /) -> None:
        """Sets all amounts of a transaction to zero and marks its memo; what it settled is open again."""
        with self.lock:
            record = self.records[id_]
            self._unsettle(record)
            fields = copy.deepcopy(record.fields)
            for name in AMOUNTS[record.kind]:
                if name in fields:
                    fields[name] = "0.00"
            for line in itertools.chain.from_iterable(_rows(fields.get(name)) for name in LINES[record.kind]):
                line.update({name: "0.00" for name in LINE_AMOUNTS if name in line and name != "Quantity"})
            fields["Memo"] = f"{_VOID} {fields.get('Memo', '')}".strip()
            if "IsPaid" in fields:
                fields["IsPaid"] = "true"
            record.fields = _ordered(record.kind, fields)
            self._touch(record)

    def delete(self, id_: str, /) -> None:
        """Takes a record out of the file; its deletion can be asked for."""
        with self.lock:
            record = self.records.pop(id_)
            self._unsettle(record)
            name = record.fields.get("RefNumber") or record.fields.get("FullName") or record.fields.get("Name", "")
            self.deletions.append(Deletion(record.kind, id_, record.created, self.now(), name))

    # --- what QuickBooks does by itself ------------------------------------------------------------------------------

    def _keep(self, record: Record) -> None:
        self.records[record.id] = record
        if record.kind in LISTS:
            self._parties[record.fields.get("FullName") or record.fields["Name"]] = record.id

    def _touch(self, record: Record) -> None:
        """A new version: two within one second still differ in their EditSequence."""
        record.modified = self.now()
        record.sequence = max(int(record.modified.timestamp()), record.sequence + 1)

    def _filled(self, record: Record, given: Mapping[str, Value]) -> Fields:
        kind = record.kind
        fields = {**_DEFAULTS[kind], **given}
        if kind in TRANSACTIONS:
            fields.setdefault("TxnNumber", str(next(self._txn_numbers)))
            fields.setdefault("TxnDate", self.wall(record.created).date().isoformat())
        if kind == "Customer":
            fields.setdefault("FullName", fields["Name"])
        for total, still_open in (("AmountDue", "OpenAmount"), ("Subtotal", "BalanceRemaining")):
            if total in fields:
                fields.setdefault(still_open, fields[total])
        fields = {name: self._resolved(name, value) for name, value in fields.items()}
        for line in itertools.chain.from_iterable(_rows(fields.get(name)) for name in LINES.get(kind, ())):
            if "TxnID" not in line:
                line.setdefault("TxnLineID", f"{next(self._numbers['txn']):X}-{record.sequence}")
        return _ordered(kind, fields)

    def _resolved(self, name: str, value: Value) -> Value:
        """A value as the file holds it: references by ID and name, amounts with two places, only Windows-1252."""
        if value is None:
            return None
        if isinstance(value, list | tuple):
            return [self._resolved(name, each) for each in value]
        if isinstance(value, Mapping):
            return {each: self._resolved(each, inner) for each, inner in value.items()}
        if isinstance(value, Decimal):
            return f"{value:.2f}"
        text = str(value).encode("cp1252", "replace").decode("cp1252")
        return self._reference(text) if name.endswith("Ref") else text

    def _reference(self, text: str) -> Fields:
        if text in self.records:
            fields = self.records[text].fields
            return {"ListID": text, "FullName": fields.get("FullName", fields.get("Name", ""))}
        number = self._parties.get(text)
        if number not in self.records:
            number = self._names.setdefault(text, f"{0x80000001 + len(self._names):X}-1735743600")
        return {"ListID": number, "FullName": text}

    def _settle(self, payment: Record) -> None:
        """Links a payment with what it pays: the paid records are modified too, in the same second."""
        for row, paid, still_open in self._settled(payment):
            left = Decimal(paid.fields[still_open]) - Decimal(row["Amount"])
            row |= {"TxnType": paid.kind, "TxnDate": paid.fields["TxnDate"], "BalanceRemaining": f"{left:.2f}"}
            if "RefNumber" in paid.fields:
                row["RefNumber"] = paid.fields["RefNumber"]
            link = {"TxnID": payment.id, "TxnType": payment.kind, "TxnDate": payment.fields["TxnDate"]}
            if "RefNumber" in payment.fields:
                link["RefNumber"] = payment.fields["RefNumber"]
            link |= {"LinkType": "AMTTYPE", "Amount": f"-{Decimal(row['Amount']):.2f}"}
            self._show_open(paid, still_open, left, [*_rows(paid.fields.get("LinkedTxn")), link])
        payment.fields = _ordered(payment.kind, payment.fields)

    def _unsettle(self, payment: Record) -> None:
        for row, paid, still_open in self._settled(payment):
            links = [link for link in _rows(paid.fields.get("LinkedTxn")) if link["TxnID"] != payment.id]
            left = Decimal(paid.fields[still_open]) + Decimal(row["Amount"])
            self._show_open(paid, still_open, left, links)
        payment.fields.pop("AppliedToTxnRet", None)

    def _settled(self, payment: Record) -> Iterator[tuple[Fields, Record, str]]:
        kind, still_open = _SETTLES.get(payment.kind, ("", ""))
        for row in _rows(payment.fields.get("AppliedToTxnRet")):
            paid = self.records.get(row["TxnID"])
            if paid is not None and paid.kind == kind:
                yield row, paid, still_open

    def _show_open(self, paid: Record, still_open: str, left: Decimal, links: list[Fields]) -> None:
        fields = {**paid.fields, still_open: f"{left:.2f}", "IsPaid": str(not left).lower(), "LinkedTxn": links}
        paid.fields = _ordered(paid.kind, fields)
        self._touch(paid)

    def _instant(self, text: str) -> dt.datetime:
        return dt.datetime.fromisoformat(text[:19]).replace(tzinfo=self.zone).astimezone(dt.UTC)


def id_name(kind: str) -> str:
    return "ListID" if kind in LISTS else "TxnID"


def _rows(value: Value) -> list[Fields]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _ordered(name: str, fields: Mapping[str, Value]) -> Fields:
    """The elements in the order in which QuickBooks returns them. Raises KeyError for one that it does not have."""
    order = order_of(name) or ()
    strange = [each for each in fields if each not in order]
    if strange:
        raise KeyError(f"{name} has no {', '.join(strange)}")
    return {each: _ordered_value(each, fields[each]) for each in order if each in fields}


def _ordered_value(name: str, value: Value) -> Value:
    if isinstance(value, list):
        return [_ordered_value(name, each) for each in value]
    return _ordered(name, value) if isinstance(value, Mapping) else value
