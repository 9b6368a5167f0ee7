"""OAuth with Intuit: what is sent, what is kept, and what every refusal means."""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import json
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest

from connector.kernel.contracts import Account, Context, Secrets
from connector.kernel.errors import Misconfigured, Reauthorize, Reject, Retry, Unknown, VendorError
from sources.quickbooks_online import oauth
from sources.quickbooks_online.source import QuickBooksOnline

from . import wire
from .wire import NOW, REALM, Api, context, sample

api = wire.api

SOURCE = QuickBooksOnline()
REDIRECT = "https://connector.example.com/oauth/quickbooks-online/callback/"
QUERIES = {
    name: dict(parse_qsl(query.removeprefix("?")))
    for name, query in json.loads(sample("oauth/callback_queries.json")).items()
}
BASIC = "Basic " + base64.b64encode(b"fake-client:fake-secret").decode()


def later(seconds: int) -> dt.datetime:
    return NOW + dt.timedelta(seconds=seconds)


def known(**dates: dt.datetime) -> Secrets:
    return Secrets({"access_token": "fake-old", "refresh_token": "fake-refresh-token-0001"}, **dates)


def refresh(api: Api, secrets: Secrets | None = None) -> Secrets:
    return SOURCE.refresh(dataclasses.replace(context(api.url), secrets=secrets or known()))


def exchange(api: Api, query: str = "granted") -> Any:
    ctx = dataclasses.replace(context(api.url), account="", secrets=Secrets({}))
    return SOURCE.exchange(ctx, query=QUERIES[query], redirect_uri=REDIRECT)


def test_the_consent_page_is_asked_for_the_accounting_scope() -> None:
    url = SOURCE.authorize_url(context(), state="fake state/0001", redirect_uri=REDIRECT)
    assert url.startswith("https://appcenter.intuit.com/connect/oauth2?")
    assert parse_qs(urlsplit(url).query) == {
        "client_id": ["fake-client"],
        "response_type": ["code"],
        "scope": ["com.intuit.quickbooks.accounting"],
        "redirect_uri": [REDIRECT],
        "state": ["fake state/0001"],
    }


def test_the_default_addresses_are_those_that_intuit_publishes() -> None:
    published = json.loads(sample("oauth/discovery_production.json"))
    assert published["authorization_endpoint"] == oauth.AUTHORIZE_URL
    assert published["token_endpoint"] == f"{oauth.OAUTH_HOST}/oauth2/v1/tokens/bearer"
    assert published["revocation_endpoint"] == f"{oauth.REVOKE_HOST}/v2/oauth2/tokens/revoke"


@pytest.mark.parametrize("name", ["token_exchange_response", "token_exchange_response_openid"])
def test_a_code_becomes_secrets_and_the_company_with_its_name(api: Api, name: str) -> None:
    api.on("POST /oauth2/v1/tokens/bearer", sample(f"oauth/{name}.json"))
    api.on(f"GET companyinfo/{REALM}", sample("entities/companyinfo.json"))
    grant = exchange(api)
    assert grant.accounts == (Account(REALM, "Larry's Bakery"),)
    assert grant.secrets == Secrets(
        {"access_token": "fake-access-token-0001", "refresh_token": "fake-refresh-token-0001"},
        expires_at=later(3600),
        refresh_expires_at=later(8726400),
    )
    asked, company = api.calls
    assert asked.form() == {
        "grant_type": "authorization_code",
        "code": "fake-authorization-code",
        "redirect_uri": REDIRECT,
    }
    assert {name: asked.headers[name] for name in ("authorization", "accept", "content-type")} == {
        "authorization": BASIC,
        "accept": "application/json",
        "content-type": "application/x-www-form-urlencoded",
    }
    assert asked.headers["x-include-refresh-token-hard-expires-in"] == "true"
    assert company.headers["authorization"] == "Bearer fake-access-token-0001"


def test_a_company_that_does_not_tell_its_name_is_connected_all_the_same(api: Api) -> None:
    api.on("tokens/bearer", sample("oauth/token_exchange_response.json"))
    api.on("companyinfo", b"", 503)
    assert exchange(api).accounts == (Account(REALM, ""),)


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("denied", "Access was refused at Intuit, so nothing was connected."),
        ("missing_realm_openid_only", "Intuit did not say which company was chosen. Start again."),
    ],
)
def test_a_callback_without_consent_exchanges_nothing(api: Api, query: str, sentence: str) -> None:
    with pytest.raises(Reject) as caught:
        exchange(api, query)
    assert str(caught.value) == sentence
    assert not api.calls


def test_a_used_code_is_said_plainly(api: Api) -> None:
    api.on("tokens/bearer", sample("oauth/error_400_invalid_authorization_code.json"), 400)
    with pytest.raises(Reject) as caught:
        exchange(api)
    assert str(caught.value) == "The authorization code was used or has expired. Start again."
    assert caught.value.code == "invalid_grant"


