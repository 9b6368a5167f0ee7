"""The stand-in's ledger: what the people of a company enter, as rows of its objects.

A row holds the object's fields by name; what is left out is empty. Moments come from the stand-in's clock.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from connector.kernel.standin import StandIn
from sources.sage_intacct.standin_layouts import BATCH_STATES, LAYOUTS, PAYMENT_STATES, Field, Layout

Row = dict[str, Any]

#: The first RECORDNO of each object, less one.
_NUMBERS = {"GLBATCH": 6678, "GLENTRY": 99611, "APPYMT": 1862, "APBILL": 207, "USERINFO": 19}


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """A line of a journal entry: `side` 1 debits and -1 credits; `amount` is in the base currency.

    `trx_amount` (that of `currency`) and `base` are the batch's own where they are left out.
    """

    account: str
    amount: Decimal
    side: int
    currency: str = ""
    trx_amount: Decimal | None = None
    base: str = ""
    location: str = ""
    department: str = ""
    is_statistical: bool = False
    description: str = ""


def debit(account: str, amount: str, **more: Any) -> Entry:
    """A line that debits an account; `more` are fields of `Entry`."""
    return _entry(account, amount, 1, more)


def credit(account: str, amount: str, **more: Any) -> Entry:
    """A line that credits an account; `more` are fields of `Entry`."""
    return _entry(account, amount, -1, more)


def _entry(account: str, amount: str, side: int, more: dict[str, Any]) -> Entry:
    if more.get("trx_amount") is not None:
        more["trx_amount"] = Decimal(more["trx_amount"])
    return Entry(account, Decimal(amount), side, **more)


class LedgerServer(StandIn):
    """The books of one company. `now` is the clock, `base` the company's currency, `location` where entries go."""

    def __init__(self, *, host: str, port: int) -> None:
        super().__init__(host=host, port=port)
        self.now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC)
        #: How long ago what is entered now was entered: a reader may leave out what is very fresh.
        self.entered_ago = dt.timedelta(0)
        self.base = "USD"
        self.location = "100"
        #: Whether amounts lose the zeros at their end, as live answers have it.
        self.drops_zeros = True
        self.tables: dict[str, dict[int, Row]] = {name: {} for name in LAYOUTS}
        self._numbers = {name: itertools.count(_NUMBERS.get(name, 0) + 1) for name in LAYOUTS}
        self._batch_numbers: dict[str, Iterator[int]] = {}
        self._payment_batches: dict[str, int] = {}
        self.add_location("100", "Headquarters")

    # Masters

    def add_location(self, id: str, name: str, *, currency: str = "", parent: str = "", is_entity: bool = False) -> int:
        """A location; `is_entity`: one that can be signed in to. Each `add_…` gives the RECORDNO."""
        currency = (currency or self.base) if is_entity else currency
        return self._add("LOCATION", LOCATIONID=id, NAME=name, PARENTID=parent, STATUS="T", CURRENCY=currency)

    def add_department(self, id: str, title: str) -> int:
        return self._add("DEPARTMENT", DEPARTMENTID=id, TITLE=title, STATUS="T")

    def add_account(self, number: str, title: str, *, normal: str = "debit", kind: str = "incomestatement") -> int:
        return self._add("GLACCOUNT", ACCOUNTNO=number, TITLE=title, ACCOUNTTYPE=kind, NORMALBALANCE=normal, STATUS="T")

    def add_journal(self, symbol: str, title: str, *, is_statistical: bool = False) -> int:
        return self._add("JOURNAL", SYMBOL=symbol, TITLE=title, STATUS="T", STATISTICAL=_flag(is_statistical))

    def add_user(self, user_id: str, description: str = "") -> int:
        return self._add("USERINFO", LOGINID=user_id, DESCRIPTION=description, STATUS="T")

    def add_vendor(self, vendor_id: str, name: str, **fields: Any) -> int:
        """A vendor; `fields` as in `set_vendor`."""
        self._add(
            "VENDOR", VENDORID=vendor_id, NAME=name, STATUS="T", STATE="Approved", ONHOLD="F", DONOTCUTCHECK="F",
            CURRENCY=self.base, TOTALDUE=Decimal(0),
        )  # fmt: skip
        return self.set_vendor(vendor_id, **fields)

    def set_vendor(
        self,
        vendor_id: str,
        *,
        is_on_hold: bool | None = None,
        is_active: bool | None = None,
        is_payable: bool | None = None,
        state: str | None = None,
        **fields: Any,
    ) -> int:
        """Changes a vendor; what is None stays. `is_payable` False is "do not pay", `state` its approval."""
        flags = {
            "ONHOLD": is_on_hold,
            "STATUS": is_active,
            "DONOTCUTCHECK": None if is_payable is None else not is_payable,
        }
        changed: Row = {name: _flag(value) for name, value in flags.items() if value is not None}
        if state is not None:
            changed["STATE"] = state
        return self.change("VENDOR", self.find("VENDOR", vendor_id)["RECORDNO"], **changed, **fields)

    # The general ledger

    def post_batch(
        self,
        journal: str = "GJ",
        title: str = "Journal entry",
        lines: Sequence[Entry] = (),
        state: str = "Posted",
        *,
        day: dt.date | None = None,
        is_statistical: bool = False,
        entity: str = "",
        may_be_unbalanced: bool = False,
        **fields: Any,
    ) -> int:
        """A journal entry as of now. Raises `ValueError` when it does not balance and nobody said that it may.

        `entity` makes it private to that entity; `fields` replaces fields of GLBATCH.
        """
        if not (is_statistical or may_be_unbalanced or state == "Draft") and not _balances(lines, self.base):
            raise ValueError(f"{title!r} does not balance, and Intacct would not post it: say may_be_unbalanced=True")
        with self.lock:
            code = _code(BATCH_STATES, state)
            moment, place = self._moment(), self._location(entity or self.location)
            row = {
                "BATCHNO": next(self._batch_numbers.setdefault(journal, itertools.count(249))),
                "BATCH_TITLE": title, "JOURNAL": journal, "BATCH_DATE": day or moment.date(), "MODULE": "2.GL",
                "STATE": code, "STATISTICAL": _flag(is_statistical), "MODIFIED": moment, "ADJ": "F",
                "BASELOCATION_NO": place["LOCATIONID"], "BASELOCATION_NAME": place["NAME"],
                "MODIFIEDBYID": "fake-bookkeeper", **_owner(entity, place),
            }  # fmt: skip
            number = self._add("GLBATCH", **row | fields)
            batch = self.tables["GLBATCH"][number]
            batch.setdefault("RECORD_URL", f"https://www.intacct.com/ia/acct/ur.phtml?.r=fake-glbatch-{number}")
            for position, line in enumerate(lines, start=1):
                self._add_line(batch, position, line, is_statistical=is_statistical)
            return number

    def add_line(self, recordno: int, line: Entry) -> int:
        """Adds a line to a batch, which counts as changed; nobody asks whether it balances."""
        with self.lock:
            batch = self.tables["GLBATCH"][recordno]
            lines = [row for row in self.tables["GLENTRY"].values() if row["BATCHNO"] == recordno]
            number = self._add_line(batch, len(lines) + 1, line, is_statistical=batch["STATISTICAL"] == "T")
            self.touch(recordno)
            return number

    def _add_line(self, batch: Row, position: int, line: Entry, *, is_statistical: bool) -> int:
        base = line.base or self.base
        trx = line.amount if line.trx_amount is None else line.trx_amount
        place = self._location(line.location or batch["BASELOCATION_NO"])
        return self._add(
            "GLENTRY", BATCHNO=batch["RECORDNO"], BATCH_NUMBER=batch["BATCHNO"], BATCHTITLE=batch["BATCH_TITLE"],
            BATCH_DATE=batch["BATCH_DATE"], ENTRY_DATE=batch["BATCH_DATE"], LINE_NO=position, TR_TYPE=line.side,
            AMOUNT=line.amount, TRX_AMOUNT=trx, EXCHANGE_RATE=line.amount / trx if trx else None, BASECURR=base,
            CURRENCY=line.currency or base, ACCOUNTNO=line.account,
            ACCOUNTTITLE=self._title("GLACCOUNT", line.account, "TITLE"), LOCATION=place["LOCATIONID"],
            LOCATIONNAME=place["NAME"], DEPARTMENT=line.department,
            DEPARTMENTTITLE=self._title("DEPARTMENT", line.department, "TITLE"), STATE=batch["STATE"],
            STATISTICAL="T" if is_statistical or line.is_statistical else "F", DESCRIPTION=line.description,
            MEGAENTITYID=batch.get("MEGAENTITYID"),
        )  # fmt: skip

    # Accounts payable

    def add_payment(
        self,
        vendor_id: str,
        amount: str,
        *,
        state: str = "C",
        batch: str = "",
        currency: str = "",
        base_amount: str = "",
        method: str = "Printed Check",
        number: str = "",
        bills: Mapping[int, str] | None = None,
        entity: str = "",
        **fields: Any,
    ) -> int:
        """A payment as of now. `batch` is the payment batch's title, which gives its key; none is no batch.

        `amount` is in `currency`, `base_amount` in the company's; `bills` is what it pays, by the bill's RECORDNO.
        """
        with self.lock:
            moment, place = self._moment(), self._location(entity or self.location)
            trx, base = Decimal(amount), Decimal(base_amount or amount)
            key = self._payment_batches.setdefault(batch, 321 + len(self._payment_batches)) if batch else None
            row = {
                "PRBATCHKEY": key, "PRBATCH": batch, "RECORDTYPE": "pp", "PAYMENTMETHOD": method, "VENDORID": vendor_id,
                "VENDORNAME": self.find("VENDOR", vendor_id)["NAME"], "DOCNUMBER": number,
                "FINANCIALENTITY": "BA1143", "FINANCIALENTITYTYPE": "ba", "BASECURR": self.base,
                "CURRENCY": currency or self.base, "TOTALENTERED": base, "TRX_TOTALENTERED": trx, "CLEARED": "F",
                "SYSTEMGENERATED": "F", "WHENCREATED": moment.date(), "AUWHENCREATED": moment, **_owner(entity, place),
            }  # fmt: skip
            recordno = self._add("APPYMT", **row | _paid(state, trx, base, moment) | fields)
            for bill, part in (bills or {}).items():
                self._add(
                    "APPYMTDETAIL", RECORDKEY=bill, PAYMENTKEY=recordno, PAYMENTDATE=moment.date(), CURRENCY=currency,
                    PAYMENTAMOUNT=Decimal(part), TRX_PAYMENTAMOUNT=Decimal(part), STATE=state, MODULEKEY="3.AP",
                )  # fmt: skip
            return recordno

    def set_payment_state(self, recordno: int, state: str) -> int:
        """Moves a payment on: C confirmed, V voided, A approved, S submitted, D draft, U and R declined."""
        with self.lock:
            row = self.tables["APPYMT"][recordno]
            changed = _paid(state, row["TRX_TOTALENTERED"], row["TOTALENTERED"], self._moment())
            if row.get("WHENPAID"):
                # A void keeps what was paid, and when.
                changed = {name: changed[name] for name in ("STATE", "RAWSTATE", "DISPLAYSTATE")}
            return self.change("APPYMT", recordno, **changed)

    def add_bill(self, vendor_id: str, number: str, amount: str, *, state: str = "A", **fields: Any) -> int:
        with self.lock:
            moment, total = self._moment(), Decimal(amount)
            row = {
                "RECORDID": number, "RECORDTYPE": "pi", "STATE": state, "RAWSTATE": state, "VENDORID": vendor_id,
                "VENDORNAME": self.find("VENDOR", vendor_id)["NAME"], "WHENCREATED": moment.date(),
                "WHENPOSTED": moment.date(), "TOTALENTERED": total, "TOTALDUE": total, "TRX_TOTALENTERED": total,
                "TRX_TOTALDUE": total, "BASECURR": self.base, "CURRENCY": self.base, "ONHOLD": "F",
                "MODULEKEY": "3.AP", "AUWHENCREATED": moment,
            }  # fmt: skip
            return self._add("APBILL", **row | fields)

    # Any row

    def load(self, name: str, row: Row) -> int:
        """Keeps a row exactly as it is, its own RECORDNO (if it has one) and times included."""
        with self.lock:
            unknown = row.keys() - LAYOUTS[name].fields.keys() - {"MEGAENTITYID"}
            if unknown:
                raise LookupError(f"{name} has no {', '.join(sorted(unknown))}")
            number = int(row.get("RECORDNO") or next(self._numbers[name]))
            self.tables[name][number] = {**row, "RECORDNO": number}
            return number

    def change(self, name: str, recordno: int, **fields: Any) -> int:
        """Replaces fields of a row, which counts as changed unless WHENMODIFIED is among them."""
        with self.lock:
            row = self.tables[name][recordno]
            return self.load(name, {**row, **self._stamps(name), **fields})

    def touch(self, recordno: int, name: str = "GLBATCH") -> int:
        """Somebody saves a row once more: it counts as changed as of now."""
        return self.change(name, recordno)

    def remove(self, name: str, recordno: int) -> None:
        """Deletes a row, without a trace."""
        with self.lock:
            del self.tables[name][recordno]

    def find(self, name: str, id: str) -> Row:
        """The row with this business ID. Raises `LookupError`."""
        key = LAYOUTS[name].id
        row = next((row for row in self.tables[name].values() if row.get(key) == id), None)
        if row is None:
            raise LookupError(f"there is no {name} {id}")
        return row

    def related(self, layout: Layout, row: Row, path: str) -> tuple[Field, Any]:
        """A field of the row, or of one that it points to ("JOURNAL.SYMBOL"). Raises `LookupError`."""
        if path in layout.fields:
            return layout.fields[path], row.get(path)
        head, _, name = path.partition(".")
        target, own, its = layout.relations[head]
        field = LAYOUTS[target].fields[name]
        wanted = row.get(own)
        return field, next((one.get(name) for one in self.tables[target].values() if one.get(its) == wanted), None)

    def _add(self, name: str, **fields: Any) -> int:
        with self.lock:
            row = {**self._stamps(name), **fields}
            if "WHENCREATED" in LAYOUTS[name].fields:
                row.setdefault("WHENCREATED", self._moment())
            return self.load(name, row)

    def _stamps(self, name: str) -> Row:
        names = {"WHENMODIFIED"} | ({"MODIFIED"} if name == "GLBATCH" else set())
        return {each: self._moment() for each in names if each in LAYOUTS[name].fields}

    def _moment(self) -> dt.datetime:
        """When an entry of now counts as made; the ledger knows no fractions of a second."""
        return (self.now() - self.entered_ago).astimezone(dt.UTC).replace(microsecond=0)

    def _location(self, id: str) -> Row:
        return self.find("LOCATION", id)

    def _title(self, name: str, id: str, field: str) -> str:
        try:
            return str(self.find(name, id)[field])
        except LookupError:
            return ""


