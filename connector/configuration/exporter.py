"""Writing what is configured as a file that `apply` reads back to the same."""

from __future__ import annotations

import datetime as dt
from typing import Any

import yaml

from connector import crypto, registry
from connector.configuration.connection_checks import SEALED
from connector.configuration.plan import TIMES
from connector.configuration.route_checks import DIGEST_AFTER
from connector.models import Connection, NameOverride, Organization, Route, Schedule

_HEAD = """\
# The connector's configuration: `manage.py config check` and `apply` read it.
# An absent key leaves things as they are; `routes` and `names`, where given, are whole.
"""
_SECRETS = {
    False: "# Credentials are left out: applying keeps the stored ones.\n",
    True: "# Credentials are sealed: only an installation with the same ENCRYPTION_KEYS opens them.\n",
}


class _Quoted(str):
    """An ID: quoted always, so that nobody takes it for a number."""


class _Dumper(yaml.SafeDumper):
    """Writes everything out, without anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_quoted(dumper: yaml.SafeDumper, value: _Quoted) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", str(value), style='"')


_Dumper.add_representer(_Quoted, _represent_quoted)


def export(*, with_credentials: bool = False) -> str:
    """The configuration as YAML, in the order in which things were made. Credentials are sealed, or left out."""
    body = yaml.dump(
        document(with_credentials=with_credentials), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1000
    )
    return f"{_HEAD}{_SECRETS[with_credentials]}{body}"


def document(*, with_credentials: bool = False) -> dict[str, Any]:
    """The same as plain values; what is at its default is left out."""
    rows = Organization.objects.order_by("pk")
    return {"version": 1, "organizations": [_organization(row, with_credentials=with_credentials) for row in rows]}


def _organization(row: Organization, *, with_credentials: bool) -> dict[str, Any]:
    connections = Connection.objects.filter(organization=row).select_related("organization", "credential")
    names = NameOverride.objects.filter(connection__organization=row).select_related("connection")
    routes = Route.objects.filter(organization=row, is_active=True).select_related("source", "sink")
    return {
        "slug": row.slug,
        "name": row.name,
        "timezone": row.timezone,
        "locale": row.locale,
        "connections": [_connection(each, with_credentials=with_credentials) for each in connections.order_by("pk")],
        "names": [_name(each) for each in names.order_by("pk")],
        "routes": [_route(each) for each in routes.order_by("pk")],
    }


def _connection(row: Connection, *, with_credentials: bool) -> dict[str, Any]:
    known = {field.name for field in registry.system(row.system).settings_fields}
    settings = {name: value for name, value in row.settings.items() if name in known}
    credentials = _credentials(row) if with_credentials else {}
    schedules = [_schedule(each) for each in Schedule.objects.filter(connection=row, is_active=True).order_by("pk")]
    return {
        "slug": row.slug,
        "system": row.system,
        "account": _Quoted(row.account),
        **({"credentials": credentials} if credentials else {}),
        **({"settings": settings} if settings else {}),
        **({"schedules": schedules} if schedules else {}),
    }


def _schedule(row: Schedule) -> dict[str, Any]:
    window = {"last": row.window_last, "first": row.window_first}
    window = {name: days for name, days in window.items() if days}
    return {"report": row.report, "cron": _Quoted(row.cron), **({"window": window} if window else {})}


def _credentials(row: Connection) -> dict[str, Any]:
    """Each value sealed for its place in the file; only fields that the system has, as only they are read back."""
    if row.credential is None:
        return {}
    known = {field.name for field in registry.system(row.system).credential_fields}
    secrets = {
        name: SEALED + crypto.seal(f"{row.organization.slug}|{row.slug}|{name}", value.encode())
        for name, value in (row.credential.secrets or {}).items()
        if name in known and value
    }
    times = {name: getattr(row.credential, name) for name in TIMES}
    return secrets | {name: _moment(value) for name, value in times.items() if value is not None}


def _moment(value: dt.datetime) -> str:
    return value.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")


def _name(row: NameOverride) -> dict[str, Any]:
    return {"connection": row.connection.slug, "kind": row.kind, "id": _Quoted(row.record_id), "name": row.name}


def _route(row: Route) -> dict[str, Any]:
    optional = {
        "channel": row.target,
        "events": row.events,
        "where": row.conditions,
        "settings": row.settings,
        "thread_updates": row.thread_updates,
        "mention": row.mention,
    }
    digest = {"digest_after": row.digest_after} if row.digest_after != DIGEST_AFTER else {}
    kept = {name: value for name, value in optional.items() if value}
    return {"name": row.name, "from": row.source.slug, "to": row.sink.slug, **kept, **digest}
