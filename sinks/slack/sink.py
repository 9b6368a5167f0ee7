"""Slack as a place where events are told."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import ClassVar

from connector.kernel.contracts import (
    AppSetting,
    Context,
    Field,
    Grant,
    Message,
    Parsed,
    Posting,
    Receipt,
    Request,
    Secrets,
    Sink,
    Style,
)
from connector.kernel.events import FinancialEvent
from sinks.slack import channels, client, digest, inbound, layout, oauth, readback, sending, workspace


class Slack(Sink):
    """Messages by chat.postMessage with a bot token; one second apart in each channel."""

    name: ClassVar[str] = "slack"
    label: ClassVar[str] = "Slack"
    env_prefix: ClassVar[str] = "SLACK"
    app_settings: ClassVar[tuple[AppSetting, ...]] = (
        AppSetting("client_id"),
        AppSetting("client_secret", is_secret=True),
        AppSetting("signing_secret", is_secret=True),
        AppSetting("api_url", default=client.API_URL, is_url=True),
        AppSetting("authorize_url", default=oauth.AUTHORIZE_URL, is_url=True),
    )
    credential_fields: ClassVar[tuple[Field, ...]] = (
        Field(
            "bot_token",
            "Bot token",
            is_secret=True,
            is_required=True,
            help="Starts with xoxb-; under OAuth & Permissions in the Slack app's settings.",
        ),
        Field(
            "signing_secret",
            "Signing secret",
            is_secret=True,
            help="Only where this workspace has a Slack app of its own; else SLACK_SIGNING_SECRET is used.",
        ),
        Field(
            "refresh_token",
            "Refresh token",
            is_secret=True,
            help="Only where token rotation is switched on for the Slack app.",
        ),
    )
    settings_fields: ClassVar[tuple[Field, ...]] = (
        Field(
            "when_unreadable",
            "When an uncertain message cannot be looked up",
            default="park",
            choices=("park", "repost"),
            help="park: wait for a person; repost: send it again with a visible note.",
        ),
    )
    is_paced: ClassVar[bool] = True
    #: A rotating token lives 12 hours, and at most two are alive at once: renewed with two hours left.
    refresh_margin: ClassVar[int] = 7200

    def check(self, ctx: Context) -> str:
        return workspace.check(ctx)

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
        inbound.verify(request, app, secrets)

    def parse(self, request: Request) -> Parsed:
        return inbound.parse(request)

    def render(self, event: FinancialEvent, style: Style) -> Message:
        return layout.render(event, style)

    def render_digest(self, events: Sequence[tuple[FinancialEvent, Style]]) -> Message:
        return digest.render_digest(events)

    def post(self, ctx: Context, posting: Posting) -> Receipt:
        return sending.post(ctx, posting)

    def reconcile(self, ctx: Context, posting: Posting, since: dt.datetime) -> Receipt | None:
        return readback.reconcile(ctx, posting, since)

    def prepare(self, ctx: Context, target: str) -> str:
        return channels.prepare(ctx, target)
