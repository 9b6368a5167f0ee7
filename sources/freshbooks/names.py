"""Names from FreshBooks: clients, bill vendors, expense categories, and the numbers of invoices."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from connector.kernel.contracts import Name
from connector.kernel.errors import Misconfigured, Refresh, Retry, VendorError
from connector.kernel.events import Ref
from connector.kernel.values import BadValue, text
from sources.freshbooks.client import Client
from sources.freshbooks.documents import is_deleted
from sources.freshbooks.entities import NAMED, Entity


def load(client: Client, wanted: Iterable[Ref]) -> Iterator[Name]:
    """The names wanted. What FreshBooks does not have, or does not let the app read, is left out."""
    by_kind: dict[str, list[str]] = {}
    for ref in wanted:
        if ref.kind in NAMED and ref.id.isdecimal():
            by_kind.setdefault(ref.kind, []).append(ref.id)
    for kind, ids in by_kind.items():
        try:
            yield from _of_kind(client, NAMED[kind], ids)
        except Misconfigured:
            continue  # a message with IDs in it is better than none


def _of_kind(client: Client, entity: Entity, ids: Iterable[str]) -> Iterator[Name]:
    for record_id, row in client.many(entity, ids):
        if isinstance(row, Retry | Refresh):
            raise row
        if isinstance(row, VendorError):
            continue
        try:
            yield Name(entity.record, record_id, name_in(entity, row), is_active=not is_deleted(row))
        except BadValue:
            continue  # one broken object must not cost the names of the others


def name_in(entity: Entity, row: Any) -> str:
    """What people call the object."""
    plain = {"vendor": "vendor_name", "account": "category", "invoice": "invoice_number"}.get(entity.record)
    return text(row, plain) if plain else person_in(row)


def person_in(row: Any) -> str:
    """A client's organization, else the person's name, else their address."""
    organization = text(row, "current_organization") or text(row, "organization")
    return organization or " ".join(filter(None, (text(row, "fname"), text(row, "lname")))) or text(row, "email")
