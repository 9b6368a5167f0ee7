"""What the stand-in workspace holds: channels, messages, tokens, and the posts it accepted (vendors/slack.md)."""

from __future__ import annotations

import bisect
import dataclasses
import secrets
import time
from collections.abc import Iterable, Sequence
from typing import Any

#: The bot scopes of the app manifest (vendors/slack.md, section 13).
MANIFEST_SCOPES = (
    "chat:write",
    "chat:write.public",
    "channels:read",
    "groups:read",
    "channels:join",
    "channels:history",
    "groups:history",
)


class RefusedError(Exception):
    """A call that Slack would refuse: the `error` code, what goes with it in the body, and the HTTP status."""

    def __init__(self, error: str, *, status: int = 200, retry_after: int = 0, **extra: Any) -> None:
        super().__init__(error)
        self.error = error
        self.status = status
        self.retry_after = retry_after
        self.extra = extra


@dataclasses.dataclass(slots=True)
class Message:
    """A stored message; `blocks` carry the block ids that Slack gives, `thread_ts` is set on replies only."""

    ts: str
    text: str
    blocks: list[dict[str, Any]]
    attachments: list[dict[str, Any]]
    metadata: dict[str, Any] | None
    thread_ts: str | None = None
    is_broadcast: bool = False
    edited_ts: str = ""


@dataclasses.dataclass(slots=True)
class Channel:
    """A channel as the bot's workspace knows it; `seen_ts` is how far the person at the page has read."""

    id: str
    name: str
    is_private: bool = False
    is_member: bool = False
    is_archived: bool = False
    created: int = 0
    previous_names: list[str] = dataclasses.field(default_factory=list)
    messages: dict[str, Message] = dataclasses.field(default_factory=dict)
    seen_ts: str = ""

    def replies(self, ts: str) -> list[Message]:
        """The replies in the thread under `ts`, oldest first."""
        return [message for message in self.messages.values() if message.thread_ts == ts]

    def unread(self) -> int:
        return sum(1 for ts in self.messages if ts > self.seen_ts)


@dataclasses.dataclass(frozen=True, slots=True)
class Post:
    """One accepted chat.postMessage: `at` is its arrival (epoch seconds), `blocks` are as they were sent."""

    channel: str
    ts: str
    at: float
    thread_ts: str | None
    text: str
    blocks: list[dict[str, Any]]
    metadata: dict[str, Any] | None
    token: str = dataclasses.field(repr=False)


@dataclasses.dataclass(slots=True)
class Token:
    """A bot token; `error` is what Slack answers to it once it is no good (token_revoked, account_inactive)."""

    value: str = dataclasses.field(repr=False)
    scopes: tuple[str, ...] = ()
    expires_at: float | None = None
    error: str = ""


ANONYMOUS = Token("")


class Workspace:
    """One workspace with one installed app."""

    def __init__(self, *, id: str, name: str, url: str, bot_name: str, violations: list[str]) -> None:
        self.id = id
        self.name = name
        #: The base of permalinks, as auth.test gives it.
        self.url = url
        self.app_id = "A0STANDIN"
        self.bot_id = "B0STANDIN"
        self.bot_user_id = "U0STANDBOT"
        self.installer_id = "U0ADMIN"
        self.bot_name = bot_name
        self.channels: dict[str, Channel] = {}
        self.tokens: dict[str, Token] = {}
        self.posts: list[Post] = []
        self.violations = violations
        #: The reduced tier of apps sold outside the Slack Marketplace; None: an internal app.
        self.history_limit: int | None = None
        self.history_per_minute: int | None = None
        self.history_calls: dict[str, list[float]] = {}

    def issue(self, scopes: Iterable[str], *, value: str = "", expires_at: float | None = None) -> Token:
        """A working token; its value is made up unless given."""
        token = Token(value or f"xoxb-fake-{secrets.token_hex(8)}", tuple(scopes), expires_at)
        self.tokens[token.value] = token
        return token

    def channel(self, reference: str, *, by_name: bool = False) -> Channel:
        """The channel of an ID (or of a public channel's name); what the bot may not see does not exist."""
        channel = self.channels.get(reference)
        if channel is None and by_name:
            name = reference.removeprefix("#")
            channel = next((c for c in self.channels.values() if c.name == name and not c.is_private), None)
        if channel is None or (channel.is_private and not channel.is_member):
            raise RefusedError("channel_not_found")
        return channel

    def new_ts(self, channel: Channel) -> str:
        """The clock as a message id with six decimals, later than every other in the channel."""
        micros = time.time_ns() // 1000
        last = next(reversed(channel.messages), "")
        if last:
            micros = max(micros, int(last.replace(".", "")) + 1)
        return f"{micros // 1_000_000}.{micros % 1_000_000:06d}"

    def record(self, post: Post) -> None:
        """Keeps `posts` in the order of arrival, whatever order the threads come in."""
        bisect.insort(self.posts, post, key=lambda one: one.at)

    def duplicates(self) -> list[str]:
        """The delivery ids that more than one stored message of the same channel carries."""
        found: set[str] = set()
        for channel in self.channels.values():
            found.update(_repeated(list(channel.messages.values())))
        return sorted(found)

    def thread_fields(self, channel: Channel, ts: str) -> dict[str, Any]:
        """What a parent shows of its thread; nothing without replies."""
        replies = channel.replies(ts)
        if not replies:
            return {}
        return {
            "thread_ts": ts,
            "reply_count": len(replies),
            "reply_users_count": 1,
            "latest_reply": replies[-1].ts,
            "reply_users": [self.bot_user_id],
            "is_locked": False,
            "subscribed": False,
        }

    def as_wire(self, channel: Channel, message: Message, *, is_metadata_full: bool) -> dict[str, Any]:
        """A message as Slack gives it; without `is_metadata_full` metadata is its event_type alone."""
        wire: dict[str, Any] = {
            "type": "message",
            "user": self.bot_user_id,
            "bot_id": self.bot_id,
            "app_id": self.app_id,
            "team": self.id,
            "text": message.text,
            "ts": message.ts,
            "bot_profile": {"id": self.bot_id, "app_id": self.app_id, "name": self.bot_name, "deleted": False},
        }
        if message.blocks:
            wire["blocks"] = message.blocks
        if message.attachments:
            wire["attachments"] = message.attachments
        if message.metadata is not None:
            shown = {"event_type": message.metadata["event_type"]}
            wire["metadata"] = message.metadata if is_metadata_full else shown
        if message.edited_ts:
            wire["edited"] = {"user": self.bot_user_id, "ts": message.edited_ts}
        if message.thread_ts is None:
            return wire | self.thread_fields(channel, message.ts)
        if message.is_broadcast:
            wire["subtype"] = "thread_broadcast"
        return wire | {"thread_ts": message.thread_ts, "parent_user_id": self.bot_user_id}


def _repeated(messages: Sequence[Message]) -> set[str]:
    seen: set[str] = set()
    twice: set[str] = set()
    for message in messages:
        payload = (message.metadata or {}).get("event_payload", {})
        delivery_id = payload.get("delivery_id")
        if isinstance(delivery_id, str):
            (twice if delivery_id in seen else seen).add(delivery_id)
    return twice
