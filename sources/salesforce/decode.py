"""Change events to values: schemaless Avro by the event's own schema, and the bitmaps that say what changed.

Source: the Pub/Sub API guide, "Event Deserialization Considerations". In an update every unchanged field is null, so a
null means "cleared" only where `nulled` says so.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import io
import json
import re
import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import fastavro
import fastavro.schema

from connector.kernel.values import BadValue, amount, rows, text
from sources.salesforce.change_event import ChangeEvent

HEADER = "ChangeEventHeader"
_BITS = re.compile(r"(?:(\d{1,4})-)?0[xX]([0-9a-fA-F]{1,4096})")
#: What a payload that does not fit its schema makes the decoder stumble over.
_STUMBLES = (EOFError, ValueError, IndexError, KeyError, TypeError, OverflowError, MemoryError, struct.error)


@dataclasses.dataclass(frozen=True, slots=True)
class Schema:
    """One version of an event's layout: field names by position, and the children of the compound fields."""

    parsed: Any
    fields: tuple[str, ...]
    children: Mapping[int, tuple[str, ...]]


def read_schema(schema_json: str) -> Schema:
    """The layout in a `GetSchema` answer. Raises `BadValue`."""
    try:
        document = json.loads(schema_json)
        fields = [str(field["name"]) for field in document["fields"]]
        named: dict[str, tuple[str, ...]] = {}
        children = {index: _children(field["type"], named) for index, field in enumerate(document["fields"])}
        # The parser writes named types into what it is given, so each schema gets a document of its own.
        parsed = fastavro.parse_schema(json.loads(schema_json))
    except (ValueError, KeyError, TypeError, fastavro.schema.SchemaParseException, fastavro.schema.UnknownType):
        raise BadValue("the schema of an event cannot be read") from None
    return Schema(parsed, tuple(fields), {index: names for index, names in children.items() if names})


def _children(kind: Any, named: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    """The field names of the record in a type; one that was defined before is referred to by its name."""
    for option in kind if isinstance(kind, list) else [kind]:
        if isinstance(option, Mapping) and option.get("type") == "record":
            names = tuple(str(field["name"]) for field in option["fields"])
            named[str(option["name"]).rsplit(".", 1)[-1]] = names
            return names
        if isinstance(option, str) and option.rsplit(".", 1)[-1] in named:
            return named[option.rsplit(".", 1)[-1]]
    return ()


def decode(schema: Schema, payload: bytes) -> ChangeEvent:
    """The event in a payload. Raises `BadValue` when it does not fit the schema to its last byte."""
    stream = io.BytesIO(payload)
    try:
        document = fastavro.schemaless_reader(stream, schema.parsed)
    except _STUMBLES:
        raise BadValue("the event does not fit its schema") from None
    if stream.tell() != len(payload):
        raise BadValue("the event is longer than its schema")
    if not isinstance(document, dict) or not isinstance(document.get(HEADER), dict):
        raise BadValue("the event has no header")
    return _event(schema, document)


def _event(schema: Schema, document: Mapping[str, Any]) -> ChangeEvent:
    header = document[HEADER]
    return ChangeEvent(
        entity=text(header, "entityName"),
        change=text(header, "changeType"),
        record_ids=tuple(str(each) for each in rows(header, "recordIds")),
        transaction=text(header, "transactionKey"),
        sequence=int(amount(header, "sequenceNumber") or 0),
        committed_at=_instant(amount(header, "commitTimestamp")),
        user=text(header, "commitUser"),
        origin=text(header, "changeOrigin"),
        body={key: value for key, value in document.items() if key != HEADER},
        changed=names_of(schema, rows(header, "changedFields")),
        nulled=names_of(schema, rows(header, "nulledFields")),
        header=header,
    )


def _instant(milliseconds: Any) -> dt.datetime:
    try:
        return dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(milliseconds=int(milliseconds or 0))
    except OverflowError:
        raise BadValue("commitTimestamp is not a time") from None


def names_of(schema: Schema, bitmaps: Iterable[Any]) -> tuple[str, ...]:
    """The names of the fields whose bits are set; `Parent.Child` within a compound field. Raises `BadValue`.

    `0x…` counts over all fields and `<position>-0x…` over the children of one; bits beyond what the schema knows are
    left out.
    """
    found: list[str] = []
    for element in bitmaps:
        match = _BITS.fullmatch(str(element))
        if match is None:
            raise BadValue("a bitmap of fields cannot be read")
        if match[1] is None:
            found += _pick(schema.fields, positions(match[2]))
            continue
        parent = int(match[1])
        if parent < len(schema.fields):
            picked = _pick(schema.children.get(parent, ()), positions(match[2]))
            found += [f"{schema.fields[parent]}.{child}" for child in picked]
    return tuple(found)


def positions(digits: str) -> list[int]:
    """The bits set in a big-endian hexadecimal number of any width, the least significant being 0."""
    number = int(digits, 16)
    return [index for index in range(number.bit_length()) if number >> index & 1]


def _pick(names: Sequence[str], wanted: Iterable[int]) -> list[str]:
    return [names[index] for index in wanted if index < len(names)]
