"""Finding out whether an uncertain post landed, by reading the channel back.

Slack documents no idempotency key; what it documents is message metadata, so every post carries its key there
(https://docs.slack.dev/messaging/message-metadata). Pages of 15 work for apps under the strictest limits too.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

from connector.kernel.contracts import Context, Posting, Receipt
from connector.kernel.errors import ParkTarget, Retry, Unreadable, VendorError
from connector.kernel.values import BadValue, dig, rows, text
from sinks.slack import channels, client
from sinks.slack.sending import EVENT_TYPE

#: Slack's clock and ours may differ by this much.
CLOCK_SKEW = dt.timedelta(minutes=2)
PAGE = 15
MAX_PAGES = 200
_GONE_THREAD = ("thread_not_found", "message_not_found")


def reconcile(ctx: Context, posting: Posting, since: dt.datetime) -> Receipt | None:
    """The receipt of the message that carries the key, its oldest copy first; None when there is none since then.

    Raises `Unreadable` with what to mend, and `Retry` when Slack wants to be asked later.
    """
    try:
        try:
            return _find(ctx, posting, since)
        except ParkTarget as refusal:
            if refusal.code != "not_in_channel":
                raise
        channels.enter(ctx, posting.target)
        return _find(ctx, posting, since)
    except channels.CLOSED_DOOR as refusal:
        raise Unreadable(
            f"The channel cannot be read back. {refusal.text}",
            code=refusal.code,
            status=refusal.status,
            detail=refusal.detail,
        )


def _find(ctx: Context, posting: Posting, since: dt.datetime) -> Receipt | None:
    if posting.thread:
        try:
            return _look(ctx, posting, since, posting.thread)
        except VendorError as refusal:
            if refusal.code not in _GONE_THREAD:
                raise
    return _look(ctx, posting, since, "")


def _look(ctx: Context, posting: Posting, since: dt.datetime, thread: str) -> Receipt | None:
    found: set[str] = set()
    is_blind = False
    try:
        for page in _pages(ctx, posting.target, (since - CLOCK_SKEW).timestamp(), thread):
            for message in page:
                if dig(message, "metadata", "event_type") != EVENT_TYPE:
                    continue
                key = dig(message, "metadata", "event_payload", "delivery_id")
                is_blind = is_blind or key is None
                if key == posting.key:
                    found.add(text(message, "ts"))
    except (Retry, Unreadable):
        if not found:
            raise
    except BadValue:
        if not found:
            raise Retry("Slack's list of messages cannot be read: it is asked again later", code="bad_list")
    if found:
        return Receipt(id=min(found, key=_moment), target=posting.target, is_repeated=len(found) > 1)
    if is_blind:  # without the payload a miss proves nothing
        raise Unreadable(
            "Slack does not show the metadata of messages: look in the channel, then replay or skip this one"
        )
    return None


def _pages(ctx: Context, channel: str, oldest: float, thread: str) -> Iterator[Sequence[Any]]:
    method = "conversations.replies" if thread else "conversations.history"
    arguments = {
        "channel": channel,
        **({"ts": thread} if thread else {}),
        "oldest": f"{oldest:.6f}",
        "inclusive": "true",
        "limit": str(PAGE),
        "include_all_metadata": "true",
    }
    for _ in range(MAX_PAGES):
        body = client.read(ctx, method, arguments).body
        messages = rows(body, "messages")
        yield messages
        cursor = text(body, "response_metadata", "next_cursor")
        is_past = bool(messages) and not thread and all(_moment(text(item, "ts")) < oldest for item in messages)
        if not cursor or is_past:
            return
        arguments = {**arguments, "cursor": cursor}
    raise Unreadable(
        f"More than {PAGE * MAX_PAGES} messages have come since: look in the channel, then replay or skip this one"
    )


def _moment(ts: str) -> Decimal:
    if not re.fullmatch(r"[0-9]{1,15}(\.[0-9]{1,9})?", ts):
        raise BadValue("ts is not a message time")
    return Decimal(ts)
