"""The trading company of Acme: its books in QuickBooks Online, and the sales people's org in Salesforce."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from sources.quickbooks_online.standin import IntuitStandIn
from sources.salesforce.standin import SalesforceStandIn

REALM = "9130350000000002"
ORG = "00D000000000001"
CLEARING, EQUIPMENT, SERVICES = "91", "41", "42"

_LONG_AGO = "2021-02-01T09:00:00-06:00"
_ACCOUNTS = {
    CLEARING: ("Order Clearing", "Other Current Asset"),
    EQUIPMENT: ("Equipment Sales", "Income"),
    SERVICES: ("Installation Services", "Income"),
}
#: ID -> name, SKU and income account.
_ITEMS = {"11": ("Solar pump", "PUMP-20", EQUIPMENT), "12": ("Installation", "", SERVICES)}
_DEPARTMENTS = {"1": "West"}
_CLASSES = {"7": "Retail"}

Document = dict[str, Any]


def open_ledger(intuit: IntuitStandIn) -> dict[str, str]:
    """The trading company as it stood before the day began; the variables that hold its tokens."""
    intuit.add_company(REALM, "Acme Field Supply LLC", zone="America/Chicago")
    for number, (name, kind) in _ACCOUNTS.items():
        _keep(intuit, "Account", number, name, AccountType=kind)
    for number in _ITEMS:
        add_item(intuit, number)
    for entity, names in (("Department", _DEPARTMENTS), ("Class", _CLASSES)):
        for number, name in names.items():
            _keep(intuit, entity, number, name)
    tokens = intuit.issue_tokens(REALM)
    return {"LEDGER_ACCESS": tokens["access_token"], "LEDGER_REFRESH": tokens["refresh_token"]}


def add_item(intuit: IntuitStandIn, number: str, name: str = "", sku: str = "", income: str = "") -> None:
    """Something that is sold: a known one by its number, or a new one."""
    name, sku, income = _ITEMS.get(number, (name, sku, income))
    document = {"Name": name, "FullyQualifiedName": name, "Type": "NonInventory", "IncomeAccountRef": {"value": income}}
    if number in _ITEMS:
        _keep(intuit, "Item", number, name, **({"Sku": sku} if sku else {}), **document)
    else:
        intuit.put(REALM, "Item", {"Id": number, "Sku": sku, **document})


def _keep(intuit: IntuitStandIn, entity: str, number: str, name: str, **more: Any) -> None:
    times = {"CreateTime": _LONG_AGO, "LastUpdatedTime": _LONG_AGO}
    head = {"Id": number, "Name": name, "FullyQualifiedName": name, "Active": True}
    fixed = {"domain": "QBO", "sparse": False, "SyncToken": "0", "MetaData": times}
    intuit.load(REALM, entity, {**head, **more, **fixed})


def open_org(org: SalesforceStandIn) -> dict[str, str]:
    """The org before the day began; the variables that open it."""
    for name, code, sku in (("Solar pump", "PUMP", "PUMP-20"), ("Installation", "Installation", "")):
        org.add_product(name, "1", code=code, sku=sku)
    return {"SF_INSTANCE_URL": org.url, "SF_CLIENT_ID": "fake-client-id", "SF_CLIENT_SECRET": "fake-client-secret"}


def product(org: SalesforceStandIn, name: str) -> str:
    """A product's ID by its name."""
    return next(str(row["Id"]) for row in org.all_of("Product2") if row["Name"] == name)


def invoice(number: str, customer: Document, amount: str, what: str) -> Document:
    """An open invoice of one line, in the retail class and the western department."""
    detail = {"ItemRef": {"value": "11", "name": "Solar pump"}, "Qty": 1, "ClassRef": {"value": "7", "name": "Retail"}}
    line = {"Id": "1", "Description": what, "Amount": Decimal(amount), "DetailType": "SalesItemLineDetail"}
    return {
        "DocNumber": number,
        "CustomerRef": {"value": customer["Id"], "name": customer["DisplayName"]},
        "TotalAmt": Decimal(amount),
        "Balance": Decimal(amount),
        "CurrencyRef": {"value": "USD", "name": "USD"},
        "DepartmentRef": {"value": "1", "name": "West"},
        "Line": [{**line, "SalesItemLineDetail": detail}],
    }


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """A journal entry as it stands in the books, by what each account was debited (credits are negative)."""

    id: str
    number: str
    sums: dict[str, Decimal]

    @property
    def is_balanced(self) -> bool:
        return not sum(self.sums.values())


def entries(intuit: IntuitStandIn) -> Iterator[Entry]:
    """Every journal entry of the trading company."""
    for row in intuit.companies[REALM].rows("JournalEntry"):
        sums: dict[str, Decimal] = {}
        for line in row["Line"]:
            detail = line["JournalEntryLineDetail"]
            account, sign = detail["AccountRef"]["value"], 1 if detail["PostingType"] == "Debit" else -1
            sums[account] = sums.get(account, Decimal(0)) + sign * Decimal(line["Amount"])
        yield Entry(row["Id"], row["DocNumber"], sums)
