"""Looking for an uncertain post in the channel, over real HTTP."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from connector.kernel.contracts import Receipt
from connector.kernel.errors import Reauthorize, Retry, Unreadable, VendorError
from connector.kernel.standin import json_answer
from sinks.slack import readback
from tests.sinks.slack.support import NOW, POSTING, SLACK, ScriptedSlack, context, no, sample

KEY = POSTING.key
ASKED = {
    "channel": "C1",
    "oldest": "1795183080.000000",
    "inclusive": "true",
    "limit": "15",
    "include_all_metadata": "true",
}
THREAD = "1795180000.000001"
THREADED = dataclasses.replace(POSTING, thread=THREAD)
LATE = json_answer({"ok": False, "error": "ratelimited"}, status=429, Retry_After="60")


def message(ts: str, key: Any = None, *, kind: str = "ml_connector_notice") -> dict[str, Any]:
    payload = {} if key is None else {"event_payload": {"delivery_id": key}}
    return {"type": "message", "ts": ts, "metadata": {"event_type": kind, **payload}}


def page(*messages: Any, cursor: str = "") -> dict[str, Any]:
    return {"ok": True, "messages": list(messages), "response_metadata": {"next_cursor": cursor}}


def look(script: dict[str, Any], posting: Any = POSTING) -> tuple[Receipt | None, list[tuple[str, Any]]]:
    with ScriptedSlack(script) as slack:
        return SLACK.reconcile(context(slack), posting, NOW), slack.asked()


def trouble(script: dict[str, Any], posting: Any = POSTING) -> tuple[VendorError, list[str]]:
    with ScriptedSlack(script) as slack, pytest.raises(VendorError) as error:
        SLACK.reconcile(context(slack), posting, NOW)
    return error.value, [method for method, _ in slack.asked()]


def test_the_message_is_found_on_a_later_page() -> None:
    pages = [
        page(
            message("1795183210.000300", "another"),
            {"type": "message", "text": "hi", "ts": "1795183209.1"},
            cursor="two",
        ),
        page(cursor="three"),  # a page may be empty without being the last
        page(message("1795183205.000200", KEY), message("1795183204.000100", KEY, kind="task_added")),
    ]
    receipt, asked = look({"conversations.history": pages})
    assert receipt == Receipt(id="1795183205.000200", target="C1")
    assert asked == [
        ("conversations.history", ASKED),
        ("conversations.history", {**ASKED, "cursor": "two"}),
        ("conversations.history", {**ASKED, "cursor": "three"}),
    ]


def test_found_twice_keeps_the_oldest_and_says_so() -> None:
    pages = [
        page(message("1795183210.000100", KEY), message("1795183210.000100", KEY), cursor="two"),
        page(message("1795183209.900000", KEY)),
    ]
    receipt, _ = look({"conversations.history": pages})
    assert receipt == Receipt(id="1795183209.900000", target="C1", is_repeated=True)


def test_not_found_is_none() -> None:
    receipt, asked = look({"conversations.history": [page(message("1795183210.000300", "another"))]})
    assert (receipt, len(asked)) == (None, 1)


def test_the_search_ends_where_messages_are_older_than_the_post() -> None:
    receipt, asked = look({"conversations.history": [sample("conversations_history_with_metadata.json")]})
    assert (receipt, asked) == (None, [("conversations.history", ASKED)])


def test_a_reply_is_looked_for_in_its_thread() -> None:
    pages = [page(message(THREAD), cursor="two"), page(message(THREAD, "parent"), message("1795183205.000200", KEY))]
    receipt, asked = look({"conversations.replies": pages}, THREADED)
    assert receipt == Receipt(id="1795183205.000200", target="C1")
    assert asked == [
        ("conversations.replies", {**ASKED, "ts": THREAD}),
        ("conversations.replies", {**ASKED, "ts": THREAD, "cursor": "two"}),
    ]


def test_a_reply_whose_thread_is_gone_is_looked_for_in_the_channel() -> None:
    script = {
        "conversations.replies": [no("thread_not_found")],
        "conversations.history": [page(message("1795183205.000200", KEY))],
    }
    receipt, asked = look(script, THREADED)
    assert receipt == Receipt(id="1795183205.000200", target="C1")
    assert asked[1:] == [("conversations.history", ASKED)]


def test_a_channel_that_the_app_is_not_in_is_joined_and_read() -> None:
    script = {
        "conversations.history": [no("not_in_channel"), page(message("1795183205.000200", KEY))],
        "conversations.join": [{"ok": True}],
    }
    receipt, asked = look(script)
    assert receipt == Receipt(id="1795183205.000200", target="C1")
    assert [method for method, _ in asked] == ["conversations.history", "conversations.join", "conversations.history"]


def test_a_missing_scope_names_what_to_grant() -> None:
    error, asked = trouble(
        {"conversations.history": [no("missing_scope", needed="channels:history", provided="chat:write")]}
    )
    assert (type(error), error.code, asked) == (Unreadable, "missing_scope", ["conversations.history"])
    assert error.text == (
        "The channel cannot be read back. The Slack app lacks the scope channels:history (it has chat:write): add the"
        " scope under OAuth & Permissions in the app's settings, then reinstall the app"
    )


def test_a_channel_that_cannot_be_joined_says_who_must_let_the_app_in() -> None:
    script = {"conversations.history": [no("not_in_channel")], "conversations.join": [no("missing_scope")]}
    error, asked = trouble(script)
    assert (type(error), error.code) == (Unreadable, "not_in_channel")
    assert error.text == (
        "The channel cannot be read back. The app is not in the channel and could not join it (missing_scope): invite"
        " it with /invite in that channel"
    )
    assert asked == ["conversations.history", "conversations.join"]


def test_joining_that_does_not_help_is_unreadable() -> None:
    script = {"conversations.history": [no("not_in_channel")], "conversations.join": [{"ok": True}]}
    error, asked = trouble(script)
    assert (type(error), error.code, len(asked)) == (Unreadable, "not_in_channel", 3)


def test_a_channel_that_is_not_found_is_unreadable() -> None:
    error, _ = trouble({"conversations.history": [no("channel_not_found")]})
    assert (type(error), error.code) == (Unreadable, "channel_not_found")
    assert "invite the app with /invite" in error.text


def test_too_fast_is_asked_again_later_without_pausing_posts() -> None:
    error, asked = trouble({"conversations.history": [LATE]})
    assert isinstance(error, Retry)
    assert (error.after, error.pause_connection, len(asked)) == (60.0, False, 1)


def test_what_was_found_before_the_reading_broke_off_counts() -> None:
    pages = [page(message("1795183205.000200", KEY), cursor="two"), LATE]
    assert look({"conversations.history": pages})[0] == Receipt(id="1795183205.000200", target="C1")


def test_a_dead_token_stays_a_dead_token() -> None:
    error, _ = trouble({"conversations.history": [no("token_revoked")]})
    assert type(error) is Reauthorize


def test_a_miss_among_messages_without_their_payload_proves_nothing() -> None:
    error, _ = trouble({"conversations.history": [page(message("1795183205.000200"))]})
    assert type(error) is Unreadable
    assert error.text == (
        "Slack does not show the metadata of messages: look in the channel, then replay or skip this one"
    )


@pytest.mark.parametrize("body", [{"ok": True, "messages": 5}, page({"ts": "soon"}, cursor="two")])
def test_a_list_that_cannot_be_read_is_asked_for_again(body: Any) -> None:
    error, _ = trouble({"conversations.history": [body]})
    assert (type(error), error.code) == (Retry, "bad_list")


def test_a_channel_without_end_is_unreadable() -> None:
    error, asked = trouble({"conversations.history": [page(message("1795183205.000200", "another"), cursor="again")]})
    assert type(error) is Unreadable
    assert len(asked) == readback.MAX_PAGES
    assert error.text.startswith("More than 3000 messages have come since: ")
