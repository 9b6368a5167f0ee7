"""mapped -> routed: which routes tell this event, and that each tells one state of a record once.

Several notices that lead to the same fetched state become one delivery on each route (its `state_key` is unique
there). An event whose fetched state is older than one already seen is fetched again rather than told.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.db import connection as database
from django.db import transaction
from django.db.models import F

from connector.kernel.events import FinancialEvent, from_json, to_json
from connector.models import (
    Connection,
    Delivery,
    DeliveryState,
    EventState,
    InboxEvent,
    Mailbox,
    Payload,
    PayloadKind,
    RecordState,
    Route,
    SearchTerm,
)
from connector.models.base import keyed_uuid
from connector.pipeline import audit, changes, clock, conditions, hints, unusual
from connector.pipeline.hashing import keyed_hash, term_hash, terms_of

#: How often an event that looks older than what is known is fetched again before it is believed.
MAX_REREADS = 3


@dataclasses.dataclass(frozen=True, slots=True)
class Decision:
    """What one route made of an event."""

    route: Route
    checks: tuple[conditions.Check, ...]

    @property
    def is_match(self) -> bool:
        return all(check.is_satisfied for check in self.checks)

    def as_json(self) -> dict[str, Any]:
        return {
            "route": self.route.name,
            "matched": self.is_match,
            "checks": [dataclasses.asdict(check) for check in self.checks],
        }

    def reason(self) -> str:
        """The first condition that was not met, for people."""
        for check in self.checks:
            if not check.is_satisfied:
                return f"{check.condition}: wanted {check.wanted}, met {check.met}"
        return "every condition is met"


def decide(route: Route, event: FinancialEvent) -> Decision:
    return Decision(route, tuple(conditions.decide(route.events, route.conditions or {}, event)))


def route_events(event_ids: Sequence[str | UUID]) -> None:
    """Advances those of the events that are `mapped`."""
    rows = InboxEvent.objects.filter(pk__in=event_ids, state=EventState.MAPPED)
    mailboxes: set[UUID] = set()
    # Where several notices led to one state, the creation is the one to tell; the outbox keeps the order of storing.
    for event in sorted(
        rows.select_related("connection__organization"), key=lambda row: (row.operation != "created", row.pk)
    ):
        mailboxes |= route_event(event)
    hints.drain(mailboxes)


def route_event(event: InboxEvent) -> set[UUID]:
    """Routes one event; the mailboxes that have something new."""
    connection = event.connection
    assert connection is not None
    content = Payload.read(event, PayloadKind.EVENT)
    with transaction.atomic():
        if not _hold(event):
            return set()
        if content is None:
            _settle(event, EventState.FAILED, "its payload is past retention")
            return set()
        financial = from_json(FinancialEvent, content)
        if _is_overtaken(connection, event):
            return set()
        if (marked := unusual.marked(connection, financial)) is not financial:
            financial = marked
            Payload.put(event, PayloadKind.EVENT, to_json(financial))
        _remember(connection, event, financial)
        _index(event, financial)
        routes = Route.objects.filter(source=connection, is_active=True).select_related("sink").order_by("created_at")
        decisions = [_on_route(decide(route, financial), event, financial) for route in routes]
        Payload.put(event, PayloadKind.DECISIONS, [decision.as_json() for decision in decisions])
        return _deliver(connection, event, decisions)


def _on_route(decision: Decision, event: InboxEvent, financial: FinancialEvent) -> Decision:
    """The decision, with what the route has told of this record before: an update without news is not told."""
    if not decision.is_match or event.operation != "updated":
        return decision
    told = Delivery.objects.filter(route=decision.route, record_key=record_key(event), event_id__lt=event.pk)
    last = told.exclude(state=DeliveryState.FAILED).select_related("event").order_by("-event_id").first()
    if last is None or last.state_key == state_key(event):  # a repetition, which the outbox refuses
        return decision
    content = Payload.read(last.event, PayloadKind.EVENT)
    if content is None or changes.is_visible(from_json(FinancialEvent, content), financial):
        return decision
    same = conditions.Check("changes", "something that a reader sees", "nothing", is_satisfied=False)
    return dataclasses.replace(decision, checks=(*decision.checks, same))


def _hold(event: InboxEvent) -> bool:
    """Whether the event is still `mapped`, with its row held for this transaction."""
    rows = InboxEvent.objects.filter(pk=event.pk, state=EventState.MAPPED)
    if database.features.has_select_for_update:
        rows = rows.select_for_update(of=("self",))
    return rows.exists()


def _settle(event: InboxEvent, state: EventState, reason: str) -> None:
    InboxEvent.objects.filter(pk=event.pk).update(
        state=state, state_at=clock.now(), reason=reason[:200], next_attempt_at=None, lease_until=None
    )
    connection = event.connection
    assert connection is not None
    audit.append(
        connection.organization,
        audit.Entry(f"event.{state}", connection=connection.slug, event=str(event.pk), reason=reason[:200]),
    )


def state_key(event: InboxEvent) -> str:
    """What of a record one route tells once. Creation and update are one kind: both tell the record as it is."""
    version = f"{event.version_number}:{event.version_stamp}"
    if event.operation in ("created", "updated"):
        return f"state:{version}"
    if event.operation == "emailed" and event.occurred_at:
        return f"emailed:{event.occurred_at.isoformat()}"
    return f"{event.operation}:{version}"


def _is_overtaken(connection: Connection, event: InboxEvent) -> bool:
    """A state older than one already seen: read again, and ignored when the source keeps saying so."""
    known = RecordState.objects.filter(pk=keyed_uuid(connection.pk, event.record, event.record_id)).first()
    if known is None or event.origin == "connector" or event.operation in ("deleted", "merged"):
        return False
    if (event.version_number, event.version_stamp) >= (known.version_number, known.version_stamp) and not known.is_gone:
        return False
    if event.attempts >= MAX_REREADS:
        _settle(event, EventState.IGNORED, "a newer state of the record was told before")
        return True
    InboxEvent.objects.filter(pk=event.pk).update(
        state=EventState.RECEIVED, state_at=clock.now(), attempts=F("attempts") + 1, next_attempt_at=clock.now()
    )
    hints.start_events([event.pk])
    return True


def _remember(connection: Connection, event: InboxEvent, financial: FinancialEvent) -> None:
    if event.origin == "connector":
        return
    is_gone = financial.operation == "deleted" and not event.version_number and not event.version_stamp
    row = RecordState(
        id=keyed_uuid(connection.pk, event.record, event.record_id),
        connection=connection,
        record=event.record,
        record_id=event.record_id,
        version_number=event.version_number,
        version_stamp=event.version_stamp,
        is_gone=is_gone,
        party_hash=unusual.party_hash(connection.pk, financial),
        seen_at=clock.now(),
    )
    row.event = to_json(financial)
    RecordState.objects.bulk_create(
        [row],
        update_conflicts=True,
        unique_fields=["id"],
        update_fields=["version_number", "version_stamp", "is_gone", "party_hash", "event_sealed", "seen_at"],
    )


def _index(event: InboxEvent, financial: FinancialEvent) -> None:
    """Makes the event findable by number, party and IDs without opening it."""
    terms: set[str] = set()
    refs = [financial.party, *(line.entity for line in financial.lines)]
    for value in (financial.number, financial.record_id, financial.type, *(ref.name for ref in refs if ref)):
        terms |= terms_of(value)
    SearchTerm.objects.bulk_create(
        [SearchTerm(term_hash=term_hash(term), event=event) for term in sorted(terms)], ignore_conflicts=True
    )


def _deliver(connection: Connection, event: InboxEvent, decisions: Sequence[Decision]) -> set[UUID]:
    wanted = {decision.route.pk: _delivery(event, decision.route) for decision in decisions if decision.is_match}
    if not wanted:
        has_news = all(check.condition != "changes" for decision in decisions for check in decision.checks)
        _settle(event, EventState.IGNORED, "no route matches" if has_news else "nothing that a reader sees has changed")
        return set()
    Delivery.objects.bulk_create(list(wanted.values()), ignore_conflicts=True)
    stored = Delivery.objects.filter(pk__in=[delivery.pk for delivery in wanted.values()])
    mailboxes = set(stored.values_list("mailbox_id", flat=True))
    if mailboxes:
        _settle(event, EventState.ROUTED, "")
    else:
        _settle(event, EventState.IGNORED, "duplicate: this state of the record was told before")
    return mailboxes


def _delivery(event: InboxEvent, route: Route) -> Delivery:
    mailbox = mailbox_of(route)
    now = clock.now()
    return Delivery(
        event=event,
        route=route,
        mailbox=mailbox,
        record_key=record_key(event),
        state_key=state_key(event) if event.origin != "connector" else f"event:{event.pk}",
        state=DeliveryState.PARKED if mailbox.hold else DeliveryState.WAITING,
        hold=mailbox.hold,
        reason=mailbox.reason,
        created_at=now,
        due_since=now,
        next_attempt_at=now,
    )


def record_key(event: InboxEvent) -> str:
    return keyed_hash(str(event.connection_id), event.record, event.record_id)


def mailbox_of(route: Route) -> Mailbox:
    """The mailbox of a route's target, made when first needed."""
    key = keyed_uuid(route.sink_id, route.target)
    Mailbox.objects.bulk_create(
        [Mailbox(id=key, connection_id=route.sink_id, target=route.target)], ignore_conflicts=True
    )
    return Mailbox.objects.get(connection_id=route.sink_id, target=route.target)
