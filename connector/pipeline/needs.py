"""What a destination must be told first: the customer of an invoice that was there before the connector came, say."""

from __future__ import annotations

from django.db import transaction

from connector.kernel.contracts import Notice
from connector.models import Connection
from connector.pipeline import hints, intake
from connector.pipeline.outbox import Claim

#: The origin of events that nobody brought about: they are for destinations that keep records, and no news to people.
ORIGIN = "needed"


def ask(claim: Claim, needs: tuple[str, str]) -> None:
    """Has the source's record read and told, once for each delivery that waits for it."""
    delivery = claim.deliveries[0]
    source_id = delivery.event.connection_id
    assert source_id is not None
    connection = Connection.objects.select_related("organization").get(pk=source_id)
    record, record_id = needs
    key = f"needed:{record}|{record_id}|{delivery.pk}"
    notice = Notice(connection.account, record, record_id, "created", delivery_key=key)
    with transaction.atomic():
        events = intake.record(connection.system, [notice], origin=ORIGIN, only=[connection])
        hints.start_events(event.pk for event in events)
