"""What counts as Slack's yes, over real HTTP."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from connector.kernel.contracts import Context
from connector.kernel.errors import Misconfigured, Reauthorize, Retry, Unknown, Unreachable
from connector.kernel.standin import Answer, json_answer
from sinks.slack import client
from sinks.slack.client import Said
from tests.sinks.slack.support import FIXTURES, ScriptedSlack, context, sample

YESES = [
    "auth_revoke_ok.json",
    "auth_test_ok.json",
    "chat_getPermalink_ok.json",
    "chat_postMessage_ok.json",
    "chat_update_ok.json",
    "conversations_history_with_metadata.json",
    "conversations_info.json",
    "conversations_list.json",
]
HTML = (FIXTURES / "http_503_server_error.html").read_bytes()
WHOLE = b'{"ok": true, "ts": "1795183200.000100"}'

Call = Callable[[Context, str, dict[str, Any]], Said]


@pytest.mark.parametrize("name", YESES)
def test_a_yes_is_handed_over_whole(name: str) -> None:
    with ScriptedSlack({"some.method": [sample(name)]}) as slack:
        assert client.read(context(slack), "some.method", {}) == Said(sample(name))


def test_the_token_travels_in_the_header_and_writes_are_json() -> None:
    answer = json_answer({"ok": True}, X_OAuth_Scopes="chat:write, channels:read")
    with ScriptedSlack({"chat.postMessage": [answer]}) as slack:
        said = client.write(context(slack), "chat.postMessage", {"text": "Żółw 🐢 \ud800"})
    (call,) = slack.calls
    assert said == Said({"ok": True}, frozenset({"chat:write", "channels:read"}))
    assert call.headers["authorization"] == "Bearer xoxb-fake"
    assert call.headers["content-type"] == "application/json; charset=utf-8"
    assert call.json() == {"text": "Żółw 🐢 \ud800"}
    assert call.query == {}


def test_reads_are_forms() -> None:
    with ScriptedSlack({"conversations.info": [{"ok": True}]}) as slack:
        client.read(context(slack), "conversations.info", {"channel": "C1&2"})
    (call,) = slack.calls
    assert call.headers["content-type"] == "application/x-www-form-urlencoded"
    assert call.form() == {"channel": "C1&2"}


def test_warnings_are_codes_each_once() -> None:
    body = sample("conversations_join_already.json")
    assert Said(body).warnings == ("already_in_channel",)
    assert Said({"warning": "a,b", "response_metadata": {"warnings": ["b", "<c>", 4, "d"]}}).warnings == ("a", "b", "d")


@pytest.mark.parametrize(
    "answer",
    [
        Answer(503, HTML, content_type="text/html"),
        Answer(500, WHOLE),
        Answer(500, b'{"ok": false, "error": "invalid_auth"}'),
        Answer(502, b""),
        Answer(200, HTML, content_type="text/html"),
        Answer(200, b""),
        Answer(200, WHOLE[:20]),
        Answer(200, b"[1, 2]"),
        Answer(200, b"{}"),
        Answer(200, b'{"ok": "true"}'),
        Answer(200, b'{"ok": false}'),
        Answer(200, b'{"ok": false, "error": {"a": 1}}'),
        Answer(404, WHOLE),
        Answer(403, b"Forbidden", content_type="text/plain"),
    ],
    ids=lambda answer: f"{answer.status}-{answer.body[:12]!r}",
)
def test_no_usable_answer_is_a_doubt_for_writes_and_a_retry_for_reads(answer: Answer) -> None:
    text = f"Slack gave no usable answer to some.method (HTTP {answer.status})"
    with ScriptedSlack({"some.method": [answer]}) as slack:
        with pytest.raises(Unknown) as doubt:
            client.write(context(slack), "some.method", {})
        with pytest.raises(Retry) as retry:
            client.read(context(slack), "some.method", {})
    assert (doubt.value.text, doubt.value.code, doubt.value.status) == (text, "no_answer", answer.status)
    assert (retry.value.text, retry.value.code, retry.value.after) == (text, "no_answer", None)
    assert not isinstance(retry.value, Unreachable)


@pytest.mark.parametrize("kind", ["cut_before", "cut_after", "truncate"])
def test_a_broken_connection_is_a_doubt_and_nothing_is_sent_twice(kind: str) -> None:
    with ScriptedSlack({"chat.postMessage": [{"ok": True}]}) as slack:
        slack.fail("chat.postMessage", kind)
        with pytest.raises(Unknown) as doubt:
            client.write(context(slack), "chat.postMessage", {})
    assert doubt.value.code == "cut"
    assert slack.count("chat.postMessage") == 1


def test_a_slow_answer_is_a_doubt_after_the_total_time_out() -> None:
    with ScriptedSlack({"chat.postMessage": [{"ok": True}]}) as slack:
        slack.fail("chat.postMessage", "slow_after", seconds=1.5)
        with pytest.raises(Unknown) as doubt:
            client.write(context(slack, seconds=0.4), "chat.postMessage", {})
    assert (doubt.value.code, slack.count("chat.postMessage")) == ("timeout", 1)


@pytest.mark.parametrize("call", [client.write, client.read])
def test_nobody_there_is_unreachable(call: Call) -> None:
    with pytest.raises(Unreachable) as error:
        call(context(), "chat.postMessage", {})
    assert (error.value.code, error.value.pause_connection) == ("unreachable", False)


def test_a_redirect_is_not_followed() -> None:
    answer = Answer(302, b"", {"Location": "https://elsewhere.example/"})
    with ScriptedSlack({"some.method": [answer]}) as slack, pytest.raises(Misconfigured) as error:
        client.read(context(slack), "some.method", {})
    assert error.value.text == "Slack's address answers with a redirect: set SLACK_API_URL to where the API is"
    assert len(slack.calls) == 1


@pytest.mark.parametrize("token", ["", "   ", "xoxb-fäke", "xoxb-fa\nke"])
def test_a_token_that_cannot_be_one_is_not_sent(token: str) -> None:
    with ScriptedSlack({}) as slack, pytest.raises(Reauthorize) as error:
        client.write(context(slack, secrets={"bot_token": token}), "chat.postMessage", {})
    assert not slack.calls
    assert "xoxb-fa" not in error.value.text
