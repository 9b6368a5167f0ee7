"""Reports that a source is read for: when each is due, and what became of it."""

from __future__ import annotations

from django.db import models

from connector.models.base import Row
from connector.models.connections import Connection


class Schedule(Row):
    """When a report is made: a cron line in the organization's time zone.

    With a window (either number above 0) it fires only in the last `window_last` and first `window_first` business
    days of a month.
    """

    connection = models.ForeignKey(Connection, on_delete=models.CASCADE, related_name="schedules")
    report = models.CharField(max_length=40)
    cron = models.CharField(max_length=100)
    window_last = models.PositiveSmallIntegerField(default=0)
    window_first = models.PositiveSmallIntegerField(default=0)
    is_active = models.BooleanField(default=True)
    #: The last time for which it fired or was passed over, so that one that nobody fired is noticed.
    fired_at = models.DateTimeField()

    class Meta:
        ordering = ["connection", "report", "cron"]
        constraints = [
            models.UniqueConstraint(
                fields=["connection", "report", "cron", "window_last", "window_first"], name="schedule_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.report} {self.cron}"


class Report(Row):
    """One report of a connection. While `due_at` is set somebody has asked for it; its reading clears it."""

    connection = models.ForeignKey(Connection, on_delete=models.CASCADE, related_name="reports")
    name = models.CharField(max_length=40)
    due_at = models.DateTimeField(null=True, blank=True)
    #: Since when it has been wanted without an answer.
    asked_at = models.DateTimeField(null=True, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    attempts = models.PositiveIntegerField(default=0)
    started_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    outcome = models.CharField(max_length=10, blank=True)
    code = models.CharField(max_length=60, blank=True)
    reason = models.CharField(max_length=300, blank=True)
    found = models.PositiveIntegerField(default=0)
    #: When people were told that it fails, until it is whole again.
    told_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["connection", "name"]
        constraints = [models.UniqueConstraint(fields=["connection", "name"], name="report_once")]
        indexes = [models.Index(fields=["due_at"], condition=models.Q(due_at__isnull=False), name="report_due")]

    def __str__(self) -> str:
        return self.name
