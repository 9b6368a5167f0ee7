"""The stand-in's conversations.* methods: reading back, listing and joining (vendors/slack.md, sections 7 to 9)."""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, TypeVar

from sinks.slack.standin_wire import Ask, Method
from sinks.slack.standin_workspace import Channel, Message, RefusedError, Workspace

_STAMP = re.compile(r"\d{1,12}(\.\d{1,9})?")
_TYPES = {"public_channel": "channels:read", "private_channel": "groups:read", "im": "im:read", "mpim": "mpim:read"}
_DEFAULT_LIMIT = 100
_MOST = 999
_Item = TypeVar("_Item")


def history(ask: Ask) -> dict[str, Any]:
    """The channel's messages, newest first, without the replies in threads."""
    channel = _readable(ask)
    _spend(ask, "conversations.history")
    messages = [one for one in channel.messages.values() if one.thread_ts is None or one.is_broadcast]
    found = _within(ask, sorted(messages, key=lambda one: one.ts, reverse=True))
    page, cursor = _page(found, [f"next_ts:{one.ts.replace('.', '')}" for one in found], ask, _history_limit(ask))
    return {**_messages(ask, channel, page, cursor), "pin_count": 0}


def replies(ask: Ask) -> dict[str, Any]:
    """A thread, parent first, then its replies oldest first; the ts of a reply gives that message alone."""
    channel = _readable(ask)
    _spend(ask, "conversations.replies")
    ts = ask.need("ts")
    if ts not in channel.messages:
        raise RefusedError("thread_not_found")
    found = [channel.messages[ts], *_within(ask, channel.replies(ts))]
    page, cursor = _page(found, [f"next_ts:{one.ts.replace('.', '')}" for one in found], ask, _history_limit(ask))
    return _messages(ask, channel, page, cursor)


def list_channels(ask: Ask) -> dict[str, Any]:
    """The channels that the bot may see. As with Slack the filter comes after the page is cut, so that a page can be
    short or empty without being the last."""
    types = ask.text("types", "public_channel").replace(" ", "").split(",")
    if not set(types) <= set(_TYPES):
        raise RefusedError("invalid_types")
    for kind in types:
        ask.require(_TYPES[kind])
    every = sorted(ask.team.channels.values(), key=lambda one: one.id)
    limit = _limit(ask, _DEFAULT_LIMIT)
    if not 1 <= limit <= _MOST:
        raise RefusedError("invalid_limit")
    page, cursor = _page(every, [f"team:{one.id}" for one in every], ask, limit)
    is_hiding = ask.truth("exclude_archived")
    shown = [
        one
        for one in page
        if ("private_channel" if one.is_private else "public_channel") in types
        and (one.is_member or not one.is_private)
        and not (is_hiding and one.is_archived)
    ]
    channels = [channel_fields(ask.team, one) | {"num_members": 4} for one in shown]
    return {"channels": channels, "response_metadata": {"next_cursor": cursor}}


def get_channel(ask: Ask) -> dict[str, Any]:
    """One channel; a private one without the bot does not exist."""
    reference = ask.need("channel")
    channel = ask.team.channels.get(reference)
    ask.require("groups:read" if channel and channel.is_private else "channels:read")
    return {"channel": channel_fields(ask.team, ask.team.channel(reference))}


def join(ask: Ask) -> dict[str, Any]:
    """Makes the bot a member of a public channel; being one already is only a warning."""
    ask.require("channels:join")
    channel = ask.team.channels.get(ask.need("channel"))
    if channel is None:
        raise RefusedError("channel_not_found")
    if channel.is_private:
        raise RefusedError("method_not_supported_for_channel_type")
    if channel.is_archived:
        raise RefusedError("is_archived")
    was_member, channel.is_member = channel.is_member, True
    document: dict[str, Any] = {"channel": channel_fields(ask.team, channel)}
    if was_member:
        document |= {
            "warning": "already_in_channel",
            "response_metadata": {"warnings": ["already_in_channel"]},
        }
    return document


