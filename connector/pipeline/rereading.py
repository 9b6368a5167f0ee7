"""Deliveries whose record is read again: a destination that keeps records is written what the record says now.

What was parked, failed or told before may have been mended at the source since, and the source need not have told of
that. So the record is read again, once for each release, and stored in the place of what the event said before. So it
is where the destination finds that the record may have been overwritten since it was read.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import logging
import time

from django.db import transaction

from connector import registry
from connector.kernel.contracts import Context, Ignored, Notice, Record
from connector.kernel.errors import Misconfigured, Reauthorize, Retry, Unknown, VendorError
from connector.kernel.events import FinancialEvent, to_json
from connector.kernel.values import BadValue
from connector.models import (
    BLOCKED,
    Connection,
    ConnectionState,
    Delivery,
    Hold,
    InboxEvent,
    Message,
    Payload,
    PayloadKind,
)
from connector.pipeline import (
    changes,
    clock,
    composing,
    connections,
    directory,
    hints,
    intake,
    mapping,
    outbox,
    parking,
    resolve,
    retry,
    stumble,
)
from connector.pipeline.outbox import Claim, Outcome

log = logging.getLogger(__name__)

#: The origin of events that a reading again brought to light.
ORIGIN = "reread"
_PAST_RETENTION = (
    "past_retention: the stored record is gone, and its source does not show it any more: enter it there by hand"
)


@dataclasses.dataclass(frozen=True, slots=True)
class Reading:
    """A record as it is now, and what it says; whether that is anything else than what was stored."""

    record: Record
    event: FinancialEvent
    is_changed: bool


def is_due(claim: Claim) -> bool:
    """Whether the claim's record is to be read again before it is written: it was not, since it was set free."""
    delivery = claim.deliveries[0]
    if registry.sink(claim.mailbox.connection.system).has_targets or delivery.event.connection_id is None:
        return False
    rows = Payload.objects.filter(event=delivery.event_id, kind__in=(PayloadKind.RECORD, PayloadKind.EVENT))
    stored = dict(rows.values_list("kind", "created_at"))
    if PayloadKind.EVENT not in stored:
        return True
    # A release is what moves `due_since` on.
    read_at = stored.get(PayloadKind.RECORD)
    return delivery.due_since > delivery.created_at and (read_at is None or read_at < delivery.due_since)


def asked_at(claim: Claim) -> dt.datetime | None:
    """When what the claim tells was asked for at its source; None where that is not known."""
    content = Payload.read(claim.deliveries[0].event, PayloadKind.RECORD)
    return mapping.read_record(content).asked_at if content else None


def read_again(claim: Claim, *, is_anew: bool = False) -> bool:
    """Whether the claim's message can be made: from its record as it is now, where that is due, or wanted `is_anew`.

    Where the source has the record no more, what is stored stands. False: the claim is settled, it waits for the
    source or for a person.
    """
    if not is_anew and not is_due(claim):
        return True
    event, started = claim.deliveries[0].event, time.monotonic()
    assert event.connection_id is not None
    connection = Connection.objects.select_related("organization", "credential").get(pk=event.connection_id)
    try:
        found = _read(connection, claim)
    except (Reauthorize, Misconfigured) as error:
        _park(claim, connection, error, started)
    except (Retry, Unknown) as error:
        _wait(claim, connection, error, started)
    except BadValue as error:
        outbox.failed(claim, _outcome("failed", "unreadable", started), reason=f"the record cannot be read: {error}")
    except stumble.KINDS as error:
        outbox.failed(claim, _outcome("failed", "not_made", started), reason=stumble.reason(error))
    else:
        return _store(claim, connection, found) if found else _is_stored(claim, started)
    return False


def _outcome(word: str, code: str, started: float) -> Outcome:
    return Outcome(word, code, milliseconds=int((time.monotonic() - started) * 1000))


def _verdict(word: str, error: VendorError, started: float) -> Outcome:
    outcome = _outcome(word, error.code or type(error).__name__.lower(), started)
    return dataclasses.replace(outcome, status=error.status, detail=f"{error.text} {error.detail}".strip())


def _read(connection: Connection, claim: Claim) -> Reading | None:
    """The record and what it says now; None where its source has it no more, or has nothing to tell of it.

    Raises the verdict, or `BadValue`.
    """
    event = claim.deliveries[0].event
    notice = resolve.notices_of([event])[event.pk]
    record = _fetched(connection, notice)
    if record is None:
        return None
    before = composing.event_of(event)
    financial = mapping.to_event(connection, notice, intake.record_as_json(record), directory.reader(connection))
    found = registry.source(connection.system).follow(financial, before)
    if isinstance(found, Ignored):
        # It is told again all the same: what does not count as a change may be what was mended.
        found = dataclasses.replace(financial, operation=before.operation)
    takes = registry.sink(claim.mailbox.connection.system).takes
    if takes is not None and found.type not in takes:
        return None
    # The state is as new as the reading: an older one that is still on its way comes late after it.
    times = [at for at in (found.occurred_at, record.updated_at) if at]
    found = dataclasses.replace(found, occurred_at=max(times, default=None), unusual=before.unusual)
    return Reading(record, found, is_changed=changes.is_any(before, found))


