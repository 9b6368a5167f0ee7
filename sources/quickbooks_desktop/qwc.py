"""The `.qwc` file that tells the Web Connector about a connection (Programmer's Guide 2.0, "QWC file")."""

from __future__ import annotations

import uuid

from lxml import etree

#: One for the application, whatever the connection: QuickBooks keeps each connection's FileID under it.
OWNER_ID = "{3b1f0d52-6f0b-4f57-9a5e-0c5b6d7e8f90}"
PATH = "/soap/quickbooks-desktop/"
SUPPORT_PATH = "/support/quickbooks-desktop/"
CONTENT_TYPE = "application/x-qwc"


class BadFileID(ValueError):
    """The connection's account is not a FileID that QuickBooks takes."""


def file_id(account: str) -> str:
    """The account as QuickBooks wants it: a GUID in braces. Raises `BadFileID`."""
    bare = account.strip("{} ")
    try:
        uuid.UUID(bare)
    except ValueError:
        raise BadFileID(
            f"the account {account!r} must be a GUID in braces, such as {{{uuid.uuid4()}}}: it marks the company file"
        ) from None
    return f"{{{bare}}}"


def build(*, slug: str, name: str, account: str, public_url: str, poll_minutes: int, is_unattended: bool) -> bytes:
    """The file of one connection. `name` is what people call its organization. Raises `BadFileID`."""
    base = public_url.rstrip("/")
    root = etree.Element("QBWCXML")
    for tag, text in (
        ("AppName", f"ml-connector - {name} ({slug})"[:100]),
        ("AppID", ""),
        ("AppURL", base + PATH),
        ("AppDescription", "Posts new and changed vendors, bills, purchase orders, payments"),
        ("AppSupport", base + SUPPORT_PATH),
        ("UserName", slug),
        ("OwnerID", OWNER_ID),
        ("FileID", file_id(account)),
        ("QBType", "QBFS"),
        ("Style", "Document"),
        ("AuthFlags", "0x0"),
        ("IsReadOnly", "false"),
        ("Notify", "false"),
        ("PersonalDataPref", "pdpNotNeeded"),
        ("UnattendedModePref", "umpRequired" if is_unattended else "umpOptional"),
    ):
        etree.SubElement(root, tag).text = text
    schedule = etree.SubElement(root, "Scheduler")
    etree.SubElement(schedule, "RunEveryNMinutes").text = str(max(1, poll_minutes))
    etree.indent(root, "")
    return b'<?xml version="1.0"?>\n' + etree.tostring(root, encoding="us-ascii") + b"\n"
