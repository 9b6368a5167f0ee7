"""The stand-in's functions: what each verb answers, or why it is refused."""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Callable

from lxml import etree

from sources.sage_intacct import standin_query, standin_sql
from sources.sage_intacct.standin_faults import SUPPORT_ID, Error, FunctionError
from sources.sage_intacct.standin_layouts import LAYOUTS, Field, Layout
from sources.sage_intacct.standin_ledger import Row
from sources.sage_intacct.standin_query import View
from sources.sage_intacct.standin_sessions import SessionServer, SignedIn

MOST_KEYS = 100
#: What the vendor documents as the largest page of readByQuery; more has been seen to work.
DOCUMENTED_PAGE = 1000
#: The operation of each verb in a refusal for want of a permission. `lookup` needs none.
_OPERATIONS = {"query": "QUERY", "readByQuery": "READ_BY_QUERY", "read": "READ", "readByName": "READ_BY_NAME"}
_TYPES = {"integer": "INTEGER", "amount": "DECIMAL", "date": "DATE", "timestamp": "TIMESTAMP", "flag": "BOOLEAN"}


@dataclasses.dataclass(slots=True)
class Remainder:
    """What readMore has still to give; it belongs to the session that began to read."""

    session: str
    view: View
    fields: list[str]
    rows: list[Row]
    size: int
    total: int


