"""What a route makes of an event: by its conditions, and by what it has told of the record before."""

from __future__ import annotations

import dataclasses
from typing import Any

from connector import registry
from connector.kernel.events import FinancialEvent, from_json
from connector.models import Delivery, DeliveryState, InboxEvent, Payload, PayloadKind, Route
from connector.pipeline import changes, conditions, links
from connector.pipeline.hashing import keyed_hash


@dataclasses.dataclass(frozen=True, slots=True)
class Decision:
    """What one route made of an event."""

    route: Route
    checks: tuple[conditions.Check, ...]
    #: The route told this record before, so that it hears of its end whatever the conditions say.
    is_owed: bool = False
    #: The delivery after which a state that was told before is told anew; empty for none.
    after: str = ""

    @property
    def is_match(self) -> bool:
        return self.is_owed or all(check.is_satisfied for check in self.checks)

    def as_json(self) -> dict[str, Any]:
        return {
            "route": self.route.name,
            "matched": self.is_match,
            **({"because": "it told this record before"} if self.is_owed else {}),
            "checks": [dataclasses.asdict(check) for check in self.checks],
        }

    def reason(self) -> str:
        """The first condition that was not met, for people."""
        for check in self.checks:
            if not check.is_satisfied:
                return f"{check.condition}: wanted {check.wanted}, met {check.met}"
        return "every condition is met"


def decide(route: Route, event: FinancialEvent) -> Decision:
    """By the route's conditions alone, as if it had told nothing yet."""
    checks = tuple(conditions.decide(route.events, route.conditions or {}, event))
    takes = registry.sink(route.sink.system).takes
    if takes is not None and event.type not in takes:
        met = conditions.Check("destination", ", ".join(sorted(takes)), event.type, is_satisfied=False)
        checks = (*checks, met)
    return Decision(route, checks)


def decide_with_history(route: Route, event: InboxEvent, financial: FinancialEvent) -> Decision:
    """By the conditions, and by what the route has told of this record before.

    An update without news is not told. The end of a record is told to whoever heard of it: a voided invoice has no
    amount left that a threshold could let through.
    """
    decision = decide(route, financial)
    if any(check.condition == "destination" for check in decision.checks):
        return decision
    if event.operation == "created" and _may_recur(event):
        last = _last_told(route, event)
        return dataclasses.replace(decision, after=_after_what(last)) if last and _is_told_by(last, event) else decision
    if event.operation not in ("updated", "voided", "deleted") or not decision.checks[0].is_satisfied:
        return decision
    last = _last_told(route, event)
    if event.operation != "updated":
        return dataclasses.replace(decision, is_owed=last is not None and not decision.is_match)
    return decision if last is None or not decision.is_match else _after(last, decision, event, financial)


def _last_told(route: Route, event: InboxEvent) -> Delivery | None:
    """What the route told of the record before the event; where a state may recur, whatever it told last."""
    told = Delivery.objects.filter(route=route, record_key=record_key(event)).exclude(state=DeliveryState.FAILED)
    told = told.select_related("event", "route")
    if _may_recur(event):
        return told.exclude(event=event).order_by("-created_at", "-event_id").first()
    return told.filter(event_id__lt=event.pk).order_by("-event_id").first()


def _may_recur(event: InboxEvent) -> bool:
    """Whether a state of the record may come again: a version that is a time and a digest does, within that instant."""
    return event.version_stamp.startswith("#")


def _after(last: Delivery, decision: Decision, event: InboxEvent, financial: FinancialEvent) -> Decision:
    """The decision on an update, by what it says that the route has not told last."""
    is_for_people = registry.sink(decision.route.sink.system).has_targets
    is_written = not is_for_people and _was_written_since(last, event)
    if _is_told_by(last, event) and not (is_written and _may_recur(event)):
        return dataclasses.replace(decision, after=_after_what(last))  # a repetition, which the outbox refuses
    decision = dataclasses.replace(decision, after=str(last.pk) if _may_recur(event) else "")
    content = _told(last)
    differs = changes.is_visible if is_for_people else changes.is_any
    if is_written or content is None or differs(from_json(FinancialEvent, content), financial):
        return decision
    same = conditions.Check("changes", "something that a reader sees", "nothing", is_satisfied=False)
    return dataclasses.replace(decision, checks=(*decision.checks, same))


def _is_told_by(last: Delivery, event: InboxEvent) -> bool:
    return last.state_key.partition("|")[0] == state_key(event)


def _after_what(last: Delivery) -> str:
    """The `Decision.after` with which it was stored."""
    return last.state_key.partition("|")[2]


def _was_written_since(last: Delivery, event: InboxEvent) -> bool:
    """Whether the record may have been written by us since it was told: then it says again what it said, and is news.

    Its link is stored when it is told, and when its counterpart is; while the counterpart's telling is on its way, it
    may have written already.
    """
    source_id, sink_id = last.route.source_id, last.route.sink_id
    seen = links.find(source_id, sink_id, event.record, event.record_id)
    if seen.link is None or seen.stored_at is None:
        return False
    if last.delivered_at is not None and seen.stored_at > last.delivered_at:
        return True
    key = keyed_hash(str(sink_id), event.record, seen.link.sink_id)
    back = Delivery.objects.filter(route__source=sink_id, route__sink=source_id, record_key=key)
    return back.exclude(state__in=(DeliveryState.DELIVERED, DeliveryState.FAILED)).exists()


def _told(last: Delivery) -> Any:
    """The event as it was told; None when that is not known any more: gone, or read again for others since."""
    payload = Payload.objects.filter(event=last.event_id, kind=PayloadKind.EVENT).first()
    if payload is None or (last.delivered_at is not None and last.delivered_at < payload.created_at):
        return None
    return payload.content


def state_key(event: InboxEvent, after: str = "") -> str:
    """What of a record one route tells once. Creation and update are one kind: both tell the record as it is."""
    if after:
        return f"{state_key(event)}|{after}"
    version = f"{event.version_number}:{event.version_stamp}"
    if event.origin == "connector":
        return f"event:{event.pk}"
    if event.operation in ("created", "updated"):
        return f"state:{version}"
    if event.operation == "emailed" and event.occurred_at:
        return f"emailed:{event.occurred_at.isoformat()}"
    return f"{event.operation}:{version}"


def version_of(event: InboxEvent) -> tuple[int, str]:
    """The version of the state that the event tells; see `Record.version`."""
    return event.version_number, event.version_stamp


def is_older(version: tuple[int, str], known: tuple[int, str]) -> bool:
    """Whether one state of a record came before another; see `Record.version`."""
    if version[1].startswith("#") or known[1].startswith("#"):
        return version[0] < known[0]
    return version < known


def record_key(event: InboxEvent) -> str:
    """The record, by a keyed hash."""
    return keyed_hash(str(event.connection_id), event.record, event.record_id)
