"""Draining a mailbox: pace, claim, render, post, and one branch for each verdict."""

from __future__ import annotations

import dataclasses
import logging
import time
from uuid import UUID

from django.conf import settings

from connector import locks, registry
from connector.kernel.contracts import Context, Posting, Receipt, Sink
from connector.kernel.contracts import Message as Rendered
from connector.kernel.errors import (
    Misconfigured,
    NotYet,
    Outdated,
    ParkTarget,
    Reauthorize,
    Refuse,
    Reject,
    Retry,
    Unknown,
    Unreadable,
    VendorError,
)
from connector.models import BLOCKED, Connection, Hold, Mailbox
from connector.pipeline import (
    clock,
    composing,
    connections,
    hints,
    links,
    needs,
    outbox,
    parking,
    refusals,
    rereading,
    retry,
    stumble,
)
from connector.pipeline.outbox import Claim, Outcome
from connector.pipeline.pacing import Gate

log = logging.getLogger(__name__)

#: Seconds between two looks for a message in doubt.
LOOK_AGAIN = 3.0
#: Seconds until a mailbox tries again whose channel is just being posted to.
HOLDER_WAIT = 0.5
#: Seconds until a record is written again whose other side was being told meanwhile.
OVERTAKEN_WAIT = 0.1
#: Longer waits than this are left to the sweep.
LONGEST_COUNTDOWN = 60.0


def drain(mailbox_id: str | UUID, *, is_armed: bool = False) -> None:
    """One step of a mailbox: its next message, if the pace allows; then the next step is armed."""
    mailbox = Mailbox.objects.select_related("connection").get(pk=mailbox_id)
    sink = registry.sink(mailbox.connection.system)
    connection = mailbox.connection
    fly = 2 * float(settings.HTTP_TIMEOUT_SECONDS)
    account = f"{connection.system}:{connection.account}"
    gate = Gate(str(mailbox.pk), account, _place(mailbox, sink, account), fly_seconds=fly)
    try:
        if is_armed:
            gate.disarm()
        wait = gate.acquire()
        if wait != 0:
            # Below 0 another posts there; it looks again for its own mailbox only.
            _arm(gate, mailbox, wait if wait > 0 else HOLDER_WAIT)
            return
        started = time.monotonic()
        try:
            _step(mailbox, sink, gate)
        finally:
            gate.release()
        due = outbox.next_due(mailbox.pk)
        if due is not None:
            spacing = float(settings.SLACK_SPACING_SECONDS) if sink.is_paced else 0.0
            _arm(gate, mailbox, max(due, spacing - (time.monotonic() - started), 0.01))
    except locks.RedisAway:
        # Without Redis the pace cannot be kept, so nothing is posted; the rows wait for the sweep.
        log.warning("Redis does not answer; mailbox %s waits", mailbox.pk)


def _place(mailbox: Mailbox, sink: Sink, account: str) -> str:
    """Where one may post at a time: a channel; or a record with its counterpart, whichever way it is told."""
    head = None if sink.has_targets else outbox.queue_of(mailbox).select_related("event").first()
    name = ""
    if head is not None and (event := head.event).connection_id is not None:
        name = links.pair(event.connection_id, mailbox.connection_id, event.record, event.record_id)
    return name or f"{account}:{mailbox.target}"


def _arm(gate: Gate, mailbox: Mailbox, wait: float) -> None:
    if wait <= LONGEST_COUNTDOWN and gate.arm(wait):
        hints.drain([mailbox.pk], after=wait)


def _step(mailbox: Mailbox, sink: Sink, gate: Gate) -> None:
    if mailbox.connection.state in BLOCKED and not mailbox.hold:
        fresh = Connection.objects.select_related("organization").get(pk=mailbox.connection_id)
        if fresh.state in BLOCKED:
            parking.park_connection(fresh, fresh.detail or fresh.state)
            return
    claim = outbox.claim(mailbox.pk)
    if not isinstance(claim, Claim):
        return
    if claim.is_look:
        _look(claim, sink, gate)
    else:
        _post(claim, sink, gate)


