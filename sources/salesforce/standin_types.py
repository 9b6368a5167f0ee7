"""The stand-in's objects and their fields, in the order in which a change event carries them.

Only what finance and sales touch is here; an administrator's `add_field` adds more.
"""

from __future__ import annotations

import dataclasses
from typing import Any

Row = dict[str, Any]

#: Components of an address, in the order of the event's record; the last five cannot be written through REST here.
ADDRESS = ("Street", "City", "State", "PostalCode", "Country", "StateCode", "CountryCode", "Latitude", "Longitude")
GEOCODE = "GeocodeAccuracy"
PERSON = ("Salutation", "FirstName", "LastName")
_WRITTEN_ADDRESS = {"Street": 255, "City": 40, "State": 80, "PostalCode": 20, "Country": 80}


@dataclasses.dataclass(frozen=True, slots=True)
class Field:
    """One field. `kind` is the type as describe has it; `doc` is the type as a change event's schema has it.

    `holds` is the object that a reference leads to, `parent` the name of that relationship, `part_of` the compound
    field of a component. `values` of a picklist are all it takes, when there are any.
    """

    name: str
    kind: str = "string"
    doc: str = "Data:Text"
    length: int = 0
    is_required: bool = False
    can_create: bool = True
    can_update: bool = True
    is_external_id: bool = False
    is_unique: bool = False
    holds: str = ""
    parent: str = ""
    part_of: str = ""
    values: tuple[str, ...] = ()
    is_in_events: bool = True

    @property
    def is_custom(self) -> bool:
        return self.name.endswith("__c")


@dataclasses.dataclass(slots=True)
class ObjectType:
    """One object: its fields by name, and its child relationships: name -> (object, the child's field)."""

    name: str
    prefix: str
    fields: dict[str, Field]
    children: dict[str, tuple[str, str]]

    def find(self, name: str) -> Field | None:
        """The field, whatever the case of its name."""
        found = self.fields.get(name)
        return found or next((each for each in self.fields.values() if each.name.lower() == name.lower()), None)

    def parent(self, name: str) -> Field | None:
        """The reference whose relationship has this name."""
        return next(
            (each for each in self.fields.values() if each.parent and each.parent.lower() == name.lower()), None
        )


def text(name: str, length: int = 255, **more: Any) -> Field:
    return Field(name, length=length, **more)


def picklist(name: str, *values: str, **more: Any) -> Field:
    return Field(name, "picklist", "Data:DynamicEnum", 255, values=values, **more)


def money(name: str, **more: Any) -> Field:
    return Field(name, "currency", "Data:Currency", **more)


def number(name: str, **more: Any) -> Field:
    return Field(name, "double", "Data:Double", **more)


def flag(name: str, **more: Any) -> Field:
    return Field(name, "boolean", "Data:Boolean", **more)


def date(name: str, **more: Any) -> Field:
    return Field(name, "date", "Data:DateOnly", **more)


def moment(name: str, **more: Any) -> Field:
    return Field(name, "datetime", "Data:DateTime", **more)


def long_text(name: str) -> Field:
    return Field(name, "textarea", "Data:StringPlusClob", 32000)


def lookup(name: str, holds: str, parent: str = "", **more: Any) -> Field:
    return Field(name, "reference", "ForeignKey:EntityId", 18, holds=holds, parent=parent or name[:-2], **more)


def _derived(maker: Any, name: str, **more: Any) -> Field:
    found: Field = maker(name, can_create=False, can_update=False, **more)
    return found


def _address(name: str) -> tuple[Field, ...]:
    prefix = name.removesuffix("Address")
    parts = [text(prefix + part, length, part_of=name) for part, length in _WRITTEN_ADDRESS.items()]
    parts += [_derived(number, prefix + part, part_of=name) for part in ("Latitude", "Longitude")]
    parts.append(_derived(text, prefix + GEOCODE, part_of=name))
    whole = Field(name, "address", "Data:Address", can_create=False, can_update=False)
    return whole, *parts


