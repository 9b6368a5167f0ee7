"""Records that rest because a destination did not have their party: they go on once it has, by whichever way.

Both sides look after the audit trail has put them in a row, so that of two that commit at once the later one sees the
earlier one: what comes to rest looks for the party's link, and a new link looks for what rests.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from uuid import UUID

from django.conf import settings

from connector.kernel.contracts import Link
from connector.models import Delivery, DeliveryState, Hold, Payload, PayloadKind
from connector.pipeline import hints, links, parking

#: What the party of an order or an invoice is.
PARTY = "customer"


def go_on(source_id: UUID, sink_id: UUID, link: Link) -> None:
    """Sets free what rests over the two connections, either way, since the record of this new link was not there."""
    if link.record != PARTY:
        return
    for source, sink, party in ((source_id, sink_id, link.source_id), (sink_id, source_id, link.sink_id)):
        rows = Delivery.objects.filter(
            state=DeliveryState.PARKED, hold=Hold.REFUSED, event__connection=source, mailbox__connection=sink
        )
        _free(row for row in rows.select_related("event") if _party_of(row) == party)


def goes_on(delivery: Delivery, sink_id: UUID, lease_until: dt.datetime) -> bool:
    """Sets a delivery free again that has just come to rest, where its party was linked while it was being refused."""
    source_id, party = delivery.event.connection_id, _party_of(delivery)
    if source_id is None or not party:
        return False
    linked_at = links.find(source_id, sink_id, PARTY, party).stored_at
    began = lease_until - dt.timedelta(seconds=float(settings.DELIVERY_LEASE_SECONDS))
    if linked_at is None or linked_at < began:
        return False
    _free([delivery])
    return True


def _party_of(delivery: Delivery) -> str:
    content = Payload.read(delivery.event, PayloadKind.EVENT) or {}
    return str((content.get("party") or {}).get("id") or "")


def _free(found: Iterable[Delivery]) -> None:
    rows = list(found)
    parking.free(Delivery.objects.filter(pk__in=[row.pk for row in rows]))
    hints.drain({row.mailbox_id for row in rows})
