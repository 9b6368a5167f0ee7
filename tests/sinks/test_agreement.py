"""The three-way rule: each case by itself, and that any interleaving of edits and late events ends in agreement."""

from __future__ import annotations

import datetime as dt
from collections import deque
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sinks.agreement import Meeting, country_code, is_same

NOW = dt.datetime(2026, 11, 20, 12, 0, tzinfo=dt.UTC)
AGREED = {"born": "A", "base": {"A": {"phone": "1"}, "B": {"phone": "1"}}}


def met(told: str, found: str, state: dict[str, Any], source: str = "A", at: dt.datetime | None = None) -> Meeting:
    sink = "B" if source == "A" else "A"
    return Meeting(source, sink, {"phone": told}, {"phone": found}, state, at)


@pytest.mark.parametrize(
    ("told", "found", "state", "source", "expected"),
    [
        ("1", "1", {}, "A", {}),
        ("1", "2", {}, "A", {"phone": "1"}),
        ("", "2", {}, "A", {}),
        ("1", "", {"born": "B"}, "A", {"phone": "1"}),
        ("1", "2", {"born": "B"}, "A", {}),
        ("1", "2", AGREED, "A", {}),
        ("2", "1", AGREED, "A", {"phone": "2"}),
        ("", "1", AGREED, "A", {"phone": ""}),
        ("2", "3", AGREED, "A", {"phone": "2"}),
        ("2", "3", AGREED, "B", {}),
        ("(555) 1-2", "5551 2", AGREED, "A", {}),
    ],
)
def test_who_writes(told: str, found: str, state: dict[str, Any], source: str, expected: dict[str, str]) -> None:
    assert met(told, found, state, source).writes() == expected


def test_each_side_is_remembered_as_it_shows_the_value() -> None:
    meeting = Meeting("A", "B", {"name": "A long name", "city": "Rome"}, {"name": "", "city": "Rome"}, {})
    state = meeting.agreed({"name": "A long", "city": "Rome"}, NOW)
    assert state == {
        "born": "A",
        "base": {"A": {"name": "A long name", "city": "Rome"}, "B": {"name": "A long", "city": "Rome"}},
        "replaced": {"B": {"at": NOW.isoformat(), "values": {"name": [""]}}},
    }
    back = Meeting("B", "A", {"name": "A long", "city": "Rome"}, {"name": "A long name", "city": "Rome"}, state)
    assert back.writes() == {}
    assert back.agreed({}, NOW) == {"born": "A", "base": state["base"]}


def test_a_value_read_before_it_was_overwritten_undoes_nothing() -> None:
    state = met("2", "1", AGREED).agreed({"phone": "2"}, NOW)
    late = met("1", "2", state, source="B", at=NOW - dt.timedelta(seconds=1))
    assert late.writes() == {}
    echo = met("2", "2", state, source="B")
    assert echo.writes() == {}
    again = met("1", "2", echo.agreed({}, NOW), source="B", at=NOW + dt.timedelta(seconds=1))
    assert again.writes() == {"phone": "1"}
    much_later = met("1", "2", state, source="B", at=NOW + dt.timedelta(minutes=1))
    assert much_later.writes() == {"phone": "1"}


def test_countries_are_known_by_code_and_name() -> None:
    assert [country_code(each) for each in ("USA", "us", "United States", "DEU", "Atlantis", "")] == [
        "US", "US", "US", "DE", "", "",
    ]  # fmt: skip
    assert is_same("country", "USA", "United States")
    assert not is_same("country", "Atlantis", "Mu")


