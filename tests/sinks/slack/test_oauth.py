"""Installing, renewing and removing the app, over real HTTP."""

from __future__ import annotations

import base64
import datetime as dt
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from connector.kernel.contracts import Account, Secrets
from connector.kernel.errors import Misconfigured, Reauthorize, Reject, Unknown, VendorError
from connector.kernel.standin import Answer
from sinks.slack import oauth
from tests.sinks.slack.support import NOW, SLACK, ScriptedSlack, context, no, sample

BACK = "https://connector.example/oauth/slack/callback/"


def exchange(answer: Any, **query: str) -> tuple[Any, ScriptedSlack]:
    with ScriptedSlack({"oauth.v2.access": [answer]}) as slack:
        return SLACK.exchange(context(slack), query=query, redirect_uri=BACK), slack


def refused(answer: Any, **query: str) -> tuple[VendorError, int]:
    with ScriptedSlack({"oauth.v2.access": [answer]}) as slack, pytest.raises(VendorError) as error:
        SLACK.exchange(context(slack), query=query, redirect_uri=BACK)
    return error.value, len(slack.calls)


def test_the_consent_page_is_asked_for_what_the_manifest_grants() -> None:
    url = SLACK.authorize_url(context(account="T1"), state="a&b=c d", redirect_uri=BACK)
    manifest = sample("app_manifest.json")
    assert url.startswith("https://slack.com/oauth/v2/authorize?")
    assert parse_qs(urlsplit(url).query) == {
        "client_id": ["fake-client"],
        "scope": [",".join(manifest["oauth_config"]["scopes"]["bot"])],
        "redirect_uri": [BACK],
        "state": ["a&b=c d"],
        "team": ["T1"],
    }
    assert manifest["oauth_config"]["redirect_urls"] == [BACK]


def test_a_new_connection_names_no_workspace_and_the_page_is_a_setting() -> None:
    app = {"authorize_url": "http://127.0.0.1:7/oauth/v2/authorize"}
    url = SLACK.authorize_url(context(app=app), state="s", redirect_uri=BACK)
    assert url.startswith("http://127.0.0.1:7/oauth/v2/authorize?client_id=fake-client&scope=chat%3Awrite%2C")
    assert "team" not in parse_qs(urlsplit(url).query)


def test_without_a_client_id_nobody_is_sent_away() -> None:
    with pytest.raises(Misconfigured) as error:
        SLACK.authorize_url(context(app={"client_id": ""}), state="s", redirect_uri=BACK)
    assert error.value.text == "SLACK_CLIENT_ID is not set: take it from the Slack app's settings, Basic Information"


def test_the_code_is_exchanged_for_a_bot_token() -> None:
    grant, slack = exchange(sample("oauth_v2_access_ok.json"), code="c1", state="s")
    assert (dict(grant.secrets.values), grant.secrets.expires_at) == ({"bot_token": "xoxb-fake"}, None)
    assert (grant.accounts, grant.owner) == ((Account("T9TK3CUKW", "Slack Pickleball Team"),), "")
    (call,) = slack.calls
    assert call.form() == {"code": "c1", "redirect_uri": BACK}
    assert base64.b64decode(call.headers["authorization"].removeprefix("Basic ")) == b"fake-client:fake-client-secret"
    assert not SLACK.can_refresh(grant.secrets)


def test_a_rotating_token_comes_with_its_end_and_its_successor() -> None:
    grant, _ = exchange(sample("oauth_v2_access_rotating.json"), code="c1")
    assert dict(grant.secrets.values) == {"bot_token": "xoxe.xoxb-1-fake", "refresh_token": "xoxe-1-fake"}
    assert grant.secrets.expires_at == NOW + dt.timedelta(hours=12)
    assert grant.accounts == (Account("T111", "Testing Workspace"),)
    assert SLACK.can_refresh(grant.secrets)
    assert "fake" not in repr(grant)


@pytest.mark.parametrize(
    ("query", "code", "text"),
    [
        (
            {"error": "access_denied", "state": "s"},
            "access_denied",
            "The installation was declined in Slack: press Connect again and choose Allow",
        ),
        (
            {"error": "<b>"},
            "unknown",
            "Slack refused the installation (unknown): start again with Connect",
        ),
        ({}, "no_code", "Slack came back without an authorization code: start again with Connect"),
    ],
)
def test_a_refusal_in_the_browser_exchanges_nothing(query: dict[str, str], code: str, text: str) -> None:
    error, calls = refused({"ok": True}, **query)
    assert (type(error), error.code, error.text, calls) == (Reject, code, text, 0)


