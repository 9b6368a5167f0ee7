"""The outbox: claiming the next message of a mailbox, and writing down what became of it.

Every step is one short transaction and a compare-and-set; no vendor is called inside. A row that is `sending` past its
lease is in doubt: whoever claims it looks the message up before anything is posted again.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Sequence
from uuid import UUID

from django.conf import settings
from django.db import connection as database
from django.db import transaction
from django.db.models import F, Min, QuerySet

from connector import registry
from connector.kernel.contracts import Message as Rendered
from connector.kernel.contracts import Receipt
from connector.models import (
    BLOCKED,
    MOVING,
    Attempt,
    Connection,
    Delivery,
    DeliveryState,
    Hold,
    InboxEvent,
    Mailbox,
    Message,
)
from connector.pipeline import audit, clock, dependents, drift, feedback, links

QUEUED = (DeliveryState.WAITING, DeliveryState.SENDING)
DIGEST_LINES = 45
#: Seconds that a message waits at most for an event stored earlier: its hint may be lost, and workers may die over it.
PATIENCE = 120.0
#: Seconds until a mailbox looks again whether what is ahead of its head has arrived.
BEHIND = 0.25


NOTHING_SEEN = links.Seen()


@dataclasses.dataclass(frozen=True, slots=True)
class Claim:
    """One message that is ours to post, or to look up (`is_look`), until the lease ends."""

    mailbox: Mailbox
    message: Message
    deliveries: tuple[Delivery, ...]
    is_look: bool
    lease_until: dt.datetime
    #: The link of the record, where the destination keeps records.
    seen: links.Seen = NOTHING_SEEN


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """What one try came to, as it is written into the attempt and the audit trail."""

    word: str
    code: str = ""
    status: int = 0
    detail: str = ""
    milliseconds: int = 0


def queue_of(mailbox: Mailbox | UUID) -> QuerySet[Delivery]:
    return Delivery.objects.filter(mailbox=mailbox, state__in=QUEUED).order_by("event_id")


def claim(mailbox_id: str | UUID) -> Claim | float | None:
    """The next message of the mailbox; else seconds until something is due; else None."""
    now = clock.now()
    with transaction.atomic():
        mailbox = _locked(mailbox_id)
        if mailbox.hold:
            return None
        sending = queue_of(mailbox).filter(state=DeliveryState.SENDING).first()
        if sending is not None:
            assert sending.lease_until is not None
            if sending.lease_until > now:
                return (sending.lease_until - now).total_seconds()
            return _take(mailbox, _batch_of(sending), now, is_look=True)
        head = queue_of(mailbox).first()
        if head is None:
            return None
        if head.next_attempt_at is not None and head.next_attempt_at > now:
            return (head.next_attempt_at - now).total_seconds()
        ahead = None if head.message_id else _oldest_on_the_way(mailbox, head)
        if ahead and ahead < head.event_id and head.attempts == 0:
            return BEHIND
        batch = _batch_of(head) if head.message_id else _fold(mailbox, head, before=ahead)
        is_doubtful = head.message is not None and head.message.doubt_at is not None
        return _take(mailbox, batch, now, is_look=is_doubtful)


def _oldest_on_the_way(mailbox: Mailbox, head: Delivery) -> UUID | None:
    """The oldest event that is still to be worked on and may come to this mailbox.

    The order is that of storing; but an event that waits for its vendor (it has failed once) holds nothing back, and
    no other does for longer than `PATIENCE`.
    """
    if head.created_at < clock.after(-PATIENCE):
        return None
    moving = InboxEvent.objects.filter(
        connection__routes_from__sink=mailbox.connection_id,
        connection__routes_from__target=mailbox.target,
        state__in=MOVING,
        attempts=0,
    )
    return moving.exclude(connection__state__in=BLOCKED).order_by("pk").values_list("pk", flat=True).first()


def _locked(mailbox_id: str | UUID) -> Mailbox:
    rows = Mailbox.objects.select_related("connection__organization", "connection__credential")
    if database.features.has_select_for_update:
        rows = rows.select_for_update(of=("self",))
    return rows.get(pk=mailbox_id)


def _batch_of(delivery: Delivery) -> list[Delivery]:
    """The deliveries that go, or went, out in the same message, even where one alone was replayed."""
    rows = Delivery.objects.filter(message=delivery.message).exclude(state=DeliveryState.DELIVERED)
    return list(rows.order_by("event_id").select_related("route", "event"))


def _fold(mailbox: Mailbox, head: Delivery, *, before: UUID | None) -> list[Delivery]:
    """The head alone; or, when the backlog is past its routes' limit, the run of deliveries that becomes a digest.

    The run ends before a message that is being tried already, and before an event that is still on its way.
    """
    waits = Delivery.objects.filter(mailbox=mailbox, state=DeliveryState.WAITING, route__digest_after__gt=0)
    is_folding = registry.sink(mailbox.connection.system).has_targets
    limit = waits.aggregate(least=Min("route__digest_after"))["least"] if is_folding else None
    waiting = queue_of(mailbox).filter(message=None)
    if limit is None:
        return list(waiting.select_related("route", "event")[:1])
    through = mailbox.fold_through
    if through is None or head.event_id > through:
        newest = waiting.order_by("-event_id").values_list("event_id", flat=True).first()
        through = newest if waiting.count() > limit else None
        if through != mailbox.fold_through:
            Mailbox.objects.filter(pk=mailbox.pk).update(fold_through=through)
    run: list[Delivery] = []
    for delivery in queue_of(mailbox).select_related("route", "event")[: DIGEST_LINES if through else 1]:
        folds = through is not None and delivery.route.digest_after > 0 and delivery.event_id <= through
        is_next = folds and not delivery.message_id and (before is None or delivery.event_id < before)
        if run and not is_next:
            break
        run.append(delivery)
        if not folds:
            break
    return run


def _take(mailbox: Mailbox, batch: Sequence[Delivery], now: dt.datetime, *, is_look: bool) -> Claim:
    message = batch[0].message
    if message is None:
        message = Message(mailbox=mailbox)
        message.save(force_insert=True)
    if is_look and message.doubt_at is None:
        message.doubt_at = now
        Message.objects.filter(pk=message.pk).update(doubt_at=now)
    if message.first_attempt_at is None:
        message.first_attempt_at = now
        Message.objects.filter(pk=message.pk).update(first_attempt_at=now)
    lease = now + dt.timedelta(seconds=float(settings.DELIVERY_LEASE_SECONDS))
    Delivery.objects.filter(pk__in=[row.pk for row in batch]).update(
        state=DeliveryState.SENDING,
        hold="",
        lease_until=lease,
        message=message,
        attempts=F("attempts") + (0 if is_look else 1),
    )
    for row in batch:
        row.attempts += 0 if is_look else 1
    return Claim(mailbox, message, tuple(batch), is_look, lease, _seen(mailbox, batch[0].event))


def _seen(mailbox: Mailbox, event: InboxEvent) -> links.Seen:
    if registry.sink(mailbox.connection.system).has_targets or event.connection_id is None:
        return NOTHING_SEEN
    return links.find(event.connection_id, mailbox.connection_id, event.record, event.record_id)


def next_due(mailbox_id: str | UUID) -> float | None:
    """Seconds until the mailbox wants a drain (0 = now); None when nothing waits or it is parked."""
    mailbox = Mailbox.objects.get(pk=mailbox_id)
    head = None if mailbox.hold else queue_of(mailbox).first()
    if head is None:
        return None
    due = head.lease_until if head.state == DeliveryState.SENDING else head.next_attempt_at
    return max(0.0, (due - clock.now()).total_seconds()) if due else 0.0


def _move(claim: Claim, state: DeliveryState, **columns: object) -> bool:
    """Moves the claim's deliveries on, if it is still in force; False when another has claimed or settled them."""
    return bool(_held(claim).update(state=state, lease_until=None, **columns))


