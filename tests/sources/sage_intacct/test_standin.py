"""The stand-in gateway against the vendor's samples, and whom and what it refuses, at which level."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Iterator

import pytest
from lxml import etree

from sources.sage_intacct.standin import IntacctStandIn
from sources.sage_intacct.standin_layouts import LAYOUTS
from tests.sources.sage_intacct.standin_client import (
    GOOD,
    LOGIN,
    NIGHT,
    SAMPLE_SESSION,
    XML,
    Client,
    company,
    furnish,
    sample,
    tidy,
)


@pytest.fixture
def gateway() -> Iterator[IntacctStandIn]:
    with company() as standin:
        yield standin


@pytest.fixture
def client(gateway: IntacctStandIn) -> Client:
    client = Client(gateway)
    client.open()
    return client


# The samples


@pytest.mark.parametrize(
    ("asked", "answered", "changes"),
    [
        ("01_getapisession_login", "01_getapisession_ok", {}),
        ("03_batched_reads_one_request", "05_batched_reads_ok", {}),
        ("04_query_glentry_in_batches", "06_glentry_balanced_and_unbalanced", {}),
        ("08_user_formatting", "18_user_formatting", {}),
        ("01_getapisession_login", "02_login_failure_200", {"FAKE-user-password": "FAKE-wrong"}),
        ("01_getapisession_login", "03_bad_sender_200", {"FAKE-sender-password": "FAKE-wrong"}),
        ("04_query_glentry_in_batches", "04_invalid_session_200", {"fAkESesSiOnId..": "q...."}),
        ("05_readbyquery_appymt", "10_empty_readbyquery", {"STATE in ('C','V')": "STATE in ('X','Q')"}),
    ],
)
def test_sample_requests_get_the_samples_answers(
    client: Client, asked: str, answered: str, changes: dict[str, str]
) -> None:
    furnish(client.gateway)
    request = sample(f"requests/{asked}.xml").decode()
    for old, new in changes.items():
        assert old in request
        request = request.replace(old, new)
    reply = client.send(request.replace(SAMPLE_SESSION.decode(), client.session))
    assert (reply.status, reply.headers["Content-Type"]) == (200, 'text/xml; encoding="UTF-8";charset=UTF-8')
    assert tidy(reply.body) == tidy(sample(f"responses/{answered}.xml"))
    assert client.gateway.violations == []


def test_sample_of_an_entity_session(client: Client) -> None:
    reply = client.send(sample("requests/02_getapisession_entity.xml"))
    expected = sample("responses/01_getapisession_ok.xml").replace(b"<locationid/>", b"<locationid>200</locationid>")
    assert tidy(reply.body) == tidy(expected)


def test_sample_of_two_pages(client: Client) -> None:
    """The natural order of rows is not known, so that they are compared sorted."""
    furnish(client.gateway)
    request = sample("requests/05_readbyquery_appymt.xml").decode().replace("STATE in ('C','V') AND ", "")
    request = request.replace("1000", "2").replace(SAMPLE_SESSION.decode(), client.session)
    first = client.send(request)
    more = sample("requests/06_readmore.xml").decode().replace(SAMPLE_SESSION.decode(), client.session)
    more = more.replace("7765623332WU1hh8CoA4QAAHxI9i8AAAAA5", first.counts["resultId"])
    second = client.send(more.replace("1700000000-0001", "1700000000-0002"))
    expected = [sample(f"responses/{name}.xml") for name in ("08_readbyquery_page1_of_2", "09_readmore_page2_of_2")]

    def rows(bodies: list[bytes]) -> list[bytes]:
        return sorted(tidy(etree.tostring(row)) for body in bodies for row in etree.fromstring(body).iter("appymt"))

    def frame(body: bytes) -> bytes:
        return re.sub(rb"<appymt>.*</appymt>", b"", tidy(body))

    assert rows([first.body, second.body]) == rows(expected)
    assert [frame(first.body), frame(second.body)] == [frame(body) for body in expected]


def test_sample_of_a_failed_result_beside_good_ones(client: Client) -> None:
    furnish(client.gateway)
    client.gateway.fail_function("query:APPYMT")
    request = sample("requests/03_batched_reads_one_request.xml").replace(SAMPLE_SESSION, client.session.encode())
    assert tidy(client.send(request).body) == tidy(sample("responses/07_one_result_failed_200.xml"))


def test_sample_of_a_missing_permission(client: Client) -> None:
    client.gateway.deny("APPYMT")
    request = sample("requests/05_readbyquery_appymt.xml").replace(SAMPLE_SESSION, client.session.encode())
    expected = sample("responses/11_permission_denied_200.xml").replace(b"FAKE~EB", b"FAKE%7EEB")
    assert tidy(client.send(request).body) == tidy(expected)
    assert client.call("<lookup><object>APPYMT</object></lookup>").text(".//result/status") == "success"
    client.gateway.permit("APPYMT")
    assert client.send(request).text(".//result/status") == "success"


def test_sample_of_a_transaction_that_is_rolled_back(client: Client) -> None:
    verb = "<readByQuery><object>{}</object><fields>*</fields><query/></readByQuery>"
    verbs = (verb.format("VENDOR"), verb.format("VENDOR9"))
    reply = client.call(*verbs, operation=' transaction="true"', controlid="1700000000-0001")
    assert tidy(reply.body) == tidy(sample("responses/16_transaction_rolled_back_200.xml"))
    assert client.call(*verbs).texts(".//result/status") == ["success", "failure"]


def test_sample_of_a_lookup(client: Client) -> None:
    request = sample("requests/07_lookup.xml").replace(b"APPYMT", b"GLBATCH")
    reply = client.send(request.replace(SAMPLE_SESSION, client.session.encode()))
    expected = etree.fromstring(sample("responses/17_lookup_glbatch_excerpt.xml"))
    for field in expected.iter("Field"):
        name = field.findtext("ID")
        given = next(each for each in reply.root.iter("Field") if each.findtext("ID") == name)
        for label in (given.find("LABEL"), field.find("LABEL")):
            assert label is not None
            label.text = ""
        assert tidy(etree.tostring(given)) == tidy(etree.tostring(field))
    assert [each.findtext("ID") for each in reply.root.iter("Field")] == list(LAYOUTS["GLBATCH"].fields)
    relations = [tidy(etree.tostring(next(root.iter("Relationships")))) for root in (reply.root, expected)]
    assert relations[0] == relations[1]


def test_fields_are_the_vendors() -> None:
    known = json.loads(sample("fields.json"))
    assert {name: list(LAYOUTS[name].fields) for name in known if name in LAYOUTS} == {
        name: fields for name, fields in known.items() if name != "GLDETAIL"
    }


def test_sample_of_a_request_that_is_not_well_formed(client: Client) -> None:
    request = sample("requests/01_getapisession_login.xml").replace(b"</content>", b"")
    reply = client.send(request)
    expected = sample("responses/12_schema_error_200.xml")

    def without_text(body: bytes) -> bytes:
        return re.sub(rb"(?<=<description2>)[^<]+", b"", tidy(body))

    assert without_text(reply.body) == without_text(expected)
    assert re.fullmatch(
        r"XML Parse schema error: Fatal Error 76: Opening and ending tag mismatch: content line \d+ and operation\."
        r" Line: \d+, column: \d+\. \[Support ID: FAKE%7E[\w%-]+\]",
        reply.errors[0][1],
    )


# What breaks the schema


@pytest.mark.parametrize(
    "verb",
    [
        "<create><VENDOR><VENDORID>1</VENDORID></VENDOR></create>",
        GOOD.replace("<select>", "<pagesize>0</pagesize><select>"),
        GOOD.replace("<select>", "<pagesize>2001</pagesize><select>"),
        GOOD.replace("<select>", "<offset>-1</offset><select>"),
        GOOD.replace("<field>NAME</field>", ""),
        GOOD.replace("<select><field>NAME</field></select>", ""),
        GOOD.replace("<select>", "<options><returnformat>json</returnformat></options><select>"),
        GOOD.replace("<select>", "<filter/><select>"),
        GOOD.replace("<select>", "<filter><and><isnull><field>NAME</field></isnull></and></filter><select>"),
        GOOD.replace(
            "<select>", "<filter><isnull><field>A</field></isnull><isnull><field>B</field></isnull></filter><select>"
        ),
        GOOD.replace("<select>", "<filter><equalto><field>A</field></equalto></filter><select>"),
        GOOD.replace("<select>", f"<filter><in><field>A</field>{'<value>1</value>' * 1001}</in></filter><select>"),
        GOOD.replace("<select>", "<filter><between><field>A</field><value>1</value></between></filter><select>"),
        "<readByQuery><object>VENDOR</object></readByQuery>",
        GOOD + GOOD,
    ],
)
def test_functions_outside_the_schema(client: Client, verb: str) -> None:
    reply = client.call(verb)
    assert (reply.status, reply.text("control/status"), reply.root.find("operation")) == (200, "failure", None)
    assert {number for number, _ in reply.errors} == {"XL03000003"}
    assert "FAKE-sender-password" not in reply.body.decode()


def test_children_of_a_query_may_come_in_any_order(client: Client) -> None:
    reply = client.call(
        "<query><pagesize>1</pagesize><select><field>NAME</field></select><offset>0</offset>"
        "<object>VENDOR</object></query>"
    )
    assert reply.text(".//result/status") == "success"


def test_envelopes_outside_the_schema(client: Client) -> None:
    right = client.envelope(GOOD)
    swaps = [
        ("<senderid>acme_sender</senderid><password>FAKE-sender-password</password>",
         "<password>FAKE-sender-password</password><senderid>acme_sender</senderid>"),
        ("<uniqueid>false</uniqueid><dtdversion>3.0</dtdversion>",
         "<dtdversion>3.0</dtdversion><uniqueid>false</uniqueid>"),
        ("<dtdversion>3.0</dtdversion>", ""),
        ("<dtdversion>3.0</dtdversion>", "<dtdversion>4.0</dtdversion>"),
        ("fake-0001", "x" * 257),
        (' controlid="f1"', ""),
        ("<sessionid>", "<sessionid>x</sessionid><sessionid>"),
        ("<request>", "<!DOCTYPE request><request>"),
    ]  # fmt: skip
    assert client.send(right).text(".//result/status") == "success"
    for old, new in swaps:
        assert old in right
        assert client.send(right.replace(old, new)).errors[0][0] == "XL03000003", new
    login = LOGIN.format("").replace("<userid>ws_reader</userid>", "") + ""
    swapped = login.replace("</companyid>", "</companyid><userid>ws_reader</userid>")
    assert client.call("<getAPISession/>", signed_in=swapped).errors[0][0] == "XL03000003"
    twice = client.envelope(GOOD, GOOD)
    assert client.send(twice).texts(".//result/controlid") == ["f1", "f2"]
    assert client.send(twice.replace('"f2"', '"f1"')).errors[0][0] == "XL03000003"
    assert client.send(b"").errors[0][0] == "XL03000003"


def test_other_ways_in(client: Client) -> None:
    assert client.send(b"", {}, "GET").status == 405
    assert client.send(b"", XML, "POST", "/ia/xml/other.phtml").status == 404
    form = client.send(client.envelope(GOOD), {"Content-Type": "application/x-www-form-urlencoded"})
    assert (form.status, form.errors) == (400, [("GW-0011", "")])
    assert client.send(client.envelope(GOOD), {"Content-Type": "text/xml; charset=utf-8"}).status == 200


def test_a_completed_function_is_not_repeated_unless_the_request_says_so(client: Client) -> None:
    assert client.call(GOOD, uniqueid="").text(".//result/status") == "success"
    again = client.call(GOOD, uniqueid="")
    assert (again.text("control/status"), again.text(".//result/status")) == ("success", "failure")
    assert client.gateway.violations == ["a function was repeated without uniqueid false"]
    assert client.call(GOOD).text(".//result/status") == "success"


def test_white_space_and_more_about_errors_are_asked_for(client: Client) -> None:
    wrong = GOOD.replace("NAME", "NOTHING")
    plain = client.call(wrong)
    assert b"\n  <control>" in client.call(wrong, includewhitespace="").body
    assert b"> <" not in plain.body and b">\n<" not in plain.body.partition(b"?>\n")[2]
    told = client.call(wrong, more="<showadditionalerrorinfo>true</showadditionalerrorinfo>")
    assert [str(child.tag) for child in next(told.root.iter("error"))] == [
        "errorno", "description", "description2", "correction", "additionalinfo",
    ]  # fmt: skip
    assert plain.root.find(".//additionalinfo") is None


# Senders, log-ins and sessions


def test_unauthorized_sender(client: Client) -> None:
    client.gateway.authorized_senders.clear()
    for signed_in in (LOGIN.format(""), ""):
        reply = client.call("<getAPISession/>", signed_in=signed_in)
        assert (reply.text("control/status"), reply.text(".//authentication/status")) == ("success", "failure")
        assert reply.text(".//error/description") == "Invalid Web Services Authorization"
        assert reply.errors == [
            ("XL03000006", "The sender ID 'acme_sender' is not authorized to make Web Services requests to company ID"
             " 'ACME-US'."),
        ]  # fmt: skip


def test_transport_policy_is_refused(client: Client) -> None:
    request = client.envelope(GOOD).replace("<includewhitespace>", "<policyid>fake</policyid><includewhitespace>")
    assert client.send(request).errors == [("XL03000006", "fake is not a valid transport policy.")]


def test_wrong_log_ins_lock_the_user_out(client: Client) -> None:
    gateway = client.gateway
    gateway.lockout_after = 2
    wrong = LOGIN.format("").replace("FAKE-user", "FAKE-other")
    refused = [("XL03000006", "Sign-in information is incorrect")]
    assert [client.call("<getAPISession/>", signed_in=wrong).errors for _ in range(2)] == [refused] * 2
    assert (gateway.is_locked_out, gateway.violations) == (True, [])
    assert client.call("<getAPISession/>", signed_in=LOGIN.format("")).errors == refused
    assert gateway.violations == ["a log-in was tried for a user who is locked out"]
    assert (gateway.logins, gateway.refused_logins) == (4, 3)
    assert client.call(GOOD).text(".//result/status") == "success"
    gateway.unlock()
    assert client.call("<getAPISession/>", signed_in=LOGIN.format("")).errors == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("ws_reader", "other"),
        ("ACME-US", "ACME-UK"),
        ("</login>", "<locationid>100</locationid></login>"),
        ("</login>", "<clientid>fake</clientid></login>"),
    ],
)
def test_refused_log_ins(client: Client, old: str, new: str) -> None:
    reply = client.call("<getAPISession/>", signed_in=LOGIN.format("").replace(old, new))
    assert reply.errors == [("XL03000006", "Sign-in information is incorrect")]
    assert reply.root.find(".//result") is None


def test_session_slides_and_ends(client: Client) -> None:
    gateway = client.gateway
    gateway.session_life = dt.timedelta(minutes=50)

    def ends_at(minute: int) -> str:
        gateway.now = lambda: NIGHT + dt.timedelta(minutes=minute)
        return client.call(GOOD).text(".//sessiontimeout")

    client.open()
    assert [ends_at(0), ends_at(40), ends_at(80)] == [
        "2019-01-09T23:50:05+00:00", "2019-01-10T00:30:05+00:00", "2019-01-10T01:10:05+00:00",
    ]  # fmt: skip
    assert ends_at(130) == "missing"
    reply = client.call(GOOD)
    assert (reply.text(".//userid"), reply.errors) == ("", [("XL03000006", f"Invalid session {client.session}")])


def test_sessions_end_at_will(client: Client) -> None:
    client.gateway.expire_sessions(after=2)
    answers = [client.call(GOOD).text(".//authentication/status") for _ in range(3)]
    assert answers == ["success", "success", "failure"]
    old, new = client.session, client.open()
    assert (client.gateway.sessions, old != new, len(new)) == ([new], True, 60)
    client.gateway.expire_sessions()
    assert client.call(GOOD).text(".//authentication/status") == "failure"


def test_session_belongs_to_its_endpoint(client: Client) -> None:
    gateway = client.gateway
    gateway.endpoint = gateway.gateway_url.replace("127.0.0.1", "localhost")
    reply = client.call("<getAPISession/>", signed_in=LOGIN.format(""))
    assert reply.text(".//endpoint") == gateway.endpoint
    client.session = reply.text(".//api/sessionid")
    client.call(GOOD)
    here = gateway.url.removeprefix("http://")
    there = here.replace("127.0.0.1", "localhost")
    assert gateway.violations == [f"a session of {there} was used at {here}"]
    client.send(client.envelope(GOOD), {**XML, "Host": there})
    assert len(gateway.violations) == 1


def test_session_is_opened_alone_and_moves_between_entities(client: Client) -> None:
    together = client.call("<getAPISession/>", GOOD)
    assert together.texts(".//result/status") == ["failure", "success"]
    assert client.gateway.violations == ["getAPISession was not alone in its request"]
    entity = client.call("<getAPISession><locationid>200</locationid></getAPISession>")
    assert (entity.text(".//authentication/locationid"), entity.text(".//api/locationid")) == ("", "200")
    client.session = entity.text(".//api/sessionid")
    assert client.call(GOOD).text(".//authentication/locationid") == "200"
    assert client.call("<getAPISession/>").text(".//api/locationid") == "200"
    assert client.call("<getAPISession><locationid/></getAPISession>").text(".//api/locationid") == ""
    unknown = client.call("<getAPISession><locationid>999</locationid></getAPISession>")
    assert unknown.errors[0][0] == "Get API Session Failed"
