"""The process's connection to Redis, for pacing and allowances. Redis may vanish at any time; callers say what then."""

from __future__ import annotations

import functools
from typing import Any

import redis
import redis.backoff
import redis.retry
from django.conf import settings

PREFIX = "mlc:"
#: What a call on the client may raise.
REDIS_ERRORS = (redis.RedisError, OSError)


class RedisAway(Exception):
    """Redis does not answer. Nothing is lost by it: the rows wait."""


@functools.cache
def client() -> redis.Redis:
    """The shared client: short time-outs and no retries of its own."""
    return redis.Redis.from_url(
        settings.REDIS_URL,
        socket_timeout=2,
        socket_connect_timeout=1,
        health_check_interval=25,
        retry=redis.retry.Retry(redis.backoff.NoBackoff(), 0),
    )


def run(script: str, keys: list[str], arguments: list[Any]) -> Any:
    """Runs a Lua script on prefixed keys. Raises `RedisAway`."""
    try:
        return client().eval(script, len(keys), *(PREFIX + key for key in keys), *arguments)
    except REDIS_ERRORS as error:
        raise RedisAway(type(error).__name__) from None


def is_alive() -> bool:
    try:
        return bool(client().ping())
    except REDIS_ERRORS:
        return False