def is_held(claim: Claim) -> bool:
    """Whether the claim is still in force; within a transaction it stays so until its end."""
    rows = _held(claim)
    if database.features.has_select_for_update:
        rows = rows.select_for_update(of=("self",))
    return bool(rows.values_list("pk", flat=True))


def _held(claim: Claim) -> QuerySet[Delivery]:
    """The claim's deliveries; none once its lease has ended and another has claimed them."""
    return Delivery.objects.filter(message=claim.message, state=DeliveryState.SENDING, lease_until=claim.lease_until)


def _note(claim: Claim, outcome: Outcome, action: str, *, ts: str = "") -> None:
    """One attempt row for the message, one audit line for each of its deliveries."""
    attempt = Attempt(
        message=claim.message,
        number=claim.deliveries[0].attempts,
        started_at=clock.now() - dt.timedelta(milliseconds=outcome.milliseconds),
        milliseconds=outcome.milliseconds,
        outcome=outcome.word,
        code=outcome.code[:100],
        status=outcome.status,
    )
    attempt.detail = outcome.detail or None
    attempt.save(force_insert=True)
    connection = claim.mailbox.connection
    audit.append(
        connection.organization,
        *(
            audit.Entry(
                action,
                connection=connection.slug,
                event=str(row.event_id),
                delivery=str(row.pk),
                reason=outcome.code[:200],
                channel=claim.mailbox.target,
                ts=ts,
                attempts=row.attempts,
                actor=row.replayed_by or audit.CONNECTOR,
            )
            for row in claim.deliveries
        ),
    )


def _keep_content(claim: Claim, rendered: Rendered | None, **columns: object) -> None:
    if rendered is not None:
        claim.message.content = {"text": rendered.text, "body": dict(rendered.body)}
        columns["content_sealed"] = claim.message.content_sealed
    if columns:
        Message.objects.filter(pk=claim.message.pk).update(**columns)


