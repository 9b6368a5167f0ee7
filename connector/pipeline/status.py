"""The state of everything, in counts."""

from __future__ import annotations

from typing import Any

from django.db.models import Count, Min

from connector.models import Connection, Delivery, DeliveryState, EventState, InboxEvent
from connector.pipeline import clock


def counts() -> dict[str, dict[str, int]]:
    """Events and deliveries by state; every state is named."""
    events = dict(InboxEvent.objects.order_by().values_list("state").annotate(Count("pk")))
    deliveries = dict(Delivery.objects.order_by().values_list("state").annotate(Count("pk")))
    return {
        "events": {state: events.get(state, 0) for state in EventState.values},
        "deliveries": {state: deliveries.get(state, 0) for state in DeliveryState.values},
    }


def mailboxes() -> list[dict[str, Any]]:
    """The queues that are not empty: how many wait, and for how long the oldest has."""
    rows = (
        Delivery.objects.filter(state__in=(DeliveryState.WAITING, DeliveryState.SENDING, DeliveryState.PARKED))
        .values("mailbox__connection__slug", "mailbox__target")
        .annotate(waiting=Count("pk"), oldest=Min("created_at"))
        .order_by("mailbox__connection__slug", "mailbox__target")
    )
    return [
        {
            "connection": row["mailbox__connection__slug"],
            "target": row["mailbox__target"],
            "waiting": row["waiting"],
            "oldest_seconds": int((clock.now() - row["oldest"]).total_seconds()),
        }
        for row in rows
    ]


def connections() -> list[dict[str, Any]]:
    rows = Connection.objects.select_related("credential").order_by("slug")
    return [
        {
            "slug": row.slug,
            "system": row.system,
            "state": row.state,
            "detail": row.detail or "",
            "token_expires_at": row.credential.expires_at.isoformat()
            if row.credential and row.credential.expires_at
            else None,
        }
        for row in rows
    ]
