"""Parking and releasing: one verdict about a channel or a token holds its whole queue, with one alert."""

from __future__ import annotations

from django.db import transaction
from django.db.models import F, QuerySet

from connector import registry
from connector.models import Attempt, Connection, Delivery, DeliveryState, Hold, Mailbox
from connector.pipeline import alerts, audit, clock, hints

#: How often a parked channel or a broken connection is tried again.
RECHECK_SECONDS = 60.0
#: How many of the latest tries tell a flood of refusals.
FLOOD_OF = 50


def park_mailbox(mailbox: Mailbox, hold: Hold, reason: str, *, is_alerted: bool = True) -> bool:
    """Holds the mailbox and everything that waits in it; False when it was held before."""
    connection = mailbox.connection
    with transaction.atomic():
        changed = Mailbox.objects.filter(pk=mailbox.pk, hold="").update(
            hold=hold,
            reason=reason[:200],
            parked_at=clock.now(),
            prepare_at=clock.after(patience(mailbox.parks)),
            parks=F("parks") + 1,
        )
        waiting = Delivery.objects.filter(mailbox=mailbox, state=DeliveryState.WAITING)
        waiting.update(state=DeliveryState.PARKED, hold=hold, reason=reason[:200])
        if not changed:
            return False
        entry = audit.Entry("mailbox.parked", connection=connection.slug, channel=mailbox.target, reason=reason[:200])
        audit.append(connection.organization, entry)
        # A channel that lets us in and then refuses again is told once, until a message has arrived.
        if is_alerted and mailbox.parks == 0:
            alerts.announce(connection, "failed", f"Nothing can be posted to {mailbox.target}: {reason}")
    return True


def patience(parks: int) -> float:
    """Seconds until a parked channel is tried again: longer each time that did not help."""
    return float(min(3600, RECHECK_SECONDS * (1 << min(parks, 10))))


def park_connection(connection: Connection, reason: str) -> None:
    """Holds every mailbox of the connection; the connection's own state change is the alert.

    Where a mailbox is one record, only those in which something waits are held.
    """
    rows = Mailbox.objects.filter(connection=connection).select_related("connection__organization")
    if not registry.sink(connection.system).has_targets:
        rows = rows.filter(deliveries__state=DeliveryState.WAITING).distinct()
    for mailbox in rows:
        park_mailbox(mailbox, Hold.CONNECTION, reason, is_alerted=False)


def stop_flood(connection: Connection, code: str) -> None:
    """Stops everything over the connection when most of its latest messages were refused for one and the same reason.

    Then the fault is rather ours, or of a setting, than of each message; a person replays once it is mended.
    """
    latest = Attempt.objects.filter(message__mailbox__connection=connection).order_by("-id")
    outcomes = list(latest.values_list("outcome", "code")[:FLOOD_OF])
    if len(outcomes) < FLOOD_OF or outcomes.count(("failed", code[:100])) * 2 <= FLOOD_OF:
        return
    reason = f"{code}: more than half of the last {FLOOD_OF} messages were refused for this"
    with transaction.atomic():
        rows = Mailbox.objects.filter(connection=connection).select_related("connection__organization")
        stopped = [park_mailbox(mailbox, Hold.FLOOD, reason, is_alerted=False) for mailbox in rows]
        if any(stopped):
            alerts.announce(connection, "failed", f"Nothing more is sent: {reason}. Mend the cause, then replay.")


def free(rows: QuerySet[Delivery]) -> int:
    """Sets those of the deliveries free that are parked: due now, and with all their retries. How many were."""
    now = clock.now()
    return rows.filter(state=DeliveryState.PARKED).update(
        state=DeliveryState.WAITING, hold="", reason="", next_attempt_at=now, due_since=now
    )


def release(mailbox: Mailbox, *, is_a_guess: bool = False) -> int:
    """Opens the mailbox and sets its queue free; a delivery in doubt is still looked up before it is posted.

    A guess (the channel let us look in) does not reset how often it was parked.
    """
    held = (Hold.TARGET, Hold.CONNECTION, Hold.DOUBT)
    with transaction.atomic():
        opened = (
            Mailbox.objects.filter(pk=mailbox.pk)
            .exclude(hold="")
            .update(hold="", reason="", parked_at=None, parks=F("parks") if is_a_guess else 0)
        )
        freed = free(Delivery.objects.filter(mailbox=mailbox, hold__in=held))
        if opened:
            entry = audit.Entry("mailbox.released", connection=mailbox.connection.slug, channel=mailbox.target)
            audit.append(mailbox.connection.organization, entry)
        if opened or freed:
            hints.drain([mailbox.pk])
    return freed


def release_connection(connection: Connection) -> None:
    """The token or its scopes are mended: what waited for them goes on. A closed channel stays closed."""
    rows = Mailbox.objects.filter(connection=connection).exclude(hold__in=(Hold.TARGET, Hold.FLOOD))
    parked = rows.filter(deliveries__state=DeliveryState.PARKED) | rows.filter(hold=Hold.CONNECTION)
    for mailbox in parked.distinct().select_related("connection__organization"):
        release(mailbox)
    release_readings(connection)


def release_readings(connection: Connection) -> None:
    """What rests since its record could not be read again at this source goes on."""
    rows = Delivery.objects.filter(event__connection=connection, hold=Hold.CONNECTION, mailbox__hold="")
    with transaction.atomic():
        mailboxes = set(rows.filter(state=DeliveryState.PARKED).values_list("mailbox_id", flat=True))
        free(rows)
        hints.drain(mailboxes)


def close_target(connection: Connection, target: str, reason: str) -> None:
    for mailbox in _mailboxes(connection, target):
        park_mailbox(mailbox, Hold.TARGET, reason)


def open_target(connection: Connection, target: str) -> None:
    for mailbox in _mailboxes(connection, target):
        if mailbox.hold in ("", Hold.TARGET):
            release(mailbox)


def rename_target(connection: Connection, target: str, title: str) -> None:
    _mailboxes(connection, target).update(title=title[:200])


def _mailboxes(connection: Connection, target: str) -> QuerySet[Mailbox]:
    return Mailbox.objects.filter(connection=connection, target=target).select_related("connection__organization")
