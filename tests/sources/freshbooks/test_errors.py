"""Every shape in which FreshBooks refuses, and what is to be done about each."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import pytest

from connector.kernel.errors import Misconfigured, Refresh, Reject, Retry, VendorError
from connector.kernel.http import Answer
from sources.freshbooks.errors import Gone, document_of, faults_in

FIXTURES = Path(__file__).parent / "fixtures"
NOW = dt.datetime(2026, 11, 20, tzinfo=dt.UTC)
OLD = '{"response": {"errors": %s}}'
HTML = "<html>Bad gateway</html>"


def refusal(status: int, body: str, **headers: str) -> VendorError:
    with pytest.raises(VendorError) as error:
        document_of(Answer(status, headers, body.encode()), NOW)
    return error.value


@pytest.mark.parametrize(
    ("name", "status", "kind", "code", "detail"),
    [
        ("error_old_404", 404, Gone, "1012", "client: userid: Client not found."),
        ("error_old_404", 200, Gone, "1012", "client: userid: Client not found."),
        ("error_new_404", 404, Gone, "1012", "Client not found.; Request failed with status_code: 404"),
        ("error_new_401", 401, Refresh, "1003", "The server could not verify"),
        ("events_error_401", 401, Refresh, "401", "invalid_token: The request token failed"),
        ("events_error_404", 404, Gone, "404", "Requested resource could not be found."),
        ("callback_error_errno422", 422, Reject, "422", "event: Value error, Unrecognized event."),
        ("callback_error_grpc_badrequest", 400, Reject, "rpc-3", "event: Unrecognized event.: uri: Not a"),
        ("users_me_unauthenticated", 401, Refresh, "unauthenticated", "This action requires authentication"),
        ("oauth_error_invalid_grant", 400, Reject, "invalid_grant", "The provided authorization grant is invalid"),
    ],
)  # fmt: skip
def test_the_vendors_samples(name: str, status: int, kind: type[VendorError], code: str, detail: str) -> None:
    error = refusal(status, (FIXTURES / f"{name}.json").read_text())
    assert (type(error), error.code, error.status) == (kind, code, status)
    assert detail in error.detail and detail not in error.text


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (403, OLD % '[{"errno": 1003, "message": "No"}]', Misconfigured),
        (403, '{"error": "insufficient_scope"}', Misconfigured),
        (401, "", Refresh),
        (401, HTML, Refresh),
        (402, "{}", Misconfigured),
        (404, "", Gone),
        (404, HTML, Retry),
        (200, HTML, Retry),
        (200, '{"response": {"result"', Retry),
        (200, OLD % '{"errno": 1012, "message": "Gone"}', Gone),
        (200, OLD % '[{"errno": {}}]', Reject),
        (400, "{}", Reject),
        (408, "{}", Retry),
        (429, HTML, Retry),
        (500, OLD % '[{"errno": 1012}]', Retry),
        (502, HTML, Retry),
        (307, "", Misconfigured),
    ],
)
def test_other_refusals(status: int, body: str, kind: type[VendorError]) -> None:
    assert type(refusal(status, body)) is kind


def test_throttling_asks_everyone_to_wait() -> None:
    error = refusal(429, "{}", **{"retry-after": "7"})
    assert isinstance(error, Retry) and (error.after, error.pause_connection) == (7.0, True)


@pytest.mark.parametrize(
    "name", ["callbacks_list", "bill_vendor", "bill_payment", "users_me", "callback_verified_response"]
)
def test_a_good_answer_is_no_refusal(name: str) -> None:
    document = json.loads((FIXTURES / f"{name}.json").read_text())
    assert faults_in(document) == []
    assert document_of(Answer(200, {}, json.dumps(document).encode()), NOW).keys() == document.keys()
