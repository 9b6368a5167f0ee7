"""The one clock of the pipeline."""

from __future__ import annotations

import datetime as dt

from django.utils import timezone


def now() -> dt.datetime:
    """The present instant, in UTC."""
    return timezone.now()


def after(seconds: float) -> dt.datetime:
    return now() + dt.timedelta(seconds=seconds)
