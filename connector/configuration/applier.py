"""Making the database what a checked configuration file asks for: all of it or nothing, and only what differs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from django.db import transaction

from connector import registry
from connector.configuration.granting import Granted, Granting
from connector.configuration.plan import (
    WantedConnection,
    WantedName,
    WantedOrganization,
    WantedRoute,
    WantedSchedule,
)
from connector.models import Connection, Mailbox, NameOverride, Organization, Route
from connector.pipeline import audit, clock, hints, routing, schedules

ACTOR = "config"


@dataclasses.dataclass(slots=True)
class Report:
    """What was done, by kind of row and by its name; `removed` holds routes switched off and overrides dropped."""

    created: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    changed: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    removed: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    unchanged: int = 0
    kept_credentials: list[str] = dataclasses.field(default_factory=list)

    def counts(self) -> dict[str, int]:
        """How many rows were created, changed and removed so far."""
        return {verb: sum(map(len, getattr(self, verb).values())) for verb in ("created", "changed", "removed")}

    def note(self, verb: str, kind: str, name: str) -> None:
        if verb == "unchanged":
            self.unchanged += 1
        else:
            getattr(self, verb).setdefault(kind, []).append(name)


def apply(organizations: Sequence[WantedOrganization], *, is_forced: bool = False) -> Report:
    """Creates and changes what the (checked) file asks for, in one transaction. No vendor is called.

    `is_forced` lets the file's credentials take the place of newer ones. Raises `Busy`.
    """
    report, granting = Report(), Granting(is_forced=is_forced)
    with transaction.atomic():
        for wanted in organizations:
            _Applying(report, granting, wanted).run()
    return report


class _Applying:
    """The work on one organization."""

    def __init__(self, report: Report, granting: Granting, wanted: WantedOrganization) -> None:
        self._report = report
        self._granting = granting
        self._wanted = wanted

    def run(self) -> None:
        before = self._report.counts()
        self._organization = self._find_or_create()
        for connection in self._wanted.connections:
            self._connection(connection)
        rows = Connection.objects.filter(organization=self._organization).select_related("organization")
        self._connections = {row.slug: row for row in rows}
        for wanted in self._wanted.connections:
            self._schedules(self._connections[wanted.slug], wanted.schedules)
        if self._wanted.names is not None:
            self._names(self._wanted.names)
        if self._wanted.routes is not None:
            self._routes(self._wanted.routes)
        after = self._report.counts()
        done = ", ".join(f"{after[verb] - before[verb]} {verb}" for verb in after if after[verb] != before[verb])
        if done:
            audit.append(self._organization, audit.Entry("config.applied", actor=ACTOR, reason=done))

    def _find_or_create(self) -> Organization:
        wanted = self._wanted
        row = Organization.objects.filter(slug=wanted.slug).first()
        if row is None:
            row = Organization.objects.create(slug=wanted.slug, **wanted.columns)
            self._report.note("created", "organizations", row.slug)
        else:
            self._report.note(_set(row, wanted.columns), "organizations", row.slug)
        return row

    def _connection(self, wanted: WantedConnection) -> None:
        row = Connection.objects.select_related("organization", "credential").filter(slug=wanted.slug).first()
        if row is None:
            row = Connection(organization=self._organization, slug=wanted.slug, system=wanted.system)
            row.account, row.settings = wanted.account, dict(wanted.settings)
            row.save(force_insert=True)
            verb = "created"
        else:
            verb = _set(row, {"account": wanted.account, "settings": {**row.settings, **wanted.settings}})
        self._report.note(verb, "connections", row.slug)
        granted = self._granting.grant(row, wanted.credentials) if wanted.credentials else Granted()
        if granted.is_stored:
            self._report.note("changed" if verb != "created" else verb, "credentials", row.slug)
        elif verb != "unchanged" and row.credential_id:
            hints.run("check_connection", str(row.pk))
        if granted.is_kept:
            self._report.kept_credentials.append(row.slug)

    def _schedules(self, connection: Connection, wanted: Sequence[WantedSchedule] | None) -> None:
        """The list is whole: a schedule that it lacks is dropped. A changed time zone moves those that stay."""
        if wanted is not None:
            done = schedules.replace(connection, [dataclasses.astuple(each) for each in wanted])
            for verb, names in done.items():
                for name in names:
                    self._report.note(verb, "schedules", f"{connection.slug} {name}")
        schedules.sync(connection)

    def _names(self, wanted: Sequence[WantedName]) -> None:
        """The list is whole: an override that it lacks is dropped."""
        stored = {
            (row.connection_id, row.kind, row.record_id): row
            for row in NameOverride.objects.filter(connection__organization=self._organization)
        }
        for name in wanted:
            connection = self._connections[name.connection]
            row = stored.pop((connection.pk, name.kind, name.id), None)
            self._report.note(_set_name(row, connection, name), "names", f"{name.connection} {name.kind} {name.id}")
        slugs = {row.pk: row.slug for row in self._connections.values()}
        for row in stored.values():
            row.delete()
            self._report.note("removed", "names", f"{slugs[row.connection_id]} {row.kind} {row.record_id}")

    def _routes(self, wanted: Sequence[WantedRoute]) -> None:
        """The list is whole: a route that it lacks is switched off (what it told before stays known)."""
        stored = {row.name: row for row in Route.objects.filter(organization=self._organization)}
        for route in wanted:
            self._route(stored.pop(route.name, None), route)
        for row in stored.values():
            if row.is_active:
                _set(row, {"is_active": False})
                self._report.note("removed", "routes", row.name)

    def _route(self, row: Route | None, wanted: WantedRoute) -> None:
        columns = _columns(wanted, {slug: row.pk for slug, row in self._connections.items()})
        if row is None:
            row = Route(organization=self._organization, name=wanted.name, **columns)
            row.conditions = dict(wanted.conditions) or None
            row.save(force_insert=True)
            verb = "created"
        else:
            verb = _set(row, columns)
            if (row.conditions or {}) != wanted.conditions:
                row.conditions = dict(wanted.conditions) or None
                row.save(update_fields=["conditions_sealed"])
                verb = "changed"
        self._report.note(verb, "routes", wanted.name)
        if verb != "unchanged" and registry.sink(self._connections[wanted.sink].system).has_targets:
            _prepare(routing.mailbox_at(row.sink_id, row.target))


def _columns(wanted: WantedRoute, keys: Mapping[str, UUID]) -> dict[str, Any]:
    return {
        "source_id": keys[wanted.source],
        "sink_id": keys[wanted.sink],
        "target": wanted.target,
        "events": list(wanted.events),
        "settings": dict(wanted.settings),
        "thread_updates": wanted.thread_updates,
        "mention": wanted.mention,
        "digest_after": wanted.digest_after,
        "is_active": True,
    }


def _set(row: Organization | Connection | Route, columns: Mapping[str, Any]) -> str:
    """Writes the columns that differ; "changed" or "unchanged"."""
    differing = {name: value for name, value in columns.items() if getattr(row, name) != value}
    for name, value in differing.items():
        setattr(row, name, value)
    if differing:
        row.save(update_fields=list(differing))
    return "changed" if differing else "unchanged"


def _set_name(row: NameOverride | None, connection: Connection, wanted: WantedName) -> str:
    if row is not None and row.name == wanted.name:
        return "unchanged"
    verb = "changed" if row is not None else "created"
    row = row or NameOverride(connection=connection, kind=wanted.kind, record_id=wanted.id)
    row.name = wanted.name
    row.save()
    return verb


def _prepare(mailbox: Mailbox) -> None:
    """Joins the channel soon; one that was held is tried again and released when it takes messages."""
    Mailbox.objects.filter(pk=mailbox.pk).exclude(hold="").update(prepare_at=clock.now())
    hints.run("prepare_mailbox", str(mailbox.pk))
