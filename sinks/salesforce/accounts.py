"""Customers as Accounts, each with its contact: found by link, mark or external ID, written only where they differ."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from connector.kernel.contracts import Context, Link, Notice, Posting, Receipt
from connector.kernel.errors import Refuse
from connector.kernel.events import FinancialEvent, Profile
from connector.kernel.values import text
from sinks import agreement
from sinks.salesforce.fields import ACCOUNT, CONTACT, Row, fitted, id_of, names_in, shape_of, writable
from sources.salesforce import layout, mapping
from sources.salesforce.client import Client
from sources.salesforce.describe import ObjectShape
from sources.salesforce.documents import children, record_of
from sources.salesforce.errors import Duplicate
from sources.salesforce.soql import full_id, is_id, literal, select

SOURCE, SINK = "quickbooks_online", "salesforce"
_NAMES = ("given_name", "family_name")
PERSON = (*_NAMES, "email")
_ADDRESS = {"street": "BillingStreet", "city": "BillingCity", "postal_code": "BillingPostalCode"}
_FIELDS = {"name": "Name", "phone": "Phone", "region": "BillingState", "country": "BillingCountry", **_ADDRESS}
_CONTACT = {"given_name": "FirstName", "family_name": "LastName", "email": "Email"}
#: A person account is its own contact; its name is made of these.
_PERSON_ACCOUNT = {"given_name": "FirstName", "family_name": "LastName", "email": "PersonEmail"}
#: There where the org keeps states and countries as lists: these are written instead of the texts.
_CODES = {"region": "BillingStateCode", "country": "BillingCountryCode"}


@dataclasses.dataclass(frozen=True, slots=True)
class Asked:
    """One event of a customer, and what is known of it: its link, when it was asked for, the org's fields."""

    ctx: Context
    client: Client
    event: FinancialEvent
    posting: Posting
    names: layout.Names
    shape: ObjectShape

    @property
    def link(self) -> Link | None:
        return self.posting.link

    @property
    def state(self) -> Mapping[str, Any]:
        return self.link.state if self.link else {}

    @property
    def told(self) -> dict[str, str]:
        return _told(self.event.profile or Profile(name=self.event.party.name if self.event.party else ""))


def post(ctx: Context, client: Client, event: FinancialEvent, settings: Mapping[str, Any], posting: Posting) -> Receipt:
    """Brings Account and contact in step with the customer."""
    names = names_in(ctx, settings)
    asked = Asked(ctx, client, event, posting, names, shape_of(client, ACCOUNT, names.customer_id))
    row, born = _find(asked)
    account_id, state = _created(asked) if row is None else _kept(asked, row, born)
    return Receipt(id=account_id, link=Link("customer", event.record_id, account_id, state))


def find(client: Client, names: layout.Names, customer_id: str) -> Row | None:
    """The Account of a customer by its external ID, with its allocation."""
    shape = client.describe(ACCOUNT)
    fields = ["Id", *shape.only((names.department, names.class_))]
    return client.find(ACCOUNT, names.customer_id, customer_id, fields)


def _told(profile: Profile) -> dict[str, str]:
    """What the customer tells, as an Account with one contact can hold it."""
    values = agreement.values_of(profile)
    values["email"] = re.split(r"[,;]", values["email"])[0].strip()  # QuickBooks takes several in one
    if not values["family_name"] and (values["given_name"] or values["email"]):
        # A contact needs a last name.
        values["family_name"], values["given_name"] = values["given_name"] or values["name"], ""
    if not values["family_name"]:
        del values["family_name"]  # and its last name cannot be cleared
    return values


def _find(asked: Asked) -> tuple[Row | None, str]:
    """The customer's Account and the system in which it was first; None where it has to be made."""
    event, names = asked.event, asked.names
    for linked in dict.fromkeys((asked.link.sink_id if asked.link else "", event.linked_id)):
        row = _linked(asked, linked) if is_id(linked) else None
        if row is not None and text(row, names.customer_id) in ("", event.record_id):
            return row, SINK
    rows = _rows(asked, f"{names.customer_id} = {literal(event.record_id)}")
    if len(rows) > 1:
        raise Refuse([f"several Accounts have the QuickBooks ID {event.record_id}: {_ids(rows)}; leave it on one"])
    if rows:
        return rows[0], SOURCE
    if asked.link and asked.link.sink_id:
        reason = (
            f"the Account {asked.link.sink_id} of this customer is not there any more: take it out of Salesforce's bin"
        )
        raise Refuse([reason], code="ENTITY_IS_DELETED")
    return _namesake(asked), SINK


