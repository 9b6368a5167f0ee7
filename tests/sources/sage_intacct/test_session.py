"""The session: opened alone, kept with its endpoint, used no longer than the server and the setting allow."""

from __future__ import annotations

import dataclasses
import datetime as dt

import pytest
from lxml import etree

from connector.kernel.contracts import Secrets
from connector.kernel.errors import Misconfigured, Refresh
from connector.kernel.standin import Answer
from sources.sage_intacct.client import is_own_endpoint
from tests.sources.sage_intacct.wire import LOGIN, SERVER_NOW, SESSION, SOURCE, Gateway, context, report, response

GATEWAY = "https://api.intacct.com/ia/xml/xmlgw.phtml"


def test_a_session_comes_with_its_endpoint(gateway: Gateway) -> None:
    ctx = context(gateway, secrets={**LOGIN, "trigger_secret": "fake-trigger"}, with_session=False)
    with pytest.raises(Refresh, match="no session yet"):
        report(ctx)
    assert gateway.asked == []
    fresh = SOURCE.refresh(ctx)
    assert dict(fresh.values) == {
        **LOGIN,
        "trigger_secret": "fake-trigger",
        "session_id": SESSION,
        "endpoint": "https://na12.intacct.com/ia/xml/xmlgw.phtml",
        "session_of": "acme-us\nws_reader\n",
        "clock_ahead": "0",
        # The sample's session lives 2 h 10 min, so the setting decides: 50 minutes, renewed 5 minutes before.
        "session_ends": f"{(SERVER_NOW + dt.timedelta(minutes=45)).timestamp():.0f}",
    }
    # A session is no token that is kept alive: nobody signs in before there is something to read.
    assert fresh.expires_at is None
    assert gateway.asked == [["getAPISession"]]
    login = gateway.requests[0].find("operation/authentication/login")
    assert login is not None
    assert [child.tag for child in login] == ["userid", "companyid", "password"]
    assert (SOURCE.can_refresh(fresh), SOURCE.can_refresh(Secrets({}))) == (True, False)


@pytest.mark.parametrize(
    ("begins", "ends", "minutes", "skew", "used"),
    [
        ("2019-01-09T23:00:05+00:00", "2019-01-10T01:10:05+00:00", 50, 0, 45),
        ("2019-01-09T23:00:05+00:00", "2019-01-09T23:30:05+00:00", 50, 0, 25),
        ("2019-01-09T16:00:05-07:00", "2019-01-09T16:30:05-07:00", 50, 0, 25),
        ("2019-01-09T23:00:05+00:00", "2019-01-09T23:30:05+00:00", 50, 90, 25),
        ("2019-01-09T23:00:05+00:00", "2019-01-09T23:30:05+00:00", 50, -90, 25),
        ("2019-01-09T23:00:05+00:00", "2019-01-10T23:00:05+00:00", 10, 0, 5),
        ("2019-01-09T23:00:05+00:00", "2019-01-09T23:04:05+00:00", 50, 0, 2),
        ("2019-01-09T23:00:05+00:00", "2019-01-09T22:00:05+00:00", 50, 0, 45),
        ("", "2019-01-09T23:30:05+00:00", 50, 0, 45),
        ("2019-01-09T23:00:05+00:00", "", 50, 0, 45),
        ("2019-01-09T23:00:05+00:00", "nonsense", 50, 0, 45),
    ],
)
def test_how_long_it_is_used(gateway: Gateway, begins: str, ends: str, minutes: int, skew: int, used: int) -> None:
    body = response("01").replace(b"2019-01-09T23:00:05+00:00", begins.encode())
    gateway.bodies.append(Answer(200, body.replace(b"2019-01-10T01:10:05+00:00", ends.encode())))
    now = SERVER_NOW + dt.timedelta(minutes=skew)
    fresh = SOURCE.refresh(context(gateway, settings={"session_minutes": minutes}, now=now, with_session=False))
    assert fresh.get("session_ends") == f"{(now + dt.timedelta(minutes=used)).timestamp():.0f}"


def test_the_setting_must_be_a_number(gateway: Gateway) -> None:
    with pytest.raises(Misconfigured, match="session_minutes"):
        SOURCE.refresh(context(gateway, settings={"session_minutes": "soon"}, with_session=False))


def test_an_entity_is_signed_in_to(gateway: Gateway) -> None:
    fresh = SOURCE.refresh(context(gateway, settings={"entity": "200"}, with_session=False))
    assert gateway.requests[0].findtext("operation/authentication/login/locationid") == "200"
    assert fresh.get("session_of") == "acme-us\nws_reader\n200"


def test_a_session_of_others_is_not_used(gateway: Gateway) -> None:
    good = context(gateway)
    values = dict(good.secrets.values)
    for changed in (
        {"user_id": "another"},
        {"endpoint": "https://example.com/ia/xml/xmlgw.phtml"},
        {"session_id": ""},
        {"session_ends": f"{SERVER_NOW.timestamp():.0f}"},
        {"session_ends": ""},
    ):
        with pytest.raises(Refresh):
            report(dataclasses.replace(good, secrets=Secrets(values | changed)))
    with pytest.raises(Refresh):
        report(dataclasses.replace(good, settings={"entity": "200"}))
    assert gateway.asked == []


@pytest.mark.parametrize(
    ("url", "is_own"),
    [
        ("https://na12.intacct.com/ia/xml/xmlgw.phtml", True),
        ("https://api.intacct.com./ia/xml/xmlgw.phtml", True),
        ("https://na12.intacct.com:443/x", True),
        ("https://na12.intacct.com:8443/x", False),
        ("http://na12.intacct.com/ia/xml/xmlgw.phtml", False),
        ("https://intacct.com.example.com/x", False),
        ("https://evilintacct.com/x", False),
        ("https://user@na12.intacct.com/x", False),
        ("https://example.com/?.intacct.com", False),
        ("https://example.com\\.intacct.com/", False),
        ("https://na12.intacct.com:x/", False),
        ("", False),
    ],
)
def test_which_endpoints_are_trusted(url: str, is_own: bool) -> None:
    assert is_own_endpoint(url, GATEWAY) is is_own
    proxy = "http://127.0.0.1:8000/ia/xml/xmlgw.phtml"
    assert is_own_endpoint("http://127.0.0.1:8000/other", proxy)
    assert not is_own_endpoint("http://127.0.0.1:8001/ia/xml/xmlgw.phtml", proxy)


def test_a_foreign_endpoint_is_refused(gateway: Gateway) -> None:
    (result,) = gateway.results["getAPISession"]
    endpoint = result.find(".//endpoint")
    assert isinstance(endpoint, etree._Element)
    endpoint.text = "https://intacct.example.com/ia/xml/xmlgw.phtml"
    with pytest.raises(Misconfigured, match="outside its own domain") as error:
        SOURCE.refresh(context(gateway, with_session=False))
    assert SESSION not in str(error.value)


def test_a_session_that_ends_on_the_way_is_renewed_by_the_core(gateway: Gateway) -> None:
    gateway.script("04")
    with pytest.raises(Refresh):
        report(context(gateway))
