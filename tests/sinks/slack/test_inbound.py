"""Signatures and the Events API."""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.kernel.contracts import Notice, Parsed, Reply, Request, Secrets, Signal
from connector.kernel.errors import BadSignature
from sinks.slack import inbound
from tests.sinks.slack.support import FIXTURES, NOW, SLACK, request, sample

SECRET = "fake-signing-secret-samples"
SIGNED = {row["id"]: row for row in sample("signed_requests.json")}
AT = dt.datetime(2020, 12, 1, 6, 59, 34, tzinfo=dt.UTC)
FORM = "application/x-www-form-urlencoded"


def signed_request(name: str, **changes: str) -> Request:
    row = SIGNED[name]
    at = dt.datetime.fromtimestamp(row["clock_now"], dt.UTC)
    return request(row["body"].encode(), headers={**row["headers"], **changes}, at=at)


def is_accepted(asked: Request, secret: str, own: Secrets | None = None) -> bool:
    try:
        SLACK.verify(asked, {"signing_secret": secret}, own)
    except BadSignature:
        return False
    return True


@pytest.mark.parametrize("name", SIGNED)
def test_the_vendors_signed_requests(name: str) -> None:
    assert is_accepted(signed_request(name), SIGNED[name]["signing_secret"]) is SIGNED[name]["expect_valid"]


@pytest.mark.parametrize(
    ("app_secret", "own", "expected"),
    [
        (f"new-secret, {SECRET}", None, True),
        (f"{SECRET},", None, True),
        ("", {"signing_secret": SECRET}, True),
        ("another", {"signing_secret": SECRET}, True),
        ("another", {"bot_token": SECRET}, False),
        ("another", None, False),
        ("", None, False),
        (" , ", {"signing_secret": ""}, False),
        (inbound._NO_SECRET[:-1], None, False),
    ],
)
def test_any_of_the_configured_secrets_will_do(app_secret: str, own: dict[str, str] | None, expected: bool) -> None:
    assert is_accepted(signed_request("event"), app_secret, Secrets(own) if own is not None else None) is expected


def test_a_request_signed_with_the_stand_by_secret_is_refused() -> None:
    """It only makes a request cost the same where no secret is configured."""
    mac = hmac.new(inbound._NO_SECRET.encode(), f"v0:{NOW.timestamp():.0f}:{{}}".encode(), hashlib.sha256).hexdigest()
    headers = {"x-slack-signature": f"v0={mac}", "x-slack-request-timestamp": f"{NOW.timestamp():.0f}"}
    assert not is_accepted(request(b"{}", headers=headers), "")


@pytest.mark.parametrize(("seconds", "expected"), [(300, True), (301, False), (-300, True), (-301, False)])
def test_the_window_is_five_minutes_either_way(seconds: int, expected: bool) -> None:
    sent = signed_request("event")
    at = dt.datetime.fromtimestamp(1795132799 + seconds, dt.UTC)
    assert is_accepted(request(sent.body, headers=sent.headers, at=at), SECRET) is expected


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Slack-Request-Timestamp": "soon"},
        {"X-Slack-Request-Timestamp": ""},
        {"X-Slack-Request-Timestamp": "9" * 400},
        {"X-Slack-Request-Timestamp": "9" * 5000},
        {"X-Slack-Signature": "v0=ünï"},
        {"X-Slack-Signature": "\udc80"},
        {"X-Slack-Signature": ""},
        {"X-Slack-Signature": "f9ef73f5"},
    ],
    ids=range(8),
)
def test_strange_headers_are_a_bad_signature(headers: dict[str, str]) -> None:
    assert not is_accepted(signed_request("event", **headers), SECRET)


def test_a_request_without_headers_or_with_a_body_that_is_not_text_is_a_bad_signature() -> None:
    row = SIGNED["event"]["headers"]
    assert not is_accepted(request(b"{}"), SECRET)
    assert not is_accepted(request(b"\xff\xfe", headers=row, at=dt.datetime.fromtimestamp(1795132800, dt.UTC)), SECRET)


def parsed(name: str) -> Parsed:
    return SLACK.parse(request((FIXTURES / name).read_bytes()))


def raw(name: str) -> str:
    return (FIXTURES / name).read_text()


def event(body: Any, **more: Any) -> Parsed:
    whole = {"type": "event_callback", "team_id": "T1", "event_id": "Ev1", "event_time": 1606805974, "event": body}
    return SLACK.parse(request(json.dumps({**whole, **more}).encode()))


def test_url_verification_is_answered_with_its_challenge() -> None:
    assert parsed("event_url_verification.json") == Parsed(
        reply=Reply("3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P", "text/plain", 200)
    )


def test_a_revoked_bot_token() -> None:
    assert parsed("event_tokens_revoked.json") == Parsed(
        signals=(
            Signal(
                account="T111",
                kind="revoked",
                key="slack:Ev111",
                at=AT,
                text="The bot token was revoked in Slack",
                raw=raw("event_tokens_revoked.json"),
            ),
        )
    )


def test_revoked_user_tokens_leave_the_bot_alone() -> None:
    found = event({"type": "tokens_revoked", "tokens": {"oauth": ["W1"], "bot": []}})
    assert found.signals == ()
    assert [notice.unknown for notice in found.notices] == [
        "only tokens of users were revoked; the bot's token is not touched"
    ]


def test_a_removed_app() -> None:
    assert parsed("event_app_uninstalled.json") == Parsed(
        signals=(
            Signal(
                account="T111",
                kind="revoked",
                key="slack:Ev112",
                at=AT,
                text="The app was removed from the workspace",
                raw=raw("event_app_uninstalled.json"),
            ),
        )
    )


