"""The stand-in's values: what a field takes from a JSON body, what it keeps, and how REST shows it.

Kept are text, `Decimal`, `int`, `bool`, `date`, and aware `datetime` in whole seconds; None is an empty field.
"""

from __future__ import annotations

import datetime as dt
import re
from decimal import Decimal, InvalidOperation
from typing import Any

from sources.salesforce.standin_faults import VendorError
from sources.salesforce.standin_types import Field

_EMAIL = re.compile(r"[^@\s,;]+@[^@\s,;]+\.[^@\s,;.]{2,}")
_NAMES = {bool: "VALUE_TRUE", int: "VALUE_NUMBER_INT", Decimal: "VALUE_NUMBER_FLOAT", str: "VALUE_STRING"}
_LARGEST = Decimal(10) ** 16


def accepted(field: Field, value: Any) -> Any:
    """What the field keeps of a value from a body. Raises `VendorError`; references are checked elsewhere."""
    if value is None or value == "":
        return False if field.kind == "boolean" else None
    if isinstance(value, (dict, list)):
        start = "START_OBJECT" if isinstance(value, dict) else "START_ARRAY"
        raise VendorError("JSON_PARSER_ERROR", f"Cannot deserialize instance of {field.kind} from {start} value")
    try:
        kept = _KINDS.get(field.kind, _text)(value)
    except (ValueError, InvalidOperation):
        token = next((name for kind, name in _NAMES.items() if isinstance(value, kind)), "VALUE_STRING")
        text = f"Cannot deserialize instance of {field.kind} from {token} value {value}"
        raise VendorError("JSON_PARSER_ERROR", text) from None
    if kept == "":
        return None
    _check(field, kept)
    return kept


def _check(field: Field, kept: Any) -> None:
    if isinstance(kept, str) and field.length and len(kept) > field.length:
        text = f"{field.name}: data value too large: {kept} (max length={field.length})"
        raise VendorError("STRING_TOO_LONG", text, [field.name])
    if field.kind == "email" and not _EMAIL.fullmatch(kept):
        text = f"{field.name}: invalid email address: {kept}"
        raise VendorError("INVALID_EMAIL_ADDRESS", text, [field.name])
    if isinstance(kept, Decimal) and abs(kept) >= _LARGEST:
        text = f"{field.name}: value outside of valid range on numeric field: {kept}"
        raise VendorError("NUMBER_OUTSIDE_VALID_RANGE", text, [field.name])


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError
    # Spaces around a text are not kept.
    return value.strip()


def _number(value: Any) -> Decimal:
    if isinstance(value, bool):
        raise ValueError
    kept = Decimal(str(value))
    if not kept.is_finite():
        raise ValueError
    return kept


def _whole(value: Any) -> int:
    kept = _number(value)
    if kept != kept.to_integral_value():
        raise ValueError
    return int(kept)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool) and value not in ("true", "false"):
        raise ValueError
    return value in (True, "true")


def _date(value: Any) -> dt.date:
    if isinstance(value, dt.date) and not isinstance(value, dt.datetime):
        return value
    if not isinstance(value, str) or not re.match(r"\d{4}-\d\d-\d\d(T|$)", value):
        raise ValueError
    return dt.date.fromisoformat(value[:10])


def _moment(value: Any) -> dt.datetime:
    return (value if isinstance(value, dt.datetime) else moment(str(value))).replace(microsecond=0)


def moment(text: str) -> dt.datetime:
    """An ISO 8601 moment with its offset, in UTC. Raises `ValueError`."""
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)", text):
        raise ValueError(text)
    return dt.datetime.fromisoformat(text).astimezone(dt.UTC)


_KINDS: dict[str, Any] = {
    "currency": _number,
    "double": _number,
    "int": _whole,
    "boolean": _flag,
    "date": _date,
    "datetime": _moment,
}


def stamp(at: dt.datetime) -> str:
    """A moment as REST writes it: milliseconds, and the offset without a colon."""
    return at.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.000+0000")


def shown(value: Any) -> Any:
    """A kept value as REST writes it; numbers are doubles there."""
    if isinstance(value, dt.datetime):
        return stamp(value)
    if isinstance(value, dt.date):
        return value.isoformat()
    return float(value) if isinstance(value, Decimal) else value
