"""The ping, and getting a channel ready."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from connector.kernel.errors import Misconfigured, ParkTarget, Reauthorize, Retry
from connector.kernel.standin import Answer, json_answer
from tests.sinks.slack.support import SLACK, ScriptedSlack, context, no, sample

ALL = "chat:write,chat:write.public,channels:read,groups:read,channels:join,channels:history,groups:history"


def ping(scopes: str | None, account: str = "T0G9PQBBK") -> str:
    headers = {} if scopes is None else {"X-OAuth-Scopes": scopes}
    answer = dataclasses.replace(json_answer(sample("auth_test_ok.json")), headers=headers)
    with ScriptedSlack({"auth.test": [answer]}) as slack:
        return SLACK.check(context(slack, account=account))


@pytest.mark.parametrize(("scopes", "account"), [(ALL, "T0G9PQBBK"), (None, "T0G9PQBBK"), (ALL, "")])
def test_a_good_token_names_its_workspace(scopes: str | None, account: str) -> None:
    assert ping(scopes, account) == "Connected to the Slack workspace Subarachnoid Workspace (T0G9PQBBK)."


def test_what_missing_scopes_cost_is_named() -> None:
    assert ping("chat:write, channels:read,channels:join,groups:history") == (
        "Connected to the Slack workspace Subarachnoid Workspace (T0G9PQBBK)."
        " It cannot look up private channels until groups:read is granted."
        " It cannot read back uncertain posts in public channels until channels:history is granted."
        " Add what is missing under OAuth & Permissions in the app's settings, then reinstall the app."
    )


def test_without_the_right_to_post_the_connection_is_misconfigured() -> None:
    with pytest.raises(Misconfigured) as error:
        ping("channels:read")
    assert error.value.text == (
        "The Slack app may not post: add the scope chat:write under OAuth & Permissions in the app's settings, then"
        " reinstall the app"
    )


def test_another_workspace_than_the_connection_says_is_told() -> None:
    assert ping(ALL, "T9") == (
        "Connected to the Slack workspace Subarachnoid Workspace (T0G9PQBBK)."
        " The connection says T9: correct its account, or the workspace's own events find no connection."
    )


def test_a_refused_token_must_be_replaced() -> None:
    answer = sample("auth_test_invalid_auth.json")
    with ScriptedSlack({"auth.test": [answer]}) as slack, pytest.raises(Reauthorize) as error:
        SLACK.check(context(slack))
    assert error.value.code == "invalid_auth"


@pytest.mark.parametrize("answer", [Answer(503, b"<html>"), json_answer({"ok": True, "team_id": ["T1"]})])
def test_an_outage_is_no_verdict_on_the_token(answer: Answer) -> None:
    with ScriptedSlack({"auth.test": [answer]}) as slack, pytest.raises(Retry):
        SLACK.check(context(slack))


def prepare(info: Any, join: Any = None) -> tuple[str, list[str]]:
    with ScriptedSlack({"conversations.info": [info], "conversations.join": [join]}) as slack:
        return SLACK.prepare(context(slack), "C012AB3CD"), [method for method, _ in slack.asked()]


def channel(**changes: Any) -> dict[str, Any]:
    info: dict[str, Any] = sample("conversations_info.json")
    return {**info, "channel": {**info["channel"], **changes}}


def test_a_channel_that_the_app_is_in_is_ready() -> None:
    assert prepare(channel()) == ("#accounting (C012AB3CD) is ready: the app is in it", ["conversations.info"])


@pytest.mark.parametrize("joined", [{"ok": True}, sample("conversations_join_already.json")])
def test_a_public_channel_is_joined(joined: Any) -> None:
    assert prepare(channel(is_member=False), joined) == (
        "#accounting (C012AB3CD) is ready: the app has joined it",
        ["conversations.info", "conversations.join"],
    )


def test_a_public_channel_that_cannot_be_joined_can_be_posted_to_all_the_same() -> None:
    assert prepare(channel(is_member=False), no("missing_scope"))[0] == (
        "#accounting (C012AB3CD) can be posted to, but the app could not join it (missing_scope): messages whose"
        " arrival is uncertain cannot be read back until somebody invites it with /invite in that channel"
    )


@pytest.mark.parametrize(
    ("info", "text"),
    [
        (
            channel(is_member=False, is_private=True),
            "#accounting (C012AB3CD) is private: invite the app with /invite in that channel",
        ),
        (
            channel(is_archived=True),
            "#accounting (C012AB3CD) is archived: unarchive it in Slack, or choose another channel in the route",
        ),
        (
            no("channel_not_found"),
            "The channel does not exist, or it is private and the app is not in it: invite the app with /invite in that"
            " channel, or choose another channel in the route",
        ),
    ],
    ids=["private", "archived", "not found"],
)
def test_a_channel_that_cannot_take_messages_says_what_to_do(info: Any, text: str) -> None:
    with pytest.raises(ParkTarget) as error:
        prepare(info)
    assert error.value.text == text
