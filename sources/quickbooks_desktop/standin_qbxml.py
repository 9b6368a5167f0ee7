"""The stand-in's QuickBooks: opens a company file and answers qbXML queries about it, page by page."""

from __future__ import annotations

import dataclasses
import datetime as dt
import re
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from xml.sax.saxutils import escape

from lxml import etree

from sources.quickbooks_desktop.standin_company import Company, Deletion, Fields, Record, Value, id_name
from sources.quickbooks_desktop.standin_grammar import VERSIONS, BadValue, HResult, check_values, read
from sources.quickbooks_desktop.standin_layouts import LINES, LISTS

OK = "Status OK"
NO_MATCH = "A query request did not find a matching object in QuickBooks"
_NO_ITERATOR = "{00000000-0000-0000-0000-000000000000}"
_QUOTE = {'"': "&quot;"}
#: How far back deletions are remembered.
_REMEMBERED = dt.timedelta(days=90)
_DAY_END = dt.time(23, 59, 59)
#: Allowed by the grammar, but not acted upon here: a wrong answer would be worse than none.
_UNSUPPORTED = {
    *("NameFilter", "NameRangeFilter", "TotalBalanceFilter", "CurrencyFilter", "ClassFilter", "AccountFilter"),
    *("RefNumberFilter", "RefNumberRangeFilter", "DateMacro", "DeletedDateMacro"),
    *("ListIDWithChildren", "FullNameWithChildren"),
}


@dataclasses.dataclass(slots=True)
class _Iterator:
    filters: tuple[str, ...]
    ids: list[str]


@dataclasses.dataclass(frozen=True, slots=True)
class _Result:
    """What a query found: rows as XML, and its status."""

    rows: tuple[str, ...] = ()
    code: int = 0
    message: str = OK
    more: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def severity(self) -> str:
        return "Info" if self.code < 500 else "Warn" if self.code < 1000 else "Error"


