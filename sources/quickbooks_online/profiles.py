"""Who a customer or vendor is, read from its document: the one reading, for events and for what is written back."""

from __future__ import annotations

import re
from typing import Any

from connector.kernel.events import Profile
from connector.kernel.values import text
from sources.quickbooks_online.documents import shown

#: The lines of an address above its city.
STREET_LINES = ("Line1", "Line2", "Line3", "Line4", "Line5")

_ACCOUNT = re.compile(r"Salesforce account ([A-Za-z0-9]{15,18})\b")


def account_note(account_id: str) -> str:
    """What stands in the notes of a customer that was made from a Salesforce Account."""
    return f"Salesforce account {account_id}"


def noted_account(document: Any) -> str:
    """The ID of the Salesforce Account that a customer was made from; empty for the others."""
    noted = _ACCOUNT.search(text(document, "Notes"))
    return noted[1] if noted else ""


def profile_of(document: Any) -> Profile:
    """The profile of a `Customer` or `Vendor` document; field names as in the Accounting API reference.

    The name is the one that is unique in the company, without the parents of a sub-customer. Raises `BadValue`.
    """
    lines = (text(document, "BillAddr", line) for line in STREET_LINES)
    return Profile(
        name=shown(text(document, "DisplayName")),
        given_name=text(document, "GivenName"),
        family_name=text(document, "FamilyName"),
        email=text(document, "PrimaryEmailAddr", "Address"),
        phone=text(document, "PrimaryPhone", "FreeFormNumber"),
        street="\n".join(line for line in lines if line),
        city=text(document, "BillAddr", "City"),
        region=text(document, "BillAddr", "CountrySubDivisionCode"),
        postal_code=text(document, "BillAddr", "PostalCode"),
        country=text(document, "BillAddr", "Country"),
        currency=text(document, "CurrencyRef", "value"),
    )
