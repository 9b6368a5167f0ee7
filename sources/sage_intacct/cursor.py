"""How far a report got, and what it has told: the state that is stored with what a reading found."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Mapping
from typing import Any

from sources.sage_intacct.formatting import WIDEST, Formatting

#: The gateway shows a change a little after its own time: what is younger may not be whole yet, and is read again.
LAG = dt.timedelta(minutes=2)
#: By so much the server's clock may be ahead of what we take it for: what triggered the reading was changed just now.
AHEAD = dt.timedelta(seconds=5)
#: Read again each time, for what became visible late.
OVERLAP = dt.timedelta(hours=2)
#: Told records that are remembered at least; all of the overlap are.
MEMORY = 5000


_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


@dataclasses.dataclass(frozen=True, slots=True)
class Window:
    """The time that a reading looks at: after `start`, and up to `end`, the present. What lies before `fresh` was read
    once.

    `number` is the reading's own, in milliseconds: greater than that of every reading before, whatever the clocks do.
    """

    start: dt.datetime
    end: dt.datetime
    fresh: dt.datetime
    number: int

    def holds(self, at: dt.datetime) -> bool:
        return self.start < at <= self.end + AHEAD

    def filter_times(self, formatting: Formatting | None) -> tuple[str, str]:
        """The two ends as a filter wants them; wide enough for any clock when the user's is not known yet."""
        if formatting is not None:
            return formatting.write(self.start), formatting.write(self.end + AHEAD)
        plain = Formatting(dt.timedelta(), self.end)
        return plain.write(self.start - WIDEST), plain.write(self.end + WIDEST)

    @property
    def shown(self) -> dt.datetime:
        """Where it begins for a reader, who need not know of the overlap."""
        return self.start if self.start < self.fresh - OVERLAP else self.fresh

    @property
    def name(self) -> str:
        """The number as a time: "20190109T230005.000Z"."""
        return f"{_EPOCH + dt.timedelta(milliseconds=self.number):%Y%m%dT%H%M%S}.{self.number % 1000:03}Z"

    def version(self, place: int = 0) -> int:
        """The version of what this reading tells; `place` orders its parts."""
        return self.number * 10 + place

    def is_young(self, at: dt.datetime) -> bool:
        """Whether what changed then may not be there whole yet."""
        return at > self.end - LAG


@dataclasses.dataclass(slots=True)
class Progress:
    """One report's cursor. `told` has the time of each told record's last change; `batches` marks what was said of each
    payment batch, and under `#<payment>` of each payment without one. `number` is that of the last reading.

    Times are whole epoch seconds, as the vendor's own are.
    """

    until: dt.datetime | None = None
    told: dict[str, int] = dataclasses.field(default_factory=dict)
    batches: dict[str, str] = dataclasses.field(default_factory=dict)
    number: int = 0

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> Progress:
        """From the stored state; an empty one was never read."""
        until = state.get("until")
        return cls(
            until=dt.datetime.fromtimestamp(int(until), dt.UTC) if until is not None else None,
            told={str(key): int(at) for key, at in (state.get("told") or {}).items()},
            batches={str(key): str(mark) for key, mark in (state.get("batches") or {}).items()},
            number=int(state.get("number") or 0),
        )

    def window(self, now: dt.datetime, lookback: dt.timedelta, since: dt.datetime | None) -> Window:
        """What to look at now."""
        fresh = self.until or since or now - lookback
        start = fresh - OVERLAP if self.until else fresh
        # A clock that was set back must not leave anything out.
        end = max(now, fresh)
        number = max((end - _EPOCH) // dt.timedelta(milliseconds=1), self.number + 1)
        return Window(min(start, since or start), end, fresh, number)

    def is_new(self, record: str, at: dt.datetime) -> bool:
        """Whether this state of the record was not told yet."""
        return self.told.get(record, -1) < int(at.timestamp())

    def note(self, record: str, at: dt.datetime) -> None:
        self.told[record] = int(at.timestamp())

    def state(self, window: Window, formatting: Formatting | None) -> dict[str, Any]:
        """The state to store after the window was read whole."""
        until = max(window.end - LAG, self.until or window.end - LAG)
        kept = sorted(self.told.items(), key=lambda item: item[1], reverse=True)
        needed = sum(1 for _, at in kept if at > (until - OVERLAP).timestamp())
        state: dict[str, Any] = {
            "until": int(until.timestamp()),
            "told": dict(kept[: max(MEMORY, needed)]),
            "number": window.number,
        }
        if self.batches:
            # Record numbers grow, and a database need not keep the order of keys.
            state["batches"] = dict(sorted(self.batches.items(), key=_number)[-MEMORY:])
        if formatting is not None:
            state["format"] = formatting.as_json()
        return state


def _number(item: tuple[str, str]) -> tuple[int, str]:
    key = item[0].lstrip("#")
    return len(key), key