class QuickBooks:
    """QuickBooks on one PC with one company file. A session is what an application opens by `begin`."""

    def __init__(self, company: Company, *, versions: tuple[str, ...] = VERSIONS, country: str = "US") -> None:
        self.company = company
        self.versions = versions
        self.country = country
        self.product = "QuickBooks Enterprise Solutions 24.0"
        #: Whether the file is open on the screen; if not, an application must name it.
        self.is_open = True
        #: Raised by `begin`, while set: QuickBooks cannot be reached.
        self.problem: HResult | None = None
        #: Request name -> (statusCode, statusMessage) that QuickBooks answers to it, while set.
        self.refusals: dict[str, tuple[int, str]] = {}
        #: What an application asked that QuickBooks refuses, with the reason that QuickBooks does not give.
        self.violations: list[str] = []
        self.new_guid: Callable[[], str] = lambda: f"{{{uuid.uuid4()}}}"
        self._iterators: dict[str, _Iterator] = {}

    def begin(self, path: str = "") -> None:
        """BeginSession: with "" the file that is open, else that file. Raises `HResult`."""
        if self.problem is not None:
            raise self.problem
        if not path and not self.is_open:
            raise HResult("0x80040417")
        if path and path.lower() != self.company.path.lower():
            raise HResult("0x8004040A" if self.is_open else "0x80040403")
        self._iterators = {}

    def end(self) -> None:
        """EndSession: iterators end with it."""
        self._iterators = {}

    def process(self, text: str) -> str:
        """ProcessRequest: the answer to a qbXML document. Raises `HResult`."""
        try:
            request = read(text, self.versions)
        except HResult as refusal:
            self.violations.append(f"{refusal}: {refusal.__cause__}")
            raise
        answers = []
        with self.company.lock:
            for query in request.queries:
                result = self._answer(query, has_currencies=request.has_currencies())
                answers.append(_response(query, result))
                if result.severity == "Error" and request.on_error == "stopOnError":
                    break
        return f'<?xml version="1.0" ?>\n<QBXML>\n<QBXMLMsgsRs>\n{"".join(answers)}</QBXMLMsgsRs>\n</QBXML>\n'

    # --- queries -----------------------------------------------------------------------------------------------------

    def _answer(self, query: etree._Element, *, has_currencies: bool) -> _Result:
        name = str(query.tag)
        if name in self.refusals:
            return _Result((), *self.refusals[name])
        if len(query.get("requestID", "")) > 50:
            return self._wrong(1060, "The request ID is too long.")
        try:
            check_values(query)
        except BadValue as bad:
            return self._wrong(bad.code, str(bad))
        unknown = sorted({str(each.tag) for each in query.iter()} & _UNSUPPORTED)
        if unknown:
            return self._wrong(1030, f"The stand-in does not know {', '.join(unknown)}.")
        kind = name.removesuffix("QueryRq")
        special = {
            "Host": self._host,
            "Company": self._company,
            "Preferences": self._preferences,
            "TxnDeleted": self._deleted,
            "ListDeleted": self._deleted,
        }.get(kind)
        return special(query) if special else self._records(kind, query, has_currencies=has_currencies)

    def _wrong(self, code: int, message: str) -> _Result:
        self.violations.append(f"{code} {message}")
        return _Result((), code, message)

    def _records(self, kind: str, query: etree._Element, *, has_currencies: bool) -> _Result:
        named = [str(child.tag) for child in query if child.tag in ("ListID", "FullName", "TxnID", "RefNumber")]
        if named:
            ids, result = self._named(kind, query, named[0])
        elif query.get("iterator"):
            ids, result = self._page(kind, query)
        else:
            most = _text(query, "MaxReturned")
            ids, result = self._matching(kind, query)[: int(most) if most else None], _Result()
        rows = tuple(self._row(self.company.records[each], query, has_currencies=has_currencies) for each in ids)
        if not rows and not result.code:
            result = dataclasses.replace(result, code=1, message=NO_MATCH)
        return dataclasses.replace(result, rows=rows)

    def _named(self, kind: str, query: etree._Element, by: str) -> tuple[list[str], _Result]:
        wanted = [child.text or "" for child in query.findall(by)]
        found: dict[str, list[str]] = {text: [] for text in wanted}
        for record in self._of(kind):
            names = {id_name(kind): record.id, "FullName": record.fields.get("Name"), **record.fields}
            if names.get(by) in found:
                found[names[by]].append(record.id)
        missing = [text for text, ids in found.items() if not ids]
        ids = [each for text in wanted for each in found[text]]
        if not missing:
            return ids, _Result()
        if by == "TxnID" and not ids:
            why = "Invalid argument.  The specified record does not exist in the list."
            text = f'Object "{missing[0]}" specified in the request cannot be found.  QuickBooks error message: {why}'
            return [], _Result((), 3120, text)
        text = f'There was a required element ("{missing[0]}") that could not be found in QuickBooks.'
        return ids, _Result((), 500, f"The query request has not been fully completed. {text}")

    def _page(self, kind: str, query: etree._Element) -> tuple[list[str], _Result]:
        filters = (kind, *(_canonical(child) for child in query if child.tag != "MaxReturned"))
        key = query.get("iteratorID") or self.new_guid()
        if query.get("iterator") == "Start":
            self._iterators[key] = _Iterator(filters, self._matching(kind, query))
        found = self._iterators.get(key)
        if found is None or found.filters != filters:
            return [], self._wrong(3391, f'The iteratorID "{key}" is not valid.')
        if query.get("iterator") == "Stop":
            del self._iterators[key]
            return [], _Result(more={"iteratorRemainingCount": "0", "iteratorID": key})
        most = int(_text(query, "MaxReturned") or 0)
        page, found.ids = found.ids[:most], found.ids[most:]
        left = len(found.ids)
        if not left:
            del self._iterators[key]
        ids = [each for each in page if each in self.company.records]
        shown = key if page else _NO_ITERATOR
        return ids, _Result(more={"iteratorRemainingCount": str(left), "iteratorID": shown})

    def _of(self, kind: str) -> list[Record]:
        return [record for record in self.company.records.values() if record.kind == kind]

    def _matching(self, kind: str, query: etree._Element) -> list[str]:
        """IDs in no order that is anybody's promise."""
        active = _text(query, "ActiveStatus") or "ActiveOnly"
        wanted = {"ActiveOnly": ("true",), "InactiveOnly": ("false",)}.get(active, ("true", "false"))
        paid = {"PaidOnly": "true", "NotPaidOnly": "false"}.get(_text(query, "PaidStatus"))
        entities = [child.text for child in query.iterfind("EntityFilter/*")]
        modified = self._range(query, "FromModifiedDate", "ToModifiedDate")
        dated = self._range(query, "FromTxnDate", "ToTxnDate")
        return [
            record.id
            for record in self._of(kind)
            if modified(self.company.wall(record.modified))
            and (kind not in LISTS or record.fields.get("IsActive", "true") in wanted)
            and (paid is None or record.fields.get("IsPaid") == paid)
            and (not entities or not _parties(record).isdisjoint(entities))
            and (kind in LISTS or dated(dt.datetime.fromisoformat(record.fields["TxnDate"])))
        ]

    def _range(self, query: etree._Element, first: str, last: str) -> Callable[[dt.datetime], bool]:
        """Both ends belong to it; by the PC's wall clock."""
        since = self._wall(query, first, dt.time.min) or dt.datetime.min  # noqa: DTZ901
        until = self._wall(query, last, _DAY_END) or dt.datetime.max  # noqa: DTZ901
        return lambda moment: since <= moment <= until

    def _wall(self, query: etree._Element, name: str, day_part: dt.time) -> dt.datetime | None:
        text = next((each.text or "" for each in query.iter(name)), "")
        if not text:
            return None
        moment = dt.datetime.fromisoformat(text)
        if "T" not in text:
            moment = dt.datetime.combine(moment, day_part)
        return self.company.wall(moment) if moment.tzinfo else moment

    def _row(self, record: Record, query: etree._Element, *, has_currencies: bool) -> str:
        head = {
            id_name(record.kind): record.id,
            "TimeCreated": self.company.stamp(record.created),
            "TimeModified": self.company.stamp(record.modified),
            "EditSequence": str(record.sequence),
        }
        owners = [child.text for child in query.findall("OwnerID")]
        named = {child.text for child in query.findall("IncludeRetElement")}
        hidden = set() if _is_true(query, "IncludeLineItems") else set(LINES.get(record.kind, ()))
        hidden |= set() if _is_true(query, "IncludeLinkedTxns") else {"LinkedTxn"}
        hidden |= set() if has_currencies else {"CurrencyRef", "ExchangeRate"}
        fields: Fields = {**head, **{name: value for name, value in record.fields.items() if name not in hidden}}
        if "DataExtRet" in fields:
            fields["DataExtRet"] = [each for each in fields["DataExtRet"] if each["OwnerID"] in owners]
        return _element(f"{record.kind}Ret", {n: v for n, v in fields.items() if not named or n in named})

    # --- deletions and the three questions of the Web Connector ------------------------------------------------------

    def _deleted(self, query: etree._Element) -> _Result:
        prefix = "Txn" if str(query.tag).startswith("Txn") else "List"
        kinds = {child.text for child in query.findall(f"{prefix}DelType")}
        within = self._range(query, "FromDeletedDate", "ToDeletedDate")
        oldest = self.company.now() - _REMEMBERED
        found = [
            each
            for each in self.company.deletions
            if each.kind in kinds and each.deleted >= oldest and within(self.company.wall(each.deleted))
        ]
        rows = tuple(self._deletion(prefix, each) for each in found)
        return _Result(rows) if rows else _Result((), 1, NO_MATCH)

    def _deletion(self, prefix: str, deletion: Deletion) -> str:
        fields = {
            f"{prefix}DelType": deletion.kind,
            f"{prefix}ID": deletion.id,
            "TimeCreated": self.company.stamp(deletion.created),
            "TimeDeleted": self.company.stamp(deletion.deleted),
        }
        if deletion.name:
            fields["RefNumber" if prefix == "Txn" else "FullName"] = deletion.name
        return _element(f"{prefix}DeletedRet", fields)

    def _host(self, query: etree._Element) -> _Result:
        fields = {
            "ProductName": self.product,
            "MajorVersion": "34",
            "MinorVersion": "0",
            "Country": self.country,
            "SupportedQBXMLVersion": list(self.versions),
            "IsAutomaticLogin": "false",
            "QBFileMode": "MultiUser",
        }
        return _Result((_element("HostRet", fields),))

    def _company(self, query: etree._Element) -> _Result:
        owners = [child.text for child in query.findall("OwnerID")]
        extensions = [
            {"OwnerID": owner, "DataExtName": name, "DataExtType": "STR255TYPE", "DataExtValue": value}
            for (owner, name), value in self.company.extensions.items()
            if owner in owners
        ]
        fields = {
            "IsSampleCompany": "false",
            "CompanyName": self.company.name,
            "LegalCompanyName": f"{self.company.name} LLC",
            "FirstMonthFiscalYear": "January",
            "FirstMonthIncomeTaxYear": "January",
            "DataExtRet": extensions,
        }
        return _Result((_element("CompanyRet", fields),))

    def _preferences(self, query: etree._Element) -> _Result:
        is_on = str(self.company.is_multicurrency).lower()
        return _Result((_element("PreferencesRet", {"MultiCurrencyPreferences": {"IsMultiCurrencyOn": is_on}}),))


