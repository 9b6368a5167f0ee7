"""The ping: does the token work, for the right workspace, and may the bot do all that it will be asked to do."""

from __future__ import annotations

from collections.abc import Mapping

from connector.kernel.contracts import Context
from connector.kernel.errors import Misconfigured, Retry
from connector.kernel.values import BadValue, text
from sinks.slack import client
from sinks.slack.markup import short

#: What the bot cannot do without a scope. Without chat:write it can do nothing at all.
_WITHOUT: Mapping[str, str] = {
    "channels:read": "look up public channels",
    "groups:read": "look up private channels",
    "channels:join": "join public channels by itself",
    "channels:history": "read back uncertain posts in public channels",
    "groups:history": "read back uncertain posts in private channels",
}


def check(ctx: Context) -> str:
    """Asks Slack who the token is, and compares the scopes that it grants with those needed."""
    said = client.read(ctx, "auth.test", {})
    try:
        team, name = text(said.body, "team_id"), text(said.body, "team")
    except BadValue:
        raise Retry("Slack's answer to auth.test cannot be read: try again later", code="bad_answer")
    if said.scopes is not None and "chat:write" not in said.scopes:
        raise Misconfigured(
            "The Slack app may not post: add the scope chat:write under OAuth & Permissions in the app's settings, then"
            " reinstall the app",
            code="missing_scope",
        )
    sentences = [f"Connected to the Slack workspace {short(name, 80)} ({team})."]
    if ctx.account and team != ctx.account:
        sentences.append(
            f"The connection says {ctx.account}: correct its account, or the workspace's own events find no connection."
        )
    return " ".join([*sentences, *_shortfalls(said.scopes)])


def _shortfalls(granted: frozenset[str] | None) -> list[str]:
    if granted is None:
        return []
    missing = [scope for scope in _WITHOUT if scope not in granted]
    sentences = [f"It cannot {_WITHOUT[scope]} until {scope} is granted." for scope in missing]
    remedy = "Add what is missing under OAuth & Permissions in the app's settings, then reinstall the app."
    return [*sentences, remedy] if missing else []
