"""A plain urllib caller of the stand-in, independent of the product's own client."""

from __future__ import annotations

import dataclasses
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from email.message import Message
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from sinks.slack.standin import SlackStandIn

FIXTURES = Path(__file__).with_name("fixtures")
TOKEN = "xoxb-fake-standin"
JSON_TYPE = "application/json; charset=utf-8"
FORM_TYPE = "application/x-www-form-urlencoded"


@dataclasses.dataclass(frozen=True, slots=True)
class Reply:
    status: int
    headers: Message[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any) -> None:
        return None


_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect)


def fetch(url: str, body: bytes | None = None, headers: Mapping[str, str] | None = None, method: str = "") -> Reply:
    request = urllib.request.Request(url, body, dict(headers or {}), method=method or ("POST" if body else "GET"))
    try:
        with _OPENER.open(request, timeout=5) as answer:
            return Reply(answer.status, answer.headers, answer.read())
    except urllib.error.HTTPError as answer:
        with answer:
            return Reply(answer.code, answer.headers, answer.read())


def call(slack: SlackStandIn, method: str, token: str = TOKEN, /, **arguments: Any) -> Reply:
    """A Web API call with a JSON body."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": JSON_TYPE}
    return fetch(f"{slack.url}/api/{method}", json.dumps(arguments).encode(), headers)


def ask(slack: SlackStandIn, method: str, token: str = TOKEN, /, **arguments: Any) -> Any:
    """A Web API call with a JSON body; the answer's document."""
    return call(slack, method, token, **arguments).json()


def form(slack: SlackStandIn, method: str, headers: Mapping[str, str] | None = None, /, **arguments: Any) -> Any:
    """A Web API call with a form body; the answer's document."""
    sent = {"Authorization": f"Bearer {TOKEN}", "Content-Type": FORM_TYPE, **(headers or {})}
    return fetch(f"{slack.url}/api/{method}", urlencode(arguments).encode(), sent).json()


def control(slack: SlackStandIn, name: str, /, **arguments: Any) -> Any:
    return fetch(f"{slack.url}/_control/{name}", json.dumps(arguments).encode()).json()


def sample(name: str) -> Any:
    return json.loads((FIXTURES / name).read_text())


def notice(delivery_id: str) -> dict[str, Any]:
    return {"event_type": "ml_connector_notice", "event_payload": {"delivery_id": delivery_id}}
