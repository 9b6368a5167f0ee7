"""The Slack stand-in's reading methods, threads, install flow and events."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from slack_sdk.signature import Clock, SignatureVerifier

from connector.kernel.standin import Answer, Call, StandIn, json_answer
from sinks.slack.standin import SlackStandIn
from tests.sinks.slack.standin_client import Reply, ask, call, fetch, form, notice, sample

CALLBACK = "https://connector.example/oauth/slack/callback/"


@pytest.fixture
def slack() -> Iterator[SlackStandIn]:
    with SlackStandIn(redirect_uris=[CALLBACK]) as standin:
        standin.add_channel("C1", "ap-bills", is_member=True)
        standin.add_channel("C2", "general")
        standin.add_channel("C3", "fy24-close", is_archived=True)
        standin.add_channel("G1", "close-checks", is_private=True, is_member=True)
        standin.add_channel("G2", "payroll", is_private=True)
        yield standin


def post(slack: SlackStandIn, text: str, **arguments: Any) -> str:
    ts: str = ask(slack, "chat.postMessage", **{"channel": "C1", "text": text, **arguments})["ts"]
    return ts


def texts(document: Any) -> list[str]:
    return [message["text"] for message in document["messages"]]


def test_history_pages_newest_first_without_thread_replies(slack: SlackStandIn) -> None:
    first = post(slack, "0")
    post(slack, "in the thread", thread_ts=first)
    post(slack, "told to all", thread_ts=first, reply_broadcast=True)
    for number in range(1, 4):
        post(slack, str(number))
    page = form(slack, "conversations.history", channel="C1", limit="2")
    assert (texts(page), page["has_more"]) == (["3", "2"], True)
    cursor = page["response_metadata"]["next_cursor"]
    page = form(slack, "conversations.history", channel="C1", limit="3", cursor=cursor)
    assert (texts(page), page["has_more"]) == (["1", "told to all", "0"], False)
    assert page["response_metadata"] == {"next_cursor": ""}
    parent = page["messages"][2]
    assert (parent["thread_ts"], parent["reply_count"]) == (first, 2)
    assert form(slack, "conversations.history", channel="C1", cursor="bm8=")["error"] == "invalid_cursor"
    assert form(slack, "conversations.history", channel="C1", limit="many")["error"] == "invalid_limit"


def test_history_bounds(slack: SlackStandIn) -> None:
    stamps = [post(slack, str(number)) for number in range(3)]
    cases: list[tuple[dict[str, str], list[str]]] = [
        ({"oldest": stamps[1]}, ["2"]),
        ({"oldest": stamps[1], "inclusive": "true"}, ["2", "1"]),
        ({"latest": stamps[1]}, ["0"]),
        ({"latest": stamps[1], "inclusive": "1"}, ["1", "0"]),
        ({"oldest": str(int(float(stamps[0])) - 120), "inclusive": "true"}, ["2", "1", "0"]),
    ]
    for arguments, expected in cases:
        assert texts(form(slack, "conversations.history", channel="C1", **arguments)) == expected
    assert ask(slack, "conversations.history", channel="C1", oldest="today")["error"] == "invalid_ts_oldest"


def test_metadata_shows_its_event_type_unless_all_is_asked_for(slack: SlackStandIn) -> None:
    post(slack, "x", metadata=notice("d1"))
    shown = [
        form(slack, "conversations.history", channel="C1", **arguments)["messages"][0]["metadata"]
        for arguments in ({}, {"include_all_metadata": "true"})
    ]
    assert shown == [{"event_type": "ml_connector_notice"}, notice("d1")]


def test_reading_needs_membership_and_the_scope_of_the_channel_type(slack: SlackStandIn) -> None:
    public_only = slack.issue_token(["channels:history"])
    cases = [("C2", "not_in_channel"), ("G2", "missing_scope"), ("G1", "missing_scope"), ("C9", "channel_not_found")]
    for channel, error in cases:
        assert ask(slack, "conversations.history", public_only, channel=channel)["error"] == error
    assert ask(slack, "conversations.history", channel="G2")["error"] == "channel_not_found"
    assert ask(slack, "conversations.history", channel="G1")["messages"] == []
    writer = slack.issue_token(["chat:write"])
    assert ask(slack, "conversations.replies", writer, channel="C1", ts="1.1") == {
        "ok": False,
        "error": "missing_scope",
        "needed": "channels:history",
        "provided": "chat:write",
    }


def test_the_reduced_tier_gives_fifteen_messages_once_a_minute() -> None:
    with SlackStandIn(history_limit=15, history_per_minute=1) as slack:
        slack.add_channel("C1", "ap-bills", is_member=True)
        for number in range(16):
            post(slack, str(number))
        page = ask(slack, "conversations.history", channel="C1", limit=200)
        assert (len(page["messages"]), page["has_more"]) == (15, True)
        again = call(slack, "conversations.history", channel="C1")
        assert (again.status, again.headers["Retry-After"]) == (429, "60")
        ts = page["messages"][0]["ts"]
        assert texts(ask(slack, "conversations.replies", channel="C1", ts=ts)) == ["15"]


def test_threads_hang_on_parents_only(slack: SlackStandIn) -> None:
    parent = post(slack, "parent")
    reply = post(slack, "first", thread_ts=parent)
    post(slack, "second", thread_ts=parent)
    refused = ask(slack, "chat.postMessage", channel="C1", text="x", thread_ts=reply)
    assert refused == {"ok": False, "error": "cannot_reply_to_message"}
    page = form(slack, "conversations.replies", channel="C1", ts=parent, limit="2")
    assert (texts(page), page["has_more"]) == (["parent", "first"], True)
    cursor = page["response_metadata"]["next_cursor"]
    page = form(slack, "conversations.replies", channel="C1", ts=parent, cursor=cursor)
    assert (texts(page), page["has_more"]) == (["second"], False)
    assert (page["messages"][0]["thread_ts"], page["messages"][0]["parent_user_id"]) == (parent, "U0STANDBOT")
    assert texts(form(slack, "conversations.replies", channel="C1", ts=reply)) == ["first"]
    assert form(slack, "conversations.replies", channel="C1", ts="1.000001")["error"] == "thread_not_found"
    assert [one.thread_ts for one in slack.posts] == [None, parent, parent]


def test_listing_filters_after_the_page_is_cut(slack: SlackStandIn) -> None:
    pages: list[list[str]] = []
    cursor = ""
    while not pages or cursor:
        answer = form(
            slack,
            "conversations.list",
            types="public_channel,private_channel",
            exclude_archived="true",
            limit="1",
            cursor=cursor,
        )
        pages.append([channel["name"] for channel in answer["channels"]])
        cursor = answer["response_metadata"]["next_cursor"]
    assert pages == [["ap-bills"], ["general"], [], ["close-checks"], []]
    public = slack.issue_token(["channels:read"])
    assert ask(slack, "conversations.list", public, types="private_channel")["needed"] == "groups:read"
    assert [one["name"] for one in ask(slack, "conversations.list", public)["channels"]] == [
        "ap-bills",
        "general",
        "fy24-close",
    ]
    assert ask(slack, "conversations.list", types="dm")["error"] == "invalid_types"
    assert ask(slack, "conversations.list", limit=1000)["error"] == "invalid_limit"


def test_looking_up_and_joining(slack: SlackStandIn) -> None:
    channel = ask(slack, "conversations.info", channel="C2")["channel"]
    # The shape is the documented one, but for the count that only the list gives.
    expected = ["C2", "general", False, False, False]
    assert [channel[name] for name in ("id", "name", "is_private", "is_archived", "is_member")] == expected
    assert ask(slack, "conversations.info", channel="G2") == {"ok": False, "error": "channel_not_found"}
    assert ask(slack, "conversations.join", channel="C2")["channel"]["is_member"] is True
    again = ask(slack, "conversations.join", channel="C2")
    assert (again["ok"], again["warning"]) == (True, "already_in_channel")
    assert again["response_metadata"] == {"warnings": ["already_in_channel"]}
    assert ask(slack, "conversations.join", channel="C3")["error"] == "is_archived"
    assert ask(slack, "conversations.join", channel="G1")["error"] == "method_not_supported_for_channel_type"
    reader = slack.issue_token(["channels:read"])
    assert ask(slack, "conversations.join", reader, channel="C2")["needed"] == "channels:join"


def test_updates_and_permalinks(slack: SlackStandIn) -> None:
    request = sample("chat_postMessage_request.json")
    ts = post(slack, "x", blocks=request["blocks"], metadata=notice("d1"))
    changed = ask(slack, "chat.update", channel="C1", ts=ts, text="paid")
    assert (changed["text"], changed["message"]["metadata"]) == ("paid", notice("d1"))
    assert "blocks" not in changed["message"]
    assert ask(slack, "chat.update", channel="C1", ts="1.1", text="x")["error"] == "message_not_found"
    assert ask(slack, "chat.update", channel="C1", ts=ts, text="x" * 4001)["error"] == "msg_too_long"
    link = form(slack, "chat.getPermalink", channel="C1", message_ts=ts)["permalink"]
    assert link == f"https://acme-finance.slack.com/archives/C1/p{ts.replace('.', '')}"
    local = fetch(slack.url + urlsplit(link).path)
    assert (local.status, local.headers["Location"]) == (302, f"/channel/C1#m-{ts.replace('.', '')}")


def authorize(slack: SlackStandIn, **changes: str) -> Reply:
    query = {
        "client_id": "fake-client-id",
        "scope": "chat:write,channels:read",
        "redirect_uri": CALLBACK,
        "state": "s&1",
        **changes,
    }
    return fetch(f"{slack.url}/oauth/v2/authorize?{urlencode(query)}")


def exchange(slack: SlackStandIn, secret: str = "fake-client-secret", /, **arguments: str) -> Any:
    basic = base64.b64encode(f"fake-client-id:{secret}".encode()).decode()
    return form(slack, "oauth.v2.access", {"Authorization": f"Basic {basic}"}, **arguments)


def returned(reply: Reply) -> dict[str, list[str]]:
    assert reply.status == 302
    assert reply.headers["Location"].startswith(CALLBACK + "?")
    return parse_qs(urlsplit(reply.headers["Location"]).query)


def test_the_install_flow_gives_a_working_token_once(slack: SlackStandIn) -> None:
    back = returned(authorize(slack))
    assert back["state"] == ["s&1"]
    code = back["code"][0]
    assert exchange(slack, code=code, redirect_uri=CALLBACK + "x/")["error"] == "bad_redirect_uri"
    assert exchange(slack, "wrong", code=code, redirect_uri=CALLBACK)["error"] == "bad_client_secret"
    installed = exchange(slack, code=code, redirect_uri=CALLBACK)
    token = installed.pop("access_token")
    assert installed == {
        "ok": True,
        "token_type": "bot",
        "scope": "chat:write,channels:read",
        "bot_user_id": "U0STANDBOT",
        "app_id": "A0STANDIN",
        "team": {"name": "Acme Finance", "id": "T0STANDIN"},
        "enterprise": None,
        "authed_user": {"id": "U0ADMIN"},
        "is_enterprise_install": False,
    }
    assert ask(slack, "auth.test", token)["team_id"] == "T0STANDIN"
    assert exchange(slack, code=code, redirect_uri=CALLBACK)["error"] == "invalid_code"
    assert exchange(slack, grant_type="password")["error"] == "invalid_grant_type"
    fields = {"client_id": "fake-client-id", "client_secret": "fake-client-secret", "redirect_uri": CALLBACK}
    assert form(slack, "oauth.v2.access", code=returned(authorize(slack))["code"][0], **fields)["ok"] is True
    assert ask(slack, "oauth.v2.access", code="x")["error"] == "invalid_post_type"


def test_consent_can_be_denied_and_wrong_requests_never_come_back(slack: SlackStandIn) -> None:
    slack.installer.is_consenting = False
    assert returned(authorize(slack)) == {"error": ["access_denied"], "state": ["s&1"]}
    for changes, code in (
        ({"client_id": "fake-other"}, b"invalid_client_id"),
        ({"scope": ""}, b"no_scopes"),
        ({"redirect_uri": "https://evil.example/"}, b"bad_redirect_uri"),
        ({"redirect_uri": CALLBACK + "#x"}, b"bad_redirect_uri"),
        ({"redirect_uri": CALLBACK.replace("https", "http")}, b"bad_redirect_uri"),
    ):
        reply = authorize(slack, **changes)
        assert (reply.status, reply.headers.get("Location"), code in reply.body) == (400, None, True)


def test_rotation_uses_each_refresh_token_once_and_keeps_two_access_tokens() -> None:
    with SlackStandIn(redirect_uris=[CALLBACK], rotation=True) as slack:
        pair = exchange(slack, code=returned(authorize(slack))["code"][0], redirect_uri=CALLBACK)
        tokens = [pair["access_token"]]
        assert (pair["expires_in"], tokens[0][:10], pair["refresh_token"][:7]) == (43200, "xoxe.xoxb-", "xoxe-1-")
        for _ in range(2):
            used = pair["refresh_token"]
            pair = exchange(slack, grant_type="refresh_token", refresh_token=used)
            tokens.append(pair["access_token"])
            again = exchange(slack, grant_type="refresh_token", refresh_token=used)
            assert again == {"ok": False, "error": "invalid_refresh_token"}
        verdicts = [ask(slack, "auth.test", token).get("error", "ok") for token in tokens]
        assert verdicts == ["token_revoked", "ok", "ok"]


class Receiver(StandIn):
    """An Events API request URL that keeps what it gets."""

    routes = (("POST", "/webhooks/slack/", "receive"),)

    def receive(self, call: Call, match: re.Match[str]) -> Answer:
        document = call.json()
        if document["type"] == "url_verification":
            return json_answer({"challenge": document["challenge"]})
        return Answer(202, b"seen")


class Late(Clock):
    def now(self) -> float:
        return super().now() + 301


def test_events_are_signed_as_slack_signs(slack: SlackStandIn) -> None:
    with Receiver() as receiver:
        url = f"{receiver.url}/webhooks/slack/"
        assert slack.send_event(url, {"type": "app_uninstalled"}, event_id="Ev1", retry_num=2) == (202, b"seen")
        (got,) = receiver.calls
    assert SignatureVerifier("fake-signing-secret").is_valid_request(got.body, dict(got.headers))
    assert not SignatureVerifier("fake-other-secret").is_valid_request(got.body, dict(got.headers))
    assert not SignatureVerifier("fake-signing-secret", Late()).is_valid_request(got.body, dict(got.headers))
    document = got.json()
    assert (document["type"], document["event_id"], document["event"]) == (
        "event_callback",
        "Ev1",
        {"type": "app_uninstalled"},
    )
    assert (got.headers["x-slack-retry-num"], got.headers["x-slack-retry-reason"]) == ("2", "http_timeout")
    assert slack.send_event(url, {"type": "app_uninstalled"}) == (0, b"")


def test_a_subscriber_hears_of_channels_and_tokens(slack: SlackStandIn) -> None:
    assert slack.archive("C1") is None
    with Receiver() as receiver:
        assert slack.subscribe(f"{receiver.url}/webhooks/slack/") is True
        assert slack.unarchive("C1") == 202
        slack.archive("G1")
        slack.rename("C1", "bills")
        slack.delete("C1")
        slack.revoke_token()
        slack.uninstall()
        events = [one.json()["event"] for one in list(receiver.calls)[1:]]
    assert [(event["type"], event.get("channel")) for event in events] == [
        ("channel_unarchive", "C1"),
        ("group_archive", "G1"),
        ("channel_rename", {"id": "C1", "name": "bills", "created": events[2]["channel"]["created"]}),
        ("channel_deleted", "C1"),
        ("tokens_revoked", None),
        ("app_uninstalled", None),
    ]
    assert events[4]["tokens"] == {"oauth": [], "bot": ["U0STANDBOT"]}
