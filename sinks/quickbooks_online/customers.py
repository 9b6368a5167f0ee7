"""Salesforce Accounts as customers: checked, found by link, mark or name, made once, and kept in step field by field.

A customer that was made here carries the Account's ID in its notes, so that a lost answer leaves no second one.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from connector.kernel.contracts import Context, Feedback, Link, Receipt
from connector.kernel.errors import Refuse, Reject, Retry
from connector.kernel.events import FinancialEvent, Profile, Ref
from connector.kernel.values import BadValue, flag, text
from sinks import agreement
from sinks.quickbooks_online.writing import STALE, TAKEN_NAME, encode, found, request_id, where, write
from sources.quickbooks_online.client import Client, Row
from sources.quickbooks_online.documents import identifier
from sources.quickbooks_online.errors import Gone
from sources.quickbooks_online.profiles import STREET_LINES, account_note, noted_account, profile_of

SOURCE, SINK = "salesforce", "quickbooks_online"
ALL, BY_TYPE, ON_ORDER = "all", "type_customer", "first_order"
NAME_LENGTH = 500
#: Tries to write on a fresh reading before somebody else's changes are given time to end.
_TRIES = 3
#: What Salesforce knows of a person only where the Account has a contact: empty says nothing.
_SILENT = ("given_name", "family_name", "email")
_PLAIN = {"name": "DisplayName", "given_name": "GivenName", "family_name": "FamilyName"}
_NESTED = {"email": ("PrimaryEmailAddr", "Address"), "phone": ("PrimaryPhone", "FreeFormNumber")}
_ADDRESS = {"city": "City", "region": "CountrySubDivisionCode", "postal_code": "PostalCode", "country": "Country"}


@dataclasses.dataclass(frozen=True, slots=True)
class Asked:
    """One event of an Account, and what is known of it: the route's settings, its link, when it was asked for."""

    event: FinancialEvent
    settings: Mapping[str, Any]
    link: Link | None
    asked_at: dt.datetime | None = None

    @property
    def profile(self) -> Profile:
        return self.event.profile or Profile(name=self.event.party.name if self.event.party else "")

    @property
    def known_id(self) -> str:
        """The customer that the Account, or else the link, names."""
        return self.event.linked_id or (self.link.sink_id if self.link else "")

    def receipt(self, customer_id: str, state: Mapping[str, Any], *warnings: str) -> Receipt:
        link = Link("customer", self.event.record_id, customer_id, state)
        if self.event.linked_id == customer_id:
            return Receipt(id=customer_id, warnings=warnings, link=link)
        told = f"customer {customer_id} in QuickBooks"
        feedback = Feedback("customer", self.event.record_id, "created", customer_id, told, dict(self.settings))
        return Receipt(id=customer_id, warnings=warnings, link=link, feedback=(feedback,))

    def made(self, row: Row) -> Receipt:
        """The receipt of a customer that was made from the Account."""
        shown = agreement.values_of(profile_of(row))
        return self.receipt(identifier(row, "Id"), agreement.first(SOURCE, SINK, _told(self.profile), shown))


def post(ctx: Context, client: Client, asked: Asked) -> Receipt:
    """Brings the customer in step with the Account; makes it where the route says so."""
    if known := asked.known_id:
        state = asked.link.state if asked.link and asked.link.sink_id == known else {}
        return _kept(ctx, client, asked, known, state or {"born": SINK})
    if not _is_wanted(asked.profile, asked.settings):
        return Receipt(id="", warnings=("not created: create_customers does not ask for it",))
    row, born = _there(client, asked.event.record_id, asked.profile)
    if row is not None:
        return _kept(ctx, client, asked, identifier(row, "Id"), {"born": born})
    return asked.made(_created(client, asked.event.record_id, asked.profile))


def look(client: Client, asked: Asked) -> Receipt | None:
    """The receipt of a customer that an uncertain try made; None when there is none, or when it was an update."""
    if asked.known_id:
        return None
    row = _marked(_of_name(client, asked.profile.name), asked.event.record_id)
    return asked.made(row) if row is not None else None


