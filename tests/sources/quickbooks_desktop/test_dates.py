"""The PC's clock as text: filters, the hour that autumn repeats, and true instants."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sources.quickbooks_desktop import dates

ZONE = ZoneInfo("America/Chicago")


@pytest.mark.parametrize(
    ("newest", "took", "asked"),
    [
        ("2026-07-19T07:21:56", 0, "2026-07-19T07:16:56"),
        ("2026-07-19T07:21:56", 600, "2026-07-19T07:06:56"),
        # 2026-11-01: the clock goes from 2:00 back to 1:00.
        ("2026-11-01T00:30:00", 0, "2026-11-01T00:25:00"),
        ("2026-11-01T01:59:59", 0, "2026-11-01T00:54:59"),
        ("2026-11-01T03:30:00", 0, "2026-11-01T02:25:00"),
        ("2026-11-01T06:00:00", 0, "2026-11-01T05:55:00"),
        ("2026-03-08T03:30:00", 0, "2026-03-08T03:25:00"),
    ],
)
def test_a_cursor_goes_back_over_what_may_be_missing(newest: str, took: float, asked: str) -> None:
    assert dates.back(newest, took, ZONE) == asked


def test_the_printed_offset_is_not_believed() -> None:
    # Posted traffic: an hour off in summer, and the EditSequence has the true time.
    text = dates.clock_text("2014-07-19T07:21:56-05:00")
    assert text == "2014-07-19T07:21:56"
    true = dt.datetime(2014, 7, 19, 11, 21, 56, tzinfo=dt.UTC)
    assert dates.instant(text, "1405768916", ZONE) == true
    assert dates.instant(text, "42", ZoneInfo("America/New_York")) == true
    assert dates.instant(text, "opaque", ZONE) == true + dt.timedelta(hours=1)


@pytest.mark.parametrize("text", ["", "2026-11-19", "2026-11-19T06:12", "yesterday, at noon", "2026-13-19T06:12:05"])
def test_what_is_no_time_is_none(text: str) -> None:
    assert dates.clock_text(text) == ""


@given(st.datetimes(), st.text(max_size=12), st.floats(0, 1e6))
def test_any_time_and_sequence_is_taken(wall: dt.datetime, sequence: str, took: float) -> None:
    text = wall.replace(microsecond=0).isoformat()
    assert dates.instant(text, sequence, ZONE).utcoffset() == dt.timedelta(0)
    assert dates.back(text, took, ZONE) <= text
