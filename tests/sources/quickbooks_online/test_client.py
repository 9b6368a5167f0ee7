"""Every refusal of the vendor over the wire: the verdict, its code, and what is told of it."""

from __future__ import annotations

import pytest

from connector.kernel.errors import (
    Misconfigured,
    Reauthorize,
    Refresh,
    Reject,
    Retry,
    Unreachable,
    VendorError,
)
from connector.kernel.http import Answer
from sources.quickbooks_online.client import Client
from sources.quickbooks_online.errors import VERDICTS, Fault, Gone, NoAnswer, is_shared, verdict
from sources.quickbooks_online.queries import by_ids

from . import wire
from .wire import FIXTURES, NOW, Api, context, sample, told

api = wire.api

TID = "1-5f3a-fake"


def read(api: Api) -> VendorError:
    with pytest.raises(VendorError) as caught:
        Client(context(api.url)).read("Bill", "25")
    return caught.value


VALIDATION = {
    "400_2010_unsupported_property": 2010,
    "400_2020_required_parameter": 2020,
    "400_2050_length": 2050,
    "400_2500_invalid_reference": 2500,
    "400_4001_invalid_query": 4001,
    "400_500_unsupported_operation": 500,
    "400_5010_stale_object": 5010,
    "400_6000_business_validation": 6000,
    "400_6140_duplicate_doc_number": 6140,
    "400_6210_account_period_closed": 6210,
    "400_6240_duplicate_name": 6240,
    "multi_error_validation.xml": 2050,
}
#: Sample -> kind, code, and whether everybody on the connection has to wait.
FAULTS: dict[str, tuple[type[VendorError], int, bool]] = {
    "200_10000_systemfault_with_http_200": (Retry, 10000, False),
    "400_610_object_not_found_deleted": (Gone, 610, False),
    "400_610_object_not_found_inactive": (Gone, 610, False),
    "400_6190_invalid_company_status": (Misconfigured, 6190, False),
    "401_100_general_authentication.xml": (Refresh, 100, False),
    "401_120_authorization_failure": (Reauthorize, 120, False),
    "401_130_wrong_cluster.xml": (Misconfigured, 130, False),
    "401_3200_malformed_token_lowercase": (Refresh, 3200, False),
    "401_3200_token_expired_lowercase": (Refresh, 3200, False),
    "403_3100_application_authorization_failed_lowercase": (Reauthorize, 3100, False),
    "429_3001_throttle.xml": (Retry, 3001, True),
    "429_3001_throttle_lowercase": (Retry, 3001, True),
    **{name: (Reject, code, False) for name, code in VALIDATION.items()},
}


def test_every_fault_sample_is_in_the_table() -> None:
    assert {path.name.removesuffix(".json") for path in (FIXTURES / "faults").iterdir()} == set(FAULTS)


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_sample_gets_its_verdict(api: Api, name: str) -> None:
    kind, code, is_pause = FAULTS[name]
    status = int(name[:3]) if name[:3].isdigit() else 400
    body = sample(f"faults/{name}" if name.endswith(".xml") else f"faults/{name}.json")
    api.on("bill/25", body, status, Intuit_Tid=TID)
    error = read(api)
    assert type(error) is kind
    assert (error.code, error.status) == (str(code), status)
    assert error.text == f"{VERDICTS[code][1]} (HTTP {status}, code {code}, tid {TID})"
    assert getattr(error, "pause_connection", False) is is_pause
    # The vendor's wording may quote a record: it is kept, but apart.
    assert error.detail and error.detail not in str(error)


def test_the_wording_of_every_error_is_kept_together(api: Api) -> None:
    api.on("bill/25", sample("faults/multi_error_validation.xml"), 400)
    assert read(api).detail == (
        "Length exceeds limit: Length of the field exceeds 21 chars; "
        "Illegal number format: ZipCode should be a number with at least 5 digits"
    )


@pytest.mark.parametrize("code", VERDICTS)
def test_every_row_of_the_table_is_found_by_its_number_however_padded(api: Api, code: int) -> None:
    fault = {"Fault": {"Error": [{"Message": "m", "code": f"{code:06}"}], "type": "ValidationFault"}}
    api.on("bill/25", fault, 400)
    error = read(api)
    assert (type(error), error.code) == (VERDICTS[code][0], str(code))


@pytest.mark.parametrize(
    ("status", "body", "kind", "code"),
    [
        (500, b"<html><body>Bad gateway</body></html>", Retry, ""),
        (503, b"", Retry, ""),
        (429, b"<html>slow down", Retry, ""),
        (401, b"<html>", Refresh, ""),
        (403, b"<!DOCTYPE html><html></html>", Misconfigured, ""),
        (404, b"not here", Misconfigured, ""),
        (302, b"", Misconfigured, ""),
        (418, b"{}", Reject, ""),
        (404, b'{"Fault": {"Error": [{"code": "4711"}]}}', Reject, "4711"),
        (500, b'{"Fault": {"Error": [{"code": "4711"}]}}', Retry, "4711"),
        (403, b'{"fault": {"error": [{"message": "x; errorCode=003001; statusCode=429"}]}}', Retry, "3001"),
        (400, b'{"Fault": {"Error": 7}}', Reject, ""),
        (400, b'{"Fault": "odd"}', Reject, ""),
        (200, b'{"Fault": {"Error": []}}', Reject, ""),
        (200, b"<html>captive portal</html>", Retry, "unreadable"),
        (200, b"[]", Retry, "unreadable"),
        (200, b'{"time": "now"}', Retry, "unreadable"),
        (200, b'{"Bill": null}', Retry, "unreadable"),
        (200, b'{"BatchItemResponse":[],"time":"now"}', Retry, "unreadable"),
    ],
)
def test_answers_that_are_no_fault_of_the_api(
    api: Api, status: int, body: bytes, kind: type[VendorError], code: str
) -> None:
    api.on("bill/25", body, status)
    error = read(api)
    assert (type(error), error.code) == (kind, code)


