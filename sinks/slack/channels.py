"""Channels: getting into one, and finding out whether it can take messages before a notice needs it."""

from __future__ import annotations

from connector.kernel.contracts import Context
from connector.kernel.errors import Misconfigured, ParkTarget, Reject
from connector.kernel.values import dig
from sinks.slack import client
from sinks.slack.client import Said
from sinks.slack.markup import short

#: Refusals that mean "the app does not get in by itself", whatever the reason.
CLOSED_DOOR = (Misconfigured, ParkTarget, Reject)


def join(ctx: Context, channel: str) -> Said:
    """Joins a public channel; being in it already is a yes too. Harmless to repeat."""
    return client.read(ctx, "conversations.join", {"channel": channel})


def enter(ctx: Context, channel: str) -> None:
    """Joins a channel that something else needs the app to be in. Raises `ParkTarget` with what to do instead."""
    try:
        join(ctx, channel)
    except CLOSED_DOOR as refusal:
        raise ParkTarget(
            f"The app is not in the channel and could not join it ({refusal.code}): invite it with /invite in that"
            " channel",
            code="not_in_channel",
            status=refusal.status,
            detail=refusal.detail,
        )


def prepare(ctx: Context, target: str) -> str:
    """Looks the channel up and joins it when it is public; a sentence about what was found.

    Only a member can read messages back (https://docs.slack.dev/reference/methods/conversations.history), so a channel
    that may be posted to without joining is joined all the same.
    """
    channel = client.read(ctx, "conversations.info", {"channel": target}).body
    name = dig(channel, "channel", "name")
    place = f"#{short(name, 80)} ({target})" if isinstance(name, str) and name else target
    if dig(channel, "channel", "is_archived") is True:
        raise ParkTarget(
            f"{place} is archived: unarchive it in Slack, or choose another channel in the route", code="is_archived"
        )
    if dig(channel, "channel", "is_member") is True:
        return f"{place} is ready: the app is in it"
    if dig(channel, "channel", "is_private") is True:
        raise ParkTarget(f"{place} is private: invite the app with /invite in that channel", code="not_in_channel")
    try:
        join(ctx, target)
    except CLOSED_DOOR as refusal:
        return (
            f"{place} can be posted to, but the app could not join it ({refusal.code}): messages whose arrival is"
            " uncertain cannot be read back until somebody invites it with /invite in that channel"
        )
    return f"{place} is ready: the app has joined it"
