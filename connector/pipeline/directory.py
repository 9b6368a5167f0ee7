"""What people call things: an organization's overrides first, then the cached name directory of the connection."""

from __future__ import annotations

import datetime as dt
import threading
from collections import defaultdict
from collections.abc import Iterable
from uuid import UUID

from connector import registry
from connector.kernel.contracts import Context, Name, Names
from connector.kernel.events import NAME_KINDS, Ref
from connector.models import Connection, DirectoryName, NameOverride
from connector.models.base import keyed_uuid
from connector.pipeline import clock

FRESH = dt.timedelta(hours=24)
_loading: dict[UUID, threading.Lock] = defaultdict(threading.Lock)


def ensure(ctx: Context, connection: Connection, wanted: Iterable[Ref]) -> None:
    """Looks up, at the source, those of the wanted names that the directory lacks or has had for a day."""
    keys = {(ref.kind, ref.id) for ref in wanted if ref.id}
    # One at a time: the first brings whole lists, and the others find what they want.
    with _loading[connection.pk]:
        _load_missing(ctx, connection, keys)


def _load_missing(ctx: Context, connection: Connection, keys: set[tuple[str, str]]) -> None:
    fresh = DirectoryName.objects.filter(
        connection=connection, record_id__in={record_id for _, record_id in keys}, fetched_at__gt=clock.now() - FRESH
    )
    missing = keys - set(fresh.values_list("kind", "record_id")) if keys else set()
    if missing:
        source = registry.source(connection.system)
        found = list(source.load_names(ctx, [Ref(kind, record_id) for kind, record_id in sorted(missing)]))
        # What the source does not know is remembered as such, or every event would ask again.
        known = {(name.kind, name.id) for name in found}
        store(connection, found + [Name(kind, record_id, "") for kind, record_id in sorted(missing - known)])


def store(connection: Connection, names: Iterable[Name]) -> None:
    """Puts names into the directory, in the place of what stood there."""
    rows = []
    for name in {(name.kind, name.id): name for name in names}.values():
        row = DirectoryName(
            id=keyed_uuid(connection.pk, name.kind, name.id),
            connection=connection,
            kind=name.kind,
            record_id=name.id,
            is_active=name.is_active,
            fetched_at=clock.now(),
        )
        row.entry = {"name": name.name, "extra": dict(name.extra)}
        rows.append(row)
    DirectoryName.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["id"],
        update_fields=["entry_sealed", "is_active", "fetched_at"],
    )


def forget(connection: Connection, kind: str, record_id: str) -> None:
    """A name has changed at the source: the next event that mentions it asks again."""
    DirectoryName.objects.filter(connection=connection, kind=kind, record_id=record_id).delete()


def reader(connection: Connection) -> Names:
    """A function (kind, ID, what the record itself says) -> what to show. Reads the tables as it is asked.

    A kind like "item:income_account" reads the named extra of the directory's entry, or "".
    """
    overrides = {(row.kind, row.record_id): str(row.name) for row in NameOverride.objects.filter(connection=connection)}
    cache: dict[tuple[str, str], dict[str, object]] = {}

    def entry(kind: str, record_id: str) -> dict[str, object]:
        key = (kind, record_id)
        if key not in cache:
            row = DirectoryName.objects.filter(connection=connection, kind=kind, record_id=record_id).first()
            cache[key] = row.entry if row else {}
        return cache[key]

    def name(kind: str, record_id: str, fallback: str) -> str:
        base, _, extra = kind.partition(":")
        if extra:
            extras = entry(base, record_id).get("extra")
            return str(extras.get(extra, "")) if isinstance(extras, dict) else ""
        if (kind, record_id) in overrides:
            return overrides[kind, record_id]
        if fallback and kind in NAME_KINDS:
            return fallback
        return str(entry(kind, record_id).get("name") or fallback)

    return name