def _linked(asked: Asked, account_id: str) -> Row | None:
    """The Account with that ID, or the one that it was merged into."""
    rows = _rows(asked, f"Id = {literal(full_id(account_id))}")
    if rows:
        return rows[0]
    if not asked.shape.has("MasterRecordId"):
        return None
    gone = select(("Id", "MasterRecordId"), ACCOUNT, f"Id = {literal(full_id(account_id))}")
    winners = [text(row, "MasterRecordId") for row in asked.client.query(gone, with_deleted=True)]
    found = [row for winner in winners if is_id(winner) for row in _rows(asked, f"Id = {literal(full_id(winner))}")]
    return found[0] if found else None


def _namesake(asked: Asked) -> Row | None:
    """The one Account of that name that belongs to nobody yet, where something besides the name agrees."""
    told = asked.told
    rows = _rows(asked, f"Name = {literal(told['name'])} AND {asked.names.customer_id} = null") if told["name"] else []
    alike = [row for row in rows if _is_clearly_same(told, agreement.values_of(_profile(row, asked.names)))]
    return alike[0] if len(alike) == 1 else None


def _is_clearly_same(told: Mapping[str, str], there: Mapping[str, str]) -> bool:
    def agree(*fields: str) -> bool:
        return all(told[each] and there[each] and agreement.is_same(each, told[each], there[each]) for each in fields)

    return agree("email") or agree("phone") or agree("street", "postal_code")


def _rows(asked: Asked, condition: str) -> list[Row]:
    fields = layout.account_fields(asked.client, asked.names)
    return list(asked.client.query(select(fields, ACCOUNT, condition)))


def _ids(rows: list[Row]) -> str:
    return ", ".join(id_of(row) for row in rows)


def _profile(row: Row, names: layout.Names) -> Profile:
    """The Account's profile, read as the source reads it: what is agreed on must mean the same in both directions."""
    event = mapping.to_event(Notice(account=""), record_of("customer", row), names, base="", currency="")
    return event.profile or Profile()


def _created(asked: Asked) -> tuple[str, dict[str, Any]]:
    told, shape = asked.told, asked.shape
    is_person = not writable(shape, "Name")
    body = _account_body(asked, {field: value for field, value in told.items() if value}, is_person=is_person)
    if is_person:
        body.setdefault("LastName", fitted(shape, "LastName", told["name"]))
    profile = asked.event.profile
    if profile and profile.currency and writable(shape, "CurrencyIsoCode"):
        body["CurrencyIsoCode"] = profile.currency
    try:
        account_id, _ = asked.client.upsert(ACCOUNT, asked.names.customer_id, asked.event.record_id, body)
    except Duplicate as error:
        others = f" ({', '.join(error.record_ids)})" if error.record_ids else ""
        reason = f"{error.text}: put the QuickBooks ID {asked.event.record_id} on that record{others}, or merge it"
        raise Refuse([reason], code=error.code, status=error.status, detail=error.detail) from None
    told = {field: value for field, value in told.items() if _holds(asked, field)}
    shown = {field: _shown(shape, field, value) for field, value in told.items()}
    if not is_person and (person := {field: told[field] for field in PERSON if told.get(field)}):
        _write_contact(asked, account_id, None, person)
    return account_id, agreement.first(SOURCE, SINK, told, shown | _listed(asked, account_id, body))


def _kept(asked: Asked, row: Row, born: str) -> tuple[str, dict[str, Any]]:
    """Writes what the customer changed since both sides last agreed."""
    account_id, told = id_of(row), asked.told
    first = next(iter(children(row, "Contacts")), None)
    is_person = bool(text(row, "LastName"))
    contact = None if is_person else _contact(asked, first)
    # The source tells an Account's first contact: only if ours is that one do both directions speak of the same.
    is_told_back = is_person or first is None or id_of(contact) == id_of(first)
    found = agreement.values_of(_profile(row, asked.names))
    held = {field: found[field] for field in found if (field not in PERSON or is_told_back) and _holds(asked, field)}
    state = asked.state or {"born": born}
    meeting = agreement.Meeting(SOURCE, SINK, told, held, state, asked.posting.asked_at)
    writes = meeting.writes()
    body = _account_body(asked, writes, is_person=is_person)
    if not text(row, asked.names.customer_id):
        body[asked.names.customer_id] = asked.event.record_id
    if body:
        asked.client.update(ACCOUNT, account_id, body)
    shown = held | {field: _shown(asked.shape, field, value) for field, value in writes.items()}
    agreed = meeting.agreed(shown | _listed(asked, account_id, body), asked.ctx.now())
    if is_told_back:
        person = {field: writes[field] for field in PERSON if field in writes}
        if not is_person and (person or (contact is not None and not _is_ours(asked, contact))):
            _write_contact(asked, account_id, contact, person)
        return account_id, agreed
    return account_id, {**agreed, "contact": _own_contact(asked, account_id, contact)}