def delivered(claim: Claim, receipt: Receipt, outcome: Outcome, rendered: Rendered | None, thread: str) -> None:
    """It is there, whatever others made of the claim meanwhile. A second copy is told as such.

    Raises `links.Overtaken`, and stores nothing, where the record's link was used by the other direction meanwhile.
    """
    now = clock.now()
    with transaction.atomic():
        rows = Delivery.objects.filter(message=claim.message).exclude(state=DeliveryState.DELIVERED)
        if not rows.update(state=DeliveryState.DELIVERED, lease_until=None, delivered_at=now, hold="", reason=""):
            if Message.objects.filter(pk=claim.message.pk, **_place(claim, receipt)).exists():
                return
            _note(
                claim,
                dataclasses.replace(outcome, word="repeated", code="posted_again"),
                "delivery.repeated",
                ts=receipt.id,
            )
            return
        _keep_content(claim, rendered, **_place(claim, receipt), thread=thread, posted_at=now, doubt_at=None, looks=0)
        if receipt.is_repeated:
            _note(claim, Outcome("repeated", "found_twice"), "delivery.repeated", ts=receipt.id)
        _keep_in_step(claim, receipt, now)
        if claim.mailbox.parks:
            Mailbox.objects.filter(pk=claim.mailbox.pk).update(parks=0)
        _note(claim, outcome, "delivery.delivered", ts=receipt.id)
        source_id = claim.deliveries[0].event.connection_id
        if receipt.link is not None and claim.seen.link is None and source_id is not None:
            dependents.go_on(source_id, claim.mailbox.connection_id, receipt.link)


def _place(claim: Claim, receipt: Receipt) -> dict[str, str]:
    """Where the message stands. One record takes many: its ID tells none of them apart."""
    if registry.sink(claim.mailbox.connection.system).has_targets:
        return {"ts": receipt.id, "place": receipt.target}
    return {"ts": "", "place": receipt.id}


def _keep_in_step(claim: Claim, receipt: Receipt, now: dt.datetime) -> None:
    """What the receipt says of the record's counterpart, and what its source is to note, with the delivery."""
    event = claim.deliveries[0].event
    if receipt.link is not None and event.connection_id is not None:
        links.keep(event.connection_id, claim.mailbox.connection_id, receipt.link, before=claim.seen, now=now)
    if receipt.watched:
        drift.watch(claim.mailbox.connection_id, receipt.watched, origin=f"{event.record} {event.record_id}")
    if receipt.feedback and event.connection_id is not None:
        connection = Connection.objects.select_related("organization").get(pk=event.connection_id)
        feedback.store(connection, receipt.feedback)


def waits(claim: Claim, seconds: float, outcome: Outcome, *, reason: str) -> None:
    """Definitely not there, and worth another try after so many seconds."""
    with transaction.atomic():
        if _move(claim, DeliveryState.WAITING, next_attempt_at=clock.after(seconds), reason=reason[:200]):
            _note(claim, outcome, "delivery.retry")


def doubtful(claim: Claim, seconds: float, outcome: Outcome, rendered: Rendered | None, thread: str) -> None:
    """Perhaps there: to be looked up after so many seconds, before anything else is posted to the target."""
    with transaction.atomic():
        if _held(claim).update(lease_until=clock.after(seconds), reason=outcome.code[:200]):
            extra = {"thread": thread} if rendered is not None else {}
            _keep_content(claim, rendered, doubt_at=claim.message.doubt_at or clock.now(), **extra)
            _note(claim, outcome, "delivery.doubt")


def looked(claim: Claim, seconds: float, outcome: Outcome, *, looks: int) -> None:
    """A look that settled nothing yet: the next one comes after so many seconds."""
    with transaction.atomic():
        if _held(claim).update(lease_until=clock.after(seconds)):
            Message.objects.filter(pk=claim.message.pk).update(looks=looks)
            _note(claim, outcome, "delivery.looked")


def absent(claim: Claim, seconds: float, outcome: Outcome) -> None:
    """Looked for and surely not there: it goes out again after so many seconds."""
    with transaction.atomic():
        if _move(claim, DeliveryState.WAITING, next_attempt_at=clock.after(seconds)):
            Message.objects.filter(pk=claim.message.pk).update(doubt_at=None, looks=0)
            _note(claim, outcome, "delivery.absent")


def overtaken(claim: Claim, seconds: float, outcome: Outcome) -> None:
    """It was decided by what holds no more, and is decided again after so many seconds."""
    with transaction.atomic():
        if _move(claim, DeliveryState.WAITING, next_attempt_at=clock.after(seconds)):
            Message.objects.filter(pk=claim.message.pk).update(doubt_at=None, looks=0)
            _note(claim, dataclasses.replace(outcome, word="retry", code="overtaken"), "delivery.retry")


def parked(claim: Claim, hold: Hold, outcome: Outcome, *, reason: str) -> bool:
    """Waits for a person or a mended target, token or scope; False when others have settled it."""
    with transaction.atomic():
        is_mine = _move(claim, DeliveryState.PARKED, hold=hold, reason=reason[:200])
        if is_mine:
            _note(claim, outcome, "delivery.parked")
    return is_mine


def failed(claim: Claim, outcome: Outcome, *, reason: str) -> bool:
    """Refused for good; the queue goes on without it. False when others have settled it."""
    with transaction.atomic():
        is_mine = _move(claim, DeliveryState.FAILED, reason=reason[:200])
        if is_mine:
            _note(claim, outcome, "delivery.failed")
    return is_mine