_ID = Field("Id", "id", "", 18, can_create=False, can_update=False, is_in_events=False)
_TRAIL = (
    Field("CreatedDate", "datetime", "CreatedDate:DateTime", can_create=False, can_update=False),
    lookup("CreatedById", "User", can_create=False, can_update=False),
    moment("LastModifiedDate", can_create=False, can_update=False),
    lookup("LastModifiedById", "User", can_create=False, can_update=False),
    moment("SystemModstamp", can_create=False, can_update=False, is_in_events=False),
    flag("IsDeleted", can_create=False, can_update=False, is_in_events=False),
)
_OWNER = lookup("OwnerId", "User")
_ALLOCATION = (text("QBO_Department__c"), text("QBO_Class__c"))


def external_id(name: str) -> Field:
    return text(name, 64, is_external_id=True, is_unique=True)


_PERSON_NAME = Field("Name", "string", "Data:PersonName", 121, can_create=False, can_update=False)
_FIELDS: dict[str, tuple[str, tuple[Field, ...]]] = {
    "Account": ("001", (
        Field("Name", "string", "Data:Switchable_PersonName", 255, is_required=True),
        picklist("Type"), lookup("ParentId", "Account"), *_address("BillingAddress"), *_address("ShippingAddress"),
        Field("Phone", "phone", "Data:Phone", 40), Field("Fax", "phone", "Data:Phone", 40), text("AccountNumber", 40),
        Field("Website", "url", "Data:Url", 255), picklist("Industry"), money("AnnualRevenue"),
        Field("NumberOfEmployees", "int", "Data:Integer"), long_text("Description"), _OWNER, *_TRAIL,
        lookup("MasterRecordId", "Account", can_create=False, can_update=False, is_in_events=False),
        external_id("QBO_Customer_Id__c"), *_ALLOCATION,
    )),
    "Contact": ("003", (
        lookup("AccountId", "Account"), _PERSON_NAME,
        picklist("Salutation", part_of="Name"), text("FirstName", 40, part_of="Name"),
        text("LastName", 80, is_required=True, part_of="Name"), *_address("MailingAddress"),
        Field("Phone", "phone", "Data:Phone", 40), Field("MobilePhone", "phone", "Data:Phone", 40),
        Field("Email", "email", "Data:Email", 80), text("Title", 128), long_text("Description"), _OWNER, *_TRAIL,
        lookup("MasterRecordId", "Contact", can_create=False, can_update=False, is_in_events=False),
        external_id("QBO_Customer_Id__c"),
    )),
    "Opportunity": ("006", (
        lookup("AccountId", "Account"), text("Name", 120, is_required=True), long_text("Description"),
        picklist("StageName", "stages", is_required=True), money("Amount"), number("Probability"),
        date("CloseDate", is_required=True), picklist("Type"), lookup("ContactId", "Contact", can_update=False),
        _derived(flag, "IsClosed"), _derived(flag, "IsWon"), _OWNER, *_TRAIL,
        external_id("QBO_Invoice_Id__c"), *_ALLOCATION,
    )),
    "OpportunityContactRole": ("00K", (
        lookup("OpportunityId", "Opportunity", is_required=True, can_update=False),
        lookup("ContactId", "Contact", is_required=True), picklist("Role"), flag("IsPrimary"), *_TRAIL,
    )),
    "Order": ("801", (
        Field("ContractId", "reference", "ForeignKey:EntityId", 18), lookup("AccountId", "Account", is_required=True),
        lookup("Pricebook2Id", "Pricebook2"),
        lookup("OriginalOrderId", "Order", can_update=False), lookup("OpportunityId", "Opportunity"),
        date("EffectiveDate", is_required=True), date("EndDate"), flag("IsReductionOrder", can_update=False),
        picklist("Status", "statuses", is_required=True), long_text("Description"), picklist("Type"),
        text("PoNumber", 80), text("Name", 80), *_address("BillingAddress"), *_address("ShippingAddress"),
        _derived(moment, "ActivatedDate"), _derived(lookup, "ActivatedById", holds="User"),
        _derived(picklist, "StatusCode"), _derived(text, "OrderNumber"), _derived(money, "TotalAmount"),
        text("OrderReferenceNumber", 80), _OWNER, *_TRAIL,
        external_id("QBO_JournalEntry_Id__c"), *_ALLOCATION, text("QBO_Sync_Status__c"),
    )),
    "OrderItem": ("802", (
        lookup("Product2Id", "Product2", can_update=False),
        lookup("OrderId", "Order", is_required=True, can_update=False),
        lookup("PricebookEntryId", "PricebookEntry", can_update=False),
        lookup("OriginalOrderItemId", "OrderItem", can_update=False), number("Quantity", is_required=True),
        money("UnitPrice", is_required=True), _derived(money, "TotalPrice"), _derived(money, "ListPrice"),
        date("ServiceDate"), date("EndDate"), text("Description"), _derived(text, "OrderItemNumber"), *_TRAIL,
        *_ALLOCATION,
    )),
    "Product2": ("01t", (
        text("Name", is_required=True), text("ProductCode"), text("StockKeepingUnit", 180), text("Description", 4000),
        flag("IsActive"), picklist("Family"), *_TRAIL,
    )),
    "Pricebook2": ("01s", (text("Name", is_required=True), flag("IsActive"), flag("IsStandard"), *_TRAIL)),
    "PricebookEntry": ("01u", (
        lookup("Pricebook2Id", "Pricebook2", is_required=True, can_update=False),
        lookup("Product2Id", "Product2", is_required=True, can_update=False), money("UnitPrice", is_required=True),
        flag("IsActive"), *_TRAIL,
    )),
    "User": ("005", (
        text("Name", 121), text("Username", 80), Field("Email", "email", "Data:Email", 128), flag("IsActive"),
        picklist("UserType"), *_TRAIL,
    )),
    "OpportunityStage": ("01J", (
        text("MasterLabel"), text("ApiName"), flag("IsActive"), flag("IsClosed"), flag("IsWon"),
        Field("SortOrder", "int", "Data:Integer"), *_TRAIL,
    )),
    "OrderStatus": ("0wc", (
        text("MasterLabel"), text("ApiName"), picklist("StatusCode"), flag("IsDefault"),
        Field("SortOrder", "int", "Data:Integer"), *_TRAIL,
    )),
    # Only there in editions with order management, commerce or billing.
    "Invoice": ("3tt", (text("DocumentNumber", 255), text("Status"), money("TotalAmount"), *_TRAIL)),
    "Payment": ("0aQ", (text("PaymentNumber", 255), text("Status"), money("Amount"), *_TRAIL)),
}  # fmt: skip

