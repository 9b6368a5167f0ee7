"""Running database work under a deadline, so that a frozen database never holds a vendor's request."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from typing import TypeVar

from django.db import close_old_connections

T = TypeVar("T")
#: Vendors want their answer within 3 seconds.
SECONDS = 2.6
THREADS = 16


class TooLate(Exception):
    """The work was not done in time; it may still be done later."""


_lock = threading.Lock()
_pool: ThreadPoolExecutor | None = None
_stuck = 0


def _executor() -> ThreadPoolExecutor:
    # Made on first use: a pool made before the server forks would have no threads in the child.
    global _pool  # noqa: PLW0603 - one pool for the process
    with _lock:
        if _pool is None:
            _pool = ThreadPoolExecutor(THREADS, thread_name_prefix="deadline")
        return _pool


def within(work: Callable[[], T], seconds: float = SECONDS) -> T:
    """The work's result, or `TooLate`. At once `TooLate` when every thread is stuck in earlier work."""
    global _stuck  # noqa: PLW0603
    if _stuck >= THREADS:
        raise TooLate("every thread waits for the database")
    future = _executor().submit(_with_fresh_connection, work)
    try:
        return future.result(timeout=seconds)
    except FutureTimeout:
        with _lock:
            _stuck += 1
        future.add_done_callback(lambda done: _unstick())
        raise TooLate("the database did not answer in time") from None


def _unstick() -> None:
    global _stuck  # noqa: PLW0603
    with _lock:
        _stuck -= 1


def _with_fresh_connection(work: Callable[[], T]) -> T:
    close_old_connections()
    try:
        return work()
    finally:
        close_old_connections()
