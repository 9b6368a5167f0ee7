"""The stand-in's query language: only what the vendor documents, refused where the vendor refuses it.

`select * | count(*) | Field, ... from Entity [where Field op value [and ...]]
[order by | orderby Field [asc|desc], ...] [startposition n] [maxresults n]`. Keywords are
case-insensitive; names of entities and fields are not.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import operator
import re
from collections.abc import Callable, Iterable
from decimal import Decimal, InvalidOperation
from typing import Any

from sources.quickbooks_online.standin_books import NAME_LISTS, PEOPLE, SINGLES, TRANSACTIONS, Document
from sources.quickbooks_online.standin_faults import VendorError

DEFAULT_ROWS = 100
MAX_ROWS = 1000

_TOKEN = re.compile(
    r"\s+|(?P<string>'(?:[^'\\]|\\.)*')|(?P<word>[A-Za-z][\w.]*)|(?P<number>\d{1,9})|(?P<symbol><=|>=|[=<>(),*])",
    re.DOTALL,
)
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
_ALWAYS = {"Id": "id", "MetaData.CreateTime": "time", "MetaData.LastUpdatedTime": "time"}
_NAMED = {**_ALWAYS, "Active": "flag", "Name": "text", "FullyQualifiedName": "text"}
_PERSON = {**_ALWAYS, "Active": "flag", "DisplayName": "text", "GivenName": "text", "FamilyName": "text"}
_NUMBERED = {**_ALWAYS, "DocNumber": "text", "TxnDate": "text"}
_TOTALLED = {**_NUMBERED, "TotalAmt": "amount"}
_OWED = {**_TOTALLED, "Balance": "amount", "DueDate": "text"}
#: Entity -> field -> kind. By a field that is not here the vendor neither filters nor sorts (4001).
_FIELDS: dict[str, dict[str, str]] = {
    **dict.fromkeys(SINGLES, _ALWAYS),
    **dict.fromkeys(TRANSACTIONS, _TOTALLED),
    **dict.fromkeys(NAME_LISTS, _NAMED),
    **dict.fromkeys(PEOPLE, _PERSON),
    "Account": {**_NAMED, "AccountType": "text", "AccountSubType": "text", "Classification": "text"},
    "Item": {**_NAMED, "Type": "text", "Sku": "text", "UnitPrice": "amount"},
    "Customer": {**_PERSON, "CompanyName": "text", "FullyQualifiedName": "text", "Balance": "amount"},
    "Vendor": {**_PERSON, "CompanyName": "text"},
    "Bill": _OWED,
    "Deposit": {**_ALWAYS, "TxnDate": "text"},
    "Invoice": {**_OWED, "CustomerRef": "text"},
    "Payment": {**_ALWAYS, "TxnDate": "text", "TotalAmt": "amount", "CustomerRef": "text"},
    "JournalEntry": _NUMBERED,
}


@dataclasses.dataclass(frozen=True, slots=True)
class Condition:
    """One comparison; `values` has one value unless the operator is `in`."""

    field: str
    kind: str
    operator: str
    values: tuple[Any, ...]

    def holds(self, row: Document, zone: dt.tzinfo) -> bool:
        value = _value(row, self.field, self.kind, zone)
        if value is None:
            return False
        if self.operator == "in":
            return value in self.values
        if self.operator == "like":
            pattern = ".*".join(re.escape(part) for part in str(self.values[0]).split("%"))
            return re.fullmatch(pattern, str(value), re.IGNORECASE | re.DOTALL) is not None
        return _COMPARE[self.operator](value, self.values[0])


@dataclasses.dataclass(frozen=True, slots=True)
class Query:
    """A statement as read; `columns` is empty for `*` and for `count(*)`."""

    entity: str
    columns: tuple[str, ...]
    is_count: bool
    conditions: tuple[Condition, ...]
    order: tuple[tuple[str, bool], ...]
    start: int
    limit: int

    def answer(self, rows: Iterable[Document], zone: dt.tzinfo) -> Document:
        """The content of `QueryResponse`. The entity's key is absent when no row matches."""
        conditions = self.conditions
        if self.entity in NAME_LISTS and not any(condition.field == "Active" for condition in conditions):
            conditions += (Condition("Active", "flag", "=", (True,)),)
        found = [row for row in rows if all(condition.holds(row, zone) for condition in conditions)]
        if self.is_count:
            return {"totalCount": len(found)}
        found.sort(key=_usual_order)
        for field, is_descending in reversed(self.order):
            kind = _FIELDS[self.entity][field]
            found.sort(key=lambda row: _sortable(_value(row, field, kind, zone)), reverse=is_descending)
        page = found[self.start - 1 : self.start - 1 + self.limit]
        if not page:
            return {}
        return {self.entity: [self._select(row) for row in page], "startPosition": self.start, "maxResults": len(page)}

    def _select(self, row: Document) -> Document:
        return {name: row[name] for name in self.columns if name in row} if self.columns else row


def parse(statement: str, zone: dt.tzinfo) -> Query:
    """Reads a statement; raises `VendorError` 4000 (not the language) or 4001 (not the entity's fields)."""
    if not statement.strip():
        raise VendorError("4000", "QueryParserError: The query provided was empty", None)
    return _Parser(statement, zone).query()


