"""The play: scenes, one for each system, that run side by side and say what must arrive.

A scene does something in a vendor's books, notes the messages that must follow, and yields what it waits for. The
director goes on with whichever scene waits no longer, and shows each message as it arrives.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from connector.demo.screen import Screen
from connector.demo.stack import Command, Connector
from connector.demo.standins import StandIns

#: How often the director looks around, in seconds.
TICK = 0.05
ORGANIZATION = {"slug": "acme", "name": "Acme Services LLC", "timezone": "America/Chicago", "locale": "en_US"}


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
    """A message as it stands in the workspace: `at` is its arrival in epoch seconds, `whole` is all that it holds."""

    channel: str
    text: str
    ts: str
    thread: str
    at: float
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
        self.scenes: list[Scene] = []
        #: Takes note of what has newly arrived.
        self.look: Callable[[], None] = lambda: None
        self.expected: list[Expected] = []
        self.arrived: list[Arrived] = []

    def configure(self, name: str, *, credentials_of: str = "") -> Path:
        """Writes the configuration of all scenes; with `credentials_of` it holds that connection's alone."""
        connections = [connection for scene in self.scenes for connection in scene.connections()]
        for connection in connections:
            if credentials_of and connection["slug"] != credentials_of:
                del connection["credentials"]
        routes = [route for scene in self.scenes for route in scene.routes()]
        document = {"version": 1, "organizations": [{**ORGANIZATION, "connections": connections, "routes": routes}]}
        file = self.connector.folder / name
        file.write_text(yaml.safe_dump(document, sort_keys=False, allow_unicode=True))
        return file

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
        code = command.wait()
        said = " ".join((command.errors if code else command.output).split())
        self.stage.screen.happened("operator", f"{command.title}: {said}")
        if code:
            raise Cut(f"{command.title} ended with exit code {code}: {said}")


class Cut(Exception):
    """A scene that cannot go on; the text says why."""


def play(scenes: Sequence[Scene], look: Callable[[], None], wait: Callable[[float], object]) -> list[str]:
    """Plays all scenes to their ends, side by side; what cut them short. `look` sees arrivals, `wait` lets time go."""
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
