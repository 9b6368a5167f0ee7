"""Readiness: whether the parts that the work needs answer, each asked under a deadline."""

from __future__ import annotations

import time

from django.db import DatabaseError, InterfaceError, connection

from connector import deadline, locks

#: A worker that swept longer ago than this counts as gone (seconds).
WORKER_SECONDS = 60.0
_KEY = f"{locks.PREFIX}worker-seen"


def worker_was_here() -> None:
    """Called by the sweep: a worker is alive and working."""
    try:
        locks.client().set(_KEY, int(time.time()), ex=3600)
    except locks.REDIS_ERRORS:
        return


def readiness() -> dict[str, str]:
    """Each part with "ok" or what is wrong."""
    return {"database": _database(), "redis": "ok" if locks.is_alive() else "does not answer", "worker": _worker()}


def _database() -> str:
    def ask() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM connector_organization")

    try:
        deadline.within(ask, 3.0)
    except (DatabaseError, InterfaceError, deadline.TooLate):
        return "does not answer"
    return "ok"


def _worker() -> str:
    try:
        seen = locks.client().get(_KEY)
    except locks.REDIS_ERRORS:
        return "cannot be seen without Redis"
    if seen is None or time.time() - int(str(seen, "ascii") if isinstance(seen, bytes) else str(seen)) > WORKER_SECONDS:
        return "none was seen lately"
    return "ok"