class World:
    """Two systems with one customer: edits, reads of what an edit announced, and posts, each when it is told to.

    A post reads and writes, and settles later; then it counts only if the other direction settled nothing in between.
    """

    def __init__(self) -> None:
        self.shown = {system: {"name": "0", "phone": "0", "city": "0"} for system in "AB"}
        self.announced = dict.fromkeys("AB", 0)
        self.last_read = {system: dict(self.shown[system]) for system in "AB"}
        self.read: dict[str, deque[dict[str, str]]] = {system: deque() for system in "AB"}
        self.state: dict[str, Any] = {"born": "A", "base": {system: dict(self.shown[system]) for system in "AB"}}
        self.edits = self.writes = self.settled = 0
        self.begun: dict[str, tuple[Meeting, int, dict[str, str]]] = {}

    def edit(self, system: str, field: str) -> None:
        self.edits += 1
        self.shown[system][field] = str(self.edits)
        self.announced[system] += 1

    def fetch(self, system: str) -> None:
        """Reads the record for the oldest announcement; what was read before is no news."""
        if self.announced[system]:
            self.announced[system] -= 1
            if self.shown[system] != self.last_read[system]:
                self.last_read[system] = dict(self.shown[system])
                self.read[system].append(dict(self.shown[system]))

    def begin(self, source: str) -> None:
        if source in self.begun or not self.read[source]:
            return
        sink = "B" if source == "A" else "A"
        meeting = Meeting(source, sink, self.read[source][0], dict(self.shown[sink]), self.state)
        if writes := meeting.writes():
            self.writes += 1
            self.shown[sink].update(writes)
            self.announced[sink] += 1
        self.begun[source] = meeting, self.settled, dict(self.shown[sink])

    def settle(self, source: str) -> None:
        if source not in self.begun:
            return
        meeting, settled, shown = self.begun.pop(source)
        if settled == self.settled:
            self.settled += 1
            self.read[source].popleft()
            self.state = meeting.agreed(shown, NOW)

    def post(self, source: str) -> None:
        self.begin(source)
        self.settle(source)

    def drain(self) -> None:
        for _ in range(200):
            if not any(self.announced.values()) and not any(self.read.values()):
                return
            for system in "AB":
                self.fetch(system)
                self.post(system)
        raise AssertionError("it never comes to rest")


STEPS = st.lists(
    st.tuples(st.sampled_from(["edit", "fetch", "post"]), st.sampled_from("AB"), st.sampled_from(["name", "phone"])),
    max_size=40,
)


@given(STEPS)
def test_any_interleaving_ends_in_agreement(steps: list[tuple[str, str, str]]) -> None:
    world = World()
    edited: dict[str, set[str]] = {"name": set(), "phone": set()}
    for kind, system, field in steps:
        if kind == "edit":
            world.edit(system, field)
            edited[field].add(system)
        else:
            getattr(world, kind)(system)
    last = {field: {system: world.shown[system][field] for system in "AB"} for field in edited}
    world.drain()
    assert world.shown["A"] == world.shown["B"]
    assert world.shown["A"]["city"] == "0"
    for field, systems in edited.items():
        if len(systems) == 1:  # nobody else touched it: the edit stands
            assert world.shown["A"][field] == last[field][next(iter(systems))]


CROSSING = st.lists(
    st.tuples(st.sampled_from(["edit", "fetch", "begin", "settle"]), st.sampled_from("AB"), st.just("phone")),
    max_size=40,
)


@example(
    [
        (kind, system, "phone")
        for kind, system in zip(("edit", "fetch", "begin") * 2 + ("settle",) * 2, "AAABBBAB", strict=True)
    ]
)
@given(CROSSING)
def test_posts_that_cross_end_in_agreement(steps: list[tuple[str, str, str]]) -> None:
    world = World()
    for kind, system, field in steps:
        if kind == "edit":
            world.edit(system, field)
        else:
            getattr(world, kind)(system)
    for system in "AB":
        world.settle(system)
    world.drain()
    assert world.shown["A"] == world.shown["B"]


@given(STEPS)
def test_two_sides_that_edit_different_fields_cost_a_write_each_at_most(steps: list[tuple[str, str, str]]) -> None:
    world = World()
    for kind, system, _ in steps:
        if kind == "edit":
            world.edit(system, "name" if system == "A" else "phone")
        else:
            getattr(world, kind)(system)
    world.drain()
    assert world.shown["A"] == world.shown["B"]
    assert world.writes <= world.edits
