"""Reports that somebody asked for: a schedule, a trigger, a person. They stand in the database until they are read."""

from __future__ import annotations

from collections.abc import Iterable

from django.db import transaction
from django.db.models import Q

from connector import registry
from connector.kernel.contracts import Reporter
from connector.models import Connection, ConnectionState, Report
from connector.models.base import keyed_uuid
from connector.pipeline import clock, hints

#: The outcome of a report that a person must set free: by new credentials, a right, a setting.
PARKED = "parked"


def reports_of(system: str) -> tuple[str, ...]:
    """The reports that a source of that name has; none for others."""
    if system not in registry.source_names():
        return ()
    source = registry.source(system)
    return source.reports if isinstance(source, Reporter) else ()


def ask(connection: Connection, names: Iterable[str], *, is_person: bool = False) -> None:
    """Has the reports read soon; asked twice before that, they are read once.

    One that failed a moment ago has its pause before it is tried again, unless a person asks.
    """
    now = clock.now()
    with transaction.atomic():
        for name in names:
            key = keyed_uuid(connection.pk, "report", name)
            Report.objects.bulk_create([Report(id=key, connection=connection, name=name)], ignore_conflicts=True)
            rows = Report.objects.filter(pk=key)
            rows.filter(asked_at__isnull=True).update(asked_at=now)
            pauses = Q(due_at__gt=now, attempts__gt=0)
            (rows if is_person else rows.exclude(pauses)).update(due_at=now)
        hints.run("read_reports", str(connection.pk))


def is_readable(connection: Connection) -> bool:
    """Whether anything may be read by itself. A refused sign-in is not repeated: that would lock the user out.

    What a misconfigured connection may read, it reads.
    """
    return connection.is_active and connection.state != ConnectionState.NEEDS_REAUTHORIZATION


def sweep() -> None:
    """Hints again at what is due and nobody's."""
    now = clock.now()
    free = Q(lease_until__isnull=True) | Q(lease_until__lt=now)
    due = Report.objects.filter(free, due_at__lte=now, connection__is_active=True)
    due = due.exclude(connection__state=ConnectionState.NEEDS_REAUTHORIZATION)
    # What a misconfigured connection may not read waits until it is mended.
    due = due.exclude(connection__state=ConnectionState.MISCONFIGURED, outcome=PARKED)
    for connection_id in list(due.values_list("connection_id", flat=True).distinct()[:1000]):
        hints.run("read_reports", str(connection_id))
