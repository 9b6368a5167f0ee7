"""Edge readers: every field of a vendor's document is read through one of these, once.

Each takes the document and a path of keys. A missing or empty value is None (or ""); a value of the wrong
kind raises `BadValue` with the path and never with the value.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

MAX_DEPTH = 100


class BadValue(ValueError):
    """A field, or a whole document, that cannot be read; the text names the path, never the content."""


def parse_json(body: bytes | str) -> Any:
    """JSON with exact numbers. Refuses NaN, Infinity, numbers out of reason and documents too deep to walk."""
    try:
        document = json.loads(body, parse_float=_number, parse_int=_integer, parse_constant=_constant)
    except BadValue:
        raise
    except (ValueError, RecursionError) as error:
        # The cause quotes the body, so it is left behind.
        raise BadValue(f"the body is not JSON ({type(error).__name__})") from None
    _check_depth(document)
    return document


def _constant(name: str) -> Any:
    raise BadValue(f"the body holds {name}, which is not JSON")


def _number(text: str) -> Decimal:
    number = Decimal(text)
    if not number.is_finite() or abs(number.adjusted()) > 60:
        raise BadValue("the body holds a number out of reason")
    return number


def _integer(text: str) -> int:
    if len(text) > 60:
        raise BadValue("the body holds a number out of reason")
    return int(text)


def _check_depth(document: Any) -> None:
    level = [document]
    for _ in range(MAX_DEPTH):
        level = [
            child
            for item in level
            if isinstance(item, dict | list)
            for child in (item.values() if isinstance(item, dict) else item)
        ]
        if not level:
            return
    raise BadValue("the body is nested too deeply")


def dig(document: Any, *path: str) -> Any:
    """The value at the path, or None when any step is absent."""
    for key in path:
        if not isinstance(document, Mapping):
            return None
        document = document.get(key)
    return document


def text(document: Any, *path: str) -> str:
    """Text, with numbers taken as text (IDs arrive as both). Absent is the empty string."""
    value = dig(document, *path)
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        raise BadValue(f"{'.'.join(path)} is not text")
    return str(value).replace("\x00", "").strip()


def amount(document: Any, *path: str) -> Decimal | None:
    """An exact number, from a JSON number or text."""
    value = dig(document, *path)
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        raise BadValue(f"{'.'.join(path)} is not an amount")
    try:
        number = Decimal(value)
    except InvalidOperation:
        raise BadValue(f"{'.'.join(path)} is not an amount") from None
    if not number.is_finite() or abs(number.adjusted()) > 60:
        raise BadValue(f"{'.'.join(path)} is not an amount")
    return number


def day(document: Any, *path: str) -> dt.date | None:
    """An accounting date (YYYY-MM-DD; a time part is dropped)."""
    value = text(document, *path)
    if not value:
        return None
    try:
        return dt.date.fromisoformat(value[:10])
    except ValueError:
        raise BadValue(f"{'.'.join(path)} is not a date") from None


def moment(document: Any, *path: str) -> dt.datetime | None:
    """An instant in UTC; a time without an offset is taken as UTC."""
    value = text(document, *path)
    return parse_moment(value, ".".join(path)) if value else None


def parse_moment(value: str, name: str = "time") -> dt.datetime:
    try:
        instant = dt.datetime.fromisoformat(value)
        return instant.replace(tzinfo=dt.UTC) if instant.tzinfo is None else instant.astimezone(dt.UTC)
    except (ValueError, OverflowError):
        raise BadValue(f"{name} is not a time") from None


def rows(document: Any, *path: str) -> list[Any]:
    """A list; absent is empty, and a single object where a list belongs is a list of one."""
    value = dig(document, *path)
    if value is None:
        return []
    if isinstance(value, Mapping):
        return [value]
    if not isinstance(value, list):
        raise BadValue(f"{'.'.join(path)} is not a list")
    return value


def flag(document: Any, *path: str) -> bool | None:
    """A truth value, from JSON or from the words true and false."""
    value = dig(document, *path)
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    raise BadValue(f"{'.'.join(path)} is not true or false")
