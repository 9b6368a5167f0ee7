"""What Slack refuses in a message: Block Kit shapes and limits, attachments, metadata (vendors/slack.md, section 5).

The block types are those with documented limits that a notice can need; any other type is refused as unsupported.
The limits on metadata and on all blocks together are unpublished: the ceilings here are this project's own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from sinks.slack.standin_workspace import RefusedError

METADATA_BYTES = 1024
BLOCKS_CHARACTERS = 100_000
_EVENT_TYPE = re.compile(r"[A-Za-z0-9_]{1,255}")
_PROPERTY = re.compile(r"[a-z][a-z0-9_]*")

#: Problems found: (what is wrong, JSON pointer).
Problems = Iterator[tuple[str, str]]


def read_blocks(value: Any) -> list[dict[str, Any]]:
    """The blocks of a message, checked; raises invalid_blocks with Slack's pointers into the faulty place."""
    blocks = _parsed(value, "invalid_blocks_format")
    if not isinstance(blocks, list):
        raise RefusedError("invalid_blocks_format")
    problems = [f"{text} [json-pointer:{pointer}]" for text, pointer in _check_blocks(blocks)]
    if problems:
        messages = [f"[ERROR] {problem}" for problem in problems]
        raise RefusedError("invalid_blocks", errors=problems, response_metadata={"messages": messages})
    if len(json.dumps(blocks, ensure_ascii=False)) > BLOCKS_CHARACTERS:
        raise RefusedError("msg_blocks_too_long")
    return blocks


def read_attachments(value: Any) -> list[dict[str, Any]]:
    attachments = _parsed(value, "invalid_attachments")
    if not isinstance(attachments, list) or not all(isinstance(one, dict) for one in attachments):
        raise RefusedError("invalid_attachments")
    if len(attachments) > 100:
        raise RefusedError("too_many_attachments")
    return attachments


def read_metadata(value: Any) -> dict[str, Any] | None:
    """Message metadata: an event_type and an event_payload object whose property names are lower snake case."""
    metadata = _parsed(value, "invalid_metadata_format")
    if metadata is None:
        return None
    if not isinstance(metadata, dict):
        raise RefusedError("invalid_metadata_format")
    event_type, payload = metadata.get("event_type"), metadata.get("event_payload")
    if not isinstance(event_type, str) or not _EVENT_TYPE.fullmatch(event_type) or not isinstance(payload, dict):
        raise RefusedError("invalid_metadata_schema")
    if not all(_PROPERTY.fullmatch(name) for name in payload):
        raise RefusedError("invalid_metadata_schema")
    if len(json.dumps(metadata, ensure_ascii=False).encode()) > METADATA_BYTES:
        raise RefusedError("metadata_too_large")
    return metadata