def _flag(is_so: bool) -> str:
    return "T" if is_so else "F"


def _code(codes: Mapping[str, str], label: str) -> str:
    code = next((code for code, each in codes.items() if each == label), None)
    if code is None:
        raise ValueError(f"{label} is no state: it is one of {', '.join(codes.values())}")
    return code


def _owner(entity: str, place: Row) -> Row:
    """The fields of a record that belongs to an entity alone."""
    if not entity:
        return {}
    return {"MEGAENTITYID": entity, "MEGAENTITYNAME": place["NAME"], "MEGAENTITYKEY": place["RECORDNO"]}


def _paid(state: str, trx: Decimal, base: Decimal, moment: dt.datetime) -> Row:
    """What a payment's state brings with it: only what was paid has a day and a total."""
    is_paid = state in ("C", "V", "VP", "P")
    zero = Decimal(0)
    return {
        "STATE": state, "RAWSTATE": state, "DISPLAYSTATE": PAYMENT_STATES.get(state, ""),
        "WHENPAID": moment.date() if is_paid else None, "TOTALPAID": base if is_paid else zero,
        "TRX_TOTALPAID": trx if is_paid else zero,
    }  # fmt: skip


def _balances(lines: Sequence[Entry], base: str) -> bool:
    sums: dict[str, Decimal] = {}
    for line in lines:
        if not line.is_statistical:
            key = line.base or base
            sums[key] = sums.get(key, Decimal(0)) + line.side * line.amount
    return not any(sums.values())
