"""The vendor's samples: every one is used by a test, and what they say of states and times is understood."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path

import pytest

from connector.kernel.http import Answer
from connector.kernel.values import BadValue
from sources.sage_intacct.answer import Asked, Reply, read
from sources.sage_intacct.cursor import MEMORY, OVERLAP, Progress, Window
from sources.sage_intacct.envelope import Function, build
from sources.sage_intacct.formatting import Formatting, from_row
from sources.sage_intacct.queries import get_api_session
from sources.sage_intacct.rows import batch_in
from tests.sources.sage_intacct.test_requests import SENDER, SESSION, expected, shape
from tests.sources.sage_intacct.wire import FIXTURES, SERVER_NOW, parsed, response, results_of, sample


def reply(number: str, *names: str, control_id: str = "1700000000-0001") -> Reply:
    functions = [Function(name, get_api_session(), name) for name in names]
    asked = Asked(control_id, "acme-us", "session", functions, lambda text: text)
    return read(Answer(200, {}, response(number)), asked, SERVER_NOW)


def test_every_sample_is_used() -> None:
    here = Path(__file__).parent
    files = [here / "wire.py", *(path for path in here.glob("test_*.py") if "standin" not in path.name)]
    tests = "".join(path.read_text() for path in files)
    unused = [
        path.name
        for path in (FIXTURES / "responses").iterdir()
        if not re.search(rf'\((?:gateway, )?"{path.name[:2]}"', tests)
    ]
    unused += [path.name for path in (FIXTURES / "requests").iterdir() if f'"{path.stem}"' not in tests]
    assert unused == [] and "fields.json" in tests


def test_the_legacy_pages() -> None:
    first = reply("08", "appymt-legacy").results["appymt-legacy"]
    assert (len(first.rows), first.total, first.remaining) == (2, 3, 1)
    assert first.result_id == "7765623332WU1hh8CoA4QAAHxI9i8AAAAA5"
    last = reply("09", "appymt-legacy-2", control_id="1700000000-0002").results["appymt-legacy-2"]
    assert (len(last.rows), last.total, last.remaining, last.result_id) == (1, 3, 0, "")
    assert [row["RECORDNO"] for row in (*first.rows, *last.rows)] == ["1863", "1864", "1865"]
    none = reply("10", "appymt-legacy").results["appymt-legacy"]
    assert (none.rows, none.total, none.remaining, none.failure) == ((), 0, 0, None)


def test_the_servers_times_and_the_user() -> None:
    found = reply("18", "user", "fmt")
    assert (found.user, found.company, found.entity) == ("ws_reader", "ACME-US", "")
    assert (found.at, found.ends) == (SERVER_NOW, SERVER_NOW + dt.timedelta(hours=2, minutes=10))
    assert from_row(found.results["fmt"].rows[0], SERVER_NOW) == Formatting(dt.timedelta(), SERVER_NOW)


def test_the_states_of_a_batch() -> None:
    (lookup,) = results_of("17")
    states = [value.text or "" for value in lookup.iter("VALIDVALUE")]
    plain = Formatting(dt.timedelta(), SERVER_NOW)
    posted = {state for state in [*states, "P"] if batch_in({"RECORDNO": "1", "STATE": state}, plain).is_posted}
    assert posted == {"Posted", "P"}


def test_a_lookup_has_the_same_envelope() -> None:
    function = Function("lk", parsed(b"<lookup><object>APPYMT</object></lookup>"))
    assert shape(parsed(build(SENDER, "1700000000-0001", SESSION, [function]))) == expected("07_lookup")
    assert b"</lookup>" in sample("requests/07_lookup.xml")


@pytest.mark.parametrize(
    ("offset", "value", "expected_at"),
    [
        (0, "01/09/2019 22:01:29", dt.datetime(2019, 1, 9, 22, 1, 29, tzinfo=dt.UTC)),
        (-480, "01/09/2019 22:01:29", dt.datetime(2019, 1, 10, 6, 1, 29, tzinfo=dt.UTC)),
        (330, "01/09/2019 22:01:29", dt.datetime(2019, 1, 9, 16, 31, 29, tzinfo=dt.UTC)),
        (0, "01/09/2019", dt.datetime(2019, 1, 9, tzinfo=dt.UTC)),
        (0, "", None),
    ],
)
def test_times_both_ways(offset: int, value: str, expected_at: dt.datetime | None) -> None:
    formatting = Formatting(dt.timedelta(minutes=offset), SERVER_NOW)
    assert formatting.read({"AT": value}, "AT") == expected_at
    if expected_at is not None and " " in value:
        assert formatting.write(expected_at) == value
    for bad in ("2019-01-09T22:01:29Z", "13/01/2019 22:01:29", "01/09/2019 10:01:29 PM"):
        with pytest.raises(BadValue, match=r"^AT is not a time$"):
            formatting.read({"AT": bad}, "AT")


def test_the_memory_is_bounded_but_never_forgets_the_overlap() -> None:
    window = Window(SERVER_NOW - OVERLAP, SERVER_NOW, SERVER_NOW - OVERLAP, 1)
    recent = {str(number): int(SERVER_NOW.timestamp()) - number % 60 for number in range(MEMORY + 10)}
    old = {f"old{number}": number for number in range(10)}
    assert Progress(told=recent | old).state(window, None)["told"].keys() == recent.keys()
    few = dict(list(recent.items())[: MEMORY - 1])
    assert Progress(told=few | old).state(window, None)["told"].keys() == {*few, "old9"}
    marks = {str(number): "x" for number in range(MEMORY + 5)} | {"#7": "y"}
    kept = Progress(batches=marks).state(window, None)["batches"]
    assert len(kept) == MEMORY and str(MEMORY + 4) in kept and "0" not in kept


def test_the_cursor_never_goes_back() -> None:
    progress = Progress.of({"until": int(SERVER_NOW.timestamp()), "told": {}})
    early = SERVER_NOW - dt.timedelta(hours=3)
    window = progress.window(early, dt.timedelta(hours=24), None)
    assert progress.state(window, None)["until"] == int(SERVER_NOW.timestamp())
    since = SERVER_NOW - dt.timedelta(days=9)
    assert Progress().window(SERVER_NOW, dt.timedelta(hours=24), since).start == since
    assert progress.window(SERVER_NOW, dt.timedelta(hours=24), since).start == since
    assert progress.window(SERVER_NOW, dt.timedelta(hours=24), SERVER_NOW).start == SERVER_NOW - OVERLAP
