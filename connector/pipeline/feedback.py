"""Telling a source what became of its records: stored with the outcome, written on the record soon after.

Feedback on one record is written in its order; a source that cannot take it now is asked again later.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F, Q

from connector import registry
from connector.kernel.contracts import Context
from connector.kernel.contracts import Feedback as Told
from connector.kernel.errors import Misconfigured, Reauthorize, Reject, Retry, Unknown, VendorError
from connector.models import BLOCKED, Connection, Feedback, FeedbackState
from connector.pipeline import audit, clock, connections, hints, retry

log = logging.getLogger(__name__)

#: Rows written in one task, and how long they are claimed for (seconds).
BATCH, LEASE = 50, 60.0


def store(connection: Connection, told: Iterable[Told]) -> None:
    """Keeps the feedback, in the caller's transaction, where the source takes any."""
    if connection.system not in registry.source_names() or not registry.source(connection.system).takes_feedback:
        return
    now = clock.now()
    rows = []
    for each in told:
        row = Feedback(
            connection=connection, record=each.record, record_id=each.record_id, status=each.status, created_at=now,
            next_attempt_at=now,
        )  # fmt: skip
        row.content = dataclasses.asdict(each)
        rows.append(row)
    Feedback.objects.bulk_create(rows)
    if rows:
        hints.run("write_feedback", str(connection.pk))


def sweep() -> None:
    """Hints again at what is due and nobody's."""
    due = _due().exclude(connection__state__in=BLOCKED).filter(connection__is_active=True)
    for connection_id in list(due.order_by().values_list("connection_id", flat=True).distinct()[:1000]):
        hints.run("write_feedback", str(connection_id))


def _due() -> Any:
    now = clock.now()
    free = Q(lease_until__isnull=True) | Q(lease_until__lt=now)
    return Feedback.objects.filter(free, state=FeedbackState.WAITING, next_attempt_at__lte=now)


def write(connection_id: str | UUID) -> None:
    """Writes what is due on the records of a connection."""
    connection = Connection.objects.select_related("organization", "credential").get(pk=connection_id)
    if connection.state in BLOCKED:
        return
    rows = _claim(connection)
    if not rows:
        return
    try:
        connections.call(connection, lambda ctx: _write_all(ctx, connection, rows))
    except VendorError as error:
        for row in rows:
            _failed(connection, row, error, is_whole=True)
    if _due().filter(connection=connection).exists():
        hints.run("write_feedback", str(connection.pk))


def _claim(connection: Connection) -> list[Feedback]:
    """The oldest due row of each record; the others wait for it."""
    waiting = Feedback.objects.filter(connection=connection, state=FeedbackState.WAITING).order_by("pk")
    heads: dict[tuple[str, str], UUID] = {}
    for pk, record, record_id in waiting.values_list("pk", "record", "record_id")[:1000]:
        heads.setdefault((record, record_id), pk)
    due = list(_due().filter(pk__in=heads.values()).order_by("pk").values_list("pk", flat=True)[:BATCH])
    lease = clock.after(LEASE)
    mine = [pk for pk in due if _due().filter(pk=pk).update(lease_until=lease, attempts=F("attempts") + 1)]
    return list(Feedback.objects.filter(pk__in=mine).order_by("pk"))


def _write_all(ctx: Context, connection: Connection, rows: list[Feedback]) -> None:
    source = registry.source(connection.system)
    while rows:
        row = rows[0]
        try:
            source.note(ctx, Told(**(row.content or {})))
        except (Reject, Retry, Unknown) as error:
            _failed(connection, row, error)
        else:
            _done(connection, row)
        rows.pop(0)


def _done(connection: Connection, row: Feedback) -> None:
    with transaction.atomic():
        if Feedback.objects.filter(pk=row.pk, state=FeedbackState.WAITING).update(
            state=FeedbackState.DONE, ended_at=clock.now(), lease_until=None, next_attempt_at=None, reason=""
        ):
            reason = f"{row.record} {row.record_id}: {row.status}"
            entry = audit.Entry("feedback.written", connection=connection.slug, reason=reason[:200])
            audit.append(connection.organization, entry)


def _failed(connection: Connection, row: Feedback, error: VendorError, *, is_whole: bool = False) -> None:
    """What may help later is tried later; a connection that a person must mend keeps it waiting."""
    waits = isinstance(error, Retry | Unknown) and not retry.is_exhausted(row.created_at)
    waits = waits or (is_whole and isinstance(error, Reauthorize | Misconfigured))
    with transaction.atomic():
        Feedback.objects.filter(pk=row.pk).update(
            state=FeedbackState.WAITING if waits else FeedbackState.FAILED,
            reason=error.text[:300],
            lease_until=None,
            next_attempt_at=clock.after(_wait(row, error)) if waits else None,
            ended_at=None if waits else clock.now(),
        )
        if not waits:
            reason = f"{row.record} {row.record_id}: {error.code or error.text}"
            entry = audit.Entry("feedback.failed", connection=connection.slug, reason=reason[:200])
            audit.append(connection.organization, entry)
            log.warning("feedback %s could not be written (%s)", row.pk, error.code or type(error).__name__)


def _wait(row: Feedback, error: VendorError) -> float:
    return retry.wait_seconds(row.attempts, after=getattr(error, "after", None))
