"""Reading reports: asked for by schedule, trigger or person, and read together for a connection.

What is asked for stands in the database until it has been read. What a report found and how far it got are stored in
one transaction, and only by whoever read from where it still stands: a kill between reading and storing loses nothing,
and two readings at once tell nothing twice.
"""

from __future__ import annotations

import contextlib
import copy
import datetime as dt
import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from django.db import connection as database
from django.db import transaction
from django.db.models import F, Q

from connector import registry
from connector.kernel.contracts import Batch, Context, Notice, Record, Reported, Reporter
from connector.kernel.errors import Misconfigured, Reauthorize, VendorError
from connector.models import Connection, ConnectionState, Cursor, Report
from connector.models.base import keyed_uuid
from connector.pipeline import clock, connections, credentials, directory, keeping, outcomes, polling, reports
from connector.pipeline.polling import Reading

log = logging.getLogger(__name__)

#: A claim outlives its worker by so many seconds at most; a living one renews it.
LEASE = 30.0
#: So often a reading begins anew when another one was quicker.
TRIES = 3


class Overtaken(Exception):
    """Another reading has stored what this one read; nothing is lost."""


def run(connection_id: str | UUID) -> None:
    """Reads what is due for the connection, all of it together; what came of it is written down."""
    connection = Connection.objects.select_related("organization", "credential").get(pk=connection_id)
    if not reports.is_readable(connection):
        return
    claimed = _claim(connection)
    if not claimed:
        return
    try:
        read(connection, list(claimed), origin="poll", claimed=claimed)
    except Overtaken:
        log.info("the reports of %s were read by another worker meanwhile", connection.slug)
    except VendorError as error:
        log.warning("reading the reports of %s failed (%s)", connection.slug, error.code or type(error).__name__)


def _claim(connection: Connection) -> dict[str, dt.datetime]:
    """The names of the due reports that are ours now, each with the time for which it was due."""
    now = clock.now()
    free = Q(lease_until__isnull=True) | Q(lease_until__lt=now)
    found = {}
    for row in Report.objects.filter(free, connection=connection, due_at__lte=now):
        mine = Report.objects.filter(free, pk=row.pk, due_at=row.due_at)
        if mine.update(lease_until=clock.after(LEASE), started_at=now, attempts=F("attempts") + 1):
            assert row.due_at is not None
            found[row.name] = row.due_at
    return found


def read(
    connection: Connection,
    names: Sequence[str],
    *,
    origin: str,
    since: dt.datetime | None = None,
    is_dry: bool = False,
    claimed: Mapping[str, dt.datetime] | None = None,
) -> Reading:
    """Reads the named reports and stores what they found.

    What was read whole is stored even when another report failed; then its verdict is raised. Raises `Overtaken` when
    other readings are quicker each time.
    """
    _refuse_lockout(connection)
    work, claim = _Work(connection, names, origin, since, is_dry=is_dry), outcomes.Claim(clock.now(), claimed)
    rows = Report.objects.filter(connection=connection, name__in=list(claimed or ()))

    def renew() -> None:
        rows.update(lease_until=clock.after(LEASE))

    try:
        with keeping.kept_row(renew, every=LEASE / 3) if claimed else contextlib.nullcontext():
            _run(connection, work)
    except VendorError as error:
        if not is_dry:
            ends = work.outcomes() if work.is_ended else dict.fromkeys(names, error)
            outcomes.settle(connection, ends, work.reading, claim, is_whole=not work.is_ended)
        raise
    except Overtaken:
        rows.update(lease_until=None)
        raise
    if not is_dry:
        outcomes.settle(connection, work.outcomes(), work.reading, claim)
    if work.failures:
        raise next(iter(work.failures.values()))
    return work.reading


def _refuse_lockout(connection: Connection) -> None:
    """A sign-in that the vendor refuses is not repeated, whoever asks to read: the next one may lock the user out."""
    connection.refresh_from_db(fields=["state", "detail_sealed"])
    if connection.state == ConnectionState.NEEDS_REAUTHORIZATION:
        refusal = (connection.detail or "the vendor refuses the sign-in").rstrip(".")
        raise Reauthorize(
            f"{refusal}; nothing is read, so that the user is not locked out. Store the right credentials, or ping "
            f"{connection.slug} once the stored ones are good",
            code="refused_before",
        )