def _response(query: etree._Element, result: _Result) -> str:
    attributes: dict[str, Any] = {
        "requestID": query.get("requestID"),
        "statusCode": str(result.code),
        "statusSeverity": result.severity,
        "statusMessage": result.message,
    }
    meta = query.get("metaData", "NoMetaData")
    if meta != "NoMetaData":
        attributes["retCount"] = str(len(result.rows))
    rows = () if meta == "MetaDataOnly" else result.rows
    attributes |= result.more
    told = "".join(f' {name}="{_escaped(value)}"' for name, value in attributes.items() if value is not None)
    name = f"{str(query.tag).removesuffix('Rq')}Rs"
    return f"<{name}{told}>\n{''.join(rows)}</{name}>\n" if rows else f"<{name}{told} />\n"


def _element(name: str, value: Value) -> str:
    """One element as QuickBooks writes it: a line each, ASCII with numeric references."""
    if isinstance(value, list):
        return "".join(_element(name, each) for each in value)
    if isinstance(value, Mapping):
        return f"<{name}>\n{''.join(_element(each, inner) for each, inner in value.items())}</{name}>\n"
    return f"<{name}>{_escaped(value)}</{name}>\n"


def _escaped(text: str) -> str:
    return escape(text, _QUOTE).encode("ascii", "xmlcharrefreplace").decode("ascii")


def _canonical(element: etree._Element) -> str:
    return re.sub(r">\s+<", "><", etree.tostring(element, encoding="unicode", with_tail=False))


def _text(query: etree._Element, name: str) -> str:
    return query.findtext(name) or ""


def _is_true(query: etree._Element, name: str) -> bool:
    return _text(query, name) in ("true", "1")


def _parties(record: Record) -> set[str | None]:
    names: Iterable[str] = ("VendorRef", "CustomerRef", "PayeeEntityRef")
    return {text for name in names for text in record.fields.get(name, {}).values()}
