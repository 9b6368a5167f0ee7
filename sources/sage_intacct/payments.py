"""The report `payment_batches`: payments by batch, those that went wrong, and vendors that should not be paid."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from connector.kernel.contracts import Notice, Record
from connector.kernel.errors import Retry, VendorError
from connector.kernel.values import BadValue
from sources.sage_intacct.cursor import Progress, Window
from sources.sage_intacct.errors import bad_row
from sources.sage_intacct.formatting import Formatting
from sources.sage_intacct.queries import MAX_IN, Compare, Query, between, either, every
from sources.sage_intacct.reading import Read
from sources.sage_intacct.rows import PAYMENT_FIELDS, VENDOR_FIELDS, Payment, Vendor, payment_in, vendor_in

REPORT = "payment_batches"
#: Payments that one message lists; with more, the details follow in a record of their own.
MAX_LISTED = 10
#: What a state means for the reader. Others are shown as they are.
STANDINGS = {
    "C": "processed", "P": "processed",
    "V": "voided", "VP": "voided",
    "U": "rejected", "R": "rejected",
    "A": "pending", "S": "pending", "PA": "pending", "D": "pending",
}  # fmt: skip
#: What a state is called where the row does not say.
LABELS = {
    "C": "Confirmed", "P": "Printed", "V": "Voided", "VP": "Void printed", "U": "Declined", "R": "Rejected",
    "A": "Approved", "S": "Submitted", "PA": "Partially approved", "D": "Draft", "X": "Deleted", "Q": "Quick",
}  # fmt: skip
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


@dataclasses.dataclass(slots=True)
class Payments:
    """One reading of the report."""

    account: str
    progress: Progress
    window: Window
    heads: Read = dataclasses.field(init=False)
    vendors: Read = dataclasses.field(init=False)
    whole: list[Read] = dataclasses.field(default_factory=list)
    _updates: set[str] = dataclasses.field(default_factory=set)

    def first(self, formatting: Formatting | None) -> list[Read]:
        """The payments that changed, in whatever state, and the vendors that something stands against."""
        start, end = self.window.filter_times(formatting)
        where = either(
            between("WHENMODIFIED", start, end),
            every(Compare("isnull", "WHENMODIFIED"), between("AUWHENCREATED", start, end)),
        )
        self.heads = Read("appymt", "APPYMT", Query("APPYMT", PAYMENT_FIELDS, where, page=1000))
        barred = either(
            Compare("equalto", "ONHOLD", ("true",)),
            Compare("equalto", "DONOTCUTCHECK", ("true",)),
            Compare("equalto", "STATUS", ("inactive",)),
            Compare("equalto", "STATE", ("Declined",)),
        )
        self.vendors = Read("vendor", "VENDOR", Query("VENDOR", VENDOR_FIELDS, barred, order="VENDORID", page=1000))
        return [self.heads, self.vendors]

    def second(self, formatting: Formatting | None) -> list[Read]:
        """All payments of the batches that were told before and have grown or changed since."""
        if self.heads.failure is not None:
            return []
        keys = {row.get("PRBATCHKEY", "") for row in self.heads.rows}
        if formatting is not None:
            keys = {payment.batch for payment in self._new(formatting)}
        known = sorted(key for key in keys if key in self.progress.batches)
        self.whole = [
            Read(
                f"appymt-batch-{number}",
                "APPYMT",
                Query("APPYMT", PAYMENT_FIELDS, Compare("in", "PRBATCHKEY", tuple(known[start : start + MAX_IN]))),
            )
            for number, start in enumerate(range(0, len(known), MAX_IN), start=1)
        ]
        return self.whole

    def failure(self) -> VendorError | None:
        """Why the report was not read whole, if so.

        Vendors that can be read a little later are waited for; what else keeps them from being read is told beside the
        payments (`unchecked`).
        """
        waits = self.vendors.failure if isinstance(self.vendors.failure, Retry) else None
        return next((read.failure for read in (self.heads, *self.whole) if read.failure), waits)

    def unchecked(self) -> VendorError | None:
        """Why the vendors of the payments that are told were not checked, if so."""
        failure = self.vendors.failure
        if failure is None:
            return None
        text = f"the vendors were not checked for being on hold, inactive, declined or not to be paid: {failure.text}"
        return type(failure)(text, code=failure.code, status=failure.status, detail=failure.detail)

    def records(self, formatting: Formatting, *, tells_nothing: bool) -> Iterator[tuple[Notice, Record]]:
        """Each batch that has news, each payment and each vendor that needs a hand. Moves the progress."""
        new = self._new(formatting)
        groups = self._groups(new, formatting)
        barred = self._barred({payment.vendor for group in groups.values() for payment in group})
        news: list[Payment] = []
        if not groups and tells_nothing:
            yield from self._batch("", [], [])
        for key, group in groups.items():
            if told := self._told(key, group, barred):
                news += [payment for payment in new if payment.batch == key and (key or payment in told)]
                yield from self._batch(key, told, barred)
        for payment in news:
            if STANDINGS.get(payment.state) in ("voided", "rejected"):
                yield self._exception(payment)
        for vendor in barred:
            if theirs := [payment for payment in news if payment.vendor == vendor.id]:
                yield self._vendor(vendor, theirs)
        for payment in new:
            self.progress.note(_state_of(payment), payment.at or _EPOCH)

    def _new(self, formatting: Formatting) -> list[Payment]:
        """The payments of the window in a state that was not told."""
        found = _payments(self.heads.rows, formatting)
        return [
            payment
            for payment in found
            if (payment.at is None or self.window.holds(payment.at))
            and self.progress.is_new(_state_of(payment), payment.at or _EPOCH)
        ]

    def _groups(self, new: Sequence[Payment], formatting: Formatting) -> dict[str, list[Payment]]:
        groups: dict[str, list[Payment]] = {}
        for payment in new:
            groups.setdefault(payment.batch, []).append(payment)
        again: dict[str, list[Payment]] = {}
        for payment in _payments([row for read in self.whole for row in read.rows], formatting):
            again.setdefault(payment.batch, []).append(payment)
        return {key: again.get(key, group) for key, group in groups.items()}

    def _barred(self, wanted: set[str]) -> list[Vendor]:
        """Those of the vendors that something stands against; none where they could not be read."""
        try:
            found = [vendor_in(row) for row in self.vendors.rows]
        except BadValue as error:
            self.vendors.fail(bad_row("VENDOR", str(error)))
            found = []
        return [vendor for vendor in found if vendor.id in wanted and vendor.flags]

    def _told(self, key: str, group: Sequence[Payment], barred: Sequence[Vendor]) -> list[Payment]:
        """What is to be told of the group: all of a batch that says something new, of single payments those that do."""
        if key:
            return list(group) if self._is_news(key, self._body(key, group, barred)) else []
        return [payment for payment in group if self._is_news(f"#{payment.id}", payment_json(payment))]

    def _is_news(self, key: str, said: Mapping[str, Any]) -> bool:
        """Whether a reader would see a difference to what was told under the key; remembers it."""
        mark = hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]
        before = self.progress.batches.pop(key, "")
        self.progress.batches[key] = mark
        self._updates |= {key} if before else set()
        return before != mark

    def _body(self, key: str, group: Sequence[Payment], barred: Iterable[Vendor]) -> dict[str, Any]:
        theirs = {payment.vendor for payment in group}
        return {
            "kind": "batch",
            "key": key,
            "title": group[0].batch_title if key else "",
            "payments": [payment_json(payment) for payment in group],
            "barred": [_vendor_json(vendor) for vendor in barred if vendor.id in theirs],
            "unchecked": self.vendors.failure.text if self.vendors.failure and group else "",
        }

    def _batch(self, key: str, group: Sequence[Payment], barred: Iterable[Vendor]) -> Iterator[tuple[Notice, Record]]:
        body = {
            **self._body(key, group, barred),
            "from": self.window.shown.isoformat(),
            "to": self.window.end.isoformat(),
            "is_update": key in self._updates,
        }
        yield self._pair(key, body, 0)
        if len(group) > MAX_LISTED:
            yield self._pair(key, {**body, "kind": "details"}, 1)

    def _pair(self, key: str, body: dict[str, Any], place: int) -> tuple[Notice, Record]:
        end = self.window.end
        record_id = key or f"{self.account}:{self.window.name}"
        version = self.window.version(place)
        notice = Notice(
            self.account, "payment_batch", record_id, "completed", end,
            change_key=f"payment_batch|{record_id}|{version}",
        )  # fmt: skip
        return notice, Record("payment_batch", record_id, body, (version, ""), updated_at=end)

    def _exception(self, payment: Payment) -> tuple[Notice, Record]:
        at = payment.at or self.window.end
        notice = Notice(
            self.account, "payment", payment.id, STANDINGS[payment.state], at,
            change_key=f"payment|{payment.id}|{payment.state}",
        )  # fmt: skip
        body = {"kind": "payment", "title": payment.batch_title, **payment_json(payment)}
        version = (self.window.version(), "")
        return notice, Record("payment", payment.id, body, version, updated_at=payment.at)

    def _vendor(self, vendor: Vendor, group: Iterable[Payment]) -> tuple[Notice, Record]:
        end = self.window.end
        key = f"vendor|{vendor.id}|{self.window.name}"
        body = {"kind": "vendor", **_vendor_json(vendor), "payments": [payment_json(payment) for payment in group]}
        notice = Notice(self.account, "vendor", vendor.id, "failed", end, change_key=key)
        return notice, Record("vendor", vendor.id, body, (self.window.version(), ""), updated_at=end)


def _payments(rows: Iterable[Any], formatting: Formatting) -> list[Payment]:
    try:
        return [payment_in(row, formatting) for row in rows]
    except BadValue as error:
        raise bad_row("APPYMT", str(error)) from None


def _state_of(payment: Payment) -> str:
    """What is remembered as told: a payment may change its state twice within a second, which is all that times say."""
    return f"{payment.id} {payment.state}"


def payment_json(payment: Payment) -> dict[str, str]:
    """A payment as it is kept in a record."""
    return {
        "id": payment.id,
        "vendor": payment.vendor,
        "vendor_name": payment.vendor_name,
        "number": payment.number,
        "method": payment.method,
        "state": payment.state,
        "label": payment.label or LABELS.get(payment.state, f"state {payment.state or 'unknown'}"),
        "standing": STANDINGS.get(payment.state, "other"),
        "day": payment.day.isoformat() if payment.day else "",
        "amount": str(payment.amount),
        "currency": payment.currency,
        "base_amount": str(payment.base_amount),
        "base_currency": payment.base_currency,
        "link": payment.link,
    }


def _vendor_json(vendor: Vendor) -> dict[str, Any]:
    return {"id": vendor.id, "name": vendor.name, "flags": list(vendor.flags)}
