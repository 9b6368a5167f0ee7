"""Stumbling: our own code over something that nobody foresaw. It ends one event or message, never those behind it."""

from __future__ import annotations

import traceback
from pathlib import Path

#: What a stumble raises. Failures of the database, of Redis and of sealing are none: they may pass by themselves.
KINDS = (ArithmeticError, AssertionError, AttributeError, LookupError, RecursionError, TypeError, ValueError)


def reason(error: BaseException) -> str:
    """What happened and what to do; never the error's own text, which may quote a record."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{type(error).__name__} in {Path(frame.filename).name}, line {frame.lineno}"
    return f"it cannot be worked on ({place}): update the connector, then replay it"
