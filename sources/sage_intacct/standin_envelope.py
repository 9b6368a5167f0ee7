"""The stand-in's answers: the envelope with its three levels, and one `result` for each function."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable

from lxml import etree

from sources.sage_intacct.standin_faults import SUPPORT_ID, Error
from sources.sage_intacct.standin_sessions import SignedIn

_ECHOED = (("senderid", ""), ("controlid", ""), ("uniqueid", "true"), ("dtdversion", ""))


@dataclasses.dataclass(slots=True)
class Result:
    """What became of one function. A result without a status is left out of the answer."""

    verb: str
    controlid: str
    status: str = "success"
    payload: etree._Element | None = None
    errors: tuple[Error, ...] = ()


@dataclasses.dataclass(slots=True)
class Envelope:
    """An answer in the making; the echo is read out of the raw request, which need not even be well-formed."""

    echo: dict[str, str]
    is_indented: bool
    tells_more: bool
    root: etree._Element

    @classmethod
    def begin(cls, body: bytes) -> Envelope:
        control = re.search(rb"<control>.*?</control>", body, re.DOTALL)
        text = (control[0] if control else body).decode(errors="replace")
        found = {name: _content(text, name, default) for name, default in _ECHOED}
        is_indented = _content(text, "includewhitespace", "true") == "true"
        tells_more = _content(text, "showadditionalerrorinfo", "false") == "true"
        return cls(found, is_indented, tells_more, etree.Element("response"))

    def control(self, errors: Iterable[Error] = ()) -> None:
        """Level 1, and with errors the end of it."""
        refused = tuple(errors)
        control = etree.SubElement(self.root, "control")
        _put(control, "status", "failure" if refused else "success")
        for name, value in self.echo.items():
            _put(control, name, value)
        if refused:
            self._errors(self.root, refused)

    def refuse(self, user: str, company: str, error: Error) -> None:
        """Level 2: the sign-in failed."""
        operation = etree.SubElement(self.root, "operation")
        authentication = etree.SubElement(operation, "authentication")
        for name, value in (("status", "failure"), ("userid", user), ("companyid", company)):
            _put(authentication, name, value)
        self._errors(operation, (error,))

    def results(self, who: SignedIn, results: Iterable[Result]) -> None:
        """Levels 2 and 3."""
        operation = etree.SubElement(self.root, "operation")
        authentication = etree.SubElement(operation, "authentication")
        for name, value in (
            ("status", "success"), ("userid", who.user), ("companyid", who.company), ("locationid", who.location),
            ("sessiontimestamp", who.at.isoformat(timespec="seconds")),
            ("sessiontimeout", who.ends.isoformat(timespec="seconds")),
        ):  # fmt: skip
            _put(authentication, name, value)
        for result in results:
            if not result.status:
                continue
            element = etree.SubElement(operation, "result")
            for name, value in (("status", result.status), ("function", result.verb), ("controlid", result.controlid)):
                _put(element, name, value)
            if result.payload is not None:
                element.append(result.payload)
            if result.errors:
                self._errors(element, result.errors)

    def encode(self) -> bytes:
        return etree.tostring(self.root, xml_declaration=True, encoding="UTF-8", pretty_print=self.is_indented)

    def _errors(self, parent: etree._Element, errors: Iterable[Error]) -> None:
        message = etree.SubElement(parent, "errormessage")
        for error in errors:
            element = etree.SubElement(message, "error")
            for name in ("errorno", "description", "description2", "correction"):
                _put(element, name, getattr(error, name))
            if self.tells_more:
                _tell_more(element)


def _tell_more(error: etree._Element) -> None:
    """What comes with `showadditionalerrorinfo`; there is no more to tell, and so most of it is empty."""
    more = etree.SubElement(error, "additionalinfo")
    _put(more, "errorid", "XL-0001")
    _put(more, "category", "")
    target = {"domain": "", "requestinfo": SUPPORT_ID, "object": "", "field": "", "businessinfo": ""}
    etree.SubElement(more, "target", target)
    for name in ("description", "cdescription", "correction"):
        element = etree.SubElement(more, name)
        for part in ("messageid", "target", "placeholders"):
            _put(element, part, "")


def _put(parent: etree._Element, name: str, text: str) -> None:
    etree.SubElement(parent, name).text = text or None


def _content(text: str, name: str, default: str) -> str:
    match = re.search(rf"<{name}>([^<]*)</{name}>", text)
    return match[1] if match else default
