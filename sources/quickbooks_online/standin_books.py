"""The stand-in's books: the records of one company, and what may be done to them.

`Company` is what a bookkeeper does in the vendor's screens (`put`, `change`, `void`, ...): it checks nothing but the
existence of the record. What an API client may write is checked in `standin_rules`.
"""

from __future__ import annotations

import datetime as dt
import itertools
import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from sources.quickbooks_online.standin_faults import VendorError

Document = dict[str, Any]

#: Entity -> the operations it announces by webhook: Create, Update, Delete, Merge, Void, Emailed.
TRANSACTIONS = {
    "Bill": "CUD",
    "BillPayment": "CUDV",
    "CreditMemo": "CUDVE",
    "Deposit": "CUD",
    "Estimate": "CUDE",
    "Invoice": "CUDVE",
    "JournalEntry": "CUD",
    "Payment": "CUDVE",
    "Purchase": "CUDV",
    "PurchaseOrder": "CUDE",
    "RefundReceipt": "CUDVE",
    "SalesReceipt": "CUDVE",
    "TimeActivity": "CUD",
    "Transfer": "CUDV",
    "VendorCredit": "CUD",
}
NAME_LISTS = {
    "Account": "CUDM",
    "Class": "CUDM",
    "Customer": "CUDM",
    "Department": "CUM",
    "Employee": "CUDM",
    "Item": "CUDM",
    "PaymentMethod": "CUM",
    "Term": "CU",
    "Vendor": "CUDM",
}
SINGLES = {"CompanyInfo": "", "Preferences": "U"}
ENTITIES = {**TRANSACTIONS, **NAME_LISTS, **SINGLES}
#: Their display names are unique together.
PEOPLE = ("Customer", "Vendor", "Employee")
NOT_IN_CDC = ("CompanyInfo", "Preferences", "TimeActivity")

DELETED = "Object Not Found : Another user has deleted this transaction."
INACTIVE = (
    "Something you're trying to use has been made inactive. "
    "Check the fields with accounts, customers, items, vendors or employees."
)
_ZERO_WHEN_VOID = ("Amount", "Balance", "HomeBalance", "HomeTotalAmt", "TotalAmt", "TotalTax", "UnappliedAmt")
_NAMES = ("Name", "DisplayName", "FullyQualifiedName")


def exact(document: Document) -> Document:
    """A deep copy whose numbers are whole ints or the Decimals that the wire shows."""
    copy: Document = json.loads(json.dumps(document, default=float), parse_float=Decimal)
    return copy


