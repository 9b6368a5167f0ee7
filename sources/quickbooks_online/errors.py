"""What QuickBooks Online says when it refuses, and what to do about each.

A refusal comes in four shapes: `Fault` (the API), `fault` (its gateway), XML (throttling, bad clusters), and any
of them inside HTTP 200. Codes may be zero-padded, so they are compared as numbers.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import email.utils
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from connector.kernel.errors import Misconfigured, Reauthorize, Refresh, Reject, Retry, Unreachable, VendorError
from connector.kernel.http import Answer
from connector.kernel.values import BadValue, dig, parse_json, rows, text
from connector.kernel.xml import parse_xml


class Gone(Reject):
    """The record does not exist (any more)."""


class NoAnswer(Retry):
    """A read got no whole answer in time: ask again, perhaps for less."""


@dataclasses.dataclass(frozen=True, slots=True)
class Fault:
    """One `Error` entry: its code (0 when there is none) and the vendor's wording."""

    code: int
    wording: str = ""


_RENEW = "QuickBooks Online refused the access token; it will be renewed"
_THROTTLED = "QuickBooks Online asks for a pause: too many requests for this company"

#: Vendor code -> verdict and what to do. Unlisted codes are `Retry` with a 5xx status, else `Reject`.
VERDICTS: dict[int, tuple[type[VendorError], str]] = {
    100: (Refresh, _RENEW),
    120: (Reauthorize, "the person who connected this company has no access to it any more: connect again"),
    130: (Misconfigured, "this company is not on this host: set QUICKBOOKS_ONLINE_API_URL to its environment's"),
    500: (Reject, "QuickBooks Online does not support this operation on this record"),
    600: (Reject, "this request ID was used before: look for the record that the first request made"),
    610: (Gone, "the record, or one it refers to, was deleted or made inactive"),
    2010: (Reject, "QuickBooks Online does not know a property of the request"),
    2020: (Reject, "a required value is missing"),
    2030: (Reject, "the ID is not one of QuickBooks Online's"),
    2050: (Reject, "a value is too long or too short"),
    2170: (Reject, "a value is not one of those allowed"),
    2500: (Reject, "something that the record refers to is inactive or unknown: activate it or choose another"),
    3001: (Retry, _THROTTLED),
    3100: (
        Reauthorize,
        "the company disconnected this app, or the app's keys are another environment's: connect again",
    ),
    3200: (Refresh, _RENEW),
    4000: (Reject, "QuickBooks Online could not read the query"),
    4001: (Reject, "QuickBooks Online could not read the query"),
    5010: (Reject, "the record was changed by somebody else meanwhile: read it again"),
    6000: (Reject, "a business rule of QuickBooks Online refuses this record"),
    6140: (Reject, "the document number is taken: choose another"),
    6190: (Misconfigured, "the company's QuickBooks subscription has ended or is unpaid: renew it at Intuit"),
    6210: (Reject, "the books are closed for this date: reopen them or change the date"),
    6240: (Reject, "the name is taken by a customer, vendor or employee: use that one or choose another"),
    6540: (Reject, "the transaction is deposited and cannot be changed: remove it from the deposit first"),
    10000: (Retry, "QuickBooks Online had an error of its own"),
}
#: HTTP status -> the same, for answers without a listed code.
STATUSES: dict[int, tuple[type[VendorError], str]] = {
    401: (Refresh, _RENEW),
    408: (Retry, "QuickBooks Online took too long"),
    429: (Retry, _THROTTLED),
}
#: HTTP status -> the same, for answers that do not come from the API at all.
FOREIGN: dict[int, tuple[type[VendorError], str]] = {
    403: (Misconfigured, "something in front of QuickBooks Online refuses the call: check QUICKBOOKS_ONLINE_API_URL"),
    404: (Misconfigured, "the API is not at this address: check QUICKBOOKS_ONLINE_API_URL"),
}
_SERVER = (Retry, "QuickBooks Online could not answer")
_CLIENT = (Reject, "QuickBooks Online refuses this request")
_REDIRECT = (Misconfigured, "QuickBooks Online answered with a redirect: check QUICKBOOKS_ONLINE_API_URL")
_TID = re.compile(r"[A-Za-z0-9-]{1,64}")


