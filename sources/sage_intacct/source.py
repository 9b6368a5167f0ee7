"""Sage Intacct as a source: reports of what was posted and paid, read from the XML gateway by schedule."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from typing import Any

from connector.kernel.contracts import (
    AppSetting,
    Context,
    Field,
    Names,
    Notice,
    Parsed,
    Record,
    Reported,
    Reporter,
    Request,
    Secrets,
)
from connector.kernel.events import FinancialEvent
from sources.sage_intacct import checking, client, mapping, reports, session, trigger


class SageIntacct(Reporter):
    """One company of Intacct per connection; its account is the company ID. Everything is read, nothing written."""

    name = "sage_intacct"
    label = "Sage Intacct"
    env_prefix = "INTACCT"
    app_settings = (
        AppSetting("sender_id"),
        AppSetting("sender_password", is_secret=True),
        AppSetting("gateway_url", default=client.GATEWAY_URL, is_url=True),
    )
    credential_fields = (
        Field("user_id", "User ID", is_required=True, help="A Web Services user of the company."),
        Field("user_password", "User password", is_secret=True, is_required=True),
        Field("sender_id", "Sender ID", help="The Web Services sender; empty: the installation's own."),
        Field("sender_password", "Sender password", is_secret=True),
        Field("trigger_secret", "Trigger secret", is_secret=True, help="Signs calls that ask to be read now."),
    )
    settings_fields = (
        Field("entity", "Entity", help="Entity ID to sign in to; empty: the top level, which sees all."),
        Field(
            "monthly_allowance",
            "Transactions a month",
            default=100000,
            help="What the company's performance tier includes; people are warned before it is used up. 0: no limit.",
        ),
        Field("lookback_hours", "First look back", default=24, help="Hours that the first reading goes back."),
        Field(
            "tell_empty_runs",
            "Tell empty runs",
            default="no",
            choices=("no", "yes"),
            help="Whether a report that found nothing new says so.",
        ),
        Field(
            "session_minutes",
            "Session",
            default=session.SESSION_MINUTES,
            help="Minutes that a session lives at most; it is renewed 5 minutes before. Intacct may end it earlier.",
        ),
        Field(
            "balance_tolerance",
            "Balance tolerance",
            default="0",
            help="The largest difference of debits and credits that is no alarm, in the base currency.",
        ),
    )
    patience = 8
    metered = "transactions"
    can_reread = False
    reports = reports.REPORTS
    records = frozenset({"gl_posting", "payment_batch", "payment", "vendor"})

    def check(self, ctx: Context) -> str:
        return checking.check(ctx)

    def can_refresh(self, secrets: Secrets) -> bool:
        return session.can_open(secrets)

    def refresh(self, ctx: Context) -> Secrets:
        return session.opened(ctx)

    def verify(self, request: Request, app: Mapping[str, str], secrets: Secrets | None) -> None:
        trigger.verify(request, secrets)

    def parse(self, request: Request) -> Parsed:
        return trigger.parse(request)

    def report(
        self, ctx: Context, cursors: Mapping[str, Mapping[str, Any]], *, since: dt.datetime | None = None
    ) -> Iterator[Reported]:
        return reports.report(ctx, cursors, since)

    def to_event(self, ctx: Context, notice: Notice, record: Record, names: Names) -> FinancialEvent:
        return mapping.to_event(record, notice, names, timezone=ctx.timezone, entity=client.entity_of(ctx))