class Company:
    """One company file. `on_change(realm, entity, id, operation)` is told of every change, in order."""

    def __init__(
        self,
        realm: str,
        name: str,
        *,
        home_currency: str,
        zone: str,
        now: Callable[[], dt.datetime],
        on_change: Callable[[str, str, str, str], None],
    ) -> None:
        self.realm = realm
        self.home_currency = home_currency
        self.zone = ZoneInfo(zone)
        self.documents: dict[tuple[str, str], Document] = {}
        #: Deleted transactions and when, as CDC reports them.
        self.deleted: dict[tuple[str, str], str] = {}
        #: The company's own preference; the vendor refuses a used DocNumber (6140) only when it is on.
        self.warns_on_duplicate_numbers = False
        self._now = now
        self._on_change = on_change
        self._numbers = itertools.count(1)
        self.load("CompanyInfo", _company_info(name))
        self.load("Preferences", _preferences(home_currency))

    def now(self) -> dt.datetime:
        return self._now().astimezone(self.zone)

    def stamp(self) -> str:
        """The present moment as `MetaData` writes it."""
        return self.now().isoformat(timespec="seconds")

    def preference(self, group: str, name: str) -> Any:
        return self.documents["Preferences", "1"].get(group, {}).get(name)

    def rows(self, entity: str) -> list[Document]:
        return [document for (kind, _), document in self.documents.items() if kind == entity]

    def find(self, entity: str, number: str) -> Document:
        """The stored document itself; 610 when it is deleted or was never there."""
        if (entity, number) in self.deleted:
            raise VendorError("610", DELETED)
        if (entity, number) not in self.documents:
            raise VendorError("610", f"Object Not Found : {INACTIVE}")
        return self.documents[entity, number]

    def changed_since(self, entity: str, since: dt.datetime) -> list[Document]:
        """Rows as CDC gives them, oldest change first; a deleted one is a stub."""
        stubs: list[Document] = [
            {"domain": "QBO", "status": "Deleted", "Id": number, "MetaData": {"LastUpdatedTime": at}}
            for (kind, number), at in self.deleted.items()
            if kind == entity
        ]
        moments = [(dt.datetime.fromisoformat(row["MetaData"]["LastUpdatedTime"]), row) for row in self.rows(entity)]
        moments += [(dt.datetime.fromisoformat(stub["MetaData"]["LastUpdatedTime"]), stub) for stub in stubs]
        return [row for at, row in sorted(moments, key=lambda pair: pair[0]) if at >= since]

    def load(self, entity: str, document: Document) -> Document:
        """Keeps a full document exactly as it is, with its own times and SyncToken, and tells nobody."""
        self.documents[entity, document["Id"]] = exact(document)
        return exact(document)

    def put(self, entity: str, document: Document, operation: str = "") -> Document:
        """Adds the record, or replaces the one with its Id, as of now."""
        number = str(document.get("Id") or self._next_number(entity))
        before = self.documents.get((entity, number))
        if before:
            token = str(int(before["SyncToken"]) + 1)
            metadata = before["MetaData"]
        else:
            token = str(document.get("SyncToken", "0"))
            metadata = document.get("MetaData", {})
        stamp = self.stamp()
        full = {
            **({"Active": True} if entity in NAME_LISTS else {}),
            **exact(document),
            "domain": "QBO",
            "sparse": False,
            "Id": number,
            "SyncToken": token,
            "MetaData": {"CreateTime": stamp, **metadata, "LastUpdatedTime": stamp},
        }
        self.documents[entity, number] = full
        self.deleted.pop((entity, number), None)
        self._on_change(self.realm, entity, number, operation or _operation(entity, before, full))
        return exact(full)

    def change(self, entity: str, number: str, **fields: Any) -> Document:
        """Replaces top-level fields of the record."""
        return self.put(entity, {**self.find(entity, number), **fields})

    def delete(self, entity: str, number: str) -> Document:
        """Deletes a transaction for good; a name can only be made inactive, which is what this does to one."""
        document = self.find(entity, number)
        if entity in NAME_LISTS:
            return self.deactivate(entity, number)
        del self.documents[entity, number]
        self.deleted[entity, number] = self.stamp()
        self._on_change(self.realm, entity, number, "deleted")
        return document

    def deactivate(self, entity: str, number: str) -> Document:
        """Makes a name inactive."""
        document = self.find(entity, number)
        return self.put(entity, {**document, "Active": False, **with_deleted_mark(document)})

    def void(self, entity: str, number: str) -> Document:
        """Sets a transaction's amounts to zero; 500 for an entity that cannot be voided."""
        if "V" not in TRANSACTIONS.get(entity, ""):
            raise VendorError("500", "Operation void is not supported.", "Operation")
        document = self.find(entity, number)
        note = f"Voided - {document['PrivateNote']}" if document.get("PrivateNote") else "Voided"
        return self.put(entity, {**_zeroed(document), "PrivateNote": note, "LinkedTxn": []}, "voided")

    def _next_number(self, entity: str) -> str:
        keys = ((entity, str(number)) for number in self._numbers)
        return next(key[1] for key in keys if key not in self.documents and key not in self.deleted)


def _operation(entity: str, before: Document | None, after: Document) -> str:
    """How a write is announced: making a name inactive is its deletion, in the lists that have that operation."""
    if before is None:
        return "created"
    is_deactivation = before.get("Active", True) and after.get("Active") is False
    return "deleted" if is_deactivation and "D" in NAME_LISTS.get(entity, "") else "updated"


def with_deleted_mark(document: Document) -> Document:
    """The name fields of an inactive record: the vendor appends " (deleted)" to each, once."""
    names = {name: document[name] for name in _NAMES if name in document}
    return {name: text if text.endswith(" (deleted)") else f"{text} (deleted)" for name, text in names.items()}


def _zeroed(node: Any) -> Any:
    if isinstance(node, list):
        return [_zeroed(item) for item in node]
    if isinstance(node, dict):
        return {name: 0 if name in _ZERO_WHEN_VOID else _zeroed(value) for name, value in node.items()}
    return node


def _company_info(name: str) -> Document:
    return {
        "CompanyName": name,
        "LegalName": name,
        "CompanyAddr": {"Id": "1", "Line1": "2500 Garcia Ave", "City": "Mountain View", "Country": "USA"},
        "Country": "US",
        "Email": {"Address": "books@company.example"},
        "WebAddr": {},
        "SupportedLanguages": "en",
        "FiscalYearStartMonth": "January",
        "CompanyStartDate": "2015-06-05",
        "NameValue": [{"Name": "OfferingSku", "Value": "QuickBooks Online Plus"}],
        **_since_2015(),
    }


def _preferences(home_currency: str) -> Document:
    return {
        "AccountingInfoPrefs": {
            "UseAccountNumbers": True,
            "TrackDepartments": True,
            "DepartmentTerminology": "Location",
            "ClassTrackingPerTxn": False,
            "ClassTrackingPerTxnLine": True,
            "CustomerTerminology": "Customers",
            "FirstMonthOfFiscalYear": "January",
        },
        "SalesFormsPrefs": {"CustomTxnNumbers": False},
        "CurrencyPrefs": {"MultiCurrencyEnabled": False, "HomeCurrency": {"value": home_currency}},
        **_since_2015(),
    }


def _since_2015() -> Document:
    stamp = "2015-06-05T13:55:54-07:00"
    metadata = {"CreateTime": stamp, "LastUpdatedTime": stamp}
    return {"domain": "QBO", "sparse": False, "Id": "1", "SyncToken": "0", "MetaData": metadata}
