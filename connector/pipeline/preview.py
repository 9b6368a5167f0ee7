"""Dry run: what a route would have told of past events. Nothing is posted and nothing is stored."""

from __future__ import annotations

import dataclasses
from typing import Any

from connector import registry
from connector.kernel.contracts import Message, Sink
from connector.kernel.events import FinancialEvent, from_json
from connector.models import InboxEvent, Payload, PayloadKind, Route
from connector.pipeline import composing, decisions, routing


@dataclasses.dataclass(frozen=True, slots=True)
class Shown:
    """One past event as the route would have treated it."""

    event: InboxEvent
    type: str
    channel: str
    text: str
    body: dict[str, Any]
    is_match: bool
    reason: str

    def as_json(self) -> dict[str, Any]:
        return {
            "event": str(self.event.pk), "type": self.type, "channel": self.channel, "text": self.text,
            "matched": self.is_match, "reason": self.reason,
        }  # fmt: skip


def _is_taken(sink: Sink, event: FinancialEvent) -> bool:
    return sink.takes is None or event.type in sink.takes


def preview(route: Route, *, last: int = 50) -> list[Shown]:
    """The route (saved or not) over the latest events of its source, newest first.

    What its source itself saw no news in (a draft, our own mark) was put to no route, and is left out.
    """
    put_to_routes = Payload.objects.filter(kind=PayloadKind.DECISIONS, event__connection=route.source)
    payloads = Payload.objects.filter(kind=PayloadKind.EVENT, event__in=put_to_routes.values("event"))
    sink = registry.sink(route.sink.system)
    shown = []
    for payload in payloads.select_related("event").order_by("-event_id")[:last]:
        event = from_json(FinancialEvent, payload.content)
        decision = decisions.decide(route, event)
        message = sink.render(event, composing.style_of(route)) if _is_taken(sink, event) else Message("")
        shown.append(
            Shown(
                payload.event, event.type, routing.target_of(route, event), message.text, dict(message.body),
                decision.is_match, decision.reason(),
            )
        )  # fmt: skip
    return shown