class Functions:
    """The verbs, run for whoever signed in."""

    def __init__(self, gateway: SessionServer) -> None:
        self._gateway = gateway
        self._remainders: dict[str, Remainder] = {}
        self._verbs: dict[str, Callable[[etree._Element, SignedIn], etree._Element]] = {
            "query": self._query,
            "readByQuery": self._read_by_query,
            "readMore": self._read_more,
            "read": self._read,
            "readByName": self._read,
            "lookup": self._lookup,
            "readUserFormatting": self._formatting,
        }

    def run(self, element: etree._Element, who: SignedIn) -> etree._Element:
        """The `data` element that a verb's element brings. Raises `FunctionError`."""
        verb, name = str(element.tag), element.findtext("object", "").upper()
        if verb in _OPERATIONS and name in self._gateway.denied:
            raise FunctionError(
                Error(
                    "PL04000005",
                    f"You do not have permission for API operation {_OPERATIONS[verb]} on objects of type"
                    f" {name.lower()} [Support ID: {SUPPORT_ID}]",
                )
            )
        return self._verbs[verb](element, who)

    def session(self, element: etree._Element, who: SignedIn, host: str, endpoint: str) -> etree._Element:
        """What getAPISession brings: under a session its `locationid` decides on the entity."""
        location = element.findtext("locationid")
        session = self._gateway.open_session(who.location if location is None else location, host)
        payload = etree.Element("data")
        api = etree.SubElement(payload, "api")
        for name, text in (("sessionid", session.id), ("endpoint", endpoint), ("locationid", session.location)):
            etree.SubElement(api, name).text = text or None
        return payload

    def _query(self, element: etree._Element, who: SignedIn) -> etree._Element:
        gateway = self._gateway
        page = standin_query.run(gateway, element, gateway.formatting, who.location)
        payload = etree.Element("data", page.attributes())
        for cells in page.rows:
            row = etree.SubElement(payload, page.asked)
            for name, text in cells:
                etree.SubElement(row, name).text = text or None
        return payload

    def _read_by_query(self, element: etree._Element, who: SignedIn) -> etree._Element:
        view = self._view(element, who, verb="Query Failed")
        fields = _fields(view.layout, element.findtext("fields", "*"))
        test = standin_sql.parse(element.findtext("query", ""), view)
        rows = [row for row in standin_query.jumbled(view.rows(shows_private=False)) if test(row)]
        size = int(element.findtext("pagesize", str(standin_query.DEFAULT_ROWS)))
        if size > DOCUMENTED_PAGE:
            self._gateway.violations.append(f"readByQuery: a pagesize of {size} is more than is documented")
        return self._next("", Remainder(who.session, view, fields, rows, size, len(rows)))

    def _read_more(self, element: etree._Element, who: SignedIn) -> etree._Element:
        id = element.findtext("resultId", "")
        remainder = self._remainders.get(id)
        if remainder is None or not who.session or remainder.session != who.session:
            text = f"Attempt to readMore with an invalid or expired resultId: {id}"
            raise FunctionError(Error("readMore failed", text))
        return self._next(id, remainder)

    def _next(self, id: str, remainder: Remainder) -> etree._Element:
        """The next page of what is left, in lower case. What was given once is not given again."""
        page, remainder.rows = remainder.rows[: remainder.size], remainder.rows[remainder.size :]
        if remainder.rows:
            id = id or f"{secrets.token_hex(8)}WU1hh8CoA4QAAHxI9i8AAAAA5"
            self._remainders[id] = remainder
        else:
            self._remainders.pop(id, None)
            id = ""
        name = remainder.view.layout.name.lower()
        counts = (("count", len(page)), ("totalcount", remainder.total), ("numremaining", len(remainder.rows)))
        numbers = {each: str(count) for each, count in counts}
        payload = etree.Element("data", {"listtype": name, **numbers, "resultId": id})
        self._put_rows(payload, name, remainder.view, remainder.fields, page)
        return payload

    def _read(self, element: etree._Element, who: SignedIn) -> etree._Element:
        """`read` by RECORDNO and `readByName` by business ID; a key that is not there brings nothing."""
        view = self._view(element, who, verb=f"{element.tag} failed")
        keys = [key.strip() for key in element.findtext("keys", "").split(",") if key.strip()]
        if len(keys) > MOST_KEYS:
            raise FunctionError(Error(f"{element.tag} failed", f"No more than {MOST_KEYS} keys can be read at once"))
        by = "RECORDNO" if element.tag == "read" else view.layout.id
        found = {str(row.get(by)): row for row in view.rows(shows_private=True)}
        rows = [found[key] for key in keys if key in found]
        asked = element.findtext("object", "")
        payload = etree.Element("data", {"listtype": asked, "count": str(len(rows))})
        self._put_rows(payload, asked, view, _fields(view.layout, element.findtext("fields", "*")), rows)
        return payload

    def _put_rows(self, payload: etree._Element, name: str, view: View, fields: list[str], rows: list[Row]) -> None:
        for row in rows:
            element = etree.SubElement(payload, name)
            for field in fields:
                text = view.shown(row, field)
                etree.SubElement(element, field).text = text or None

    def _view(self, element: etree._Element, who: SignedIn, *, verb: str) -> View:
        name = element.findtext("object", "")
        layout = LAYOUTS.get(name.upper())
        if layout is None:
            raise FunctionError(Error(verb, f"Object definition {name} not found"))
        return View(self._gateway, layout, self._gateway.formatting, who.location, by_label=False)

    def _lookup(self, element: etree._Element, who: SignedIn) -> etree._Element:
        layout = self._view(element, who, verb="lookup failed").layout
        payload = etree.Element("data")
        kind = etree.SubElement(payload, "Type", {"Name": layout.name, "DocumentType": ""})
        fields = etree.SubElement(kind, "Fields")
        for field in layout.fields.values():
            _describe(etree.SubElement(fields, "Field"), field)
        relations = etree.SubElement(kind, "Relationships")
        for path, (target, own, _) in layout.relations.items():
            relation = etree.SubElement(relations, "Relationship")
            for name, text in (
                ("OBJECTPATH", path), ("OBJECTNAME", target), ("LABEL", ""), ("RELATIONSHIPTYPE", "MANY2ONE"),
                ("RELATEDBY", own),
            ):  # fmt: skip
                etree.SubElement(relation, name).text = text or None
        return payload

    def _formatting(self, element: etree._Element, who: SignedIn) -> etree._Element:
        key = element.findtext("key", "")
        if key != str(self._gateway.user_recordno):
            raise FunctionError(Error("readUserFormatting failed", f"There is no user {key}"))
        payload = etree.Element("data")
        told = etree.SubElement(payload, "userformatting")
        for name, text in dataclasses.asdict(self._gateway.formatting).items():
            etree.SubElement(told, name).text = text
        return payload


def _fields(layout: Layout, text: str) -> list[str]:
    """The fields of a comma list; `*` is all. Raises `FunctionError`."""
    fields = [name.strip() for name in text.split(",") if name.strip()]
    if fields in ([], ["*"]):
        return list(layout.fields)
    unknown = ",".join(name for name in fields if name not in layout.fields)
    if unknown:
        raise FunctionError(Error(f"Invalid fields list {unknown}", f"{layout.name} has no such fields"))
    return fields


def _describe(element: etree._Element, field: Field) -> None:
    """A field as `lookup` describes it."""
    for name, text in (
        ("ID", field.name), ("LABEL", field.name.capitalize()), ("DESCRIPTION", ""), ("REQUIRED", "false"),
        ("READONLY", "false"), ("DATATYPE", _TYPES.get(field.kind, "TEXT")),
    ):  # fmt: skip
        etree.SubElement(element, name).text = text or None
    if field.codes:
        values = etree.SubElement(element, "VALIDVALUES")
        for label in dict.fromkeys(field.codes.values()):
            etree.SubElement(values, "VALIDVALUE").text = label
    etree.SubElement(element, "ISCUSTOM").text = "false"
