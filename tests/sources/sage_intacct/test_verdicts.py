"""Every way in which the gateway refuses, over a real connection, and what is to be done about each."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import re
from collections.abc import Iterator

import pytest

from connector.kernel.contracts import Secrets
from connector.kernel.errors import Misconfigured, Reauthorize, Refresh, Reject, Retry, VendorError
from connector.kernel.standin import Answer
from sources.sage_intacct.envelope import Function
from sources.sage_intacct.queries import Query
from sources.sage_intacct.reading import Gateway as Session
from tests.sources.sage_intacct.wire import (
    LOGIN,
    SESSION,
    SOURCE,
    Gateway,
    context,
    failed_result,
    report,
    response,
)

FUNCTION = Function("f1", Query("APPYMT", ("RECORDNO",)).verb(), "APPYMT")


def refused_read(gateway: Gateway) -> VendorError:
    """The verdict on a read within a session, of the request as a whole or of its one function."""
    try:
        reply = Session(context(gateway)).call([FUNCTION])
    except VendorError as error:
        return error
    failure = reply.results["f1"].failure
    assert failure is not None and reply.results["f1"].rows == ()
    return failure


def refused_sign_in(gateway: Gateway) -> VendorError:
    with pytest.raises(VendorError) as error:
        SOURCE.refresh(context(gateway, with_session=False))
    assert len(gateway.asked) == 1  # a wrong sign-in is never repeated: it would lock the user out
    return error.value


def authentication_failure(code: str, wording: str, who: str = "") -> bytes:
    body = response("04").replace(b"XL03000006", code.encode()).replace(b"Invalid session q....", wording.encode())
    return body.replace(b"<userid/>", f"<userid>{who}</userid>".encode())


def control_failure(code: str, wording: str) -> bytes:
    body = response("03").replace(b"XL03000006", code.encode())
    return body.replace(b"Incorrect Intacct XML Partner ID or password.", wording.encode())


BARRED = "Invalid Web Services Authorization"
OFFLINE = "The Service is Temporarily Off-line"


@pytest.mark.parametrize(
    ("body", "status", "kind", "code"),
    [
        (response("12"), 200, Reject, "XL03000003"),
        (response("03"), 200, Reauthorize, "XL03000006"),
        (control_failure("XL03000006", "Unknown transport policy"), 200, Misconfigured, "XL03000006"),
        (control_failure("PL04000055", "Demo company expired"), 200, Misconfigured, "PL04000055"),
        (control_failure("XX1", "What"), 200, Reject, "XX1"),
        (response("02"), 200, Refresh, "XL03000006"),
        (response("04"), 200, Refresh, "XL03000006"),
        (authentication_failure("XL03000007", "What", "ws_reader"), 200, Refresh, "XL03000007"),
        (authentication_failure("XL03000006", BARRED), 200, Misconfigured, "XL03000006"),
        (authentication_failure("PL04000050", OFFLINE), 200, Retry, "PL04000050"),
        (response("13"), 401, Refresh, "XMLGW_JPP0002"),
        (response("14"), 429, Retry, "GW-0010"),
        (response("14"), 200, Retry, "GW-0010"),
        (control_failure("GW-0011", "Invalid request"), 400, Reject, "GW-0011"),
        (response("15"), 502, Retry, ""),
        (response("15"), 200, Retry, "no_xml"),
        (b"", 200, Retry, "no_xml"),
        (b"", 503, Retry, ""),
        (response("05")[:900], 200, Retry, "no_xml"),
        (b'<!DOCTYPE response [<!ENTITY x "y">]>' + response("05").split(b"?>", 1)[1], 200, Retry, "no_xml"),
        (b"<html>no</html>", 404, Misconfigured, ""),
        (b"", 302, Misconfigured, ""),
        (b"", 413, Reject, ""),
        (b"", 429, Retry, ""),
        (b"<html>no</html>", 403, Retry, ""),
        (b"<response><control><status>success</status></control></response>", 200, Retry, "unreadable"),
        (response("05").replace(b"1700000000-0001", b"another"), 200, Retry, "unreadable"),
        (response("05").replace(b"ACME-US", b"OTHER"), 200, Retry, "unreadable"),
        (response("05").replace(b"<operation>", b"<other>").replace(b"</operation>", b"</other>"), 200, Retry,
         "unreadable"),
    ],
)  # fmt: skip
def test_a_read_refused_as_a_whole(
    gateway: Gateway, body: bytes, status: int, kind: type[VendorError], code: str
) -> None:
    gateway.script_body(body, status)
    error = refused_read(gateway)
    assert (type(error), error.code, error.status) == (kind, code, 0 if code == "unreadable" else status)


@pytest.mark.parametrize(
    ("code", "wording", "kind"),
    [
        ("PL04000005", "You do not have permission for API operation QUERY on objects of type appymt", Misconfigured),
        ("PL04000050", "", Retry),
        ("", f"{OFFLINE}. Please Try Again Later", Retry),
        ("", "API rate limit exceeded", Retry),
        ("DL02000001", "There was an error processing the request.", Reject),
        ("BL01001973", "Objects of this kind can be read at the entity only", Misconfigured),
        ("BL01001973", "Currently, we can not do this", Reject),
        ("XL03000009", "The entire transaction has been rolled back", Reject),
        ("Query Failed", "Object definition VENDOR9 not found", Reject),
        ("XL03000006", "Invalid session q....", Refresh),
    ],
)
def test_one_function_refused(gateway: Gateway, code: str, wording: str, kind: type[VendorError]) -> None:
    gateway.results["APPYMT"] = [failed_result(code, wording)]
    error = refused_read(gateway)
    assert (type(error), error.code) == (kind, "" if " " in code else code)
    assert not wording or wording not in error.text


@pytest.mark.parametrize(
    ("body", "status", "kind", "code"),
    [
        (response("02"), 200, Reauthorize, "XL03000006"),
        (response("03"), 200, Reauthorize, "XL03000006"),
        (response("13"), 401, Reauthorize, "XMLGW_JPP0002"),
        (control_failure("GW-0011", "Invalid request"), 400, Reauthorize, "GW-0011"),
        (authentication_failure("XL03000006", BARRED, "ws_reader"), 200, Misconfigured, "XL03000006"),
        (authentication_failure("XL03000008", "What"), 200, Reauthorize, "XL03000008"),
        (authentication_failure("ABC", "What"), 200, Reauthorize, "ABC"),
        (response("14"), 429, Retry, "GW-0010"),
        (response("15"), 502, Retry, ""),
    ],
)
def test_a_sign_in_refused(gateway: Gateway, body: bytes, status: int, kind: type[VendorError], code: str) -> None:
    gateway.script_body(body, status)
    error = refused_sign_in(gateway)
    assert (type(error), error.code, error.status) == (kind, code, status)


def test_no_session_was_opened(gateway: Gateway) -> None:
    gateway.results["getAPISession"] = [failed_result("Get API Session Failed", "Location E9 is invalid")]
    error = refused_sign_in(gateway)
    assert type(error) is Misconfigured and error.text == "Intacct opened no session: check the setting entity"
    assert error.detail == "Get API Session Failed: Location E9 is invalid"


def test_the_fault_that_says_why_is_told_and_support_ids_are_readable(gateway: Gateway) -> None:
    gateway.script("16")
    assert refused_read(gateway).text == ("Intacct left APPYMT out because of another part's fault (code XL03000009)")
    function = Function("f3", FUNCTION.verb, "VENDOR9")
    gateway.script("16")
    failure = Session(context(gateway)).call([function]).results["f3"].failure
    assert failure is not None and failure.text == "Intacct answered without a result for VENDOR9"
    function = Function("f2", FUNCTION.verb, "VENDOR9")
    gateway.script("16")
    failure = Session(context(gateway)).call([function]).results["f2"].failure
    assert failure is not None
    assert (failure.text, failure.detail.partition(";")[0]) == (
        "Intacct refuses to read VENDOR9",
        "Query Failed: Object definition VENDOR9 not found",
    )
    gateway.script_body(response("16").replace(b"<status>failure</status>", b"<status>success</status>"))
    assert Session(context(gateway)).call([function]).results["f2"].failure is not None  # an error beside a success
    gateway.script("11")
    function = Function("appymt-legacy", FUNCTION.verb, "APPYMT")
    failure = Session(context(gateway)).call([function]).results["appymt-legacy"].failure
    assert failure is not None and failure.detail.endswith("[Support ID: FAKE~EBXMLGW-AG~aaaaAAAA]")
    assert failure.text == (
        "the role of the Intacct user may not read APPYMT: give it List and View of Accounts Payable > Payments "
        "(code PL04000005)"
    )


def test_waiting_as_asked(gateway: Gateway) -> None:
    gateway.script("14", 429, Retry_After="7")
    error = refused_read(gateway)
    assert isinstance(error, Retry) and (error.after, error.pause_connection) == (7.0, True)
    gateway.script("15", 502)
    error = refused_read(gateway)
    assert isinstance(error, Retry) and (error.after, error.pause_connection) == (None, False)
    gateway.script("15", 524)
    error = refused_read(gateway)
    assert isinstance(error, Retry) and error.after == 60.0


def test_a_dropped_connection_is_replaced_once(gateway: Gateway) -> None:
    gateway.fail("xmlgw", "cut_before")
    assert Session(context(gateway)).call([FUNCTION]).results["f1"].failure is None
    gateway.fail("xmlgw", "cut_before", times=2)
    error = refused_read(gateway)
    assert (type(error), error.code) == (Retry, "cut")


SECRETS = LOGIN | {
    "user_password": "canary-user-password",
    "sender_id": "own_sender",
    "sender_password": "canary-sender-password",
    "trigger_secret": "canary-trigger",
}


@pytest.mark.parametrize("status", [200, 401])
@pytest.mark.parametrize("place", ["control", "authentication", "result"])
def test_secrets_are_masked_everywhere(gateway: Gateway, place: str, status: int) -> None:
    said = (
        f"Invalid session {SESSION} abcCanarySession.. for canary-user-password and canary-sender-password, "
        "canary-trigger, session id: zzCanarySession"
    )
    bodies = {
        "control": control_failure("canary-user-password", said),
        "authentication": authentication_failure("XL03000006", said),
    }
    if place in bodies:
        gateway.bodies.append(Answer(status, bodies[place]))
    gateway.results["APPYMT"] = [failed_result("canary-sender-password", said)]
    ctx = context(gateway, secrets=SECRETS)
    try:
        failure = Session(ctx).call([FUNCTION]).results["f1"].failure
    except VendorError as error:
        failure = error
    assert failure is not None
    told = f"{failure!r} {failure.text} {failure.detail} {failure.code} {ctx!r} {ctx.secrets!r} {failure.args}"
    assert not re.search(f"canary-|{re.escape(SESSION)}", told)


def test_an_unknown_session_id_is_masked_where_it_is_quoted(gateway: Gateway) -> None:
    gateway.script_body(response("04").replace(b"session q....", b"session someOtherSessionId"))
    error = refused_read(gateway)
    assert error.detail == "Invalid session [hidden]"


def test_calls_take_their_turn_and_are_counted(gateway: Gateway) -> None:
    seen: list[str] = []

    @contextlib.contextmanager
    def turn() -> Iterator[None]:
        seen.append("in")
        yield
        seen.append("out")

    ctx = dataclasses.replace(context(gateway), turn=turn, spend=seen.append)
    report(ctx)
    assert seen == ["in", "call", "out"] * 3


def test_the_ping_says_who_is_connected(gateway: Gateway) -> None:
    assert SOURCE.check(context(gateway)) == "Connected to the company ACME-US as ws_reader, at the top level"
    assert gateway.asked == [["GLBATCH", "GLENTRY", "APPYMT", "VENDOR", "USERINFO"], ["readUserFormatting"]]


def test_the_ping_finds_what_would_keep_the_reports_from_being_read(gateway: Gateway) -> None:
    for name, value in (("lookback_hours", 9000), ("lookback_hours", "soon"), ("balance_tolerance", -1)):
        with pytest.raises(Misconfigured, match=name):
            SOURCE.check(context(gateway, settings={name: value}))
    clock = gateway.results["readUserFormatting"][0].find(".//clock")
    assert clock is not None
    clock.text = "12"
    with pytest.raises(Misconfigured, match="preferences"):
        SOURCE.check(context(gateway))
    # Who may not read that is taken to be at UTC.
    gateway.results["USERINFO"] = [failed_result("PL04000005", "You do not have permission")]
    assert SOURCE.check(context(gateway)).startswith("Connected")


def test_the_ping_names_every_missing_right(gateway: Gateway) -> None:
    denied = failed_result("PL04000005", "You do not have permission")
    gateway.results |= {"APPYMT": [denied], "GLENTRY": [denied]}
    with pytest.raises(Misconfigured) as error:
        SOURCE.check(context(gateway))
    assert error.value.text == (
        "the role of the Intacct user may not read GLENTRY, APPYMT: give it List and View of "
        "General Ledger > Journal entries, Accounts Payable > Payments"
    )
    gateway.results["VENDOR"] = [failed_result("PL04000050", "")]
    with pytest.raises(Retry):
        SOURCE.check(context(gateway))


def test_nobody_to_sign_in(gateway: Gateway) -> None:
    for values in ({}, {"user_id": "x"}):
        with pytest.raises(Reauthorize):
            SOURCE.refresh(context(gateway, secrets=values, with_session=False))
        with pytest.raises(Reauthorize):
            list(SOURCE.report(context(gateway, secrets=values, with_session=False), {"gl_postings": {}}))
    ctx = dataclasses.replace(context(gateway), app={}, secrets=Secrets(LOGIN), now=lambda: dt.datetime.now(dt.UTC))
    with pytest.raises(Misconfigured, match="INTACCT_SENDER_ID"):
        SOURCE.refresh(ctx)
    assert gateway.asked == []
