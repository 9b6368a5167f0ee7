"""What a claimed message says: rendering its events in the style of their routes, and finding its thread."""

from __future__ import annotations

import dataclasses
from typing import Any

from django.db.models import QuerySet

from connector import registry
from connector.kernel.contracts import Change, Sink, Style
from connector.kernel.contracts import Message as Rendered
from connector.kernel.events import FinancialEvent, from_json
from connector.models import Delivery, DeliveryState, InboxEvent, Message, Payload, PayloadKind, Route
from connector.pipeline import changes
from connector.pipeline.decisions import is_older, version_of
from connector.pipeline.outbox import Claim


def style_of(route: Route, *, notes: tuple[str, ...] = (), differences: tuple[Change, ...] = ()) -> Style:
    """The part of a message's style that comes from its route and organization."""
    organization = route.organization
    return Style(
        organization=organization.name,
        source=registry.system(route.source.system).label,
        locale=organization.locale,
        timezone=organization.timezone,
        mention=route.mention,
        notes=notes,
        changes=differences,
        settings=settings_of(route),
    )


def settings_of(route: Route) -> dict[str, Any]:
    """The route's settings for its destination, the defaults filled in."""
    fields = registry.sink(route.sink.system).route_fields
    defaults: dict[str, Any] = {field.name: field.default for field in fields}
    return {**defaults, **route.settings}


def event_of(event: InboxEvent) -> FinancialEvent:
    """The stored neutral form; where retention dropped it, the bare IDs."""
    content = Payload.read(event, PayloadKind.EVENT)
    if content is None:
        return FinancialEvent(event.record, event.operation, event.record_id, occurred_at=event.occurred_at)
    return from_json(FinancialEvent, content)


def compose(claim: Claim, sink: Sink) -> tuple[Rendered, str]:
    """The message and the thread it goes into ("" = none). A message made before is sent as it was made."""
    message = claim.message
    if message.content and "text" in message.content:
        return Rendered(message.content["text"], message.content["body"]), message.thread
    notes = tuple((message.content or {}).get("notes", ()))
    if len(claim.deliveries) > 1:
        told = [(_as_told(row, sink), style_of(route_of(row), notes=notes)) for row in claim.deliveries]
        return sink.render_digest(told), ""
    delivery = claim.deliveries[0]
    route = route_of(delivery)
    is_late = _is_late(delivery)
    if is_late:
        notes = (*notes, "Late: a newer state of this record was posted before.")
    event = _as_told(delivery, sink)
    thread = _thread(delivery) if route.thread_updates or is_late or event.part else ""
    return sink.render(event, style_of(route, notes=notes, differences=_changes(delivery, event))), thread


def note(message: Message, text: str) -> None:
    """Has the message made anew with one more note."""
    message.content = {"notes": [text]}
    Message.objects.filter(pk=message.pk).update(content_sealed=message.content_sealed)


def route_of(delivery: Delivery) -> Route:
    """The delivery's route with all that a message's style needs."""
    return Route.objects.select_related("organization", "source", "sink").get(pk=delivery.route_id)


def _told(delivery: Delivery) -> QuerySet[Delivery]:
    """What this route has told of the same record."""
    rows = Delivery.objects.filter(
        route_id=delivery.route_id, record_key=delivery.record_key, state=DeliveryState.DELIVERED
    )
    return rows.exclude(pk=delivery.pk)


def _as_told(delivery: Delivery, sink: Sink) -> FinancialEvent:
    """The event for people who may have heard of its record already: a creation that comes late is an update by now."""
    event = event_of(delivery.event)
    if event.operation == "created" and sink.has_targets and _told(delivery).exists():
        return dataclasses.replace(event, operation="updated")
    return event


def _is_late(delivery: Delivery) -> bool:
    """Whether a later event of the record was told before, and not an older state of it."""
    mine = version_of(delivery.event)
    later = _told(delivery).filter(event_id__gt=delivery.event_id).select_related("event")
    return any(not is_older(version_of(row.event), mine) for row in later)


def _changes(delivery: Delivery, event: FinancialEvent) -> tuple[Change, ...]:
    """What an update changed since the version that this route told last."""
    if event.operation != "updated" and event.part != "update":
        return ()
    last = _told(delivery).filter(event_id__lt=delivery.event_id).select_related("event").order_by("-event_id").first()
    return changes.between(event_of(last.event), event) if last else ()


def _thread(delivery: Delivery) -> str:
    """The message that first told the record on this route: its own thread, or the one it stands in."""
    first = _told(delivery).select_related("message").order_by("delivered_at", "event_id").first()
    if first is None or first.message is None:
        return ""
    return str(first.message.thread or first.message.ts)
