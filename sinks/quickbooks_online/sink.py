"""QuickBooks Online as a destination: Salesforce Orders become journal entries, Accounts become customers."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from connector.kernel.contracts import Context, Field, Message, Posting, Receipt, Secrets, Sink, Style
from connector.kernel.errors import Reject, Retry
from connector.kernel.events import FinancialEvent, from_json, to_json
from connector.kernel.values import BadValue
from sinks.quickbooks_online import customers, orders
from sources.quickbooks_online import oauth
from sources.quickbooks_online.client import Client
from sources.quickbooks_online.source import QuickBooksOnline


class QuickBooksOnlineSink(Sink):
    """One company of QuickBooks Online; posted entries are never edited, what no longer holds is reversed."""

    name: ClassVar[str] = QuickBooksOnline.name
    label: ClassVar[str] = QuickBooksOnline.label
    env_prefix: ClassVar[str] = QuickBooksOnline.env_prefix
    app_settings = QuickBooksOnline.app_settings
    credential_fields = QuickBooksOnline.credential_fields
    settings_fields = QuickBooksOnline.settings_fields
    limits = QuickBooksOnline.limits
    refresh_margin = QuickBooksOnline.refresh_margin
    refresh_every = QuickBooksOnline.refresh_every
    has_targets: ClassVar[bool] = False
    takes: ClassVar[frozenset[str] | None] = frozenset(
        {
            "order.created", "order.updated", "order.voided", "order.deleted", "customer.created", "customer.updated",
        }
    )  # fmt: skip
    route_fields: ClassVar[tuple[Field, ...]] = (
        Field(
            "debit_account",
            "Debit account",
            help="ID of the account that balances an order's entry; a clearing account, or revenue is counted twice "
            "where the sale is invoiced in QuickBooks too. Required for orders.",
        ),
        Field("credit_account", "Credit account", help="ID of the account for every line; empty: the item's income."),
        Field(
            "create_customers",
            "Customers to create",
            default=customers.ALL,
            choices=(customers.ALL, customers.BY_TYPE, customers.ON_ORDER),
            help="all: every new Account; type_customer: those of the type Customer; first_order: with an order.",
        ),
        Field(
            "department_field", "Department field", default="QBO_Department__c", help="On OrderItem, Order, Account."
        ),
        Field("class_field", "Class field", default="QBO_Class__c", help="On OrderItem, Order and Account."),
        Field("customer_id_field", "Customer ID field", default="QBO_Customer_Id__c", help="On Account."),
        Field("journal_entry_id_field", "Journal entry ID field", default="QBO_JournalEntry_Id__c", help="On Order."),
    )

    def route_problems(self, events: frozenset[str], settings: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
        if not settings.get("debit_account") and any(each.startswith("order.") for each in events):
            yield "debit_account", "debit_account is missing: name the account that balances an order's journal entry"

    def check(self, ctx: Context) -> str:
        return QuickBooksOnline().check(ctx)

    def can_refresh(self, secrets: Secrets) -> bool:
        return QuickBooksOnline().can_refresh(secrets)

    def refresh(self, ctx: Context) -> Secrets:
        return oauth.refresh(ctx)

    def render(self, event: FinancialEvent, style: Style) -> Message:
        """A sentence for preview and audit; the body is all that `post` needs."""
        return Message(_sentence(event), {"event": to_json(event), "settings": dict(style.settings)})

    def post(self, ctx: Context, posting: Posting) -> Receipt:
        event, settings = _read(posting)
        client = Client(ctx)
        try:
            if event.record == "order":
                return orders.post(ctx, client, event, settings, posting.link)
            return customers.post(ctx, client, customers.Asked(event, settings, posting.link, posting.asked_at))
        except BadValue as error:
            raise Retry(f"QuickBooks Online's record cannot be read: {error}", code="unreadable") from None

    def reconcile(self, ctx: Context, posting: Posting, since: dt.datetime) -> Receipt | None:
        """Looks the entry up by its number, the customer by its name and mark.

        An update that cannot be told from none is None: to post it again writes only what is still missing.
        """
        if not posting.message.body:
            return None
        event, settings = _read(posting)
        client = Client(ctx)
        try:
            if event.record == "order":
                order = orders.look(client, event, settings, posting.link)
                return orders.receipt(order) if order.is_in_step() else None
            return customers.look(client, customers.Asked(event, settings, posting.link))
        except BadValue as error:
            raise Retry(f"QuickBooks Online's record cannot be read: {error}", code="unreadable") from None


def _read(posting: Posting) -> tuple[FinancialEvent, Mapping[str, Any]]:
    body = posting.message.body
    try:
        return from_json(FinancialEvent, body["event"]), body["settings"]
    except (KeyError, TypeError, ValueError):
        raise Reject("the message holds no event", code="no_event") from None


def _sentence(event: FinancialEvent) -> str:
    """What the event asks for, in words."""
    if event.record == "customer":
        name = (event.profile.name if event.profile else "") or (event.party.name if event.party else "")
        return f"Account {name or event.record_id}: customer in QuickBooks Online"
    what = f"Order {event.number or event.record_id}"
    if event.party and event.party.name:
        what += f" of {event.party.name}"
    if event.operation in ("voided", "deleted"):
        return f"{what}: reversing entry in QuickBooks Online"
    total = f" over {event.amount.amount:,.2f} {event.amount.currency}".rstrip() if event.amount else ""
    return f"{what}{total}: journal entry in QuickBooks Online"
