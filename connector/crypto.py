"""Encryption at rest: values sealed with the installation's keys and bound to their place.

A sealed value is `<key fingerprint>:<Fernet token>`; inside the token stands the context (table, row, field), so that a
token copied to another row does not open there. Keys: `ENCRYPTION_KEYS`, the first seals, all open.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from cryptography.fernet import Fernet, InvalidToken
from django.conf import settings


class SealBroken(Exception):
    """A sealed value that none of the keys opens, or that stands where it was not sealed for."""


@functools.lru_cache(maxsize=8)
def _keyring(keys: tuple[str, ...]) -> dict[str, Fernet]:
    return {hashlib.sha256(key.encode()).hexdigest()[:8]: Fernet(key) for key in keys}


def keyring() -> dict[str, Fernet]:
    """Fernet by key fingerprint, the sealing one first."""
    return _keyring(tuple(settings.ENCRYPTION_KEYS))


def current_fingerprint() -> str:
    return next(iter(keyring()))


def seal(context: str, value: bytes) -> str:
    """Seals the value for this context, with the first key."""
    fingerprint, fernet = next(iter(keyring().items()))
    head = context.encode()
    token = fernet.encrypt(len(head).to_bytes(2, "big") + head + value)
    return f"{fingerprint}:{token.decode()}"


def unseal(context: str, sealed: str) -> bytes:
    """Opens what `seal` made. Raises `SealBroken`, naming the context and never the value."""
    fingerprint, _, token = sealed.partition(":")
    fernet = keyring().get(fingerprint)
    if fernet is None:
        raise SealBroken(f"{context} was sealed with key {fingerprint[:8]}, which ENCRYPTION_KEYS does not hold")
    try:
        opened = fernet.decrypt(token.encode())
    except (InvalidToken, ValueError):
        raise SealBroken(f"{context} cannot be opened: it is damaged") from None
    size = int.from_bytes(opened[:2], "big")
    if opened[2 : 2 + size] != context.encode():
        raise SealBroken(f"{context} cannot be opened: it was sealed for another place")
    return opened[2 + size :]


def reseal(context: str, sealed: str) -> str:
    """The same value under the first key."""
    return seal(context, unseal(context, sealed))


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return {"$decimal": str(value)}
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(type(value).__name__)


def _revive(value: dict[str, Any]) -> Any:
    return Decimal(value["$decimal"]) if value.keys() == {"$decimal"} else value


class SealedProperty(property):
    """What `sealed_property` makes; it knows the column that it keeps its value in."""

    column: str


def place(table: str, key: object, column: str) -> str:
    """The context of a sealed column: what its value is bound to."""
    return f"{table}|{key}|{column}"


def sealed_columns(model: type) -> list[str]:
    """The columns of a table that hold sealed values."""
    return sorted(
        {found.column for kind in model.__mro__ for found in vars(kind).values() if isinstance(found, SealedProperty)}
    )


def sealed_property(column: str) -> SealedProperty:
    """A property that keeps a JSON value sealed in the text column named, bound to the row and the column.

    The row's primary key must be set first (ours are made in Python). An empty column reads as None.
    """

    def context(row: Any) -> str:
        return place(row._meta.db_table, row.pk, column)

    def read(row: Any) -> Any:
        sealed = getattr(row, column)
        return json.loads(unseal(context(row), sealed), object_hook=_revive) if sealed else None

    def write(row: Any, value: Any) -> None:
        setattr(row, column, "" if value is None else seal(context(row), json.dumps(value, default=_plain).encode()))

    made = SealedProperty(read, write, doc=f"The value sealed in `{column}`.")
    made.column = column
    return made
