"""One call at a time for an account, across all workers: the Redis lock behind `Context.turn`.

Without Redis a worker waits: the next one may be in the middle of a call. A command runs all the same, and takes turns
with its own threads alone.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import secrets
import threading
import time
from collections.abc import Iterator

from django.conf import settings

from connector import locks
from connector.kernel.errors import Retry
from connector.pipeline.keeping import kept

log = logging.getLogger(__name__)

#: The code of the verdict that the turn did not come; it says nothing of the account itself.
CODE = "turn"
#: The lock outlives its holder by so many seconds at most; a living holder renews it.
LIFE = 15.0
_LOOK_AGAIN = 0.1
_TAKE = "return redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) and 1 or 0"
_KEEP = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end return 0"
_GIVE_BACK = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"
_stop = threading.Event()


@functools.lru_cache(maxsize=1024)
def _here(account: str) -> threading.Lock:
    """The account's lock among the threads of this process."""
    return threading.Lock()


@contextlib.contextmanager
def turn(account: str, *, patience: float) -> Iterator[None]:
    """Holds the account's one place while the block runs. Raises `Retry` when it is not free within `patience` (s).

    Accounts that differ in case alone may be one.
    """
    account, ends = account.casefold(), time.monotonic() + patience
    here = _here(account)
    if not here.acquire(timeout=patience):
        raise _late()
    try:
        with _everywhere(f"turn:{account}", ends):
            yield
    finally:
        here.release()


@contextlib.contextmanager
def _everywhere(key: str, ends: float) -> Iterator[None]:
    token, life = secrets.token_hex(8), int(LIFE * 1000)
    if not _take(key, token, life, ends):
        yield
        return

    def renew() -> None:
        with contextlib.suppress(locks.RedisAway):
            locks.run(_KEEP, [key], [token, life])

    try:
        with kept(renew, every=LIFE / 3):
            yield
    finally:
        with contextlib.suppress(locks.RedisAway):
            locks.run(_GIVE_BACK, [key], [token])


def _take(key: str, token: str, life: int, ends: float) -> bool:
    """Whether the lock is ours; False when there is no Redis to hold it."""
    while True:
        try:
            if locks.run(_TAKE, [key], [token, life]):
                return True
        except locks.RedisAway:
            if settings.ROLE == "worker":
                raise Retry("Redis does not answer, which keeps the calls apart", code=CODE, after=5) from None
            log.warning("Redis does not answer: this process calls without the lock of all workers")
            return False
        if time.monotonic() > ends:
            raise _late()
        _stop.wait(_LOOK_AGAIN)


def _late() -> Retry:
    return Retry("another call to the same account takes too long", code=CODE, after=5)
