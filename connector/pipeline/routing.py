"""mapped -> routed: which routes tell an event, and that each tells one state of a record once.

Several notices that lead to the same fetched state become one delivery on each route (its `state_key` is unique
there). An event whose fetched state is older than one already seen is fetched again rather than told.

Events travel in batches, and a batch is one transaction with few statements.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from uuid import UUID

from django.db import connection as database
from django.db import transaction
from django.db.models import F

from connector import registry
from connector.kernel.contracts import Ignored
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
from connector.pipeline import audit, clock, drift, hints, mapping, needs, stumble, unusual
from connector.pipeline.decisions import Decision, decide_with_history, is_older, record_key, state_key, version_of
from connector.pipeline.hashing import term_hash, terms_of

#: How often an event that looks older than what is known is fetched again before it is believed.
MAX_REREADS = 3
#: An event with its neutral form.
Told = tuple[InboxEvent, FinancialEvent]


def route_events(event_ids: Sequence[str | UUID]) -> None:
    """Advances those of the events that are `mapped`."""
    with transaction.atomic():
        rows = InboxEvent.objects.filter(pk__in=event_ids, state=EventState.MAPPED)
        rows = rows.select_related("connection__organization")
        if database.features.has_select_for_update:
            rows = rows.select_for_update(of=("self",))
        # Where several notices led to one state, the creation is told; the outbox keeps the order of storing.
        events = sorted(rows, key=lambda row: (row.operation != "created", row.pk))
        mailboxes: set[UUID] = set()
        for batch in _rounds(events):
            mailboxes |= _route_batch(batch)
        hints.drain(mailboxes)


def _rounds(events: Iterable[InboxEvent]) -> Iterator[list[InboxEvent]]:
    """The events so that no record stands twice in a batch: its second event must see what the first left."""
    batches: list[list[InboxEvent]] = []
    counts: dict[tuple[object, str, str], int] = defaultdict(int)
    for event in events:
        key = (event.connection_id, event.record, event.record_id)
        if counts[key] == len(batches):
            batches.append([])
        batches[counts[key]].append(event)
        counts[key] += 1
    yield from batches


def _route_batch(events: list[InboxEvent]) -> set[UUID]:
    """Routes events of different records; the mailboxes that have something new."""
    contents = Payload.read_many(events, PayloadKind.EVENT)
    known = RecordState.objects.in_bulk([state_id(event) for event in events])
    _settle([event for event in events if event.pk not in contents], EventState.FAILED, "its payload is past retention")
    told: list[Told] = []
    for event in events:
        before = known.get(state_id(event))
        if event.pk in contents and not _is_overtaken(event, before):
            try:
                told += _followed(event, from_json(FinancialEvent, contents[event.pk]), before)
            except stumble.KINDS as error:
                _settle([event], EventState.FAILED, stumble.reason(error))
    told = _marked(told)
    _notice_drift(told)
    _remember(told)
    _index(told)
    decisions = _decisions(told)
    Payload.put_many(
        (event, PayloadKind.DECISIONS, [decision.as_json() for decision in decisions[event.pk]]) for event, _ in told
    )
    return _deliver(told, decisions)


def state_id(event: InboxEvent) -> UUID:
    return keyed_uuid(event.connection_id, event.record, event.record_id)


def _is_overtaken(event: InboxEvent, known: RecordState | None) -> bool:
    """A state older than one already seen: read again, and ignored when the source keeps saying so.

    So is one that may be older, its version saying nothing; that is believed in the end.
    """
    if known is None or event.origin == "connector" or event.operation in ("deleted", "merged"):
        return False
    version, seen = version_of(event), (known.version_number, known.version_stamp)
    is_surely = known.is_gone or is_older(version, seen)
    if not is_surely and (version == seen or is_older(seen, version) or not _was_asked_before(event, known)):
        return False
    if event.attempts >= MAX_REREADS or not registry.source(event.system).can_reread:
        if is_surely:
            _settle([event], EventState.IGNORED, "a newer state of the record was told before")
        return is_surely
    InboxEvent.objects.filter(pk=event.pk).update(
        state=EventState.RECEIVED, state_at=clock.now(), attempts=F("attempts") + 1, next_attempt_at=clock.now()
    )
    hints.start_events([event.pk])
    return True


def _was_asked_before(event: InboxEvent, known: RecordState) -> bool:
    """Whether the event's state was asked for when the known one was not here yet: either may be the newer."""
    content = Payload.read(event, PayloadKind.RECORD)
    asked_at = mapping.read_record(content).asked_at if content else None
    return asked_at is not None and asked_at < known.seen_at


