"""Webhooks that have stopped: changes are found by reading alone, and people are told that they come late."""

from __future__ import annotations

import datetime as dt

from django.db import transaction

from connector import registry
from connector.kernel.contracts import Source, Streamer, System
from connector.models import Connection, Cursor, EventState, InboxEvent
from connector.pipeline import alerts, audit, clock, polling

CURSOR = "webhooks"
LOOK_BACK = dt.timedelta(hours=24)
#: So many changes that only a reading found, and none that a webhook told: the webhooks are off.
ENOUGH = 3


def notice(connection: Connection) -> None:
    """Tells once that the vendor's webhooks bring nothing any more; again only after they came back."""
    if not _has_webhooks(connection):
        return
    events = InboxEvent.objects.filter(connection=connection, received_at__gt=clock.now() - LOOK_BACK)
    is_speaking = events.filter(origin="webhook").exists()
    row = Cursor.objects.filter(connection=connection, name=CURSOR).first()
    is_told = bool(row and row.state.get("told"))
    if is_told and is_speaking:
        polling.move_cursor(connection, CURSOR, {})
        return
    found = events.filter(origin="poll").exclude(state__in=(EventState.IGNORED, EventState.FAILED)).count()
    if is_told or is_speaking or found < ENOUGH:
        return
    label = registry.system(connection.system).label
    text = (
        f"{label} has told nothing of {connection.slug} by webhook for 24 hours, though {found} records changed: they "
        "were found by reading, and told late. Look whether the webhook is still switched on and reaches this address."
    )
    with transaction.atomic():
        polling.move_cursor(connection, CURSOR, {"told": True})
        audit.append(connection.organization, audit.Entry("webhooks.silent", connection=connection.slug))
        alerts.announce(connection, "failed", text, key=f"webhooks {clock.now():%Y-%m-%d}")


def _has_webhooks(connection: Connection) -> bool:
    source = registry.source(connection.system) if connection.system in registry.source_names() else None
    if source is None or isinstance(source, Streamer):
        return False
    return type(source).parse is not System.parse and type(source).poll is not Source.poll
