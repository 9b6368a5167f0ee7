"""What the stand-in lets an API client write, and what it refuses: the vendor's own checks, in its words.

`write` is one POST to an entity, or one item of a batch. Documented codes and texts are the vendor's; where the
vendor's reference names a rule but no code (line amounts below zero or finer than cents), 6000 stands in.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from sources.quickbooks_online.standin_books import (
    INACTIVE,
    NAME_LISTS,
    PEOPLE,
    TRANSACTIONS,
    Company,
    Document,
    exact,
    with_deleted_mark,
)
from sources.quickbooks_online.standin_faults import VendorError

_COMMON = "Id SyncToken MetaData domain sparse status CustomField"
#: Top-level properties the vendor knows; anything else is 2010. Entities not listed are not checked.
_PROPERTIES = {
    "Customer": f"{_COMMON} Active AlternatePhone ARAccountRef Balance BalanceWithJobs BillAddr BillWithParent "
    "BusinessNumber CompanyName CurrencyRef CustomerTypeRef DefaultTaxCodeRef DisplayName FamilyName Fax "
    "FullyQualifiedName GivenName GSTIN GSTRegistrationType IsProject Job Level MiddleName Mobile Notes "
    "OpenBalanceDate ParentRef PaymentMethodRef PreferredDeliveryMethod PrimaryEmailAddr PrimaryPhone "
    "PrimaryTaxIdentifier PrintOnCheckName ResaleNum SalesTermRef SecondaryTaxIdentifier ShipAddr Suffix Taxable "
    "TaxExemptionReasonId Title V4IDPseudonym WebAddr",
    "JournalEntry": f"{_COMMON} Adjustment CurrencyRef DepartmentRef DocNumber ExchangeRate GlobalTaxCalculation "
    "HomeTotalAmt JournalCodeRef Line LinkedTxn PrivateNote RecurDataRef TaxRateRef TotalAmt TransactionLocationType "
    "TxnDate TxnTaxDetail",
}
_REQUIRED = {
    "Account": ("Name",),
    "Bill": ("VendorRef", "Line"),
    "BillPayment": ("VendorRef", "PayType", "TotalAmt"),
    "Class": ("Name",),
    "Customer": ("DisplayName",),
    "Department": ("Name",),
    "Invoice": ("CustomerRef", "Line"),
    "Item": ("Name",),
    "JournalEntry": ("Line",),
    "Payment": ("CustomerRef", "TotalAmt"),
    "Vendor": ("DisplayName",),
}
_LENGTHS = {"DocNumber": 21, "PrivateNote": 4000, "DisplayName": 500}
#: What the vendor fills in on a new record.
_DEFAULTS: dict[str, Document] = {
    "Customer": {
        "Taxable": True,
        "Job": False,
        "BillWithParent": False,
        "Balance": 0,
        "BalanceWithJobs": 0,
        "PreferredDeliveryMethod": "Print",
        "DefaultTaxCodeRef": {"value": "2"},
    },
    "Vendor": {"Balance": 0, "Vendor1099": False},
    "JournalEntry": {"Adjustment": False, "TotalAmt": 0, "HomeTotalAmt": 0, "ExchangeRate": 1, "TxnTaxDetail": {}},
}
#: Kept by a full update although the client leaves them out.
_READ_ONLY = ("Balance", "BalanceWithJobs", "CurrentBalance", "FullyQualifiedName", "LinkedTxn", "TotalAmt")
_REFERENCES = {
    "AccountRef": "Account",
    "APAccountRef": "Account",
    "ARAccountRef": "Account",
    "AssetAccountRef": "Account",
    "BankAccountRef": "Account",
    "CCAccountRef": "Account",
    "DepositToAccountRef": "Account",
    "ExpenseAccountRef": "Account",
    "IncomeAccountRef": "Account",
    "ClassRef": "Class",
    "CustomerRef": "Customer",
    "DepartmentRef": "Department",
    "ItemRef": "Item",
    "VendorRef": "Vendor",
}
_CURRENCIES = {"USD": "United States Dollar", "GBP": "British Pound Sterling", "EUR": "Euro", "CAD": "Canadian Dollar"}
_BUSINESS = "Business Validation Error: "
_CLOSED = (
    "The account period has closed and the account books cannot be updated through the QBO Services API. "
    "Please use the QBO website to make these changes."
)
_STALE = (
    "Stale Object Error : You and Pat Example were working on this at the same time. "
    "Pat Example finished before you did, so your work was not saved."
)


def write(company: Company, entity: str, body: Any, operation: str = "") -> Document | None:
    """Does what the client asks and gives the entity's value in the answer; None for a void that does nothing.

    Without an operation, a body with an Id is an update and one without it a creation. Raises `VendorError`.
    """
    if not isinstance(body, dict):
        raise VendorError("2010", "Property Name:the request is not a JSON object", None)
    rule = {"": _create, "create": _create, "update": _update, "delete": _delete, "void": _void}.get(operation)
    if rule is None or entity not in (*TRANSACTIONS, *NAME_LISTS):
        raise VendorError("500", f"Operation {operation or entity} is not supported.", "Operation")
    return rule(company, entity, _present(exact(body)))


def _present(node: Any) -> Any:
    """The body without its nulls: to the vendor a null is a property that was left out."""
    if isinstance(node, list):
        return [_present(item) for item in node]
    if isinstance(node, dict):
        return {name: _present(value) for name, value in node.items() if value is not None}
    return node


def _create(company: Company, entity: str, body: Document) -> Document:
    if "Id" in body:
        return _update(company, entity, body)
    _check_body(company, entity, body)
    full = {**_DEFAULTS.get(entity, {}), **body}
    _fill(company, entity, full)
    _check_whole(company, entity, full)
    return company.put(entity, {name: value for name, value in full.items() if name != "MetaData"})


def _update(company: Company, entity: str, body: Document) -> Document:
    current = _current(company, entity, body)
    _check_body(company, entity, body)
    if body.get("sparse") is True:
        full = {**current, **body}
    else:
        kept = {name: current[name] for name in _READ_ONLY if name in current}
        full = {**_DEFAULTS.get(entity, {}), **kept, **body}
    _fill(company, entity, full)
    _check_whole(company, entity, full)
    if body.get("Active") is False:
        full |= with_deleted_mark(full)
    return company.put(entity, full)


def _delete(company: Company, entity: str, body: Document) -> Document:
    if entity in NAME_LISTS:
        raise VendorError("500", "Operation delete is not supported.", "Operation")
    _check_open_books(company, _current(company, entity, body))
    company.delete(entity, body["Id"])
    return {"domain": "QBO", "status": "Deleted", "Id": body["Id"]}


def _void(company: Company, entity: str, body: Document) -> Document | None:
    current = _current(company, entity, body)
    if entity == "JournalEntry":
        return None
    _check_open_books(company, current)
    return company.void(entity, body["Id"])


def _current(company: Company, entity: str, body: Document) -> Document:
    for name in ("Id", "SyncToken"):
        if name not in body:
            raise _missing(name)
    if not isinstance(body["Id"], str) or not body["Id"].isdecimal():
        raise VendorError("2030", "Invalid ID : Id is not a number", "Id")
    current = company.find(entity, body["Id"])
    if body["SyncToken"] != current["SyncToken"]:
        raise VendorError("5010", _STALE)
    return current


def _fill(company: Company, entity: str, full: Document) -> None:
    """What the vendor works out by itself."""
    if entity != "JournalEntry" or not company.preference("CurrencyPrefs", "MultiCurrencyEnabled"):
        full.setdefault("CurrencyRef", {"value": company.home_currency})
    if "CurrencyRef" in full:
        code = full["CurrencyRef"].get("value")
        full["CurrencyRef"] = {"value": code, "name": _CURRENCIES.get(code, code)}
    if entity in TRANSACTIONS:
        full.setdefault("TxnDate", company.now().date().isoformat())
        _fill_total(full)
        return
    full.setdefault("Active", True)
    if entity in PEOPLE:
        given = " ".join(str(full[name]) for name in ("GivenName", "FamilyName") if full.get(name))
        full.setdefault("DisplayName", given)
        full.setdefault("PrintOnCheckName", full["DisplayName"])
    if entity != "Vendor":
        parent = company.documents.get((entity, full.get("ParentRef", {}).get("value", "")), {})
        path = [parent.get("FullyQualifiedName", ""), full.get("DisplayName") or full.get("Name", "")]
        full["FullyQualifiedName"] = ":".join(filter(None, path))


def _fill_total(full: Document) -> None:
    if "TotalAmt" in full or "Line" not in full:
        return
    items = (line for line in full["Line"] if line.get("DetailType") != "SubTotalLineDetail")
    full["TotalAmt"] = sum((line.get("Amount", 0) for line in items), Decimal(0))
    full.setdefault("Balance", full["TotalAmt"])


def _check_body(company: Company, entity: str, body: Document) -> None:
    """What is wrong with the request, whatever the record was before."""
    if entity in _PROPERTIES:
        for name in sorted(body.keys() - set(_PROPERTIES[entity].split())):
            raise VendorError("2010", _unknown_property(entity, name), None)
    for name, value in body.items():
        if name.endswith("Ref") and not isinstance(value, dict):
            raise _malformed(name)
    for name, most in _LENGTHS.items():
        _check_length(name, body.get(name, ""), most)
    _check_lines(body.get("Line", []))
    if "TxnDate" in body:
        _check_date(body["TxnDate"])
    for kind, reference in _references(entity, body):
        _check_reference(company, kind, reference)


def _check_date(text: Any) -> None:
    try:
        dt.date.fromisoformat(text)
    except (TypeError, ValueError):
        raise _malformed("TxnDate") from None


def _check_lines(lines: Any) -> None:
    if not isinstance(lines, list) or not all(isinstance(line, dict) for line in lines):
        raise _malformed("Line")
    for line in lines:
        amount = line.get("Amount", 0)
        if isinstance(amount, bool) or not isinstance(amount, int | Decimal):
            raise VendorError("2080", "Amount should be a number", "Amount")


def _check_whole(company: Company, entity: str, full: Document) -> None:
    """What is wrong with the record as it would be."""
    for name in _REQUIRED.get(entity, ()):
        if full.get(name) in (None, "", []):
            raise _missing(name)
    if entity in PEOPLE:
        _check_name(company, entity, full)
    if entity in TRANSACTIONS:
        _check_open_books(company, full)
        _check_number(company, entity, full)
    if entity == "JournalEntry":
        _check_journal(company, full)


def _malformed(name: str) -> VendorError:
    return VendorError("2010", f"Property Name:{name} specified is unsupported or invalid", None)


def _unknown_property(entity: str, name: str) -> str:
    return (
        f'Property Name:Unrecognized field "{name}" (class com.intuit.schema.finance.v3.{entity}), '
        "not marked as ignorable specified is unsupported or invalid"
    )


def _missing(name: str) -> VendorError:
    return VendorError("2020", f"Required parameter {name} is missing in the request", name)


def _check_length(name: str, text: Any, most: int) -> None:
    if not isinstance(text, str):
        raise _malformed(name)
    if len(text) > most:
        supported = f"Min:0 Max:{most} supported. Supplied length:{len(text)}"
        raise VendorError(
            "2050", f"String length specified does not match the supported length. {supported}", element=name
        )


def _references(entity: str, node: Any) -> Iterator[tuple[str, Document]]:
    """Every reference in a body with the entity it must name."""
    if isinstance(node, list):
        for item in node:
            yield from _references(entity, item)
    if not isinstance(node, dict):
        return
    for name, value in node.items():
        kind = entity if name == "ParentRef" else _REFERENCES.get(name)
        if name == "EntityRef":
            kind = node.get("Type", "")
            if kind not in PEOPLE:
                raise VendorError("2170", f"Invalid Enumeration : {kind}", "Type")
        if kind:
            yield kind, value
        else:
            yield from _references(entity, value)


def _check_reference(company: Company, kind: str, reference: Any) -> None:
    """The reference must name a live record; its display name is filled in, as the vendor does."""
    number = reference.get("value") if isinstance(reference, dict) else None
    if not isinstance(number, str):
        raise VendorError("2500", f"Invalid Reference Id : {kind}s element id is missing")
    document = company.documents.get((kind, number))
    if document is None:
        raise VendorError("2500", f"Invalid Reference Id : {kind}s element id {number} not found")
    if document.get("Active") is False:
        raise VendorError("2500", f"Invalid Reference Id : {INACTIVE}")
    name = document.get("FullyQualifiedName") or document.get("Name") or document.get("DisplayName")
    if name:
        reference["name"] = name


def _check_name(company: Company, entity: str, full: Document) -> None:
    name = full["DisplayName"]
    if any(sign in name for sign in ":\t\n"):
        raise VendorError("6000", f"{_BUSINESS}A name cannot have a colon, a tab or a new line.")
    for kind in PEOPLE:
        for row in company.rows(kind):
            is_itself = (kind, row["Id"]) == (entity, full.get("Id"))
            if not is_itself and row.get("DisplayName", "").lower() == name.lower():
                raise VendorError("6240", "The name supplied already exists. : null", None)


def _check_open_books(company: Company, document: Document) -> None:
    closed = company.preference("AccountingInfoPrefs", "BookCloseDate")
    if closed and document.get("TxnDate", "9999-12-31") <= closed:
        raise VendorError("6210", _CLOSED)


def _check_number(company: Company, entity: str, full: Document) -> None:
    number = full.get("DocNumber")
    if not number or not company.warns_on_duplicate_numbers:
        return
    if any(row.get("DocNumber") == number and row["Id"] != full.get("Id") for row in company.rows(entity)):
        text = "You must specify a different number. This number has already been used."
        raise VendorError("6140", f"Duplicate Document Number Error : {text}")


def _check_journal(company: Company, full: Document) -> None:
    if "CurrencyRef" not in full:
        raise _missing("CurrencyRef")
    currency = full["CurrencyRef"]["value"]
    if currency != company.home_currency and not company.preference("CurrencyPrefs", "MultiCurrencyEnabled"):
        raise VendorError("6000", f"{_BUSINESS}The company does not use the currency {currency}.")
    totals = {"Debit": Decimal(0), "Credit": Decimal(0)}
    for place, line in enumerate(full["Line"]):
        if line.get("DetailType") != "DescriptionOnly":
            _check_journal_line(company, line, totals)
        line["Id"] = str(place)
    if totals["Debit"] != totals["Credit"]:
        raise VendorError("6000", f"{_BUSINESS}The debits must be equal to the credits.")
    if not totals["Debit"]:
        raise VendorError("6000", f"{_BUSINESS}You must set a transaction amount.")


def _check_journal_line(company: Company, line: Document, totals: dict[str, Decimal]) -> None:
    detail = line.get("JournalEntryLineDetail")
    if line.get("DetailType") != "JournalEntryLineDetail" or not isinstance(detail, dict):
        raise VendorError("2170", "Invalid Enumeration : DetailType", "DetailType")
    if "Amount" not in line:
        raise _missing("Amount")
    amount = line["Amount"]
    if amount < 0 or amount != round(amount, 2):
        raise VendorError("6000", f"{_BUSINESS}The amount of a line must be positive and in whole cents.")
    if "AccountRef" not in detail:
        raise _missing("AccountRef")
    if detail.get("PostingType") not in totals:
        raise VendorError("2170", "Invalid Enumeration : PostingType", "PostingType")
    _check_length("Description", line.get("Description", ""), 4000)
    totals[detail["PostingType"]] += amount
    _check_party(company, detail)


def _check_party(company: Company, detail: Document) -> None:
    account = company.documents.get(("Account", detail["AccountRef"]["value"]), {})
    entity = detail.get("Entity")
    party = entity.get("Type") if isinstance(entity, dict) and "EntityRef" in entity else ""
    if account.get("AccountType") == "Accounts Receivable" and party != "Customer":
        text = "When you use Accounts Receivable, you must choose a customer in the Name field."
        raise VendorError("6000", f"{_BUSINESS}{text}")
    if account.get("AccountType") == "Accounts Payable" and party != "Vendor":
        text = "When you use Accounts Payable, you must choose a vendor in the Name field."
        raise VendorError("6000", f"{_BUSINESS}{text}")