def is_shared(error: VendorError) -> bool:
    """Whether the error concerns the whole connection rather than the record that was asked for."""
    if isinstance(error, Retry) and error.pause_connection:
        return True
    return isinstance(error, Refresh | Reauthorize | Misconfigured | Unreachable)


def unreadable(what: str) -> Retry:
    """The verdict on a yes that does not hold what a yes must hold."""
    return Retry(f"QuickBooks Online answered without {what}", code="unreadable")


def document_of(answer: Answer, now: dt.datetime) -> Mapping[str, Any]:
    """The JSON object of a successful answer. Raises the verdict on any other, faults inside HTTP 200 included."""
    faults, document = read_faults(answer.body)
    if faults or not 200 <= answer.status < 300:
        raise verdict(faults, answer, now)
    if document is None:
        raise unreadable("a JSON document")
    return document


def read_faults(body: bytes) -> tuple[list[Fault], Mapping[str, Any] | None]:
    """The faults in an answer of any shape, and its JSON object when it is one."""
    if body.lstrip()[:1] == b"<":
        return _xml_faults(body), None
    try:
        document = parse_json(body)
        return (faults_in(document), document) if isinstance(document, Mapping) else ([], None)
    except BadValue:
        return [], None


def faults_in(document: Any) -> list[Fault]:
    """The faults of a JSON answer, or of one block or batch item in it."""
    fault = dig(document, "Fault") or dig(document, "fault")
    if not fault:
        return []
    try:
        found = [_fault(error) for error in rows(fault, "Error") or rows(fault, "error")]
    except BadValue:
        found = []
    return found or [Fault(0)]


def _fault(error: Any) -> Fault:
    message = text(error, "Message") or text(error, "message")
    return _coded(text(error, "code"), message, text(error, "Detail") or text(error, "detail"))


def _xml_faults(body: bytes) -> list[Fault]:
    try:
        root = parse_xml(body)
    except BadValue:
        return []
    return [
        _coded(error.get("code", ""), error.findtext("{*}Message") or "", error.findtext("{*}Detail") or "")
        for error in root.iterfind(".//{*}Fault/{*}Error")
    ]


def _coded(code: str, message: str, detail: str) -> Fault:
    number = re.fullmatch(r"\d{1,9}", code) or re.search(r"(?<=errorCode=)\d{1,9}", message)
    return Fault(int(number[0]) if number else 0, ": ".join(part for part in (message, detail) if part))


def verdict(faults: Sequence[Fault], answer: Answer, now: dt.datetime) -> VendorError:
    """The error for these faults: the first listed code decides, else the HTTP status."""
    fault = next((item for item in faults if item.code in VERDICTS), faults[0] if faults else Fault(0))
    kind, sentence = _judge(fault, answer.status, is_foreign=not faults)
    code, detail = str(fault.code or ""), "; ".join(item.wording for item in faults if item.wording)
    tid = answer.headers.get("intuit_tid") or answer.headers.get("intuit-tid") or ""
    marks = [f"HTTP {answer.status}", code and f"code {code}", _TID.fullmatch(tid) and f"tid {tid}"]
    sentence += f" ({', '.join(mark for mark in marks if mark)})"
    if not issubclass(kind, Retry):
        return kind(sentence, code=code, status=answer.status, detail=detail)
    return kind(
        sentence,
        code=code,
        status=answer.status,
        detail=detail,
        after=retry_after(answer, now),
        pause_connection=fault.code == 3001 or answer.status == 429,
    )


def _judge(fault: Fault, status: int, *, is_foreign: bool) -> tuple[type[VendorError], str]:
    if fault.code in VERDICTS:
        return VERDICTS[fault.code]
    if status in STATUSES:
        return STATUSES[status]
    if is_foreign and status in FOREIGN:
        return FOREIGN[status]
    if 300 <= status < 400:
        return _REDIRECT
    return _SERVER if status >= 500 else _CLIENT


def retry_after(answer: Answer, now: dt.datetime) -> float | None:
    """The seconds of a `Retry-After` header, given as seconds or as a date."""
    value = answer.headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", value):
        return float(value)
    try:
        at = email.utils.parsedate_to_datetime(value)
    except (ValueError, TypeError, OverflowError):
        return None
    seconds = (at.replace(tzinfo=at.tzinfo or dt.UTC) - now).total_seconds()
    return max(0.0, math.ceil(seconds))
