"""What all tables share: time-ordered keys and a `__str__` that tells IDs only (the admin log stores it)."""

from __future__ import annotations

import os
import threading
import time
import uuid

from django.db import models

_lock = threading.Lock()
_last = 0


def uuid7() -> uuid.UUID:
    """A UUID whose order is the order of creation: within a process always, between processes by the clock."""
    global _last  # noqa: PLW0603 - the one counter of the process
    with _lock:
        # 48 bits of milliseconds and 12 bits below them, as RFC 9562 allows.
        now = time.time_ns() * 4096 // 1_000_000
        _last = max(now, _last + 1)
        stamp = _last
    random = int.from_bytes(os.urandom(8), "big") & ((1 << 62) - 1)
    return uuid.UUID(int=(stamp >> 12) << 80 | 7 << 76 | (stamp & 0xFFF) << 64 | 2 << 62 | random)


def keyed_uuid(*parts: object) -> uuid.UUID:
    """The same UUID for the same parts: the key of rows that exist once for each of something.

    Two workers that write such a row at once seal its content for the same key.
    """
    return uuid.uuid5(uuid.NAMESPACE_OID, "\x1f".join(str(part) for part in parts))


class Row(models.Model):
    """Base of every table with a UUID key."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return str(self.pk)
