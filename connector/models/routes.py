"""Routes: from a connection to a connection, for some events under some conditions."""

from __future__ import annotations

from django.db import models

from connector.crypto import sealed_property
from connector.models.base import Row
from connector.models.connections import Connection
from connector.models.organizations import Organization


class Route(Row):
    """Which events of one connection are told where.

    `events` are patterns (`bill.*`, `*.created`, `*`). `conditions` is the validated `where` of the configuration file.
    """

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="routes")
    name = models.CharField(max_length=200)
    source = models.ForeignKey(Connection, on_delete=models.PROTECT, related_name="routes_from")
    sink = models.ForeignKey(Connection, on_delete=models.PROTECT, related_name="routes_to")
    target = models.CharField(max_length=200, blank=True)
    events = models.JSONField(default=list)
    conditions_sealed = models.TextField(blank=True)
    conditions = sealed_property("conditions_sealed")
    settings = models.JSONField(default=dict, blank=True)
    thread_updates = models.BooleanField(default=False)
    mention = models.CharField(max_length=100, blank=True)
    digest_after = models.PositiveIntegerField(default=0)
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["organization", "name"]
        constraints = [models.UniqueConstraint(fields=["organization", "name"], name="route_name_once")]
        indexes = [models.Index(fields=["source", "is_active"])]
