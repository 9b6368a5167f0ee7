"""The demonstration judges itself strictly, and it and the sandbox run where a user would run them."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from connector.demo.day import Arrived, Cut, Expected, Play, Scene, Until, play
from connector.demo.verdict import judge, undone

ROOT = Path(__file__).resolve().parent.parent
BILL = Expected("ap", "Bill 7 created: Iron Range Steel, $10.00")
UPDATE = Expected("ap", "Bill 7 updated: Iron Range Steel, $12.00", thread=BILL)
OTHER = Expected("ap", "Bill 8 created: Prairie Office Supply, $3.00")


def manage(*arguments: str, base: Path, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env={**os.environ, "VAR_DIR": str(base), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def message(text: str, ts: str, *, channel: str = "ap", thread: str = "") -> Arrived:
    return Arrived(channel, f"{text}, due Dec 3, 2026 (open)", ts, thread, float(ts), text)


@contextlib.contextmanager
def taken(port: int) -> Iterator[None]:
    """Somebody listens there: we, or whoever was first."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):
            other.bind(("127.0.0.1", port))
            other.listen()
        yield


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_demo_ends_well_whatever_the_operators_settings_and_ports(tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "old").touch()
    operators = {"DATABASE_URL": "postgres://nobody@127.0.0.1:1/none", "SLACK_API_URL": "https://slack.com/api/"}
    with taken(8000), taken(8100):
        demo = manage("demo", "--once", "--json", base=tmp_path, SECRET_KEY="", ENCRYPTION_KEYS="", **operators)
        output, table = demo.communicate()
    assert demo.returncode == 0, table
    document = json.loads(output)
    assert document["differences"] == []
    channels = {row.pop("channel"): row for row in document["channels"]}
    assert channels.keys() >= {"#ap", "#ar", "#cash", "#exec-alerts", "#finance", "#ops", "#projects"}
    for row in channels.values():
        assert row["expected"] == row["arrived"] > 0
        assert (row["missing"], row["twice"], row["unexpected"], row["order"]) == (0, 0, 0, "kept")
    told = sum(row["expected"] for row in channels.values())
    assert told >= 50
    assert f"All {told} messages arrived exactly once, in order," in table
    for name, row in channels.items():
        assert re.search(rf"^{name} +{row['expected']} +{row['arrived']} +0 +0 +0  kept", table, re.MULTILINE)
    assert not (tmp_path / "demo" / "old").exists()
    assert list((tmp_path / "demo" / "run").glob("*.pid")) == []


