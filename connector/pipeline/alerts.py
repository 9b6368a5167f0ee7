"""Events that the connector says itself: of a connection that fails, of a record that a destination refuses."""

from __future__ import annotations

import dataclasses

from django.conf import settings
from django.db import transaction

from connector.kernel.events import FinancialEvent, to_json
from connector.models import Connection, EventState, InboxEvent, Payload, PayloadKind
from connector.pipeline import clock, hints


def announce(connection: Connection, operation: str, text: str, *, key: str = "") -> None:
    """A `connection.<operation>` event from the connection itself, for the routes that ask for it."""
    event = FinancialEvent(
        record="connection",
        operation=operation,
        record_id=connection.slug,
        number=connection.slug,
        status=operation.replace("_", " "),
        memo=text,
        link=f"{settings.PUBLIC_URL}/admin/connector/connection/{connection.pk}/change/",
    )
    _store(connection, event, key)


def refuse(connection: Connection, event: FinancialEvent, text: str, *, key: str, link: str) -> None:
    """A `<record>.rejected` event: why a destination does not take the record, and where to set it free."""
    told = dataclasses.replace(event, operation="rejected", memo=text, link=link, lines=(), linked_id="", part="")
    _store(connection, told, key)


def _store(connection: Connection, event: FinancialEvent, key: str) -> None:
    now = clock.now()
    event = dataclasses.replace(event, occurred_at=now)
    row = InboxEvent(
        connection=connection,
        system=connection.system,
        account=connection.account,
        origin="connector",
        record=event.record,
        record_id=event.record_id,
        operation=event.operation,
        occurred_at=now,
        received_at=now,
        state=EventState.MAPPED,
        state_at=now,
        next_attempt_at=clock.after(10),
        version_stamp=(key or now.isoformat())[:40],
    )
    with transaction.atomic():
        row.save(force_insert=True)
        Payload.put(row, PayloadKind.EVENT, to_json(event))
        hints.start_events([row.pk])
