"""The sweeps: what beat looks for. Each only hints, is limited a pass, and may run twice at once."""

from __future__ import annotations

import datetime as dt
import logging
from collections import defaultdict
from uuid import UUID

from django.conf import settings
from django.db.models import F, Q

from connector import health, registry
from connector.kernel.contracts import Source, Streamer
from connector.models import (
    BLOCKED,
    MOVING,
    Connection,
    ConnectionState,
    Credential,
    Cursor,
    Delivery,
    DeliveryState,
    Hold,
    InboxEvent,
    Mailbox,
    OAuthState,
    Payload,
)
from connector.pipeline import (
    allowance,
    clock,
    contacts,
    credentials,
    feedback,
    hints,
    intake,
    listening,
    polling,
    reports,
    schedules,
    silence,
    subscriptions,
)
from connector.pipeline import connections as connection_states

log = logging.getLogger(__name__)

LIMIT = 1000
POLL_EVERY = dt.timedelta(hours=1)
POLL_OFTEN = dt.timedelta(minutes=5)


def stalled() -> None:
    """Events that stopped moving, mailboxes with something due, and leases that ran out."""
    health.worker_was_here()
    _stalled_events()
    subscriptions.sweep()
    reports.sweep()
    feedback.sweep()
    listening.note_wanted()
    _due_mailboxes()
    _unprepared_mailboxes()


def _stalled_events() -> None:
    now = clock.now()
    rows = (
        InboxEvent.objects.filter(state__in=MOVING, next_attempt_at__lte=now)
        .filter(Q(lease_until__isnull=True) | Q(lease_until__lt=now))
        .exclude(connection__state__in=BLOCKED, state="received")
        .order_by("next_attempt_at")
        .values_list("pk", "connection_id")[:LIMIT]
    )
    by_connection: dict[UUID | None, list[UUID]] = defaultdict(list)
    for pk, connection_id in rows:
        by_connection[connection_id].append(pk)
    for ids in by_connection.values():
        # The next sweep leaves them to this hint for a while.
        InboxEvent.objects.filter(pk__in=ids, state__in=MOVING).update(next_attempt_at=clock.after(intake.GRACE))
        hints.start_events(sorted(ids))


def _due_mailboxes() -> None:
    now = clock.now()
    due = Delivery.objects.filter(
        Q(state=DeliveryState.WAITING, next_attempt_at__lte=now) | Q(state=DeliveryState.SENDING, lease_until__lt=now),
        mailbox__hold="",
    )
    hints.drain(due.order_by().values_list("mailbox_id", flat=True).distinct()[:LIMIT])


def _unprepared_mailboxes() -> None:
    """Joins new channels, and asks parked ones now and then whether they take messages again."""
    now = clock.now()
    rows = Mailbox.objects.filter(hold__in=("", Hold.TARGET), prepare_at__lte=now, connection__state=ConnectionState.OK)
    for pk in list(rows.values_list("pk", flat=True)[:LIMIT]):
        Mailbox.objects.filter(pk=pk).update(prepare_at=clock.after(60))
        hints.run("prepare_mailbox", str(pk))


def connections() -> None:
    """Tokens near their end, gap fills that are due, connections that may have come back, callers gone quiet."""
    _renew_tokens()
    _read_gaps()
    schedules.fire_missed()
    _recheck()
    _notice_trouble()


def _renew_tokens() -> None:
    now = clock.now()
    for connection in _one_for_each_credential():
        credential = connection.credential
        assert credential is not None
        connection_states.warn_of_expiry(connection, credential)
        system = registry.system(connection.system)
        if not system.can_refresh(credentials.opened(credential)):
            continue
        last = credential.refreshed_at or credential.granted_at
        is_old = bool(system.refresh_every) and (
            last is None or now - last > dt.timedelta(seconds=system.refresh_every)
        )
        margin = dt.timedelta(seconds=system.refresh_margin + 60)
        if is_old or (credential.expires_at is not None and credential.expires_at - margin < now):
            hints.run("refresh_credential", str(credential.pk))


def _one_for_each_credential() -> list[Connection]:
    rows = Connection.objects.filter(is_active=True, credential__isnull=False).exclude(
        state=ConnectionState.NEEDS_REAUTHORIZATION
    )
    found = {row.credential_id: row for row in rows.select_related("credential", "organization").order_by("-pk")}
    return list(found.values())


def _read_gaps() -> None:
    for connection in Connection.objects.filter(is_active=True).exclude(state__in=BLOCKED):
        if connection.system not in registry.source_names():
            continue
        if type(registry.source(connection.system)).poll is Source.poll:
            continue
        cursor = Cursor.objects.filter(connection=connection, name=polling.CURSOR).first()
        if cursor is None or cursor.moved_at is None or clock.now() - cursor.moved_at > _poll_every(connection):
            hints.run("poll_connection", str(connection.pk))


def _poll_every(connection: Connection) -> dt.timedelta:
    """Often where a stream is not there to tell what changes."""
    source = registry.source(connection.system)
    if isinstance(source, Streamer) and (not listening.topics_of(connection) or listening.is_silent(connection)):
        return POLL_OFTEN
    return POLL_EVERY


def _notice_trouble() -> None:
    """Allowances near their end, webhooks and callers that say no more, streams that are dead: each is told once."""
    for connection in Connection.objects.filter(is_active=True).select_related("organization"):
        allowance.warn(connection)
        silence.notice(connection)
        if connection.state not in BLOCKED and listening.topics_of(connection):
            listening.tell_silence(connection)
        caller = registry.system(connection.system).caller
        verdict = contacts.tell_silence(connection, caller) if caller else None
        if verdict is not None:
            connection_states.note_unreachable(connection, verdict)


def _recheck() -> None:
    """Broken connections are pinged again, less often the longer they stay broken."""
    now = clock.now()
    rows = Connection.objects.filter(
        Q(state__in=(ConnectionState.MISCONFIGURED, ConnectionState.UNREACHABLE), check_due_at__lte=now)
        | Q(state=ConnectionState.UNKNOWN, checked_at=None),
        is_active=True,
    )
    for connection in rows:
        broken_for = (now - connection.state_at).total_seconds() if connection.state_at else 0.0
        Connection.objects.filter(pk=connection.pk).update(
            check_due_at=clock.after(min(900.0, max(60.0, broken_for / 4)))
        )
        hints.run("check_connection", str(connection.pk))


def old() -> None:
    """Payloads past RETENTION_DAYS go; events, deliveries and audit lines stay. Used OAuth states go, too."""
    limit = clock.now() - dt.timedelta(days=settings.RETENTION_DAYS)
    while ids := list(Payload.objects.filter(created_at__lt=limit).values_list("pk", flat=True)[:LIMIT]):
        Payload.objects.filter(pk__in=ids).delete()
    OAuthState.objects.filter(expires_at__lt=clock.now() - dt.timedelta(days=1)).delete()
    stale = Credential.objects.filter(lease_until__lt=clock.now()).exclude(lease_until=None)
    stale.update(lease_until=None, failures=F("failures"))
