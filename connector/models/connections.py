"""Connections, their credentials, and what is known of each."""

from __future__ import annotations

from django.db import models

from connector.crypto import sealed_property
from connector.models.base import Row
from connector.models.organizations import Organization


class ConnectionState(models.TextChoices):
    OK = "ok"
    NEEDS_REAUTHORIZATION = "needs_reauthorization"
    MISCONFIGURED = "misconfigured"
    UNREACHABLE = "unreachable"
    UNKNOWN = "unknown"


#: States in which nothing is tried on behalf of events and deliveries: a person must act first.
BLOCKED = (ConnectionState.NEEDS_REAUTHORIZATION, ConnectionState.MISCONFIGURED)


class Credential(Row):
    """Secrets of one vendor log-in; several connections of one organization may share it.

    `generation` grows with every change, so that whoever waited for a refresh sees that it was done.
    """

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="credentials")
    system = models.CharField(max_length=40)
    secrets_sealed = models.TextField(blank=True)
    secrets = sealed_property("secrets_sealed")
    generation = models.PositiveIntegerField(default=0)
    expires_at = models.DateTimeField(null=True, blank=True)
    refresh_expires_at = models.DateTimeField(null=True, blank=True)
    hard_expires_at = models.DateTimeField(null=True, blank=True)
    #: When the connector itself last renewed the secrets; a configuration file older than that must not undo it.
    refreshed_at = models.DateTimeField(null=True, blank=True)
    #: When this authorization began (OAuth, file or form); an older revocation notice does not concern it.
    granted_at = models.DateTimeField(null=True, blank=True)
    #: While a worker renews; with `generation`, what keeps two from doing it.
    lease_until = models.DateTimeField(null=True, blank=True)
    failures = models.PositiveIntegerField(default=0)
    retry_at = models.DateTimeField(null=True, blank=True)
    #: Keyed hashes by which another connection of the same log-in is recognised.
    owner_hash = models.CharField(max_length=32, blank=True)
    token_hash = models.CharField(max_length=32, blank=True)
    #: Set while the secrets came from a configuration file (and were at most renewed since): the hash of the refresh
    #: token that stands there. Empty when a person brought them in another way.
    file_hash = models.CharField(max_length=32, blank=True)
    warned_for = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [models.Index(fields=["expires_at"])]


class Connection(Row):
    """One authorized account of a system."""

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="connections")
    slug = models.SlugField(max_length=64, unique=True)
    system = models.CharField(max_length=40)
    account = models.CharField(max_length=200)
    credential = models.ForeignKey(
        Credential, null=True, blank=True, on_delete=models.PROTECT, related_name="connections"
    )
    settings = models.JSONField(default=dict, blank=True)
    state = models.CharField(max_length=24, choices=ConnectionState, default=ConnectionState.UNKNOWN)
    detail_sealed = models.TextField(blank=True)
    detail = sealed_property("detail_sealed")
    state_at = models.DateTimeField(null=True, blank=True)
    checked_at = models.DateTimeField(null=True, blank=True)
    check_due_at = models.DateTimeField(null=True, blank=True)
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["slug"]
        constraints = [
            models.UniqueConstraint(fields=["organization", "system", "account"], name="connection_account_once"),
            models.CheckConstraint(condition=models.Q(state__in=ConnectionState.values), name="connection_state"),
        ]
        indexes = [models.Index(fields=["system", "account"])]

    def __str__(self) -> str:
        return self.slug


class NameOverride(Row):
    """What an organization wants an ID of its books to be called in messages."""

    connection = models.ForeignKey(Connection, on_delete=models.CASCADE, related_name="name_overrides")
    kind = models.CharField(max_length=20)
    record_id = models.CharField(max_length=100)
    name_sealed = models.TextField()
    name = sealed_property("name_sealed")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["connection", "kind", "record_id"], name="name_override_once"),
        ]


class DirectoryName(Row):
    """A name as the source last gave it: the cached name directory of a connection."""

    connection = models.ForeignKey(Connection, on_delete=models.CASCADE, related_name="directory")
    kind = models.CharField(max_length=20)
    record_id = models.CharField(max_length=100)
    entry_sealed = models.TextField()
    entry = sealed_property("entry_sealed")
    is_active = models.BooleanField(default=True)
    fetched_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["connection", "kind", "record_id"], name="directory_name_once"),
        ]


class Cursor(Row):
    """How far a poll got. Moves only in the transaction that stores what the poll found."""

    connection = models.ForeignKey(Connection, on_delete=models.CASCADE, related_name="cursors")
    name = models.CharField(max_length=60)
    state = models.JSONField(default=dict)
    moved_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["connection", "name"], name="cursor_once")]


class VendorCalls(Row):
    """Calls to a vendor by connection, month and outcome: the meter."""

    connection = models.ForeignKey(Connection, on_delete=models.CASCADE, related_name="calls")
    month = models.DateField()
    outcome = models.CharField(max_length=20)
    count = models.PositiveBigIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["connection", "month", "outcome"], name="vendor_calls_once")]
        verbose_name = verbose_name_plural = "vendor calls"


class OAuthState(models.Model):
    """A started authorization. The key is the hash of the `state` that went to the vendor; it is used once.

    `connection` is the one that is authorized anew. `grant` waits here for the choice among several accounts.
    """

    state_hash = models.CharField(max_length=64, primary_key=True)
    session_hash = models.CharField(max_length=64)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE)
    system = models.CharField(max_length=40)
    connection = models.ForeignKey(Connection, null=True, on_delete=models.CASCADE)
    actor = models.CharField(max_length=150)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)
    grant_sealed = models.TextField(blank=True)
    grant = sealed_property("grant_sealed")

    def __str__(self) -> str:
        return self.system