def _post(claim: Claim, sink: Sink, gate: Gate, *, is_anew: bool = False) -> None:
    """One try. `is_anew`: what it tells was found too old, and is asked for once more at its source."""
    began = clock.now()
    if not rereading.read_again(claim, is_anew=is_anew):
        return
    try:
        rendered, thread = composing.compose(claim, sink)
    except stumble.KINDS as error:
        outbox.failed(claim, Outcome("failed", "not_made"), reason=stumble.reason(error))
        parking.stop_flood(claim.mailbox.connection, "not_made")
        return
    asked_at = None if sink.has_targets else rereading.asked_at(claim)
    if is_anew and asked_at is not None and asked_at < began:
        asked_at = None  # its source could not be asked: what may be too old is left as it is
    posting = Posting(str(claim.message.pk), claim.mailbox.target, rendered, thread, claim.seen.link, asked_at)
    started = time.monotonic()

    def work(ctx: Context) -> Receipt:
        if clock.after(float(settings.HTTP_TIMEOUT_SECONDS)) > claim.lease_until:
            raise Retry("the lease might end before the post does", code="lease")
        if sink.is_paced and (wait := gate.start_gap(float(settings.SLACK_SPACING_SECONDS))):
            raise Retry("the vendor asked for a pause meanwhile", code="paused", after=wait)
        try:
            return sink.post(ctx, posting)
        finally:
            gate.note_answer()

    try:
        receipt = connections.call(claim.mailbox.connection, work, keep_alive=False)
    except VendorError as error:
        outcome = _outcome(error, started)
        if isinstance(error, Outdated) and not is_anew:
            _post(claim, sink, gate, is_anew=True)
        elif isinstance(error, Unknown):
            outbox.doubtful(claim, LOOK_AGAIN, dataclasses.replace(outcome, word="doubt"), rendered, thread)
        else:
            _refused(claim, error, outcome, gate)
        return
    outcome = Outcome("delivered", code=";".join(receipt.warnings), milliseconds=_ms(started))
    _arrived(claim, receipt, outcome, rendered, thread)


def _arrived(claim: Claim, receipt: Receipt, outcome: Outcome, rendered: Rendered | None, thread: str) -> None:
    """Settled; or, where the other direction used the record's link meanwhile, decided again by what holds now."""
    try:
        outbox.delivered(claim, receipt, outcome, rendered, thread)
    except links.Overtaken:
        outbox.overtaken(claim, OVERTAKEN_WAIT, outcome)


def _ms(started: float) -> int:
    return int((time.monotonic() - started) * 1000)


def _outcome(error: VendorError, started: float) -> Outcome:
    word = {Reject: "failed", Unknown: "doubt"}.get(type(error), "retry" if isinstance(error, Retry) else "parked")
    detail = f"{error.text} {error.detail}".strip()
    return Outcome(word, error.code or type(error).__name__.lower(), error.status, detail, _ms(started))


def _refused(claim: Claim, error: VendorError, outcome: Outcome, gate: Gate) -> None:
    """It was surely not posted: what next is in the verdict."""
    connection = claim.mailbox.connection
    reason = f"{outcome.code}: {error.text}"
    if isinstance(error, Retry):
        _retry(claim, error, outcome, gate)
    elif isinstance(error, Reauthorize | Misconfigured):
        outbox.parked(claim, Hold.CONNECTION, outcome, reason=reason)
        parking.park_connection(connection, reason)
    elif isinstance(error, Refuse):
        refusals.park(claim, error, outcome)
    elif isinstance(error, ParkTarget):
        outbox.parked(claim, Hold.TARGET, outcome, reason=reason)
        parking.park_mailbox(claim.mailbox, Hold.TARGET, reason)
    else:
        refusals.fail(claim, error, outcome)
        parking.stop_flood(connection, outcome.code)


def _retry(claim: Claim, error: Retry, outcome: Outcome, gate: Gate) -> None:
    head = claim.deliveries[0]
    if retry.is_exhausted(head.due_since):
        outbox.parked(claim, Hold.EXHAUSTED, outcome, reason=f"{outcome.code}: {error.text}; its retries are used up")
        return
    seconds = retry.wait_seconds(head.attempts, after=error.after, is_throttle=error.pause_connection)
    if error.pause_connection:
        gate.pause(seconds)
    if error.status >= 500 or outcome.code == "unreachable":
        connections.note_unreachable(claim.mailbox.connection, error)
    outbox.waits(claim, seconds, outcome, reason=outcome.code)
    if isinstance(error, NotYet) and error.needs:
        needs.ask(claim, error.needs)


