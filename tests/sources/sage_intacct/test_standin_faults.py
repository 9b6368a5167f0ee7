"""The stand-in's bad answers on request, what it measures, and its control from another process."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from lxml import etree

from sources.sage_intacct.standin import IntacctStandIn
from sources.sage_intacct.standin_faults import ANSWERS
from tests.sources.sage_intacct.standin_client import GOOD, Client, company, sample, tidy


@pytest.fixture
def gateway() -> Iterator[IntacctStandIn]:
    with company() as standin:
        yield standin


@pytest.fixture
def client(gateway: IntacctStandIn) -> Client:
    client = Client(gateway)
    client.open()
    return client


# Faults and measures


@pytest.mark.parametrize(
    ("name", "status", "kind", "part"),
    [
        ("unauthorized", 401, "text/xml", b"<errorno>XMLGW_JPP0002</errorno>"),
        ("invalid_request", 400, "text/xml", b"<errorno>GW-0011</errorno>"),
        ("throttle", 429, "text/xml", b"<errorno>GW-0010</errorno>"),
        ("throttle_bare", 429, "text/xml", b"<errorno>GW-0010</errorno>"),
        ("bad_gateway", 502, "text/html", b"502 Bad Gateway"),
        ("outage", 503, "text/html", b"503"),
        ("timeout", 524, "text/html", b"cf-error-details"),
        ("html", 200, "text/html", b"Maintenance"),
        ("empty", 200, "text/xml", b""),
        ("not_xml", 200, "text/plain", b"upstream"),
        ("doctype", 200, "text/xml", b"<!DOCTYPE response"),
        ("company_expired", 200, "text/xml", b"PL04000055"),
    ],
)
def test_bad_answers(client: Client, name: str, status: int, kind: str, part: bytes) -> None:
    client.gateway.clear()
    client.gateway.answer_badly(name, "query:VENDOR")
    assert client.call("<lookup><object>VENDOR</object></lookup>").status == 200
    reply = client.call(GOOD)
    assert (reply.status, reply.headers["Content-Type"].partition(";")[0], part in reply.body) == (status, kind, True)
    assert reply.headers["Retry-After"] == ("1" if name == "throttle" else None)
    assert [seen.functions for seen in client.gateway.requests] == [("lookup:VENDOR",), ("query:VENDOR",)]
    assert client.call(GOOD).text(".//result/status") == "success"


def test_samples_of_the_front() -> None:
    assert tidy(ANSWERS["unauthorized"]().body) == tidy(sample("responses/13_http401.xml"))
    assert tidy(ANSWERS["throttle"]().body) == tidy(sample("responses/14_http429.xml"))
    assert ANSWERS["bad_gateway"]().body == sample("responses/15_http502.html")


def test_broken_connections(client: Client) -> None:
    gateway = client.gateway
    gateway.fail("xmlgw", "halve")
    halved = client.call(GOOD)
    assert halved.status == 200
    with pytest.raises(etree.XMLSyntaxError):
        etree.fromstring(halved.body)
    gateway.fail("xmlgw", "truncate")
    with pytest.raises(http.client.IncompleteRead):
        client.call(GOOD)
    for kind in ("cut_before", "cut_after"):
        gateway.fail("query:VENDOR", kind)
        with pytest.raises(http.client.RemoteDisconnected):
            client.call(GOOD)
    assert gateway.count("query:VENDOR") == len(gateway.requests) - 1 == 4


@pytest.mark.parametrize(
    ("error", "more", "expected"),
    [
        ("offline", {}, ("failure", False, ["PL04000050"])),
        ("rate", {"with_rows": True}, ("failure", True, ["GW-0010"])),
        ("business", {}, ("failure", False, ["BL03000018", "BL01001973"])),
        ("processing", {"status": "success"}, ("success", True, ["DL02000001"])),
    ],
)
def test_functions_that_fail(client: Client, error: str, more: dict[str, Any], expected: tuple[object, ...]) -> None:
    client.gateway.fail_function("query:VENDOR", error, **more)
    reply = client.call(GOOD, GOOD.replace("VENDOR", "LOCATION"))
    first, second = reply.root.iter("result")
    numbers = [one.text for one in first.iter("errorno")]
    assert (first.findtext("status"), first.find("data") is not None, numbers) == expected
    assert second.findtext("status") == "success"
    assert client.call(GOOD).errors == []


def test_results_that_are_left_out(client: Client) -> None:
    client.gateway.fail_function("query:VENDOR", status="")
    reply = client.call(GOOD, GOOD.replace("VENDOR", "LOCATION"))
    assert reply.texts(".//result/controlid") == ["f2"]
    client.gateway.fail_function("query:VENDOR", status="")
    reply = client.call(GOOD)
    assert (reply.text(".//authentication/status"), reply.root.find(".//result")) == ("success", None)


def at_once(client: Client, count: int) -> list[int]:
    """The statuses of so many requests that begin together."""
    statuses: list[int] = []
    gate = threading.Barrier(count)

    def send() -> None:
        gate.wait()
        statuses.append(client.call(GOOD).status)

    threads = [threading.Thread(target=send) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(statuses)


@pytest.mark.parametrize("kind", ["slow", "slow_after"])
def test_requests_in_flight_are_counted(client: Client, kind: str) -> None:
    gateway = client.gateway
    assert [at_once(client, 1) for _ in range(3)] == [[200]] * 3
    assert (gateway.overlaps, gateway.most_in_flight) == (0, 1)
    gateway.fail("xmlgw", kind, times=2, seconds=0.3)
    assert at_once(client, 2) == [200, 200]
    assert (gateway.overlaps, gateway.most_in_flight) == (1, 2)
    gateway.fail("xmlgw", kind, times=3, seconds=0.3)
    assert at_once(client, 3) == [200, 200, 429]
    assert (gateway.overlaps, gateway.most_in_flight) == (3, 3)


def test_measures_and_forgetting_them(client: Client) -> None:
    gateway = client.gateway
    client.call(GOOD, "<lookup><object>GLBATCH</object></lookup>")
    client.by_query("APPYMT", "")
    assert [(seen.functions, seen.signed_in_by) for seen in gateway.requests] == [
        (("getAPISession",), "login"),
        (("query:VENDOR", "lookup:GLBATCH"), "sessionid"),
        (("readByQuery:APPYMT",), "sessionid"),
    ]
    assert (gateway.count("getAPISession"), gateway.count("GLBATCH"), gateway.logins) == (1, 1, 1)
    gateway.clear()
    assert (len(gateway.requests), gateway.logins, gateway.count("")) == (0, 0, 0)
    assert client.call(GOOD).text(".//result/status") == "success"


def test_control_from_another_process(client: Client) -> None:
    def control(verb: str, **asked: Any) -> Any:
        reply = client.send(json.dumps(asked), {"Content-Type": "application/json"}, "POST", f"/_control/{verb}")
        return reply.status, json.loads(reply.body)

    lines = [{"account": "6100", "amount": "5.00", "side": side} for side in (1, -1)]
    assert control("vendor", vendor_id="V1", name="Regal") == (200, {"result": 1})
    assert control("batch", title="Rent", lines=lines) == (200, {"result": 6679})
    assert control("payment", vendor_id="V1", amount="5.00", batch="Monday") == (200, {"result": 1863})
    assert control("payment_state", recordno=1863, state="V") == (200, {"result": 1863})
    assert control("batch", lines=lines[:1])[0] == 400
    assert control("fault", answer="outage") == (200, {"result": None})
    assert client.call(GOOD).status == 503
    assert control("expire_sessions") == (200, {"result": None})
    assert client.call(GOOD).text(".//authentication/status") == "failure"
    seen = json.loads(client.send(b"", {}, "GET", "/_control/seen").body)
    assert [one["functions"] for one in seen["requests"]] == [["getAPISession"], ["query:VENDOR"], ["query:VENDOR"]]
    assert (seen["logins"], seen["overlaps"], seen["violations"]) == (1, 0, [])
