"""Holding a short claim for as long as its work takes, so that it ends soon when the process is killed."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator

from django.db import DatabaseError
from django.db import connection as database

log = logging.getLogger(__name__)


@contextlib.contextmanager
def kept(renew: Callable[[], None], *, every: float) -> Iterator[None]:
    """Calls `renew` every so many seconds, in a thread, while the block runs. `renew` must not raise."""
    done = threading.Event()

    def keep() -> None:
        while not done.wait(every):
            renew()

    thread = threading.Thread(target=keep, name="keeper", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@contextlib.contextmanager
def kept_row(renew: Callable[[], object], *, every: float) -> Iterator[None]:
    """The same for a claim that stands in the database; a renewal that fails is left to the next one."""

    def update() -> None:
        try:
            renew()
        except DatabaseError as error:
            log.warning("a claim could not be renewed (%s)", type(error).__name__)
        finally:
            database.close()  # the thread's own

    with kept(update, every=every):
        yield
