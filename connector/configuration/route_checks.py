"""Checking the routes of one organization."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from typing import Any

from connector import registry
from connector.configuration import fields
from connector.configuration.plan import WantedRoute
from connector.configuration.reader import Section, nearest
from connector.kernel.contracts import Sink
from connector.models import Route
from connector.pipeline import conditions

KEYS = (
    "name", "from", "to", "channel", "events", "where", "settings", "thread_updates", "mention", "digest_after",
)  # fmt: skip
#: What a target looks like: a channel's ID, never its name, which may change.
_CHANNELS = {"slack": re.compile(r"[CGD][A-Z0-9]{2,20}")}
DIGEST_AFTER = int(Route._meta.get_field("digest_after").default)


@dataclasses.dataclass(frozen=True, slots=True)
class Scope:
    """The connections that an organization's routes may name, with their systems ("" = wrong in the file)."""

    organization: str
    systems: Mapping[str, str]

    def system_of(self, section: Section, key: str) -> str:
        """The system of the connection that the key names; "" when there is none."""
        slug = section.text(key)
        if slug and slug not in self.systems:
            near = nearest(slug, self.systems)
            section.wrong(key, f"there is no connection {slug!r} in the organization {self.organization!r}{near}")
        return self.systems.get(slug, "")


def read(sections: Iterable[Section], scope: Scope) -> tuple[WantedRoute, ...]:
    """The routes as the file wants them."""
    lines: dict[str, int] = {}
    found = []
    for section in sections:
        route = _route(section, scope)
        if route.name in lines:
            section.wrong("name", f"the route {route.name!r} stands on line {lines[route.name]} already")
        if route.name:
            lines.setdefault(route.name, section.line_of("name"))
        found.append(route)
    return tuple(found)


def _route(section: Section, scope: Scope) -> WantedRoute:
    section.expect(KEYS)
    section.require("name", "from", "to", "events")
    source, sink = scope.system_of(section, "from"), _sink(section, scope)
    events = _events(section, source)
    wanted = fields.read(section.section("settings"), sink.route_fields, stored={}, parent=section) if sink else {}
    if sink and events:
        for key, problem in conditions.route_problems(sink, events, wanted):
            (section if key == "events" else section.section("settings") or section).wrong(key, problem)
    return WantedRoute(
        name=section.text("name"),
        source=section.text("from"),
        sink=section.text("to"),
        target=_channel(section, sink) if sink else "",
        events=events,
        conditions=_conditions(section),
        settings=wanted,
        thread_updates=section.flag("thread_updates"),
        mention=section.text("mention", limit=100),
        digest_after=section.integer("digest_after", DIGEST_AFTER),
    )


def _sink(section: Section, scope: Scope) -> Sink | None:
    name = scope.system_of(section, "to")
    if not name:
        return None
    if name not in registry.sink_names():
        known = ", ".join(registry.sink_names())
        section.wrong("to", f"nothing can be sent to {section.text('to')!r} ({name}): routes go to {known}")
        return None
    return registry.sink(name)


def _channel(section: Section, sink: Sink) -> str:
    channel = section.text("channel")
    if not sink.has_targets:
        if section.has("channel"):
            section.wrong("channel", f"{sink.label} has no channels: leave channel out")
        return ""
    shape = _CHANNELS.get(sink.name)
    where = "in Slack open the channel's details: its ID stands at the bottom and starts with C, G or D"
    if not channel:
        if not section.is_broken("channel"):
            section.wrong("channel", f"channel is missing: {where}")
    elif shape is not None and not shape.fullmatch(channel):
        section.wrong("channel", f"channel must be an ID, not {channel!r}: {where}")
    return channel


def _events(section: Section, source: str) -> tuple[str, ...]:
    """The patterns. A system that is no source says something only about its connection."""
    patterns = section.texts("events")
    if patterns == [] and not section.is_broken("events"):
        section.wrong("events", "events is an empty list: name at least one, such as bill.created or *")
    for pattern, line in patterns or []:
        record = pattern.partition(".")[0]
        if problem := conditions.bad_pattern(pattern):
            section.wrong_on(line, problem)
        elif source and source not in registry.source_names() and record not in ("*", "connection"):
            section.wrong_on(line, f"{source} says nothing of a {record}: a route from it can have connection.* alone")
    return tuple(pattern for pattern, _ in patterns or [])


def _conditions(section: Section) -> dict[str, Any]:
    where = section.section("where")
    if where is None:
        return {}
    where.expect(conditions.KEYS, "condition")
    known = [key for key in conditions.KEYS if where.has(key) and not where.is_broken(key)]
    given: dict[str, Any] = {key: where.flag(key) if key == "exclude_internal" else where.plain(key) for key in known}
    found = {key: value for key, value in given.items() if value != ""}
    problems = conditions.problems(found)
    for key, problem in problems:
        where.wrong(key, problem)
    return {} if problems else conditions.normal(found)
