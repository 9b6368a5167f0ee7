"""qbXML: one query a document going out, and the rows of its answer coming in.

Child order as in the qbXML 13.0 operations file: a child out of place fails the whole document.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from typing import Any

from lxml import etree

from connector.kernel.values import BadValue
from connector.kernel.xml import parse_xml
from sources.quickbooks_desktop.entities import BY_ANSWER, Entity

#: The newest version that this package is written for; QuickBooks 2014 and later speak it.
NEWEST = (13, 0)
#: Older ones say nothing of currencies.
OLDEST = (8, 0)
#: Never read, stored or shown: tax numbers, bank accounts and cards.
SENSITIVE = frozenset({"VendorTaxIdent", "AccountNumber", "BankAccountNumber", "CreditCardInfo", "CreditCardTxnInfo"})

_DECLARATION = re.compile(r"^\s*<\?xml\b[^>]*\?>")
_BAD_CHARACTERS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")
_BAD_REFERENCES = re.compile(r"&#(?:x0*(?:[0-8bcef]|1[0-9a-f])|0*(?:[0-8]|1[124-9]|2[0-9]|3[01]));", re.IGNORECASE)


@dataclasses.dataclass(frozen=True, slots=True)
class Query:
    """What one request asks: changes since `since` (the PC's wall clock), or the next page of an iterator."""

    entity: Entity
    request_id: str
    since: str
    iterator: str = ""
    types: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """One `…QueryRs`: how it went, and its rows with their element names as (name, document)."""

    entity: Entity
    status: int
    severity: str
    remaining: int = 0
    iterator: str = ""
    rows: tuple[dict[str, Any], ...] = ()

    @property
    def is_error(self) -> bool:
        return self.severity.lower() == "error" or self.status >= 1000


def version_of(major: str, minor: str) -> str | None:
    """The newest version that both sides know; None when QuickBooks is too old."""
    try:
        theirs = (int(major or NEWEST[0]), int(minor or 0))
    except ValueError:
        return None
    spoken = min(NEWEST, theirs)
    return f"{spoken[0]}.{spoken[1]}" if spoken >= OLDEST else None


def build(query: Query, version: str) -> str:
    """The document of one query, in ASCII."""
    root = etree.Element("QBXML")
    request = etree.SubElement(root, "QBXMLMsgsRq", onError="continueOnError")
    element = etree.SubElement(request, query.entity.query, requestID=query.request_id)
    if query.entity.page:
        if query.iterator:
            element.set("iterator", "Continue")
            element.set("iteratorID", query.iterator)
        else:
            element.set("iterator", "Start")
        _add(element, ("MaxReturned", str(query.entity.page)))
    if query.entity.is_deletions:
        _add(element, *((f"{'List' if query.entity.is_list else 'Txn'}DelType", name) for name in query.types))
        _add(etree.SubElement(element, "DeletedDateRangeFilter"), ("FromDeletedDate", query.since))
    elif query.entity.is_list:
        _add(element, ("ActiveStatus", "All"), ("FromModifiedDate", query.since))
    else:
        _add(etree.SubElement(element, "ModifiedDateRangeFilter"), ("FromModifiedDate", query.since))
    _add(element, *((option, "true") for option in query.entity.options))
    body = etree.tostring(root, encoding="us-ascii", xml_declaration=False).decode()
    return f'<?xml version="1.0" encoding="utf-8"?>\n<?qbxml version="{version}"?>\n{body}'


def _add(parent: etree._Element, *children: tuple[str, str]) -> None:
    for name, text in children:
        etree.SubElement(parent, name).text = text


def parse(text: str) -> list[Answer]:
    """Every answer to a query of ours in the document. Raises `BadValue`, which never quotes the document."""
    answers = []
    for element in _messages(text):
        entity = BY_ANSWER.get(str(element.tag))
        if entity is None:
            continue
        answers.append(
            Answer(
                entity=entity,
                status=_number(element, "statusCode"),
                severity=element.get("statusSeverity", ""),
                remaining=_number(element, "iteratorRemainingCount"),
                iterator=element.get("iteratorID", ""),
                rows=tuple(_document(row) for row in element if row.tag == entity.row),
            )
        )
    return answers


def company_of(text: str) -> dict[str, Any]:
    """What the first call of a session says of the program and the company: the rows of its answers by name."""
    found: dict[str, Any] = {}
    for element in _messages(text):
        for row in element:
            if isinstance(row.tag, str):
                found[row.tag] = _document(row)
    return found


def _messages(text: str) -> Iterable[etree._Element]:
    root = parse_xml(cleaned(text).encode())
    if root.tag != "QBXML":
        raise BadValue("the answer is not a QBXML document")
    messages = root.find("QBXMLMsgsRs")
    if messages is None:
        raise BadValue("the answer holds no QBXMLMsgsRs")
    return list(messages)


def cleaned(text: str) -> str:
    """The document without its declaration (it was decoded already) and without control characters.

    QuickBooks lets people store such characters and writes them out, and XML forbids them even as references: one
    pasted tab stop must not make a page unreadable for good.
    """
    text = _DECLARATION.sub("", text, count=1)
    return _BAD_REFERENCES.sub("", _BAD_CHARACTERS.sub("", text))


def _number(element: etree._Element, name: str) -> int:
    value = element.get(name, "").strip() or "0"
    if not (value.isascii() and value.isdecimal() and len(value) <= 12):
        raise BadValue(f"{name} is not a number")
    return int(value)


def _document(element: etree._Element) -> dict[str, Any]:
    """The element as a plain document; what repeats becomes a list."""
    found: dict[str, Any] = {}
    for child in element:
        name = child.tag
        if not isinstance(name, str) or name in SENSITIVE:
            continue
        value: Any = _document(child) if len(child) else (child.text or "").strip()
        if name not in found:
            found[name] = value
        elif isinstance(found[name], list):
            found[name].append(value)
        else:
            found[name] = [found[name], value]
    return found