def test_a_second_demo_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir()
    with (tmp_path / "demo.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        demo = manage("demo", base=tmp_path)
        output, errors = demo.communicate(timeout=30)
    assert (demo.returncode, output) == (1, "")
    assert errors == f"another demo runs in {tmp_path / 'demo'}: stop it first, or set another VAR_DIR\n"
    assert (tmp_path / "demo").is_dir()


def free_run_of_ports(count: int) -> int:
    """The first of so many free ports in a row, below those that the system gives out by itself."""
    for base in range(20000, 30000, count):
        with contextlib.ExitStack() as stack:
            try:
                for port in range(base, base + count):
                    stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            except OSError:
                continue
            return base
    raise AssertionError("no free ports")


def test_the_sandbox_says_where_it_is_and_ends_on_request(tmp_path: Path) -> None:
    base = free_run_of_ports(8)
    sandbox = manage("sandbox", "--json", "--port-base", str(base), base=tmp_path)
    try:
        assert sandbox.stdout is not None
        lines: list[str] = []
        while lines[-1:] != ["}\n"]:
            lines.append(sandbox.stdout.readline())
            assert lines[-1], sandbox.communicate()
        document = json.loads("".join(lines))
        urls = {row["system"]: row["url"] for row in document["standins"]}
        assert urls["quickbooks_online"] == f"http://127.0.0.1:{base}"
        assert document["environment"]["SLACK_API_URL"] == f"{urls['slack']}/api/"
        with urllib.request.urlopen(urls["slack"]) as page:
            assert b"exec-alerts" in page.read()
        second = manage("sandbox", "--port-base", str(base), base=tmp_path)
        assert "choose other ports with --port-base" in second.communicate(timeout=30)[1]
        assert second.returncode == 1
    finally:
        sandbox.send_signal(signal.SIGTERM)
    assert sandbox.communicate(timeout=30) == ("", "")
    assert sandbox.returncode == 0
    assert list(tmp_path.iterdir()) == []


def test_a_day_without_differences() -> None:
    came = [message(BILL.text, "1"), message(OTHER.text, "2.5"), message(UPDATE.text, "4", thread="1")]
    verdict = judge([BILL, OTHER, UPDATE], came)
    assert verdict.rows == [("#ap", 3, 3, 0, 0, 0, "kept", "1.50 s")]
    assert verdict.differences == []


def test_every_difference_is_told() -> None:
    lost = Expected("ar", "Invoice 1 created: Redwood Property Trust, $5.00")
    came = [
        message(OTHER.text, "1"),
        message(BILL.text, "2"),
        message(BILL.text, "3"),
        message(UPDATE.text, "4"),
        message("Bill 9 created: Nobody, $1.00", "5"),
    ]
    verdict = judge([BILL, OTHER, UPDATE, lost], came)
    assert verdict.rows == [
        ("#ap", 3, 5, 0, 1, 1, "broken", "1.00 s"),
        ("#ar", 1, 0, 1, 0, 0, "kept", ""),
    ]
    tail = ", due Dec 3, 2026 (open)"
    assert verdict.differences == [
        f"#ap: {BILL.text} arrived more than once",
        f"#ap: Bill 9 created: Nobody, $1.00{tail} was not expected",
        f"#ap: {BILL.text} arrived out of order",
        f"#ap: {BILL.text} arrived out of order",
        f"#ap: {UPDATE.text}{tail} stands in the wrong thread",
        f"#ar: {lost.text} did not arrive",
    ]


def test_what_waited_for_its_vendor_may_be_overtaken() -> None:
    delayed = Expected("ap", BILL.text, is_delayed=True)
    assert judge([delayed, OTHER], [message(OTHER.text, "1"), message(BILL.text, "3")]).differences == []


def test_what_the_connector_has_not_finished_is_told() -> None:
    counts = {"received": 0, "fetched": 0, "mapped": 0, "failed": 1, "routed": 5, "ignored": 2}
    deliveries = {"waiting": 0, "sending": 0, "parked": 2, "failed": 0, "delivered": 9}
    books = {"slug": "acme-books", "state": "unreachable", "detail": "no answer"}
    status = {"events": counts, "deliveries": deliveries, "connections": [books, {"slug": "s", "state": "ok"}]}
    assert undone(json.dumps(status)) == [
        "1 events are still failed",
        "2 deliveries are still parked",
        "acme-books is unreachable: no answer",
    ]


class Patient(Scene):
    """Waits for what comes, and then for what does not."""

    label = "patient"

    def __init__(self, played: list[str]) -> None:
        self.played = played

    def play(self) -> Play:
        self.played.append("patient begins")
        yield Until("the other scene", lambda: "hasty ends" in self.played)
        self.played.append("patient goes on")
        yield Until("what never comes", lambda: False, 0.1)
        self.played.append("never")


class Hasty(Patient):
    label = "hasty"

    def play(self) -> Play:
        self.played.append("hasty ends")
        yield from ()
        raise Cut("nothing to do")


def test_scenes_run_side_by_side_and_one_that_waits_in_vain_is_cut() -> None:
    played: list[str] = []
    looks = SimpleNamespace(count=0)

    def look() -> None:
        looks.count += 1

    cuts = play([Patient(played), Hasty(played)], look, lambda seconds: None)
    assert played == ["patient begins", "hasty ends", "patient goes on"]
    assert cuts == ["hasty: nothing to do", "patient: waited 0.1 s in vain for what never comes"]
    assert looks.count > 2
