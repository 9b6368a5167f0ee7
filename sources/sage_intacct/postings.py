"""The report `gl_postings`: what was posted to the ledger since it was last read, and whether it balances."""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Any

from connector.kernel.contracts import Notice, Record
from connector.kernel.errors import VendorError
from connector.kernel.values import BadValue
from sources.sage_intacct import ledger
from sources.sage_intacct.cursor import Progress, Window
from sources.sage_intacct.errors import bad_row
from sources.sage_intacct.formatting import Formatting
from sources.sage_intacct.queries import MAX_IN, Compare, Query, between, either, every
from sources.sage_intacct.reading import Read
from sources.sage_intacct.rows import BATCH_FIELDS, ENTRY_FIELDS, Batch, Entry, batch_in, entry_in

REPORT = "gl_postings"
#: What one message shows; with more, the details follow in a record of their own.
MAX_ACCOUNT_LINES = 10
MAX_BATCHES = 5
MAX_PLACES = 4
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


@dataclasses.dataclass(frozen=True, slots=True)
class Picked:
    """What a window holds that was not told: new batches, told ones that changed, and how many of other kinds."""

    new: tuple[Batch, ...] = ()
    changed: tuple[Batch, ...] = ()
    #: Batches that are not posted, by state.
    apart: tuple[tuple[str, int], ...] = ()
    statistical: int = 0

    @property
    def told(self) -> tuple[Batch, ...]:
        return (*self.new, *self.changed)


