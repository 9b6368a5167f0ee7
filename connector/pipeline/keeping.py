"""Holding a short claim for as long as its work takes, so that it ends soon when the process is killed."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator


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
