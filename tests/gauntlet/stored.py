"""What the database holds at the end, as JSON on standard output; reads only. Runs in a process of its own."""

from __future__ import annotations

import json
import sys


def main() -> None:
    import django

    django.setup()
    from django.db.models import Count

    from connector.models import Attempt, Delivery, InboxEvent

    deliveries = Delivery.objects.select_related("mailbox__connection", "message", "event").order_by("event_id")
    json.dump(
        {
            "events": [
                {
                    "id": str(row.pk), "system": row.system,
                    "connection": row.connection.slug if row.connection else "",
                    "state": row.state, "reason": row.reason, "attempts": row.attempts, "origin": row.origin,
                    "received_at": row.received_at.isoformat(), "state_at": row.state_at.isoformat(),
                }
                for row in InboxEvent.objects.select_related("connection").order_by("pk")
            ],
            "deliveries": [
                {
                    "id": str(row.pk), "event": str(row.event_id), "system": row.event.system, "state": row.state,
                    "sink": row.mailbox.connection.system,
                    "reason": row.reason, "channel": row.mailbox.target, "message": str(row.message_id),
                    "ts": row.message.ts if row.message else "", "attempts": row.attempts,
                }
                for row in deliveries
            ],
            "attempts": dict(Attempt.objects.order_by().values_list("outcome").annotate(Count("pk"))),
        },
        sys.stdout,
    )  # fmt: skip


if __name__ == "__main__":
    main()
