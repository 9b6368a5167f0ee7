"""QuickBooks' times: the PC's wall clock as text.

The offset that QuickBooks prints is the standard one all year, so in summer it is an hour off. What counts is the
first 19 characters, and a filter without an offset is read by the same clock: the text goes back as it came.
"""

from __future__ import annotations

import datetime as dt
import zoneinfo

from connector.kernel.contracts import Context

#: A cursor goes back this far; records that change while a query runs may be missing from its answer.
OVERLAP = dt.timedelta(minutes=5)
#: In the hour that the autumn clock repeats, later changes carry earlier times.
REPEATED = dt.timedelta(hours=1)


def zone_of(ctx: Context) -> dt.tzinfo:
    """Where the PC is: the connection's setting, else the organization's time zone."""
    for name in (ctx.settings.get("timezone"), ctx.timezone):
        try:
            if name:
                return zoneinfo.ZoneInfo(str(name))
        except (zoneinfo.ZoneInfoNotFoundError, ValueError):
            continue
    return dt.UTC


def local_text(moment: dt.datetime, zone: dt.tzinfo) -> str:
    """The instant on the PC's wall clock, without an offset or fractions of a second."""
    return moment.astimezone(zone).replace(tzinfo=None, microsecond=0).isoformat()


def clock_text(value: str) -> str:
    """The wall clock of a printed time; empty when it is none."""
    text = value.strip()[:19]
    try:
        return dt.datetime.fromisoformat(text).isoformat() if len(text) == 19 else ""
    except ValueError:
        return ""


def back(text: str, seconds: float, zone: dt.tzinfo) -> str:
    """So much earlier on the same clock, and an hour more where autumn's repeated hour lies near."""
    wall = dt.datetime.fromisoformat(text)
    before, after = wall - dt.timedelta(hours=3), wall + dt.timedelta(hours=1)
    is_autumn = _offset(before, zone) > _offset(after, zone)
    distance = OVERLAP + dt.timedelta(seconds=seconds) + (REPEATED if is_autumn else dt.timedelta(0))
    try:
        return (wall - distance).replace(microsecond=0).isoformat()
    except OverflowError:
        return text


def _offset(wall: dt.datetime, zone: dt.tzinfo) -> dt.timedelta:
    return wall.replace(tzinfo=zone).utcoffset() or dt.timedelta(0)


def instant(text: str, edit_sequence: str, zone: dt.tzinfo) -> dt.datetime:
    """The true time of a change.

    In practice the EditSequence is the Unix time of the last change. Where it lies within a day's offsets of the wall
    clock it is believed, for it knows of no summer time; else the wall clock is read in the zone.
    """
    wall = dt.datetime.fromisoformat(text)
    if edit_sequence.isascii() and edit_sequence.isdecimal() and len(edit_sequence) <= 11:
        given = dt.datetime.fromtimestamp(int(edit_sequence), dt.UTC)
        if abs(given.replace(tzinfo=None) - wall) <= dt.timedelta(hours=15):
            return given
    try:
        return wall.replace(tzinfo=zone).astimezone(dt.UTC)
    except OverflowError:
        return wall.replace(tzinfo=dt.UTC)