def test_a_stale_code_says_to_start_again() -> None:
    error, _ = refused(sample("oauth_v2_access_error_invalid_code.json"), code="c1")
    assert (type(error), error.code) == (Reject, "invalid_code")
    assert error.text == "Slack no longer takes this authorization code (invalid_code): start again with Connect"


@pytest.mark.parametrize("code", sorted(oauth._REFUSALS))
def test_every_refusal_has_a_sentence(code: str) -> None:
    error, _ = refused(no(code), code="c1")
    assert (type(error), error.code) == (Reject, code)
    assert "{" not in error.text


def test_an_installation_for_a_whole_organization_is_refused() -> None:
    answer = {**sample("oauth_v2_access_ok.json"), "team": None, "is_enterprise_install": True}
    error, _ = refused(answer, code="c1")
    assert (type(error), error.text) == (
        Reject,
        "The app was installed for a whole Slack organization, which is not supported: install it into one workspace",
    )


@pytest.mark.parametrize("change", [{"access_token": ""}, {"token_type": "user"}])
def test_an_installation_without_a_bot_is_refused(change: dict[str, str]) -> None:
    error, _ = refused({**sample("oauth_v2_access_ok.json"), **change}, code="c1")
    assert (type(error), error.code) == (Reject, "no_bot_token")


@pytest.mark.parametrize("answer", [Answer(502, b""), {**sample("oauth_v2_access_ok.json"), "access_token": ["x"]}])
def test_an_exchange_without_a_usable_answer_is_a_doubt(answer: Any) -> None:
    error, calls = refused(answer, code="c1")
    assert (type(error), calls) == (Unknown, 1)


def test_without_the_apps_secret_nothing_is_exchanged() -> None:
    with pytest.raises(Misconfigured):
        SLACK.exchange(context(app={"client_secret": ""}), query={"code": "c1"}, redirect_uri=BACK)


ROTATING = {"bot_token": "xoxe.xoxb-0-fake", "refresh_token": "xoxe-0-fake", "signing_secret": "fake-signing"}


def refresh(answer: Any, secrets: dict[str, str] | None = None) -> tuple[Secrets, ScriptedSlack]:
    with ScriptedSlack({"oauth.v2.access": [answer]}) as slack:
        return SLACK.refresh(context(slack, secrets=ROTATING if secrets is None else secrets)), slack


def test_a_refresh_brings_the_next_pair_and_keeps_the_rest() -> None:
    fresh, slack = refresh(sample("oauth_v2_access_rotating.json"))
    assert dict(fresh.values) == {
        "bot_token": "xoxe.xoxb-1-fake",
        "refresh_token": "xoxe-1-fake",
        "signing_secret": "fake-signing",
    }
    assert fresh.expires_at == NOW + dt.timedelta(hours=12)
    assert slack.asked() == [("oauth.v2.access", {"grant_type": "refresh_token", "refresh_token": "xoxe-0-fake"})]


@pytest.mark.parametrize(
    ("code", "verdict"),
    [
        ("invalid_refresh_token", Reauthorize),
        ("invalid_grant_type", Reauthorize),
        ("bad_client_secret", Misconfigured),
        ("invalid_client_id", Misconfigured),
        ("token_revoked", Reauthorize),
    ],
)
def test_a_refused_refresh(code: str, verdict: type[VendorError]) -> None:
    with pytest.raises(VendorError) as error:
        refresh(no(code))
    assert (type(error.value), error.value.code) == (verdict, code)


def test_nothing_to_refresh_with_needs_a_person() -> None:
    with pytest.raises(Reauthorize):
        refresh({}, {"bot_token": "xoxb-fake"})


@pytest.mark.parametrize("answer", [sample("auth_revoke_ok.json"), no("token_revoked"), no("invalid_auth")])
def test_a_token_is_ended_or_was_dead_already(answer: Any) -> None:
    with ScriptedSlack({"auth.revoke": [answer]}) as slack:
        SLACK.revoke(context(slack))
    assert slack.asked() == [("auth.revoke", {})]
