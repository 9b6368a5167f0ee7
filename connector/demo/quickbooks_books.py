"""The books of Acme Services LLC in QuickBooks Online: what stands in them, and what a bookkeeper enters.

Documents in the vendor's own form, and the words with which a message about each must begin. These words are written
here a second time on purpose: they judge what the connector says.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from sources.quickbooks_online.standin import IntuitStandIn

REALM = "9130350000000001"
ZONE = "America/Chicago"

Document = dict[str, Any]

VENDORS = {
    "30": "Cascade Print and Mail",
    "31": "Lakeshore Electric Cooperative",
    "32": "Maple Leaf Surveying",
    "33": "Nakamura Instruments",
    "34": "Prairie Office Supply",
    "35": "Iron Range Steel",
}
CUSTOMERS = {
    "50": "Northwind Dental Group",
    "51": "Harbor County Schools",
    "52": "Isar Brückenbau GmbH",
    "53": "Redwood Property Trust",
    "54": "Thames Valley Estates",
}
ACCOUNTS = {
    "4": "Undeposited Funds",
    "7": "Office Supplies",
    "33": "Accounts Payable (A/P)",
    "35": "Checking",
    "60": "Payroll Wages",
    "61": "Payroll Taxes",
    "64": "Job Materials",
    "70": "Depreciation",
    "71": "Accumulated Depreciation",
    "72": "Prepaid Insurance",
    "73": "Insurance",
}
DEPARTMENTS = {"1": "Chicago Office", "2": "Field Crews"}
CLASSES = {"5000000000000007280": "Bridge Retrofit"}
BRIDGE = next(iter(CLASSES))
_LISTS = {"Vendor": VENDORS, "Customer": CUSTOMERS, "Account": ACCOUNTS, "Department": DEPARTMENTS, "Class": CLASSES}
_LONG_AGO = "2021-02-01T09:00:00-06:00"
_SYMBOLS = {"USD": "$", "EUR": "€", "GBP": "£", "CAD": "CA$", "JPY": "¥"}
#: Entity -> its word in a message, where its number stands, and where its party does.
_WORDS = {
    "Bill": ("Bill", "DocNumber", "VendorRef"),
    "BillPayment": ("Bill payment", "DocNumber", "VendorRef"),
    "Invoice": ("Invoice", "DocNumber", "CustomerRef"),
    "Payment": ("Payment", "PaymentRefNum", "CustomerRef"),
    "JournalEntry": ("Journal entry", "DocNumber", ""),
    "Vendor": ("Vendor", "AcctNum", ""),
    "Customer": ("Customer", "AcctNum", ""),
}


def open_company(intuit: IntuitStandIn) -> dict[str, str]:
    """The company as it stood before the day began; the variables that hold its tokens."""
    intuit.add_company(REALM, "Acme Services LLC", zone=ZONE)
    for entity, names in _LISTS.items():
        key = "DisplayName" if entity in ("Vendor", "Customer") else "Name"
        for number, name in names.items():
            times = {"CreateTime": _LONG_AGO, "LastUpdatedTime": _LONG_AGO}
            fixed = {"domain": "QBO", "sparse": False, "SyncToken": "0", "Active": True, "MetaData": times}
            full = {} if key == "DisplayName" else {"FullyQualifiedName": name}
            intuit.load(REALM, entity, {"Id": number, key: name, **full, **fixed})
    tokens = intuit.issue_tokens(REALM)
    return {"QBO_ACCESS": tokens["access_token"], "QBO_REFRESH": tokens["refresh_token"]}


def bill(
    number: str, vendor: str, amount: str, what: str, *, currency: str = "USD", memo: str = "", **where: str
) -> Document:
    """A bill of one line; `where` may name an `account`, a `department` and a `class_` by ID."""
    account = where.get("account", "7")
    detail: Document = {"AccountRef": _ref(account, ACCOUNTS), "BillableStatus": "NotBillable"}
    if "class_" in where:
        detail["ClassRef"] = {"value": where["class_"]}
    return {
        **_head(number, amount, currency, memo),
        **({"DepartmentRef": {"value": where["department"]}} if "department" in where else {}),
        "VendorRef": _ref(vendor, VENDORS),
        "APAccountRef": _ref("33", ACCOUNTS),
        "Balance": Decimal(amount),
        "DueDate": day(30),
        "SalesTermRef": {"value": "3", "name": "Net 30"},
        "Line": [_line(1, what, amount, "AccountBasedExpenseLineDetail", detail)],
    }


def invoice(
    number: str, customer: str, amount: str, what: str, *, currency: str = "USD", rate: str = "", memo: str = ""
) -> Document:
    """An invoice of one line; `rate` is what one unit of its currency is worth in the company's."""
    detail = {"ItemRef": {"value": "1", "name": "Services"}, "Qty": 1, "UnitPrice": Decimal(amount)}
    return {
        **_head(number, amount, currency, memo),
        **({"ExchangeRate": Decimal(rate)} if rate else {}),
        "CustomerRef": _ref(customer, CUSTOMERS),
        "Balance": Decimal(amount),
        "DueDate": day(15),
        "EmailStatus": "NotSet",
        "Line": [_line(1, what, amount, "SalesItemLineDetail", detail)],
    }