@pytest.mark.parametrize(
    ("body", "kind", "text"),
    [
        ({"type": "channel_archive", "channel": "C1", "user": "U1"}, "closed", "The channel was archived"),
        ({"type": "group_archive", "channel": "C1"}, "closed", "The channel was archived"),
        ({"type": "channel_deleted", "channel": "C1"}, "closed", "The channel was deleted"),
        ({"type": "group_deleted", "channel": "C1"}, "closed", "The channel was deleted"),
        ({"type": "channel_unarchive", "channel": "C1"}, "opened", "The channel was unarchived"),
        ({"type": "group_unarchive", "channel": "C1"}, "opened", "The channel was unarchived"),
        ({"type": "channel_rename", "channel": {"id": "C1", "name": "ap-bills", "created": 1}}, "renamed", "ap-bills"),
        ({"type": "group_rename", "channel": {"id": "C1", "name": "ap-bills"}}, "renamed", "ap-bills"),
    ],
    ids=lambda value: value["type"] if isinstance(value, dict) else "",
)
def test_what_happens_to_channels(body: dict[str, Any], kind: str, text: str) -> None:
    found = event(body)
    (signal,) = found.signals
    assert (found.notices, found.reply) == ((), None)
    assert (signal.account, signal.kind, signal.target, signal.text) == ("T1", kind, "C1", text)
    assert (signal.key, signal.at) == ("slack:Ev1", AT)


def test_every_event_of_the_manifest_is_understood() -> None:
    manifest = sample("app_manifest.json")
    wanted = set(manifest["settings"]["event_subscriptions"]["bot_events"])
    assert wanted == set(inbound._EVENTS)


def test_held_back_events_are_told() -> None:
    body = (FIXTURES / "event_app_rate_limited.json").read_bytes()
    assert parsed("event_app_rate_limited.json") == Parsed(
        notices=(
            Notice(
                account="T123456",
                delivery_key=f"slack:{hashlib.sha256(body).hexdigest()}",
                raw=body.decode(),
                unknown="Slack held back events of this workspace: more than 30,000 came within an hour",
            ),
        )
    )


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"type": "member_joined_channel"}, "Slack events of type member_joined_channel are not used here"),
        ({"type": "<b>"}, "Slack events of type unknown are not used here"),
        ({}, "Slack events of type unknown are not used here"),
        (None, "Slack events of type unknown are not used here"),
    ],
)
def test_other_events_are_ignored_with_their_reason(body: Any, reason: str) -> None:
    (notice,) = event(body).notices
    assert (notice.account, notice.unknown, notice.problem, notice.delivery_key) == ("T1", reason, "", "Ev1")
    assert notice.occurred_at == AT


@pytest.mark.parametrize("body", [b"payload=%7B%7D", b"ssl_check=1", b"command=%2Fx", b"\xff"])
def test_buttons_and_slash_commands_get_an_empty_answer(body: bytes) -> None:
    assert SLACK.parse(request(body, kind=f"{FORM}; charset=utf-8")) == Parsed(reply=Reply("", "text/plain", 200))


def test_the_vendors_sample_interaction_gets_an_empty_answer() -> None:
    row = SIGNED["button"]
    assert SLACK.parse(request(row["body"].encode(), headers=row["headers"])) == Parsed(reply=Reply())
    # Sent as JSON, which Slack does not do, it is one more request that nobody uses.
    (notice,) = parsed("interaction_block_actions.json").notices
    assert notice.unknown == "Slack sent a request of type block_actions, which is not used here"


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"", "Slack's request: the body is not JSON (JSONDecodeError)"),
        (b"{", "Slack's request: the body is not JSON (JSONDecodeError)"),
        (b"\xff", "Slack's request: the body is not JSON (UnicodeDecodeError)"),
        (b"[1]", "Slack's request: the body is not an object"),
        (b'{"type": ["a"]}', "Slack's request: type is not text"),
        (
            b'{"type":"event_callback","event":{"type":"channel_archive"}}',
            "Slack's request: channel is not a channel ID",
        ),
        (b'{"type":"event_callback","event_time":1e40,"event":{}}', "Slack's request: event_time is not a time"),
    ],
)
def test_what_cannot_be_understood_says_why(body: bytes, problem: str) -> None:
    assert SLACK.parse(request(body)) == Parsed(
        notices=(
            Notice(
                account="",
                delivery_key=f"slack:{hashlib.sha256(body).hexdigest()}",
                raw=body.decode(errors="replace"),
                problem=problem,
            ),
        )
    )


@given(st.binary(max_size=300), st.dictionaries(st.text(max_size=30), st.text(max_size=60), max_size=4))
def test_no_bytes_make_it_raise(body: bytes, headers: dict[str, str]) -> None:
    asked = request(body, headers=headers)
    assert isinstance(SLACK.parse(asked), Parsed)
    assert not is_accepted(asked, SECRET)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "type": st.sampled_from(["event_callback", "url_verification", "app_rate_limited"]) | JSON,
            "team_id": st.just("T1") | JSON,
            "event_id": JSON,
            "event_time": st.integers() | JSON,
            "challenge": JSON,
            "event": st.fixed_dictionaries(
                {"type": st.sampled_from(sorted(inbound._EVENTS)) | JSON},
                optional={"channel": JSON, "tokens": st.fixed_dictionaries({"bot": JSON}) | JSON},
            )
            | JSON,
        },
    )
)
def test_no_document_makes_it_raise(document: dict[str, Any]) -> None:
    found = SLACK.parse(request(json.dumps(document).encode()))
    assert len(found.notices) + len(found.signals) + (found.reply is not None) == 1
    if found.reply:
        found.reply.body.encode()
    for account in (*(notice.account for notice in found.notices), *(signal.account for signal in found.signals)):
        account.encode()