def made_for(client: Client, party: Ref) -> str:
    """The ID of the customer that was made for an Account whose own record does not say so yet; empty for none."""
    row = _marked(_of_name(client, party.name), party.id) if party.name else None
    return identifier(row, "Id") if row is not None else ""


def create_for_order(client: Client, event: FinancialEvent) -> str:
    """Makes the customer of an order's Account from what the order tells of it; its ID."""
    party = event.party
    if party is None:
        raise Refuse(["the order has no account"])
    currency = event.amount.currency if event.amount else ""
    profile = event.profile or Profile(name=party.name, currency=currency)
    row, _ = _there(client, party.id, profile)
    return identifier(row if row is not None else _created(client, party.id, profile), "Id")


def _is_wanted(profile: Profile, settings: Mapping[str, Any]) -> bool:
    rule = settings.get("create_customers") or ALL
    if rule == BY_TYPE:  # the standard list has "Customer - Direct" and "Customer - Channel"
        return profile.kind.partition(" - ")[0] == "Customer"
    return bool(rule == ALL)


def _kept(ctx: Context, client: Client, asked: Asked, customer_id: str, state: Mapping[str, Any]) -> Receipt:
    """Writes the fields that the Account changed, each try on a fresh reading of the customer."""
    for _ in range(_TRIES):
        row = _read(client, customer_id)
        if flag(row, "Active") is False:
            return asked.receipt(customer_id, state, "the customer is inactive in QuickBooks")
        found_ = agreement.values_of(profile_of(row))
        meeting = agreement.Meeting(SOURCE, SINK, _told(asked.profile), found_, state, asked.asked_at)
        writes = meeting.writes()
        if not writes:
            return asked.receipt(customer_id, meeting.agreed(found_, ctx.now()))
        if reasons := list(_name_problems(writes["name"]) if "name" in writes else ()):
            raise Refuse(reasons)
        identity = {"Id": customer_id, "SyncToken": text(row, "SyncToken"), "sparse": True}
        body = {**identity, **_body(writes, row)}
        try:
            row = write(client, "Customer", body, request_id("customer", encode(body)))
        except Reject as error:
            if error.code != STALE:
                raise
            continue
        return asked.receipt(customer_id, meeting.agreed(agreement.values_of(profile_of(row)), ctx.now()))
    raise Retry("somebody else keeps changing this customer in QuickBooks", code=STALE)


def _read(client: Client, customer_id: str) -> Row:
    try:
        return client.read("Customer", customer_id)
    except Gone as error:
        reason = f"the QuickBooks customer {customer_id} that this account is linked to is not there: correct its ID"
        raise Refuse([reason], code=error.code, status=error.status, detail=error.detail) from None
    except Reject as error:
        raise Refuse([f"QuickBooks cannot read the customer that this account is linked to: {error.text}"]) from None


def _there(client: Client, account_id: str, profile: Profile) -> tuple[Row | None, str]:
    """The customer that is there already, and where it was first; None where the name is free.

    Raises `Refuse` for one of the same name that cannot be told to be the same.
    """
    if reasons := list(_problems(client, profile)):
        raise Refuse(reasons, code="refused")
    named = _of_name(client, profile.name)
    if (row := _marked(named, account_id)) is not None:
        return row, SOURCE
    for row in named:
        customer_id = identifier(row, "Id")
        if noted_account(row):
            raise Refuse([f"the QuickBooks customer {customer_id} has this name and belongs to another account"])
        if not _is_clearly_same(profile, profile_of(row)):
            raise Refuse(
                [
                    f"the QuickBooks customer {customer_id} has this name, and nothing else tells that it is the same:"
                    " put that ID on the account, or give one of them another name"
                ]
            )
        return row, SINK
    return None, SOURCE


