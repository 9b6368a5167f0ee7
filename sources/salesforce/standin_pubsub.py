"""The stand-in's Pub/Sub API: the gRPC service `eventbus.v1.PubSub`, its messages described by hand.

The descriptors live in a pool of their own, so that a client in the same process may describe the service itself.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_F = descriptor_pb2.FieldDescriptorProto
_KINDS = {
    "string": _F.TYPE_STRING,
    "bytes": _F.TYPE_BYTES,
    "int32": _F.TYPE_INT32,
    "int64": _F.TYPE_INT64,
    "bool": _F.TYPE_BOOL,
}
_ENUMS = {
    "ReplayPreset": ("LATEST", "EARLIEST", "CUSTOM"),
    "ErrorCode": ("UNKNOWN", "PUBLISH", "COMMIT"),
}
#: Message -> "name type" of its fields, in the order of their numbers; * marks a repeated one.
_MESSAGES = {
    "TopicRequest": "topic_name string",
    "TopicInfo": "topic_name string, tenant_guid string, can_publish bool, can_subscribe bool, schema_id string, "
    "rpc_id string",
    "SchemaRequest": "schema_id string",
    "SchemaInfo": "schema_json string, schema_id string, rpc_id string",
    "FetchRequest": "topic_name string, replay_preset ReplayPreset, replay_id bytes, num_requested int32, "
    "auth_refresh string",
    "EventHeader": "key string, value bytes",
    "ProducerEvent": "id string, schema_id string, payload bytes, headers EventHeader*",
    "ConsumerEvent": "event ProducerEvent, replay_id bytes",
    "FetchResponse": "events ConsumerEvent*, latest_replay_id bytes, rpc_id string, pending_num_requested int32",
}  # fmt: skip
PACKAGE = "eventbus.v1"
SERVICE = f"{PACKAGE}.PubSub"


def _file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(name="standin_pubsub.proto", package=PACKAGE, syntax="proto3")
    for name, symbols in _ENUMS.items():
        enum = file.enum_type.add(name=name)
        for number, symbol in enumerate(symbols):
            enum.value.add(name=symbol, number=number)
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for number, field in enumerate(fields.split(", "), start=1):
            _add(message, number, *field.split(" "))
    return file


def _add(message: descriptor_pb2.DescriptorProto, number: int, name: str, kind: str) -> None:
    bare = kind.removesuffix("*")
    label = _F.LABEL_REPEATED if kind.endswith("*") else _F.LABEL_OPTIONAL
    field = message.field.add(name=name, number=number, label=label)
    if bare in _KINDS:
        field.type = _KINDS[bare]
    else:
        field.type = _F.TYPE_ENUM if bare in _ENUMS else _F.TYPE_MESSAGE
        field.type_name = f".{PACKAGE}.{bare}"


_POOL = descriptor_pool.DescriptorPool()
_POOL.Add(_file())
#: Made once, before there are threads: to make one while another thread drops the last use of it is not safe.
_CLASSES: dict[str, Any] = {
    name: message_factory.GetMessageClass(_POOL.FindMessageTypeByName(f"{PACKAGE}.{name}")) for name in _MESSAGES
}


def message(name: str) -> Any:
    """The class of a message."""
    return _CLASSES[name]
