"""What Salesforce's REST API says when it refuses, and what to do about each.

A refusal is a list of `{"message", "errorCode", "fields"}`; an item of a collection that failed inside HTTP 200 says
`statusCode` instead. Codes are the vendor's enumeration ("Status Codes and Error Responses" of the REST guide). The
code decides, not the HTTP status, which is 400 for a locked row and for a missing field alike.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

from connector.kernel.errors import Misconfigured, NotYet, Refresh, Refuse, Reject, Retry, Unreachable, VendorError
from connector.kernel.http import Answer
from connector.kernel.values import BadValue, parse_json, rows, text
from sources.salesforce.soql import full_id, is_id


class Gone(Reject):
    """The record does not exist (any more)."""


class NoAnswer(Retry):
    """A read got no whole answer in time: it may simply be asked again."""


class TooOld(Reject):
    """The replication resources do not reach back that far."""


class TooMany(Reject):
    """The window of a replication resource holds more IDs than it lists: ask for a shorter one."""


class Duplicate(Refuse):
    """Another record is in the way. `record_ids` are those that Salesforce names; none when it names none."""

    record_ids: tuple[str, ...] = ()


class Ambiguous(Refuse):
    """Several records hold the external ID; nothing was written. `record_ids` are theirs."""

    record_ids: tuple[str, ...] = ()


class ParentMissing(NotYet):
    """The record refers by external ID to one that Salesforce does not have yet."""


@dataclasses.dataclass(frozen=True, slots=True)
class Fault:
    """One fault of an answer: the vendor's code and wording, the fields it names, and the records it names."""

    code: str
    wording: str = ""
    fields: tuple[str, ...] = ()
    record_ids: tuple[str, ...] = ()


Verdict = tuple[type[VendorError], str]
#: Seconds to wait when the rolling 24 hours are used up, and when too many calls run at once.
DAILY_PAUSE, CONCURRENT_PAUSE = 3600.0, 10.0

_RENEW = "Salesforce refused the access token; it will be renewed"
_BUSY = "Salesforce cannot do this at the moment"
_FIELD = "Salesforce lacks a field or hides it from the run-as user: install the package and assign its permission set"
_RIGHT = "the run-as user lacks a right: assign the connector's permission set, or give access to the record"
_RECORD = "Salesforce refuses a value of this record"
_DAILY = "Salesforce's API calls for 24 hours are used up: wait, or raise the allowance there"
_ROLLED_BACK = "Salesforce took nothing because another record of the same call failed"
_GONE = "the record does not exist in Salesforce (any more)"

