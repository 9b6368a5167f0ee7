"""The gateway's verbs for reading, and the conditions of a `query`.

Source: developer.intacct.com/web-services/queries. `query` is the way to read; `readByQuery` with `readMore` stands by
for objects that do not take it, and has its own text form of the same conditions.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from lxml import etree

from sources.sage_intacct.envelope import leaf

#: Rows of a page: the most that `query` gives, and the documented most of `readByQuery`.
PAGE = 2000
LEGACY_PAGE = 1000
#: Values of one `in`: half of what the vendor allows.
MAX_IN = 500

_SIGNS = {
    "equalto": "=",
    "greaterthan": ">",
    "lessthan": "<",
    "lessthanorequalto": "<=",
    "in": "in",
    "isnull": "IS NULL",
}
#: Filters of `readByQuery` take stored codes where `query` takes labels.
_CODES = {
    ("STATUS", "inactive"): "F",
    ("ONHOLD", "true"): "T",
    ("DONOTCUTCHECK", "true"): "T",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Compare:
    """One condition on a field: `operator` is the vendor's element name."""

    operator: str
    field: str
    values: tuple[str, ...] = ()

    def as_element(self) -> etree._Element:
        element = etree.Element(self.operator)
        leaf(element, "field", self.field)
        for value in self.values:
            leaf(element, "value", value)
        return element

    def as_text(self) -> str:
        values = [_quoted(_CODES.get((self.field, value), value)) for value in self.values]
        told = f"({','.join(values)})" if self.operator == "in" else "".join(values)
        return f"{self.field} {_SIGNS[self.operator]} {told}".strip()


@dataclasses.dataclass(frozen=True, slots=True)
class Group:
    """Two or more conditions joined by "and" or "or"; the schema refuses a lone one."""

    operator: str
    parts: tuple[Condition, ...]

    def as_element(self) -> etree._Element:
        element = etree.Element(self.operator)
        element.extend([part.as_element() for part in self.parts])
        return element

    def as_text(self) -> str:
        joined = f" {self.operator.upper()} ".join(part.as_text() for part in self.parts)
        return f"({joined})"


Condition = Compare | Group


def every(*parts: Condition) -> Condition:
    """All of the conditions."""
    return parts[0] if len(parts) == 1 else Group("and", parts)


def either(*parts: Condition) -> Condition:
    """One of the conditions at least."""
    return parts[0] if len(parts) == 1 else Group("or", parts)


def between(field: str, after: str, until: str) -> Condition:
    """The field is later than the one time and not later than the other."""
    return every(Compare("greaterthan", field, (after,)), Compare("lessthanorequalto", field, (until,)))


@dataclasses.dataclass(frozen=True, slots=True)
class Query:
    """What to read: an object's fields where the condition holds, by `order`, a page at a time."""

    object: str
    fields: tuple[str, ...]
    where: Condition | None = None
    order: str = "RECORDNO"
    #: Without it, rows of private entities are missing and nobody says so.
    with_private: bool = True
    page: int = PAGE

    def verb(self, offset: int = 0) -> etree._Element:
        """The `query` for the page that begins at the offset."""
        query = etree.Element("query")
        leaf(query, "object", self.object)
        select = leaf(query, "select")
        for field in self.fields:
            leaf(select, "field", field)
        if self.where is not None:
            leaf(query, "filter").append(self.where.as_element())
        order = leaf(leaf(query, "orderby"), "order")
        leaf(order, "field", self.order)
        leaf(order, "ascending")
        if self.with_private:
            leaf(leaf(query, "options"), "showprivate", "true")
        leaf(query, "pagesize", str(self.page))
        leaf(query, "offset", str(offset))
        return query

    def legacy_verb(self) -> etree._Element:
        """The same as a `readByQuery`, in no certain order."""
        text = self.where.as_text() if self.where is not None else ""
        return read_by_query(self.object, self.fields, text, min(self.page, LEGACY_PAGE))


def read_by_query(name: str, fields: Sequence[str], text: str, page: int = LEGACY_PAGE) -> etree._Element:
    """A `readByQuery` with a condition in its text form."""
    verb = etree.Element("readByQuery")
    leaf(verb, "object", name)
    leaf(verb, "fields", ",".join(fields))
    leaf(verb, "query", text)
    leaf(verb, "pagesize", str(page))
    leaf(verb, "returnFormat", "xml")
    return verb


def read_more(result_id: str) -> etree._Element:
    """The next page of a `readByQuery`."""
    verb = etree.Element("readMore")
    leaf(verb, "resultId", result_id)
    return verb


def read_by_name(name: str, key: str, fields: Sequence[str]) -> etree._Element:
    """One object by the ID that people use."""
    verb = etree.Element("readByName")
    leaf(verb, "object", name)
    leaf(verb, "keys", key)
    leaf(verb, "fields", ",".join(fields))
    return verb


def read_user_formatting(key: str) -> etree._Element:
    """How times look to the user with this record number."""
    verb = etree.Element("readUserFormatting")
    leaf(verb, "key", key)
    return verb


def get_api_session() -> etree._Element:
    """Opens a session."""
    return etree.Element("getAPISession")


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
