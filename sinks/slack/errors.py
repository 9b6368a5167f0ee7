"""Slack's error codes and what each means for us: one table, and the verdicts made from it.

Slack answers 200 to nearly everything, so the verdict hangs on (HTTP status, `error`). Codes and classes follow the
method pages of docs.slack.dev; the list is open, so a code that is not here is retried until the budget is used up.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from typing import Any

from connector.kernel.errors import (
    Misconfigured,
    ParkTarget,
    Reauthorize,
    Refresh,
    Reject,
    Retry,
    Unknown,
    VendorError,
)
from connector.kernel.values import dig

#: Seconds to wait when Slack says "too fast" without saying for how long.
DEFAULT_WAIT = 5.0
#: Seconds to wait when the whole workspace has posted too much.
LONG_WAIT = 600.0
#: No header makes us wait longer than a day.
MAX_WAIT = 86400.0


class Kind(enum.StrEnum):
    """The classes of answers; what to do for each is in `verdict`."""

    RATE = "rate"
    SLOW_RATE = "slow_rate"
    TRANSIENT = "transient"
    AMBIGUOUS = "ambiguous"
    TOKEN = "token"  # noqa: S105 - the name of a class of errors
    EXPIRED = "expired"
    SCOPE = "scope"
    CHANNEL = "channel"
    PAYLOAD = "payload"
    CODE = "code"
    UNLISTED = "unlisted"


_CODES: Mapping[Kind, str] = {
    Kind.RATE: "ratelimited rate_limited",
    Kind.SLOW_RATE: "message_limit_exceeded",
    Kind.TRANSIENT: "service_unavailable request_timeout team_added_to_org org_login_required"
    " external_channel_migrating",
    Kind.AMBIGUOUS: "internal_error fatal_error duplicate_message_not_found duplicate_channel_not_found",
    Kind.TOKEN: "invalid_auth account_inactive token_revoked not_authed not_allowed_token_type access_denied"
    " accesslimited two_factor_setup_required enterprise_is_restricted team_access_not_granted app_access_restricted",
    Kind.EXPIRED: "token_expired",
    Kind.SCOPE: "missing_scope no_permission ekm_access_denied metadata_must_be_sent_from_app",
    Kind.CHANNEL: "channel_not_found not_in_channel is_archived restricted_action restricted_action_read_only_channel"
    " restricted_action_thread_only_channel restricted_action_non_threadable_channel restricted_action_thread_locked"
    " cannot_reply_to_message team_not_found messages_tab_disabled method_not_supported_for_channel_type"
    " too_many_members",
    Kind.PAYLOAD: "no_text msg_too_long msg_blocks_too_long invalid_blocks invalid_blocks_format invalid_attachments"
    " too_many_attachments attachment_payload_limit_exceeded metadata_too_large invalid_metadata_format"
    " invalid_metadata_schema markdown_text_conflict invalid_arguments invalid_arg_name invalid_array_arg"
    " invalid_charset invalid_form_data invalid_post_type missing_post_type as_user_not_supported"
    " send_on_behalf_not_allowed too_many_contact_cards missing_file_data",
    Kind.CODE: "method_deprecated deprecated_endpoint unknown_method",
}
#: Every code that Slack documents for the methods used here, with its class.
KINDS: Mapping[str, Kind] = {code: kind for kind, codes in _CODES.items() for code in codes.split()}

#: What to tell people, by class; a code with more to say has its own sentence below.
_SENTENCES: Mapping[Kind | str, str] = {
    Kind.RATE: "Slack asks to slow down ({code}): posting goes on by itself after the wait",
    Kind.SLOW_RATE: "The workspace has reached its message limit ({code}): posting is tried again every ten minutes;"
    " see the workspace's plan and limits in Slack",
    Kind.TRANSIENT: "Slack cannot take the call at the moment ({code}): it is tried again by itself",
    Kind.AMBIGUOUS: "Slack failed half-way through {method} ({code}): whether it took effect is looked up",
    Kind.TOKEN: "Slack refuses the bot token ({code}): install the app again from the connection's page,"
    " or store a new bot token",
    Kind.EXPIRED: "The bot token has expired: it is renewed, or the app must be installed again",
    Kind.SCOPE: "The Slack app lacks a right ({code}): ask a workspace admin to grant it, then reinstall the app",
    Kind.CHANNEL: "The channel does not take this message ({code}): check the channel's settings in Slack,"
    " or choose another channel in the route",
    Kind.PAYLOAD: "Slack refuses the form of this message ({code}): report it with the attempt's details",
    Kind.CODE: "Slack no longer offers {method} ({code}): update the connector",
    Kind.UNLISTED: "Slack answered {method} with a code that is not known here ({code}): it is tried again by itself",
    "missing_scope": "The Slack app lacks the scope {needed} (it has {provided}): add the scope under"
    " OAuth & Permissions in the app's settings, then reinstall the app",
    "channel_not_found": "The channel does not exist, or it is private and the app is not in it: invite the app with"
    " /invite in that channel, or choose another channel in the route",
    "not_in_channel": "The app is not in the channel: invite it with /invite in that channel",
    "is_archived": "The channel is archived: unarchive it in Slack, or choose another channel in the route",
    "team_not_found": "Slack does not find the workspace of this channel: use the channel's ID in the route",
    "cannot_reply_to_message": "Slack takes no replies to the first message of this thread: switch off thread updates"
    " in the route, or choose another channel",
    "messages_tab_disabled": "The app's messages tab is switched off: enable it under App Home in the app's settings",
    "restricted_action_thread_only_channel": "The channel takes replies only: choose another channel in the route",
    "restricted_action_non_threadable_channel": "The channel takes no replies: switch off thread updates in the route",
    "method_not_supported_for_channel_type": "The app cannot join this kind of channel by itself: invite it with"
    " /invite in that channel",
    "metadata_must_be_sent_from_app": "The stored token does not belong to an app's bot: store the bot token"
    " (xoxb-…) of the Slack app",
}
_CLASSES: Mapping[Kind, type[VendorError]] = {
    Kind.AMBIGUOUS: Unknown,
    Kind.TOKEN: Reauthorize,
    Kind.EXPIRED: Refresh,
    Kind.SCOPE: Misconfigured,
    Kind.CHANNEL: ParkTarget,
    Kind.PAYLOAD: Reject,
    Kind.CODE: Reject,
}
#: 429 holds for one method in the whole workspace: only that of posts is a reason to pause all posts.
_PAUSING_METHOD = "chat.postMessage"


def kind_of(code: str) -> Kind:
    """The class of an error code."""
    if code.startswith("slack_connect_") and code.endswith("_blocked"):
        return Kind.CHANNEL
    return KINDS.get(code, Kind.UNLISTED)


def verdict(method: str, code: str, *, status: int = 200, body: Any = None, retry_after: str = "") -> VendorError:
    """The error for a call that Slack answered with ok:false; `retry_after` is the header's text."""
    kind = kind_of(code)
    text = (_SENTENCES.get(code) or _SENTENCES[kind]).format(
        method=method, code=code, needed=_scopes(body, "needed"), provided=_scopes(body, "provided")
    )
    detail = "\n".join(messages(body))[:2000]
    refusal = _CLASSES.get(kind)
    if refusal is not None:
        return refusal(text, code=code, status=status, detail=detail)
    wait = wait_seconds(retry_after)
    if kind is Kind.RATE:
        wait = wait or DEFAULT_WAIT
    elif kind is Kind.SLOW_RATE:
        wait = max(wait or 0.0, LONG_WAIT)
    pauses = kind in (Kind.RATE, Kind.SLOW_RATE) and method == _PAUSING_METHOD
    return Retry(text, code=code, status=status, detail=detail, after=wait, pause_connection=pauses)


def wait_seconds(header: str) -> float | None:
    """Seconds from a Retry-After header; None when it does not hold a number above nought."""
    value = header.strip()
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", value):
        return None
    return min(float(value), MAX_WAIT) or None


def messages(body: Any) -> tuple[str, ...]:
    """Slack's own explanations of a refusal. They may quote the message."""
    found = dig(body, "response_metadata", "messages") or dig(body, "errors")
    return tuple(item for item in found if isinstance(item, str)) if isinstance(found, list) else ()


def word(value: Any, limit: int = 80) -> str:
    """A vendor's code as it may stand in a text for people; empty when it is not a plain word."""
    return value if isinstance(value, str) and re.fullmatch(rf"[A-Za-z0-9_.:-]{{1,{limit}}}", value) else ""


def _scopes(body: Any, key: str) -> str:
    value = dig(body, key)
    names = [word(name.strip()) for name in value.split(",")] if isinstance(value, str) else []
    return ", ".join(name for name in names if name) or (
        "a further one" if key == "needed" else "none that Slack names"
    )
