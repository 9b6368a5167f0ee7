"""Subscriptions: the callbacks that a vendor was asked to make, one address and one secret each."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from connector.crypto import sealed_property
from connector.models.base import Row
from connector.models.connections import Connection


class SubscriptionState(models.TextChoices):
    PENDING = "pending", "not registered yet"
    WAITING = "waiting", "waits for the handshake"
    ACTIVE = "active", "verified"
    FAILED = "failed", "refused"


class Subscription(Row):
    """One event of a connection, and the callback that tells it. The row comes before the registration.

    Without an `event` it stands for the connection's own address, to which somebody may have registered by hand.
    `verifiers` are the secrets that the vendor confirmed, by callback ID; `offers` those that came with a handshake
    and are not proven yet, as pairs of callback ID and secret.
    """

    connection = models.ForeignKey(Connection, on_delete=models.CASCADE, related_name="subscriptions")
    event = models.CharField(max_length=60, blank=True)
    callback_id = models.CharField(max_length=60, blank=True)
    #: The URI that was registered; PUBLIC_URL may have changed since.
    address = models.CharField(max_length=300, blank=True)
    state = models.CharField(max_length=10, choices=SubscriptionState, default=SubscriptionState.PENDING)
    reason = models.CharField(max_length=200, blank=True)
    state_at = models.DateTimeField()
    #: When to look at it again; moving it is what claims the row.
    check_at = models.DateTimeField()
    failures = models.PositiveIntegerField(default=0)
    verifiers_sealed = models.TextField(blank=True)
    verifiers = sealed_property("verifiers_sealed")
    offers_sealed = models.TextField(blank=True)
    offers = sealed_property("offers_sealed")

    class Meta:
        ordering = ["event"]
        constraints = [
            models.UniqueConstraint(fields=["connection", "event"], name="subscription_once"),
            models.CheckConstraint(condition=models.Q(state__in=SubscriptionState.values), name="subscription_state"),
        ]
        indexes = [models.Index(fields=["check_at"])]

    @property
    def uri(self) -> str:
        """Its address under PUBLIC_URL."""
        own = f"{self.pk}/" if self.event else ""
        return f"{base_uri(self.connection)}{own}"


def base_uri(connection: Connection) -> str:
    """The address of the connection's webhooks."""
    return f"{settings.PUBLIC_URL}/webhooks/{connection.system.replace('_', '-')}/{connection.slug}/"