def _own_contact(asked: Asked, account_id: str, contact: Row | None) -> Mapping[str, Any]:
    """Keeps a contact of ours beside the Account's first one, of which nobody tells back."""
    told = {field: value for field, value in asked.told.items() if field in PERSON}
    found = {field: text(contact, key) for field, key in _CONTACT.items()}
    state = asked.state.get("contact") or {"born": SOURCE}
    meeting = agreement.Meeting(SOURCE, SINK, told, found, state, asked.posting.asked_at)
    if writes := meeting.writes():
        _write_contact(asked, account_id, contact, writes)
    return meeting.agreed(found | writes, asked.ctx.now())


def _contact(asked: Asked, first: Row | None) -> Row | None:
    """The customer's contact: by external ID, else the Account's first one where it is the same person."""
    if not any(asked.told.get(field) for field in PERSON) and first is None:
        return None
    shape = asked.client.describe(CONTACT)
    if not shape.has(asked.names.customer_id):
        return None
    fields = ["Id", *_CONTACT.values(), asked.names.customer_id]
    found = asked.client.find(CONTACT, asked.names.customer_id, asked.event.record_id, fields)
    if found is not None or first is None:
        return found
    told, there = asked.told, {field: text(first, key) for field, key in _CONTACT.items()}
    is_named_so = all(agreement.is_same(each, told.get(each, ""), there[each]) for each in _NAMES)
    is_same_person = bool(told["email"]) and agreement.is_same("email", told["email"], there["email"])
    return first if is_same_person or is_named_so else None


def _is_ours(asked: Asked, contact: Row) -> bool:
    return text(contact, asked.names.customer_id) == asked.event.record_id


def _write_contact(asked: Asked, account_id: str, contact: Row | None, values: Mapping[str, str]) -> None:
    """Writes the contact, which is made where there is none, and marked where it is not ours yet."""
    names, shape = asked.names, shape_of(asked.client, CONTACT, asked.names.customer_id)
    body: dict[str, Any] = {
        _CONTACT[field]: fitted(shape, _CONTACT[field], value) or None
        for field, value in values.items()
        if writable(shape, _CONTACT[field])
    }
    if contact is None:
        told = asked.told
        body.setdefault("LastName", fitted(shape, "LastName", told.get("family_name") or told["name"]))
        body["AccountId"] = account_id
        asked.client.upsert(CONTACT, names.customer_id, asked.event.record_id, body)
        return
    if not _is_ours(asked, contact):
        body[names.customer_id] = asked.event.record_id
    if body:
        asked.client.update(CONTACT, id_of(contact), body)


def _holds(asked: Asked, field: str) -> bool:
    """Whether the org can hold what the customer tells in this field."""
    return field in PERSON or field == "name" or bool(_key(asked, field))


def _key(asked: Asked, field: str) -> str:
    """The field of the Account that takes what the customer tells; empty for none.

    Where the org keeps countries and states as lists, their codes are written, and a state only with its country.
    """
    if field in _CODES and asked.shape.has(_CODES["country"]):
        country = agreement.country_code(asked.told["country"])
        if not country and asked.told[field]:
            return ""
        is_code = field == "country" or len(asked.told[field]) <= 3
        key = _CODES[field] if is_code else _FIELDS[field]
    else:
        key = _FIELDS[field]
    return key if writable(asked.shape, key) else ""


def _account_body(asked: Asked, values: Mapping[str, str], *, is_person: bool) -> dict[str, Any]:
    """The Account's fields for these values; an empty one clears."""
    body: dict[str, Any] = {}
    for field, value in values.items():
        if field in PERSON or (field == "name" and is_person):
            key = _PERSON_ACCOUNT.get(field, "") if is_person else ""
        else:
            key = _key(asked, field)
        if key == _CODES["country"]:
            value = agreement.country_code(value)
        if key and writable(asked.shape, key):
            body[key] = fitted(asked.shape, key, value) or None
    return body


def _shown(shape: ObjectShape, field: str, value: str) -> str:
    key = _FIELDS.get(field)
    return fitted(shape, key, value) if key else value


def _listed(asked: Asked, account_id: str, body: Mapping[str, Any]) -> dict[str, str]:
    """State and country as the org then shows them, where it keeps them as lists."""
    if not any(key in body for key in _CODES.values()):
        return {}
    row = asked.client.get(ACCOUNT, account_id, [_FIELDS[field] for field in _CODES])
    return {field: text(row, _FIELDS[field]) for field in _CODES}
