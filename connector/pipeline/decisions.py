"""What a route makes of an event: by its conditions, and by what it has told of the record before."""

from __future__ import annotations

import dataclasses
from typing import Any

from connector import registry
from connector.kernel.events import FinancialEvent, from_json
from connector.models import Delivery, DeliveryState, InboxEvent, Payload, PayloadKind, Route
from connector.pipeline import changes, conditions
from connector.pipeline.hashing import keyed_hash


@dataclasses.dataclass(frozen=True, slots=True)
class Decision:
    """What one route made of an event."""

    route: Route
    checks: tuple[conditions.Check, ...]
    #: The route told this record before, so that it hears of its end whatever the conditions say.
    is_owed: bool = False

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
    if event.operation not in ("updated", "voided", "deleted") or not decision.checks[0].is_satisfied:
        return decision
    told = Delivery.objects.filter(route=route, record_key=record_key(event), event_id__lt=event.pk)
    last = told.exclude(state=DeliveryState.FAILED).select_related("event").order_by("-event_id").first()
    if event.operation != "updated":
        return dataclasses.replace(decision, is_owed=last is not None and not decision.is_match)
    # The same state again is a repetition, which the outbox refuses.
    if not decision.is_match or last is None or last.state_key == state_key(event):
        return decision
    content = _told(last)
    differs = changes.is_visible if registry.sink(route.sink.system).has_targets else changes.is_any
    if content is None or differs(from_json(FinancialEvent, content), financial):
        return decision
    same = conditions.Check("changes", "something that a reader sees", "nothing", is_satisfied=False)
    return dataclasses.replace(decision, checks=(*decision.checks, same))


def _told(last: Delivery) -> Any:
    """The event as it was told; None when that is not known any more: gone, or read again for others since."""
    payload = Payload.objects.filter(event=last.event_id, kind=PayloadKind.EVENT).first()
    if payload is None or (last.delivered_at is not None and last.delivered_at < payload.created_at):
        return None
    return payload.content


def state_key(event: InboxEvent) -> str:
    """What of a record one route tells once. Creation and update are one kind: both tell the record as it is."""
    version = f"{event.version_number}:{event.version_stamp}"
    if event.origin == "connector":
        return f"event:{event.pk}"
    if event.operation in ("created", "updated"):
        return f"state:{version}"
    if event.operation == "emailed" and event.occurred_at:
        return f"emailed:{event.occurred_at.isoformat()}"
    return f"{event.operation}:{version}"


def is_older(version: tuple[int, str], known: tuple[int, str]) -> bool:
    """Whether one state of a record came before another; see `Record.version`."""
    if version[1].startswith("#") or known[1].startswith("#"):
        return version[0] < known[0]
    return version < known


def record_key(event: InboxEvent) -> str:
    """The record, by a keyed hash."""
    return keyed_hash(str(event.connection_id), event.record, event.record_id)
