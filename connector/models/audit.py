"""The audit trail: append-only, chained by hash, one chain for each organization (and one for none)."""

from __future__ import annotations

from django.db import models

from connector.crypto import sealed_property
from connector.models.base import Row


class AuditEntry(Row):
    """One line that never changes. IDs stand as text, so that no deletion elsewhere can reach it.

    `mac` covers every column, the digest of the body, and the entry before (see `pipeline.audit`).
    """

    chain = models.CharField(max_length=64, blank=True)
    number = models.PositiveBigIntegerField()
    at = models.DateTimeField()
    actor = models.CharField(max_length=150)
    action = models.CharField(max_length=60)
    connection = models.CharField(max_length=64, blank=True)
    event = models.CharField(max_length=36, blank=True)
    delivery = models.CharField(max_length=36, blank=True)
    reason = models.CharField(max_length=200, blank=True)
    channel = models.CharField(max_length=200, blank=True)
    ts = models.CharField(max_length=40, blank=True)
    attempts = models.PositiveIntegerField(default=0)
    digest = models.CharField(max_length=64, blank=True)
    mac = models.CharField(max_length=64)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["chain", "number"], name="audit_entry_once")]
        indexes = [models.Index(fields=["at"]), models.Index(fields=["event"]), models.Index(fields=["delivery"])]
        verbose_name_plural = "audit entries"


class AuditBody(models.Model):
    """The sealed body of an entry, apart from it: retention may drop it, and the chain still holds."""

    entry = models.OneToOneField(AuditEntry, primary_key=True, on_delete=models.PROTECT, related_name="body")
    content_sealed = models.TextField()
    content = sealed_property("content_sealed")

    def __str__(self) -> str:
        return str(self.pk)


class AuditHead(models.Model):
    """The end of each chain, and its mark of the day (a cut-off tail shows against it)."""

    chain = models.CharField(max_length=64, primary_key=True)
    number = models.PositiveBigIntegerField(default=0)
    mac = models.CharField(max_length=64, blank=True)

    def __str__(self) -> str:
        return self.chain
