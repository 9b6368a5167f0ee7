"""What FreshBooks calls the records that are told, and where it keeps them.

Source: vendors' API reference; the zones of times are those of the vendor's own Python SDK.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import zoneinfo

EASTERN: dt.tzinfo = zoneinfo.ZoneInfo("America/New_York")


@dataclasses.dataclass(frozen=True, slots=True)
class Entity:
    """One kind of object: `path` under the account, the keys of one and of many, how its changes are dated, its ID.

    `shown` are the fields that a reader of its message sees: two states of one time differ by them.
    """

    record: str
    path: str
    one: str
    many: str
    changed: str = "updated"
    zone: dt.tzinfo = EASTERN
    include: tuple[str, ...] = ()
    key: str = "id"
    shown: tuple[str, ...] = ()


INVOICE = Entity(
    record="invoice",
    path="invoices/invoices",
    one="invoice",
    many="invoices",
    include=("lines",),
    shown=(
        "invoice_number", "amount", "outstanding", "paid", "v3_status", "status", "due_date", "create_date",
        "customerid", "current_organization", "vis_state",
    ),
)  # fmt: skip
PAYMENT = Entity(
    record="payment",
    path="payments/payments",
    one="payment",
    many="payments",
    shown=("amount", "type", "date", "invoiceid", "clientid", "note", "vis_state"),
)
BILL = Entity(
    record="bill",
    path="bills/bills",
    one="bill",
    many="bills",
    changed="updated_at",
    zone=dt.UTC,
    shown=(
        "bill_number", "amount", "total_amount", "outstanding", "paid", "status", "due_date", "issue_date", "vendorid",
        "vis_state",
    ),
)  # fmt: skip
EXPENSE = Entity(
    record="expense",
    path="expenses/expenses",
    one="expense",
    many="expenses",
    include=("category",),
    shown=("amount", "vendor", "date", "status", "categoryid", "clientid", "notes", "vis_state"),
)
CLIENT = Entity("customer", "users/clients", "client", "clients")
VENDOR = Entity("vendor", "bill_vendors/bill_vendors", "bill_vendor", "bill_vendors", key="vendorid")
CATEGORY = Entity("account", "expenses/categories", "category", "categories")

#: The nouns that a connection can subscribe to; each is the name of its record, too.
BY_RECORD = {entity.record: entity for entity in (INVOICE, PAYMENT, BILL, EXPENSE)}
#: Kinds of names -> where they are looked up.
NAMED = {entity.record: entity for entity in (CLIENT, VENDOR, CATEGORY, INVOICE)}
