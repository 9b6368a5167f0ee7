"""A company and an org seen from outside: what they start with, and what must stand in them at the end."""

from __future__ import annotations

from collections.abc import Collection
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from sources.quickbooks_online.standin import IntuitStandIn
from sources.salesforce.standin import SalesforceStandIn

ORG = "00D000000000001"
CLEARING, INCOME, SERVICES = "91", "41", "42"
STATUS, ENTRY, CUSTOMER = "QBO_Sync_Status__c", "QBO_JournalEntry_Id__c", "QBO_Customer_Id__c"
THERE = ["customer.*", "invoice.*"]
BACK = ["order.*", "customer.created", "customer.updated"]
WANTED = {"debit_account": CLEARING, "credit_account": "", "create_customers": "all"}
#: Number of a journal entry -> what each account was debited.
Entries = dict[str, dict[str, Decimal]]


def furnish(intuit: IntuitStandIn, realm: str) -> None:
    """What the company sells, and the accounts that it goes to."""
    for number, name, kind in (
        (CLEARING, "Order Clearing", "Other Current Asset"),
        (INCOME, "Product Sales", "Income"),
        (SERVICES, "Services", "Income"),
    ):
        intuit.put(realm, "Account", {"Id": number, "Name": name, "FullyQualifiedName": name, "AccountType": kind})
    for number, name, sku, account in (("5", "Pump", "PUMP-20", INCOME), ("6", "Installation", "", SERVICES)):
        item = {"Id": number, "Name": name, "FullyQualifiedName": name, "Type": "NonInventory"}
        intuit.put(realm, "Item", {**item, "IncomeAccountRef": {"value": account}, **({"Sku": sku} if sku else {})})
    intuit.put(realm, "Department", {"Id": "2", "Name": "West", "FullyQualifiedName": "West"})
    intuit.put(realm, "Class", {"Id": "7", "Name": "Retail", "FullyQualifiedName": "Retail"})


class Books:
    """One company and one org with the same two products; makes both."""

    def __init__(self, intuit: IntuitStandIn, org: SalesforceStandIn, realm: str) -> None:
        self.intuit, self.org, self.realm = intuit, org, realm
        self.company = intuit.add_company(realm, "Acme Services LLC")
        furnish(intuit, realm)
        self.pump = org.add_product("Pump", "1", code="PUMP", sku="PUMP-20")
        self.labour = org.add_product("Installation", "1", code="Installation")

    def connection(self, slug: str) -> dict[str, Any]:
        """The org's connection as a configuration file has it."""
        return {
            "slug": slug,
            "system": "salesforce",
            "account": ORG,
            "credentials": {"client_id": "fake-client-id", "client_secret": "fake-client-secret"},
            "settings": {"instance_url": self.org.url, "currency": "USD"},
        }

    def rows(self, entity: str) -> list[dict[str, Any]]:
        with self.intuit.lock:
            return list(self.company.rows(entity))

    def customer(self, number: str) -> dict[str, Any]:
        with self.intuit.lock:
            return dict(self.company.find("Customer", number))

    def customer_of(self, account: str) -> str:
        """The customer's ID as it stands on the account ("" = none)."""
        return str(self.org.record("Account", account)[CUSTOMER] or "")

    def mark(self, order: str) -> tuple[str, str]:
        """The entry's ID and the status, as they stand on the order."""
        row = self.org.record("Order", order)
        return str(row[ENTRY] or ""), str(row[STATUS] or "")

    def entries(self) -> Entries:
        """The journal entries. One that is not balanced is an error, and so is a number that is used twice."""
        found: Entries = {}
        for row in self.rows("JournalEntry"):
            assert row["DocNumber"] not in found, f"{row['DocNumber']} was posted twice"
            found[row["DocNumber"]] = sums_of(row)
        return found

    def wanted(self, orders: Collection[str], reversed_: Collection[str], again: Collection[str]) -> Entries:
        """The entries of orders of which some were taken back, and some of those activated again."""
        found: Entries = {}
        for order in orders:
            number, sums = f"SF-{self.org.record('Order', order)['OrderNumber']}", self._sums(order)
            found[number] = sums
            if order in reversed_:
                found[f"{number}-R"] = {account: -amount for account, amount in sums.items()}
            if order in again:
                found[f"{number}-2"] = sums
        return found

    def _sums(self, order: str) -> dict[str, Decimal]:
        """What an order must come to, by its own lines: half-up cents, each line by itself."""
        sums: dict[str, Decimal] = {}
        for item in self.org.all_of("OrderItem"):
            if item["OrderId"] == order:
                account = INCOME if item["Product2Id"] == self.pump else SERVICES
                cents = (item["Quantity"] * item["UnitPrice"]).quantize(Decimal("0.01"), ROUND_HALF_UP)
                sums[account] = sums.get(account, Decimal(0)) - cents
                sums[CLEARING] = sums.get(CLEARING, Decimal(0)) + cents
        return sums

    def differences(self, account: str) -> list[str]:
        """Where an account and its customer do not say the same of telephone and city."""
        there, here = self.org.record("Account", account), self.customer(self.customer_of(account))
        pairs = {
            "telephone": (here.get("PrimaryPhone", {}).get("FreeFormNumber"), there["Phone"]),
            "city": (here.get("BillAddr", {}).get("City"), there["BillingCity"]),
        }
        return [f"{name}: {ours} here, {theirs} there" for name, (ours, theirs) in pairs.items() if ours != theirs]


def sums_of(row: dict[str, Any]) -> dict[str, Decimal]:
    """What each account was debited by an entry; it must be balanced."""
    sums: dict[str, Decimal] = {}
    for line in row["Line"]:
        detail = line["JournalEntryLineDetail"]
        account, sign = detail["AccountRef"]["value"], 1 if detail["PostingType"] == "Debit" else -1
        sums[account] = sums.get(account, Decimal(0)) + sign * Decimal(line["Amount"])
    assert not sum(sums.values()), f"{row['DocNumber']} is not balanced"
    return sums
