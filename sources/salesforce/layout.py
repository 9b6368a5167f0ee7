"""Objects and fields that the connector reads and writes: the standard ones by name, the custom ones by setting."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from sources.salesforce.client import Client
from sources.salesforce.soql import name, select

ACCOUNT, ORDER, ITEM, PRODUCT = "Account", "Order", "OrderItem", "Product2"
#: Record type -> object, and the objects whose changes are listened to, each with the record that it belongs to.
OBJECTS = {"customer": ACCOUNT, "order": ORDER}
RECORDS = {ACCOUNT: "customer", ORDER: "order", ITEM: "order"}
#: Where the run-as user's people see what became of a record; written when the org has it.
STATUS_FIELD = "QBO_Sync_Status__c"
#: Custom field by setting -> its name in the connector's package.
CUSTOM = {
    "department_field": "QBO_Department__c",
    "class_field": "QBO_Class__c",
    "customer_id_field": "QBO_Customer_Id__c",
    "journal_entry_id_field": "QBO_JournalEntry_Id__c",
}
_STAMPS = ("CreatedDate", "LastModifiedDate", "SystemModstamp")
_ACCOUNT = (
    "Name", "Type", "Phone", "BillingStreet", "BillingCity", "BillingState", "BillingPostalCode", "BillingCountry",
    "FirstName", "LastName", "PersonEmail", "CurrencyIsoCode", *_STAMPS,
)  # fmt: skip
_CONTACT = ("FirstName", "LastName", "Email", "Phone", "SystemModstamp")
_ORDER = (
    "OrderNumber", "Status", "StatusCode", "EffectiveDate", "TotalAmount", "CurrencyIsoCode", "IsReductionOrder",
    "OriginalOrderId", "AccountId", *_STAMPS,
)  # fmt: skip
_ITEM = ("OrderItemNumber", "Description", "Quantity", "UnitPrice", "TotalPrice", "Product2Id", *_STAMPS)
_PRODUCT = ("Name", "ProductCode", "StockKeepingUnit")


@dataclasses.dataclass(frozen=True, slots=True)
class Names:
    """The API names of the custom fields, as the settings have them."""

    department: str
    class_: str
    customer_id: str
    journal_entry_id: str


def names_in(settings: Mapping[str, Any]) -> Names:
    """The custom fields by the settings, defaults filled in. Raises `Misconfigured` for what is no field name."""
    chosen = [name(str(settings.get(key) or default)) for key, default in CUSTOM.items()]
    return Names(*chosen)


def account_fields(client: Client, names: Names) -> list[str]:
    """What is read of an Account; what the org lacks is left out."""
    shape = client.describe(ACCOUNT)
    wanted = ["Id", *shape.only((*_ACCOUNT, names.customer_id, names.department, names.class_))]
    if "Contacts" in shape.children:
        wanted.append(f"({select(('Id', *_CONTACT), 'Contacts')} ORDER BY CreatedDate ASC LIMIT 1)")
    return wanted


def order_fields(client: Client, names: Names) -> list[str]:
    """What is read of an Order and its items; what the org lacks is left out."""
    account, order, item = client.describe(ACCOUNT), client.describe(ORDER), client.describe(ITEM)
    product = client.describe(PRODUCT)
    custom = (names.department, names.class_)
    wanted = ["Id", *order.only((*_ORDER, names.journal_entry_id, *custom))]
    wanted += [f"Account.{field}" for field in account.only(("Name", names.customer_id, *custom))]
    items = ["Id", *item.only((*_ITEM, *custom))]
    items += [f"Product2.{field}" for field in product.only(_PRODUCT)]
    return [*wanted, f"({select(items, 'OrderItems')})"]
