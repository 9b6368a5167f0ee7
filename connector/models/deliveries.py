"""The outbox: what is to be told where, the messages that told it, and every try."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from connector.crypto import sealed_property
from connector.models.base import Row
from connector.models.connections import Connection
from connector.models.inbox import InboxEvent
from connector.models.routes import Route


class DeliveryState(models.TextChoices):
    WAITING = "waiting"
    SENDING = "sending"
    DELIVERED = "delivered"
    PARKED = "parked"
    FAILED = "failed"


class Hold(models.TextChoices):
    """What a parked delivery waits for."""

    TARGET = "target", "the channel"
    CONNECTION = "connection", "the token or its scopes"
    DOUBT = "doubt", "an outcome that cannot be read back"
    EXHAUSTED = "exhausted", "a person: its retries are used up"
    REFUSED = "refused", "a person: the other side wants a change first"
    FLOOD = "flood", "a person: too many refusals of one kind"


class Mailbox(Row):
    """The ordered deliveries of one target (a channel). Parked as a whole when the target cannot take messages."""

    connection = models.ForeignKey(Connection, on_delete=models.PROTECT, related_name="mailboxes")
    target = models.CharField(max_length=200)
    title = models.CharField(max_length=200, blank=True)
    hold = models.CharField(max_length=12, choices=Hold, blank=True)
    reason = models.CharField(max_length=200, blank=True)
    parked_at = models.DateTimeField(null=True, blank=True)
    #: When its target is to be looked at: joined at first, and tried again while it is parked.
    prepare_at = models.DateTimeField(null=True, blank=True)
    #: How often it was parked since its last message arrived.
    parks = models.PositiveIntegerField(default=0)
    #: While a backlog is folded into digests: the newest event that still goes into one.
    fold_through = models.UUIDField(null=True, blank=True, editable=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["connection", "target"], name="mailbox_once")]
        verbose_name_plural = "mailboxes"


class Message(Row):
    """One message at its target. Its key goes out in the message's metadata, and finds it again there.

    `doubt_at` is set while it may have been posted though nobody said so.
    """

    mailbox = models.ForeignKey(Mailbox, on_delete=models.PROTECT, related_name="messages")
    content_sealed = models.TextField(blank=True)
    content = sealed_property("content_sealed")
    thread = models.CharField(max_length=40, blank=True)
    ts = models.CharField(max_length=40, blank=True)
    place = models.CharField(max_length=200, blank=True)
    first_attempt_at = models.DateTimeField(null=True, blank=True)
    doubt_at = models.DateTimeField(null=True, blank=True)
    looks = models.PositiveIntegerField(default=0)
    posted_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["mailbox", "ts"], condition=~Q(ts=""), name="message_ts_once"),
        ]


class Delivery(Row):
    """One event for one route. `state_key` is the record's state told: one route tells one state once."""

    event = models.ForeignKey(InboxEvent, on_delete=models.PROTECT, related_name="deliveries")
    route = models.ForeignKey(Route, on_delete=models.PROTECT, related_name="deliveries")
    mailbox = models.ForeignKey(Mailbox, on_delete=models.PROTECT, related_name="deliveries")
    message = models.ForeignKey(Message, null=True, blank=True, on_delete=models.PROTECT, related_name="deliveries")
    record_key = models.CharField(max_length=32)
    state_key = models.CharField(max_length=100)
    state = models.CharField(max_length=10, choices=DeliveryState, default=DeliveryState.WAITING)
    hold = models.CharField(max_length=12, choices=Hold, blank=True)
    reason = models.CharField(max_length=200, blank=True)
    attempts = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField()
    due_since = models.DateTimeField()
    next_attempt_at = models.DateTimeField(null=True, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    delivered_at = models.DateTimeField(null=True, blank=True)
    replayed_by = models.CharField(max_length=150, blank=True)

    class Meta:
        verbose_name_plural = "deliveries"
        constraints = [
            models.UniqueConstraint(fields=["event", "route"], name="delivery_once"),
            models.UniqueConstraint(fields=["route", "record_key", "state_key"], name="delivery_state_once"),
            models.CheckConstraint(condition=Q(state__in=DeliveryState.values), name="delivery_state"),
            models.CheckConstraint(
                condition=~Q(state="sending") | Q(lease_until__isnull=False, message__isnull=False),
                name="delivery_sending_has_lease",
            ),
            models.CheckConstraint(
                condition=~Q(state="delivered") | Q(message__isnull=False, delivered_at__isnull=False),
                name="delivery_delivered_has_message",
            ),
            models.CheckConstraint(condition=~Q(state="parked") | ~Q(hold=""), name="delivery_parked_has_hold"),
        ]
        indexes = [
            # The queue of a mailbox, oldest event first.
            models.Index(
                fields=["mailbox", "event"], condition=Q(state__in=["waiting", "sending"]), name="delivery_queue"
            ),
            models.Index(fields=["route", "record_key"]),
            models.Index(fields=["state", "mailbox"]),
        ]


class Attempt(Row):
    """One try to post, or to read back, a message."""

    message = models.ForeignKey(Message, on_delete=models.PROTECT, related_name="attempts")
    number = models.PositiveIntegerField()
    started_at = models.DateTimeField()
    milliseconds = models.PositiveIntegerField(default=0)
    outcome = models.CharField(max_length=20)
    code = models.CharField(max_length=100, blank=True)
    status = models.PositiveIntegerField(default=0)
    detail_sealed = models.TextField(blank=True)
    detail = sealed_property("detail_sealed")
