"""The state of connections: what verdicts do to it, whom they alert, and what a mended connection sets free."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable
from typing import Any, TypeVar

from django.db import transaction

from connector import registry
from connector.kernel.contracts import Context, System
from connector.kernel.errors import Misconfigured, Reauthorize, Retry, Unknown, VendorError
from connector.models import (
    BLOCKED,
    MOVING,
    Connection,
    ConnectionState,
    Credential,
    InboxEvent,
    Subscription,
    SubscriptionState,
)
from connector.pipeline import alerts, audit, clock, contacts, credentials, hints, parking
from connector.pipeline.parking import RECHECK_SECONDS

log = logging.getLogger(__name__)
T = TypeVar("T")

WARN_BEFORE = dt.timedelta(days=30)


def call(connection: Connection, work: Callable[[Context], T], **use: Any) -> T:
    """`credentials.call`, with what its outcome says about the connection written down."""
    answers: list[str] = []
    try:
        result = credentials.call(connection, work, answers=answers, **use)
    except Reauthorize as error:
        set_state(connection, ConnectionState.NEEDS_REAUTHORIZATION, error)
        raise
    except Misconfigured as error:
        set_state(connection, ConnectionState.MISCONFIGURED, error)
        raise
    if answers and connection.state != ConnectionState.OK:
        mend(connection, "")
    return result


def set_state(connection: Connection, state: ConnectionState, error: VendorError) -> None:
    """Marks the connection, and every other one that shares its credential, once; each change is told."""
    affected = [connection]
    if state == ConnectionState.NEEDS_REAUTHORIZATION and connection.credential_id:
        affected = list(
            Connection.objects.filter(credential_id=connection.credential_id).select_related("organization")
        )
    for each in affected:
        _set_one(each, state, error.text, error.code)
    connection.refresh_from_db(fields=["state", "detail_sealed", "state_at"])


def _set_one(connection: Connection, state: ConnectionState, text: str, code: str) -> None:
    connection.detail = text
    with transaction.atomic():
        changed = (
            Connection.objects.filter(pk=connection.pk)
            .exclude(state=state)
            .update(
                state=state,
                detail_sealed=connection.detail_sealed,
                state_at=clock.now(),
                check_due_at=clock.after(RECHECK_SECONDS),
            )
        )
        if not changed:
            return
        reason = f"{state.value}: {code}" if code else state.value
        audit.append(
            connection.organization,
            audit.Entry(f"connection.{state.value}", connection=connection.slug, reason=reason, body={"text": text}),
        )
        operation = "needs_reauthorization" if state == ConnectionState.NEEDS_REAUTHORIZATION else "failed"
        alerts.announce(connection, operation, text)
    log.warning("connection %s is %s (%s)", connection.slug, state.value, code or "no code")


def mend(connection: Connection, detail: str) -> None:
    """The connection works again: its state says so, and what waited for it goes on."""
    connection.detail = detail
    with transaction.atomic():
        changed = (
            Connection.objects.filter(pk=connection.pk)
            .exclude(state=ConnectionState.OK)
            .update(
                state=ConnectionState.OK,
                detail_sealed=connection.detail_sealed,
                state_at=clock.now(),
                check_due_at=None,
            )
        )
        if changed:
            audit.append(connection.organization, audit.Entry("connection.ok", connection=connection.slug))
        release(connection)
    connection.refresh_from_db(fields=["state", "detail_sealed", "state_at"])


def release(connection: Connection) -> None:
    """Sets free what waited for the token or scopes of this connection: events, callbacks, deliveries through it."""
    waiting = InboxEvent.objects.filter(connection=connection, state__in=MOVING)
    ids = list(waiting.order_by("pk").values_list("pk", flat=True)[:1000])
    # What waited for a person starts its day of tries anew.
    waiting.update(next_attempt_at=clock.now(), state_at=clock.now())
    hints.start_events(ids)
    refused = Subscription.objects.filter(connection=connection, state=SubscriptionState.FAILED)
    refused.exclude(event="").update(check_at=clock.now())
    parking.release_connection(connection)


def check(connection_id: str) -> str:
    """The ping: calls the real system, and stores and returns what came of it. Raises the verdict on failure."""
    connection = Connection.objects.select_related("organization", "credential").get(pk=connection_id)
    system = registry.system(connection.system)
    now = clock.now()
    try:
        detail = contacts.sentence(connection, system.caller) if system.caller else _called(connection, system)
    except VendorError as error:
        _note_failed_check(connection, error)
        raise
    finally:
        Connection.objects.filter(pk=connection.pk).update(checked_at=now)
    mend(connection, detail)
    connection.detail = detail
    Connection.objects.filter(pk=connection.pk).update(detail_sealed=connection.detail_sealed)
    return detail


def _called(connection: Connection, system: System) -> str:
    return credentials.call(connection, system.check)


def recheck(connection_id: str) -> None:
    """A ping by beat: what came of it is stored, and nobody waits for it."""
    try:
        check(connection_id)
    except VendorError as error:
        log.info("the ping of connection %s failed (%s)", connection_id, error.code or type(error).__name__)


def _note_failed_check(connection: Connection, error: VendorError) -> None:
    state = {
        Reauthorize: ConnectionState.NEEDS_REAUTHORIZATION,
        Misconfigured: ConnectionState.MISCONFIGURED,
    }.get(type(error))
    if state is not None:
        set_state(connection, state, error)
    elif isinstance(error, Retry | Unknown):
        note_unreachable(connection, error)
    else:
        set_state(connection, ConnectionState.MISCONFIGURED, error)


def note_unreachable(connection: Connection, error: VendorError) -> None:
    """No usable answer: shown, but no reason to stop trying. A blocked connection stays blocked."""
    connection.detail = error.text
    Connection.objects.filter(pk=connection.pk).exclude(state__in=BLOCKED).update(
        state=ConnectionState.UNREACHABLE,
        detail_sealed=connection.detail_sealed,
        state_at=clock.now(),
        check_due_at=clock.after(RECHECK_SECONDS),
    )


def renew(credential_id: str) -> None:
    """Renews a credential whose time has come (beat), and writes down what came of it."""
    credential = Credential.objects.filter(pk=credential_id).first()
    connection = (
        Connection.objects.filter(credential_id=credential_id).select_related("organization", "credential").first()
    )
    if credential is None or connection is None or connection.state == ConnectionState.NEEDS_REAUTHORIZATION:
        return
    try:
        credentials.renew(connection, credential)
    except Reauthorize as error:
        set_state(connection, ConnectionState.NEEDS_REAUTHORIZATION, error)
    except Misconfigured as error:
        set_state(connection, ConnectionState.MISCONFIGURED, error)
    except (Retry, Unknown) as error:
        log.warning("token of %s was not renewed (%s); it is tried again", connection.slug, error.code)


def warn_of_expiry(connection: Connection, credential: Credential) -> None:
    """Tells once that an authorization will end for good within 30 days."""
    ends = min((at for at in (credential.refresh_expires_at, credential.hard_expires_at) if at), default=None)
    if ends is None or ends - clock.now() > WARN_BEFORE or credential.warned_for == ends:
        return
    text = f"The authorization of {connection.slug} ends on {ends:%d %b %Y}: connect again before then."
    with transaction.atomic():
        if Credential.objects.filter(pk=credential.pk).exclude(warned_for=ends).update(warned_for=ends):
            audit.append(
                connection.organization,
                audit.Entry("connection.expires_soon", connection=connection.slug, reason=f"ends {ends:%Y-%m-%d}"),
            )
            alerts.announce(connection, "needs_reauthorization", text, key=f"expiry {ends.isoformat()}")


def revoked_by_vendor(connection: Connection, at: dt.datetime, text: str) -> bool:
    """A vendor told us that our token is dead; False when the connection was authorized again after that."""
    credential = connection.credential
    if credential is not None and credential.granted_at is not None and credential.granted_at > at:
        return False
    set_state(connection, ConnectionState.NEEDS_REAUTHORIZATION, Reauthorize(text, code="revoked"))
    parking.park_connection(connection, text)
    return True
