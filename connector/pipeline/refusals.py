"""A destination that refuses a record: the delivery rests, the source's record says why, and people are told."""

from __future__ import annotations

from django.conf import settings
from django.db import transaction

from connector import registry
from connector.kernel.contracts import Feedback
from connector.kernel.errors import Refuse, VendorError
from connector.models import Connection, Hold
from connector.pipeline import alerts, composing, dependents, feedback, outbox
from connector.pipeline.outbox import Claim, Outcome


def park(claim: Claim, error: Refuse, outcome: Outcome) -> None:
    """Until somebody changes something here or there, and sets it free."""
    with transaction.atomic():
        is_mine = outbox.parked(claim, Hold.REFUSED, outcome, reason=f"{outcome.code}: {error.text}")
        head, sink_id = claim.deliveries[0], claim.mailbox.connection_id
        if is_mine and not dependents.goes_on(head, sink_id, claim.lease_until):
            _tell(claim, error)


def fail(claim: Claim, error: VendorError, outcome: Outcome) -> None:
    """For good."""
    with transaction.atomic():
        if outbox.failed(claim, outcome, reason=f"{outcome.code}: {error.text}"):
            _tell(claim, error)


def _tell(claim: Claim, error: VendorError) -> None:
    """Where records are kept in step: a message that a channel refuses concerns nobody's record."""
    if registry.sink(claim.mailbox.connection.system).has_targets:
        return
    for delivery in claim.deliveries:
        event, route = delivery.event, composing.route_of(delivery)
        connection = Connection.objects.select_related("organization").get(pk=route.source_id)
        wanted = composing.settings_of(route)
        told = Feedback(event.record, event.record_id, "refused", text=error.text, settings=wanted)
        feedback.store(connection, [told])
        link = f"{settings.PUBLIC_URL}/admin/connector/delivery/{delivery.pk}/change/"
        alerts.refuse(connection, composing.event_of(event), error.text, key=str(delivery.pk), link=link)