@pytest.mark.parametrize(
    ("value", "after"),
    [
        ("30", 30.0),
        ("2.5", 2.5),
        ("Fri, 20 Nov 2026 12:01:00 GMT", 60.0),
        ("Fri, 20 Nov 2026 11:00:00 GMT", 0.0),
        ("soon", None),
        ("", None),
        ("-5", None),
        ("nan", None),
    ],
)
def test_a_pause_lasts_as_long_as_the_vendor_says(api: Api, value: str, after: float | None) -> None:
    api.on("bill/25", sample("faults/429_3001_throttle.xml"), 429, Retry_After=value)
    error = read(api)
    assert isinstance(error, Retry)
    assert (error.after, error.pause_connection) == (after, True)


def test_a_trace_id_that_is_none_is_not_repeated(api: Api) -> None:
    api.on("bill/25", b"", 500, intuit_tid="<script>")
    api.on("bill/25", b"", 500, intuit_tid=TID)
    assert str(read(api)) == "QuickBooks Online could not answer (HTTP 500)"
    assert str(read(api)) == f"QuickBooks Online could not answer (HTTP 500, tid {TID})"


def test_reads_without_an_answer_may_be_repeated(api: Api) -> None:
    for kind, code in (("cut_before", "cut"), ("truncate", "cut")):
        api.on("bill/25", sample("entities/bill_paid.json"))
        api.fail("bill/25", kind)
        error = read(api)
        assert (type(error), error.code) == (NoAnswer, code)
    with Api() as slow, pytest.raises(NoAnswer) as caught:
        slow.fail("bill/25", "slow", seconds=0.5)
        Client(context(slow.url, seconds=0.2)).read("Bill", "25")
    assert caught.value.code == "timeout"


def test_a_host_that_is_not_there_is_unreachable() -> None:
    with pytest.raises(Unreachable):
        Client(context("http://127.0.0.1:9")).read("Bill", "25")


def test_what_a_call_carries(api: Api) -> None:
    spent: list[str] = []
    api.on("bill/a", {"Bill": {}})
    assert Client(context(api.url, spend=spent.append)).read("Bill", "a'b/c?d") == {}
    (call,) = api.calls
    assert call.path == "/v3/company/9130350000000001/bill/a%27b%2Fc%3Fd"
    assert call.query == {"minorversion": "75"}
    assert call.headers["authorization"] == "Bearer fake-access"
    assert call.headers["accept"] == "application/json"
    assert spent == ["call"]


def test_numbers_are_exact(api: Api) -> None:
    api.on("bill/25", b'{"Bill": {"TotalAmt": 0.10000000000000000001, "Id": 5}}')
    assert str(Client(context(api.url)).read("Bill", "25")["TotalAmt"]) == "0.10000000000000000001"


@pytest.mark.parametrize(
    ("tokens", "kind"),
    [
        ({}, Reauthorize),
        ({"refresh_token": "fake"}, Refresh),
        ({"access_token": "t\u00f6ken", "refresh_token": "fake"}, Refresh),
        ({"access_token": "two\nlines"}, Reauthorize),
    ],
)
def test_without_a_usable_token_nothing_is_called(api: Api, tokens: dict[str, str], kind: type[VendorError]) -> None:
    with pytest.raises(kind):
        Client(context(api.url, tokens=tokens)).read("Bill", "25")
    assert not api.calls


def test_ids_cannot_leave_their_place(api: Api) -> None:
    with pytest.raises(Reject):
        Client(context(api.url)).read("Bill", "..")
    quoted = by_ids("Vendor", ["1') or ('", "a\\"], is_list=True)
    assert quoted.statement == (
        r"select * from Vendor where Id in ('1\') or (\'','a\\') and Active in (true, false) maxresults 1000"
    )


def test_allowance_is_spent_before_the_call(api: Api) -> None:
    def spend(kind: str) -> None:
        if kind == "batch":
            raise Retry("the allowance is used up", after=20)

    queries = [by_ids("Bill", ["1"], is_list=False), by_ids("Invoice", ["2"], is_list=False)]
    with pytest.raises(Retry, match="used up"):
        Client(context(api.url, spend=spend)).run(queries)
    assert not api.calls


def test_batches_hold_at_most_thirty_queries_and_are_matched_by_their_ids(api: Api) -> None:
    queries = [by_ids("Bill", [str(number)], is_list=False) for number in range(31)]
    items = [{"bId": f"q{n}", "QueryResponse": {"Bill": [{"Id": str(n)}]}} for n in range(30)]
    api.on("batch", {"BatchItemResponse": items[::-1]})
    api.on("batch", {"BatchItemResponse": [{"bId": "q0", "QueryResponse": {}}]})
    spent: list[str] = []
    results = Client(context(api.url, spend=spent.append)).run(queries)
    assert results == [[{"Id": str(n)}] for n in range(30)] + [[]]
    assert spent == ["batch", "call", "batch", "call"]
    assert [len(told(call).split(" | ")) for call in api.calls] == [30, 1]


def test_which_errors_concern_everybody() -> None:
    throttled = verdict([Fault(3001)], Answer(429, {}, b""), NOW)
    assert all(map(is_shared, (throttled, Refresh("x"), Reauthorize("x"), Misconfigured("x"), Unreachable("x"))))
    assert not any(map(is_shared, (Retry("x"), NoAnswer("x"), Reject("x"), Gone("x"))))