def _run(connection: Connection, work: _Work) -> None:
    for _ in range(TRIES):
        work.begin()
        try:
            _call(connection, work)
        except Overtaken:
            log.info("the reports of %s were read by another worker meanwhile", connection.slug)
        else:
            return
    raise Overtaken


def _call(connection: Connection, work: _Work) -> None:
    """Some of the reports prove nothing about the others: they do not mend a misconfigured connection."""
    is_some = set(work.names) != set(reports.reports_of(connection.system))
    if not (is_some and connection.state == ConnectionState.MISCONFIGURED):
        connections.call(connection, work.run)
        return
    try:
        credentials.call(connection, work.run)
    except Reauthorize as error:
        connections.set_state(connection, ConnectionState.NEEDS_REAUTHORIZATION, error)
        raise


class _Work:
    """One reading of some reports of a connection."""

    def __init__(
        self,
        connection: Connection,
        names: Sequence[str],
        origin: str,
        since: dt.datetime | None,
        *,
        is_dry: bool,
    ) -> None:
        self.names = tuple(names)
        self.reading = Reading()
        self.failures: dict[str, VendorError] = {}
        #: Whether the vendor was read to the end, though perhaps not every part of it.
        self.is_ended = False
        self._told: set[str] = set()
        self._connection, self._origin, self._since, self._is_dry = connection, origin, since, is_dry
        #: Where each report stands, as far as this reading knows.
        self._before: dict[str, Mapping[str, Any]] = {}

    def begin(self) -> None:
        """Sets out from where the reports stand now."""
        names = [_cursor_name(name) for name in self.names]
        rows = Cursor.objects.filter(connection=self._connection, name__in=names)
        states = {row.name: row.state for row in rows}
        self._before = {name: states.get(_cursor_name(name), {}) for name in self.names}

    def outcomes(self) -> dict[str, VendorError | None]:
        return {name: self.failures.get(name) for name in self.names}

    def run(self, ctx: Context) -> None:
        """Goes on from what was stored, should the token be renewed in between.

        A right that is missing for one report is the connection's trouble, and raised when all others are stored.
        """
        source = registry.source(self._connection.system)
        assert isinstance(source, Reporter)
        self.failures.clear()
        self._told.clear()
        self.reading.seen, self.is_ended = 0, False
        for part in source.report(ctx, dict(self._before), since=self._since):
            if part.failure is not None:
                self.failures[part.report] = _said(part.failure, part.report, is_told=part.report in self._told)
            if part.batch.cursor is not None:
                self._told.add(part.report)
            elif not part.batch.records:
                continue
            self.reading.seen += len(part.batch.records)
            fresh = list(polling.news(self._connection, part.batch.records))
            if self._is_dry:
                self.reading.new += len(fresh)
                continue
            directory.ensure(ctx, self._connection, [ref for _, record in fresh for ref in source.references(record)])
            self._store(part, fresh)
        self.is_ended = True
        for failure in self.failures.values():
            if isinstance(failure, Misconfigured):
                raise failure

    def _store(self, part: Reported, fresh: Sequence[tuple[Notice, Record]]) -> None:
        """One part with its cursor. Raises `Overtaken` when the cursor is no longer where this reading began."""
        name = _cursor_name(part.report)
        key = keyed_uuid(self._connection.pk, name)
        with transaction.atomic():
            # Two first readings have a row to meet at.
            Cursor.objects.bulk_create([Cursor(id=key, connection=self._connection, name=name)], ignore_conflicts=True)
            rows = Cursor.objects.filter(pk=key)
            if database.features.has_select_for_update:
                rows = rows.select_for_update()
            if rows.get().state != self._before[part.report]:
                raise Overtaken
            self.reading.new += polling.store(self._connection, Batch(part.batch.notices), fresh, self._origin)
            if part.batch.cursor is not None:
                polling.move_cursor(self._connection, name, part.batch.cursor)
        if part.batch.cursor is not None:
            self._before[part.report] = json.loads(json.dumps(part.batch.cursor))


def _cursor_name(report: str) -> str:
    return f"report {report}"


def _said(failure: VendorError, report: str, *, is_told: bool) -> VendorError:
    """The verdict with what it means for the report."""
    said = "was told, but not all of it" if is_told else "could not be read whole, and nothing of it was told"
    found = copy.copy(failure)  # one failed request may be the failure of several reports
    found.text = f"{report} {said}: {failure.text}"
    found.args = (found.text,)
    return found
