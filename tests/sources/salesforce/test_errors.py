"""Every error of the REST API with its verdict."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from connector.kernel.errors import Misconfigured, Refresh, Refuse, Reject, Retry, Unreachable, VendorError
from connector.kernel.http import Answer
from sources.salesforce import errors
from sources.salesforce.errors import Duplicate, Fault, Gone, ParentMissing, TooMany, TooOld

FIXTURES = Path(__file__).parent / "fixtures" / "http"
SAMPLES, QUERY, REPLICATION = (
    json.loads((FIXTURES / f"{name}.json").read_text()) for name in ("errors", "query", "replication")
)
#: The samples' own word for what to do -> the verdict. What is not found is a setting unless a record was asked for.
ACTIONS = {
    "reauth_once": Refresh, "pause_until_window": Retry, "retry": Retry, "resolve_then_retry": Duplicate,
    "config_error": Misconfigured, "hold_for_operator": Refuse, "relink_or_undelete": Gone, "reject": Reject,
}  # fmt: skip
#: Code -> verdict, by the vendor's own classes.
WANTED: dict[type[VendorError], str] = {
    Refresh: "INVALID_SESSION_ID INVALID_AUTH_HEADER",
    Retry: (
        "UNABLE_TO_LOCK_ROW SERVER_UNAVAILABLE UNKNOWN_EXCEPTION QUERY_TIMEOUT REQUEST_RUNNING_TOO_LONG "
        "API_CURRENTLY_DISABLED TXN_SECURITY_METERING_ERROR INVALID_QUERY_LOCATOR ALL_OR_NONE_OPERATION_ROLLED_BACK "
        "PROCESSING_HALTED REQUEST_LIMIT_EXCEEDED STORAGE_LIMIT_EXCEEDED"
    ),
    Duplicate: "DUPLICATE_VALUE DUPLICATES_DETECTED",
    Gone: "ENTITY_IS_DELETED",
    Refuse: "ENTITY_IS_LOCKED CANNOT_UPDATE_CONVERTED_LEAD",
    Misconfigured: (
        "INVALID_FIELD INVALID_TYPE INVALID_FIELD_FOR_INSERT_UPDATE INSUFFICIENT_ACCESS_OR_READONLY "
        "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY INSUFFICIENT_ACCESS API_DISABLED_FOR_ORG "
        "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST NOT_FOUND UNSUPPORTED_API_VERSION"
    ),
    TooOld: "INVALID_REPLICATION_DATE",
    TooMany: "EXCEEDED_ID_LIMIT",
    Reject: (
        "REQUIRED_FIELD_MISSING FIELD_CUSTOM_VALIDATION_EXCEPTION FIELD_INTEGRITY_EXCEPTION STRING_TOO_LONG "
        "JSON_PARSER_ERROR MALFORMED_ID MALFORMED_QUERY INVALID_CROSS_REFERENCE_KEY "
        "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY FAILED_ACTIVATION INVALID_EMAIL_ADDRESS NUMBER_OUTSIDE_VALID_RANGE"
    ),
}
ROWS = [(code, kind) for kind, codes in WANTED.items() for code in codes.split()]


def answer(status: int, body: Any, **headers: str) -> Answer:
    content = body if isinstance(body, bytes) else (body if isinstance(body, str) else json.dumps(body)).encode()
    return Answer(status, {name.replace("_", "-"): value for name, value in headers.items()}, content)


def judged(status: int, body: Any, **headers: str) -> VendorError:
    with pytest.raises(VendorError) as caught:
        errors.document_of(answer(status, body, **headers))
    return caught.value


@pytest.mark.parametrize("case", SAMPLES, ids=lambda case: case["name"])
def test_every_sample(case: dict[str, Any]) -> None:
    error = judged(case["status"], case["body"])
    wanted = Misconfigured if case["name"] == "not_found" else ACTIONS[case["suggested_action"]]
    assert type(error) is wanted
    assert error.status == case["status"]
    if isinstance(case["body"], list):
        first = case["body"][0]
        assert (error.code, error.detail) == (first["errorCode"], first["message"])
        # What the vendor says may quote a record: only codes and names of fields are told.
        assert first["message"] not in error.text
        assert all(field in error.text for field in first.get("fields", []))


def test_every_code_is_in_one_of_the_classes() -> None:
    assert {code for code, _ in ROWS} == set(errors.VERDICTS)


@pytest.mark.parametrize(("code", "kind"), ROWS)
@pytest.mark.parametrize("status", [400, 403, 404, 500])
def test_the_code_decides_in_answers_and_in_items(code: str, kind: type[VendorError], status: int) -> None:
    body = [{"message": "vendor wording", "errorCode": code, "fields": ["Name"]}]
    error = judged(status, body)
    assert (type(error), error.code, error.status, error.detail) == (kind, code, status, "vendor wording")
    assert error.text.endswith(f"(HTTP {status}, {code}, Name)")
    inside = errors.verdict([errors.fault_in({"statusCode": code, "message": "vendor wording", "fields": []})], 200)
    assert (type(inside), inside.code, inside.status) == (kind, code, 200)


@pytest.mark.parametrize(
    ("message", "after"),
    [
        ("TotalRequests Limit exceeded.", 3600.0),
        ("ConcurrentPerOrgLongTxn Limit exceeded.", 10.0),
        ("ConcurrentRequests (Concurrent API Requests) Limit exceeded.", 10.0),
    ],
)
def test_the_daily_allowance_pauses_longer_than_the_concurrent_one(message: str, after: float) -> None:
    error = judged(403, [{"message": message, "errorCode": "REQUEST_LIMIT_EXCEEDED"}])
    assert isinstance(error, Retry)
    assert (error.after, error.pause_connection) == (after, True)
    assert errors.is_shared(error)


def test_a_full_org_pauses_the_connection() -> None:
    error = judged(400, [{"message": "storage limit exceeded", "errorCode": "STORAGE_LIMIT_EXCEEDED"}])
    assert isinstance(error, Retry)
    assert (error.after, error.pause_connection) == (3600.0, True)


def test_duplicates_name_the_records_in_the_way() -> None:
    by_name = {case["name"]: case for case in SAMPLES}
    unique, rule = (judged(400, by_name[name]["body"]) for name in ("duplicate_value", "duplicate_rule"))
    assert isinstance(unique, Duplicate)
    assert isinstance(rule, Duplicate)
    assert unique.record_ids == ("001Sm00000Acct2IAB",)
    assert rule.record_ids == ("001Sm00000Acct9IAA",)


def test_a_parent_that_is_not_there_yet_is_waited_for() -> None:
    message = "Foreign key external ID: 58 not found for field QBO_Customer_Id__c in entity Account"
    error = judged(400, [{"message": message, "errorCode": "INVALID_FIELD", "fields": []}])
    assert type(error) is ParentMissing


@pytest.mark.parametrize(
    ("name", "kind"),
    [("bad_field", Misconfigured), ("bad_object", Misconfigured), ("malformed", Reject), ("stale_locator", Retry)],
)
def test_queries_that_are_refused(name: str, kind: type[VendorError]) -> None:
    assert type(judged(QUERY[name]["status"], QUERY[name]["body"])) is kind


@pytest.mark.parametrize(("name", "kind"), [("too_old", TooOld), ("too_many", TooMany)])
def test_windows_that_are_refused(name: str, kind: type[VendorError]) -> None:
    assert type(judged(REPLICATION[name]["status"], REPLICATION[name]["body"])) is kind


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (401, "", Refresh),
        (401, "<html>", Refresh),
        (403, [{"message": "x", "errorCode": "NEVER_HEARD_OF"}], Misconfigured),
        (400, [{"message": "x", "errorCode": "NEVER_HEARD_OF"}], Reject),
        (400, {"message": "no list"}, Reject),
        (400, [{"errorCode": {"no": "text"}}], Reject),
        (404, "", Misconfigured),
        (302, "", Misconfigured),
        (429, "slow down", Retry),
        (500, "", Retry),
        (503, "<html>", Retry),
        (400, "<html>", Retry),
        (200, "<html>", Retry),
        (200, "{", Retry),
        (200, '{"a": NaN}', Retry),
    ],
)
def test_answers_without_a_listed_code(status: int, body: Any, kind: type[VendorError]) -> None:
    assert type(judged(status, body)) is kind


def test_a_pause_that_is_asked_for_is_kept() -> None:
    error = judged(429, "", retry_after="17")
    assert isinstance(error, Retry)
    assert (error.after, error.pause_connection) == (17.0, True)
    later = judged(503, "", retry_after="Fri, 20 Nov 2026 12:00:00 GMT")
    assert isinstance(later, Retry)
    assert later.after is None


def test_what_concerns_everyone() -> None:
    shared = [Refresh(""), Misconfigured(""), Unreachable(""), Retry("", pause_connection=True)]
    alone = [Retry(""), Reject(""), Gone(""), Duplicate([""]), ParentMissing("")]
    assert [errors.is_shared(error) for error in [*shared, *alone]] == [True] * 4 + [False] * 5


def test_the_parts_of_a_composite_call_that_was_rolled_back() -> None:
    sample = json.loads((FIXTURES / "composite.json").read_text())["rolled_back"]["body"]["compositeResponse"]
    found = [judged(part["httpStatusCode"], part["body"]) for part in sample]
    assert [(type(error), error.code) for error in found] == [
        (Retry, "PROCESSING_HALTED"),
        (Reject, "FIELD_CUSTOM_VALIDATION_EXCEPTION"),
    ]


def test_of_several_faults_a_listed_one_decides() -> None:
    error = errors.verdict([Fault("ODD", "first"), Fault("UNABLE_TO_LOCK_ROW", "second")], 400)
    assert (type(error), error.code, error.detail) == (Retry, "UNABLE_TO_LOCK_ROW", "first; second")
