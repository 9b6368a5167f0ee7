"""The gateway's answer, checked at every level before a row of it is used.

Source: developer.intacct.com/web-services/responses and /error-handling. HTTP 200 proves nothing: a failure may stand
in `control`, in `authentication`, or in one `result` beside good ones.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Callable, Mapping, Sequence

from lxml import etree

from connector.kernel.errors import VendorError
from connector.kernel.http import Answer
from connector.kernel.values import BadValue, parse_moment
from connector.kernel.xml import parse_xml
from sources.sage_intacct.envelope import Function
from sources.sage_intacct.errors import Fault, page_verdict, unreadable, verdict

Row = Mapping[str, str]


@dataclasses.dataclass(frozen=True, slots=True)
class Asked:
    """What the answer must belong to: the request's control ID, company and functions. `auth`: "login" or "session"."""

    control_id: str
    company: str
    auth: str
    functions: Sequence[Function]
    hide: Callable[[str], str]


@dataclasses.dataclass(frozen=True, slots=True)
class Result:
    """What one function brought: rows, or why not. A failed one has no rows, even where the gateway sent some."""

    rows: tuple[Row, ...] = ()
    total: int | None = None
    remaining: int | None = None
    result_id: str = ""
    failure: VendorError | None = None
    #: What the vendor said of a failure, secrets masked; empty otherwise.
    wording: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Reply:
    """An answer whose control and authentication are good. `at` and `ends` are the server's: now, and the session's."""

    user: str
    company: str
    entity: str
    at: dt.datetime | None
    ends: dt.datetime | None
    results: Mapping[str, Result]


def read(answer: Answer, asked: Asked, now: dt.datetime) -> Reply:
    """The reply in an HTTP answer. Raises the verdict when the gateway refused the request as a whole."""
    try:
        root = parse_xml(answer.body)
    except BadValue:
        raise page_verdict(answer, now) from None
    if _tag(root) != "response":
        raise page_verdict(answer, now)

    def refusal(level: str, holder: etree._Element) -> VendorError:
        return verdict(faults_in(holder), level, asked.auth, answer=answer, now=now, hide=asked.hide)

    operation, acknowledged = root.find("operation"), root.find("control")
    if acknowledged is None or _text(acknowledged, "status") != "success" or faults_in(root):
        raise refusal("control", root)
    if _text(acknowledged, "controlid") != asked.control_id:
        raise unreadable("the ID of this request")
    authentication = operation.find("authentication") if operation is not None else None
    if operation is None or authentication is None:
        raise unreadable("an operation")
    if _text(authentication, "status") != "success" or faults_in(operation):
        raise refusal("authentication", operation)
    return _reply(operation, authentication, answer, asked, now)


def _reply(
    operation: etree._Element, authentication: etree._Element, answer: Answer, asked: Asked, now: dt.datetime
) -> Reply:
    company = _text(authentication, "companyid")
    if not _is_company(company, asked.company):
        raise unreadable("the company that was asked")
    found = {_text(result, "controlid"): result for result in operation.findall("result")}
    results = {
        function.name: _result(found.get(function.name), function, answer, asked, now) for function in asked.functions
    }
    return Reply(
        user=_text(authentication, "userid"),
        company=company,
        entity=_text(authentication, "locationid"),
        at=_moment(authentication, "sessiontimestamp"),
        ends=_moment(authentication, "sessiontimeout"),
        results=results,
    )


def _is_company(told: str, asked: str) -> bool:
    """Company IDs know no case; a console's slide-in (`console|client`) is echoed in its own way."""
    return "|" in asked or told.casefold() == asked.casefold()


def _result(
    result: etree._Element | None, function: Function, answer: Answer, asked: Asked, now: dt.datetime
) -> Result:
    if result is None:
        return Result(failure=unreadable(f"a result for {function.subject or function.name}"))
    faults = faults_in(result)
    if faults or _text(result, "status") != "success":
        failure = verdict(faults, "result", asked.auth, answer=answer, now=now, what=function.subject, hide=asked.hide)
        return Result(failure=failure, wording=failure.detail)
    # Named apart from its children: `find` on an element that has none is no test of truth.
    content = result.find("data")
    if content is None:
        return Result(failure=unreadable(f"the rows of {function.subject or function.name}"))
    return Result(
        rows=tuple(_row(element) for element in content if isinstance(element.tag, str)),
        total=_count(content, "totalcount"),
        remaining=_count(content, "numremaining"),
        result_id=content.get("resultId", ""),
    )


def _row(element: etree._Element) -> Row:
    """One row by field. Element names come in either case, field names with dots."""
    return {_tag(child).upper(): (child.text or "").strip() for child in element if isinstance(child.tag, str)}


def _count(element: etree._Element, name: str) -> int | None:
    value = element.get(name, "")
    return int(value) if value.isdecimal() and len(value) < 12 else None


def faults_in(holder: etree._Element) -> list[Fault]:
    """The faults that an element's own `errormessage` tells of; any part of one may be missing."""
    parts = ("description", "description2", "correction", "additionalinfo")
    return [
        Fault(_text(error, "errorno"), " ".join(filter(None, (_text(error, p) for p in parts))))
        for error in holder.findall("errormessage/error")
    ]


def _tag(element: etree._Element) -> str:
    return etree.QName(element).localname


def _text(element: etree._Element, path: str) -> str:
    found = element.find(path)
    return "".join(str(part) for part in found.itertext()).strip() if found is not None else ""


def _moment(element: etree._Element, path: str) -> dt.datetime | None:
    value = _text(element, path)
    try:
        return parse_moment(value, path) if value else None
    except BadValue:
        return None
