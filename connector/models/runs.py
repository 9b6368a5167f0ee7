"""Runs: conversations in which a customer's program calls us and hands over what changed."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from connector.crypto import sealed_property
from connector.models.base import Row
from connector.models.connections import Connection


class RunOutcome(models.TextChoices):
    LIVE = "live"
    DONE = "done"
    BROKEN = "broken"
    REPLACED = "replaced", "replaced by the next call"
    EXPIRED = "expired", "no call for too long"
    #: Calls that opened no run; one row of each kind for a connection, showing the last such call.
    EARLY = "early", "nothing to do yet"
    REFUSED = "refused", "wrong password"


class Run(Row):
    """One run. Its ticket is stored as a hash; `position` is the vendor package's own and holds no record content.

    `step` grows with every change, so that of two calls at once only one counts.
    """

    connection = models.ForeignKey(Connection, on_delete=models.CASCADE, related_name="runs")
    ticket_hash = models.CharField(max_length=64, null=True, unique=True, editable=False)
    outcome = models.CharField(max_length=10, choices=RunOutcome, default=RunOutcome.LIVE)
    started_at = models.DateTimeField()
    seen_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    step = models.PositiveIntegerField(default=0)
    position = models.JSONField(default=dict)
    records = models.PositiveIntegerField(default=0)
    client = models.CharField(max_length=120, blank=True)
    code = models.CharField(max_length=60, blank=True)
    reason = models.CharField(max_length=300, blank=True)
    detail_sealed = models.TextField(blank=True)
    detail = sealed_property("detail_sealed")
    #: When people were told that no run ended well since this one.
    told_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["connection"], condition=Q(outcome="live"), name="run_live_once"),
            models.CheckConstraint(condition=Q(outcome__in=RunOutcome.values), name="run_outcome"),
        ]
        indexes = [models.Index(fields=["connection", "started_at"])]