def payment(number: str, amount: str, settled: Document) -> Document:
    """Money from a customer for one invoice."""
    pair = {"name": "NameValue", "value": {"Name": "txnReferenceNumber", "Value": settled["DocNumber"]}}
    link = {"TxnId": settled["Id"], "TxnType": "Invoice"}
    return {
        "PaymentRefNum": number,
        "TxnDate": day(),
        "TotalAmt": Decimal(amount),
        "UnappliedAmt": 0,
        "CurrencyRef": settled["CurrencyRef"],
        "CustomerRef": settled["CustomerRef"],
        "DepositToAccountRef": {"value": "4"},
        "Line": [{"Amount": Decimal(amount), "LinkedTxn": [link], "LineEx": {"any": [pair]}}],
    }


def bill_payment(number: str, *settled: Document) -> Document:
    """A check for some bills of one vendor and currency."""
    return {
        "DocNumber": number,
        "TxnDate": day(),
        "TotalAmt": sum((Decimal(each["TotalAmt"]) for each in settled), Decimal(0)),
        "PayType": "Check",
        "CheckPayment": {"PrintStatus": "NotSet", "BankAccountRef": _ref("35", ACCOUNTS)},
        "CurrencyRef": settled[0]["CurrencyRef"],
        "VendorRef": settled[0]["VendorRef"],
        "Line": [
            {"Amount": each["TotalAmt"], "LinkedTxn": [{"TxnId": each["Id"], "TxnType": "Bill"}]} for each in settled
        ],
    }


def journal_entry(number: str, memo: str, debits: dict[str, str], credit: str) -> Document:
    """Amounts by account against one other account, in the field crews' department."""
    rows = [("Debit", account, amount) for account, amount in debits.items()]
    rows.append(("Credit", credit, str(sum(map(Decimal, debits.values()), Decimal(0)))))
    return {
        "DocNumber": number,
        "TxnDate": day(),
        "PrivateNote": memo,
        "TotalAmt": 0,
        "CurrencyRef": {"value": "USD", "name": "USD"},
        "Line": [
            _line(position, memo, amount, "JournalEntryLineDetail", _posting(kind, account))
            for position, (kind, account, amount) in enumerate(rows)
        ],
    }


def person(name: str, email: str) -> Document:
    """A vendor or a customer."""
    return {"DisplayName": name, "PrimaryEmailAddr": {"Address": email}, "Balance": 0}


def day(ahead: int = 0) -> str:
    """Today where the company is, or so many days later."""
    return (dt.datetime.now(ZoneInfo(ZONE)).date() + dt.timedelta(days=ahead)).isoformat()


def headline(entity: str, document: Document, done: str) -> str:
    """How the text of a message about it must begin."""
    word, number, party = _WORDS[entity]
    head = " ".join(filter(None, (word, document.get(number, ""), done)))
    who = document[party]["name"] if party else document.get("DisplayName", "")
    return f"{head}: {', '.join(filter(None, (who, _total(entity, document))))}"


def _total(entity: str, document: Document) -> str:
    if entity in ("Vendor", "Customer"):
        return ""
    amount = Decimal(document["TotalAmt"])
    if entity == "JournalEntry":
        lines = ((line["JournalEntryLineDetail"]["PostingType"], line["Amount"]) for line in document["Line"])
        amount = sum((Decimal(each) for kind, each in lines if kind == "Debit"), Decimal(0))
    currency = document["CurrencyRef"]["value"]
    return f"{_SYMBOLS[currency]}{amount:,.{0 if currency == 'JPY' else 2}f}"


def _head(number: str, amount: str, currency: str, memo: str) -> Document:
    return {
        "DocNumber": number,
        "TxnDate": day(),
        "TotalAmt": Decimal(amount),
        "CurrencyRef": {"value": currency, "name": currency},
        "PrivateNote": memo,
        "LinkedTxn": [],
    }


def _line(position: int, what: str, amount: str, kind: str, detail: Document) -> Document:
    return {"Id": str(position), "Description": what, "Amount": Decimal(amount), "DetailType": kind, kind: detail}


def _posting(kind: str, account: str) -> Document:
    return {"PostingType": kind, "AccountRef": _ref(account, ACCOUNTS), "DepartmentRef": {"value": "2"}}


def _ref(number: str, names: dict[str, str]) -> Document:
    return {"value": number, "name": names[number]}