def _fetched(connection: Connection, notice: Notice) -> Record | None:
    """The record as its source has it; None where it has it no more, or cannot be asked."""
    source = registry.source(connection.system)
    if not source.can_reread or not connection.is_active:
        return None
    if connection.state in BLOCKED:
        is_refused = connection.state == ConnectionState.NEEDS_REAUTHORIZATION
        raise (Reauthorize if is_refused else Misconfigured)(str(connection.detail or ""), code=connection.state)

    began = clock.now()

    def work(ctx: Context) -> Record:
        for _, found in source.fetch(ctx, [notice]):
            if not isinstance(found, Record):
                raise found if isinstance(found, VendorError) else BadValue(str(found))
            directory.ensure(ctx, connection, source.references(found))
            return dataclasses.replace(found, asked_at=began)
        raise Retry("the source left this record out of its answer", code="missing")

    try:
        record = connections.call(connection, work)
    except (Reauthorize, Misconfigured, Retry, Unknown):
        raise
    except VendorError as error:
        log.info("%s %s is not there to be read again (%s)", notice.record, notice.record_id, error.code)
        return None
    return None if record.is_gone else record


def _store(claim: Claim, connection: Connection, found: Reading) -> bool:
    """Puts what was read in the place of what was stored; False when others have taken the claim over meanwhile.

    A message made of the older state is void. Whoever else is told of the record hears of a change in the usual way.
    """
    delivery, message = claim.deliveries[0], claim.message
    event, operation = delivery.event, found.event.operation
    record = intake.record_as_json(found.record)
    with transaction.atomic():
        if not outbox.is_held(claim):
            return False
        Payload.put_many([(event, PayloadKind.RECORD, record), (event, PayloadKind.EVENT, to_json(found.event))])
        InboxEvent.objects.filter(pk=event.pk).update(operation=operation)
        Message.objects.filter(pk=message.pk).update(content_sealed="")
        if found.is_changed:
            _tell_others(connection, delivery)
    event.operation, message.content = operation, None
    return True


def _tell_others(connection: Connection, delivery: Delivery) -> None:
    """The change as an event of its own, once for each release: perhaps nobody else will ever tell of it."""
    event = delivery.event
    key = f"reread:{delivery.pk}|{delivery.due_since.isoformat()}"
    notice = Notice(connection.account, event.record, event.record_id, "updated", delivery_key=key)
    events = intake.record(connection.system, [notice], origin=ORIGIN, only=[connection])
    hints.start_events(fresh.pk for fresh in events)


def _is_stored(claim: Claim, started: float) -> bool:
    """Whether there is a stored form to tell. Bare IDs, which do for people, would spoil a record."""
    event = claim.deliveries[0].event
    if "text" in (claim.message.content or {}) or Payload.objects.filter(event=event, kind=PayloadKind.EVENT).exists():
        return True
    outbox.failed(claim, _outcome("failed", "past_retention", started), reason=_PAST_RETENTION)
    return False


def _park(claim: Claim, connection: Connection, error: VendorError, started: float) -> None:
    """Until the source's connection is mended, which sets it free."""
    reason = f"{connection.slug} ({connection.state}): the record cannot be read again: {error.text}"
    outbox.parked(claim, Hold.CONNECTION, _verdict("parked", error, started), reason=reason)
    connection.refresh_from_db(fields=["state"])
    if connection.state not in BLOCKED:
        # It was mended just before this rested.
        parking.release_readings(connection)


def _wait(claim: Claim, connection: Connection, error: Retry | Unknown, started: float) -> None:
    head, outcome = claim.deliveries[0], _verdict("retry", error, started)
    if isinstance(error, Unknown) or error.status >= 500 or outcome.code == "unreachable":
        connections.note_unreachable(connection, error)
    reason = f"{connection.slug}: the record cannot be read again: {error.text}"
    if retry.is_exhausted(head.due_since):
        outbox.parked(claim, Hold.EXHAUSTED, outcome, reason=f"{reason}; its retries are used up")
        return
    after, is_throttle = getattr(error, "after", None), getattr(error, "pause_connection", False)
    outbox.waits(claim, retry.wait_seconds(head.attempts, after=after, is_throttle=is_throttle), outcome, reason=reason)
