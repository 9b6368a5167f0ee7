"""When to try again: full jitter under a growing cap, the vendor's own wish first."""

from __future__ import annotations

import datetime as dt
import random

from django.conf import settings

from connector.pipeline import clock

#: A throttle that names no time is never answered with a longer wait than this (seconds).
THROTTLE_CAP = 60.0


def wait_seconds(attempts: int, *, after: float | None = None, is_throttle: bool = False) -> float:
    """Seconds until the next try, after so many tries."""
    if after is not None:
        return max(0.1, after)
    cap = float(settings.RETRY_CAP_SECONDS)
    if is_throttle:
        cap = min(cap, THROTTLE_CAP)
    ceiling = min(cap, settings.RETRY_BASE_SECONDS * 2 ** min(attempts, 30))
    return random.uniform(0, ceiling)  # noqa: S311 - jitter, not a secret


def is_exhausted(since: dt.datetime) -> bool:
    return clock.now() - since > dt.timedelta(seconds=settings.RETRY_MAX_AGE_SECONDS)
