"""How times look to the API user: read once a day, needed to read any time right.

Timestamps come and are asked for as text in the user's own format and zone (`readUserFormatting`); ISO is refused.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import re
from collections.abc import Iterable, Mapping
from typing import Any

from connector.kernel.errors import Misconfigured
from connector.kernel.values import BadValue
from sources.sage_intacct.answer import Row

DATE = "%m/%d/%Y"
TIME = "%m/%d/%Y %H:%M:%S"
#: How far apart any user's clock can be from UTC.
WIDEST = dt.timedelta(hours=14)
AGAIN_AFTER = dt.timedelta(days=1)
_OFFSET = re.compile(r"(?:GMT|UTC)?([+-])(\d{1,2}):?(\d{2})")


@dataclasses.dataclass(frozen=True, slots=True)
class Formatting:
    """The user's offset from UTC, when it was learnt, and whether it was read or only assumed."""

    offset: dt.timedelta
    read_at: dt.datetime
    is_known: bool = True

    def write(self, at: dt.datetime) -> str:
        """An instant as a filter wants it."""
        return (at.astimezone(dt.UTC) + self.offset).strftime(TIME)

    def read(self, row: Row, name: str) -> dt.datetime | None:
        """An instant as a row has it, in UTC. Raises `BadValue`."""
        value = row.get(name, "")
        if not value:
            return None
        for pattern in (TIME, DATE):
            try:
                return dt.datetime.strptime(value, pattern).replace(tzinfo=dt.UTC) - self.offset
            except (ValueError, OverflowError):
                continue
        raise BadValue(f"{name} is not a time")

    def is_due(self, now: dt.datetime) -> bool:
        """Whether it is time to read it again."""
        return not now - AGAIN_AFTER < self.read_at <= now + AGAIN_AFTER

    def as_json(self) -> dict[str, Any]:
        minutes = int(self.offset.total_seconds() // 60)
        return {"offset": minutes, "read": int(self.read_at.timestamp()), "known": self.is_known}


def assumed(now: dt.datetime) -> Formatting:
    """What holds when the user's own cannot be read: UTC, month first."""
    return Formatting(dt.timedelta(), now, is_known=False)


def from_states(states: Iterable[Mapping[str, Any]]) -> Formatting | None:
    """The latest one that the cursors hold."""
    found = []
    for state in states:
        kept = state.get("format")
        if isinstance(kept, Mapping):
            at = dt.datetime.fromtimestamp(int(kept["read"]), dt.UTC)
            found.append(Formatting(dt.timedelta(minutes=int(kept["offset"])), at, bool(kept["known"])))
    return max(found, key=lambda each: each.read_at, default=None)


def from_row(row: Row, now: dt.datetime) -> Formatting:
    """The answer of `readUserFormatting`. Raises `Misconfigured` for a format whose times cannot be read."""
    pattern, clock, told = row.get("DATEFORMAT", ""), row.get("CLOCK", ""), row.get("GMTOFFSET", "")
    offset = _OFFSET.fullmatch(told or "+00:00")
    if pattern != "/mdY" or clock != "24" or offset is None:
        raise Misconfigured(
            "the Intacct user's times cannot be read: in the user's preferences set the date format to mm/dd/yyyy, "
            "the clock to 24 hours and a time zone",
            code="user_formatting",
        )
    sign, hours, minutes = offset.groups()
    ahead = dt.timedelta(hours=int(hours), minutes=int(minutes))
    if ahead > WIDEST:
        raise Misconfigured("the Intacct user has no usable time zone: set one in the user's preferences")
    return Formatting(-ahead if sign == "-" else ahead, now)