#: The code -> verdict and what to do. Unlisted ones are judged by the HTTP status.
VERDICTS: dict[str, Verdict] = {
    "INVALID_SESSION_ID": (Refresh, _RENEW),
    "INVALID_AUTH_HEADER": (Refresh, _RENEW),
    "UNABLE_TO_LOCK_ROW": (Retry, "somebody else is writing the same Salesforce record"),
    "SERVER_UNAVAILABLE": (Retry, _BUSY),
    "UNKNOWN_EXCEPTION": (Retry, "Salesforce had an error of its own"),
    "QUERY_TIMEOUT": (Retry, _BUSY),
    "REQUEST_RUNNING_TOO_LONG": (Retry, _BUSY),
    "API_CURRENTLY_DISABLED": (Retry, "Salesforce's API is switched off for the moment"),
    "TXN_SECURITY_METERING_ERROR": (Retry, _BUSY),
    "INVALID_QUERY_LOCATOR": (Retry, "Salesforce has forgotten the rest of a long answer; it will be asked for again"),
    "ALL_OR_NONE_OPERATION_ROLLED_BACK": (Retry, _ROLLED_BACK),
    "PROCESSING_HALTED": (Retry, _ROLLED_BACK),
    "REQUEST_LIMIT_EXCEEDED": (Retry, _DAILY),
    "STORAGE_LIMIT_EXCEEDED": (Retry, "the Salesforce org is out of storage: free some there"),
    "DUPLICATE_VALUE": (Duplicate, "another Salesforce record already holds a value that must be unique"),
    "DUPLICATES_DETECTED": (Duplicate, "a duplicate rule in Salesforce finds that such a record is there already"),
    "ENTITY_IS_DELETED": (Gone, _GONE),
    "ENTITY_IS_LOCKED": (Refuse, "the Salesforce record is locked by an approval: unlock it there"),
    "CANNOT_UPDATE_CONVERTED_LEAD": (Refuse, "the Salesforce lead was converted: nothing can be written on it"),
    "INVALID_FIELD": (Misconfigured, _FIELD),
    "INVALID_TYPE": (Misconfigured, "this Salesforce edition lacks an object, or hides it from the run-as user"),
    "INVALID_FIELD_FOR_INSERT_UPDATE": (Misconfigured, _FIELD),
    "INSUFFICIENT_ACCESS_OR_READONLY": (Misconfigured, _RIGHT),
    "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY": (Misconfigured, _RIGHT),
    "INSUFFICIENT_ACCESS": (Misconfigured, _RIGHT),
    "API_DISABLED_FOR_ORG": (Misconfigured, "this Salesforce org has no API access: its edition must include it"),
    "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST": (
        Misconfigured,
        "a value that the settings name (a stage, a currency) is not on Salesforce's list: correct the setting",
    ),
    "NOT_FOUND": (Misconfigured, "Salesforce has no such object or field for the run-as user: check the settings"),
    "UNSUPPORTED_API_VERSION": (Misconfigured, "Salesforce does not know the API version: set SALESFORCE_API_VERSION"),
    "INVALID_REPLICATION_DATE": (TooOld, "Salesforce does not list changes that far back"),
    "EXCEEDED_ID_LIMIT": (TooMany, "Salesforce lists too many changes for one answer"),
    "REQUIRED_FIELD_MISSING": (Reject, "Salesforce wants a field that this record does not have"),
    "FIELD_CUSTOM_VALIDATION_EXCEPTION": (Reject, "a validation rule in Salesforce refuses this record"),
    "FIELD_INTEGRITY_EXCEPTION": (Reject, _RECORD),
    "STRING_TOO_LONG": (Reject, "a text is too long for its Salesforce field"),
    "JSON_PARSER_ERROR": (Reject, _RECORD),
    "MALFORMED_ID": (Reject, _RECORD),
    "MALFORMED_QUERY": (Reject, "Salesforce does not understand the query"),
    "INVALID_CROSS_REFERENCE_KEY": (Reject, "this record refers to one that Salesforce does not have"),
    "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY": (Reject, "a trigger or flow in Salesforce refuses this record"),
    "FAILED_ACTIVATION": (Reject, _RECORD),
    "INVALID_EMAIL_ADDRESS": (Reject, _RECORD),
    "NUMBER_OUTSIDE_VALID_RANGE": (Reject, _RECORD),
}
#: HTTP status -> the same, where no listed code decides.
STATUSES: dict[int, Verdict] = {
    401: (Refresh, _RENEW),
    403: (Misconfigured, _RIGHT),
    404: VERDICTS["NOT_FOUND"],
    408: (Retry, _BUSY),
    429: (Retry, "Salesforce asks for a pause: too many requests"),
}
_PAGE = (Retry, "something in front of Salesforce answered with a page")
_REDIRECT = (Misconfigured, "Salesforce answered with a redirect: set instance_url to the org's My Domain address")
_SERVER = (Retry, "Salesforce could not answer")
_CLIENT = (Reject, "Salesforce refuses this request")
_PAUSES = {"STORAGE_LIMIT_EXCEEDED": DAILY_PAUSE, "REQUEST_LIMIT_EXCEEDED": DAILY_PAUSE}
_FOREIGN = re.compile(r"foreign key external id", re.IGNORECASE)
_NAMED = re.compile(r"record with id: *([A-Za-z0-9]{15,18})")


def is_shared(error: VendorError) -> bool:
    """Whether the error concerns the whole connection rather than the record that was asked for."""
    if isinstance(error, Retry) and error.pause_connection:
        return True
    return isinstance(error, Refresh | Misconfigured | Unreachable)


