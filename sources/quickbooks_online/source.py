"""QuickBooks Online as a source: webhooks and change data capture in, financial events out."""

from __future__ import annotations

import datetime as dt
import zoneinfo
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from connector.kernel.contracts import (
    AppSetting,
    Batch,
    Context,
    Field,
    Grant,
    Name,
    Names,
    Notice,
    Parsed,
    Record,
    Request,
    Secrets,
    Source,
)
from connector.kernel.errors import Retry
from connector.kernel.events import FinancialEvent, Ref
from connector.kernel.values import BadValue, rows, text
from sources.quickbooks_online import client, fetch, mapping, names, oauth, poll, webhook
from sources.quickbooks_online.entities import BY_RECORD

APP_URL = "https://app.qbo.intuit.com/app/"


class QuickBooksOnline(Source):
    """One company of QuickBooks Online per connection; its account is the realm ID."""

    name = "quickbooks_online"
    label = "QuickBooks Online"
    env_prefix = "QUICKBOOKS_ONLINE"
    app_settings = (
        AppSetting("client_id"),
        AppSetting("client_secret", is_secret=True),
        AppSetting("webhook_token", is_secret=True),
        AppSetting("api_url", default=client.API_URL, is_url=True),
        AppSetting("oauth_url", is_url=True),
        AppSetting("authorize_url", default=oauth.AUTHORIZE_URL, is_url=True),
        AppSetting("app_url", default=APP_URL, is_url=True),
    )
    credential_fields = (
        Field("access_token", "Access token", is_secret=True, help="Lives an hour; renewed by itself."),
        Field("refresh_token", "Refresh token", is_secret=True, help="Changes every day; always the latest is kept."),
    )
    #: Of the vendor's 10 a second and 500 a minute per company, and 40 batches a minute, with room for others.
    limits = (("call", 5, 1.0), ("call", 450, 60.0), ("batch", 36, 60.0))
    settings_fields = (
        Field(
            "monthly_allowance",
            "Calls a month",
            default=500000,
            help="What the app's tier at Intuit includes; people are warned before it is used up. 0: no limit.",
        ),
    )
    refresh_margin = 300
    #: Daily, used or not, so that rotation and the end of an authorization are noticed without traffic.
    refresh_every = 86400
    records = frozenset(BY_RECORD)

    def check(self, ctx: Context) -> str:
        company = client.Client(ctx).read("CompanyInfo", ctx.account)
        try:
            marks = {text(mark, "Name"): text(mark, "Value") for mark in rows(company, "NameValue")}
            name = text(company, "CompanyName") or "a company without a name"
            return f"Connected to {name} (subscription: {marks.get('SubscriptionStatus', '').lower() or 'unknown'})"
        except BadValue:
            raise Retry("QuickBooks Online describes the company in a way that cannot be read") from None

    def can_refresh(self, secrets: Secrets) -> bool:
        return bool(secrets.get("refresh_token"))

    def refresh(self, ctx: Context) -> Secrets:
        return oauth.refresh(ctx)

    def revoke(self, ctx: Context) -> None:
        oauth.revoke(ctx)

    def authorize_url(self, ctx: Context, *, state: str, redirect_uri: str) -> str:
        return oauth.authorize_url(ctx, state=state, redirect_uri=redirect_uri)

    def exchange(self, ctx: Context, *, query: Mapping[str, str], redirect_uri: str) -> Grant:
        return oauth.exchange(ctx, query=query, redirect_uri=redirect_uri)

    def verify(self, request: Request, app: Mapping[str, str], secrets: Secrets | None) -> None:
        webhook.verify(request, app.get("webhook_token", ""))

    def parse(self, request: Request) -> Parsed:
        return webhook.parse(request)

    def poll(self, ctx: Context, cursor: Mapping[str, Any], *, since: dt.datetime | None = None) -> Iterator[Batch]:
        return poll.poll(ctx, cursor, since)

    def fetch(self, ctx: Context, notices: Sequence[Notice]) -> Iterator[tuple[Notice, Record | Exception]]:
        return fetch.fetch(client.Client(ctx), notices)

    def references(self, record: Record) -> Iterable[Ref]:
        return mapping.references(record)

    def load_names(self, ctx: Context, wanted: Iterable[Ref]) -> Iterator[Name]:
        return names.load(client.Client(ctx), wanted)

    def to_event(self, ctx: Context, notice: Notice, record: Record, names: Names) -> FinancialEvent:
        app_url = ctx.app.get("app_url") or APP_URL
        return mapping.to_event(record, notice, names, today=_today(ctx), app_url=app_url)


def _today(ctx: Context) -> dt.date:
    """The day it is where the organization is."""
    try:
        zone: dt.tzinfo = zoneinfo.ZoneInfo(ctx.timezone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError):
        zone = dt.UTC
    return ctx.now().astimezone(zone).date()
