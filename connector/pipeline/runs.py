"""The port of services that customers' programs call in conversations (`kernel.contracts.Intake`).

A call's records, cursors and position are stored in one transaction. Tickets are kept as hashes only.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from django.db import OperationalError, transaction
from django.db.models import F

from connector.kernel.contracts import Caller, Overtaken, RunState, RunStep
from connector.kernel.errors import Misconfigured, VendorError
from connector.kernel.events import RECORDS
from connector.models import Connection, ConnectionState, Cursor, EventState, InboxEvent, Route, Run, RunOutcome
from connector.models.base import keyed_uuid
from connector.pipeline import alerts, audit, clock, connections, credentials, polling

log = logging.getLogger(__name__)
T = TypeVar("T")

IDLE = dt.timedelta(minutes=30)
KEPT = dt.timedelta(days=30)
#: A cursor that a person sets: where the next run starts once.
START = "start"
#: A program waits for a minute; a busy database is asked again within that.
TRIES = 5


class Runs:
    """The runs of one system's connections."""

    def __init__(self, system: str) -> None:
        self._system = system

    def caller(self, name: str) -> Caller | None:
        """The connection of that name, also one that is switched off."""
        connection = self._connections().filter(slug=name).first()
        return _as_caller(connection) if connection else None

    def _connections(self) -> Any:
        return Connection.objects.filter(system=self._system).select_related("organization", "credential")

    def note_call(self, name: str, kind: str) -> None:
        """Remembers the last call of that kind; a refused one with an audit line a minute at most."""
        _patiently(lambda: self._note_call(name, kind))

    def _note_call(self, name: str, kind: str) -> None:
        connection = self._connections().filter(slug=name).first()
        if connection is None:
            return
        now = clock.now()
        key = keyed_uuid(connection.pk, "run", kind)
        with transaction.atomic():
            before = Run.objects.filter(pk=key).values_list("seen_at", flat=True).first()
            columns = {"connection": connection, "outcome": RunOutcome(kind), "started_at": now, "seen_at": now}
            Run.objects.update_or_create(id=key, defaults=columns)
            if kind == RunOutcome.REFUSED and (before is None or now - before > dt.timedelta(minutes=1)):
                entry = audit.Entry("run.refused", connection=connection.slug, reason="wrong password")
                audit.append(connection.organization, entry)

    def open_run(self, name: str, ticket: str, position: Mapping[str, Any], client: str) -> None:
        """Begins the connection's one live run; an older one is over."""
        _patiently(lambda: self._open_run(name, ticket, position, client))

    def _open_run(self, name: str, ticket: str, position: Mapping[str, Any], client: str) -> None:
        now = clock.now()
        with transaction.atomic():
            # The row's lock keeps two beginnings apart.
            connection = self._connections().select_for_update(of=("self",)).get(slug=name)
            live = Run.objects.filter(connection=connection, outcome=RunOutcome.LIVE)
            live.update(
                outcome=RunOutcome.REPLACED,
                ended_at=now,
                step=F("step") + 1,
                reason="It was interrupted, and the next call began anew.",
            )
            old = Run.objects.filter(connection=connection, started_at__lt=now - KEPT, ticket_hash__isnull=False)
            good = old.filter(outcome=RunOutcome.DONE).order_by("-started_at").values_list("pk", flat=True)[:1]
            old.exclude(pk__in=list(good)).delete()
            Run.objects.create(
                connection=connection, ticket_hash=_hash(ticket), started_at=now, seen_at=now,
                position=dict(position), client=client[:120],
            )  # fmt: skip

    def run(self, ticket: str) -> RunState | None:
        """The run of the ticket; a live one that was idle for too long ends here."""
        found = Run.objects.filter(ticket_hash=_hash(ticket)).first() if ticket else None
        if found is None:
            return None
        now = clock.now()
        if found.outcome == RunOutcome.LIVE and now - found.seen_at > IDLE:
            Run.objects.filter(pk=found.pk, step=found.step).update(
                outcome=RunOutcome.EXPIRED,
                ended_at=now,
                step=F("step") + 1,
                reason="No call came for half an hour.",
            )
            found.refresh_from_db()
        connection = self._connections().get(pk=found.connection_id)
        is_ended = found.outcome != RunOutcome.LIVE
        return RunState(str(found.pk), _as_caller(connection), found.started_at, found.position, found.step, is_ended)

    def known(self, run: RunState, records: Iterable[tuple[str, str]]) -> frozenset[tuple[str, str]]:
        """Those of the records that earlier events told of."""
        wanted = set(records)
        rows = InboxEvent.objects.filter(
            connection__slug=run.caller.ctx.connection, record_id__in={record_id for _, record_id in wanted}
        ).exclude(state=EventState.FAILED)
        return frozenset(wanted & set(rows.values_list("record", "record_id")))

    def advance(self, run: RunState, step: RunStep) -> None:
        """Stores the step as a whole. Raises `Overtaken` when the run has moved on since it was read."""
        _patiently(lambda: self._advance(run, step))

    def _advance(self, run: RunState, step: RunStep) -> None:
        connection = self._connections().get(slug=run.caller.ctx.connection)
        with transaction.atomic():
            if not Run.objects.filter(pk=run.id, step=run.step).update(**_columns(step)):
                raise Overtaken
            if step.batch.records or step.batch.notices:
                new = polling.store(connection, step.batch, step.batch.records, "poll")
                Run.objects.filter(pk=run.id).update(records=F("records") + new)
            for name, state in step.cursors.items():
                polling.move_cursor(connection, name, state)
            if step.broken is not None:
                _break(connection, Run.objects.get(pk=run.id), step.broken)
            for text in step.alerts:
                alerts.announce(connection, "failed", text)
        if step.is_done and connection.state != ConnectionState.OK:
            connections.mend(connection, "The last cycle ended well.")


