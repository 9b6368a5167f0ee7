"""What the gateway says when it refuses, and what to do about each.

A refusal stands at one of three levels of an answer (control, authentication, result), mostly inside HTTP 200, and one
code may mean four things: the verdict is found by level, kind of sign-in, code and wording together.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import email.utils
import math
import re
from collections.abc import Callable, Iterable, Sequence
from urllib.parse import unquote

from connector.kernel.errors import Misconfigured, Reauthorize, Refresh, Reject, Retry, VendorError
from connector.kernel.http import Answer


@dataclasses.dataclass(frozen=True, slots=True)
class Fault:
    """One `error` of an answer: its code and the vendor's wording."""

    code: str
    wording: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Rule:
    """A row of the table; an empty cell holds for all. `code` and `wording` are patterns."""

    level: str
    auth: str
    code: str
    wording: str
    kind: type[VendorError]
    sentence: str

    def fits(self, level: str, auth: str, fault: Fault) -> bool:
        return (
            self.level in ("", level)
            and self.auth in ("", auth)
            and (not self.code or re.fullmatch(self.code, fault.code) is not None)
            and (not self.wording or re.search(self.wording, fault.wording, re.IGNORECASE) is not None)
        )


_RENEW = "Intacct ended the session; a new one will be opened"
_SENDER = "Intacct refuses the Web Services sender ID or its password: correct them"
_SIGN_IN = "Intacct refuses the sign-in: correct the company ID, user ID or user password"
_AUTHORIZE = (
    "the company has not authorized the sender ID: add it under Company > Setup > Company > Security > Web Services "
    "authorizations"
)
_PAUSE = "Intacct asks for a pause: too many requests"
_LATER = "Intacct is temporarily off-line"
_BUG = "Intacct cannot read the request: report this with the code"
_RIGHT = "the role of the Intacct user may not read {what}: give it List and View of {right}"
_QUERY = "Intacct cannot answer the query of {what}: a field or filter is not known there"

#: Read from the top; the first row that fits decides.
RULES: tuple[Rule, ...] = (
    Rule("", "", "GW-0010", "", Retry, _PAUSE),
    Rule("", "", "", "rate limit exceeded", Retry, _PAUSE),
    Rule("", "session", "", r"\binvalid session", Refresh, _RENEW),
    Rule("", "login", "XMLGW_JPP0002", "", Reauthorize, _SIGN_IN),
    # No sign-in stood in the request, so it can only be the session.
    Rule("", "session", "XMLGW_JPP0002", "", Refresh, _RENEW),
    Rule("", "login", "GW-0011", "", Reauthorize, _SIGN_IN),
    Rule("", "session", "GW-0011", "", Reject, _BUG),
    Rule("", "", "PL04000055", "", Misconfigured, "this Intacct company has expired"),
    Rule("control", "", "XL03000006", "policy", Misconfigured, _BUG),
    Rule("control", "", "XL03000006", "", Reauthorize, _SENDER),
    Rule("control", "", "XL03000003", "", Reject, _BUG),
    Rule("authentication", "", "", "web services authorization", Misconfigured, _AUTHORIZE),
    Rule("authentication", "login", "XL03.*", "", Reauthorize, _SIGN_IN),
    Rule("authentication", "session", "XL03.*", "", Refresh, _RENEW),
    Rule("result", "", "PL04000005", "", Misconfigured, _RIGHT),
    Rule("result", "", "", "do not have permission", Misconfigured, _RIGHT),
    Rule("", "", "PL04000050", "", Retry, _LATER),
    Rule("", "", "", "temporarily off-?line|try again later", Retry, _LATER),
    Rule("result", "", "DL02000001", "", Reject, _QUERY),
    Rule("result", "", "BL01001973", "entity", Misconfigured, "{what} can be read inside an entity only: set entity"),
    Rule("result", "login", "", "", Misconfigured, "Intacct opened no session: check the setting entity"),
    Rule("result", "session", "XL03000009", "", Reject, "Intacct left {what} out because of another part's fault"),
)
#: For what no row fits, by level.
UNLISTED: dict[str, tuple[type[VendorError], str]] = {
    "control": (Reject, "Intacct refuses this request"),
    "authentication": (Reauthorize, _SIGN_IN),
    "result": (Reject, "Intacct refuses to read {what}"),
}
#: Codes that only follow from another fault beside them.
CONSEQUENCES = frozenset({"XL03000009", "BL01001973"})
#: The role permissions behind each object.
RIGHTS = {
    "GLBATCH": "General Ledger > Journal entries",
    "GLENTRY": "General Ledger > Journal entries",
    "APPYMT": "Accounts Payable > Payments",
    "VENDOR": "Accounts Payable > Vendors",
}
#: Wording of a result that the object does not take `query`.
UNSUPPORTED = re.compile(r"not support|unsupported|only .*readByQuery", re.IGNORECASE)
#: HTTP status of an answer without XML -> verdict. Others: 5xx and every page are `Retry`.
PAGES: dict[int, tuple[type[VendorError], str]] = {
    404: (Misconfigured, "the gateway is not at this address: check INTACCT_GATEWAY_URL"),
    405: (Misconfigured, "the gateway is not at this address: check INTACCT_GATEWAY_URL"),
    410: (Misconfigured, "the gateway is not at this address: check INTACCT_GATEWAY_URL"),
    413: (Reject, "Intacct finds the request too large"),
    429: (Retry, _PAUSE),
}
_REDIRECT = (Misconfigured, "the gateway answered with a redirect: check INTACCT_GATEWAY_URL")
_PAGE = (Retry, "something in front of Intacct answered with a page")
_SERVER = (Retry, "Intacct could not answer")
#: Seconds to wait after a page of the vendor's proxy, whose request may still be running.
PROXY_WAIT = 60.0


