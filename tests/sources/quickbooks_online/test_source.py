"""QuickBooks Online as the pipeline sees it."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from collections.abc import Iterator
from decimal import Decimal
from urllib.parse import parse_qsl, urlsplit

import pytest

from connector.kernel.contracts import Account, Context, Record, Secrets
from connector.kernel.errors import Reauthorize, Refresh, Retry
from connector.kernel.events import RECORDS, Money
from sources import SYSTEMS
from sources.quickbooks_online.source import QuickBooksOnline
from sources.quickbooks_online.standin import IntuitStandIn

from . import wire
from .wire import REALM, Api, context, request, sample

api = wire.api

SOURCE = QuickBooksOnline()
RECORDS_THERE = {
    "Bill": "bill_open_department_class",
    "Invoice": "invoice_taxed",
    "Item": "item_inventory",
    "Vendor": "vendor",
}
REDIRECT = "https://connector.example.com/oauth/quickbooks-online/callback/"


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


def opened(intuit: IntuitStandIn) -> Context:
    """A company with four records, connected through the consent page."""
    intuit.add_company(REALM, "Larry's Bakery")
    for kind, name in RECORDS_THERE.items():
        intuit.put(REALM, kind, json.loads(sample(f"entities/{name}.json"))[kind])
    intuit.deactivate(REALM, "Vendor", "30")
    app = {**context(intuit.url).app, "client_id": "fake-client-id", "client_secret": "fake-client-secret"}
    app |= {"authorize_url": f"{intuit.url}/connect/oauth2", "webhook_token": f"next,{intuit.verifier_token}"}
    # The stand-in's tokens live on its clock, which is the machine's.
    ctx = dataclasses.replace(context(intuit.url), app=app, now=lambda: dt.datetime.now(dt.UTC))
    callback = ctx.http.call("GET", SOURCE.authorize_url(ctx, state="fake", redirect_uri=REDIRECT)).headers["location"]
    grant = SOURCE.exchange(ctx, query=dict(parse_qsl(urlsplit(callback).query)), redirect_uri=REDIRECT)
    assert grant.accounts == (Account(REALM, "Larry's Bakery"),)
    return dataclasses.replace(ctx, secrets=grant.secrets)


@pytest.fixture
def books() -> Iterator[IntuitStandIn]:
    with IntuitStandIn() as server:
        yield server
        assert server.violations == []


def test_from_webhook_to_events_and_a_poll_in_few_calls(books: IntuitStandIn) -> None:
    ctx = opened(books)
    changes = [("Bill", "301", "created"), ("Invoice", "130", "updated"), ("Vendor", "30", "deleted")]
    body, headers = books.build_notification([(REALM, *change) for change in changes])
    webhook = request(body, **{name.lower(): value for name, value in headers.items()})
    SOURCE.verify(webhook, ctx.app, None)
    books.calls.clear()

    fetched = [(told, got) for told, got in SOURCE.fetch(ctx, SOURCE.parse(webhook).notices) if isinstance(got, Record)]
    wanted = {ref for _, record in fetched for ref in SOURCE.references(record)}
    found = {(name.kind, name.id): name.name for name in SOURCE.load_names(ctx, wanted)}
    assert found == {
        ("item", "11"): "Pump",
        ("company", "name"): "Larry's Bakery",
        ("company", "home_currency"): "USD",
    }

    def names(kind: str, ref_id: str, fallback: str) -> str:
        return found.get((kind, ref_id), fallback)

    events = [SOURCE.to_event(ctx, told, record, names) for told, record in fetched]
    assert [(event.type, event.record_id, event.amount) for event in events] == [
        ("bill.created", "301", Money(Decimal("1240.5"), "USD")),
        ("invoice.updated", "130", Money(Decimal("362.07"), "USD")),
        ("vendor.deleted", "30", None),
    ]
    (batch,) = SOURCE.poll(ctx, {}, since=ctx.now() - dt.timedelta(hours=1))
    assert {(told.record, told.record_id) for told, _ in batch.records} == {(e.record, e.record_id) for e in events}
    assert [call.path.rsplit("/", 1)[1] for call in books.calls] == [
        "batch", REALM, "preferences", "batch", "cdc",
    ]  # fmt: skip


def test_a_connection_is_renewed_and_ended(books: IntuitStandIn) -> None:
    ctx = opened(books)
    ctx = dataclasses.replace(ctx, secrets=SOURCE.refresh(ctx))
    assert ctx.secrets.hard_expires_at is not None
    assert SOURCE.check(ctx).startswith("Connected to Larry's Bakery")
    SOURCE.revoke(ctx)
    with pytest.raises(Reauthorize):
        SOURCE.refresh(ctx)
    with pytest.raises(Refresh):
        SOURCE.check(ctx)
