"""Events that a connection says about itself: `connection.needs_reauthorization` and `connection.failed`."""

from __future__ import annotations

from django.conf import settings
from django.db import transaction

from connector.kernel.events import FinancialEvent, to_json
from connector.models import Connection, EventState, InboxEvent, Payload, PayloadKind
from connector.pipeline import clock, hints


def announce(connection: Connection, operation: str, text: str, *, key: str = "") -> None:
    """A `connection.<operation>` event from the connection itself, for the routes that ask for it."""
    now = clock.now()
    event = FinancialEvent(
        record="connection",
        operation=operation,
        record_id=connection.slug,
        number=connection.slug,
        status=operation.replace("_", " "),
        memo=text,
        link=f"{settings.PUBLIC_URL}/admin/connector/connection/{connection.pk}/change/",
        occurred_at=now,
    )
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
        version_stamp=key or now.isoformat(),
    )
    with transaction.atomic():
        row.save(force_insert=True)
        Payload.put(row, PayloadKind.EVENT, to_json(event))
        hints.start_events([row.pk])
