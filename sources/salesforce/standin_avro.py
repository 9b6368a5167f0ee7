"""The stand-in's change events on the wire: the Avro schema of an object, its bitmaps, and schemaless encoding.

Written to the layout of a schema and of events captured from a live org.
"""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import hashlib
import io
import json
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

import fastavro

from sources.salesforce.standin_types import ADDRESS, GEOCODE, PERSON, Field, ObjectType, Row

CHANGE_TYPES = (
    "CREATE", "UPDATE", "DELETE", "UNDELETE", "GAP_CREATE", "GAP_UPDATE", "GAP_DELETE", "GAP_UNDELETE", "GAP_OVERFLOW",
    "SNAPSHOT",
)  # fmt: skip
_PLAIN = {"currency": "double", "double": "double", "date": "long", "datetime": "long", "int": "int"}
_TEXTS = {"type": "array", "items": "string"}
_HEADER = {
    "type": "record",
    "name": "ChangeEventHeader",
    "fields": [
        {"name": "entityName", "type": "string"},
        {"name": "recordIds", "type": _TEXTS},
        {"name": "changeType", "type": {"type": "enum", "name": "ChangeType", "symbols": list(CHANGE_TYPES)}},
        {"name": "changeOrigin", "type": "string"},
        {"name": "transactionKey", "type": "string"},
        {"name": "sequenceNumber", "type": "int"},
        {"name": "commitTimestamp", "type": "long"},
        {"name": "commitNumber", "type": "long"},
        {"name": "commitUser", "type": "string"},
        {"name": "nulledFields", "type": _TEXTS},
        {"name": "diffFields", "type": _TEXTS},
        {"name": "changedFields", "type": _TEXTS},
    ],
}


@dataclasses.dataclass(frozen=True, slots=True)
class Schema:
    """The schema of an object's events as it stands: `fields` are its fields after the header, in order."""

    object: ObjectType
    fields: tuple[Field, ...]
    id: str
    json: str
    parsed: Any

    def encode(self, header: Mapping[str, Any], body: Mapping[str, Any]) -> bytes:
        """One event, without any container around it."""
        to = io.BytesIO()
        empty = dict.fromkeys(field.name for field in self.fields)
        fastavro.schemaless_writer(to, self.parsed, {**empty, **body, "ChangeEventHeader": dict(header)})
        return to.getvalue()

    def decode(self, payload: bytes) -> dict[str, Any]:
        """The event: its header, and the fields that are not null."""
        found: Any = fastavro.schemaless_reader(io.BytesIO(payload), self.parsed, None)
        return {name: value for name, value in found.items() if value is not None}

    def body(self, row: Row, names: Iterable[str]) -> dict[str, Any]:
        """The named fields of a record as the event has them; a component stands in its compound field."""
        found: dict[str, Any] = {}
        for name in names:
            field = self.object.fields[name]
            value = _encoded(row[name])
            if field.part_of:
                whole = found.setdefault(field.part_of, dict.fromkeys(_parts(field.part_of)))
                whole[_part(field)] = value
            else:
                found[name] = value
        return found

    def carries(self, name: str) -> bool:
        """Whether events tell of the field, by itself or in its compound."""
        field = self.object.fields[name]
        is_compound = any(each.part_of == name for each in self.object.fields.values())
        return not is_compound and any(each.name == (field.part_of or name) for each in self.fields)

    def bitmaps(self, names: Iterable[str]) -> list[str]:
        """The fields as bitmaps: the top level first, if it has any, then the compound fields."""
        places = {field.name: at for at, field in enumerate(self.fields, start=1)}
        top, nested = 0, dict[int, int]()
        for name in names:
            field = self.object.fields[name]
            if field.part_of:
                at = places[field.part_of]
                nested[at] = nested.get(at, 0) | 1 << _parts(field.part_of).index(_part(field))
            else:
                top |= 1 << places[name]
        return [_hex(top)] * bool(top) + [f"{at}-{_hex(bits)}" for at, bits in sorted(nested.items())]


def schema(kind: ObjectType) -> Schema:
    """The schema of an object's events with the fields that it has now; its ID follows from its content."""
    fields = tuple(each for each in kind.fields.values() if each.is_in_events and not each.part_of)
    known: set[str] = set()
    document = {
        "type": "record",
        "name": f"{kind.name}ChangeEvent",
        "namespace": "com.sforce.eventbus",
        "fields": [
            {"name": "ChangeEventHeader", "type": _HEADER, "doc": "Data:ComplexValueType"},
            *(_member(kind, field, known) for field in fields),
        ],
    }
    text = json.dumps(document, separators=(",", ":"))
    digest = hashlib.md5(text.encode(), usedforsecurity=False).digest()
    identifier = base64.urlsafe_b64encode(digest).decode().rstrip("=")
    return Schema(kind, fields, identifier, text, fastavro.parse_schema(json.loads(text)))


def _member(kind: ObjectType, field: Field, known: set[str]) -> dict[str, Any]:
    doc = field.doc
    if field.is_custom:
        number = hashlib.sha256(f"{kind.name}.{field.name}".encode()).hexdigest()[:12].upper()
        doc = f"{doc}:00N{number}"
    return {"name": field.name, "type": ["null", *_types(field, known)], "doc": doc, "default": None}


def _types(field: Field, known: set[str]) -> list[Any]:
    if field.kind == "address":
        if "Address" in known:
            return ["Address"]
        known.add("Address")
        doubles = dict.fromkeys(("Latitude", "Longitude"), "double")
        return [_record("Address", {name: doubles.get(name, "string") for name in (*ADDRESS, GEOCODE)})]
    if field.doc == "Data:Switchable_PersonName":
        return ["string", _record("Switchable_PersonName", dict.fromkeys(PERSON, "string"))]
    if field.doc == "Data:PersonName":
        return [_record("PersonName", dict.fromkeys(PERSON, "string"))]
    return [_PLAIN.get(field.kind, "boolean" if field.kind == "boolean" else "string")]


def _record(name: str, members: Mapping[str, str]) -> dict[str, Any]:
    fields = [{"name": member, "type": ["null", kind], "default": None} for member, kind in members.items()]
    return {"type": "record", "name": name, "fields": fields}


def _parts(compound: str) -> tuple[str, ...]:
    return PERSON if compound == "Name" else (*ADDRESS, GEOCODE)


def _part(field: Field) -> str:
    return field.name.removeprefix(field.part_of.removesuffix("Address"))


def _hex(bits: int) -> str:
    digits = f"{bits:X}"
    return "0x" + "0" * (len(digits) % 2) + digits


def _encoded(value: Any) -> Any:
    if isinstance(value, dt.datetime):
        return int(value.timestamp()) * 1000
    if isinstance(value, dt.date):
        return int(dt.datetime.combine(value, dt.time(), dt.UTC).timestamp()) * 1000
    return float(value) if isinstance(value, Decimal) else value
