"""The SOAP 1.1 service that the Web Connector calls: bytes in, bytes out; spyne stays behind this file.

Document/literal wrapped, in the namespace `http://developer.intuit.com/` (canonical WSDL of the Programmer's Guide).
Whatever comes in, the answer is SOAP: a fault for what is no call of the service, the protocol's own answer else.
"""

from __future__ import annotations

import functools
import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from connector.kernel.contracts import Intake
from sources.quickbooks_desktop import spyne_import
from sources.quickbooks_desktop.session import Sessions

log = logging.getLogger(__name__)

NAMESPACE = "http://developer.intuit.com/"
CONTENT_TYPE = "text/xml; charset=utf-8"
#: The whole answer of QuickBooks is one text node: the parser's usual limit of 10 MB for one is lifted.
MAX_BYTES = 32 * 1024 * 1024
_WSDL = Path(__file__).with_name("service.wsdl")

#: Operation -> its parameters in order. All are text: what is missing or odd is for us to judge.
OPERATIONS: dict[str, tuple[str, ...]] = {
    "serverVersion": (),
    "clientVersion": ("strVersion",),
    "authenticate": ("strUserName", "strPassword"),
    "sendRequestXML": (
        "ticket", "strHCPResponse", "strCompanyFileName", "qbXMLCountry", "qbXMLMajorVers", "qbXMLMinorVers",
    ),
    "receiveResponseXML": ("ticket", "response", "hresult", "message"),
    "connectionError": ("ticket", "hresult", "message"),
    "getLastError": ("ticket",),
    "closeConnection": ("ticket",),
}  # fmt: skip

#: Encodings in which markup is written as in ASCII, so that the checks below see what the parser will see.
_ENCODINGS = frozenset({b"utf-8", b"utf8", b"us-ascii", b"ascii", b"iso-8859-1", b"windows-1252"})
_ENCODING = re.compile(rb"^\s*<\?xml[^>]*?encoding\s*=\s*[\"']([^\"']*)[\"']")
_CONTROLS = re.compile(
    rb"[\x00-\x08\x0b\x0c\x0e-\x1f]|\xef\xbf[\xbe\xbf]"
    rb"|&#(?:x0*(?:[0-8bcef]|1[0-9a-f])|0*(?:[0-8]|1[124-9]|2[0-9]|3[01]));",
    re.IGNORECASE,
)


class Service:
    """The service over a port to the pipeline."""

    def __init__(self, intake: Intake) -> None:
        self._sessions = Sessions(intake)
        self._spyne = spyne_import.load()
        self._server = self._build()

    def wsdl(self, address: str) -> bytes:
        """The service's description, with the address at which it is published."""
        return _wsdl().replace("$ADDRESS", escape(address, {'"': "&quot;"})).encode()

    def answer(self, body: bytes, address: str) -> tuple[int, bytes]:
        """The HTTP status and the SOAP answer to a posted body. `address` is the caller's, for the throttle."""
        problem = _problem(body)
        if problem:
            return fault(problem)
        try:
            return self._answer(_CONTROLS.sub(b"", body), address)
        except Exception as error:  # noqa: BLE001 - spyne stumbles over odd envelopes in many ways; none is a call
            log.warning("a body that is no call was refused (%s)", type(error).__name__)
            return fault("the body is not a call of this service")

    def _answer(self, body: bytes, address: str) -> tuple[int, bytes]:
        first = self._spyne["MethodContext"](self._server, self._spyne["MethodContext"].SERVER)
        first.in_string = [body]
        context = self._server.generate_contexts(first)[0]
        if context.in_error is None:
            self._server.get_in_object(context)
        if context.in_error is not None:
            return fault("the body is not a call of this service")
        context.udc = address
        self._server.get_out_object(context)
        if context.out_error is not None:
            return fault("the call could not be served")
        self._server.get_out_string(context)
        return 200, b"".join(context.out_string)

    def _build(self) -> Any:
        """spyne's server, with one method for each operation."""
        parts = self._spyne
        text, array = parts["Unicode"], self._array_of_string()
        returns = {"authenticate": array, "receiveResponseXML": parts["Integer32"]}
        methods = {
            name: parts["rpc"](
                *[text] * len(parameters), _args=parameters, _operation_name=name, _returns=returns.get(name, text)
            )(self._method(name, len(parameters)))
            for name, parameters in OPERATIONS.items()
        }
        base = parts["ServiceBase"]
        service = type(base)("QBWebConnectorSvc", (base,), methods)
        application = parts["Application"](
            [service],
            tns=NAMESPACE,
            name="QBWebConnectorSvc",
            in_protocol=parts["Soap11"](huge_tree=True),
            out_protocol=parts["Soap11"](),
        )
        return parts["ServerBase"](application)

    def _array_of_string(self) -> Any:
        base = self._spyne["ComplexModel"]
        members = {"string": self._spyne["Unicode"](max_occurs="unbounded", nillable=True)}
        return type(base)("ArrayOfString", (base,), {"__namespace__": NAMESPACE, "_type_info": members})

    def _method(self, name: str, count: int) -> Callable[..., Any]:
        call = self._calls()[name]
        is_array = name == "authenticate"

        def method(context: Any, *arguments: str | None) -> Any:
            # What is missing counts as empty; nothing is sent twice, so no caller means two things by them.
            given = [argument or "" for argument in (*arguments, *[""] * count)][:count]
            result = call(context.udc, *given)
            return {"string": result} if is_array else result

        method.__name__ = name
        return method

    def _calls(self) -> dict[str, Callable[..., Any]]:
        """Operation -> our call, with the caller's address in front of its parameters."""
        sessions = self._sessions
        return {
            "serverVersion": lambda _: sessions.server_version(),
            "clientVersion": sessions.client_version,
            "authenticate": sessions.authenticate,
            "sendRequestXML": lambda _, ticket, company, file, country, major, minor: sessions.send_request(
                ticket, company, major, minor
            ),
            "receiveResponseXML": lambda _, *given: sessions.receive_response(*given),
            "connectionError": lambda _, *given: sessions.connection_error(*given),
            "getLastError": lambda _, ticket: sessions.get_last_error(ticket),
            "closeConnection": lambda _, ticket: sessions.close_connection(ticket),
        }


def _problem(body: bytes) -> str:
    """Why the body is refused before any parser sees it; empty when it is not."""
    if not body.strip():
        return "the body is empty"
    if len(body) > MAX_BYTES:
        return "the body is too large"
    body_start = body[:1000].removeprefix(b"\xef\xbb\xbf")
    encoding = _ENCODING.match(body_start)
    if not body_start.lstrip().startswith(b"<") or b"\x00" in body_start[:8]:
        return "the body is not XML in UTF-8"
    if encoding is not None and encoding.group(1).lower() not in _ENCODINGS:
        return "the body is not XML in UTF-8"
    if b"<!DOCTYPE" in body or b"<!ENTITY" in body:
        return "a document type is refused"
    return ""


def fault(text: str, *, status: int = 500) -> tuple[int, bytes]:
    """A SOAP fault, for what is not a call of the service."""
    body = (
        '<?xml version="1.0" encoding="utf-8"?>'
        '<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/"><soap:Body><soap:Fault>'
        f"<faultcode>soap:Client</faultcode><faultstring>{escape(text)}</faultstring>"
        "</soap:Fault></soap:Body></soap:Envelope>"
    )
    return status, body.encode()


@functools.cache
def _wsdl() -> str:
    return _WSDL.read_text(encoding="utf-8")