def unreadable(what: str) -> Retry:
    """The verdict on a yes that does not hold what a yes must hold."""
    return Retry(f"Salesforce answered without {what}", code="unreadable")


def document_of(answer: Answer) -> Any:
    """The JSON of a successful answer, None for an empty one. Raises the verdict on any other."""
    if not 200 <= answer.status < 300:
        raise verdict(faults_in(answer.body), answer.status, answer)
    if not answer.body.strip():
        return None
    try:
        return parse_json(answer.body)
    except BadValue:
        raise unreadable("a JSON document") from None


def faults_in(body: bytes) -> list[Fault]:
    """The faults that an answer's body tells of; none for a page or anything else that is no list of errors."""
    try:
        return [fault_in(row) for row in parse_json(body) if isinstance(row, Mapping)]
    except (BadValue, TypeError):
        return []


def fault_in(row: Mapping[str, Any]) -> Fault:
    """One error of a list, or of a failed item. Raises `BadValue`."""
    wording = text(row, "message")
    named = _NAMED.findall(wording)
    for result in rows(row, "duplicateResult", "matchResults"):
        named += [text(match, "record", "Id") for match in rows(result, "matchRecords")]
    return Fault(
        code=text(row, "errorCode") or text(row, "statusCode"),
        wording=wording,
        fields=tuple(field for field in rows(row, "fields") if isinstance(field, str)),
        record_ids=tuple(dict.fromkeys(full_id(each) for each in named if is_id(each))),
    )


def verdict(faults: Sequence[Fault], status: int, answer: Answer | None = None) -> VendorError:
    """The error for an answer (or for one failed item of it): the first listed code decides, else the status."""
    fault = next((item for item in faults if item.code in VERDICTS), faults[0] if faults else Fault(""))
    kind, sentence = _judge(fault, status, answer)
    code = fault.code if re.fullmatch(r"\w{1,80}", fault.code) else ""
    named = [field for field in fault.fields if re.fullmatch(r"[\w.]{1,80}", field)]
    sentence += f" ({', '.join(filter(None, (f'HTTP {status}', code, *named)))})"
    detail = "; ".join(item.wording for item in faults if item.wording)
    if issubclass(kind, Refuse):
        refusal = kind([sentence], code=code, status=status, detail=detail)
        if isinstance(refusal, Duplicate):
            refusal.record_ids = fault.record_ids
        return refusal
    if not issubclass(kind, Retry):
        return kind(sentence, code=code, status=status, detail=detail)
    after = _pause(fault) if code in _PAUSES else _retry_after(answer)
    is_everyone = code in _PAUSES or status == 429
    return kind(sentence, code=code, status=status, detail=detail, after=after, pause_connection=is_everyone)


def _judge(fault: Fault, status: int, answer: Answer | None) -> Verdict:
    if fault.code == "INVALID_FIELD" and _FOREIGN.search(fault.wording):
        return ParentMissing, "this record refers by external ID to one that Salesforce does not have yet"
    if fault.code == "REQUEST_LIMIT_EXCEEDED" and _is_concurrent(fault):
        return Retry, "too many calls run in the Salesforce org at once"
    if fault.code in VERDICTS:
        return VERDICTS[fault.code]
    if answer is not None and answer.body.lstrip()[:1] == b"<" and status not in (401, 429):
        return _PAGE
    if status in STATUSES:
        return STATUSES[status]
    if status >= 500:
        return _SERVER
    return _REDIRECT if 300 <= status < 400 else _CLIENT


def _is_concurrent(fault: Fault) -> bool:
    return "concurrent" in fault.wording.lower()


def _pause(fault: Fault) -> float:
    return CONCURRENT_PAUSE if _is_concurrent(fault) else _PAUSES[fault.code]


def _retry_after(answer: Answer | None) -> float | None:
    value = answer.headers.get("retry-after", "").strip() if answer else ""
    return float(value) if re.fullmatch(r"\d{1,6}", value) else None
