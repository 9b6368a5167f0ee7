"""The fields that are written, by the route's settings and by what the org has.

What describe lacks is neither read nor written, and texts are cut to the lengths that it tells. An external ID that is
missing or not one is a setting to mend: without it nothing could be written twice without doubling.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from connector.kernel.contracts import Context
from connector.kernel.errors import Misconfigured
from connector.kernel.values import text
from sources.salesforce import layout
from sources.salesforce.client import Client
from sources.salesforce.describe import ObjectShape
from sources.salesforce.soql import name

Row = Mapping[str, Any]

ACCOUNT, CONTACT, OPPORTUNITY, ROLE = layout.ACCOUNT, "Contact", "Opportunity", "OpportunityContactRole"
INVOICE_ID_FIELD = "QBO_Invoice_Id__c"
STAGE_PAID, STAGE_VOIDED = "Closed Won", "Closed Lost"
#: Where an open invoice stands unless the route says otherwise; an org without it: its first open stage.
STAGE_OPEN = "Proposal/Price Quote"


def names_in(ctx: Context, settings: Mapping[str, Any]) -> layout.Names:
    """The custom fields: the route's settings go before the connection's."""
    return layout.names_in({**ctx.settings, **{key: value for key, value in settings.items() if value}})


def invoice_id_field(settings: Mapping[str, Any]) -> str:
    return name(str(settings.get("invoice_id_field") or INVOICE_ID_FIELD))


def shape_of(client: Client, obj: str, external_id: str) -> ObjectShape:
    """The object, whose external ID is there and may be written. Raises `Misconfigured`."""
    shape = client.describe(obj)
    field = shape.fields.get(external_id)
    if field is None or not field.is_external_id or not field.can_create:
        client.forget_describes()  # so that it is seen once it has been mended
        raise Misconfigured(
            f"{obj} has no external ID field {external_id} that the run-as user may write: install the package and "
            "assign its permission set, or correct the route's setting",
            code="missing_field",
        )
    return shape


def writable(shape: ObjectShape, field: str) -> bool:
    """Whether the field is there and may be written, on a new record and later."""
    found = shape.fields.get(field)
    return found is not None and found.can_create and found.can_update


def fitted(shape: ObjectShape, field: str, value: str) -> str:
    """The text cut to the field's length."""
    length = shape.fields[field].length if field in shape.fields else 0
    return value[:length].rstrip() if length and len(value) > length else value


def is_same(current: Any, wanted: Any) -> bool:
    """Whether a field holds the value already; empty text is no value."""
    if isinstance(wanted, Decimal):
        return isinstance(current, int | Decimal) and Decimal(current) == wanted
    if isinstance(wanted, dt.date):
        return str(current or "") == wanted.isoformat()
    return str(current or "") == str(wanted or "")


def id_of(row: Row | None) -> str:
    return text(row, "Id") if row is not None else ""
