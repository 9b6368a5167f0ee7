"""The requests that the stand-in sends to an app: Events API callbacks, signed as Slack signs (vendors/slack.md, 4)."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

#: Slack gives an app three seconds.
TIMEOUT_SECONDS = 3.0
# Proxies of the environment are for the outside world; the subscriber is a neighbour.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def sign(secret: str, body: bytes, *, at: float | None = None) -> dict[str, str]:
    """The headers of a signed JSON request sent at `at` (now)."""
    timestamp = str(int(time.time() if at is None else at))
    base = b"v0:" + timestamp.encode() + b":" + body
    digest = hmac.new(secret.encode(), base, hashlib.sha256).hexdigest()
    return {
        "Content-Type": "application/json",
        "X-Slack-Request-Timestamp": timestamp,
        "X-Slack-Signature": f"v0={digest}",
    }


def envelope(
    event: Mapping[str, Any], *, team_id: str, app_id: str, bot_user_id: str, event_id: str | None, at: float | None
) -> bytes:
    """The event_callback body around an event."""
    authorization = {"enterprise_id": None, "team_id": team_id, "user_id": bot_user_id, "is_bot": True}
    document = {
        "token": "verification-token",
        "team_id": team_id,
        "api_app_id": app_id,
        "event": dict(event),
        "type": "event_callback",
        "event_id": event_id or f"Ev{secrets.token_hex(5).upper()}",
        "event_time": int(time.time() if at is None else at),
        "authorizations": [authorization | {"is_enterprise_install": False}],
    }
    return json.dumps(document, separators=(",", ":")).encode()


def post(url: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes]:
    """What the app answered: status and body; status 0 when nothing came within Slack's three seconds."""
    request = urllib.request.Request(url, data=body, headers=dict(headers), method="POST")  # noqa: S310 - the test's own URL
    try:
        with _OPENER.open(request, timeout=TIMEOUT_SECONDS) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as answer:
        with answer:
            return answer.code, answer.read()
    except OSError:
        return 0, b""