def verdict(
    faults: Sequence[Fault],
    level: str,
    auth: str,
    *,
    answer: Answer,
    now: dt.datetime,
    what: str = "",
    hide: Callable[[str], str] = lambda text: text,
) -> VendorError:
    """The error for the faults at a level. `auth` is "login" or "session"; `hide` masks secrets in wordings."""
    kind, sentence, fault = _judge(faults, level, auth)
    code = fault.code if re.fullmatch(r"[A-Za-z0-9_-]{1,40}", fault.code) else ""
    text = sentence.format(what=what or "the records", right=RIGHTS.get(what, "that object"))
    marks = [f"HTTP {answer.status}" if answer.status != 200 else "", f"code {hide(code)}" if code else ""]
    marked = ", ".join(mark for mark in marks if mark)
    return _made(
        kind,
        f"{text} ({marked})" if marked else text,
        code=hide(code),
        answer=answer,
        detail=hide(_told(faults)),
        after=retry_after(answer, now),
        pauses=sentence == _PAUSE,
    )


def _judge(faults: Sequence[Fault], level: str, auth: str) -> tuple[type[VendorError], str, Fault]:
    telling = [fault for fault in faults if fault.code not in CONSEQUENCES] or list(faults) or [Fault("")]
    for fault in telling:
        for rule in RULES:
            if rule.fits(level, auth, fault):
                return rule.kind, rule.sentence, fault
    kind, sentence = UNLISTED[level]
    return kind, sentence, telling[0]


def _told(faults: Iterable[Fault]) -> str:
    """The vendor's wordings; a code that is a sentence is one too. Support IDs come URL-encoded."""
    parts = [fault.wording if " " not in fault.code else f"{fault.code}: {fault.wording}" for fault in faults]
    return unquote("; ".join(part for part in parts if part))


def page_verdict(answer: Answer, now: dt.datetime) -> VendorError:
    """The error for an answer that is no XML of the gateway's: a proxy's page, half a document, nothing."""
    if answer.status in PAGES:
        kind, sentence = PAGES[answer.status]
    elif 300 <= answer.status < 400:
        kind, sentence = _REDIRECT
    else:
        kind, sentence = _SERVER if answer.status >= 500 else _PAGE
    after = retry_after(answer, now)
    if after is None and (answer.status == 524 or b"cf-error-details" in answer.body):
        after = PROXY_WAIT
    return _made(
        kind,
        f"{sentence} (HTTP {answer.status})",
        code="no_xml" if answer.status == 200 else "",
        answer=answer,
        after=after,
        pauses=answer.status == 429,
    )


def _made(
    kind: type[VendorError],
    text: str,
    *,
    code: str,
    answer: Answer,
    detail: str = "",
    after: float | None = None,
    pauses: bool = False,
) -> VendorError:
    if issubclass(kind, Retry):
        return kind(text, code=code, status=answer.status, detail=detail, after=after, pause_connection=pauses)
    return kind(text, code=code, status=answer.status, detail=detail)


def unreadable(what: str) -> Retry:
    """The verdict on a yes that does not hold what a yes must hold."""
    return Retry(f"Intacct answered without {what}", code="unreadable")


def bad_row(what: str, reason: str) -> Reject:
    """The verdict on a row that cannot be read; the reason names a field and never its content."""
    return Reject(f"Intacct sent a row of {what} that cannot be read: {reason}", code="bad_row")


def masker(values: Iterable[str]) -> Callable[[str], str]:
    """Replaces secrets in a text: those given, and a session ID that the gateway quotes."""
    secrets = sorted((value for value in set(values) if value), key=len, reverse=True)

    def hide(text: str) -> str:
        for secret in secrets:
            text = text.replace(secret, "[hidden]")
        return re.sub(r"(invalid session(?:\s*id)?[\s:'\"]*)[^\s\[\]]+", r"\1[hidden]", text, flags=re.IGNORECASE)

    return hide


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
