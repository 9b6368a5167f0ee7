"""The inbox's door: row first, then the answer, then the work.

`record` stores notices in one transaction; whatever repeats an earlier notice changes nothing. An account that is
connected in several organizations gives each its own event; one that is connected nowhere gives an ignored event.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.db import transaction

from connector import registry
from connector.kernel.contracts import Notice, Parsed, Record, Request, Secrets, Signal, Subscriber, System
from connector.kernel.errors import BadSignature
from connector.kernel.events import NAME_KINDS
from connector.models import Connection, EventState, InboxEvent, Payload, PayloadKind
from connector.pipeline import (
    audit,
    clock,
    connections,
    credentials,
    directory,
    hints,
    parking,
    reports,
    subscriptions,
)

log = logging.getLogger(__name__)

#: Seconds that a fresh row is left to its hint before the sweep takes it up.
GRACE = 8.0
#: The longest that a record is left to settle.
MAX_SETTLE = 3600
#: Seconds that a request waits for the vendor's yes to the secret it is signed with.
CONFIRMING = 1.5
_stop = threading.Event()


def receive(system: str, request: Request) -> Parsed:
    """Verifies, parses and stores one inbound request. Raises `BadSignature` with nothing stored."""
    found = registry.system(system)
    signers = _signers(found, request)
    parsed = _parse(found, request)
    if parsed.handshakes and not signers:
        raise BadSignature("a handshake for an address that nobody was given")
    with transaction.atomic():
        events = record(system, parsed.notices, only=signers)
        for handshake in parsed.handshakes:
            subscriptions.offer(request.args.get("subscription", ""), signers or [], handshake)
        for signal in parsed.signals:
            apply_signal(system, signal, only=signers)
        if parsed.is_wake:
            for connection in signers or ():
                reports.ask(connection, reports.reports_of(system))
        hints.start_events(event.pk for event in events)
    return parsed


def _signers(found: System, request: Request) -> list[Connection] | None:
    """The connections for which the signature speaks; None when it is the installation's and speaks for all.

    A secret that one connection brought along proves nothing about another. Raises `BadSignature`.
    """
    app = registry.app_settings(found.name)
    own = Connection.objects.filter(system=found.name, is_active=True).select_related("organization", "credential")
    if slug := request.args.get("connection"):
        connection = own.filter(slug=slug).first()
        if isinstance(found, Subscriber):
            return _subscribed(found, connection, request, app)
        found.verify(request, app, credentials.opened(connection.credential if connection else None))
        return [connection] if connection else []
    try:
        found.verify(request, app, None)
    except BadSignature:
        if signers := _signing_connections(found, own, request):
            return signers
        raise
    return None


def _subscribed(
    found: Subscriber, connection: Connection | None, request: Request, app: Mapping[str, str]
) -> list[Connection]:
    """The connection to whose callback the request came, by a proven secret of that. Raises `BadSignature`.

    The vendor may sign with a secret before it has said yes to it: a request is kept waiting a moment for that.
    """
    subscription = request.args.get("subscription", "")
    held = credentials.opened(connection.credential if connection else None)
    ends = time.monotonic() + CONFIRMING
    while True:
        secrets, is_known = subscriptions.secrets_of(connection, subscription, held)
        try:
            found.verify(request, app, secrets)
        except BadSignature:
            if time.monotonic() > ends or not subscriptions.is_confirming(connection, subscription):
                raise
            _stop.wait(0.1)
        else:
            return [connection] if connection and is_known else []


def _signing_connections(found: System, rows: Iterable[Connection], request: Request) -> list[Connection]:
    """Those whose own signing secret made this signature."""
    if not any(field.name == "signing_secret" for field in found.credential_fields):
        return []
    signers = []
    for connection in rows:
        secret = credentials.opened(connection.credential).get("signing_secret")
        try:
            if secret:
                found.verify(request, {}, Secrets({"signing_secret": secret}))
                signers.append(connection)
        except BadSignature:
            continue
    return signers


def _parse(found: System, request: Request) -> Parsed:
    """What the request says. A parser that stumbles loses nothing: the body is kept as a failed event."""
    try:
        return found.parse(request)
    except Exception:
        log.exception("the parser of %s stumbled", found.name)
        key = hashlib.sha256(request.body).hexdigest()
        raw = request.body.decode("utf-8", "replace")
        return Parsed((Notice(account="", delivery_key=key, raw=raw, problem="the notice could not be understood"),))


def record(
    system: str, notices: Sequence[Notice], *, origin: str = "webhook", only: Sequence[Connection] | None = None
) -> list[InboxEvent]:
    """Stores what is new among the notices; the events that can move at once. In the caller's transaction.

    `only` names the connections that may be meant; without it, all of the notice's account are.
    """
    accounts = {notice.account for notice in notices}
    found = Connection.objects.filter(system=system, account__in=accounts, is_active=True)
    by_account: dict[str, list[Connection]] = {}
    for connection in found.order_by("pk") if only is None else only:
        by_account.setdefault(connection.account, []).append(connection)
    rows: list[tuple[InboxEvent, Notice]] = []
    for notice in notices:
        matches: Sequence[Connection | None] = by_account.get(notice.account) or (None,)
        rows += [(new_event(system, notice, match, origin), notice) for match in matches]
    settling = {event.pk for event, notice in rows if _settle_seconds(notice, event.connection)}
    return [event for event in store(rows) if event.pk not in settling]


def new_event(system: str, notice: Notice, connection: Connection | None, origin: str) -> InboxEvent:
    """The (unsaved) row of a notice, in the state in which it enters."""
    now = clock.now()
    state, reason = EventState.RECEIVED, ""
    if notice.problem:
        state, reason = EventState.FAILED, notice.problem
    elif notice.unknown:
        state, reason = EventState.IGNORED, notice.unknown
    elif connection is None:
        state, reason = EventState.IGNORED, "no connection has this account"
    scope = str(connection.pk) if connection else f"{system}|{notice.account}"
    return InboxEvent(
        connection=connection,
        system=system,
        account=_clean(notice.account, 200),
        origin=origin,
        record=_clean(notice.record, 40),
        record_id=_clean(notice.record_id, 200),
        operation=_clean(notice.operation, 40),
        occurred_at=notice.occurred_at,
        received_at=now,
        delivery_key=_key(scope, notice.delivery_key),
        change_key=_key(scope, notice.change_key),
        state=state,
        state_at=now,
        reason=_clean(reason, 200),
        next_attempt_at=(
            clock.after(_settle_seconds(notice, connection) or GRACE) if state == EventState.RECEIVED else None
        ),
    )


def _settle_seconds(notice: Notice, connection: Connection | None) -> float:
    """How long the record is left to settle; the sweep takes it up then."""
    if not notice.settle_seconds or connection is None:
        return 0.0
    wanted = connection.settings.get("settle_seconds")
    return float(min(max(wanted, 0), MAX_SETTLE)) if isinstance(wanted, int | float) else notice.settle_seconds


def _clean(text: str, limit: int) -> str:
    """Text that any database stores: no NUL, no half of a surrogate pair, not too long."""
    return text.encode("utf-8", "replace").decode().replace("\x00", "")[:limit]


def _key(scope: str, key: str) -> str | None:
    return hashlib.sha256(f"{scope}|{key}".encode("utf-8", "replace")).hexdigest()[:32] if key else None


def store(rows: Sequence[tuple[InboxEvent, Notice]], records: dict[Any, Record] | None = None) -> list[InboxEvent]:
    """Inserts rows with their notices (and records already fetched); returns those that are new and still move."""
    events = [event for event, _ in rows]
    InboxEvent.objects.bulk_create(events, ignore_conflicts=True)
    new = set(InboxEvent.objects.filter(pk__in=[event.pk for event in events]).values_list("pk", flat=True))
    payloads = []
    for event, notice in rows:
        if event.pk not in new:
            continue
        payloads.append(Payload.of(event, PayloadKind.NOTICE, _as_json(notice)))
        if records and event.pk in records:
            payloads.append(Payload.of(event, PayloadKind.RECORD, record_as_json(records[event.pk])))
    Payload.objects.bulk_create(payloads)
    for event, notice in rows:
        if event.connection is not None and notice.unknown and notice.record in NAME_KINDS:
            directory.forget(event.connection, notice.record, notice.record_id)
    _audit_dead(event for event in events if event.pk in new)
    return [event for event in events if event.pk in new and event.state not in (EventState.IGNORED, EventState.FAILED)]


def _audit_dead(events: Iterable[InboxEvent]) -> None:
    """What ends at the door is told at once; the rest when it is routed."""
    for event in events:
        if event.state in (EventState.IGNORED, EventState.FAILED):
            connection = event.connection
            audit.append(
                connection.organization if connection else None,
                audit.Entry(
                    f"event.{event.state}",
                    connection=connection.slug if connection else "",
                    event=str(event.pk),
                    reason=event.reason,
                ),
            )


def _as_json(notice: Notice) -> dict[str, Any]:
    return {
        "account": notice.account, "record": notice.record, "record_id": notice.record_id,
        "operation": notice.operation, "raw": notice.raw,
        "occurred_at": notice.occurred_at.isoformat() if notice.occurred_at else None,
    }  # fmt: skip


def record_as_json(record: Record) -> dict[str, Any]:
    """A record as it is stored; `mapping.read_record` reads it back."""
    times = {name: getattr(record, name) for name in ("created_at", "updated_at", "asked_at")}
    return {
        "record": record.record, "record_id": record.record_id, "body": record.body, "version": list(record.version),
        "is_gone": record.is_gone, **{name: at.isoformat() if at else None for name, at in times.items()},
    }  # fmt: skip


def apply_signal(system: str, signal: Signal, *, only: Sequence[Connection] | None = None) -> None:
    """What a sink's system said about itself, done once; kept in the inbox as a settled event."""
    rows = Connection.objects.filter(system=system, account=signal.account).select_related("organization", "credential")
    for connection in rows:
        if only is not None and connection not in only:
            continue
        notice = Notice(
            account=signal.account, record="connection", record_id=connection.slug, operation=signal.kind,
            occurred_at=signal.at, delivery_key=signal.key, raw=signal.raw,
            unknown=f"noted: {signal.kind} {signal.target}".strip(),
        )  # fmt: skip
        row = new_event(system, notice, connection, "webhook")
        store([(row, notice)])
        if not InboxEvent.objects.filter(pk=row.pk).exists():
            continue
        if signal.kind == "revoked":
            connections.revoked_by_vendor(connection, signal.at, signal.text)
        elif signal.kind == "closed":
            parking.close_target(connection, signal.target, signal.text)
        elif signal.kind == "opened":
            parking.open_target(connection, signal.target)
        elif signal.kind == "renamed":
            parking.rename_target(connection, signal.target, signal.text)