def _followed(event: InboxEvent, financial: FinancialEvent, before: RecordState | None) -> list[Told]:
    """The event as its source sees it after what was told of the record before; nothing when that ends it."""
    if event.origin == "connector":
        return [(event, financial)]
    earlier = from_json(FinancialEvent, before.event) if before is not None and before.event else None
    found = registry.source(event.system).follow(financial, earlier)
    if isinstance(found, Ignored):
        _settle([event], EventState.IGNORED, found.reason)
        return []
    if found != financial:
        event.operation = found.operation
        InboxEvent.objects.filter(pk=event.pk).update(operation=found.operation)
        Payload.put(event, PayloadKind.EVENT, to_json(found))
    return [(event, found)]


def _marked(told: list[Told]) -> list[Told]:
    """The events, the unusual ones with their mark, which stays with them."""
    found, changed = [], []
    histories: dict[str, unusual.History] = {}
    for event, financial in told:
        marked = unusual.marked(_connection(event), financial, histories)
        found.append((event, marked))
        if marked is not financial:
            changed.append((event, PayloadKind.EVENT, to_json(marked)))
    Payload.put_many(changed)
    return found


def _connection(event: InboxEvent) -> Connection:
    assert event.connection is not None
    return event.connection


def _notice_drift(told: Iterable[Told]) -> None:
    by_connection: dict[UUID, list[InboxEvent]] = defaultdict(list)
    for event, _ in told:
        if event.origin != "connector":
            by_connection[_connection(event).pk].append(event)
    for events in by_connection.values():
        drift.notice(_connection(events[0]), events)


def _remember(told: Iterable[Told]) -> None:
    rows = []
    for event, financial in told:
        if event.origin == "connector":
            continue
        row = RecordState(
            id=state_id(event),
            connection=_connection(event),
            record=event.record,
            record_id=event.record_id,
            version_number=event.version_number,
            version_stamp=event.version_stamp,
            is_gone=event.operation == "deleted" and not event.version_number and not event.version_stamp,
            party_hash=unusual.party_hash(event.connection_id, financial),
            seen_at=clock.now(),
        )
        row.event = to_json(financial)
        rows.append(row)
    RecordState.objects.bulk_create(
        # In one order: two workers that write the same rows wait for each other, and never both.
        sorted(rows, key=lambda row: row.pk),
        update_conflicts=True,
        unique_fields=["id"],
        update_fields=["version_number", "version_stamp", "is_gone", "party_hash", "event_sealed", "seen_at"],
    )


def _index(told: Iterable[Told]) -> None:
    """Makes the events findable by number, party and IDs without opening them."""
    rows = []
    for event, financial in told:
        refs = [financial.party, *(line.entity for line in financial.lines)]
        names = [ref.name for ref in refs if ref]
        values = (financial.number, financial.record_id, financial.type, *names)
        terms = {term for value in values for term in terms_of(value)}
        rows += [SearchTerm(term_hash=term_hash(term), event=event) for term in sorted(terms)]
    SearchTerm.objects.bulk_create(rows, ignore_conflicts=True)


def _decisions(told: Iterable[Told]) -> dict[UUID, list[Decision]]:
    """What every active route of its source made of each event."""
    routes: dict[object, list[Route]] = defaultdict(list)
    sources = {event.connection_id for event, _ in told}
    rows = Route.objects.filter(source__in=sources, is_active=True).select_related("sink")
    for route in rows.order_by("created_at"):
        routes[route.source_id].append(route)
    return {
        event.pk: [
            decide_with_history(route, event, financial)
            for route in routes[event.connection_id]
            if event.origin != needs.ORIGIN or not registry.sink(route.sink.system).has_targets
        ]
        for event, financial in told
    }


