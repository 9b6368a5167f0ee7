"""What goes into a SOQL statement or a path: literals, instants, names of fields, record IDs.

Escapes as in the SOQL reference ("Quoted String Escape Sequences"). Names of fields come from settings and are checked,
never escaped.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from connector.kernel.errors import Misconfigured, Reject

#: Values of one `IN (...)`, and records of one collections call.
CHUNK = 200
_ESCAPES = {
    "\\": "\\\\", "'": "\\'", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f",
}  # fmt: skip
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,79}")
_ID = re.compile(r"[A-Za-z0-9]{15}([A-Za-z0-9]{3})?")
_SUFFIX = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"

T = TypeVar("T")


def literal(value: str) -> str:
    """The text as a quoted string."""
    return "'" + "".join(_ESCAPES.get(letter, letter) for letter in value) + "'"


def literals(values: Iterable[str]) -> str:
    """The values as the list of an `IN`, parentheses included."""
    return f"({','.join(literal(value) for value in values)})"


def select(fields: Iterable[str], obj: str, where: str = "") -> str:
    """The statement; each field once. Names are the caller's to check, values in the condition to escape."""
    parts = ["SELECT", ", ".join(dict.fromkeys(fields)), "FROM", obj]
    return " ".join([*parts, "WHERE", where] if where else parts)


def instant(at: dt.datetime) -> str:
    """An instant as SOQL and the replication resources take it: UTC, whole seconds, no quotes and no plus sign."""
    return at.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def name(value: str) -> str:
    """The name of an object or field as it may stand in a statement. Raises `Misconfigured`."""
    if not _NAME.fullmatch(value):
        raise Misconfigured("a field name in the settings is not the API name of a Salesforce field", code="field_name")
    return value


def is_id(value: str) -> bool:
    """Whether the text has the form of a record ID, of 15 or 18 characters."""
    return _ID.fullmatch(value) is not None


def full_id(value: str) -> str:
    """The ID in its 18 characters, which are safe to compare. Raises `Reject` for what is none."""
    if not is_id(value):
        raise Reject("that is not the ID of a Salesforce record", code="bad_id")
    if len(value) == 18:
        return value
    return value + "".join(_checksum(value[start : start + 5]) for start in (0, 5, 10))


def _checksum(letters: str) -> str:
    return _SUFFIX[sum(1 << index for index, letter in enumerate(letters) if "A" <= letter <= "Z")]


def chunks(values: Sequence[T], size: int = CHUNK) -> Iterator[Sequence[T]]:
    """The values in portions that one statement or call takes."""
    for start in range(0, len(values), size):
        yield values[start : start + size]
