"""Checking a configuration file as a whole, with every mistake at once."""

from __future__ import annotations

import functools
import zoneinfo
from collections.abc import Sequence

import babel

from connector.configuration import connection_checks, route_checks
from connector.configuration.connection_checks import Installation
from connector.configuration.plan import WantedName, WantedOrganization
from connector.configuration.reader import Mistaken, Reader, Section, nearest
from connector.configuration.route_checks import Scope
from connector.kernel.events import NAME_KINDS
from connector.models import Organization

VERSION = "1"


def check(content: bytes) -> tuple[WantedOrganization, ...]:
    """What the file asks for, against what is there. Raises `Mistaken` with every mistake; changes nothing."""
    reader = Reader()
    document = reader.document(content)
    organizations = _document(document) if document is not None else ()
    if reader.mistakes:
        raise Mistaken(reader.mistakes)
    return organizations


def _document(document: Section) -> tuple[WantedOrganization, ...]:
    document.expect(("version", "organizations"))
    document.require("version", "organizations")
    version = document.text("version")
    if version and version != VERSION:
        document.wrong("version", f"version {version!r} is not known here: this connector reads version {VERSION}")
    installation = Installation.load()
    lines: dict[str, int] = {}
    found = []
    for section in document.sections("organizations") or []:
        organization = _organization(section, installation)
        if organization.slug in lines:
            section.wrong(
                "slug", f"the organization {organization.slug!r} stands on line {lines[organization.slug]} already"
            )
        if organization.slug:
            lines.setdefault(organization.slug, section.line_of("slug"))
        found.append(organization)
    return tuple(found)


def _organization(section: Section, installation: Installation) -> WantedOrganization:
    section.expect(("slug", "name", "timezone", "locale", "connections", "names", "routes"))
    section.require("slug")
    slug = connection_checks.slug_of(section)
    if slug and not Organization.objects.filter(slug=slug).exists():
        section.require("name")
    columns = {key: section.text(key) for key in ("name", "timezone", "locale") if section.has(key)}
    _check_place(section, columns.get("timezone", ""), columns.get("locale", ""))
    connections = connection_checks.read(section.sections("connections") or [], slug, installation)
    stored = {row.slug: row.system for row in installation.stored.values() if row.organization.slug == slug}
    scope = Scope(slug, stored | {wanted.slug: wanted.system for wanted in connections if wanted.slug})
    names, routes = section.sections("names"), section.sections("routes")
    return WantedOrganization(
        slug=slug,
        columns=columns,
        connections=connections,
        names=_names(names, scope) if names is not None else None,
        routes=route_checks.read(routes, scope) if routes is not None else None,
    )


def _check_place(section: Section, timezone: str, locale: str) -> None:
    if timezone and timezone not in _timezones():
        near = nearest(timezone, _timezones()) or ": write it like America/Chicago"
        section.wrong("timezone", f"there is no time zone {timezone!r}{near}")
    if locale:
        try:
            babel.Locale.parse(locale)
        except (ValueError, babel.UnknownLocaleError):
            section.wrong("locale", f"there is no locale {locale!r}: write it like en_US")


@functools.cache
def _timezones() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones())


def _names(sections: Sequence[Section], scope: Scope) -> tuple[WantedName, ...]:
    lines: dict[tuple[str, str, str], int] = {}
    found = []
    for section in sections:
        section.expect(("connection", "kind", "id", "name"))
        section.require("connection", "kind", "id", "name")
        scope.system_of(section, "connection")
        kind = section.text("kind")
        if kind and kind not in NAME_KINDS:
            section.wrong("kind", f"there is no kind of name {kind!r}{nearest(kind, NAME_KINDS)}")
        name = WantedName(section.text("connection"), kind, section.text("id", limit=100), section.text("name"))
        key = (name.connection, name.kind, name.id)
        if all(key) and key in lines:
            section.wrong("id", f"the name of {kind} {name.id!r} stands on line {lines[key]} already")
        lines.setdefault(key, section.line)
        found.append(name)
    return tuple(found)
