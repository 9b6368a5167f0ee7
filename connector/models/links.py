"""Records that two systems keep in step, and what a source is still to be told of its own."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from connector.crypto import sealed_property
from connector.models.base import Row
from connector.models.connections import Connection


class Link(Row):
    """A record of one connection and its counterpart in another. One row serves both directions.

    `state` is agreed on between the two systems' packages: the values last in step, the entries posted.
    """

    left = models.ForeignKey(Connection, on_delete=models.CASCADE, related_name="links_left")
    right = models.ForeignKey(Connection, on_delete=models.CASCADE, related_name="links_right")
    record = models.CharField(max_length=40)
    left_record_id = models.CharField(max_length=200)
    right_record_id = models.CharField(max_length=200)
    state_sealed = models.TextField(blank=True)
    state = sealed_property("state_sealed")
    changed_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["left", "right", "record", "left_record_id"], name="link_left_once"),
            models.CheckConstraint(condition=~Q(left=models.F("right")), name="link_two_connections"),
        ]
        indexes = [models.Index(fields=["left", "right", "record", "right_record_id"])]


class Watched(Row):
    """A record that the connector wrote at a destination and nobody else may change."""

    connection = models.ForeignKey(Connection, on_delete=models.CASCADE, related_name="watched")
    record = models.CharField(max_length=40)
    record_id = models.CharField(max_length=200)
    #: For the alert: what it stands for at the source.
    origin = models.CharField(max_length=240)
    number = models.CharField(max_length=100, blank=True)
    version = models.BigIntegerField(default=0)
    changed_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["connection", "record", "record_id"], name="watched_once")]
        verbose_name_plural = "watched"


class FeedbackState(models.TextChoices):
    WAITING = "waiting"
    DONE = "done"
    FAILED = "failed"


class Feedback(Row):
    """What became of a record, to be noted on it at its source. Stored with the outcome, written soon after."""

    connection = models.ForeignKey(Connection, on_delete=models.CASCADE, related_name="feedback")
    record = models.CharField(max_length=40)
    record_id = models.CharField(max_length=200)
    status = models.CharField(max_length=20)
    content_sealed = models.TextField()
    content = sealed_property("content_sealed")
    state = models.CharField(max_length=10, choices=FeedbackState, default=FeedbackState.WAITING)
    reason = models.CharField(max_length=300, blank=True)
    attempts = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField()
    next_attempt_at = models.DateTimeField(null=True, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(state__in=FeedbackState.values), name="feedback_state"),
        ]
        indexes = [
            models.Index(fields=["next_attempt_at"], condition=Q(state="waiting"), name="feedback_waiting"),
            models.Index(fields=["connection", "record", "record_id"]),
        ]