def moment(text: str, zone: dt.tzinfo) -> dt.datetime:
    """A date or timestamp as the vendor writes them; one without an offset is in the company's zone."""
    value = dt.datetime.fromisoformat(text)
    return value if value.tzinfo else value.replace(tzinfo=zone)


class _Parser:
    def __init__(self, statement: str, zone: dt.tzinfo) -> None:
        self._zone = zone
        self._tokens = list(_scan(statement))
        self._at = 0

    def query(self) -> Query:
        self._need("select")
        columns, is_count = self._columns()
        self._need("from")
        entity = self._take("word")
        if entity not in _FIELDS:
            raise VendorError("4001", f"QueryValidationError: invalid context declaration: {entity}", None)
        conditions = []
        if self._skip("where"):
            conditions.append(self._condition(entity))
            while self._skip("and"):
                conditions.append(self._condition(entity))
        order = self._order(entity)
        start = self._count("startposition", 1)
        limit = self._count("maxresults", DEFAULT_ROWS)
        if self._at < len(self._tokens):
            raise self._unexpected()
        if limit > MAX_ROWS:
            raise VendorError("4001", f"QueryValidationError: maxresults {limit} is more than {MAX_ROWS}", None)
        return Query(entity, columns, is_count, tuple(conditions), order, start, limit)

    def _columns(self) -> tuple[tuple[str, ...], bool]:
        if self._skip("*"):
            return (), False
        if self._skip("count"):
            for symbol in "(*)":
                self._need(symbol)
            return (), True
        columns = [self._take("word")]
        while self._skip(","):
            columns.append(self._take("word"))
        return tuple(columns), False

    def _condition(self, entity: str) -> Condition:
        field = self._field(entity)
        kind = _FIELDS[entity][field]
        if self._skip("in"):
            self._need("(")
            values = [self._literal(kind)]
            while self._skip(","):
                values.append(self._literal(kind))
            self._need(")")
            return Condition(field, kind, "in", tuple(values))
        if self._skip("like"):
            return Condition(field, kind, "like", (self._literal("text"),))
        symbol = self._take("symbol")
        if symbol not in _COMPARE:
            raise self._unexpected(-1)
        return Condition(field, kind, symbol, (self._literal(kind),))

    def _order(self, entity: str) -> tuple[tuple[str, bool], ...]:
        if self._skip("order"):
            self._need("by")
        elif not self._skip("orderby"):
            return ()
        order = []
        while True:
            field = self._field(entity)
            is_descending = self._skip("desc")
            if not is_descending:
                self._skip("asc")
            order.append((field, is_descending))
            if not self._skip(","):
                return tuple(order)

    def _field(self, entity: str) -> str:
        field = self._take("word")
        if field not in _FIELDS[entity]:
            raise VendorError("4001", f"QueryValidationError: property '{field}' is not queryable", None)
        return field

    def _literal(self, kind: str) -> Any:
        if kind == "flag":
            word = self._take("word").lower()
            if word not in ("true", "false"):
                raise self._unexpected(-1)
            return word == "true"
        text = re.sub(r"\\(.)", r"\1", self._take("string")[1:-1], flags=re.DOTALL)
        try:
            return _read(kind, text, self._zone)
        except (ValueError, InvalidOperation):
            raise VendorError("4001", f"QueryValidationError: value {text} has the wrong type", None) from None

    def _count(self, keyword: str, default: int) -> int:
        if not self._skip(keyword):
            return default
        number = int(self._take("number"))
        if number < 1:
            raise VendorError("4001", f"QueryValidationError: {keyword} must be at least 1", None)
        return number

    def _peek(self) -> tuple[str, str]:
        return self._tokens[self._at] if self._at < len(self._tokens) else ("end", "<EOF>")

    def _skip(self, text: str) -> bool:
        kind, found = self._peek()
        is_there = kind in ("word", "symbol") and found.lower() == text
        self._at += is_there
        return is_there

    def _need(self, text: str) -> None:
        if not self._skip(text):
            raise self._unexpected()

    def _take(self, kind: str) -> str:
        found, text = self._peek()
        if found != kind:
            raise self._unexpected()
        self._at += 1
        return text

    def _unexpected(self, back: int = 0) -> VendorError:
        self._at += back
        return VendorError("4000", f'QueryParserError: Encountered "{self._peek()[1]}"', None)


def _scan(statement: str) -> Iterable[tuple[str, str]]:
    at = 0
    while at < len(statement):
        match = _TOKEN.match(statement, at)
        if match is None:
            raise VendorError("4000", f"QueryParserError: Invalid content. Lexical error at column {at + 1}.", None)
        if match.lastgroup:
            yield match.lastgroup, match[0]
        at = match.end()


def _value(row: Document, field: str, kind: str, zone: dt.tzinfo) -> Any:
    value: Any = row
    for name in field.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    if isinstance(value, dict):
        value = value.get("value")
    return None if value is None else _read(kind, value, zone)


def _read(kind: str, value: Any, zone: dt.tzinfo) -> Any:
    if kind == "time":
        return moment(value, zone)
    if kind == "flag":
        return bool(value)
    if kind == "id":
        return int(value)
    return Decimal(value) if kind == "amount" else str(value)


def _sortable(value: Any) -> tuple[bool, Any]:
    return (value is not None, value)


def _usual_order(row: Document) -> tuple[str, int]:
    """Name lists by name, transactions newest first: what the vendor does when it is not asked."""
    return str(row.get("Name") or row.get("DisplayName") or ""), -int(row["Id"])