def channel_fields(team: Workspace, channel: Channel) -> dict[str, Any]:
    """A channel as conversations.* give it."""
    empty = {"value": "", "creator": "", "last_set": 0}
    return {
        "id": channel.id,
        "name": channel.name,
        "is_channel": not channel.is_private,
        "is_group": channel.is_private,
        "is_im": False,
        "is_mpim": False,
        "is_private": channel.is_private,
        "created": channel.created,
        "is_archived": channel.is_archived,
        "is_general": False,
        "name_normalized": channel.name,
        "is_shared": False,
        "is_org_shared": False,
        "context_team_id": team.id,
        "creator": team.installer_id,
        "is_ext_shared": False,
        "is_member": channel.is_member,
        "topic": empty,
        "purpose": empty,
        "previous_names": channel.previous_names,
    }


def _readable(ask: Ask) -> Channel:
    reference = ask.need("channel")
    known = ask.team.channels.get(reference)
    ask.require("groups:history" if known and known.is_private else "channels:history")
    channel = ask.team.channel(reference)
    if not channel.is_member:
        raise RefusedError("not_in_channel")
    return channel


def _spend(ask: Ask, method: str) -> None:
    """Counts a call against the reduced tier, when there is one."""
    allowed = ask.team.history_per_minute
    if allowed is None:
        return
    recent = [at for at in ask.team.history_calls.get(method, []) if ask.call.at - at < 60]
    if len(recent) >= allowed:
        wait = max(1, math.ceil(60 - (ask.call.at - recent[-allowed])))
        raise RefusedError("ratelimited", status=429, retry_after=wait)
    ask.team.history_calls[method] = [*recent, ask.call.at]


def _limit(ask: Ask, default: int) -> int:
    try:
        return int(ask.text("limit", str(default)))
    except ValueError:
        raise RefusedError("invalid_limit") from None


def _history_limit(ask: Ask) -> int:
    most = ask.team.history_limit or _MOST
    return max(1, min(most, _limit(ask, _DEFAULT_LIMIT)))


def _within(ask: Ask, messages: Sequence[Message]) -> list[Message]:
    """The messages between `oldest` and `latest`; the bounds themselves only with `inclusive`."""
    oldest, latest = _bound(ask, "oldest"), _bound(ask, "latest")
    is_inclusive = ask.truth("inclusive")
    kept = []
    for message in messages:
        at = Decimal(message.ts)
        if (oldest is not None and at < oldest) or (latest is not None and at > latest):
            continue
        if is_inclusive or at not in (oldest, latest):
            kept.append(message)
    return kept


def _bound(ask: Ask, name: str) -> Decimal | None:
    value = ask.arguments.get(name)
    if value is None or value == "":
        return None
    # A JSON body may carry a number; a float has lost digits, and is compared as what it became.
    text = str(value)
    if not _STAMP.fullmatch(text):
        raise RefusedError(f"invalid_ts_{name}")
    return Decimal(text)


def _page(items: Sequence[_Item], keys: Sequence[str], ask: Ask, limit: int) -> tuple[list[_Item], str]:
    """The page that the `cursor` argument asks for, and the cursor of the next one (empty at the end)."""
    start = 0
    cursor = ask.text("cursor")
    if cursor:
        key = _decoded(cursor)
        if key not in keys:
            raise RefusedError("invalid_cursor")
        start = keys.index(key)
    end = start + limit
    following = base64.b64encode(keys[end].encode()).decode() if end < len(keys) else ""
    return list(items[start:end]), following


def _decoded(cursor: str) -> str:
    try:
        return base64.b64decode(cursor, validate=True).decode()
    except (binascii.Error, ValueError):
        raise RefusedError("invalid_cursor") from None


def _messages(ask: Ask, channel: Channel, page: Sequence[Message], cursor: str) -> dict[str, Any]:
    is_full = ask.truth("include_all_metadata")
    return {
        "messages": [ask.team.as_wire(channel, one, is_metadata_full=is_full) for one in page],
        "has_more": bool(cursor),
        "response_metadata": {"next_cursor": cursor},
    }


METHODS = {
    "conversations.history": Method(history, is_read=True),
    "conversations.replies": Method(replies, is_read=True),
    "conversations.list": Method(list_channels, is_read=True),
    "conversations.info": Method(get_channel, is_read=True),
    "conversations.join": Method(join),
}
