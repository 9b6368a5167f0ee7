"""The stand-in's chat.* methods (vendors/slack.md, sections 5 and 9)."""

from __future__ import annotations

import dataclasses
import secrets
from typing import Any

from sinks.slack.standin_blocks import read_attachments, read_blocks, read_metadata
from sinks.slack.standin_wire import Ask, Method
from sinks.slack.standin_workspace import Channel, Message, Post, RefusedError

TRUNCATED = "[WARN] Your message was truncated but still posted. The `text` field accepts up to 40,000 characters."
TEXT_CHARACTERS = 40_000
UPDATE_CHARACTERS = 4_000


@dataclasses.dataclass(frozen=True, slots=True)
class _Content:
    text: str
    blocks: list[dict[str, Any]]
    attachments: list[dict[str, Any]]
    metadata: dict[str, Any] | None


def post_message(ask: Ask) -> dict[str, Any]:
    """Stores a message, or refuses it as Slack would; a text over 40,000 characters is cut and posted."""
    ask.require("chat:write")
    if any(ask.arguments.get(name) for name in ("username", "icon_url", "icon_emoji")):
        ask.require("chat:write.customize")
    channel = ask.team.channel(ask.need("channel"), by_name=True)
    if channel.is_archived:
        raise RefusedError("is_archived")
    if not channel.is_member and "chat:write.public" not in ask.token.scopes:
        raise RefusedError("not_in_channel")
    content = _read_content(ask)
    message = _store(ask, channel, content, _parent(ask, channel))
    document = {
        "channel": channel.id,
        "ts": message.ts,
        "message": ask.team.as_wire(channel, message, is_metadata_full=True),
    }
    if len(content.text) > TEXT_CHARACTERS:
        document["response_metadata"] = {"messages": [TRUNCATED], "warnings": ["message_truncated"]}
    return document


def update(ask: Ask) -> dict[str, Any]:
    """Changes a message: text without blocks removes the blocks, metadata stays when left out."""
    ask.require("chat:write")
    channel = ask.team.channel(ask.need("channel"))
    message = _message(channel, ask.need("ts"))
    if channel.is_archived:
        raise RefusedError("is_archived")
    content = _read_content(ask)
    if len(content.text) > UPDATE_CHARACTERS:
        raise RefusedError("msg_too_long")
    message.text, message.blocks = content.text, _with_ids(content.blocks)
    message.attachments = content.attachments
    message.metadata = message.metadata if content.metadata is None else content.metadata
    message.edited_ts = f"{ask.call.at:.6f}"
    wire = ask.team.as_wire(channel, message, is_metadata_full=True)
    return {"channel": channel.id, "ts": message.ts, "text": message.text, "message": wire}


def get_permalink(ask: Ask) -> dict[str, Any]:
    """The address of a message; a reply's carries its thread."""
    channel = ask.team.channel(ask.need("channel"))
    message = _message(channel, ask.need("message_ts"))
    link = f"{ask.team.url}archives/{channel.id}/p{message.ts.replace('.', '')}"
    if message.thread_ts:
        link += f"?thread_ts={message.thread_ts}&cid={channel.id}"
    return {"channel": channel.id, "permalink": link}


def _read_content(ask: Ask) -> _Content:
    arguments = ask.arguments
    text = ask.text("text")
    markdown = ask.text("markdown_text")
    blocks = read_blocks(arguments["blocks"]) if arguments.get("blocks") else []
    attachments = read_attachments(arguments["attachments"]) if arguments.get("attachments") else []
    if markdown and (text or blocks):
        raise RefusedError("markdown_text_conflict")
    if len(markdown) > 12_000:
        raise RefusedError("msg_too_long")
    text = text or markdown
    if not text.strip() and not blocks and not attachments:
        raise RefusedError("no_text")
    return _Content(text, blocks, attachments, read_metadata(arguments.get("metadata")))


def _parent(ask: Ask, channel: Channel) -> Message | None:
    ts = ask.text("thread_ts")
    if not ts:
        return None
    parent = channel.messages.get(ts)
    if parent is None or parent.thread_ts is not None:
        raise RefusedError("cannot_reply_to_message")
    return parent


def _message(channel: Channel, ts: str) -> Message:
    if ts not in channel.messages:
        raise RefusedError("message_not_found")
    return channel.messages[ts]


def _store(ask: Ask, channel: Channel, content: _Content, parent: Message | None) -> Message:
    message = Message(
        ts=ask.team.new_ts(channel),
        text=content.text[:TEXT_CHARACTERS],
        blocks=_with_ids(content.blocks),
        attachments=content.attachments,
        metadata=content.metadata,
        thread_ts=parent.ts if parent else None,
        is_broadcast=parent is not None and ask.truth("reply_broadcast"),
    )
    channel.messages[message.ts] = message
    ask.team.record(
        Post(
            channel=channel.id,
            ts=message.ts,
            at=ask.call.at,
            thread_ts=message.thread_ts,
            text=message.text,
            blocks=content.blocks,
            metadata=message.metadata,
            token=ask.token.value,
        )
    )
    return message


def _with_ids(blocks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"block_id": secrets.token_hex(3), **block} for block in blocks]


METHODS = {
    "chat.postMessage": Method(post_message),
    "chat.update": Method(update),
    "chat.getPermalink": Method(get_permalink, is_read=True),
}