@pytest.mark.parametrize(
    ("name", "values", "dates"),
    [
        (
            "refresh_response_rotated",
            {"access_token": "fake-access-token-0003", "refresh_token": "fake-refresh-token-0002"},
            {"refresh_expires_at": later(8640000), "hard_expires_at": later(99)},
        ),
        (
            "refresh_response_same_refresh_token",
            {"access_token": "fake-access-token-0002", "refresh_token": "fake-refresh-token-0001"},
            {"refresh_expires_at": later(8721385), "hard_expires_at": later(99)},
        ),
        (
            "refresh_response_with_hard_expiry",
            {"access_token": "fake-access-token-0004", "refresh_token": "fake-refresh-token-0002"},
            {"refresh_expires_at": later(8726400), "hard_expires_at": later(156032154)},
        ),
    ],
)
def test_a_renewal_keeps_what_came_back(api: Api, name: str, values: Any, dates: Any) -> None:
    api.on("POST /oauth2/v1/tokens/bearer", sample(f"oauth/{name}.json"))
    assert refresh(api, known(hard_expires_at=later(99))) == Secrets(values, expires_at=later(3600), **dates)
    (asked,) = api.calls
    assert asked.form() == {"grant_type": "refresh_token", "refresh_token": "fake-refresh-token-0001"}
    assert asked.headers["x-include-refresh-token-hard-expires-in"] == "true"


@pytest.mark.parametrize(
    ("expires_in", "seconds"), [("1800", 1800), (1800.0, 1800), ("soon", 3600), (None, 3600), (-1, 3600), ([], 3600)]
)
def test_numbers_are_taken_as_they_come(api: Api, expires_in: Any, seconds: int) -> None:
    api.on("tokens/bearer", {"access_token": "fake-new", "expires_in": expires_in})
    given = refresh(api, known(refresh_expires_at=later(5)))
    assert given == Secrets(
        {"access_token": "fake-new", "refresh_token": "fake-refresh-token-0001"},
        expires_at=later(seconds),
        refresh_expires_at=later(5),
    )


@pytest.mark.parametrize(
    ("status", "body", "kind", "code"),
    [
        (400, sample("oauth/error_400_invalid_grant_bare.json"), Reauthorize, "invalid_grant"),
        (400, sample("oauth/error_400_invalid_grant_described.json"), Reauthorize, "invalid_grant"),
        (400, sample("oauth/error_400_invalid_grant_token_invalid.json"), Reauthorize, "invalid_grant"),
        (401, sample("oauth/error_401_invalid_client.json"), Misconfigured, "invalid_client"),
        (401, b"<html>", Misconfigured, ""),
        (400, b'{"error": "unsupported_grant_type"}', Misconfigured, "unsupported_grant_type"),
        (400, b'{"error": 5, "error_description": {}}', Retry, ""),
        (403, b"<html>", Retry, ""),
        (429, b'{"error": "invalid_grant"}', Retry, ""),
        (503, b"", Retry, ""),
        (302, b"", Misconfigured, ""),
        (200, b"<html>", Unknown, "no_token"),
        (200, b'{"access_token": ["x"]}', Unknown, "no_token"),
    ],
)
def test_refusals_of_a_renewal(api: Api, status: int, body: bytes, kind: type[VendorError], code: str) -> None:
    api.on("tokens/bearer", body, status)
    with pytest.raises(VendorError) as caught:
        refresh(api)
    assert (type(caught.value), caught.value.code) == (kind, code)
    assert "fake" not in repr(caught.value) + caught.value.detail


def test_a_pause_asked_for_by_the_log_in_service_is_kept(api: Api) -> None:
    api.on("tokens/bearer", b"", 429, Retry_After="7")
    with pytest.raises(Retry) as caught:
        refresh(api)
    assert caught.value.after == 7.0


def test_a_renewal_without_an_answer_is_in_doubt(api: Api) -> None:
    api.on("tokens/bearer", sample("oauth/refresh_response_rotated.json"))
    api.fail("tokens/bearer", "cut_after")
    with pytest.raises(Unknown):
        refresh(api)


def test_without_a_refresh_token_a_person_must_act(api: Api) -> None:
    assert SOURCE.can_refresh(known())
    assert not SOURCE.can_refresh(Secrets({"access_token": "fake"}))
    with pytest.raises(Reauthorize):
        refresh(api, Secrets({"access_token": "fake"}))
    assert not api.calls


def test_without_keys_the_settings_are_named(api: Api) -> None:
    ctx: Context = dataclasses.replace(context(api.url), app={"oauth_url": api.url})
    for call in (
        lambda: SOURCE.refresh(ctx),
        lambda: SOURCE.revoke(ctx),
        lambda: SOURCE.authorize_url(ctx, state="s", redirect_uri=REDIRECT),
    ):
        with pytest.raises(Misconfigured, match="QUICKBOOKS_ONLINE_CLIENT_ID and QUICKBOOKS_ONLINE_CLIENT_SECRET"):
            call()


@pytest.mark.parametrize(
    ("status", "kind"), [(200, None), (400, Reject), (401, Misconfigured), (429, Retry), (500, Retry)]
)
def test_revocation(api: Api, status: int, kind: type[VendorError] | None) -> None:
    api.on("POST /v2/oauth2/tokens/revoke", b"", status)
    ctx = context(api.url, tokens={"refresh_token": "fake-refresh-token-0002"})
    if kind is None:
        SOURCE.revoke(ctx)
    else:
        with pytest.raises(kind):
            SOURCE.revoke(ctx)
    (call,) = api.calls
    assert call.json() == json.loads(sample("oauth/revoke_request.json"))
    assert call.headers["authorization"] == BASIC
