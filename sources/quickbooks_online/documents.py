"""What every document of QuickBooks Online has in common: identity, version, times, a name to show."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Mapping
from typing import Any

from connector.kernel.contracts import Name, Record
from connector.kernel.values import BadValue, flag, moment, text
from sources.quickbooks_online.entities import Entity

_IDENTIFIER = re.compile(r"[!-~]{1,64}")
_DELETED = re.compile(r"\s*\(deleted\)$")
#: Kind of name -> the entity that holds it.
NAME_ENTITIES = {
    "account": "Account",
    "department": "Department",
    "class": "Class",
    "item": "Item",
    "vendor": "Vendor",
    "customer": "Customer",
}
_KINDS = {entity: kind for kind, entity in NAME_ENTITIES.items()}


def identifier(document: Any, *path: str) -> str:
    """An ID as the vendor writes them. Raises `BadValue` for anything else, a missing one included."""
    value = text(document, *path)
    if not _IDENTIFIER.fullmatch(value):
        raise BadValue(f"{'.'.join(path)} is missing or not an ID")
    return value


def stamp(at: dt.datetime | None) -> str:
    """The instant in UTC, cut to milliseconds; empty for none. Sorts as text."""
    return at.astimezone(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z") if at else ""


def record_of(entity: Entity, document: Mapping[str, Any]) -> Record:
    """The record in an entity's document. Raises `BadValue`."""
    updated_at = moment(document, "MetaData", "LastUpdatedTime")
    record_id = identifier(document, "Id")
    if text(document, "status") == "Deleted":
        return gone(entity, record_id, updated_at)
    token = text(document, "SyncToken")
    return Record(
        record=entity.record,
        record_id=record_id,
        body=document,
        version=(int(token) if re.fullmatch(r"[0-9]{1,9}", token) else 0, stamp(updated_at)),
        created_at=moment(document, "MetaData", "CreateTime"),
        updated_at=updated_at,
    )


def gone(entity: Entity, record_id: str, at: dt.datetime | None = None) -> Record:
    """The record that the vendor no longer has: without a version, since its end is told once however it was learnt."""
    return Record(entity.record, record_id, is_gone=True, updated_at=at)


def shown(name: str) -> str:
    """A name without the mark that the vendor puts on inactive ones."""
    return _DELETED.sub("", name)


def own_name(document: Any) -> str:
    """What people call the object itself, parents included."""
    name = text(document, "FullyQualifiedName") or text(document, "Name") or text(document, "DisplayName")
    return shown(name)


def names_in(entity: str, document: Any) -> Iterator[Name]:
    """The names that one row brings. Raises `BadValue`."""
    if entity == "CompanyInfo":
        yield Name("company", "name", text(document, "CompanyName"))
    elif entity == "Preferences":
        yield Name("company", "home_currency", text(document, "CurrencyPrefs", "HomeCurrency", "value"))
    else:
        is_active = flag(document, "Active") is not False
        extra = _item_accounts(document) if entity == "Item" else {}
        yield Name(_KINDS[entity], identifier(document, "Id"), own_name(document), is_active, extra)


def _item_accounts(document: Any) -> dict[str, str]:
    """The accounts behind an item, by role: their IDs, and what the item itself calls them."""
    found = {}
    for role, key in (("income", "IncomeAccountRef"), ("expense", "ExpenseAccountRef"), ("asset", "AssetAccountRef")):
        found[f"{role}_account"] = text(document, key, "value")
        found[f"{role}_account_name"] = shown(text(document, key, "name"))
    return {role: value for role, value in found.items() if value}
