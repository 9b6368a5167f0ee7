"""The wire of these tests: vendor samples, a scripted gateway on loopback, and a connection that calls it."""

from __future__ import annotations

import copy
import dataclasses
import datetime as dt
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
from lxml import etree

from connector.kernel.contracts import Context, Notice, Record, Reported, Secrets
from connector.kernel.events import FinancialEvent
from connector.kernel.http import Http
from connector.kernel.standin import Answer, Call, StandIn
from sources.sage_intacct.source import SageIntacct

FIXTURES = Path(__file__).parent / "fixtures"
#: The server's clock of the samples.
SERVER_NOW = dt.datetime(2019, 1, 9, 23, 0, 5, tzinfo=dt.UTC)
SESSION = "fAkESesSiOnId.."
LOGIN = {"user_id": "ws_reader", "user_password": "FAKE-user-password"}
SOURCE = SageIntacct()
PARSER = etree.XMLParser(remove_blank_text=True)


def sample(path: str) -> bytes:
    return (FIXTURES / path).read_bytes()


def response(number: str) -> bytes:
    """The sample answer that begins with the number."""
    (found,) = (FIXTURES / "responses").glob(f"{number}_*")
    return found.read_bytes()


def parsed(body: bytes) -> etree._Element:
    return etree.fromstring(body, PARSER)


def results_of(number: str) -> list[etree._Element]:
    return parsed(response(number)).findall("operation/result")


def result_of(number: str, control_id: str) -> etree._Element:
    return next(item for item in results_of(number) if item.findtext("controlid") == control_id)


def rows_result(name: str, rows: Sequence[Mapping[str, str]], *, total: int | None = None) -> etree._Element:
    """A good `query` result with these rows."""
    result = etree.Element("result")
    etree.SubElement(result, "status").text = "success"
    etree.SubElement(result, "function").text = "query"
    etree.SubElement(result, "controlid")
    count, whole = len(rows), len(rows) if total is None else total
    attributes = {"totalcount": whole, "offset": 0, "count": count, "numremaining": whole - count}
    holder = etree.SubElement(result, "data", {"listtype": name} | {key: str(at) for key, at in attributes.items()})
    for row in rows:
        element = etree.SubElement(holder, name)
        for field, value in row.items():
            etree.SubElement(element, field).text = value
    return result


def failed_result(code: str, wording: str, status: str = "failure") -> etree._Element:
    result = parsed(
        b"<result><status/><function>query</function><controlid/><errormessage><error><errorno/><description/>"
        b"<description2/><correction/></error></errormessage></result>"
    )
    for path, text in (("status", status), (".//errorno", code), (".//description2", wording)):
        found = result.find(path)
        assert found is not None
        found.text = text
    return result


