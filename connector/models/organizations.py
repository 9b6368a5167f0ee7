"""Organizations and the keys that outlive a key rotation."""

from __future__ import annotations

from django.db import models

from connector.crypto import sealed_property
from connector.models.base import Row


class Organization(Row):
    """A customer. Nothing of one organization is visible or usable in another."""

    slug = models.SlugField(max_length=64, unique=True)
    name = models.CharField(max_length=200)
    timezone = models.CharField(max_length=64, default="UTC")
    locale = models.CharField(max_length=20, default="en_US")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["slug"]

    def __str__(self) -> str:
        return self.slug


class LastingKey(models.Model):
    """A key for search hashes or the audit chain, made once and kept sealed by ENCRYPTION_KEYS."""

    name = models.CharField(max_length=20, primary_key=True)
    key_sealed = models.TextField()
    key = sealed_property("key_sealed")

    def __str__(self) -> str:
        return self.name
