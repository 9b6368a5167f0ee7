"""What Slack sends to us: the signature, and the Events API (https://docs.slack.dev/apis/events-api/)."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from slack_sdk.signature import Clock, SignatureVerifier

from connector.kernel.contracts import Notice, Parsed, Reply, Request, Secrets, Signal
from connector.kernel.errors import BadSignature
from connector.kernel.values import BadValue, amount, parse_json, rows, text
from sinks.slack.errors import word
from sinks.slack.markup import clean

#: Signs nothing: it makes a request cost the same whether or not a secret is configured.
_NO_SECRET = "no-secret-configured"  # noqa: S105 - not a secret
#: The last second of year 9999, beyond which no time can be told.
_LAST_SECOND = 253402300799


class _Fixed(Clock):
    def __init__(self, now: dt.datetime) -> None:
        self._seconds = now.timestamp()

    def now(self) -> float:
        return self._seconds


def verify(request: Request, app: Mapping[str, str], secrets: Secrets | None) -> None:
    """Raises `BadSignature` unless one of the secrets signed these bytes within five minutes of their arrival."""
    own = secrets.get("signing_secret") if secrets else ""
    known = [part.strip() for part in f"{app.get('signing_secret', '')},{own}".split(",") if part.strip()]
    verdicts = [_is_signed(request, secret) for secret in known or [_NO_SECRET]]
    if not known:
        raise BadSignature("No signing secret is configured: set SLACK_SIGNING_SECRET from the app's Basic Information")
    if not any(verdicts):
        raise BadSignature("The signature is missing, wrong or older than five minutes")


def _is_signed(request: Request, secret: str) -> bool:
    verifier = SignatureVerifier(secret, _Fixed(request.received_at))
    try:
        return verifier.is_valid_request(request.body, dict(request.headers))
    except (ValueError, TypeError, OverflowError):  # what the SDK makes of a strange timestamp, body or signature
        return False


def parse(request: Request) -> Parsed:
    """Everything a verified request says; what cannot be understood becomes a notice that says why."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() == "application/x-www-form-urlencoded":
        return Parsed(reply=Reply())  # buttons and slash commands want an empty 200
    raw = request.body.decode(errors="replace")
    key = f"slack:{hashlib.sha256(request.body).hexdigest()}"
    try:
        document = parse_json(request.body)
        if text(document, "type") == "url_verification":
            return Parsed(reply=Reply(clean(text(document, "challenge"))))
        return _callback(document, request, raw, key)
    except BadValue as error:
        return Parsed(notices=(Notice(account="", delivery_key=key, raw=raw, problem=f"Slack's request: {error}"),))


def _callback(document: Any, request: Request, raw: str, key: str) -> Parsed:
    if not isinstance(document, Mapping):
        raise BadValue("the body is not an object")
    account, kind = word(text(document, "team_id")), text(document, "type")
    if kind != "event_callback":
        reason = _OTHERS.get(kind) or f"Slack sent a request of type {word(kind) or 'unknown'}, which is not used here"
        return Parsed(notices=(Notice(account=account, delivery_key=key, raw=raw, unknown=reason),))
    event_id, event = word(text(document, "event_id")), document.get("event")
    key = f"slack:{event_id}" if event_id else key
    at = _moment(document, "event_time") or request.received_at
    name = text(event, "type")
    read = _EVENTS.get(name)
    found = read(event) if read else None
    if found is None:
        reason = _OTHERS.get(name) or f"Slack events of type {word(name) or 'unknown'} are not used here"
        notice = Notice(account=account, occurred_at=at, delivery_key=event_id or key, raw=raw, unknown=reason)
        return Parsed(notices=(notice,))
    signal, target, said = found
    return Parsed(signals=(Signal(account, signal, key, at, target=target, text=said, raw=raw),))


Found = tuple[str, str, str] | None


def _revoked(event: Any) -> Found:
    """Only the bot's token matters; the list of user tokens does not touch it."""
    return ("revoked", "", "The bot token was revoked in Slack") if rows(event, "tokens", "bot") else None


def _uninstalled(event: Any) -> Found:
    return "revoked", "", "The app was removed from the workspace"


def _closed(event: Any) -> Found:
    said = "The channel was deleted" if text(event, "type").endswith("_deleted") else "The channel was archived"
    return "closed", _target(event, "channel"), said


def _opened(event: Any) -> Found:
    return "opened", _target(event, "channel"), "The channel was unarchived"


def _renamed(event: Any) -> Found:
    return "renamed", _target(event, "channel", "id"), clean(text(event, "channel", "name"))


def _target(event: Any, *path: str) -> str:
    target = word(text(event, *path))
    if not target:
        raise BadValue(f"{'.'.join(path)} is not a channel ID")
    return target


_EVENTS: Mapping[str, Callable[[Any], Found]] = {
    "tokens_revoked": _revoked,
    "app_uninstalled": _uninstalled,
    **dict.fromkeys(("channel_archive", "group_archive", "channel_deleted", "group_deleted"), _closed),
    **dict.fromkeys(("channel_unarchive", "group_unarchive"), _opened),
    **dict.fromkeys(("channel_rename", "group_rename"), _renamed),
}
#: Requests and events that are known and left alone, with the reason.
_OTHERS: Mapping[str, str] = {
    "app_rate_limited": "Slack held back events of this workspace: more than 30,000 came within an hour",
    "tokens_revoked": "only tokens of users were revoked; the bot's token is not touched",
}


def _moment(document: Any, key: str) -> dt.datetime | None:
    seconds = amount(document, key)
    if seconds is None:
        return None
    if not 0 <= seconds <= _LAST_SECOND:
        raise BadValue(f"{key} is not a time")
    return dt.datetime.fromtimestamp(int(seconds), dt.UTC)
