"""A small server that gives scripted answers in Slack's place, and the values that tests start from."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from connector.kernel.contracts import Context, Message, Posting, Request, Secrets
from connector.kernel.http import Http
from connector.kernel.standin import Answer, Call, StandIn, json_answer
from sinks.slack.sink import Slack

FIXTURES = Path(__file__).parent / "fixtures"
NOW = dt.datetime(2026, 11, 20, 14, 0, tzinfo=dt.UTC)
SLACK = Slack()
BLOCKS = [{"type": "section", "text": {"type": "mrkdwn", "text": "*Bill*", "verbatim": True}}]
POSTING = Posting(
    key="0b6f0d2e-0000-4000-8000-000000000001", target="C1", message=Message("Bill 1", {"blocks": BLOCKS})
)
#: What POSTING looks like on the wire.
SENT: dict[str, Any] = {
    "channel": "C1",
    "text": "Bill 1",
    "blocks": BLOCKS,
    "metadata": {
        "event_type": "ml_connector_notice",
        "event_payload": {"delivery_id": "0b6f0d2e-0000-4000-8000-000000000001"},
    },
    "unfurl_links": False,
    "unfurl_media": False,
    "parse": "none",
    "link_names": False,
}
POSTED: dict[str, Any] = {"ok": True, "channel": "C1", "ts": "1795183200.000100"}


def sample(name: str) -> Any:
    return json.loads((FIXTURES / name).read_bytes())


def no(error: str, **more: Any) -> Answer:
    """Slack's way to refuse."""
    return json_answer({"ok": False, "error": error, **more})


class ScriptedSlack(StandIn):
    """Answers each method with its next scripted answer; the last one is given again and again."""

    routes: ClassVar[tuple[tuple[str, str, str], ...]] = (("POST", r"/api/([\w.]+)", "answer_call"),)

    def __init__(self, script: Mapping[str, Sequence[Answer | dict[str, Any]]]) -> None:
        super().__init__()
        self._script = {method: list(answers) for method, answers in script.items()}

    def answer_call(self, call: Call, match: re.Match[str]) -> Answer:
        with self.lock:
            answers = self._script[match[1]]
            answer = answers.pop(0) if len(answers) > 1 else answers[0]
        return answer if isinstance(answer, Answer) else json_answer(answer)

    def asked(self) -> list[tuple[str, Any]]:
        """Every call as its method and arguments."""
        return [(call.path.removeprefix("/api/"), _arguments(call)) for call in self.calls]


def _arguments(call: Call) -> Any:
    is_json = call.headers["content-type"] == "application/json; charset=utf-8"
    return call.json() if is_json else call.form()


def context(server: StandIn | None = None, *, seconds: float = 5, account: str = "", **more: Any) -> Context:
    """A context whose API is the given server; `secrets` and `app` replace or add to what is there."""
    app = {
        "client_id": "fake-client",
        "client_secret": "fake-client-secret",
        "api_url": f"{server.url}/api/" if server else "http://127.0.0.1:9/api/",
    }
    return Context(
        connection="acme-slack",
        account=account,
        settings={},
        app={**app, **more.pop("app", {})},
        secrets=Secrets(more.pop("secrets", {"bot_token": "xoxb-fake"})),
        http=Http(seconds=seconds),
        now=more.pop("now", lambda: NOW),
        **more,
    )


def request(
    body: bytes, *, headers: Mapping[str, str] | None = None, at: dt.datetime = NOW, kind: str = "application/json"
) -> Request:
    given = {"content-type": kind, **{name.lower(): value for name, value in (headers or {}).items()}}
    return Request(method="POST", path="/webhooks/slack/", headers=given, body=body, received_at=at)
