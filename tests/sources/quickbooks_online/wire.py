"""The wire of these tests: vendor samples, a scripted API on loopback, and a context that calls it."""

from __future__ import annotations

import datetime as dt
import functools
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from connector.kernel.contracts import Context, Request, Secrets
from connector.kernel.http import Http
from connector.kernel.standin import Answer, Call, StandIn
from connector.kernel.values import parse_json

FIXTURES = Path(__file__).parent / "fixtures"
NOW = dt.datetime(2026, 11, 20, 12, 0, tzinfo=dt.UTC)
REALM = "9130350000000001"


def sample(path: str) -> bytes:
    return (FIXTURES / path).read_bytes()


def entity(path: str) -> dict[str, Any]:
    """The object inside a sample of one record."""
    document = parse_json(sample(f"entities/{path}.json"))
    return next(value for key, value in document.items() if key != "time")


def answer(document: Any, status: int = 200, **headers: str) -> Answer:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return Answer(status, body, {name.replace("_", "-"): value for name, value in headers.items()})


class Api(StandIn):
    """Gives the scripted answers in order: the first script whose pattern is found in what `told` says of a call."""

    routes: ClassVar[tuple[tuple[str, str, str], ...]] = (("GET", r"/.*", "play"), ("POST", r"/.*", "play"))

    def __init__(self) -> None:
        super().__init__()
        self.scripts: list[tuple[str, Answer]] = []

    def on(self, pattern: str, document: Any, status: int = 200, **headers: str) -> None:
        self.scripts.append((pattern, answer(document, status, **headers)))

    def play(self, call: Call, match: re.Match[str]) -> Answer:
        with self.lock:
            for script in self.scripts:
                if re.search(script[0], told(call)):
                    self.scripts.remove(script)
                    return script[1]
        return Answer(599, f"no script for {told(call)}".encode())

    def asked(self) -> list[str]:
        return [told(call) for call in self.calls]


@functools.cache
def _server() -> Api:
    server = Api()
    server.start()
    return server


@pytest.fixture
def api() -> Api:
    """The scripted API, one for all tests and empty for each."""
    server = _server()
    server.clear()
    server.scripts.clear()
    return server


def told(call: Call) -> str:
    """A call in one line: what it asks for, without host and company."""
    line = f"{call.method} {call.path.removeprefix(f'/v3/company/{REALM}/')}"
    if call.path.endswith("/batch"):
        return f"{line} {' | '.join(item['Query'] for item in call.json()['BatchItemRequest'])}"
    extra = {key: value for key, value in call.query.items() if key != "minorversion"}
    return " ".join([line, *(f"{key}={value}" for key, value in extra.items())])


def context(
    url: str = "http://127.0.0.1:9",
    *,
    spend: Callable[[str], None] = lambda kind: None,
    tokens: Mapping[str, str] | None = None,
    seconds: float = 5.0,
    timezone: str = "America/Los_Angeles",
) -> Context:
    values = {"access_token": "fake-access", "refresh_token": "fake-refresh"} if tokens is None else tokens
    return Context(
        connection="acme-books",
        account=REALM,
        settings={},
        app={
            "client_id": "fake-client",
            "client_secret": "fake-secret",
            "api_url": url,
            "oauth_url": url,
            "app_url": "https://app.sandbox.qbo.intuit.com/app/",
        },
        secrets=Secrets(values),
        http=Http(seconds=seconds),
        now=lambda: NOW,
        timezone=timezone,
        spend=spend,
    )


def request(body: bytes, **headers: str) -> Request:
    return Request("POST", "/webhooks/quickbooks-online/", headers, body, NOW)
