"""The play: scenes, one for each system, that run side by side and say what must arrive.

A scene does something in a vendor's books, notes the messages that must follow, and yields what it waits for. The
director goes on with whichever scene waits no longer, and shows each message as it arrives.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from connector.demo.screen import Screen
from connector.demo.stack import Command, Connector
from connector.demo.standins import StandIns

#: How often the director looks around, in seconds.
TICK = 0.05


@dataclasses.dataclass(frozen=True, slots=True)
class Expected:
    """A message that must arrive exactly once: its channel's name, how its text begins, and above which reply.

    `is_delayed`: it waited for its vendor, and so others may have gone ahead of it.
    """

    channel: str
    text: str
    thread: Expected | None = None
    is_delayed: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Arrived:
    """A message as it stands in the workspace."""

    channel: str
    text: str
    ts: str
    thread: str
    whole: str


@dataclasses.dataclass(frozen=True, slots=True)
class Until:
    """What a scene waits for, and for how many seconds at most."""

    what: str
    is_met: Callable[[], bool]
    seconds: float = 40.0


Play = Iterator[Until]


class Stage:
    """What the scenes share: the stand-ins, the connector, the screen, and what has arrived so far."""

    def __init__(self, standins: StandIns, connector: Connector, screen: Screen) -> None:
        self.standins = standins
        self.connector = connector
        self.screen = screen
        self.expected: list[Expected] = []
        self.arrived: list[Arrived] = []

    def expect(self, expected: Expected) -> Expected:
        self.expected.append(expected)
        return expected

    def has(self, *wanted: Expected) -> bool:
        """Whether all of them have arrived."""
        return all(
            any(one.channel == each.channel and one.text.startswith(each.text) for one in self.arrived)
            for each in wanted
        )

    def until(self, *wanted: Expected) -> Until:
        """Until these messages have arrived."""
        missing = "; ".join(f"#{each.channel} {each.text}" for each in wanted)
        return Until(missing, lambda: self.has(*wanted))

    def pause(self, seconds: float) -> Until:
        """Until so much time has passed."""
        ends = time.monotonic() + seconds
        return Until(f"{seconds:g} seconds", lambda: time.monotonic() >= ends, seconds + 10)


class Scene:
    """One system's part of the day."""

    #: As the running table calls it.
    label = ""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage

    def furnish(self) -> Mapping[str, str]:
        """Fills the stand-in with what was there before the day began; the variables that `connections` refer to."""
        return {}

    def connections(self) -> list[dict[str, Any]]:
        """Its part of the configuration file."""
        return []

    def routes(self) -> list[dict[str, Any]]:
        """Its part of the configuration file."""
        return []

    def start(self) -> None:
        """Once, when the connector is ready."""

    def play(self) -> Play:
        """The day. What must arrive is told to the stage as it comes about."""
        return iter(())

    def problems(self) -> list[str]:
        """What is wrong with the records in its vendor's books, or with how the vendor was called, in the end."""
        return []

    def say(self, what: str) -> None:
        self.stage.screen.happened(self.label, what)

    def run(self, command: Command) -> Play:
        """Waits for a command and shows what it said. Raises `Cut` when it failed."""
        yield Until(command.title, command.is_done, 60)
        said = " ".join((command.output() if command.wait() == 0 else command.errors()).split())
        self.say(f"{command.title}: {said}")
        if command.wait() != 0:
            raise Cut(f"{command.title} ended with exit code {command.wait()}: {said}")


class Cut(Exception):
    """A scene that cannot go on; the text says why."""


def play(scenes: Sequence[Scene], look: Callable[[], None], wait: Callable[[float], None]) -> list[str]:
    """Plays all scenes to their ends, side by side; what cut one short. `look` notices arrivals, `wait` lets time go."""
    cuts: list[str] = []
    running: dict[Scene, tuple[Play, Until | None, float]] = {scene: (scene.play(), None, 0.0) for scene in scenes}
    while running:
        look()
        for scene, (course, until, since) in list(running.items()):
            if until is not None and not until.is_met():
                if time.monotonic() - since > until.seconds:
                    cuts.append(f"{scene.label}: waited {until.seconds:g} s in vain for {until.what}")
                    del running[scene]
                continue
            try:
                running[scene] = (course, next(course), time.monotonic())
            except StopIteration:
                del running[scene]
            except Cut as cut:
                cuts.append(f"{scene.label}: {cut}")
                del running[scene]
        wait(TICK)
    return cuts
