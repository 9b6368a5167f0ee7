"""What was expected against what arrived: exactly once, in its place, in order, and nothing besides."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from connector.demo.day import Arrived, Expected, Scene, Stage
from connector.demo.stack import Connector

HEADS = ("channel", "expected", "arrived", "missing", "twice", "unexpected", "order", "smallest gap")
#: Event and delivery states in which nothing may be left in the end.
_UNDONE = {
    "events": ("received", "fetched", "mapped", "failed"),
    "deliveries": ("waiting", "sending", "parked", "failed"),
}


@dataclasses.dataclass(slots=True)
class Verdict:
    """The table's rows by channel, and every difference as a sentence."""

    rows: list[tuple[object, ...]] = dataclasses.field(default_factory=list)
    differences: list[str] = dataclasses.field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        names = [head.replace(" ", "_") for head in HEADS]
        return {"channels": [dict(zip(names, row, strict=True)) for row in self.rows], "differences": self.differences}


def judge(expected: Sequence[Expected], arrived: Sequence[Arrived]) -> Verdict:
    """Compares channel by channel; both come in the order of events and of arrival."""
    verdict = Verdict()
    channels = {one.channel for one in expected} | {one.channel for one in arrived}
    for channel in sorted(channels):
        wanted = [one for one in expected if one.channel == channel]
        came = [one for one in arrived if one.channel == channel]
        found = [(one, _meant(wanted, one)) for one in came]
        counts = Counter(meant for _, meant in found if meant)
        missing = [one for one in wanted if one not in counts]
        twice = [one for one, count in counts.items() if count > 1]
        strange = [one for one, meant in found if meant is None]
        late = _out_of_order(wanted, [meant for _, meant in found if meant])
        stray = [one for one, meant in found if meant and one.thread != _thread(meant, arrived)]
        marks = (len(wanted), len(came), len(missing), len(twice), len(strange), "broken" if late else "kept")
        verdict.rows.append((f"#{channel}", *marks, _smallest_gap(came)))
        for what, ones in (
            ("did not arrive", missing), ("arrived more than once", twice), ("was not expected", strange),
            ("arrived out of order", late), ("stands in the wrong thread", stray),
        ):  # fmt: skip
            verdict.differences += [f"#{channel}: {' '.join(one.text.split())} {what}" for one in ones]
    return verdict


def _meant(wanted: Iterable[Expected], one: Arrived) -> Expected | None:
    """The expected message that this one is: the longest text that it begins with."""
    fitting = [each for each in wanted if one.text.startswith(each.text)]
    return max(fitting, key=lambda each: len(each.text), default=None)


def _thread(meant: Expected, arrived: Iterable[Arrived]) -> str:
    """The thread in which it must stand; empty for none."""
    above = meant.thread
    if above is None:
        return ""
    same = (one.ts for one in arrived if one.channel == above.channel and one.text.startswith(above.text))
    return next(same, "missing")


def _out_of_order(wanted: Sequence[Expected], came: Iterable[Expected]) -> list[Expected]:
    """Those that came after a later one, though nothing of their own held them up."""
    places = {one: place for place, one in enumerate(wanted)}
    late, furthest = [], -1
    for one in came:
        if one.is_delayed:
            continue
        if places[one] < furthest:
            late.append(one)
        furthest = max(furthest, places[one])
    return late


def _smallest_gap(came: Sequence[Arrived]) -> str:
    times = sorted(one.at for one in came)
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    return f"{min(gaps):.2f} s" if gaps else ""


def undone(status: str) -> list[str]:
    """What `manage.py status --json` says is still on its way, stuck, or not connected."""
    found = json.loads(status)
    left = [
        f"{found[kind][state]} {kind} are still {state}"
        for kind, states in _UNDONE.items()
        for state in states
        if found[kind][state]
    ]
    return left + [
        f"{row['slug']} is {row['state']}: {row['detail']}" for row in found["connections"] if row["state"] != "ok"
    ]


def final(stage: Stage, scenes: Iterable[Scene], cuts: Iterable[str]) -> Verdict:
    """The verdict on the whole day, the connector's own word included."""
    verdict = judge(stage.expected, stage.arrived)
    verdict.differences += cuts
    for scene in scenes:
        verdict.differences += scene.problems()
    verdict.differences += _own_word(stage.connector)
    return verdict


def _own_word(connector: Connector) -> list[str]:
    """What the connector itself says is wrong."""
    status, audit = connector.begin("status", "--json"), connector.begin("audit", "verify")
    found = [
        f"{command.title} failed: {command.output}{command.errors}" for command in (status, audit) if command.wait()
    ]
    if not status.wait():
        found += undone(status.output)
    return found if connector.is_running() else [*found, "the connector ended"]
