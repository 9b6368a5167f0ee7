"""The token: every sample, every refusal, and which hosts are asked."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest

from connector.kernel.contracts import Context, Secrets
from connector.kernel.errors import Misconfigured, Reauthorize, Reject, Retry, Unreachable, VendorError
from connector.kernel.http import Http
from connector.kernel.standin import Answer, json_answer
from sources.salesforce import oauth
from sources.salesforce.errors import NoAnswer
from tests.sources.salesforce.org import KEYS, NOW, SALESFORCE, Service, sample, sent

SAMPLE = sample("token")
LONG = "eyJ." + "x" * 6000 + "!\u00e9"


@pytest.fixture
def service() -> Iterator[Service]:
    with Service() as standin:
        yield standin


def context(service: Service, **secrets: str) -> Context:
    return Context("acme", "", {"instance_url": service.url + "/"}, {}, Secrets(secrets), Http(seconds=5), lambda: NOW)


def token(service: Service, **changes: Any) -> Answer:
    document = {**SAMPLE["ok"]["body"], "instance_url": service.url, **changes}
    return json_answer({key: value for key, value in document.items() if value is not None})


@pytest.mark.parametrize("name", ["ok", "ok_minimal"])
def test_the_samples(service: Service, name: str) -> None:
    service.answers = [sent(SAMPLE[name])]
    secrets = oauth.refresh(context(service, **KEYS, kept="as it was"))
    body = SAMPLE[name]["body"]
    assert secrets.values == {
        **KEYS,
        "kept": "as it was",
        "access_token": body["access_token"],
        "instance_url": body["instance_url"],
        "renewed_at": NOW.isoformat(),
        "org_id": "00DSm0000000001EAA",
        "user_id": "005Sm000000Int1AAA",
    }
    assert secrets.expires_at is None
    asked = service.calls[0]
    assert (asked.method, asked.path, asked.query) == ("POST", "/services/oauth2/token", {})
    assert asked.form() == {"grant_type": "client_credentials", **KEYS}


def test_a_long_token_of_any_characters_is_kept(service: Service) -> None:
    service.answers = [token(service, access_token=LONG, token_format="jwt")]
    assert oauth.refresh(context(service, **KEYS)).get("access_token") == LONG


def test_without_an_identity_the_org_is_asked_for(service: Service) -> None:
    person = {"organization_id": "00DSm0000000001EAA", "user_id": "005Sm000000Int1AAA"}
    service.answers = [token(service, id=None), json_answer(person)]
    secrets = oauth.refresh(context(service, **KEYS))
    assert (secrets.get("org_id"), secrets.get("user_id")) == ("00DSm0000000001EAA", "005Sm000000Int1AAA")
    assert service.calls[1].path == "/services/oauth2/userinfo"
    assert service.calls[1].headers["authorization"] == f"Bearer {SAMPLE['ok']['body']['access_token']}"


#: `error` and a part of the description -> verdict, and a word of what to do.
WANTED: dict[tuple[str, str], tuple[type[VendorError], str]] = {
    ("invalid_client_id", "identifier"): (Reauthorize, "consumer key"),
    ("invalid_client", "credentials"): (Reauthorize, "client secret"),
    ("invalid_grant", "no client credentials user"): (Misconfigured, "Run As"),
    ("invalid_grant", "domain"): (Misconfigured, "My Domain"),
    ("unsupported_grant_type", "grant type"): (Misconfigured, "Enable Client Credentials Flow"),
    ("invalid_app_access", "admin approved"): (Misconfigured, "permission set"),
    ("inactive_user", "inactive"): (Reauthorize, "activate"),
}


@pytest.mark.parametrize("case", SAMPLE["errors"], ids=lambda case: case["meaning"])
@pytest.mark.parametrize("status", [400, 401])
def test_the_documented_refusals(service: Service, case: Any, status: int) -> None:
    kind, words = Retry, "could not answer"
    if isinstance(case["body"], dict):
        error, told = case["body"]["error"], case["body"]["error_description"]
        kind, words = next(row for key, row in WANTED.items() if key[0] == error and key[1] in told)
        case = {**case, "status": status}
    service.answers = [sent(case)]
    with pytest.raises(VendorError) as caught:
        oauth.refresh(context(service, **KEYS))
    assert type(caught.value) is kind
    assert words in caught.value.text
    assert len(service.calls) == 1
    assert KEYS["client_secret"] not in f"{caught.value.text} {caught.value.detail} {caught.value!r}"


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, {"error": "invalid_grant", "error_description": "something new"}, Misconfigured),
        (400, {"error": "inactive_org"}, Misconfigured),
        (400, {"error": "never_heard_of"}, Misconfigured),
        (400, {"error": "server_error"}, Retry),
        (400, {"error": ["no", "text"]}, Retry),
        (400, "<html>", Retry),
        (429, {"error": "invalid_client"}, Retry),
        (500, {"error": "invalid_client"}, Retry),
        (302, "", Misconfigured),
        (200, "<html>", Retry),
        (200, {}, Retry),
        (200, {"access_token": ["no text"]}, Retry),
    ],
)
def test_other_answers(service: Service, status: int, body: Any, kind: type[VendorError]) -> None:
    service.answers = [sent({"status": status, "body": body})]
    with pytest.raises(VendorError) as caught:
        oauth.refresh(context(service, **KEYS))
    assert type(caught.value) is kind


@pytest.mark.parametrize("kind", ["cut_after", "cut_before", "truncate"])
def test_a_lost_answer_costs_nothing(service: Service, kind: str) -> None:
    service.answers = [token(service)]
    service.fail("POST /services/oauth2/token", kind)
    with pytest.raises(NoAnswer):
        oauth.refresh(context(service, **KEYS))
    assert oauth.refresh(context(service, **KEYS)).get("access_token")


def test_a_host_that_is_not_there_is_named_with_the_setting() -> None:
    ctx = Context("acme", "", {"instance_url": "http://127.0.0.1:1"}, {}, Secrets(KEYS), Http(seconds=2), lambda: NOW)
    with pytest.raises(Unreachable, match="check instance_url"):
        oauth.refresh(ctx)


@pytest.mark.parametrize(
    "url",
    [
        "", "acme", "https://login.salesforce.com", "https://TEST.salesforce.com/", "https://acme.lightning.force.com/x",
        "https://acme.salesforce-setup.com", "http://acme.my.salesforce.com", "https://a:b@acme.my.salesforce.com",
        "ftp://127.0.0.1",
    ],
)  # fmt: skip
def test_wrong_hosts_are_refused_before_a_secret_is_sent(service: Service, url: str) -> None:
    ctx = dataclasses.replace(context(service, **KEYS), settings={"instance_url": url})
    with pytest.raises(Misconfigured):
        oauth.refresh(ctx)
    assert not service.calls


def test_the_address_is_scheme_and_host() -> None:
    assert (
        oauth.base_of({"instance_url": " https://acme.my.salesforce.com/home?x=1 "}) == "https://acme.my.salesforce.com"
    )


def test_without_keys_nothing_is_asked(service: Service) -> None:
    assert SALESFORCE.can_refresh(Secrets(KEYS))
    for keys in ({}, {"client_id": "fake"}, {"client_secret": "fake"}):
        assert not SALESFORCE.can_refresh(Secrets(keys))
        with pytest.raises(Reauthorize):
            oauth.refresh(context(service, **keys))
    assert not service.calls


def test_a_session_can_be_ended(service: Service) -> None:
    service.answers = [Answer(200)]
    oauth.revoke(context(service, access_token="fake-token"))
    assert service.calls[0].form() == {"token": "fake-token"}
    with pytest.raises(Reject):
        oauth.revoke(context(service))
