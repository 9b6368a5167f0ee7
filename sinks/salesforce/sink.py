"""Salesforce as a destination: QuickBooks customers become Accounts, invoices become Opportunities."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any, ClassVar

from connector.kernel.contracts import Context, Field, Message, Posting, Receipt, Secrets, Sink, Style
from connector.kernel.errors import Reject, Retry
from connector.kernel.events import FinancialEvent, from_json, to_json
from connector.kernel.values import BadValue
from sinks.salesforce import accounts, opportunities, stages
from sinks.salesforce.fields import (
    ACCOUNT,
    CONTACT,
    INVOICE_ID_FIELD,
    OPPORTUNITY,
    STAGE_PAID,
    STAGE_VOIDED,
    names_in,
    shape_of,
)
from sources.salesforce import check, layout, oauth
from sources.salesforce.client import Client
from sources.salesforce.source import Salesforce


class SalesforceSink(Sink):
    """One org; every record is found by its external ID, so a write may be repeated at will."""

    name: ClassVar[str] = Salesforce.name
    label: ClassVar[str] = Salesforce.label
    env_prefix: ClassVar[str] = Salesforce.env_prefix
    app_settings = Salesforce.app_settings
    credential_fields = Salesforce.credential_fields
    settings_fields = Salesforce.settings_fields
    limits = Salesforce.limits
    refresh_every = Salesforce.refresh_every
    has_targets: ClassVar[bool] = False
    takes: ClassVar[frozenset[str] | None] = frozenset(
        {
            "customer.created", "customer.updated", "customer.merged", "invoice.created", "invoice.updated",
            "invoice.emailed", "invoice.voided", "invoice.deleted",
        }
    )  # fmt: skip
    route_fields: ClassVar[tuple[Field, ...]] = (
        Field(
            "department_field",
            "Field for the department",
            default=layout.CUSTOM["department_field"],
            help="On Account and Opportunity.",
        ),
        Field("class_field", "Field for the class", default=layout.CUSTOM["class_field"], help="On both as well."),
        Field(
            "customer_id_field",
            "Field for the customer's ID",
            default=layout.CUSTOM["customer_id_field"],
            help="An external ID on Account and Contact.",
        ),
        Field(
            "invoice_id_field",
            "Field for the invoice's ID",
            default=INVOICE_ID_FIELD,
            help="An external ID on Opportunity.",
        ),
        Field(
            "stage_open",
            "Stage of an open invoice",
            help="Empty: Proposal/Price Quote, or the org's first open stage where that is not there.",
        ),
        Field("stage_paid", "Stage of a paid invoice", default=STAGE_PAID),
        Field("stage_voided", "Stage of a voided or deleted invoice", default=STAGE_VOIDED),
    )

    def check(self, ctx: Context) -> str:
        return check.check(ctx)

    def can_refresh(self, secrets: Secrets) -> bool:
        return Salesforce().can_refresh(secrets)

    def refresh(self, ctx: Context) -> Secrets:
        return oauth.refresh(ctx)

    def prepare(self, ctx: Context, target: str) -> str:
        """Whether the org has the objects, the external IDs and the stages that are written by default."""
        client, names = Client(ctx), names_in(ctx, {})
        for obj, field in (
            (ACCOUNT, names.customer_id),
            (CONTACT, names.customer_id),
            (OPPORTUNITY, INVOICE_ID_FIELD),
        ):
            shape_of(client, obj, field)
        for label in (STAGE_PAID, STAGE_VOIDED):
            stages.require(client, label)
        return "Accounts, contacts and Opportunities can be written."

    def render(self, event: FinancialEvent, style: Style) -> Message:
        """A sentence for preview and audit; the body is all that `post` needs."""
        return Message(_sentence(event), {"event": to_json(event), "settings": dict(style.settings)})

    def post(self, ctx: Context, posting: Posting) -> Receipt:
        event, settings = _read(posting)
        client = Client(ctx)
        try:
            if event.record == "invoice":
                return opportunities.post(ctx, client, event, settings, posting.link)
            return accounts.post(ctx, client, event, settings, posting)
        except BadValue as error:
            raise Retry(f"Salesforce's record cannot be read: {error}", code="unreadable") from None

    def reconcile(self, ctx: Context, posting: Posting, since: dt.datetime) -> Receipt | None:
        """Always None: every write is found again by its external ID, so it is simply repeated."""
        return None


def _read(posting: Posting) -> tuple[FinancialEvent, Mapping[str, Any]]:
    body = posting.message.body
    try:
        return from_json(FinancialEvent, body["event"]), body["settings"]
    except (KeyError, TypeError, ValueError):
        raise Reject("the message holds no event", code="no_event") from None


def _sentence(event: FinancialEvent) -> str:
    """What the event asks for, in words."""
    party = event.party.name if event.party else ""
    if event.record == "customer":
        return f"Customer {party or event.record_id}: Account in Salesforce"
    what = f"Invoice {event.number or event.record_id}" + (f" of {party}" if party else "")
    if event.operation in ("voided", "deleted"):
        return f"{what}: Opportunity in Salesforce, closed"
    total = f" over {event.amount.amount:,.2f} {event.amount.currency}".rstrip() if event.amount else ""
    return f"{what}{total}: Opportunity in Salesforce"