def _deliver(told: Sequence[Told], decisions: dict[UUID, list[Decision]]) -> set[UUID]:
    """Stores a delivery for each match that is none's repetition, and settles the events."""
    mailboxes: dict[tuple[UUID, str], Mailbox] = {}
    wanted = []
    for event, financial in told:
        for decision in [each for each in decisions[event.pk] if each.is_match]:
            route = decision.route
            key = (route.sink_id, target_of(route, financial))
            mailbox = mailboxes.get(key) or mailboxes.setdefault(key, mailbox_at(*key))
            wanted.append(_delivery(event, decision, mailbox))
    events = [event for event, _ in told]
    Delivery.objects.bulk_create(wanted, ignore_conflicts=True)
    stored = Delivery.objects.filter(pk__in=[delivery.pk for delivery in wanted])
    by_event = dict(stored.values_list("event_id", "mailbox_id"))
    matched = {delivery.event_id for delivery in wanted}
    groups: dict[tuple[EventState, str], list[InboxEvent]] = defaultdict(list)
    for event in events:
        groups[_end(event, decisions[event.pk], event.pk in matched, event.pk in by_event)].append(event)
    for (state, reason), group in groups.items():
        _settle(group, state, reason)
    return set(stored.values_list("mailbox_id", flat=True))


def _end(event: InboxEvent, decisions: list[Decision], is_matched: bool, is_stored: bool) -> tuple[EventState, str]:
    if is_stored:
        return EventState.ROUTED, ""
    if is_matched:
        return EventState.IGNORED, "duplicate: this state of the record was told before"
    if any(check.condition == "changes" for decision in decisions for check in decision.checks):
        return EventState.IGNORED, "nothing that a reader sees has changed"
    return EventState.IGNORED, "no route matches"


def _settle(events: Sequence[InboxEvent], state: EventState, reason: str) -> None:
    """Ends the events' way, with an audit line each."""
    if not events:
        return
    InboxEvent.objects.filter(pk__in=[event.pk for event in events]).update(
        state=state, state_at=clock.now(), reason=reason[:200], next_attempt_at=None, lease_until=None
    )
    by_organization = defaultdict(list)
    for event in events:
        connection = _connection(event)
        entry = audit.Entry(f"event.{state}", connection=connection.slug, event=str(event.pk), reason=reason[:200])
        by_organization[connection.organization].append(entry)
    for organization, entries in by_organization.items():
        audit.append(organization, *entries)


def _delivery(event: InboxEvent, decision: Decision, mailbox: Mailbox) -> Delivery:
    now = clock.now()
    return Delivery(
        event=event,
        route=decision.route,
        mailbox=mailbox,
        record_key=record_key(event),
        state_key=state_key(event, decision.after),
        state=DeliveryState.PARKED if mailbox.hold else DeliveryState.WAITING,
        hold=mailbox.hold,
        reason=mailbox.reason,
        created_at=now,
        due_since=now,
        next_attempt_at=now,
    )


def target_of(route: Route, financial: FinancialEvent) -> str:
    """Where the event goes: the route's channel, or what the destination makes of the event."""
    sink = registry.sink(route.sink.system)
    return route.target if sink.has_targets else sink.target_of(financial)[:200]


def mailbox_at(connection_id: UUID, target: str) -> Mailbox:
    """The mailbox of a target, made when first needed."""
    found = Mailbox.objects.filter(connection_id=connection_id, target=target).first()
    if found is None:
        key = keyed_uuid(connection_id, target)
        fresh = Mailbox(id=key, connection_id=connection_id, target=target, prepare_at=clock.now())
        Mailbox.objects.bulk_create([fresh], ignore_conflicts=True)
        found = Mailbox.objects.get(connection_id=connection_id, target=target)
    return found
