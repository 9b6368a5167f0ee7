"""The Slack stand-in refuses what Slack refuses, and counts what Slack would be harmed by."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from sinks.slack.standin import MANIFEST_SCOPES, Post, SlackStandIn
from tests.sinks.slack.standin_client import (
    FIXTURES,
    FORM_TYPE,
    TOKEN,
    ask,
    call,
    control,
    fetch,
    form,
    notice,
    sample,
)

ANSWER_CUT = http.client.RemoteDisconnected


def channels(slack: SlackStandIn) -> SlackStandIn:
    slack.add_channel("C1", "ap-bills", is_member=True)
    slack.add_channel("C2", "ar-invoices", is_member=True)
    slack.add_channel("COPEN", "general")
    slack.add_channel("COLD", "fy24-close", is_member=True, is_archived=True)
    slack.add_channel("GOURS", "close-checks", is_private=True, is_member=True)
    slack.add_channel("GHIDDEN", "payroll", is_private=True)
    return slack


@pytest.fixture
def slack() -> Iterator[SlackStandIn]:
    with SlackStandIn() as standin:
        yield channels(standin)


def text(value: str, kind: str = "mrkdwn") -> dict[str, Any]:
    return {"type": kind, "text": value}


def test_the_documented_post_is_stored_and_echoed(slack: SlackStandIn) -> None:
    request = {**sample("chat_postMessage_request.json"), "channel": "C1"}
    before = time.time()
    reply = call(slack, "chat.postMessage", **request)
    document = reply.json()
    (post,) = slack.posts
    assert post == Post(
        "C1", document["ts"], post.at, None, request["text"], request["blocks"], request["metadata"], TOKEN
    )
    assert before <= post.at <= time.time()
    assert (document["ok"], document["channel"]) == (True, "C1")
    assert (document["message"]["text"], document["message"]["ts"]) == (request["text"], document["ts"])
    stripped = [{name: block[name] for name in block if name != "block_id"} for block in document["message"]["blocks"]]
    assert stripped == request["blocks"]
    assert document["message"]["metadata"] == request["metadata"]
    assert reply.headers["X-OAuth-Scopes"] == ",".join(MANIFEST_SCOPES)
    assert slack.violations == []
    assert TOKEN not in repr(post)


def test_ids_are_unique_texts_with_microseconds(slack: SlackStandIn) -> None:
    stamps = [ask(slack, "chat.postMessage", channel="#ap-bills", text="x")["ts"] for _ in range(5)]
    assert stamps == sorted(set(stamps))
    assert all(len(stamp.partition(".")[2]) == 6 for stamp in stamps)


def test_form_bodies_carry_structures_as_json_text(slack: SlackStandIn) -> None:
    request = sample("chat_postMessage_request.json")
    blocks, metadata = json.dumps(request["blocks"]), json.dumps(request["metadata"])
    answer = form(slack, "chat.postMessage", channel="C1", text="Invoice", blocks=blocks, metadata=metadata)
    assert answer["ok"] is True
    assert (slack.posts[0].blocks, slack.posts[0].metadata) == (request["blocks"], request["metadata"])


def test_long_text_is_cut_and_still_posted(slack: SlackStandIn) -> None:
    answer = ask(slack, "chat.postMessage", channel="C1", text="x" * 40_001)
    expected = sample("chat_postMessage_truncated_warning.json")["response_metadata"]
    assert (answer["ok"], answer["response_metadata"]) == (True, expected)
    assert slack.posts[0].text == "x" * 40_000


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"channel": "C404", "text": "x"}, "channel_not_found"),
        ({"channel": "GHIDDEN", "text": "x"}, "channel_not_found"),
        ({"channel": "payroll", "text": "x"}, "channel_not_found"),
        ({"channel": "close-checks", "text": "x"}, "channel_not_found"),
        ({"channel": "COLD", "text": "x"}, "is_archived"),
        ({"text": "x"}, "invalid_arguments"),
        ({"channel": "C1", "text": 1.5}, "invalid_arguments"),
        ({"channel": "C1"}, "no_text"),
        ({"channel": "C1", "text": " ", "blocks": []}, "no_text"),
        ({"channel": "C1", "text": "x", "blocks": "{"}, "invalid_blocks_format"),
        ({"channel": "C1", "text": "x", "blocks": {"type": "divider"}}, "invalid_blocks_format"),
        ({"channel": "C1", "text": "x", "blocks": [{"type": "section", "text": text("a" * 3000)}] * 40},
         "msg_blocks_too_long"),
        ({"channel": "C1", "text": "x", "attachments": [{}] * 101}, "too_many_attachments"),
        ({"channel": "C1", "text": "x", "markdown_text": "y"}, "markdown_text_conflict"),
        ({"channel": "C1", "text": "x", "metadata": "no"}, "invalid_metadata_format"),
        ({"channel": "C1", "text": "x", "metadata": []}, "invalid_metadata_format"),
        ({"channel": "C1", "text": "x", "metadata": {"event_type": "a"}}, "invalid_metadata_schema"),
        ({"channel": "C1", "text": "x", "metadata": {"event_type": "a-b", "event_payload": {}}},
         "invalid_metadata_schema"),
        ({"channel": "C1", "text": "x", "metadata": {"event_type": "a", "event_payload": {"Id": 1}}},
         "invalid_metadata_schema"),
        ({"channel": "C1", "text": "x", "metadata": notice("d" * 1024)}, "metadata_too_large"),
        ({"channel": "C1", "text": "x", "thread_ts": "1.000001"}, "cannot_reply_to_message"),
        ({"channel": "C1", "text": "x", "username": "CFO"}, "missing_scope"),
    ],
)  # fmt: skip
def test_refused_posts_are_not_stored(slack: SlackStandIn, arguments: dict[str, Any], error: str) -> None:
    reply = call(slack, "chat.postMessage", **arguments)
    assert (reply.status, reply.json()["ok"], reply.json()["error"]) == (200, False, error)
    assert slack.posts == []


@pytest.mark.parametrize(
    ("block", "problems"),
    [
        ({"type": "poem"}, ["unsupported type: poem [json-pointer:/blocks/0/type]"]),
        ("x", ["must provide an object [json-pointer:/blocks/0]"]),
        ({"type": "section"}, ["must define either `text` or `fields` [json-pointer:/blocks/0/type]"]),
        (
            {"type": "section", "text": text("x" * 3001)},
            [
                "failed to match all allowed schemas [json-pointer:/blocks/0/text]",
                "must be less than 3001 characters [json-pointer:/blocks/0/text/text]",
            ],
        ),
        (
            {"type": "section", "text": text("")},
            [
                "failed to match all allowed schemas [json-pointer:/blocks/0/text]",
                "must be more than 0 characters [json-pointer:/blocks/0/text/text]",
            ],
        ),
        (
            {"type": "section", "fields": [text("x"), text("x" * 2001)]},
            [
                "failed to match all allowed schemas [json-pointer:/blocks/0/fields/1]",
                "must be less than 2001 characters [json-pointer:/blocks/0/fields/1/text]",
            ],
        ),
        (
            {"type": "section", "fields": [text("x")] * 11},
            ["no more than 10 items allowed [json-pointer:/blocks/0/fields]"],
        ),
        ({"type": "header", "text": text("x")}, ["must be a valid enum value [json-pointer:/blocks/0/text/type]"]),
        (
            {"type": "header", "text": text("x" * 151, "plain_text")},
            ["must be less than 151 characters [json-pointer:/blocks/0/text/text]"],
        ),
        (
            {"type": "header", "text": {**text("x", "plain_text"), "verbatim": True}},
            ["invalid additional property: verbatim [json-pointer:/blocks/0/text]"],
        ),
        ({"type": "context", "elements": []}, ["no less than 1 items allowed [json-pointer:/blocks/0/elements]"]),
        (
            {"type": "context", "elements": [text("x")] * 11},
            ["no more than 10 items allowed [json-pointer:/blocks/0/elements]"],
        ),
        ({"type": "divider", "text": "x"}, ["invalid additional property: text [json-pointer:/blocks/0]"]),
        (
            {"type": "actions", "elements": [{"type": "button", "text": text("x" * 76, "plain_text")}]},
            ["must be less than 76 characters [json-pointer:/blocks/0/elements/0/text/text]"],
        ),
    ],
)  # fmt: skip
def test_faulty_blocks_are_refused_with_pointers(slack: SlackStandIn, block: Any, problems: list[str]) -> None:
    assert ask(slack, "chat.postMessage", channel="C1", text="x", blocks=[block]) == {
        "ok": False,
        "error": "invalid_blocks",
        "errors": problems,
        "response_metadata": {"messages": [f"[ERROR] {problem}" for problem in problems]},
    }
    assert slack.posts == []


def test_refusals_read_as_documented(slack: SlackStandIn) -> None:
    documented = {one["body"]["error"]: one["body"] for one in sample("chat_postMessage_errors.json")}
    too_many = ask(slack, "chat.postMessage", channel="C1", text="x", blocks=[{"type": "divider"}] * 51)
    assert too_many == documented["invalid_blocks"]
    reader = slack.issue_token(["channels:read"])
    assert ask(slack, "chat.postMessage", reader, channel="C1", text="x") == documented["missing_scope"]
    writer = slack.issue_token(["chat:write"])
    assert ask(slack, "chat.postMessage", writer, channel="COPEN", text="x") == documented["not_in_channel"]
    assert ask(slack, "chat.postMessage", channel="COPEN", text="x")["ok"] is True


def test_tokens_that_are_no_good(slack: SlackStandIn) -> None:
    dying, revoked = slack.issue_token(expires_in=0), slack.issue_token()
    slack.revoke_token(revoked)
    assert ask(slack, "auth.test", "xoxb-fake-stranger") == {"ok": False, "error": "invalid_auth"}
    assert ask(slack, "auth.test", dying) == {"ok": False, "error": "token_expired"}
    assert ask(slack, "auth.test", revoked) == {"ok": False, "error": "token_revoked"}
    assert fetch(f"{slack.url}/api/auth.test").json() == {"ok": False, "error": "not_authed"}
    assert ask(slack, "auth.revoke", test=True) == {"ok": True, "revoked": False}
    assert ask(slack, "auth.revoke") == {"ok": True, "revoked": True}
    assert ask(slack, "auth.test") == {"ok": False, "error": "token_revoked"}
    slack.uninstall()
    assert ask(slack, "auth.test") == {"ok": False, "error": "account_inactive"}


def test_a_token_outside_the_header_is_refused_and_noted(slack: SlackStandIn) -> None:
    assert ask(slack, "chat.postMessage", channel="C1", text="x", token=TOKEN)["error"] == "not_authed"
    assert fetch(f"{slack.url}/api/auth.test?token={TOKEN}").json()["error"] == "not_authed"
    place = "got a token in the URL or the body; it belongs in the Authorization header"
    assert slack.violations == [f"chat.postMessage {place}", f"auth.test {place}"]


@pytest.mark.parametrize(
    ("content_type", "body", "answer"),
    [
        ("application/json; charset=latin-9", b'{"channel":"C1","text":"x"}', "invalid_charset"),
        ("application/json", b"[]", "json_not_object"),
        ("application/json", b"{", "invalid_json"),
        ("text/xml", b"<a/>", "invalid_post_type"),
        (FORM_TYPE, b"nonsense", "invalid_form_data"),
        (FORM_TYPE, b"channel=C1&text[0]=x", "invalid_array_arg"),
        ("application/json", b'{"channel":"C1","text":"x"}', "missing_charset"),
        (f"{FORM_TYPE}; charset=utf-8", b"channel=C1&text=x", "superfluous_charset"),
    ],
)
def test_content_types(slack: SlackStandIn, content_type: str, body: bytes, answer: str) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": content_type}
    document = fetch(f"{slack.url}/api/chat.postMessage", body, headers).json()
    assert (document.get("warning") if document["ok"] else document["error"]) == answer


def test_writes_need_post_and_unknown_methods_say_so(slack: SlackStandIn) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    document = fetch(f"{slack.url}/api/chat.postMessage?channel=C1&text=x", headers=headers).json()
    assert document["response_metadata"] == {"messages": ["[ERROR] must be sent with POST"]}
    assert slack.violations == ["chat.postMessage was called with GET; it must be sent with POST"]
    assert fetch(f"{slack.url}/api/auth.test", headers=headers).json()["team"] == "Acme Finance"
    unknown = {"ok": False, "error": "unknown_method", "req_method": "chat.shout"}
    assert ask(slack, "chat.shout") == unknown
    assert ask(slack, "api.test", foo="bar") == {"ok": True, "args": {"foo": "bar"}}


def test_posts_under_one_second_apart_are_stored_and_counted(slack: SlackStandIn) -> None:
    for channel in ("C1", "C2", "#ap-bills"):
        assert ask(slack, "chat.postMessage", channel=channel, text="x")["ok"] is True
    assert [post.channel for post in slack.posts] == ["C1", "C2", "C1"]
    (violation,) = slack.violations
    assert violation.startswith("chat.postMessage to C1 came 0.0")
    time.sleep(1.02)
    ask(slack, "chat.postMessage", channel="C1", text="x")
    assert len(slack.violations) == 1


def test_fast_posts_can_be_refused() -> None:
    with SlackStandIn(refuse_fast=True) as standin:
        slack = channels(standin)
        call(slack, "chat.postMessage", channel="C1", text="x")
        second = call(slack, "chat.postMessage", channel="C1", text="x")
        elsewhere = call(slack, "chat.postMessage", channel="C2", text="x")
        for reply in (second, elsewhere):
            assert (reply.status, reply.headers["Retry-After"]) == (429, "1")
            assert reply.json() == {"ok": False, "error": "ratelimited"}
        assert [post.channel for post in slack.posts] == ["C1"]
        assert len(slack.violations) == 2


def test_a_retry_after_pauses_every_post_of_the_workspace(slack: SlackStandIn) -> None:
    slack.fail("POST /api/chat.postMessage", "answer", answer=slack.ratelimited(30))
    first = call(slack, "chat.postMessage", channel="C1", text="x")
    assert (first.status, first.headers["Retry-After"], slack.violations) == (429, "30", [])
    second = call(slack, "chat.postMessage", channel="C2", text="x")
    assert (second.status, second.headers["Retry-After"]) == (429, "30")
    assert ask(slack, "conversations.info", channel="C1")["ok"] is True
    (violation,) = slack.violations
    assert violation.startswith("chat.postMessage to C2 came 29.9")
    slack.clear()
    assert ask(slack, "chat.postMessage", channel="C2", text="x")["ok"] is True


def test_ready_answers_and_cuts(slack: SlackStandIn) -> None:
    slack.fail("chat.postMessage", "answer", answer=slack.html_503())
    slack.fail("chat.postMessage", "answer", answer=slack.error("missing_scope", needed="chat:write"))
    slack.fail("chat.postMessage", "cut_after")
    outage = call(slack, "chat.postMessage", channel="C1", text="x")
    assert (outage.status, outage.headers["Content-Type"]) == (503, "text/html; charset=utf-8")
    assert outage.body.startswith((FIXTURES / "http_503_server_error.html").read_bytes()[:100])
    assert ask(slack, "chat.postMessage", channel="C2", text="x")["needed"] == "chat:write"
    assert slack.posts == []
    with pytest.raises(ANSWER_CUT):
        call(slack, "chat.postMessage", channel="GOURS", text="x")
    assert [post.channel for post in slack.posts] == ["GOURS"]


def cuts(seed: int) -> list[bool]:
    with SlackStandIn(cut_after_rate=0.5, seed=seed) as standin:
        slack = channels(standin)
        outcome = []
        for _ in range(12):
            try:
                call(slack, "chat.postMessage", channel="C1", text="x")
            except ANSWER_CUT:
                outcome.append(True)
            else:
                outcome.append(False)
        assert len(slack.posts) == 12
        return outcome


def test_chance_cuts_lose_answers_not_posts_and_follow_the_seed() -> None:
    assert cuts(7) == cuts(7) != cuts(8)


def test_duplicates_are_counted_within_a_channel(slack: SlackStandIn) -> None:
    for channel, delivery in (("C1", "a"), ("C2", "a"), ("C1", "b"), ("C2", "c"), ("C1", "b")):
        ask(slack, "chat.postMessage", channel=channel, text="x", metadata=notice(delivery))
    assert slack.duplicates() == ["b"]
    assert fetch(f"{slack.url}/_control/duplicates").json() == {"duplicates": ["b"]}


def test_control_from_another_process(slack: SlackStandIn) -> None:
    made = control(slack, "channel", id="C9", name="new", is_member=True)
    assert made == {"ok": True, "result": "C9"}
    token = control(slack, "issue_token", scopes=["chat:write"])["result"]
    ts = ask(slack, "chat.postMessage", token, channel="C9", text="hello", metadata=notice("d1"))["ts"]
    (post,) = slack.posts
    shown = {
        "channel": "C9", "ts": ts, "at": post.at, "thread_ts": None, "text": "hello", "blocks": [],
        "metadata": notice("d1"),
    }  # fmt: skip
    assert fetch(f"{slack.url}/_control/posts?channel=C9&since={post.at}").json() == {"posts": [shown]}
    assert fetch(f"{slack.url}/_control/posts?channel=C1").json() == {"posts": []}
    assert fetch(f"{slack.url}/_control/posts?since={post.at + 1}").json() == {"posts": []}
    assert control(slack, "archive", id="C9") == {"ok": True, "result": None}
    assert ask(slack, "chat.postMessage", channel="C9", text="x")["error"] == "is_archived"
    control(slack, "unarchive", id="C9")
    control(slack, "clear")
    control(slack, "fault", pattern="chat.postMessage", kind="answer", answer={"ratelimited": 5})
    assert call(slack, "chat.postMessage", channel="C9", text="x").headers["Retry-After"] == "5"
    control(slack, "revoke_token", token=token)
    assert ask(slack, "auth.test", token)["error"] == "token_revoked"
    assert fetch(f"{slack.url}/_control/violations").json() == {"violations": []}
    assert control(slack, "archive", id="C404") == {"ok": False, "error": "KeyError: 'C404'"}
    assert fetch(f"{slack.url}/_control/nothing", b"{}").status == 404
