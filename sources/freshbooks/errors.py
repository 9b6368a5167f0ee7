"""What FreshBooks says when it refuses, and what to do about each.

A refusal comes in five shapes: the accounting API's old (`response.errors`, also inside HTTP 200) and new one (`code`
with `details`), the events API's two (`errno`; `code` with field violations), and OAuth's (`error`).
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import email.utils
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from connector.kernel.errors import Misconfigured, Refresh, Reject, Retry, Unreachable, VendorError
from connector.kernel.http import Answer
from connector.kernel.values import BadValue, dig, parse_json, rows, text


class Gone(Reject):
    """The record does not exist (any more)."""


class NoAnswer(Retry):
    """A read got no whole answer in time: it may simply be asked again."""


@dataclasses.dataclass(frozen=True, slots=True)
class Fault:
    """One fault of an answer: its code (a number, `rpc-<number>` or a word) and the vendor's wording."""

    code: str
    wording: str = ""


Verdict = tuple[type[VendorError], str]
_RENEW = "FreshBooks refused the access token; it will be renewed"
_SCOPE = "FreshBooks does not allow this to the app: tick the scope in the app's settings there, then connect again"
_GONE = "the record does not exist in FreshBooks (any more)"
_THROTTLED = "FreshBooks asks for a pause: too many requests"

#: HTTP status -> verdict and what to do; before any code in the body.
STATUSES: dict[int, Verdict] = {
    401: (Refresh, _RENEW),
    402: (Misconfigured, "the FreshBooks subscription of this business has ended or is unpaid: renew it there"),
    403: (Misconfigured, _SCOPE),
    404: (Gone, _GONE),
    408: (Retry, "FreshBooks took too long"),
    429: (Retry, _THROTTLED),
}
#: The code in the body -> the same, for every other status (200 among them). Unlisted ones are `Reject`.
VERDICTS: dict[str, Verdict] = {
    "1003": (Misconfigured, _SCOPE),
    "1012": (Gone, _GONE),
    "401": (Refresh, _RENEW),
    "403": (Misconfigured, _SCOPE),
    "404": (Gone, _GONE),
    "422": (Reject, "FreshBooks refuses a value of the request"),
    "429": (Retry, _THROTTLED),
    "rpc-3": (Reject, "FreshBooks refuses a value of the request"),
    "rpc-5": (Gone, _GONE),
    "rpc-7": (Misconfigured, _SCOPE),
    "rpc-8": (Retry, _THROTTLED),
    "rpc-14": (Retry, "FreshBooks is unavailable"),
    "rpc-16": (Refresh, _RENEW),
    "unauthenticated": (Refresh, _RENEW),
    "invalid_token": (Refresh, _RENEW),
    "insufficient_scope": (Misconfigured, _SCOPE),
}
_PAGE = (Retry, "something in front of FreshBooks answered with a page")
_REDIRECT = (Misconfigured, "FreshBooks answered with a redirect: check FRESHBOOKS_API_URL")
_SERVER = (Retry, "FreshBooks could not answer")
_CLIENT = (Reject, "FreshBooks refuses this request")


def is_shared(error: VendorError) -> bool:
    """Whether the error concerns the whole connection rather than the record that was asked for."""
    if isinstance(error, Retry) and error.pause_connection:
        return True
    return isinstance(error, Refresh | Misconfigured | Unreachable)


def unreadable(what: str) -> Retry:
    """The verdict on a yes that does not hold what a yes must hold."""
    return Retry(f"FreshBooks answered without {what}", code="unreadable")


def document_of(answer: Answer, now: dt.datetime) -> Mapping[str, Any]:
    """The JSON object of a successful answer. Raises the verdict on any other, faults inside HTTP 200 included."""
    document = _object(answer.body)
    faults = faults_in(document)
    if faults or not 200 <= answer.status < 300:
        raise verdict(faults, answer, now)
    if document is None:
        raise unreadable("a JSON document")
    return document


def _object(body: bytes) -> Mapping[str, Any] | None:
    try:
        document = parse_json(body)
    except BadValue:
        return None
    return document if isinstance(document, Mapping) else None


def faults_in(document: Any) -> list[Fault]:
    """The faults that a JSON answer tells of, in any of the shapes; the most telling first."""
    try:
        return list(_read(document))
    except BadValue:
        return [Fault("")]


def _read(document: Any) -> Iterator[Fault]:
    for error in rows(document, "response", "errors"):
        yield Fault(text(error, "errno"), _joined(text(error, "object"), text(error, "field"), text(error, "message")))
    if dig(document, "errno") is not None:
        lines = [item for item in rows(document, "details") if isinstance(item, str)]
        yield Fault(text(document, "errno"), _joined(text(document, "message"), *lines))
    if dig(document, "code") is not None and dig(document, "response") is None:
        yield from _rpc(document)
    if dig(document, "error") is not None:
        yield Fault(text(document, "error"), text(document, "error_description"))


def _rpc(document: Any) -> Iterator[Fault]:
    wordings = [text(document, "message")]
    for detail in rows(document, "details"):
        if reason := text(detail, "reason"):
            yield Fault(reason, text(detail, "metadata", "message"))
        for violation in rows(detail, "fieldViolations"):
            wordings.append(_joined(text(violation, "field"), text(violation, "description")))
    yield Fault(f"rpc-{text(document, 'code')}", _joined(*wordings))


def _joined(*parts: str) -> str:
    return ": ".join(part for part in parts if part)


def verdict(faults: Sequence[Fault], answer: Answer, now: dt.datetime) -> VendorError:
    """The error for an answer: some HTTP statuses decide, else the first listed code, else the kind of status."""
    fault = next((item for item in faults if item.code in VERDICTS), faults[0] if faults else Fault(""))
    kind, sentence = _judge(fault, answer)
    shown = fault.code if re.fullmatch(r"[\w-]{1,40}", fault.code) else ""
    marks = [f"HTTP {answer.status}", shown and f"code {shown}"]
    sentence += f" ({', '.join(mark for mark in marks if mark)})"
    detail = "; ".join(item.wording for item in faults if item.wording)
    if not issubclass(kind, Retry):
        return kind(sentence, code=shown, status=answer.status, detail=detail)
    return kind(
        sentence,
        code=shown,
        status=answer.status,
        detail=detail,
        after=retry_after(answer, now),
        pause_connection=answer.status == 429 or sentence.startswith(_THROTTLED),
    )


def _judge(fault: Fault, answer: Answer) -> Verdict:
    if answer.body.lstrip()[:1] == b"<" and answer.status not in (401, 429):
        return _PAGE
    if answer.status in STATUSES:
        return STATUSES[answer.status]
    if answer.status >= 500:
        return _SERVER
    if 300 <= answer.status < 400:
        return _REDIRECT
    return VERDICTS.get(fault.code, _CLIENT)


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
