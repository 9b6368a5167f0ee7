"""The stand-in's SOAP: calls as the Web Connector writes them, and replies read as strictly as its proxy does.

Source: Intuit's Web Connector Programmer's Guide; document/literal wrapped, one namespace for everything.
"""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit
from xml.sax.saxutils import escape

from lxml import etree

NAMESPACE = "http://developer.intuit.com/"
ENVELOPE = "http://schemas.xmlsoap.org/soap/envelope/"
USER_AGENT = "Mozilla/4.0 (compatible; MSIE 6.0; MS Web Services Client Protocol 4.0.30319.42000)"
#: .NET gives up on a call after so many seconds.
TIMEOUT_SECONDS = 100.0
_NIL = "{http://www.w3.org/2001/XMLSchema-instance}nil"
_HEAD = (
    f'<?xml version="1.0" encoding="utf-8"?><soap:Envelope xmlns:soap="{ENVELOPE}"'
    ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:xsd="http://www.w3.org/2001/XMLSchema"><soap:Body>'
)
_FOOT = "</soap:Body></soap:Envelope>"

#: What a call gave: a text, a number or a list of strings.
Result = str | int | tuple[str, ...]


class Unreachable(Exception):
    """No answer: refused, cut off, or too late."""


class BadReply(Exception):
    """An answer that the Web Connector's proxy does not accept; the text says what is wrong with it."""


def envelope(operation: str, arguments: Mapping[str, str]) -> bytes:
    """A call's body; an empty argument is an empty element."""
    told = "".join(f"<{n}>{escape(v)}</{n}>" if v else f"<{n} />" for n, v in arguments.items())
    call = f'<{operation} xmlns="{NAMESPACE}">{told}</{operation}>' if arguments else _bare(operation)
    return f"{_HEAD}{call}{_FOOT}".encode()


def _bare(operation: str) -> str:
    return f'<{operation} xmlns="{NAMESPACE}" />'


def call(url: str, operation: str, arguments: Mapping[str, str], *, timeout: float = TIMEOUT_SECONDS) -> Result:
    """Makes one call, on a connection of its own. Raises `Unreachable` or `BadReply`."""
    body = envelope(operation, arguments)
    headers = {
        "User-Agent": USER_AGENT,
        "Content-Type": "text/xml; charset=utf-8",
        "SOAPAction": f'"{NAMESPACE}{operation}"',
        "Content-Length": str(len(body)),
        "Connection": "Keep-Alive",
    }
    parts = urlsplit(url)
    connection = _connect(parts.scheme, parts.hostname or "", parts.port, timeout)
    try:
        connection.putrequest("POST", parts.path or "/", skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders(body)
        response = connection.getresponse()
        kind, answer = response.getheader("Content-Type") or "", response.read()
    except (OSError, http.client.HTTPException) as error:
        raise Unreachable(f"{type(error).__name__}: {error}") from error
    finally:
        connection.close()
    return read_reply(operation, response.status, kind, answer)


def _connect(scheme: str, host: str, port: int | None, timeout: float) -> http.client.HTTPConnection:
    if scheme == "https":
        return http.client.HTTPSConnection(host, port, timeout=timeout, context=ssl.create_default_context())
    return http.client.HTTPConnection(host, port, timeout=timeout)


def read_reply(operation: str, status: int, content_type: str, body: bytes) -> Result:
    """The result in a reply. Raises `BadReply`."""
    if content_type.partition(";")[0].strip().lower() != "text/xml":
        kind = f"HTTP {status}, content type {content_type!r}"
        raise BadReply(f"Client found response content type of '{content_type}', but expected 'text/xml': {kind}")
    try:
        root = etree.fromstring(body, etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=True))
    except etree.XMLSyntaxError as error:
        raise BadReply(f"the reply is no XML: {error}") from error
    content = _content(root)
    if content.tag == f"{{{ENVELOPE}}}Fault":
        raise BadReply(f"SOAP fault, HTTP {status}: {content.findtext('faultcode')} {content.findtext('faultstring')}")
    if status != http.client.OK:
        raise BadReply(f"HTTP {status}")
    wanted = f"{{{NAMESPACE}}}{operation}Response"
    if content.tag != wanted:
        raise BadReply(f"{content.tag} instead of {wanted}")
    return _result(operation, content)


def _content(root: etree._Element) -> etree._Element:
    if root.tag != f"{{{ENVELOPE}}}Envelope":
        raise BadReply(f"{root.tag} instead of a SOAP 1.1 envelope")
    bodies = root.findall(f"{{{ENVELOPE}}}Body")
    if len(bodies) != 1 or len(bodies[0]) != 1:
        raise BadReply("the envelope has not exactly one body with one element")
    return bodies[0][0]


def _result(operation: str, response: etree._Element) -> Result:
    wanted = f"{{{NAMESPACE}}}{operation}Result"
    if not len(response):
        raise BadReply(f"null: {operation}Result is missing")
    if [child.tag for child in response] != [wanted]:
        raise BadReply(f"{', '.join(str(child.tag) for child in response)} instead of {wanted}")
    found = response[0]
    if operation == "authenticate":
        return tuple(_string(item) for item in found)
    text = _plain(found)
    if operation != "receiveResponseXML":
        return text
    try:
        return int(text)
    except ValueError:
        raise BadReply(f"{operation}Result is {text!r}, not an int") from None


def _string(item: etree._Element) -> str:
    if item.tag != f"{{{NAMESPACE}}}string":
        raise BadReply(f"Index Out Of Range: {item.tag} in an ArrayOfString")
    return _plain(item)


def _plain(element: Any) -> str:
    if element.get(_NIL) in ("true", "1"):
        raise BadReply(f"null: {element.tag}")
    if len(element):
        raise BadReply(f"{element.tag} holds elements instead of text")
    return element.text or ""