def _parsed(value: Any, error: str) -> Any:
    """Structures come as JSON text in form bodies, and may in JSON bodies."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        raise RefusedError(error) from None


def _check_blocks(blocks: Sequence[Any]) -> Problems:
    if len(blocks) > 50:
        yield "no more than 50 items allowed", "/blocks"
        return
    ids: set[str] = set()
    for index, block in enumerate(blocks):
        where = f"/blocks/{index}"
        if not isinstance(block, dict):
            yield "must provide an object", where
            continue
        yield from _typed(block, where, _BLOCKS)
        block_id = block.get("block_id")
        if isinstance(block_id, str) and block_id:
            if block_id in ids:
                yield f"block_id already exists: {block_id[:255]}", f"{where}/block_id"
            ids.add(block_id)


def _typed(thing: Mapping[str, Any], where: str, table: Mapping[str, tuple[Callable[..., Problems], str]]) -> Problems:
    """Checks a block or an element by its `type`, and that it has no property that its type does not know."""
    kind = thing.get("type")
    if kind is None:
        yield "missing required field: type", where
        return
    if not isinstance(kind, str) or kind not in table:
        yield f"unsupported type: {kind}", f"{where}/type"
        return
    check, known = table[kind]
    yield from _strangers(thing, where, f"type {known}")
    yield from check(thing, where)


def _strangers(thing: Mapping[str, Any], where: str, known: str) -> Problems:
    for name in sorted(set(thing) - set(known.split())):
        yield f"invalid additional property: {name}", where


def _string(thing: Mapping[str, Any], name: str, where: str, limit: int, *, is_required: bool = False) -> Problems:
    if name not in thing:
        if is_required:
            yield f"missing required field: {name}", where
        return
    value = thing[name]
    if not isinstance(value, str):
        yield "must be a string", f"{where}/{name}"
    elif len(value) > limit:
        yield f"must be less than {limit + 1} characters", f"{where}/{name}"
    elif is_required and not value:
        yield "must be more than 0 characters", f"{where}/{name}"


def _text(value: Any, where: str, limit: int) -> Problems:
    """A text object of either kind; Slack reports the alternatives first, then what is wrong inside."""
    problems = list(_plain_or_mrkdwn(value, where, limit, ("plain_text", "mrkdwn")))
    if problems:
        yield "failed to match all allowed schemas", where
    yield from problems


def _plain_text(value: Any, where: str, limit: int) -> Problems:
    return _plain_or_mrkdwn(value, where, limit, ("plain_text",))


def _plain_or_mrkdwn(value: Any, where: str, limit: int, kinds: Sequence[str]) -> Problems:
    if not isinstance(value, dict):
        yield "must provide an object", where
    elif "type" not in value:
        yield "missing required field: type", where
    elif value["type"] not in kinds:
        yield "must be a valid enum value", f"{where}/type"
    else:
        switch = "emoji" if value["type"] == "plain_text" else "verbatim"
        yield from _strangers(value, where, f"type text {switch}")
        if not isinstance(value.get(switch, False), bool):
            yield "must be a boolean", f"{where}/{switch}"
        yield from _string(value, "text", where, limit, is_required=True)


def _items(block: Mapping[str, Any], name: str, where: str, limit: int) -> Iterator[tuple[Any, str]]:
    """The items of an array property with their pointers; `_sized` reports on the array itself."""
    value = block.get(name)
    if isinstance(value, list) and len(value) <= limit:
        for index, item in enumerate(value):
            yield item, f"{where}/{name}/{index}"


def _sized(block: Mapping[str, Any], name: str, where: str, limit: int) -> Problems:
    value = block.get(name)
    if value is None:
        yield f"missing required field: {name}", where
    elif not isinstance(value, list):
        yield "must be an array", f"{where}/{name}"
    elif not value:
        yield "no less than 1 items allowed", f"{where}/{name}"
    elif len(value) > limit:
        yield f"no more than {limit} items allowed", f"{where}/{name}"


def _header(block: Mapping[str, Any], where: str) -> Problems:
    yield from _string(block, "block_id", where, 255)
    if "text" not in block:
        yield "missing required field: text", where
    else:
        yield from _plain_text(block["text"], f"{where}/text", 150)


def _section(block: Mapping[str, Any], where: str) -> Problems:
    yield from _string(block, "block_id", where, 255)
    if "text" not in block and "fields" not in block:
        yield "must define either `text` or `fields`", f"{where}/type"
    if "text" in block:
        yield from _text(block["text"], f"{where}/text", 3000)
    if "fields" in block:
        yield from _sized(block, "fields", where, 10)
        for field, pointer in _items(block, "fields", where, 10):
            yield from _text(field, pointer, 2000)
    if "accessory" in block:
        accessory = block["accessory"]
        if isinstance(accessory, dict):
            yield from _typed(accessory, f"{where}/accessory", _ELEMENTS)
        else:
            yield "must provide an object", f"{where}/accessory"


def _elements(block: Mapping[str, Any], where: str, limit: int, *, is_context: bool) -> Problems:
    yield from _string(block, "block_id", where, 255)
    yield from _sized(block, "elements", where, limit)
    for element, pointer in _items(block, "elements", where, limit):
        if not isinstance(element, dict):
            yield "must provide an object", pointer
        elif is_context and element.get("type") != "image":
            yield from _text(element, pointer, 3000)
        else:
            yield from _typed(element, pointer, _IMAGES if is_context else _BUTTONS)


def _context(block: Mapping[str, Any], where: str) -> Problems:
    return _elements(block, where, 10, is_context=True)


def _actions(block: Mapping[str, Any], where: str) -> Problems:
    return _elements(block, where, 25, is_context=False)


def _divider(block: Mapping[str, Any], where: str) -> Problems:
    return _string(block, "block_id", where, 255)


def _image(block: Mapping[str, Any], where: str) -> Problems:
    yield from _string(block, "block_id", where, 255)
    yield from _string(block, "image_url", where, 3000, is_required=True)
    yield from _string(block, "alt_text", where, 2000, is_required=True)
    if "title" in block:
        yield from _plain_text(block["title"], f"{where}/title", 2000)


def _button(element: Mapping[str, Any], where: str) -> Problems:
    if "text" not in element:
        yield "missing required field: text", where
    else:
        yield from _plain_text(element["text"], f"{where}/text", 75)
    yield from _string(element, "action_id", where, 255)
    yield from _string(element, "url", where, 3000)
    yield from _string(element, "value", where, 2000)
    yield from _string(element, "accessibility_label", where, 75)
    if element.get("style", "primary") not in ("primary", "danger"):
        yield "must be a valid enum value", f"{where}/style"


_BLOCKS: dict[str, tuple[Callable[..., Problems], str]] = {
    "header": (_header, "block_id text"),
    "section": (_section, "block_id text fields accessory expand"),
    "context": (_context, "block_id elements"),
    "actions": (_actions, "block_id elements"),
    "divider": (_divider, "block_id"),
    "image": (_image, "block_id image_url alt_text title"),
}
_BUTTONS: dict[str, tuple[Callable[..., Problems], str]] = {
    "button": (_button, "text action_id url value style accessibility_label"),
}
_IMAGES: dict[str, tuple[Callable[..., Problems], str]] = {"image": (_image, "image_url alt_text")}
_ELEMENTS = _BUTTONS | _IMAGES
