"""The stand-in's reading of qbXML requests: what QuickBooks accepts, and what it refuses without a word of why.

The grammar is a DTD after Intuit's qbXML 13.0 operations file, for the queries of a reader. Everything else, writing
requests above all, is refused: hresult 0x80040400 for the whole document.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import io
import re
from collections.abc import Iterator

from lxml import etree

from sources.quickbooks_desktop.standin_layouts import LISTS, TRANSACTIONS

VERSIONS = (
    *("1.0", "1.1", "2.0", "2.1", "3.0", "4.0", "4.1", "5.0", "6.0", "7.0", "8.0", "9.0", "10.0", "11.0", "12.0"),
    *("13.0", "14.0", "15.0", "16.0"),
)
DELETED_TRANSACTIONS = (
    *TRANSACTIONS,
    *("ARRefundCreditCard", "BuildAssembly", "Charge", "Check", "CreditCardCharge", "CreditCardCredit", "CreditMemo"),
    *("Deposit", "Estimate", "InventoryAdjustment", "ItemReceipt", "JournalEntry", "SalesOrder", "SalesReceipt"),
    *("TimeTracking", "VehicleMileage", "VendorCredit"),
)
_TAIL = "IncludeRetElement*, OwnerID*"
_LIST = (
    "((ListID+ | FullName+ | (MaxReturned?, ActiveStatus?, FromModifiedDate?, ToModifiedDate?,"
    " (NameFilter | NameRangeFilter)?, TotalBalanceFilter?, CurrencyFilter?, ClassFilter?)), " + _TAIL + ")"
)
_TRANSACTION = (
    "((TxnID+ | RefNumber+ | RefNumberCaseSensitive+ | (MaxReturned?, (ModifiedDateRangeFilter | TxnDateRangeFilter)?,"
    " EntityFilter?, AccountFilter?, (RefNumberFilter | RefNumberRangeFilter)?, CurrencyFilter?{paid})),"
    " IncludeLineItems?{linked}, " + _TAIL + ")"
)
_PAID, _LINKED = ", PaidStatus?", ", IncludeLinkedTxns?"
_MODELS = {
    **{f"{kind}QueryRq": _LIST for kind in LISTS},
    "BillQueryRq": _TRANSACTION.format(paid=_PAID, linked=_LINKED),
    "InvoiceQueryRq": _TRANSACTION.format(paid=_PAID, linked=_LINKED),
    "PurchaseOrderQueryRq": _TRANSACTION.format(paid="", linked=_LINKED),
    "BillPaymentCheckQueryRq": _TRANSACTION.format(paid="", linked=""),
    "BillPaymentCreditCardQueryRq": _TRANSACTION.format(paid="", linked=""),
    "ReceivePaymentQueryRq": _TRANSACTION.format(paid="", linked=""),
}
_ITERABLE = tuple(_MODELS)
_MODELS |= {
    "TxnDeletedQueryRq": "(TxnDelType+, DeletedDateRangeFilter?, IncludeRetElement*)",
    "ListDeletedQueryRq": "(ListDelType+, DeletedDateRangeFilter?, IncludeRetElement*)",
    "HostQueryRq": "(IncludeRetElement*)",
    "CompanyQueryRq": f"({_TAIL})",
    "PreferencesQueryRq": "(IncludeRetElement*)",
}
_BY_ENTITY = "(ListID+ | FullName+ | ListIDWithChildren | FullNameWithChildren)"
_GROUPS = {
    "QBXML": "(QBXMLMsgsRq)",
    "QBXMLMsgsRq": f"({' | '.join(_MODELS)})+",
    **_MODELS,
    "ModifiedDateRangeFilter": "(FromModifiedDate?, ToModifiedDate?)",
    "TxnDateRangeFilter": "((FromTxnDate?, ToTxnDate?) | DateMacro)",
    "DeletedDateRangeFilter": "((FromDeletedDate?, ToDeletedDate?) | DeletedDateMacro)",
    "EntityFilter": _BY_ENTITY,
    "AccountFilter": _BY_ENTITY,
    "ClassFilter": _BY_ENTITY,
    "CurrencyFilter": "(ListID+ | FullName+)",
    "NameFilter": "(MatchCriterion, Name)",
    "NameRangeFilter": "(FromName?, ToName?)",
    "RefNumberFilter": "(MatchCriterion, RefNumber)",
    "RefNumberRangeFilter": "(FromRefNumber?, ToRefNumber?)",
    "TotalBalanceFilter": "(Operator, Amount)",
}
_LEAVES = sorted({name for model in _GROUPS.values() for name in re.findall(r"\w+", model)} - _GROUPS.keys())
_ATTRIBUTES = "requestID CDATA #IMPLIED metaData (NoMetaData|MetaDataOnly|MetaDataAndResponseData) #IMPLIED"
_ITERATOR = "iterator (Start|Continue|Stop) #IMPLIED iteratorID CDATA #IMPLIED"
_ON_ERROR = "onError (stopOnError|continueOnError|rollbackOnError) #REQUIRED"

#: Values that are part of the grammar: a wrong one is a parsing error.
_ENUMERATIONS = {
    "ActiveStatus": ("ActiveOnly", "InactiveOnly", "All"),
    "PaidStatus": ("All", "PaidOnly", "NotPaidOnly"),
    "MatchCriterion": ("StartsWith", "Contains", "EndsWith"),
    "TxnDelType": DELETED_TRANSACTIONS,
    "ListDelType": LISTS,
}
_BOOLEANS = ("IncludeLineItems", "IncludeLinkedTxns")
_DATE_TIME = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\d([+-]\d\d:\d\d)?)?")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_HEAD = re.compile(r"""<\?xml version=["']1\.0["']( encoding=["'][\w-]+["'])? ?\?>""")
_VERSION = re.compile(r"""version=["']([\w.]+)["']""")


