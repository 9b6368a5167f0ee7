"""Calls of Slack's Web API: what is sent, and what counts as a yes.

Posts go through the guarded HTTP of the context and never through an SDK client, which would send again by itself
after a cut connection: see https://docs.slack.dev/apis/web-api/.
"""

from __future__ import annotations

import base64
import dataclasses
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from connector.kernel.contracts import Context
from connector.kernel.errors import Misconfigured, Reauthorize, Retry, Unknown
from connector.kernel.http import Answer
from connector.kernel.values import BadValue, dig, parse_json
from sinks.slack import errors

API_URL = "https://slack.com/api/"
_FORM = "application/x-www-form-urlencoded"
_JSON = "application/json; charset=utf-8"


@dataclasses.dataclass(frozen=True, slots=True)
class Said:
    """A yes of Slack's. `scopes` are those granted to the token, None when Slack did not name them."""

    body: Mapping[str, Any]
    scopes: frozenset[str] | None = None

    @property
    def warnings(self) -> tuple[str, ...]:
        """The codes that Slack attached to its yes, each once."""
        listed = dig(self.body, "response_metadata", "warnings")
        single = dig(self.body, "warning")
        found = [*(single.split(",") if isinstance(single, str) else ()), *(listed if isinstance(listed, list) else ())]
        return tuple(dict.fromkeys(name for name in map(errors.word, found) if name))


def write(ctx: Context, method: str, arguments: Mapping[str, Any]) -> Said:
    """Calls a method that changes something. Raises `errors.*`; `Unknown` when it may have happened all the same."""
    return _call(ctx, method, _bearer(ctx), _JSON, json.dumps(arguments).encode())


def read(ctx: Context, method: str, arguments: Mapping[str, str]) -> Said:
    """Calls a method that may be called any number of times: no usable answer is a reason to try again later."""
    try:
        return _call(ctx, method, _bearer(ctx), _FORM, urlencode(arguments).encode())
    except Unknown as doubt:
        raise Retry(doubt.text, code=doubt.code, status=doubt.status, detail=doubt.detail)


def call_as_app(ctx: Context, method: str, arguments: Mapping[str, str]) -> Said:
    """Calls a method of the app itself (OAuth), which shows its client ID and secret instead of a token."""
    client_id, secret = ctx.app.get("client_id", ""), ctx.app.get("client_secret", "")
    if not client_id or not secret:
        raise Misconfigured("SLACK_CLIENT_ID and SLACK_CLIENT_SECRET are not set: take them from the app's settings")
    basic = base64.b64encode(f"{client_id}:{secret}".encode()).decode()
    return _call(ctx, method, f"Basic {basic}", _FORM, urlencode(arguments).encode())


def _bearer(ctx: Context) -> str:
    token = ctx.secrets.get("bot_token").strip()
    if not token:
        raise Reauthorize("No bot token is stored: install the app from the connection's page, or store a bot token")
    if not token.isascii() or not token.isprintable():
        raise Reauthorize("The stored bot token holds characters that no token has: store it again")
    return f"Bearer {token}"


def _call(ctx: Context, method: str, authorization: str, content_type: str, body: bytes) -> Said:
    base = (ctx.app.get("api_url") or API_URL).rstrip("/")
    headers = {"Authorization": authorization, "Content-Type": content_type, "Accept": "application/json"}
    return _judge(method, ctx.http.call("POST", f"{base}/{method}", headers=headers, body=body))


def _judge(method: str, answer: Answer) -> Said:
    """A yes, or the verdict on anything else."""
    status, wait = answer.status, answer.headers.get("retry-after", "")
    document = _document(answer.body)
    code = errors.word(dig(document, "error"))
    if status == 429:
        raise errors.verdict(method, "ratelimited", status=status, body=document, retry_after=wait)
    if 300 <= status < 400:
        raise Misconfigured(
            "Slack's address answers with a redirect: set SLACK_API_URL to where the API is", status=status
        )
    is_ok = dig(document, "ok")
    if status >= 500 or not isinstance(is_ok, bool) or (is_ok and status >= 300) or (not is_ok and not code):
        raise Unknown(f"Slack gave no usable answer to {method} (HTTP {status})", code="no_answer", status=status)
    if not is_ok:
        raise errors.verdict(method, code, status=status, body=document, retry_after=wait)
    scopes = answer.headers.get("x-oauth-scopes")
    granted = None if scopes is None else frozenset(name.strip() for name in scopes.split(",") if name.strip())
    return Said(document, granted)


def _document(body: bytes) -> Any:
    try:
        return parse_json(body)
    except BadValue:
        return None
