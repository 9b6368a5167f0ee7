"""The request envelope of the XML gateway, its elements in the order of the vendor's schema.

Source: developer.intacct.com/web-services/requests and the vendor's SDKs. A child out of order is refused (XL03000003).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from lxml import etree

from connector.kernel.errors import Misconfigured


@dataclasses.dataclass(frozen=True, slots=True, repr=False)
class Sender:
    """The Web Services sender, named in every request."""

    id: str
    password: str


@dataclasses.dataclass(frozen=True, slots=True, repr=False)
class Login:
    """A sign-in; with `entity` to that entity, else to the top level."""

    user: str
    company: str
    password: str
    entity: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Function:
    """One call of a request. Its result is found by `name`, the function's control ID."""

    name: str
    verb: etree._Element
    #: The object it reads, for texts.
    subject: str = ""


def build(sender: Sender, control_id: str, auth: Login | str, functions: Sequence[Function]) -> bytes:
    """The request's bytes. `auth` is a sign-in or a session ID. Raises `Misconfigured` for text XML cannot carry."""
    root = etree.Element("request")
    try:
        _control(etree.SubElement(root, "control"), sender, control_id)
        operation = etree.SubElement(root, "operation")
        if not isinstance(auth, Login):
            operation.set("transaction", "false")
        _authentication(etree.SubElement(operation, "authentication"), auth)
        content = etree.SubElement(operation, "content")
        for function in functions:
            etree.SubElement(content, "function", controlid=function.name).append(function.verb)
    except ValueError:
        raise Misconfigured(
            "a credential holds characters that cannot be sent to Intacct: type it in again", code="bad_characters"
        ) from None
    return etree.tostring(root, encoding="UTF-8", xml_declaration=True)


def leaf(parent: etree._Element, tag: str, text: str = "") -> etree._Element:
    """A child with text alone."""
    child = etree.SubElement(parent, tag)
    if text:
        child.text = text
    return child


def _control(control: etree._Element, sender: Sender, control_id: str) -> None:
    leaf(control, "senderid", sender.id)
    leaf(control, "password", sender.password)
    leaf(control, "controlid", control_id)
    # By default a repeated control ID of a function is refused, and with it every second try.
    leaf(control, "uniqueid", "false")
    leaf(control, "dtdversion", "3.0")
    leaf(control, "includewhitespace", "false")


def _authentication(holder: etree._Element, auth: Login | str) -> None:
    if not isinstance(auth, Login):
        leaf(holder, "sessionid", auth)
        return
    login = leaf(holder, "login")
    leaf(login, "userid", auth.user)
    leaf(login, "companyid", auth.company)
    leaf(login, "password", auth.password)
    if auth.entity:
        leaf(login, "locationid", auth.entity)
