"""Checking the connections of one organization: their identity, credentials and settings."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping

from connector import crypto, registry
from connector.configuration import fields, schedule_checks
from connector.configuration.plan import TIMES, Given, WantedConnection, is_token
from connector.configuration.reader import Section, nearest
from connector.kernel.contracts import System
from connector.models import Connection, Delivery, InboxEvent

KEYS = ("slug", "system", "account", "credentials", "settings", "schedules")
SEALED = "sealed:"
_SLUG = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclasses.dataclass(slots=True)
class Installation:
    """Every connection that exists already, and the line of every slug that the file has used so far."""

    stored: Mapping[str, Connection]
    slugs: dict[str, int] = dataclasses.field(default_factory=dict)

    @classmethod
    def load(cls) -> Installation:
        rows = Connection.objects.select_related("organization")
        return cls({row.slug: row for row in rows})


def slug_of(section: Section) -> str:
    slug = section.text("slug")
    if slug and not _SLUG.fullmatch(slug):
        section.wrong("slug", f"the slug {slug!r} must have 1 to 64 letters, digits, hyphens and underscores")
    return slug


def read(sections: Iterable[Section], organization: str, installation: Installation) -> tuple[WantedConnection, ...]:
    """The connections of the organization as the file wants them."""
    found = tuple(_connection(section, organization, installation) for section in sections)
    _check_accounts(found, sections, organization, installation)
    _check_shared(found, sections)
    return found


def _connection(section: Section, organization: str, installation: Installation) -> WantedConnection:
    section.expect(KEYS)
    section.require("slug", "system", "account")
    slug = slug_of(section)
    if slug in installation.slugs:
        section.wrong("slug", f"the connection {slug!r} stands on line {installation.slugs[slug]} already")
    if slug:
        installation.slugs.setdefault(slug, section.line_of("slug"))
    stored = installation.stored.get(slug)
    if stored is not None and stored.organization.slug != organization:
        section.wrong("slug", f"the connection {slug!r} belongs to {stored.organization.slug}: choose another slug")
        stored = None
    system = _system(section, stored)
    account = section.text("account")
    if stored is not None and account and account != stored.account and _is_used(stored):
        section.wrong(
            "account", f"{slug!r} has events of {stored.account}: give the other account a connection of its own"
        )
    return WantedConnection(
        slug=slug,
        system=system.name if system else "",
        account=account,
        credentials=_credentials(section, system, stored, f"{organization}|{slug}") if system else None,
        settings=_settings(section, system, stored) if system else {},
        schedules=schedule_checks.read(section, system) if system else None,
        line=section.line,
    )


def _system(section: Section, stored: Connection | None) -> System | None:
    name = section.text("system")
    if not name:
        return None
    if name not in registry.system_names():
        section.wrong("system", f"there is no system {name!r}{nearest(name, registry.system_names())}")
        return None
    if stored is not None and stored.system != name:
        section.wrong("system", f"{stored.slug!r} is a connection of {stored.system}: give {name} one of its own")
        return None
    return registry.system(name)


def _is_used(stored: Connection) -> bool:
    """Whether it has told or heard anything of its account; what it said of itself does not count."""
    told = Delivery.objects.filter(mailbox__connection=stored)
    return InboxEvent.objects.filter(connection=stored).exclude(origin="connector").exists() or told.exists()


def _settings(section: Section, system: System, stored: Connection | None) -> dict[str, object]:
    kept = stored.settings if stored is not None else {}
    return fields.read(section.section("settings"), system.settings_fields, stored=kept, parent=section)


def _credentials(section: Section, system: System, stored: Connection | None, place: str) -> Given | None:
    """None when the file gives none: what is stored stays, and a new connection waits to be connected."""
    given = section.section("credentials")
    if given is None:
        return None
    names = [field.name for field in system.credential_fields]
    given.expect([*names, *TIMES], "credential")
    values = {name: _secret(given, name, f"{place}|{name}") for name in names if given.has(name)}
    if stored is None or stored.credential_id is None:
        for field in system.credential_fields:
            if field.is_required and not given.has(field.name):
                given.wrong(field.name, f"{field.name} is missing: {field.help or field.label}")
    times = {name: moment for name in TIMES if (moment := given.moment(name)) is not None}
    return Given({name: value for name, value in values.items() if value}, times) if values or times else None


def _secret(given: Section, name: str, context: str) -> str:
    value = given.text(name, limit=20000)
    if not value and not given.is_broken(name):
        given.wrong(name, f"{name} is empty: leave it out to keep what is stored")
    if not value.startswith(SEALED):
        return value
    try:
        return crypto.unseal(context, value.removeprefix(SEALED)).decode()
    except crypto.SealBroken as error:
        given.wrong(name, f"{error}: export it again, or give it as env:NAME")
        return ""


def _check_accounts(
    found: Iterable[WantedConnection], sections: Iterable[Section], organization: str, installation: Installation
) -> None:
    """An organization connects an account once."""
    taken = {
        (row.system, row.account): slug
        for slug, row in installation.stored.items()
        if row.organization.slug == organization
    }
    for wanted, section in zip(found, sections, strict=True):
        if not (wanted.system and wanted.account):
            continue
        slug = taken.setdefault((wanted.system, wanted.account), wanted.slug)
        if slug != wanted.slug:
            section.wrong("account", f"{wanted.system} {wanted.account} is connected as {slug!r} already")


def _check_shared(found: Iterable[WantedConnection], sections: Iterable[Section]) -> None:
    """Connections with the same refresh token share one credential: beside the tokens they cannot differ."""
    first: dict[tuple[str, str], WantedConnection] = {}
    for wanted, section in zip(found, sections, strict=True):
        if wanted.credentials is None or not wanted.credentials.login:
            continue
        other = first.setdefault((wanted.system, wanted.credentials.login), wanted)
        assert other.credentials is not None
        theirs = other.credentials.values
        for name, value in wanted.credentials.values.items():
            if not is_token(name) and theirs.get(name, value) != value:
                section.wrong(
                    "credentials", f"the refresh_token is that of {other.slug!r}: {name} must be the same, too"
                )
