"""One post, with the few refusals that can be mended on the spot mended once each."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from connector.kernel.contracts import Context, Posting, Receipt
from connector.kernel.errors import Retry, Unknown, VendorError
from connector.kernel.values import BadValue, text
from sinks.slack import channels, client
from sinks.slack.client import Said
from sinks.slack.errors import Kind, kind_of
from sinks.slack.markup import cut

EVENT_TYPE = "ml_connector_notice"
#: Slack refuses a longer `text` on some workspaces, though it documents 40,000.
TEXT_LIMIT = 4000
#: No further try starts later than this after the first, so that all of them end well within one delivery lease.
MENDING_SECONDS = 3.0

Arguments = dict[str, Any]


def post(ctx: Context, posting: Posting) -> Receipt:
    """One message to one channel. Raises `errors.*`; `Unknown` when it may have arrived all the same."""
    arguments = _arguments(posting)
    started = ctx.now()
    mended: dict[str, str] = {}
    while True:
        try:
            return _receipt(client.write(ctx, "chat.postMessage", arguments), mended)
        except VendorError as refusal:
            name = _mending(refusal.code, arguments)
            if not name or name in mended:
                raise
            if (ctx.now() - started).total_seconds() > MENDING_SECONDS:
                raise Retry(refusal.text, code=refusal.code, status=refusal.status, detail=refusal.detail)
            arguments = _MENDERS[name](ctx, arguments, refusal)
            mended[name] = f"{name}: {refusal.code}{_places(refusal.detail)}"


def _arguments(posting: Posting) -> Arguments:
    """The body of chat.postMessage; metadata holds the opaque key alone, for every member can read it."""
    arguments: Arguments = {
        "channel": posting.target,
        "text": posting.message.text,
        "metadata": {"event_type": EVENT_TYPE, "event_payload": {"delivery_id": posting.key}},
        "unfurl_links": False,
        "unfurl_media": False,
        "parse": "none",
        "link_names": False,
    }
    if posting.message.body.get("blocks"):
        arguments["blocks"] = posting.message.body["blocks"]
    if posting.thread:
        arguments["thread_ts"] = posting.thread
    return arguments


def _receipt(said: Said, mended: Mapping[str, str]) -> Receipt:
    try:
        ts, channel = text(said.body, "ts"), text(said.body, "channel")
    except BadValue:
        ts = channel = ""
    if not ts:
        raise Unknown("Slack took the message and did not say where it stands", code="no_ts", status=200)
    return Receipt(id=ts, target=channel, warnings=(*mended.values(), *said.warnings))


def _mending(code: str, arguments: Mapping[str, Any]) -> str:
    """What could be changed so that the same message is taken; empty when nothing can."""
    if code == "not_in_channel":
        return "joined"
    if code in ("thread_not_found", "message_not_found"):
        return "posted outside its thread" if "thread_ts" in arguments else ""
    if code == "msg_too_long" and len(arguments["text"]) > TEXT_LIMIT:
        return "text shortened"
    return "posted as plain text" if kind_of(code) is Kind.PAYLOAD else ""


def _join(ctx: Context, arguments: Arguments, refusal: VendorError) -> Arguments:
    channels.enter(ctx, arguments["channel"])
    return arguments


def _leave_thread(ctx: Context, arguments: Arguments, refusal: VendorError) -> Arguments:
    return {name: value for name, value in arguments.items() if name != "thread_ts"}


def _shorten(ctx: Context, arguments: Arguments, refusal: VendorError) -> Arguments:
    return {**arguments, "text": cut(arguments["text"], TEXT_LIMIT - 200)}


def _flatten(ctx: Context, arguments: Arguments, refusal: VendorError) -> Arguments:
    """Plain text; the metadata stays unless it was refused, or an uncertain answer could not be looked up."""
    dropped = ("blocks", "metadata") if "metadata" in refusal.code else ("blocks",)
    return {name: value for name, value in arguments.items() if name not in dropped}


_MENDERS: Mapping[str, Callable[[Context, Arguments, VendorError], Arguments]] = {
    "joined": _join,
    "posted outside its thread": _leave_thread,
    "text shortened": _shorten,
    "posted as plain text": _flatten,
}


def _places(detail: str) -> str:
    """Where in the message Slack saw the fault; its wording may quote the message, its pointers do not."""
    found = re.findall(r"\[json-pointer:(/[a-z0-9_/]{1,100})\]", detail)
    return f" at {', '.join(dict.fromkeys(found))}" if found else ""
