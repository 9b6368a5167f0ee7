"""Request bodies: JSON in which a `Decimal` keeps its exact digits, and dates and instants are text."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from sources.salesforce.soql import instant


def encode(value: Any) -> str:
    """The value as JSON. None clears a field of a record; an absent key leaves it."""
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{json.dumps(str(key))}:{encode(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(encode(item) for item in value) + "]"
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, dt.datetime):
        return json.dumps(instant(value))
    if isinstance(value, dt.date):
        return json.dumps(value.isoformat())
    return json.dumps(value)
