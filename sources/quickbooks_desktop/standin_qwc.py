"""The stand-in's reading of a .qwc file: what the Web Connector checks when a user adds an application.

Source: Intuit's Web Connector Programmer's Guide. The support page and the certificate are not fetched here.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from lxml import etree

_REQUIRED = ("AppName", "AppID", "AppURL", "AppDescription", "AppSupport", "UserName", "OwnerID", "FileID", "QBType")
_GUID = re.compile(r"\{[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\}")
_FLAG = ("true", "false")
_VALUES = {
    "QBType": ("QBFS", "QBPOS"),
    "Style": ("Document", "DocWrapped", "RPC"),
    "IsReadOnly": _FLAG,
    "Notify": _FLAG,
    "UnattendedModePref": ("umpOptional", "umpRequired"),
    "PersonalDataPref": ("pdpNotNeeded", "pdpOptional", "pdpRequired"),
}
_FREE = ("AppUniqueName", "AppDisplayName", "AuthFlags", "Scheduler", "CertURL")
_LONGEST_DESCRIPTION = 80


class QwcError(Exception):
    """The Web Connector does not add the application."""


def read_qwc(text: str) -> Mapping[str, str]:
    """The file's elements; Scheduler's as "RunEveryNMinutes" or "RunEveryNSeconds". Raises `QwcError`."""
    try:
        root = etree.fromstring(text.encode(), etree.XMLParser(resolve_entities=False, no_network=True))
    except etree.XMLSyntaxError as error:
        raise QwcError(f"the file is no XML: {error}") from error
    if root.tag != "QBWCXML":
        raise QwcError(f"the root is {root.tag}, not QBWCXML")
    found = {str(child.tag): child.text or "" for child in root if not len(child)}
    missing = [name for name in _REQUIRED if name not in found or not (found[name] or name == "AppID")]
    strange = sorted({str(child.tag) for child in root} - {*_REQUIRED, *_VALUES, *_FREE})
    if missing or strange or len(found) < len([child for child in root if not len(child)]):
        raise QwcError(f"missing: {missing}, unknown: {strange}, or something stands twice")
    found |= {str(child.tag): child.text or "" for child in root.iterfind("Scheduler/*")}
    _check_values(found)
    _check_urls(found["AppURL"], found["AppSupport"])
    return found


def _check_values(found: Mapping[str, str]) -> None:
    for name, known in _VALUES.items():
        if name in found and found[name] not in known:
            raise QwcError(f"{name} cannot be {found[name]!r}")
    for name in ("OwnerID", "FileID"):
        if not _GUID.fullmatch(found[name]):
            raise QwcError(f"{name} is no GUID in braces: {found[name]!r}")
    if len(found["AppDescription"]) > _LONGEST_DESCRIPTION:
        raise QwcError("AppDescription is longer than 80 characters")
    for name in ("RunEveryNMinutes", "RunEveryNSeconds"):
        if name in found and not re.fullmatch(r"[1-9]\d*", found[name]):
            raise QwcError(f"{name} is {found[name]!r}")


def _check_urls(app: str, support: str) -> None:
    if urlsplit(app).hostname != urlsplit(support).hostname:
        raise QwcError("QBWC1000 AppURL and AppSupport are on different hosts")
    for code, name, url in (("QBWC1001", "AppURL", app), ("QBWC1002", "AppSupport", support)):
        parts = urlsplit(url)
        host = parts.hostname or ""
        if not host or not (parts.scheme == "https" or (parts.scheme == "http" and host == "localhost")):
            raise QwcError(f"{code} {name} must be https, or http on localhost: {url}")
        if _is_address(host):
            raise QwcError(f"{code} {name} names an IP address: {url}")


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
