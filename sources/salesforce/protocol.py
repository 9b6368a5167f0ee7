"""The Pub/Sub API's protocol, `eventbus.v1`, with descriptors made at run time from this table.

Source: pubsub_api.proto as Salesforce publishes it; only what a subscriber needs. The descriptors live in a pool of
their own, so that nothing else in the process can disagree with them.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PACKAGE = "eventbus.v1"
SERVICE = f"/{PACKAGE}.PubSub"
#: `ReplayPreset`.
LATEST, EARLIEST, CUSTOM = 0, 1, 2

#: Message -> its fields: (name, number, type). A type of another case is a message; `*` marks a repeated field.
MESSAGES: dict[str, tuple[tuple[str, int, str], ...]] = {
    "SchemaRequest": (("schema_id", 1, "string"),),
    "SchemaInfo": (("schema_json", 1, "string"), ("schema_id", 2, "string"), ("rpc_id", 3, "string")),
    "FetchRequest": (
        ("topic_name", 1, "string"),
        ("replay_preset", 2, "ReplayPreset"),
        ("replay_id", 3, "bytes"),
        ("num_requested", 4, "int32"),
        ("auth_refresh", 5, "string"),
    ),
    "FetchResponse": (
        ("events", 1, "*ConsumerEvent"),
        ("latest_replay_id", 2, "bytes"),
        ("rpc_id", 3, "string"),
        ("pending_num_requested", 4, "int32"),
    ),
    "ConsumerEvent": (("event", 1, "ProducerEvent"), ("replay_id", 2, "bytes")),
    "ProducerEvent": (
        ("id", 1, "string"),
        ("schema_id", 2, "string"),
        ("payload", 3, "bytes"),
        ("headers", 4, "*EventHeader"),
    ),
    "EventHeader": (("key", 1, "string"), ("value", 2, "bytes")),
}
_FIELD = descriptor_pb2.FieldDescriptorProto
_SCALARS = {"string": _FIELD.TYPE_STRING, "bytes": _FIELD.TYPE_BYTES, "int32": _FIELD.TYPE_INT32}


def _file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(name="pubsub_api.proto", package=PACKAGE, syntax="proto3")
    preset = file.enum_type.add(name="ReplayPreset")
    for number, label in enumerate(("LATEST", "EARLIEST", "CUSTOM")):
        preset.value.add(name=label, number=number)
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, number, kind in fields:
            _add(message, field, number, kind)
    return file


def _add(message: descriptor_pb2.DescriptorProto, name: str, number: int, kind: str) -> None:
    plain = kind.removeprefix("*")
    field = message.field.add(name=name, number=number)
    field.label = _FIELD.LABEL_REPEATED if kind != plain else _FIELD.LABEL_OPTIONAL
    if plain in _SCALARS:
        field.type = _SCALARS[plain]
        return
    field.type = _FIELD.TYPE_ENUM if plain == "ReplayPreset" else _FIELD.TYPE_MESSAGE
    field.type_name = f".{PACKAGE}.{plain}"


def _classes() -> dict[str, Any]:
    pool = descriptor_pool.DescriptorPool()
    pool.Add(_file())
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{name}")) for name in MESSAGES}


_made = _classes()
SchemaRequest, SchemaInfo = _made["SchemaRequest"], _made["SchemaInfo"]
FetchRequest, FetchResponse = _made["FetchRequest"], _made["FetchResponse"]
