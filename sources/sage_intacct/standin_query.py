"""The stand-in's `query` function: filters, order, aggregates and pages, refused where the gateway refuses them.

Each page is a query of its own, and without an order the rows of two pages come in two different orders.
"""

from __future__ import annotations

import dataclasses
import functools
import operator
import re
import zlib
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

from lxml import etree

from sources.sage_intacct.standin_faults import unprocessed
from sources.sage_intacct.standin_layouts import LAYOUTS, Field, Layout
from sources.sage_intacct.standin_ledger import LedgerServer, Row
from sources.sage_intacct.standin_values import Formatting

DEFAULT_ROWS = 100

Test = Callable[[Row], bool]

COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "equalto": operator.eq,
    "notequalto": operator.ne,
    "lessthan": operator.lt,
    "lessthanorequalto": operator.le,
    "greaterthan": operator.gt,
    "greaterthanorequalto": operator.ge,
}


@dataclasses.dataclass(frozen=True, slots=True)
class View:
    """An object as one user in one entity sees it.

    `by_label`: filters name a code's label, as in `query`; else the code itself, as in `readByQuery`.
    """

    books: LedgerServer
    layout: Layout
    formatting: Formatting
    entity: str
    by_label: bool
    is_case_insensitive: bool = False

    def field(self, path: str) -> Field:
        """The field of that name. Raises `FunctionError`."""
        try:
            return self.books.related(self.layout, {}, path)[0]
        except LookupError:
            raise unprocessed() from None

    def value(self, row: Row, path: str) -> Any:
        """A row's value; an empty text is nothing."""
        found = self.books.related(self.layout, row, path)[1]
        return None if found == "" else found

    def shown(self, row: Row, path: str) -> str:
        field, value = self.books.related(self.layout, row, path)
        return self.formatting.show(field, value, drops_zeros=self.books.drops_zeros)

    def rows(self, *, shows_private: bool) -> list[Row]:
        """What the user sees: at the top level not what is private to an entity, unless it is asked for."""
        rows = self.books.tables[self.layout.name].values()
        if not self.entity:
            return [row for row in rows if shows_private or not row.get("MEGAENTITYID")]
        seen = {self.entity} | ({None, ""} if self.layout.is_shared else set())
        return [row for row in rows if row.get("MEGAENTITYID") in seen]

    def compare(self, path: str, name: str, texts: list[str]) -> Test:
        """What an operator asks of a row; what is empty meets none but `isnull`. Raises `FunctionError`."""
        field = self.field(path)
        if name in ("isnull", "isnotnull"):
            return lambda row: (self.value(row, path) is None) == (name == "isnull")
        if name in ("like", "notlike"):
            return self._like(path, texts[0], is_wanted=name == "like")
        try:
            wanted = [self._folded(self.formatting.read(field, text, by_label=self.by_label)) for text in texts]
        except ValueError:
            raise unprocessed() from None
        self._check(field, texts)
        meets = _meets(name, wanted)

        def test(row: Row) -> bool:
            value = self._folded(self.value(row, path))
            return value is not None and meets(value)

        return test

    def _check(self, field: Field, texts: list[str]) -> None:
        known = field.codes.values() if self.by_label else field.codes
        for text in texts:
            if field.codes and text not in known:
                what = "label" if self.by_label else "code"
                self.books.violations.append(f"{self.layout.name}.{field.name} has no {what} {text}: nothing is found")

    def _folded(self, value: Any) -> Any:
        return value.lower() if self.is_case_insensitive and isinstance(value, str) else value

    def _like(self, path: str, pattern: str, *, is_wanted: bool) -> Test:
        kinds = {"%": ".*", "_": "."}
        parts = (kinds.get(part) or re.escape(part) for part in re.split("([%_])", pattern))
        found = re.compile("".join(parts), re.DOTALL | (re.IGNORECASE if self.is_case_insensitive else 0))

        def test(row: Row) -> bool:
            value = self.value(row, path)
            return value is not None and bool(found.fullmatch(str(value))) == is_wanted

        return test


def _meets(name: str, wanted: list[Any]) -> Callable[[Any], bool]:
    if name in ("in", "notin"):
        return lambda value: (value in wanted) == (name == "in")
    if name == "between":
        return lambda value: wanted[0] <= value <= wanted[1]
    return lambda value: COMPARE[name](value, wanted[0])


