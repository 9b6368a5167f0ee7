"""The stand-in workspace as a person sees it: one HTML page without outside resources, whole without scripts.

The script only fetches the same fragments again. Text of messages is escaped by `standin_text`, all else here; the
content policy allows nothing but the page's own style and script.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any

from connector.kernel.standin import Answer, json_answer
from sinks.slack.standin_text import Reader, clock, day, mrkdwn, plain
from sinks.slack.standin_workspace import Channel, Message, Workspace

MESSAGES_SHOWN = 200
_HERE = Path(__file__)
_PAGE, _STYLE, _SCRIPT = (
    _HERE.with_suffix(suffix).read_text(encoding="utf-8").strip() for suffix in (".html", ".css", ".js")
)


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


_HEADERS = {
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_digest(_STYLE)}'; "
    f"script-src 'sha256-{_digest(_SCRIPT)}'; connect-src 'self'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}

_AVATAR = '<svg class="avatar" aria-hidden="true"><use href="#bot"/></svg>'


def page(team: Workspace, channel_id: str, *, reader: Reader | None = None) -> Answer:
    """The whole page, opened at a channel (the first one when none is named)."""
    channels = _ordered(team)
    channel = team.channels.get(channel_id) if channel_id else next(iter(channels), None)
    if channel is None and channel_id:
        text = "No such channel here. Open / for the channels that exist.\n"
        return Answer(404, text.encode(), _HEADERS, "text/plain; charset=utf-8")
    pieces = _pieces(team, channel, reader or _reader(team))
    frame = {"style": _STYLE, "script": _SCRIPT, "team": escape(team.name), "bot": escape(team.bot_name)}
    html = _PAGE.format_map({**pieces, **frame})
    return Answer(200, html.encode(), _HEADERS, "text/html; charset=utf-8")


def parts(team: Workspace, channel_id: str, version: str) -> Answer:
    """The changing fragments as JSON for the script; 204 while nothing changed since `version`."""
    channel = team.channels.get(channel_id)
    if channel is None:
        return json_answer({"ok": False, "error": "channel_not_found"}, status=404)
    pieces = _pieces(team, channel, _reader(team))
    return Answer(204) if pieces["version"] == version else json_answer(pieces, Cache_Control="no-store")


def _reader(team: Workspace) -> Reader:
    channels = {channel.id: channel.name for channel in team.channels.values()}
    users = {team.bot_user_id: team.bot_name, team.installer_id: "admin"}
    return Reader(channels, users, datetime.now(UTC))


def _ordered(team: Workspace) -> list[Channel]:
    return sorted(team.channels.values(), key=lambda one: (one.is_archived, one.name))


def _pieces(team: Workspace, channel: Channel | None, reader: Reader) -> dict[str, str]:
    """The fragments of the page and their fingerprint. Looking at a channel reads it."""
    if channel:
        channel.seen_ts = max(channel.messages, default="")
    pieces = {
        "id": channel.id if channel else "",
        "title": escape(f"{channel.name if channel else 'no channels'} | {team.name}"),
        "presence": _presence(team),
        "channels": _sidebar(team, channel),
        "tally": _tally(team),
        "heading": _heading(team, channel),
        "messages": _messages(team, channel, reader) if channel else _note("Channels appear here once they exist."),
        "foot": _foot(channel),
    }
    return {**pieces, "version": hashlib.sha256(json.dumps(pieces).encode()).hexdigest()[:16]}


def _sign(channel: Channel) -> str:
    name = "box" if channel.is_archived else "lock" if channel.is_private else "hash"
    return f'<svg class="sign" aria-hidden="true"><use href="#{name}"/></svg>'


def _sidebar(team: Workspace, current: Channel | None) -> str:
    rows = []
    for channel in _ordered(team):
        unread = channel.unread()
        states = ["archived"] * channel.is_archived + ["unread"] * bool(unread)
        marks = [f'class="{" ".join(states)}"'] if states else []
        marks += ['aria-current="page"'] * (channel is current)
        kind = "archived channel" if channel.is_archived else "private channel" if channel.is_private else "channel"
        badge = f'<span class="badge">{unread}<span class="away"> unread</span></span>' if unread else ""
        rows.append(
            f'<li id="c-{escape(channel.id)}"><a href="/channel/{escape(channel.id)}" {" ".join(marks)}>'
            f'{_sign(channel)}<span class="away">{kind} </span><span class="name">{escape(channel.name)}</span>'
            f"{badge}</a></li>"
        )
    return "".join(rows)


def _presence(team: Workspace) -> str:
    """Whether the app still holds a token that works."""
    is_connected = any(not token.error for token in team.tokens.values())
    state = "is connected" if is_connected else "was removed"
    return f'<span class="dot{"" if is_connected else " off"}"></span>{escape(team.bot_name)} {state}'


def _tally(team: Workspace) -> str:
    """The line that tells whether the connector kept its word."""
    cells = []
    for count, name, is_fault in (
        (len(team.posts), "posted", False),
        (len(team.duplicates()), "duplicates", True),
        (len(team.violations), "pace or rule violations", True),
    ):
        mood = ' class="bad"' if is_fault and count else ""
        cells.append(f"<li{mood}><b>{count}</b> {name}</li>")
    return "".join(cells)


def _heading(team: Workspace, channel: Channel | None) -> str:
    if channel is None:
        return "<h1>No channels yet</h1>"
    state = "is a member" if channel.is_member else "is not a member"
    count = len(channel.messages)
    facts = [f"{count} message{'' if count == 1 else 's'}", f"{escape(team.bot_name)} {state}"]
    facts += ["private"] * channel.is_private + ["archived"] * channel.is_archived
    items = "".join(f"<li>{fact}</li>" for fact in facts)
    return f'<h1>{_sign(channel)}<span>{escape(channel.name)}</span></h1><ul class="facts">{items}</ul>'


def _foot(channel: Channel | None) -> str:
    if channel and channel.is_archived:
        return f"<b>{escape(channel.name)}</b> is archived. Nothing can be posted here until it is unarchived."
    return "A local stand-in for Slack: nothing here leaves this machine."


def _note(text: str) -> str:
    return f'<li id="note" class="note">{escape(text)}</li>'


def _messages(team: Workspace, channel: Channel, reader: Reader) -> str:
    every = [one for one in channel.messages.values() if one.thread_ts is None or one.is_broadcast]
    if not every:
        more = "" if channel.is_archived else " What the connector posts here appears by itself."
        return _note(f"No messages yet.{more}")
    rows = [_note("Earlier messages are not shown.")] if len(every) > MESSAGES_SHOWN else []
    threads: dict[str, list[Message]] = {}
    for one in channel.messages.values():
        if one.thread_ts:
            threads.setdefault(one.thread_ts, []).append(one)
    today = ""
    for message in every[-MESSAGES_SHOWN:]:
        moment = reader.local(float(message.ts))
        name = day(moment, reader.now.astimezone(moment.tzinfo))
        if name != today:
            rows.append(f'<li id="d-{moment:%Y%m%d}" class="day"><span>{name[0].upper()}{name[1:]}</span></li>')
            today = name
        rows.append(_message(team, message, threads.get(message.ts, []), reader))
    return "".join(rows)


def _message(team: Workspace, message: Message, replies: list[Message], reader: Reader) -> str:
    moment = reader.local(float(message.ts))
    anchor = "m-" + message.ts.replace(".", "")
    return (
        f'<li id="{anchor}" class="message">{_AVATAR}<article aria-labelledby="{anchor}-by"><header id="{anchor}-by">'
        f'<b>{escape(team.bot_name)}</b> <span class="tag">APP</span> <a href="#{anchor}">'
        f'<time datetime="{moment.isoformat(timespec="seconds")}">{clock(moment)}</time></a></header>'
        f"{_body(message, reader)}{_thread(team, replies, reader)}</article></li>"
    )


def _thread(team: Workspace, replies: list[Message], reader: Reader) -> str:
    if not replies:
        return ""
    moment = reader.local(float(replies[-1].ts))
    last = f"{day(moment, reader.now.astimezone(moment.tzinfo))} at {clock(moment)}"
    rows = "".join(_message(team, reply, [], reader) for reply in replies)
    count = f"{len(replies)} {'reply' if len(replies) == 1 else 'replies'}"
    return (
        f'<details class="thread" open><summary>{_AVATAR}<b>{count}</b><span>Last reply {escape(last)}</span></summary>'
        f"<ol>{rows}</ol></details>"
    )


def _body(message: Message, reader: Reader) -> str:
    inner = "".join(_block(block, reader) for block in message.blocks)
    if not message.blocks and message.text:
        inner = f'<div class="text">{mrkdwn(message.text, reader)}</div>'
    inner += "".join(_attachment(one, reader) for one in message.attachments)
    return inner + ('<span class="edited">(edited)</span>' if message.edited_ts else "")


def _attachment(attachment: Mapping[str, Any], reader: Reader) -> str:
    text = attachment.get("text") or attachment.get("fallback") or ""
    return f'<div class="attachment text">{mrkdwn(str(text), reader)}</div>'


def _block(block: Mapping[str, Any], reader: Reader) -> str:
    kind = block["type"]
    if kind == "header":
        return f"<h2>{_text(block['text'], reader)}</h2>"
    if kind == "divider":
        return "<hr>"
    if kind == "image":
        return f'<div class="text">{_picture(block)}</div>'
    if kind == "context":
        spans = "".join(f"<span>{_element(one, reader)}</span>" for one in block["elements"])
        return f'<div class="context">{spans}</div>'
    if kind == "actions":
        return f'<div class="actions">{"".join(_element(one, reader) for one in block["elements"])}</div>'
    return f'<div class="section">{_section(block, reader)}</div>'


def _section(block: Mapping[str, Any], reader: Reader) -> str:
    text = f'<div class="text">{_text(block["text"], reader)}</div>' if "text" in block else ""
    fields = _fields(block.get("fields", ()), reader)
    accessory = f'<div class="accessory">{_element(block["accessory"], reader)}</div>' if "accessory" in block else ""
    return f"<div>{text}{fields}</div>{accessory}"


def _fields(fields: Iterable[Mapping[str, Any]], reader: Reader) -> str:
    cells = "".join(f"<div>{_text(field, reader)}</div>" for field in fields)
    return f'<div class="fields">{cells}</div>' if cells else ""


def _element(element: Mapping[str, Any], reader: Reader) -> str:
    if element["type"] == "image":
        return _picture(element)
    if element["type"] == "button":
        style = escape(str(element.get("style", "")))
        return f'<span class="button {style}">{_text(element["text"], reader)}</span>'
    return _text(element, reader)


def _picture(image: Mapping[str, Any]) -> str:
    """Pictures are told, not fetched: the page loads nothing from outside."""
    return f'<span class="picture">{escape(str(image["alt_text"]))}</span>'


def _text(text: Mapping[str, Any], reader: Reader) -> str:
    if text["type"] == "mrkdwn":
        return mrkdwn(text["text"], reader, is_verbatim=bool(text.get("verbatim")))
    return plain(text["text"], has_emoji=bool(text.get("emoji", True)))
