"""What an org has and what the run-as user may do with it: describe, read once and kept for some minutes."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from connector.kernel.values import BadValue, amount, flag, rows, text

#: Seconds for which an object's description is believed.
FRESH = 300.0


@dataclasses.dataclass(frozen=True, slots=True)
class FieldShape:
    """One field as the run-as user has it. `length` is 0 where the field has none."""

    name: str
    length: int = 0
    is_external_id: bool = False
    can_create: bool = False
    can_update: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class ObjectShape:
    """One object as the run-as user has it: its fields by name, and the names of its child relationships."""

    name: str
    fields: Mapping[str, FieldShape]
    children: frozenset[str] = frozenset()
    can_create: bool = False
    can_update: bool = False

    def has(self, field: str) -> bool:
        return field in self.fields

    def only(self, wanted: Iterable[str]) -> list[str]:
        """Those of the fields that are there, in their order and each once."""
        return [field for field in dict.fromkeys(wanted) if field in self.fields]


def read(document: Any) -> ObjectShape:
    """The shape in a describe answer. Raises `BadValue`."""
    fields = [_field(row) for row in rows(document, "fields")]
    if not fields:
        raise BadValue("fields is missing")
    return ObjectShape(
        name=text(document, "name"),
        fields={field.name: field for field in fields},
        children=frozenset(text(row, "relationshipName") for row in rows(document, "childRelationships")),
        can_create=flag(document, "createable") is True,
        can_update=flag(document, "updateable") is True,
    )


def _field(row: Any) -> FieldShape:
    return FieldShape(
        name=text(row, "name"),
        length=int(amount(row, "length") or 0),
        is_external_id=flag(row, "externalId") is True,
        can_create=flag(row, "createable") is True,
        can_update=flag(row, "updateable") is True,
    )


class _Shelf:
    """Shapes by org, token and object, for all clients of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[tuple[str, ...], tuple[float, ObjectShape]] = {}

    def get(self, key: tuple[str, ...], read_it: Callable[[], ObjectShape]) -> ObjectShape:
        with self._lock:
            kept = self._kept.get(key)
        if kept is not None and time.monotonic() - kept[0] < FRESH:
            return kept[1]
        shape = read_it()
        with self._lock:
            self._kept[key] = time.monotonic(), shape
        return shape

    def forget(self, owner: tuple[str, ...]) -> None:
        with self._lock:
            for key in [key for key in self._kept if key[: len(owner)] == owner]:
                del self._kept[key]


shelf = _Shelf()
