"""QuickBooks Online as the pipeline sees it."""

from __future__ import annotations

import dataclasses

import pytest

from connector.kernel.contracts import Secrets
from connector.kernel.errors import Reauthorize, Refresh, Retry
from connector.kernel.events import RECORDS
from sources import SYSTEMS
from sources.quickbooks_online.source import QuickBooksOnline

from . import wire
from .wire import REALM, Api, context, sample

api = wire.api

SOURCE = QuickBooksOnline()


def test_the_system_is_found_by_its_key() -> None:
    assert SYSTEMS["quickbooks_online"] == f"{QuickBooksOnline.__module__}.{QuickBooksOnline.__qualname__}"
    assert (SOURCE.name, SOURCE.label, SOURCE.env_prefix) == (
        "quickbooks_online",
        "QuickBooks Online",
        "QUICKBOOKS_ONLINE",
    )
    assert SOURCE.records <= RECORDS
    assert [setting.name for setting in SOURCE.app_settings if setting.is_secret] == ["client_secret", "webhook_token"]
    assert all(field.is_secret for field in SOURCE.credential_fields)


def test_the_ping_names_the_company_and_its_subscription(api: Api) -> None:
    api.on(f"GET companyinfo/{REALM}", sample("entities/companyinfo.json"))
    assert SOURCE.check(context(api.url)) == "Connected to Larry's Bakery (subscription: paid)"
    api.on("companyinfo", {"CompanyInfo": {}})
    assert SOURCE.check(context(api.url)) == "Connected to a company without a name (subscription: unknown)"
    assert len(api.calls) == 2


def test_a_ping_that_fails_says_why(api: Api) -> None:
    api.on("companyinfo", sample("faults/401_120_authorization_failure.json"), 401)
    with pytest.raises(Reauthorize, match="connect again"):
        SOURCE.check(context(api.url))
    api.on("companyinfo", {"CompanyInfo": {"NameValue": "odd"}})
    with pytest.raises(Retry):
        SOURCE.check(context(api.url))


def test_secrets_show_in_no_text(api: Api) -> None:
    ctx = dataclasses.replace(context(api.url), secrets=Secrets({"access_token": "fake-canary"}))
    api.on("companyinfo", sample("faults/401_3200_token_expired_lowercase.json"), 401)
    with pytest.raises(Refresh) as caught:
        SOURCE.check(ctx)
    assert "canary" not in repr(caught.value) + str(caught.value) + repr(ctx) + repr(ctx.secrets)