def start_from(connection: Connection, since: dt.datetime) -> None:
    """The next run reads changes since then, once."""
    polling.move_cursor(connection, START, {"since": since.isoformat()})


def _as_caller(connection: Connection) -> Caller:
    opened = Run.objects.filter(connection=connection, ticket_hash__isnull=False).order_by("-started_at", "-pk")
    last = opened.first()
    cursors = Cursor.objects.filter(connection=connection).values_list("name", "state")
    return Caller(
        ctx=credentials.Use(connection).context(credentials.opened(connection.credential)),
        created_at=connection.created_at,
        is_active=connection.is_active,
        wanted=_wanted(connection),
        cursors=dict(cursors),
        pace_from=last.started_at if last is not None and last.outcome == RunOutcome.DONE else None,
    )


def _wanted(connection: Connection) -> frozenset[str]:
    """The record types that some active route of the connection asks for."""
    patterns = {
        str(pattern).partition(".")[0]
        for events in Route.objects.filter(source=connection, is_active=True).values_list("events", flat=True)
        for pattern in events
    }
    return RECORDS if "*" in patterns else RECORDS & patterns


def _columns(step: RunStep) -> dict[str, Any]:
    now = clock.now()
    columns: dict[str, Any] = {"position": dict(step.position), "step": F("step") + 1, "seen_at": now}
    if step.client:
        columns["client"] = step.client[:120]
    if step.is_done or step.broken is not None:
        columns["outcome"] = RunOutcome.BROKEN if step.broken else RunOutcome.DONE
        columns["ended_at"] = now
    return columns


def _break(connection: Connection, run: Run, error: VendorError) -> None:
    """Writes down why a run did not end well, and what that says about the connection."""
    run.code, run.reason, run.detail = error.code[:60], error.text[:300], error.detail
    run.save(update_fields=["code", "reason", "detail_sealed"])
    reason = f"{error.code}: {error.text}" if error.code else error.text
    entry = audit.Entry("run.broken", connection=connection.slug, reason=reason)
    audit.append(connection.organization, entry)
    if isinstance(error, Misconfigured):
        connections.set_state(connection, ConnectionState.MISCONFIGURED, error)
    else:
        connections.note_unreachable(connection, error)
    log.warning("a run of %s did not end well (%s)", connection.slug, error.code or type(error).__name__)


def _hash(ticket: str) -> str:
    return hashlib.sha256(ticket.encode("utf-8", "replace")).hexdigest()


def _patiently(work: Callable[[], T]) -> T:
    """The work, tried again while the database is busy; each try waits for it by itself."""
    for _ in range(TRIES - 1):
        try:
            return work()
        except OperationalError as error:
            log.warning("the database is busy (%s)", type(error).__name__)
    return work()