@dataclasses.dataclass(slots=True)
class Postings:
    """One reading of the report."""

    account: str
    progress: Progress
    window: Window
    tolerance: Decimal
    heads: Read = dataclasses.field(init=False)
    lines: list[Read] = dataclasses.field(default_factory=list)
    again: list[Read] = dataclasses.field(default_factory=list)
    doubted: frozenset[str] = frozenset()

    def first(self, formatting: Formatting | None) -> list[Read]:
        """The heads of all batches that changed. Drafts come too, to be counted apart."""
        start, end = self.window.filter_times(formatting)
        where = either(
            between("WHENMODIFIED", start, end),
            # A batch that was never touched has no such time, and an old one has 1970.
            every(Compare("isnull", "WHENMODIFIED"), between("WHENCREATED", start, end)),
            every(Compare("lessthan", "WHENMODIFIED", ("01/02/1971 00:00:00",)), between("MODIFIED", start, end)),
        )
        self.heads = Read("glbatch", "GLBATCH", Query("GLBATCH", BATCH_FIELDS, where, page=1000))
        return [self.heads]

    def second(self, formatting: Formatting | None) -> list[Read]:
        """The lines of the batches to tell; of all of them as long as their times cannot be read."""
        if self.heads.failure is not None:
            return []
        ids = [row.get("RECORDNO", "") for row in self.heads.rows]
        if formatting is not None:
            ids = [batch.id for batch in self.pick(formatting).told if batch.is_posted]
        self.lines = _entry_reads(ids, "glentry")
        return self.lines

    def third(self, formatting: Formatting) -> list[Read]:
        """The lines of what seems out of balance, once more before anybody is alarmed."""
        if self.failure() is not None:
            return []
        found = ledger.by_batch(self._entries(self.lines))
        picked = self.pick(formatting)
        doubted = [batch.id for batch in picked.told if self._out(batch, ledger.monetary(found.get(batch.id, [])))]
        self.again = _entry_reads(doubted, "glentry-again")
        self.doubted = frozenset(doubted)
        return self.again

    def failure(self) -> VendorError | None:
        """Why it was not read whole, if so."""
        return next((read.failure for read in (self.heads, *self.lines, *self.again) if read.failure), None)

    def pick(self, formatting: Formatting) -> Picked:
        """The batches of the window by what is to be said of them."""
        new, changed, apart, statistical = [], [], collections.Counter[str](), 0
        for batch in _batches(self.heads.rows, formatting):
            at = batch.at or _EPOCH
            if batch.at and not self.window.holds(at):
                continue
            if batch.id in self.progress.told:
                if self.progress.is_new(batch.id, at):
                    changed.append(batch)
            elif batch.is_posted and not batch.is_statistical:
                new.append(batch)
            elif at > self.window.fresh:
                apart[batch.state or "unknown"] += not batch.is_posted
                statistical += batch.is_posted
        return Picked(tuple(new), tuple(changed), tuple(sorted((+apart).items())), statistical)

    def records(self, formatting: Formatting, *, tells_nothing: bool) -> Iterator[tuple[Notice, Record]]:
        """The run, its details where there is more than fits, and each batch out of balance. Moves the progress."""
        entries = ledger.by_batch(self._entries(self.lines))
        again = ledger.by_batch(self._entries(self.again))
        entries |= {batch_id: again.get(batch_id, []) for batch_id in self.doubted}
        picked = self._settled(self.pick(formatting), entries)
        told = [self._told(batch, entries.get(batch.id, [])) for batch in picked.told]
        if picked.told or tells_nothing:
            yield from self._run(picked, told, entries)
        for batch, body in zip(picked.told, told, strict=True):
            if body["out"]:
                yield self._unbalanced(batch, body)
        for batch in picked.told:
            self.progress.note(batch.id, batch.at or _EPOCH)

    def _settled(self, picked: Picked, entries: dict[str, list[Entry]]) -> Picked:
        """Without what is so young that its lines may still be on their way, and seems not to be whole."""

        def is_settled(batch: Batch) -> bool:
            mine = ledger.monetary(entries.get(batch.id, []))
            seems_whole = bool(mine) and not self._out(batch, mine)
            return seems_whole or not batch.is_posted or not self.window.is_young(batch.at or _EPOCH)

        return dataclasses.replace(
            picked,
            new=tuple(batch for batch in picked.new if is_settled(batch)),
            changed=tuple(batch for batch in picked.changed if is_settled(batch)),
        )

    def _run(
        self, picked: Picked, told: Sequence[dict[str, Any]], entries: dict[str, list[Entry]]
    ) -> Iterator[tuple[Notice, Record]]:
        mine = ledger.monetary(entry for batch in picked.new for entry in entries.get(batch.id, []))
        accounts, places = ledger.accounts(mine), ledger.places(mine)
        fresh = told[: len(picked.new)]
        body = {
            "kind": "run",
            "from": self.window.shown.isoformat(),
            "to": self.window.end.isoformat(),
            "batches": len(picked.new),
            "lines": len(mine),
            "sums": {code: sums.as_json() for code, sums in ledger.totals(mine).items()},
            "accounts": [account.as_json() for account in accounts],
            "journals": dict(collections.Counter(batch.journal for batch in picked.new)),
            "places": [place.as_json() for place in places],
            "unbalanced": [{"name": each["name"], "out": each["out"]} for each in told if each["out"]],
            "bare": [each["name"] for each in fresh if not each["lines"] and not each["is_statistical"]],
            "changed": [[batch.name, "" if batch.is_posted else batch.state] for batch in picked.changed],
            "apart": dict(picked.apart),
            "statistical": picked.statistical,
            "listed": list(told) if len(told) <= MAX_BATCHES else [],
        }
        yield self._pair("run", body, 0)
        sides = sum(bool(account.sums.debit) + bool(account.sums.credit) for account in accounts)
        if sides > MAX_ACCOUNT_LINES or len(told) > MAX_BATCHES or len(places) > MAX_PLACES:
            yield self._pair("details", {**body, "kind": "details", "listed": list(told)}, 1)

    def _pair(self, kind: str, body: dict[str, Any], place: int) -> tuple[Notice, Record]:
        end = self.window.end
        record_id = f"{self.account}:{self.window.name}"
        notice = Notice(
            self.account, "gl_posting", record_id, "completed", end, change_key=f"gl_posting|{record_id}|{kind}"
        )
        return notice, Record("gl_posting", record_id, body, (self.window.version(place), ""), updated_at=end)

    def _unbalanced(self, batch: Batch, body: dict[str, Any]) -> tuple[Notice, Record]:
        at = batch.at or self.window.end
        stamp = int((batch.at or _EPOCH).timestamp())
        notice = Notice(
            self.account, "gl_posting", batch.id, "unbalanced", at, change_key=f"unbalanced|{batch.id}|{stamp}"
        )
        version = (self.window.version(), "")
        return notice, Record("gl_posting", batch.id, {"kind": "unbalanced", **body}, version, updated_at=batch.at)

    def _told(self, batch: Batch, entries: Iterable[Entry]) -> dict[str, Any]:
        mine = ledger.monetary(entries)
        return {
            "id": batch.id,
            "name": batch.name,
            "title": batch.title,
            "journal": batch.journal,
            "day": batch.day.isoformat() if batch.day else "",
            "state": batch.state,
            "link": batch.link,
            "lines": len(mine),
            "sums": {code: sums.as_json() for code, sums in ledger.totals(mine).items()},
            "out": {code: str(gap) for code, gap in self._out(batch, mine).items()},
            "places": [place.as_json() for place in ledger.places(mine)],
            "is_statistical": batch.is_statistical,
        }

    def _out(self, batch: Batch, entries: Iterable[Entry]) -> dict[str, Decimal]:
        """Where the batch is out of balance; what is not posted, or statistical, need not balance."""
        if batch.is_statistical or not batch.is_posted:
            return {}
        return ledger.differences(ledger.totals(entries), self.tolerance)

    def _entries(self, reads: Iterable[Read]) -> list[Entry]:
        try:
            return [entry_in(row) for read in reads for row in read.rows]
        except BadValue as error:
            raise bad_row("GLENTRY", str(error)) from None


def _batches(rows: Iterable[Any], formatting: Formatting) -> list[Batch]:
    try:
        return [batch_in(row, formatting) for row in rows]
    except BadValue as error:
        raise bad_row("GLBATCH", str(error)) from None


def _entry_reads(ids: Sequence[str], name: str) -> list[Read]:
    reads = []
    for number, start in enumerate(range(0, len(ids), MAX_IN), start=1):
        where = Compare("in", "BATCHNO", tuple(ids[start : start + MAX_IN]))
        reads.append(Read(f"{name}-{number}", "GLENTRY", Query("GLENTRY", ENTRY_FIELDS, where)))
    return reads