def _created(client: Client, account_id: str, profile: Profile) -> Row:
    values = {field: value for field, value in agreement.values_of(profile).items() if value}
    body: dict[str, Any] = {**_body(values, {}), "Notes": account_note(account_id)}
    if profile.currency:
        body["CurrencyRef"] = {"value": profile.currency}
    try:
        return write(client, "Customer", body, request_id("customer", account_id, encode(body)))
    except Refuse as error:
        if error.code != TAKEN_NAME:
            raise
        row = _marked(_of_name(client, profile.name), account_id)  # made by another worker meanwhile
        if row is not None:
            return row
        raise Refuse([_taken_by(client, profile.name)], code=error.code, status=error.status) from None


def _of_name(client: Client, name: str) -> list[Row]:
    return found(client, where("Customer", "DisplayName", [name], is_list=True)) if name else []


def _marked(named: Sequence[Row], account_id: str) -> Row | None:
    """The one that was made for the Account, whichever of its two forms the ID has."""
    return next((row for row in named if noted_account(row)[:15] == account_id[:15]), None)


def _is_clearly_same(told: Profile, there: Profile) -> bool:
    """Whether something besides the name is the same: e-mail, phone, or street with postal code."""

    def agree(*fields: str) -> bool:
        pairs = [(field, getattr(told, field), getattr(there, field)) for field in fields]
        return all(one and other and agreement.is_same(field, one, other) for field, one, other in pairs)

    return agree("email") or agree("phone") or agree("street", "postal_code")


def _taken_by(client: Client, name: str) -> str:
    kinds = ("Vendor", "Employee")
    holders = [
        f"the {kind.lower()} {identifier(row, 'Id')}"
        for kind in kinds
        for row in found(client, where(kind, "DisplayName", [name], is_list=True))
    ]
    holder = holders[0] if holders else "another customer, vendor or employee"
    return f"{holder} in QuickBooks has this name: names are unique there, so give one of them another"


def _problems(client: Client, profile: Profile) -> Iterator[str]:
    yield from _name_problems(profile.name)
    if not profile.currency:
        return
    try:
        preferences = client.read("Preferences")
        home = text(preferences, "CurrencyPrefs", "HomeCurrency", "value")
        is_multicurrency = flag(preferences, "CurrencyPrefs", "MultiCurrencyEnabled") is True
    except BadValue:
        raise Retry("QuickBooks Online's preferences cannot be read") from None
    if profile.currency != home and not is_multicurrency:
        yield f"the account is in {profile.currency}, and the company in QuickBooks uses {home} alone"


def _name_problems(name: str) -> Iterator[str]:
    if not name:
        yield "the account has no name"
    if any(sign in name for sign in ":\t\r\n"):
        yield "the account's name has a colon, a tab or a new line, which QuickBooks does not take"
    if len(name) > NAME_LENGTH:
        yield f"the account's name is longer than {NAME_LENGTH} characters"


def _told(profile: Profile) -> dict[str, str]:
    values = agreement.values_of(profile)
    return {field: value for field, value in values.items() if value or field not in _SILENT}


def _body(values: Mapping[str, str], row: Row) -> dict[str, Any]:
    """The properties that hold these fields; an address is sent whole, with what it held before."""
    body: dict[str, Any] = {_PLAIN[field]: value for field, value in values.items() if field in _PLAIN}
    body |= {_NESTED[field][0]: {_NESTED[field][1]: value} for field, value in values.items() if field in _NESTED}
    address = {_ADDRESS[field]: value for field, value in values.items() if field in _ADDRESS}
    before = row.get("BillAddr") or {}
    if "street" in values:
        lines = [line.strip() for line in values["street"].splitlines() if line.strip()]
        lines = [*lines[: len(STREET_LINES) - 1], ", ".join(lines[len(STREET_LINES) - 1 :])]
        padded = dict(zip(STREET_LINES, [*lines, *[""] * len(STREET_LINES)], strict=False))
        address |= {name: line for name, line in padded.items() if line or before.get(name)}
    return {**body, "BillAddr": {**before, **address}} if address else body
