"""The stand-in's replication resources: which records of an object were changed or deleted in a span of minutes."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Mapping
from typing import Any

from sources.salesforce.standin_faults import VendorError
from sources.salesforce.standin_records import Records
from sources.salesforce.standin_values import moment, stamp

UPDATED_DAYS, DELETED_DAYS = 30, 15
Document = dict[str, Any]


@dataclasses.dataclass(slots=True)
class Replication:
    """Answers for one org."""

    records: Records
    #: How long the oldest open transaction holds back what can be told.
    lag: dt.timedelta = dt.timedelta(0)
    #: Deletions before this are no longer known; None when all of the last 15 days are.
    forgotten_before: dt.datetime | None = None
    most_ids: int = 600_000

    def updated(self, entity: str, query: Mapping[str, str]) -> Document:
        """The IDs of the records that were created or changed. Raises `VendorError`."""
        start, covered = self._span(query, UPDATED_DAYS)
        rows = self.records.live(entity)
        ids = [row["Id"] for row in rows if start <= row["SystemModstamp"] < covered]
        self._check_count(len(ids))
        return {"ids": ids, "latestDateCovered": stamp(covered)}

    def deleted(self, entity: str, query: Mapping[str, str]) -> Document:
        """The records that were deleted, merged ones among them. Raises `VendorError`."""
        start, covered = self._span(query, DELETED_DAYS)
        earliest = self.records.now() - dt.timedelta(days=DELETED_DAYS)
        earliest = max(earliest, self.forgotten_before or earliest)
        found = [
            {"id": row["Id"], "deletedDate": stamp(row["SystemModstamp"])}
            for row in self.records.rows[entity].values()
            if row["IsDeleted"] and max(start, earliest) <= row["SystemModstamp"] < covered
        ]
        self._check_count(len(found))
        return {
            "deletedRecords": found,
            "earliestDateAvailable": stamp(earliest.replace(second=0)),
            "latestDateCovered": stamp(covered),
        }

    def _span(self, query: Mapping[str, str], days: int) -> tuple[dt.datetime, dt.datetime]:
        """From when, and until when the answer tells; both on the minute."""
        start, end = self._minute(query, "start"), self._minute(query, "end")
        now = self.records.now()
        if start >= end:
            raise VendorError("INVALID_REPLICATION_DATE", "endDate must be at least one minute after startDate")
        if start < now - dt.timedelta(days=days):
            raise VendorError("INVALID_REPLICATION_DATE", f"startDate is more than {days} days ago")
        return start, min(end, (now - self.lag).replace(second=0, microsecond=0))

    def _minute(self, query: Mapping[str, str], name: str) -> dt.datetime:
        if name not in query:
            raise VendorError("MISSING_ARGUMENT", f"{name} parameter is required")
        try:
            return moment(query[name]).replace(second=0, microsecond=0)
        except ValueError:
            raise VendorError("INVALID_REPLICATION_DATE", f"invalid {name} date: {query[name]}") from None

    def _check_count(self, count: int) -> None:
        if count > self.most_ids:
            raise VendorError("EXCEEDED_ID_LIMIT", "Too many ids")
