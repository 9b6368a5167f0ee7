"""One post over real HTTP: what is sent, what is mended on the spot, and what is never sent twice."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import Any

import pytest

from connector.kernel.contracts import Message, Posting, Receipt
from connector.kernel.errors import Misconfigured, ParkTarget, Reject, Retry, Unknown, VendorError
from connector.kernel.standin import Answer
from tests.sinks.slack.support import NOW, POSTED, POSTING, SENT, SLACK, ScriptedSlack, context, no, sample

JOINED: dict[str, Any] = {"ok": True, "channel": {"id": "C1", "is_member": True}}
THREADED = dataclasses.replace(POSTING, thread="1795180000.000001")


def without(*names: str, **more: Any) -> dict[str, Any]:
    return {name: value for name, value in {**SENT, **more}.items() if name not in names}


def refusal(*answers: Any, join: Any = None) -> tuple[VendorError, list[tuple[str, Any]]]:
    """What the post raised, and what Slack was asked."""
    script = {"chat.postMessage": answers, "conversations.join": [join]}
    with ScriptedSlack(script) as slack, pytest.raises(VendorError) as error:
        SLACK.post(context(slack), POSTING)
    return error.value, slack.asked()


def test_a_post_carries_its_key_and_returns_where_it_stands() -> None:
    with ScriptedSlack({"chat.postMessage": [sample("chat_postMessage_ok.json")]}) as slack:
        receipt = SLACK.post(context(slack), THREADED)
    assert receipt == Receipt(id="1503435956.000247", target="C123ABC456")
    assert slack.asked() == [("chat.postMessage", {**SENT, "thread_ts": "1795180000.000001"})]


def test_a_post_has_the_form_of_the_documented_request() -> None:
    wanted = sample("chat_postMessage_request.json")
    message = Message(wanted["text"], {"blocks": wanted["blocks"]})
    key = wanted["metadata"]["event_payload"]["delivery_id"]
    with ScriptedSlack({"chat.postMessage": [POSTED]}) as slack:
        SLACK.post(context(slack), Posting(key, wanted["channel"], message))
    assert slack.asked() == [("chat.postMessage", {**wanted, "parse": "none", "link_names": False})]


def test_a_message_without_blocks_is_text_alone() -> None:
    posting = dataclasses.replace(POSTING, message=Message("Bill 1"))
    with ScriptedSlack({"chat.postMessage": [POSTED]}) as slack:
        SLACK.post(context(slack), posting)
    assert slack.asked() == [("chat.postMessage", without("blocks"))]


def test_warnings_of_a_yes_are_kept() -> None:
    with ScriptedSlack({"chat.postMessage": [sample("chat_postMessage_truncated_warning.json")]}) as slack:
        receipt = SLACK.post(context(slack), POSTING)
    assert receipt == Receipt(id="1503435957.000100", target="C123ABC456", warnings=("message_truncated",))


def test_a_post_cut_after_it_was_accepted_is_sent_once_and_in_doubt() -> None:
    with ScriptedSlack({"chat.postMessage": [POSTED]}) as slack:
        slack.fail("chat.postMessage", "cut_after")
        with pytest.raises(Unknown):
            SLACK.post(context(slack), POSTING)
        assert slack.asked() == [("chat.postMessage", SENT)]


@pytest.mark.parametrize("body", [{"ok": True}, {"ok": True, "ts": ""}, {"ok": True, "ts": ["1"]}])
def test_a_yes_without_a_place_is_a_doubt(body: Any) -> None:
    error, asked = refusal(body)
    assert (type(error), error.code, len(asked)) == (Unknown, "no_ts", 1)


@pytest.mark.parametrize("body", [b'{"ok":false,"error":"ratelimited"}', b'{"ok":false,"error":"no_text"}', b"<html>"])
def test_too_fast_pauses_the_whole_connection_whatever_the_body_says(body: bytes) -> None:
    error, asked = refusal(Answer(429, body, {"Retry-After": "30"}))
    assert isinstance(error, Retry)
    assert (error.after, error.pause_connection, error.status, error.code) == (30.0, True, 429, "ratelimited")
    assert len(asked) == 1


def test_a_missing_scope_is_named_and_not_tried_again() -> None:
    error, asked = refusal(no("missing_scope", needed="chat:write", provided="channels:read"))
    assert (type(error), len(asked)) == (Misconfigured, 1)
    assert "lacks the scope chat:write (it has channels:read)" in error.text


def test_refused_blocks_go_out_as_plain_text_once_and_the_receipt_says_so() -> None:
    bad = no(
        "invalid_blocks",
        errors=["no more than 50 items allowed [json-pointer:/blocks]"],
        response_metadata={"messages": ["[ERROR] no more than 50 items allowed [json-pointer:/blocks]"]},
    )
    with ScriptedSlack({"chat.postMessage": [bad, POSTED]}) as slack:
        receipt = SLACK.post(context(slack), POSTING)
    assert receipt == Receipt(POSTED["ts"], "C1", warnings=("posted as plain text: invalid_blocks at /blocks",))
    assert slack.asked() == [("chat.postMessage", SENT), ("chat.postMessage", without("blocks"))]


def test_refused_metadata_is_left_out_of_the_plain_text() -> None:
    with ScriptedSlack({"chat.postMessage": [no("metadata_too_large"), POSTED]}) as slack:
        SLACK.post(context(slack), POSTING)
    assert slack.asked()[1:] == [("chat.postMessage", without("blocks", "metadata"))]


def test_plain_text_that_is_refused_too_is_rejected_with_slacks_words_in_the_detail() -> None:
    error, asked = refusal(no("invalid_blocks"), no("no_text", response_metadata={"messages": ["[ERROR] Bill 1"]}))
    assert (type(error), error.code, error.detail, len(asked)) == (Reject, "no_text", "[ERROR] Bill 1", 2)
    assert "Bill 1" not in error.text


def test_a_text_that_is_too_long_is_shortened_and_the_blocks_stay() -> None:
    posting = dataclasses.replace(POSTING, message=dataclasses.replace(POSTING.message, text="&amp;" * 1000))
    with ScriptedSlack({"chat.postMessage": [no("msg_too_long"), POSTED]}) as slack:
        receipt = SLACK.post(context(slack), posting)
    assert receipt.warnings == ("text shortened: msg_too_long",)
    assert slack.asked()[1:] == [("chat.postMessage", {**SENT, "text": "&amp;" * 759 + "…"})]


def test_a_public_channel_is_joined_once_and_posted_to_again() -> None:
    script: dict[str, Any] = {"chat.postMessage": [no("not_in_channel"), POSTED], "conversations.join": [JOINED]}
    with ScriptedSlack(script) as slack:
        receipt = SLACK.post(context(slack), POSTING)
    assert receipt == Receipt(POSTED["ts"], "C1", warnings=("joined: not_in_channel",))
    assert slack.asked() == [
        ("chat.postMessage", SENT),
        ("conversations.join", {"channel": "C1"}),
        ("chat.postMessage", SENT),
    ]


def test_joining_that_does_not_help_is_not_repeated() -> None:
    error, asked = refusal(no("not_in_channel"), join=JOINED)
    assert (type(error), error.code) == (ParkTarget, "not_in_channel")
    assert [method for method, _ in asked] == ["chat.postMessage", "conversations.join", "chat.postMessage"]


@pytest.mark.parametrize("code", ["missing_scope", "method_not_supported_for_channel_type", "is_archived"])
def test_a_channel_that_cannot_be_joined_parks_with_the_way_in(code: str) -> None:
    error, asked = refusal(no("not_in_channel"), join=no(code))
    assert (type(error), error.code) == (ParkTarget, "not_in_channel")
    assert error.text == (
        f"The app is not in the channel and could not join it ({code}): invite it with /invite in that channel"
    )
    assert [method for method, _ in asked] == ["chat.postMessage", "conversations.join"]


@pytest.mark.parametrize("code", ["thread_not_found", "message_not_found"])
def test_a_vanished_thread_is_left(code: str) -> None:
    with ScriptedSlack({"chat.postMessage": [no(code), POSTED]}) as slack:
        receipt = SLACK.post(context(slack), THREADED)
    assert receipt.warnings == (f"posted outside its thread: {code}",)
    assert slack.asked()[1:] == [("chat.postMessage", SENT)]


def test_several_troubles_are_mended_one_after_the_other() -> None:
    script: dict[str, Any] = {
        "chat.postMessage": [no("not_in_channel"), no("thread_not_found"), no("invalid_blocks"), POSTED],
        "conversations.join": [JOINED],
    }
    with ScriptedSlack(script) as slack:
        receipt = SLACK.post(context(slack), THREADED)
    assert receipt.warnings == (
        "joined: not_in_channel",
        "posted outside its thread: thread_not_found",
        "posted as plain text: invalid_blocks",
    )
    assert slack.asked()[-1] == ("chat.postMessage", without("blocks"))


def test_a_slow_refusal_leaves_the_mending_to_the_next_attempt() -> None:
    """A second post that starts late could outlive the lease of the delivery."""
    times = iter([NOW, NOW + dt.timedelta(seconds=9)])
    with ScriptedSlack({"chat.postMessage": [no("invalid_blocks"), POSTED]}) as slack, pytest.raises(Retry) as error:
        SLACK.post(context(slack, now=lambda: next(times)), POSTING)
    assert (error.value.code, len(slack.calls)) == ("invalid_blocks", 1)
