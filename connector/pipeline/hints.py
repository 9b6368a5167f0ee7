"""Publishing hints: "look at these rows". A hint may be lost, doubled or late; the sweep finds every row without it.

The web process publishes from a thread of its own, so that no answer to a vendor ever waits for Redis.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from uuid import UUID

from celery import chain
from django.conf import settings
from django.db import transaction
from kombu.exceptions import OperationalError

log = logging.getLogger(__name__)

#: Rows that travel together from fetch to post.
CHUNK = 50
_QUIET_SECONDS = 5.0
_quiet_until = 0.0
lost = 0


def start_events(event_ids: Iterable[UUID | str]) -> None:
    """Hints that these events can move, once the current transaction is committed."""
    ids = [str(event_id) for event_id in event_ids]
    if ids:
        transaction.on_commit(lambda: _submit(lambda: _publish_events(ids)), robust=True)


def drain(mailbox_ids: Iterable[UUID | str], *, after: float = 0.0) -> None:
    """Hints that these mailboxes may have something due, once the current transaction is committed.

    With `after` (seconds) it is the mailbox's one armed drain.
    """
    ids = [str(mailbox_id) for mailbox_id in mailbox_ids]
    if ids:
        transaction.on_commit(lambda: _submit(lambda: _publish_drains(ids, after)), robust=True)


def run(task: str, *arguments: str) -> None:
    """Hints any other task by its name in `connector.tasks`."""
    transaction.on_commit(lambda: _submit(lambda: _publish(task, arguments)), robust=True)


def _publish_events(ids: Sequence[str]) -> None:
    from connector import tasks

    for start in range(0, len(ids), CHUNK):
        part = list(ids[start : start + CHUNK])
        chain(tasks.fetch_events.si(part), tasks.map_events.si(part), tasks.dedupe_events.si(part)).apply_async(
            retry=False
        )


def _publish_drains(ids: Sequence[str], after: float) -> None:
    from connector import tasks

    for mailbox_id in ids:
        tasks.drain_mailbox.apply_async((mailbox_id, after > 0), countdown=after, retry=False)


def _publish(task: str, arguments: Sequence[str]) -> None:
    from connector import tasks

    getattr(tasks, task).apply_async(arguments, retry=False)


def _guarded(publish: Callable[[], None]) -> None:
    """Publishes unless Redis just failed; the loss is counted, and the sweep makes up for it."""
    global _quiet_until, lost  # noqa: PLW0603 - one broker, one silence for the process
    if time.monotonic() < _quiet_until:
        lost += 1
        return
    try:
        publish()
    except (OperationalError, OSError) as error:
        lost += 1
        _quiet_until = time.monotonic() + _QUIET_SECONDS
        log.warning("Redis does not take hints (%s); the sweep will find the rows", type(error).__name__)


class _Publisher:
    """A thread that publishes what the web's requests leave behind."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def put(self, job: Callable[[], None]) -> None:
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="hints", daemon=True)
                self._thread.start()
        self._jobs.put(job)

    def _run(self) -> None:
        while True:
            _guarded(self._jobs.get())


_publisher = _Publisher()


def _submit(publish: Callable[[], None]) -> None:
    if settings.ROLE == "web":
        _publisher.put(publish)
    else:
        _guarded(publish)