class Gateway(StandIn):
    """Answers requests from a script: whole bodies first, then one scripted result for each function asked.

    `results` is keyed by what a function asks for ("GLBATCH", "getAPISession"); of several the last one repeats.
    """

    routes: ClassVar[tuple[tuple[str, str, str], ...]] = (("POST", r"/ia/xml/xmlgw\.phtml", "answer"),)

    def __init__(self) -> None:
        super().__init__()
        self.bodies: list[Answer] = []
        #: Answers to the requests of these numbers, the first being 1.
        self.at: dict[int, Answer] = {}
        self.results: dict[str, list[etree._Element]] = {}
        self.asked: list[list[str]] = []
        self.requests: list[etree._Element] = []
        self.now = SERVER_NOW

    def answer(self, call: Call, match: re.Match[str]) -> Answer:
        request = parsed(call.body)
        functions = request.findall("operation/content/function")
        self.requests.append(request)
        self.asked.append([_target(function) for function in functions])
        control_id = request.findtext("control/controlid") or ""
        scripted = self.at.get(len(self.requests)) or (self.bodies.pop(0) if self.bodies else None)
        if scripted:
            body = re.sub(rb"1700000000-000\d|\[control\]", control_id.encode(), scripted.body)
            return dataclasses.replace(scripted, body=body, content_type="text/xml; charset=UTF-8")
        root = parsed(response("05").replace(b"1700000000-0001", control_id.encode()))
        operation = root.find("operation")
        assert operation is not None
        stamp = operation.find("authentication/sessiontimestamp")
        assert stamp is not None
        stamp.text = self.now.isoformat()
        for old in operation.findall("result"):
            operation.remove(old)
        operation.extend([self._result(function) for function in functions])
        return Answer(200, etree.tostring(root), content_type='text/xml; encoding="UTF-8";charset=UTF-8')

    def _result(self, function: etree._Element) -> etree._Element:
        target = _target(function)
        scripted = self.results.get(target)
        if not scripted:
            return self._named(rows_result(target, []), function)
        return self._named(scripted[0] if len(scripted) == 1 else scripted.pop(0), function)

    @staticmethod
    def _named(result: etree._Element, function: etree._Element) -> etree._Element:
        result = copy.deepcopy(result)
        name = result.find("controlid")
        assert name is not None
        name.text = function.get("controlid")
        return result

    def script(self, number: str, status: int = 200, **headers: str) -> None:
        """The next answer is this sample."""
        self.script_body(response(number), status, **headers)

    def script_body(self, body: bytes, status: int = 200, **headers: str) -> None:
        self.bodies.append(Answer(status, body, {name.replace("_", "-"): value for name, value in headers.items()}))

    def load_samples(self) -> None:
        """What samples 01, 05, 06 and 18 say, by object."""
        self.results = {
            "getAPISession": [result_of("01", "session-1")],
            "GLBATCH": [result_of("05", "glbatch")],
            "APPYMT": [result_of("05", "appymt")],
            "VENDOR": [result_of("05", "vendor")],
            "GLENTRY": [result_of("06", "glentry-p1")],
            "USERINFO": [result_of("18", "user")],
            "readUserFormatting": [result_of("18", "fmt")],
        }


def _target(function: etree._Element) -> str:
    verb = function[0]
    return verb.findtext("object") or str(verb.tag)


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with Gateway() as server:
        server.load_samples()
        yield server


def context(
    gateway: Gateway | None = None,
    *,
    secrets: Mapping[str, str] | None = None,
    settings: Mapping[str, Any] | None = None,
    now: dt.datetime = SERVER_NOW,
    with_session: bool = True,
    **more: Any,
) -> Context:
    """A connection of ACME-US whose clock agrees with the server's; with a session unless said otherwise."""
    url = f"{gateway.url}/ia/xml/xmlgw.phtml" if gateway else "http://127.0.0.1:9/"
    values = dict(LOGIN if secrets is None else secrets)
    if with_session:
        entity = str((settings or {}).get("entity", ""))
        values |= {"session_id": SESSION, "endpoint": url, "session_of": f"acme-us\nws_reader\n{entity}"}
        values["session_ends"] = f"{now.timestamp() + 86400:.0f}"
    return Context(
        connection="acme-intacct",
        account="ACME-US",
        settings=dict(settings or {}),
        app={"sender_id": "acme_sender", "sender_password": "FAKE-sender-password", "gateway_url": url},
        secrets=Secrets(values),
        http=Http(seconds=5),
        now=lambda: now,
        **more,
    )


def report(ctx: Context, cursors: Mapping[str, Any] | None = None, **more: Any) -> list[Reported]:
    wanted = {name: {} for name in SOURCE.reports} if cursors is None else cursors
    return list(SOURCE.report(ctx, wanted, **more))


def cursors_of(parts: Sequence[Reported]) -> dict[str, Any]:
    """The stored cursors, as a database gives them back."""
    return {part.report: json.loads(json.dumps(part.batch.cursor)) for part in parts if part.batch.cursor is not None}


def pairs_of(parts: Sequence[Reported]) -> list[tuple[Notice, Record]]:
    return [pair for part in parts for pair in part.batch.records]


def events_of(
    ctx: Context, parts: Sequence[Reported], names: Callable[[str, str, str], str] = lambda kind, id_, name: name
) -> list[FinancialEvent]:
    """The events of what was reported, each record once through JSON as it is stored."""
    found = []
    for notice, record in pairs_of(parts):
        stored = dataclasses.replace(record, body=json.loads(json.dumps(record.body)))
        found.append(SOURCE.to_event(ctx, notice, stored, names))
    return found
