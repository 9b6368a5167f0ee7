"""What became of a record at its destination, noted on the record: the other one's ID, and a status for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from connector.kernel.contracts import Context, Feedback
from connector.kernel.errors import Misconfigured
from connector.kernel.values import text
from sources.salesforce import layout
from sources.salesforce.client import Client
from sources.salesforce.errors import Gone

#: Record -> the setting that names the field for the other record's ID.
LINKS = {"order": "journal_entry_id_field", "customer": "customer_id_field"}


def note(ctx: Context, feedback: Feedback) -> None:
    """Writes it in one call; twice leaves the same mark. A record that is gone needs none.

    Raises `Misconfigured` when the org has no field for the other record's ID; the status is left out where its field
    is missing.
    """
    obj = layout.OBJECTS.get(feedback.record)
    if obj is None:
        return
    client = Client(ctx)
    names = layout.names_in({**ctx.settings, **{key: value for key, value in feedback.settings.items() if value}})
    field = names.journal_entry_id if feedback.record == "order" else names.customer_id
    shape, body = client.describe(obj), dict[str, Any]()
    if feedback.linked_id:
        if not shape.has(field):
            raise Misconfigured(
                f"{obj} has no field {field}, or the run-as user cannot see it: install the package and assign its "
                f"permission set, or correct {LINKS[feedback.record]}",
                code="missing_field",
            )
        body[field] = feedback.linked_id
    if shape.has(layout.STATUS_FIELD):
        told = ": ".join(filter(None, (feedback.status.capitalize(), feedback.text)))
        length = shape.fields[layout.STATUS_FIELD].length or 255
        body[layout.STATUS_FIELD] = told if len(told) <= length else told[: length - 1] + "…"
    if feedback.record == "customer":
        body = _missing(client, obj, feedback.record_id, body)
    if body:
        try:
            client.update(obj, feedback.record_id, body)
        except Gone:
            return


def _missing(client: Client, obj: str, record_id: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """What of it is not there yet: the ID of a new customer is often put on its Account from the other side first."""
    if not body:
        return {}
    try:
        row = client.get(obj, record_id, list(body))
    except Gone:
        return {}
    return {field: value for field, value in body.items() if text(row, field) != value}
