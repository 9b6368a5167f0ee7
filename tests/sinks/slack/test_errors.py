"""Every code of Slack's that is documented for our calls, with the verdict it leads to."""

from __future__ import annotations

import pytest

from connector.kernel.errors import (
    Misconfigured,
    ParkTarget,
    Reauthorize,
    Refresh,
    Reject,
    Retry,
    Unknown,
)
from sinks.slack import errors
from tests.sinks.slack.support import sample

CASES = {
    Retry: "ratelimited rate_limited message_limit_exceeded service_unavailable request_timeout team_added_to_org"
    " org_login_required external_channel_migrating never_heard_of_it",
    Unknown: "internal_error fatal_error duplicate_message_not_found duplicate_channel_not_found",
    Reauthorize: "invalid_auth account_inactive token_revoked not_authed not_allowed_token_type access_denied"
    " accesslimited two_factor_setup_required enterprise_is_restricted team_access_not_granted app_access_restricted",
    Refresh: "token_expired",
    Misconfigured: "missing_scope no_permission ekm_access_denied metadata_must_be_sent_from_app",
    ParkTarget: "channel_not_found not_in_channel is_archived restricted_action restricted_action_read_only_channel"
    " restricted_action_thread_only_channel restricted_action_non_threadable_channel restricted_action_thread_locked"
    " cannot_reply_to_message team_not_found messages_tab_disabled slack_connect_file_upload_sharing_blocked"
    " method_not_supported_for_channel_type too_many_members",
    Reject: "no_text msg_too_long msg_blocks_too_long invalid_blocks invalid_blocks_format invalid_attachments"
    " too_many_attachments attachment_payload_limit_exceeded metadata_too_large invalid_metadata_format"
    " invalid_metadata_schema markdown_text_conflict invalid_arguments invalid_arg_name invalid_array_arg"
    " invalid_charset invalid_form_data invalid_post_type missing_post_type as_user_not_supported"
    " send_on_behalf_not_allowed too_many_contact_cards missing_file_data method_deprecated deprecated_endpoint"
    " unknown_method",
}
ROWS = [(code, verdict) for verdict, codes in CASES.items() for code in codes.split()]


@pytest.mark.parametrize(("code", "verdict"), ROWS, ids=[code for code, _ in ROWS])
def test_each_code_has_its_verdict(code: str, verdict: type[Exception]) -> None:
    found = errors.verdict("chat.postMessage", code)
    assert (type(found), found.code, found.status, found.detail) == (verdict, code, 200, "")
    assert "{" not in found.text
    assert ":" in found.text  # what happened: what to do


def test_the_table_holds_no_code_that_is_not_tested() -> None:
    assert set(errors.KINDS) <= {code for code, _ in ROWS}


@pytest.mark.parametrize(
    ("method", "code", "status", "header", "after", "pauses"),
    [
        ("chat.postMessage", "ratelimited", 429, "30", 30.0, True),
        ("chat.postMessage", "ratelimited", 200, "", 5.0, True),
        ("chat.postMessage", "rate_limited", 200, " 7 ", 7.0, True),
        ("chat.postMessage", "ratelimited", 429, "soon", 5.0, True),
        ("chat.postMessage", "ratelimited", 429, "-3", 5.0, True),
        ("chat.postMessage", "ratelimited", 429, "0", 5.0, True),
        ("chat.postMessage", "ratelimited", 429, "1.5", 1.5, True),
        ("chat.postMessage", "ratelimited", 429, "999999999", 86400.0, True),
        ("chat.postMessage", "message_limit_exceeded", 200, "", 600.0, True),
        ("chat.postMessage", "message_limit_exceeded", 200, "900", 900.0, True),
        ("conversations.history", "ratelimited", 429, "60", 60.0, False),
        ("chat.postMessage", "service_unavailable", 200, "", None, False),
        ("chat.postMessage", "never_heard_of_it", 200, "", None, False),
    ],
)
def test_waits(method: str, code: str, status: int, header: str, after: float | None, pauses: bool) -> None:
    found = errors.verdict(method, code, status=status, retry_after=header)
    assert isinstance(found, Retry)
    assert (found.after, found.pause_connection, found.code) == (after, pauses, code)


def test_the_vendors_sample_refusals() -> None:
    found = [
        errors.verdict("chat.postMessage", row["body"]["error"], status=row["status"], body=row["body"])
        for row in sample("chat_postMessage_errors.json")
    ]
    assert [(type(error), error.code, error.text, error.detail) for error in found] == [
        (
            ParkTarget,
            "channel_not_found",
            "The channel does not exist, or it is private and the app is not in it: invite the app with /invite in that"
            " channel, or choose another channel in the route",
            "",
        ),
        (
            ParkTarget,
            "not_in_channel",
            "The app is not in the channel: invite it with /invite in that channel",
            "",
        ),
        (
            ParkTarget,
            "is_archived",
            "The channel is archived: unarchive it in Slack, or choose another channel in the route",
            "",
        ),
        (
            Reject,
            "no_text",
            "Slack refuses the form of this message (no_text): report it with the attempt's details",
            "",
        ),
        (
            Reject,
            "too_many_attachments",
            "Slack refuses the form of this message (too_many_attachments): report it with the attempt's details",
            "",
        ),
        (
            Reject,
            "invalid_blocks",
            "Slack refuses the form of this message (invalid_blocks): report it with the attempt's details",
            "[ERROR] no more than 50 items allowed [json-pointer:/blocks]",
        ),
        (
            Misconfigured,
            "missing_scope",
            "The Slack app lacks the scope chat:write (it has channels:read): add the scope under OAuth & Permissions"
            " in the app's settings, then reinstall the app",
            "",
        ),
        (
            Reauthorize,
            "account_inactive",
            "Slack refuses the bot token (account_inactive): install the app again from the connection's page, or store"
            " a new bot token",
            "",
        ),
        (
            Reauthorize,
            "token_revoked",
            "Slack refuses the bot token (token_revoked): install the app again from the connection's page, or store"
            " a new bot token",
            "",
        ),
        (
            Unknown,
            "fatal_error",
            "Slack failed half-way through chat.postMessage (fatal_error): whether it took effect is looked up",
            "",
        ),
        (
            Retry,
            "ratelimited",
            "Slack asks to slow down (ratelimited): posting goes on by itself after the wait",
            "",
        ),
    ]


def test_scopes_that_are_not_scopes_are_not_repeated() -> None:
    body = {"needed": "chat:write,<b>", "provided": 7}
    assert errors.verdict("chat.postMessage", "missing_scope", body=body).text.startswith(
        "The Slack app lacks the scope chat:write (it has none that Slack names): "
    )
