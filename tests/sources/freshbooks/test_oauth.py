"""The vendor's token and identity samples, and every answer that brings no token."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from connector.kernel.contracts import Account, Context, Secrets
from connector.kernel.errors import Misconfigured, Reauthorize, Reject, Retry, Unknown, VendorError
from connector.kernel.http import Http
from connector.kernel.standin import Answer, Call, StandIn, json_answer
from sources.freshbooks import oauth

FIXTURES = Path(__file__).parent / "fixtures"
NOW = dt.datetime.fromtimestamp(1_795_132_800, dt.UTC)


class Service(StandIn):
    """Answers what it is told to."""

    routes = (("POST", r"/auth/oauth/\w+", "_token"), ("GET", r"/auth/api/v1/users/me", "_me"))
    answer = Answer()

    def _token(self, call: Call, match: object) -> Answer:
        return self.answer

    def _me(self, call: Call, match: object) -> Answer:
        return json_answer(json.loads((FIXTURES / "users_me.json").read_text()))


@pytest.fixture
def service() -> Iterator[Service]:
    with Service() as standin:
        yield standin


def context(service: Service, **secrets: str) -> Context:
    app = {"client_id": "fake-id", "client_secret": "fake-secret", "api_url": service.url}
    return Context(
        "acme", "", {}, app, Secrets(secrets), Http(seconds=5), lambda: NOW, redirect_uri="https://c.example/cb/"
    )


def token(**changes: Any) -> Answer:
    return json_answer({**json.loads((FIXTURES / "oauth_token.json").read_text()), **changes})


def test_the_samples_of_a_token_and_of_a_person_with_two_businesses(service: Service) -> None:
    service.answer = token()
    grant = oauth.exchange(context(service), query={"code": "fake-code"}, redirect_uri="https://c.example/cb/")
    assert grant.owner == "12345"
    assert grant.accounts == (
        Account("ABC123", "Commonwealth of Independent Systems", {"business_id": "439000"}),
        Account("ABC124", "Bayern Corporation", {"business_id": "438000"}),
    )
    assert grant.secrets.get("access_token") == "fake-access-token-A"
    assert grant.secrets.get("refresh_token") == "fake-refresh-token-A"
    assert grant.secrets.expires_at == NOW + dt.timedelta(seconds=43199)
    assert oauth.missing_scopes(grant.secrets) == []
    assert [call.form() for call in service.calls if call.method == "POST"] == [
        {
            "grant_type": "authorization_code", "code": "fake-code", "redirect_uri": "https://c.example/cb/",
            "client_id": "fake-id", "client_secret": "fake-secret",
        }
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "seconds"),
    [
        ({}, 43199),
        ({"created_at": int(NOW.timestamp()) - 100}, 43099),
        ({"created_at": int(NOW.timestamp()) + 100}, 43199),
        ({"created_at": 1}, 43199),
        ({"created_at": "soon", "expires_in": 60}, 43200),
        ({"expires_in": "600", "created_at": None}, 600),
    ],
)
def test_when_a_token_ends(service: Service, changes: dict[str, Any], seconds: int) -> None:
    service.answer = token(**changes)
    fresh = oauth.refresh(context(service, refresh_token="fake-old", webhook_verifier="fake-kept"))
    assert fresh.expires_at == NOW + dt.timedelta(seconds=seconds)
    assert fresh.get("webhook_verifier") == "fake-kept" and fresh.get("refresh_token") == "fake-refresh-token-A"


INVALID_GRANT = json.loads((FIXTURES / "oauth_error_invalid_grant.json").read_text())


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (json_answer(INVALID_GRANT, status=400), Reauthorize),
        (json_answer(INVALID_GRANT, status=401), Reauthorize),
        (json_answer({"error": "invalid_client"}, status=401), Misconfigured),
        (json_answer({"error": "unheard_of"}, status=400), Misconfigured),
        (Answer(401), Misconfigured),
        (Answer(400, b"<html>"), Retry),
        (Answer(503, b"<html>"), Retry),
        (Answer(429), Retry),
        (Answer(302), Misconfigured),
        (Answer(200, b"{}"), Unknown),
        (Answer(200, b'{"access_token'), Unknown),
    ],
)
def test_answers_without_a_token(service: Service, answer: Answer, kind: type[VendorError]) -> None:
    service.answer = answer
    with pytest.raises(VendorError) as error:
        oauth.refresh(context(service, refresh_token="fake-old"))
    assert type(error.value) is kind and "fake-old" not in str(error.value)


@pytest.mark.parametrize("query", [{"error": "access_denied"}, {"error": "invalid_scope"}, {}, {"code": ""}])
def test_a_callback_without_a_code_exchanges_nothing(service: Service, query: dict[str, str]) -> None:
    with pytest.raises(Reject):
        oauth.exchange(context(service), query=query, redirect_uri="https://c.example/cb/")
    assert service.count("POST") == 0