@dataclasses.dataclass(frozen=True, slots=True)
class Page:
    """One page of a query: the object's name as it was asked, rows as (name, text) pairs, and the counts."""

    asked: str
    rows: list[list[tuple[str, str]]]
    total: int
    offset: int

    def attributes(self) -> dict[str, str]:
        left = max(0, self.total - self.offset - len(self.rows))
        counts = (("totalcount", self.total), ("offset", self.offset), ("count", len(self.rows)))
        return {"listtype": self.asked, **{name: str(count) for name, count in counts}, "numremaining": str(left)}


def run(books: LedgerServer, element: etree._Element, formatting: Formatting, entity: str) -> Page:
    """The page that a `query` element asks for. Raises `FunctionError`."""
    asked = element.findtext("object", "")
    layout = LAYOUTS.get(asked.upper())
    if layout is None:
        raise unprocessed()
    ignores_case = element.findtext("options/caseinsensitive") in ("", "true")
    view = View(books, layout, formatting, entity, True, ignores_case)
    chosen = [(each.tag, each.text or "") for each in element.iterfind("select/*")]
    for _, path in chosen:
        view.field(path)
    test = _filter(view, element.find("filter/*"))
    rows = [row for row in view.rows(shows_private=element.findtext("options/showprivate") == "true") if test(row)]
    offset = int(element.findtext("offset", "0"))
    size = int(element.findtext("pagesize", str(DEFAULT_ROWS)))
    if any(kind != "field" for kind, _ in chosen):
        shown = _aggregated(view, rows, chosen)
        return Page(asked, shown[offset : offset + size], len(shown), offset)
    ordered = _ordered(view, element, rows, offset)
    found = [[(path, view.shown(row, path)) for _, path in chosen] for row in ordered[offset : offset + size]]
    return Page(asked, found, len(rows), offset)


def _filter(view: View, element: etree._Element | None) -> Test:
    if element is None:
        return lambda row: True
    if element.tag in ("and", "or"):
        tests = [_filter(view, child) for child in element.iterchildren("*")]
        joined = all if element.tag == "and" else any
        return lambda row: joined(test(row) for test in tests)
    texts = [value.text or "" for value in element.iterfind("value")]
    return view.compare(element.findtext("field", ""), str(element.tag), texts)


def _ordered(view: View, element: etree._Element, rows: list[Row], offset: int) -> list[Row]:
    rows = jumbled(rows, offset)
    for order in reversed(element.findall("orderby/order")):
        path = order.findtext("field", "")
        view.field(path)
        is_falling = order.find("descending") is not None
        with_value = [row for row in rows if view.value(row, path) is not None]
        with_value.sort(key=functools.partial(view.value, path=path), reverse=is_falling)
        rows = with_value + [row for row in rows if view.value(row, path) is None]
    return rows


def jumbled(rows: Iterable[Row], salt: int = 0) -> list[Row]:
    """The rows in an order that is not that of their keys."""
    return sorted(rows, key=lambda row: zlib.crc32(f"{salt}:{row['RECORDNO']}".encode()))


def _aggregated(view: View, rows: list[Row], chosen: list[tuple[str, str]]) -> list[list[tuple[str, str]]]:
    """One row for each combination of the plain fields, with sums and the like beside them."""
    groups: dict[tuple[Any, ...], list[Row]] = {}
    plain = [path for kind, path in chosen if kind == "field"]
    for row in rows:
        groups.setdefault(tuple(view.value(row, path) for path in plain), []).append(row)
    found = list(groups.values()) if plain else [rows]
    return [[_cell(view, group, kind, path) for kind, path in chosen] for group in found]


def _cell(view: View, group: list[Row], kind: str, path: str) -> tuple[str, str]:
    if kind == "field":
        return path, view.shown(group[0], path)
    values = [value for value in (view.value(row, path) for row in group) if value is not None]
    result = _AGGREGATES[kind](values)
    text = view.formatting.show(view.field(path), result, drops_zeros=view.books.drops_zeros)
    return f"{kind.upper()}.{path}", text


_AGGREGATES: dict[str, Callable[[list[Any]], Any]] = {
    "count": len,
    "sum": lambda values: sum(values, Decimal(0)),
    "avg": lambda values: sum(values, Decimal(0)) / len(values) if values else None,
    "min": lambda values: min(values, default=None),
    "max": lambda values: max(values, default=None),
}