#: Parent object -> the name of its children -> (child object, the child's field).
_CHILDREN: dict[str, dict[str, tuple[str, str]]] = {
    "Account": {
        "Contacts": ("Contact", "AccountId"),
        "Opportunities": ("Opportunity", "AccountId"),
        "Orders": ("Order", "AccountId"),
        "ChildAccounts": ("Account", "ParentId"),
    },
    "Contact": {"OpportunityContactRoles": ("OpportunityContactRole", "ContactId")},
    "Opportunity": {
        "OpportunityContactRoles": ("OpportunityContactRole", "OpportunityId"),
        "Orders": ("Order", "OpportunityId"),
    },
    "Order": {"OrderItems": ("OrderItem", "OrderId")},
    "Product2": {
        "OrderItems": ("OrderItem", "Product2Id"),
        "PricebookEntries": ("PricebookEntry", "Product2Id"),
    },
}
#: Nobody but the vendor writes these.
READ_ONLY = ("User", "OpportunityStage", "OrderStatus", "Pricebook2", "Invoice", "Payment")


def object_types() -> dict[str, ObjectType]:
    """All objects of a fresh org with the connector's package deployed."""
    return {
        name: ObjectType(name, prefix, {each.name: each for each in (_ID, *fields)}, dict(_CHILDREN.get(name, {})))
        for name, (prefix, fields) in _FIELDS.items()
    }


def case_marks(identifier: str) -> str:
    """The three characters that make an ID of 15 characters one of 18: which of its letters are capitals."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
    thirds = (identifier[start : start + 5] for start in (0, 5, 10))
    return "".join(letters[sum(1 << at for at, each in enumerate(third) if each.isupper())] for third in thirds)


def full_id(identifier: str) -> str:
    """The ID with 18 characters of one with 15 or 18; empty when it is neither."""
    is_id = identifier.isascii() and identifier.isalnum()
    if is_id and len(identifier) == 15:
        return identifier + case_marks(identifier)
    return identifier if is_id and len(identifier) == 18 else ""
