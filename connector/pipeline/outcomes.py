"""What became of reports that were read: written down, tried again, and told to people where it needs a hand."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Mapping, Sequence

from django.db import transaction
from django.db.models import Q

from connector.kernel.errors import Misconfigured, Reauthorize, Retry, Unknown, VendorError
from connector.models import Connection, Report
from connector.models.base import keyed_uuid
from connector.pipeline import alerts, audit, clock, connections, reports, retry, turns
from connector.pipeline.polling import Reading

#: A report that has been failing for so long is told of.
TELL_AFTER = dt.timedelta(minutes=30)
#: The longest pause that a vendor is granted (seconds).
LONGEST_WAIT = 86400.0


@dataclasses.dataclass(frozen=True, slots=True)
class Claim:
    """What a reading answers: what was asked for until it began, or what it claimed, each with its time."""

    began: dt.datetime
    due: Mapping[str, dt.datetime] | None = None

    def answers(self, name: str) -> Q:
        """Asked for again while it was read, a report is read again."""
        return Q(due_at=self.due[name]) if self.due else Q(due_at__lte=self.began)

    def end(self) -> dict[str, None]:
        """A claim of somebody else stands."""
        return {"lease_until": None} if self.due else {}


def settle(
    connection: Connection,
    ends: Mapping[str, VendorError | None],
    reading: Reading,
    claim: Claim,
    *,
    is_whole: bool = False,
) -> None:
    """Writes down how each report ended. `is_whole`: the connection itself failed."""
    failed = []
    for name, error in ends.items():
        key = keyed_uuid(connection.pk, "report", name)
        Report.objects.bulk_create([Report(id=key, connection=connection, name=name)], ignore_conflicts=True)
        row = Report.objects.get(pk=key)
        if error is None:
            _done(connection, row, reading, claim)
        else:
            _failed(connection, row, error, claim)
            failed.append((row, error))
    _tell(connection, failed, is_whole=is_whole)
    passing = next((error for _, error in failed if _is_passing(error)), None)
    if is_whole and passing is not None and passing.code != turns.CODE:
        connections.note_unreachable(connection, passing)


def _done(connection: Connection, row: Report, reading: Reading, claim: Claim) -> None:
    rows = Report.objects.filter(pk=row.pk)
    rows.filter(claim.answers(row.name)).update(due_at=None, asked_at=None)
    rows.update(
        ended_at=clock.now(), outcome="done", code="", reason="", attempts=0, found=reading.new, told_at=None,
        **claim.end(),
    )  # fmt: skip
    entry = audit.Entry("report.read", connection=connection.slug, reason=f"{row.name}: {reading.new} new")
    audit.append(connection.organization, entry)


def _failed(connection: Connection, row: Report, error: VendorError, claim: Claim) -> None:
    """A transient failure is tried again soon; else it waits for its next time, or for the connection's mending."""
    now = clock.now()
    is_transient, is_parked = _is_passing(error), _is_parked(error)
    wait = min(LONGEST_WAIT, retry.wait_seconds(row.attempts, after=getattr(error, "after", None)))
    with transaction.atomic():
        Report.objects.filter(pk=row.pk).update(
            ended_at=now,
            outcome=reports.PARKED if is_parked else "failed",
            code=error.code[:60],
            reason=error.text[:300],
            due_at=clock.after(wait) if is_transient else (row.due_at if is_parked else None),
            asked_at=(row.asked_at or now) if is_transient or is_parked else None,
            **claim.end(),
        )
        entry = audit.Entry(
            "report.failed", connection=connection.slug, reason=f"{row.name}: {error.code or error.text}"[:200],
            attempts=row.attempts, body={"detail": error.detail} if error.detail else None,
        )  # fmt: skip
        audit.append(connection.organization, entry)


def _is_passing(error: VendorError) -> bool:
    return isinstance(error, Retry | Unknown)


def _is_parked(error: VendorError) -> bool:
    """Whether the connection's own state tells people of it."""
    return isinstance(error, Reauthorize | Misconfigured)


def _tell(connection: Connection, failed: Sequence[tuple[Report, VendorError]], *, is_whole: bool) -> None:
    """Tells people once that reports cannot be read; of a passing trouble only when it lasts."""
    now = clock.now()
    with transaction.atomic():
        told = []
        for row, error in failed:
            is_early = _is_passing(error) and now - (row.asked_at or now) < TELL_AFTER
            rows = Report.objects.filter(pk=row.pk, told_at__isnull=True)
            if not is_early and not _is_parked(error) and rows.update(told_at=now):
                told.append(error)
        for error in told[:1] if is_whole else told:
            what = "Its reports cannot be read: " if is_whole else "The report "
            then = "It goes on being tried" if _is_passing(error) else "It is tried again at its next time"
            alerts.announce(connection, "failed", f"{what}{error.text}. {then}.")