class HResult(Exception):
    """QuickBooks refuses: `code` as the Web Connector passes it on."""

    def __init__(self, code: str, message: str = "") -> None:
        self.code = code
        self.message = message or HRESULTS.get(code, "QuickBooks reported an error.")
        super().__init__(f"{self.code} {self.message}")


HRESULTS = {
    "0x80040400": "QuickBooks found an error when parsing the provided XML text stream.",
    "0x80040401": "Could not access QuickBooks.",
    "0x80040402": "Unexpected error. Check the qbsdklog.txt file for possible, additional information.",
    "0x80040403": "Could not open the specified QuickBooks company data file.",
    "0x80040408": "Could not start QuickBooks.",
    "0x8004040A": "A QuickBooks company data file is already open and it is different from the one requested.",
    "0x80040410": "The QuickBooks company data file is currently open in a mode other than the one specified.",
    "0x80040414": "A modal dialog box is showing in the QuickBooks user interface.",
    "0x80040416": "If QuickBooks is not running, a call to BeginSession must include the name of the data file.",
    "0x80040417": "If the QuickBooks company data file is not open, BeginSession must include its name.",
    "0x80040418": "This application has not accessed this QuickBooks company data file before.",
    "0x80040420": "The QuickBooks user has denied access.",
    "0x80040424": "QuickBooks did not finish its initialization. Please try again later.",
}
PARSING = "0x80040400"


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """A document that QuickBooks understands."""

    version: str
    on_error: str
    queries: tuple[etree._Element, ...]

    def has_currencies(self) -> bool:
        return float(self.version) >= 8


class BadValue(Exception):
    """A value that QuickBooks cannot convert: an error status of that query alone."""

    def __init__(self, code: int, kind: str, element: str, text: str) -> None:
        self.code = code
        super().__init__(f'There was an error when converting the {kind} value "{text}" in the field "{element}"')


def _dtd() -> etree.DTD:
    lines = [f"<!ELEMENT {name} {model}>" for name, model in _GROUPS.items()]
    lines += [f"<!ELEMENT {name} (#PCDATA)>" for name in _LEAVES]
    lines += [f"<!ATTLIST {name} {_ATTRIBUTES}>" for name in _MODELS]
    lines += [f"<!ATTLIST {name} {_ITERATOR}>" for name in _ITERABLE]
    lines.append(f"<!ATTLIST QBXMLMsgsRq {_ON_ERROR} responseData (includeAll|includeNone) #IMPLIED>")
    return etree.DTD(io.StringIO("\n".join(lines)))


def read(text: str, versions: tuple[str, ...] = VERSIONS) -> Request:
    """The request in a document. Raises `HResult` 0x80040400; its cause says why, which QuickBooks does not."""
    try:
        return _read(text, versions)
    except (ValueError, etree.XMLSyntaxError) as error:
        raise HResult(PARSING) from error


def _read(text: str, versions: tuple[str, ...]) -> Request:
    head = _HEAD.match(text)
    if head is None:
        raise ValueError("the document does not begin with an XML declaration")
    if "<!DOCTYPE" in text:
        raise ValueError("a DOCTYPE")
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    root = etree.fromstring(text[head.end() :].encode(), parser)
    version = _version(root)
    if version not in versions:
        raise ValueError(f"this QuickBooks does not know qbXML {version}")
    dtd = _dtd()
    if not dtd.validate(root):
        raise ValueError(str(dtd.error_log))
    queries = tuple(query for query in root[0] if isinstance(query.tag, str))
    for query in queries:
        _check_grammar_values(query)
    return Request(version, root[0].get("onError", ""), queries)


def _version(root: etree._Element) -> str:
    previous = root.getprevious()
    found = _VERSION.search(previous.text or "") if isinstance(previous, etree._ProcessingInstruction) else None
    if previous is None or found is None or getattr(previous, "target", "") != "qbxml":
        raise ValueError("no qbxml instruction with a version before the root")
    return found[1]


def _check_grammar_values(query: etree._Element) -> None:
    for name, text in _leaves(query):
        known = _ENUMERATIONS.get(name)
        if known is not None and text not in known:
            raise ValueError(f"{name} cannot be {text}")
        if name == "MaxReturned" and not re.fullmatch(r"[1-9]\d{0,8}", text):
            raise ValueError(f"MaxReturned cannot be {text}")
    kind = query.get("iterator")
    if (kind in ("Continue", "Stop")) != ("iteratorID" in query.attrib):
        raise ValueError("iteratorID belongs to a continued iterator, and to no other query")
    if kind in ("Start", "Continue") and query.find("MaxReturned") is None:
        raise ValueError("an iterator without MaxReturned")


def check_values(query: etree._Element) -> None:
    """Raises `BadValue` for what is no date or boolean."""
    for name, text in _leaves(query):
        if name in _BOOLEANS and text not in ("true", "false", "1", "0"):
            raise BadValue(3010, "boolean", name, text)
        if name.endswith("Date"):
            pattern = _DATE if "Txn" in name else _DATE_TIME
            try:
                dt.datetime.fromisoformat(text if pattern.fullmatch(text) else "")
            except ValueError:
                raise BadValue(3020, "date", name, text) from None


def _leaves(query: etree._Element) -> Iterator[tuple[str, str]]:
    for element in query.iter():
        if isinstance(element.tag, str) and not len(element) and element is not query:
            yield element.tag, element.text or ""
