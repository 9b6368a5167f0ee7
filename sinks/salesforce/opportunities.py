"""Invoices as Opportunities on the Account of their customer, one for each invoice by external ID.

Read first and written only where they differ; a field that the invoice did not change since it was last told stays as
people left it in Salesforce.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from connector.kernel.contracts import Context, Link, Receipt
from connector.kernel.errors import Misconfigured, NotYet
from connector.kernel.events import FinancialEvent, Ref
from connector.kernel.values import flag, text
from sinks.salesforce import accounts, stages
from sinks.salesforce.fields import (
    ACCOUNT,
    CONTACT,
    OPPORTUNITY,
    ROLE,
    Row,
    fitted,
    id_of,
    invoice_id_field,
    is_same,
    names_in,
    shape_of,
    writable,
)
from sources.salesforce import layout
from sources.salesforce.client import Client
from sources.salesforce.soql import full_id, is_id, literal, select

_ENDED = ("voided", "deleted")
#: Set once products are on it; Salesforce then works the amount out itself.
_HAS_PRODUCTS = "HasOpportunityLineItem"


def post(
    ctx: Context, client: Client, event: FinancialEvent, settings: Mapping[str, Any], link: Link | None
) -> Receipt:
    """Brings the Opportunity, its contact role and the Account's allocation in step with the invoice."""
    names, id_field = names_in(ctx, settings), invoice_id_field(settings)
    shape = shape_of(client, OPPORTUNITY, id_field)
    wanted_fields = ("Name", "Amount", "CloseDate", "StageName", "AccountId", "CurrencyIsoCode", _HAS_PRODUCTS)
    fields = ["Id", *shape.only((*wanted_fields, names.department, names.class_))]
    current = client.find(OPPORTUNITY, id_field, event.record_id, fields)
    base: Mapping[str, Any] = link.state.get("base", {}) if link else {}
    if event.operation in _ENDED and current is None:
        return Receipt(id="", warnings=("nothing to close: this invoice has no Opportunity",))
    account = _account(client, names, event) if event.operation not in _ENDED else None
    stage = stages.choose(client, event, settings, text(current, "StageName"))
    wanted = _wanted(ctx, event, names, account, stage)
    wanted = {field: _cut(shape, field, value) for field, value in wanted.items() if writable(shape, field)}
    if flag(current, _HAS_PRODUCTS):
        wanted.pop("Amount", None)
    body = {field: value for field, value in wanted.items() if _is_written(field, value, current, base)}
    if "StageName" in body:
        stages.require(client, str(body["StageName"]))
    opportunity_id = id_of(current)
    if body or current is None:
        opportunity_id, _ = client.upsert(OPPORTUNITY, id_field, event.record_id, body)
    state: dict[str, Any] = {"base": {**base, **{field: _noted(value) for field, value in wanted.items()}}}
    if account is not None and event.party is not None:
        _allocate(client, names, event, account, base)
        has_role = bool(link and link.state.get("role")) or _has_role(client, names, event.party, opportunity_id)
        state["role"] = has_role
    elif link and "role" in link.state:
        state["role"] = link.state["role"]
    return Receipt(id=opportunity_id, link=Link("invoice", event.record_id, opportunity_id, state))


def _account(client: Client, names: layout.Names, event: FinancialEvent) -> Row | None:
    """The Account of the invoice's customer. Raises `NotYet` while Salesforce does not have it."""
    if event.party is None:
        return None
    account = accounts.find(client, names, event.party.id)
    if account is None:
        missing = NotYet(
            f"the customer {event.party.id} of this invoice is not in Salesforce yet: its Account comes first, by a "
            "route that takes customers",
            code="no_account",
        )
        missing.needs = ("customer", event.party.id)
        raise missing
    return account


def _wanted(
    ctx: Context, event: FinancialEvent, names: layout.Names, account: Row | None, stage: str
) -> dict[str, str | Decimal | dt.date]:
    """What the Opportunity should say. An invoice that counts no more changes its stage alone: the amount stays."""
    if event.operation in _ENDED:
        return {"StageName": stage}
    party = event.party.name if event.party else ""
    wanted: dict[str, str | Decimal | dt.date] = {
        "Name": " - ".join(filter(None, (f"Invoice {event.number or event.record_id}", party))),
        "StageName": stage,
        "CloseDate": event.day or event.due or ctx.now().date(),
    }
    if event.amount is not None:
        wanted["Amount"] = event.amount.amount
        if event.amount.currency:
            wanted["CurrencyIsoCode"] = event.amount.currency
    if account is not None:
        wanted["AccountId"] = id_of(account)
    for field, refs in ((names.department, event.departments), (names.class_, event.classes)):
        if refs:
            wanted[field] = "; ".join(_shown(ref) for ref in refs)
    return wanted


def _cut(shape: Any, field: str, value: str | Decimal | dt.date) -> str | Decimal | dt.date:
    return fitted(shape, field, value) if isinstance(value, str) else value


def _is_written(field: str, value: str | Decimal | dt.date, current: Row | None, base: Mapping[str, Any]) -> bool:
    if current is None:
        return True
    there = current.get(field)
    if field == "AccountId" and is_id(str(there)):
        there = full_id(str(there))
    return not is_same(there, value) and base.get(field) != _noted(value)


def _noted(value: str | Decimal | dt.date) -> str:
    return f"{value.normalize():f}" if isinstance(value, Decimal) else str(value)


def _shown(ref: Ref) -> str:
    return ref.name or ref.id


def _allocate(
    client: Client, names: layout.Names, event: FinancialEvent, account: Row, base: Mapping[str, Any]
) -> None:
    """Department and class on the Account too, where the invoice names one of them and did not before.

    Several have no one value that an order could go by, so the Account keeps what it has.
    """
    shape = client.describe(ACCOUNT)
    body = {}
    for field, refs in ((names.department, event.departments), (names.class_, event.classes)):
        if len(refs) != 1 or not writable(shape, field) or base.get(field) == _shown(refs[0]):
            continue
        value = fitted(shape, field, _shown(refs[0]))
        if not is_same(account.get(field), value):
            body[field] = value
    if body:
        client.update(ACCOUNT, id_of(account), body)


def _has_role(client: Client, names: layout.Names, party: Ref, opportunity_id: str) -> bool:
    """Puts the customer's contact on the Opportunity, as its primary one unless it has another; False without one."""
    try:
        contacts, roles = client.describe(CONTACT), client.describe(ROLE)
    except Misconfigured as error:
        if error.status != 404:
            raise
        return False
    if not contacts.has(names.customer_id) or not roles.can_create:
        return False
    contact = id_of(client.find(CONTACT, names.customer_id, party.id, ["Id"]))
    if not contact:
        return False
    asked = select(("Id", "ContactId", "IsPrimary"), ROLE, f"OpportunityId = {literal(opportunity_id)}")
    there = list(client.query(asked))
    if not _is_among(there, contact):
        is_primary = not any(flag(row, "IsPrimary") for row in there)
        client.create(ROLE, {"OpportunityId": opportunity_id, "ContactId": contact, "IsPrimary": is_primary})
    return True


def _is_among(rows: Sequence[Row], contact: str) -> bool:
    return any(text(row, "ContactId")[:15] == contact[:15] for row in rows)
