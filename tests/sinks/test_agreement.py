"""The three-way rule: each case by itself, and that any interleaving of edits and late events ends in agreement."""

from __future__ import annotations

import datetime as dt
from collections import deque
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from connector.kernel.errors import Outdated
from sinks.agreement import Meeting, country_code, is_same

NOW, SECOND = dt.datetime(2026, 11, 20, 12, 0, tzinfo=dt.UTC), dt.timedelta(seconds=1)
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
        "written": {"B": {"name": NOW.isoformat()}},
    }
    back = Meeting("B", "A", {"name": "A long", "city": "Rome"}, {"name": "A long name", "city": "Rome"}, state)
    assert back.writes() == {}
    assert back.agreed({}, NOW) == state


def test_a_value_read_before_it_was_overwritten_undoes_nothing() -> None:
    state = met("2", "1", AGREED).agreed({"phone": "2"}, NOW)
    with pytest.raises(Outdated, match="phone was read before it was overwritten"):
        met("1", "2", state, source="B", at=NOW - SECOND).writes()
    assert met("1", "2", state, source="B").writes() == {}
    assert met("2", "2", state, source="B", at=NOW - SECOND).writes() == {}
    assert met("1", "2", state, source="B", at=NOW + SECOND).writes() == {"phone": "1"}


def test_a_value_that_agrees_too_late_is_not_agreed_on() -> None:
    state = met("2", "1", AGREED).agreed({"phone": "2"}, NOW)
    assert met("1", "1", state, source="B", at=NOW - SECOND).agreed({}, NOW)["base"] == state["base"]


def test_what_came_earlier_and_is_told_later_adds_nothing() -> None:
    state = met("2", "1", AGREED, at=NOW).agreed({"phone": "2"}, NOW)
    late = met("3", "2", state, at=NOW - SECOND)
    assert (late.writes(), late.agreed({}, NOW)) == ({}, state)


def test_what_gave_way_to_a_change_that_was_undone_is_overwritten() -> None:
    state = met("2", "3", AGREED, source="B").agreed({}, NOW)
    assert state == {**AGREED, "lost": {"B": {"phone": "2"}}}
    assert met("1", "2", state).writes() == {"phone": "1"}
    assert met("1", "4", state).writes() == {}
    assert "lost" not in met("1", "2", state).agreed({"phone": "1"}, NOW)


def test_a_write_whose_answer_was_lost_counts_as_one() -> None:
    state = met("2", "2", AGREED).agreed({}, NOW)
    assert state["written"] == {"B": {"phone": NOW.isoformat()}}


def test_countries_are_known_by_code_and_name() -> None:
    assert [country_code(each) for each in ("USA", "us", "United States", "DEU", "Atlantis", "")] == [
        "US", "US", "US", "DE", "", "",
    ]  # fmt: skip
    assert is_same("country", "USA", "United States")
    assert not is_same("country", "Atlantis", "Mu")


class World:
    """Two systems with one customer: edits, reads of what an edit announced, and posts, each when it is told to.

    A post looks, writes, and settles later; it counts only if the other direction settled nothing in between. B refuses
    a write on a look that is not its newest, A does not.
    """

    def __init__(self) -> None:
        self.shown = {system: {"name": "0", "phone": "0", "city": "0"} for system in "AB"}
        self.announced = dict.fromkeys("AB", 0)
        self.last_read = {system: dict(self.shown[system]) for system in "AB"}
        self.read: dict[str, deque[tuple[dt.datetime, dict[str, str]]]] = {system: deque() for system in "AB"}
        self.state: dict[str, Any] = {"born": "A", "base": {system: dict(self.shown[system]) for system in "AB"}}
        self.edits = self.writes = self.settled = self.ticks = 0
        self.settled_by = dict.fromkeys("AB", 0)
        self.looked: dict[str, Meeting] = {}
        self.begun: dict[str, tuple[Meeting, int, dict[str, str]]] = {}

    def now(self) -> dt.datetime:
        self.ticks += 1
        return NOW + self.ticks * SECOND

    def edit(self, system: str, field: str) -> None:
        self.edits += 1
        self.enter(system, field, str(self.edits))

    def enter(self, system: str, field: str, value: str) -> None:
        self.shown[system][field] = value
        self.announced[system] += 1

    def fetch(self, system: str) -> None:
        """Reads the record for the oldest announcement; what was told is no news, if nothing was written since."""
        if self.announced[system]:
            self.announced[system] -= 1
            is_written = self.read[other(system)] or (not self.read[system] and self.settled != self.settled_by[system])
            if self.shown[system] != self.last_read[system] or is_written:
                self.last_read[system] = dict(self.shown[system])
                self.read[system].append((self.now(), dict(self.shown[system])))

    def look(self, source: str) -> None:
        if source in self.looked or source in self.begun or not self.read[source]:
            return
        asked_at, told = self.read[source][0]
        meeting = Meeting(source, other(source), told, dict(self.shown[other(source)]), self.state, asked_at)
        try:
            meeting.writes()
        except Outdated:
            self.read[source][0] = self.now(), dict(self.shown[source])
            if len(self.read[source]) == 1:
                self.last_read[source] = self.read[source][0][1]
            self.look(source)
        else:
            self.looked[source] = meeting

    def write(self, source: str) -> None:
        if source not in self.looked:
            return
        meeting, sink = self.looked.pop(source), other(source)
        if sink == "B" and meeting.found != self.shown[sink]:
            self.look(source)
            meeting = self.looked.pop(source)
        if writes := meeting.writes():
            self.writes += 1
            self.shown[sink].update(writes)
            self.announced[sink] += 1
        self.begun[source] = meeting, self.settled, {**meeting.found, **writes}

    def begin(self, source: str) -> None:
        self.look(source)
        self.write(source)

    def settle(self, source: str) -> None:
        if source not in self.begun:
            return
        meeting, settled, shown = self.begun.pop(source)
        if settled == self.settled:
            self.settled += 1
            self.settled_by[source] = self.settled
            self.read[source].popleft()
            self.state = meeting.agreed(shown, self.now())

    def post(self, source: str) -> None:
        self.begin(source)
        self.settle(source)

    def drain(self) -> None:
        for system in "AB":
            self.write(system)
            self.settle(system)
        for _ in range(200):
            if not any(self.announced.values()) and not any(self.read.values()):
                return
            for system in "AB":
                self.fetch(system)
                self.post(system)
        raise AssertionError("it never comes to rest")


def other(system: str) -> str:
    return "B" if system == "A" else "A"


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
    world.drain()
    assert world.shown["A"] == world.shown["B"]


ONE_AT_A_TIME = st.lists(
    st.tuples(
        st.sampled_from(["edit", "undo", "fetch", "look", "write", "settle"]), st.sampled_from("AB"), st.just("phone")
    ),
    max_size=60,
)


@given(ONE_AT_A_TIME)
def test_edits_in_the_middle_of_a_post_end_in_agreement(steps: list[tuple[str, str, str]]) -> None:
    """Also where somebody restores what stood there before."""
    world = World()
    before = {system: ["0"] for system in "AB"}
    for kind, system, field in steps:
        if kind in ("edit", "undo"):
            value = before[system][-1] if kind == "undo" else None
            before[system].append(world.shown[system][field])
            world.edit(system, field) if value is None else world.enter(system, field, value)
        elif kind in ("fetch", "settle") or not (world.looked.keys() | world.begun.keys()) - {system}:
            getattr(world, kind)(system)
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