def _look(claim: Claim, sink: Sink, gate: Gate) -> None:
    """Settles a doubt by reading the target back, never by guessing."""
    message = claim.message
    assert message.first_attempt_at is not None
    rendered = Rendered("") if sink.has_targets else composing.compose(claim, sink)[0]
    posting = Posting(str(message.pk), claim.mailbox.target, rendered, message.thread, claim.seen.link)
    since = message.first_attempt_at
    started = time.monotonic()
    try:
        receipt = connections.call(claim.mailbox.connection, lambda ctx: sink.reconcile(ctx, posting, since))
    except Unreadable as error:
        _unreadable(claim, sink, error, _outcome(error, started))
    except (Reauthorize, Misconfigured) as error:
        outbox.parked(claim, Hold.DOUBT, _outcome(error, started), reason=f"{error.code}: {error.text}")
        parking.park_connection(claim.mailbox.connection, error.text)
    except VendorError as error:
        if retry.is_exhausted(claim.deliveries[0].due_since):
            outbox.parked(claim, Hold.DOUBT, _outcome(error, started), reason=f"it cannot be looked up: {error.text}")
            return
        tries = message.attempts.count()
        after = getattr(error, "after", None) or retry.wait_seconds(tries, is_throttle=True)
        outbox.looked(claim, after, _outcome(error, started), looks=message.looks)
    else:
        _looked(claim, receipt, Outcome("found" if receipt else "absent", milliseconds=_ms(started)))


def _looked(claim: Claim, receipt: Receipt | None, outcome: Outcome) -> None:
    if receipt is not None and rereading.is_due(claim):
        # What is there may be an older state: it is brought in step with what its record says now.
        _absent(claim, outcome)
    elif receipt is not None:
        rendered = (
            None
            if claim.message.content
            else composing.compose(claim, registry.sink(claim.mailbox.connection.system))[0]
        )
        _arrived(claim, receipt, outcome, rendered, claim.message.thread)
    elif claim.message.looks + 1 < registry.sink(claim.mailbox.connection.system).looks:
        outbox.looked(claim, LOOK_AGAIN, outcome, looks=claim.message.looks + 1)
    else:
        _absent(claim, outcome)


def _absent(claim: Claim, outcome: Outcome) -> None:
    """It goes out again: at once after its first try, then later each time, until its retries are used up."""
    head = claim.deliveries[0]
    if retry.is_exhausted(head.due_since):
        reason = "no try got a usable answer; its retries are used up"
        outbox.parked(claim, Hold.EXHAUSTED, outcome, reason=reason)
    else:
        outbox.absent(claim, retry.wait_seconds(head.attempts - 1) if head.attempts > 1 else 0.0, outcome)


def _unreadable(claim: Claim, sink: Sink, error: Unreadable, outcome: Outcome) -> None:
    settings_ = {field.name: field.default for field in sink.settings_fields} | claim.mailbox.connection.settings
    if settings_.get("when_unreadable") == "repost":
        composing.note(claim.message, "Possible repeat: an earlier try may have arrived, and could not be looked up.")
        _absent(claim, outcome)
    else:
        reason = f"it may have arrived already, and that cannot be seen: {error.text}"
        outbox.parked(claim, Hold.DOUBT, outcome, reason=reason)


def prepare(mailbox_id: str | UUID) -> None:
    """Joins the channel or looks whether it takes messages again; a mended one is released."""
    mailbox = Mailbox.objects.select_related("connection__organization", "connection__credential").get(pk=mailbox_id)
    sink = registry.sink(mailbox.connection.system)
    row = Mailbox.objects.filter(pk=mailbox.pk)
    row.update(prepare_at=clock.after(parking.patience(mailbox.parks)))
    try:
        connections.call(mailbox.connection, lambda ctx: sink.prepare(ctx, mailbox.target))
    except VendorError as error:
        log.info("mailbox %s is not ready (%s)", mailbox.pk, error.code or type(error).__name__)
        return
    row.filter(hold="").update(prepare_at=None)
    if mailbox.hold == Hold.TARGET:
        parking.release(mailbox, is_a_guess=True)
