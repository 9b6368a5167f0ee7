"""The stand-in's metadata: which objects and fields the integration user sees, as describe tells them."""

from __future__ import annotations

from typing import Any

from sources.salesforce.standin_types import Field, ObjectType

Document = dict[str, Any]
#: Kind of field -> its `soapType`.
_SOAP = {
    "currency": "xsd:double",
    "double": "xsd:double",
    "int": "xsd:int",
    "boolean": "xsd:boolean",
    "date": "xsd:date",
    "datetime": "xsd:dateTime",
    "id": "tns:ID",
    "reference": "tns:ID",
    "address": "urn:address",
}


def summary(kind: ObjectType, version: str) -> Document:
    """One object in the list of all objects."""
    base = f"/services/data/v{version}/sobjects/{kind.name}"
    return {
        "name": kind.name,
        "label": kind.name,
        "keyPrefix": kind.prefix,
        "custom": False,
        "createable": True,
        "updateable": True,
        "deletable": True,
        "queryable": True,
        "replicateable": True,
        "retrieveable": True,
        "urls": {"sobject": base, "describe": f"{base}/describe", "rowTemplate": f"{base}/{{ID}}"},
    }


def whole(kind: ObjectType, fields: list[Field], choices: Any, closed: set[str], version: str) -> Document:
    """An object's description; `choices(field)` are a picklist's values, `closed` the fields that are only read."""
    return {
        **summary(kind, version),
        "fields": [_field(field, choices(field), is_open=field.name not in closed) for field in fields],
        "childRelationships": [
            {"relationshipName": name, "childSObject": child, "field": field}
            for name, (child, field) in kind.children.items()
        ],
    }


def _field(field: Field, values: tuple[str, ...], *, is_open: bool) -> Document:
    is_number = field.kind in ("currency", "double")
    return {
        "name": field.name,
        "label": field.name.removesuffix("__c").replace("_", " "),
        "type": field.kind,
        "soapType": _SOAP.get(field.kind, "xsd:string"),
        "length": field.length,
        "precision": 18 if is_number else 0,
        "scale": 2 if is_number else 0,
        "nillable": not field.is_required and field.kind not in ("id", "boolean"),
        "defaultedOnCreate": field.kind in ("id", "boolean") or field.name == "OwnerId",
        "createable": field.can_create and is_open,
        "updateable": field.can_update and is_open,
        "externalId": field.is_external_id,
        "idLookup": field.is_external_id or field.name in ("Id", "Name", "Email"),
        "unique": field.is_unique,
        "caseSensitive": False,
        "custom": field.is_custom,
        "referenceTo": [field.holds] if field.holds else [],
        "relationshipName": field.parent or None,
        "compoundFieldName": field.part_of or None,
        "restrictedPicklist": bool(values),
        "picklistValues": [{"value": value, "label": value, "active": True, "defaultValue": False} for value in values],
    }
