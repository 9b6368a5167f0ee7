"""The supervisor over small real children: it restarts, passes lines on, and leaves nobody alive."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from connector import orphans
from connector.children import Child
from connector.supervisor import Printer, Slot

ROOT = Path(__file__).resolve().parent.parent
#: Runs the rows that stand in its second argument: name, program, whether it is a foundation.
HARNESS = """
import json, sys
from pathlib import Path
from connector.children import Child, Foundation
from connector.supervisor import Supervisor

def nothing():
    pass

def row(name, program, is_foundation):
    ready = Path(sys.argv[1], name + ".ready")
    foundation = Foundation(nothing, lambda: print("mended", flush=True), nothing) if is_foundation else None
    answers = ready.exists if is_foundation else None
    return Child(name, [sys.executable, "-uc", program], {"READY": str(ready)}, answers, foundation)

rows = [row(*each) for each in json.loads(sys.argv[2])]
sys.exit(Supervisor(rows, run_dir=Path(sys.argv[1]), ready="all ready", patience=float(sys.argv[3])).run())
"""
#: Starts of a child's program: each says its number first.
SAY_PID = "import os, signal, sys, time; print('pid', os.getpid(), flush=True)\n"
POLITE = SAY_PID + "signal.signal(signal.SIGTERM, lambda *_: (print('bye', flush=True), sys.exit(0)))\n"
WAIT = "while True: time.sleep(60)\n"


class Run:
    """A supervisor and what it printed."""

    def __init__(self, folder: Path, *rows: tuple[str, str, bool], patience: float = 12, **environment: str) -> None:
        self.output = folder / "output"
        command = [sys.executable, "-c", HARNESS, str(folder), json.dumps(rows), str(patience)]
        with self.output.open("wb") as file:
            self.process = subprocess.Popen(
                command, cwd=ROOT, stdout=file, stderr=file, env={**os.environ, **environment}, start_new_session=True
            )

    @property
    def text(self) -> str:
        return self.output.read_text()

    def pids(self, name: str) -> list[int]:
        return [int(pid) for pid in re.findall(rf"^{name} *\| pid (\d+)$", self.text, re.MULTILINE)]

    def wait_for(self, pattern: str) -> None:
        until(lambda: re.search(pattern, self.text, re.MULTILINE) is not None, lambda: f"{pattern!r} in {self.text}")

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(20)


def until(condition: Callable[[], bool], what: Callable[[], str]) -> None:
    end = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < end, what()
        threading.Event().wait(0.02)


def until_gone(*pids: int) -> None:
    assert pids
    until(lambda: not any(map(orphans.started, pids)), lambda: f"one of {pids} is alive")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Run]]:
    runs: list[Run] = []

    def begin(*rows: tuple[str, str, bool], **options: object) -> Run:
        runs.append(Run(tmp_path, *rows, **options))  # type: ignore[arg-type]
        return runs[-1]

    yield begin
    for run in runs:
        if run.process.poll() is None:
            run.process.kill()
            run.process.wait()
        for found in re.findall(r"\| pid (\d+)$", run.text, re.MULTILINE):
            until_gone(int(found))


def test_passes_both_streams_on_line_by_line_under_the_childs_name(start: Callable[..., Run]) -> None:
    program = (
        "import sys; print('one\\n', flush=True); print('two', file=sys.stderr, flush=True); sys.stdout.write('rest')"
    )
    run = start(("long-name", POLITE + WAIT, False), ("a", program + "; raise SystemExit(3)", False))
    run.wait_for(r"ended with")
    assert [line for line in run.text.splitlines() if line.startswith(("a ", "up "))] == [
        "a         | one",
        "a         | two",
        "a         | rest",
        "up        | a ended with exit code 3; it starts again in 0.5 s",
    ]
    assert run.stop() == 0


def test_json_lines_stay_json_and_carry_the_name_as_a_field(start: Callable[..., Run]) -> None:
    program = """print('{"level": "info"}'); print('plain "text"')\n""" + POLITE + WAIT
    run = start(("web", program, False), LOG_FORMAT="json")
    run.wait_for("pid")
    lines = [json.loads(line) for line in run.text.splitlines() if line.startswith("{")]
    assert lines[:2] == [{"process": "web", "level": "info"}, {"process": "web", "message": 'plain "text"'}]
    assert run.stop() == 0


def test_a_terminal_gets_colours_and_nobody_else() -> None:
    parent, child = os.openpty()
    with os.fdopen(child, "wb", buffering=0) as terminal:
        Printer(terminal, ["web"]).line("web", b"hello")
        assert os.read(parent, 100) == b"\033[31mweb |\033[0m hello\r\n"
    os.close(parent)


def test_restarts_what_dies_after_a_doubling_wait(start: Callable[..., Run]) -> None:
    program = "import time; print('at', time.monotonic(), flush=True); raise SystemExit(1)"
    run = start(("flaky", program, False), ("steady", POLITE + WAIT, False))
    run.wait_for(r"it starts again in 2 s")
    first, second, third = (float(at) for at in re.findall(r"\| at (.+)$", run.text, re.MULTILINE))
    assert 0.5 <= second - first < 1.0 <= third - second < 2.0
    assert len(run.pids("steady")) == 1
    assert run.stop() == 0


def test_the_wait_is_capped_and_begins_anew_after_a_steady_life() -> None:
    slot = Slot(Child("web", []))
    assert [slot.next_delay(now=10) for _ in range(7)] == [0.5, 1, 2, 4, 8, 15, 15]
    slot.started_at = 100
    assert [slot.next_delay(now=129.9), slot.next_delay(now=130), slot.next_delay(now=100)] == [15, 0.5, 1]


def test_a_child_killed_with_9_comes_back(start: Callable[..., Run]) -> None:
    run = start(("work", POLITE + WAIT, False))
    run.wait_for("pid")
    os.kill(run.pids("work")[0], signal.SIGKILL)
    run.wait_for(r"work ended with signal 9; it starts again in 0\.5 s")
    until(lambda: len(run.pids("work")) == 2, lambda: run.text)
    assert run.stop() == 0


def test_sigterm_under_load_stops_all_and_loses_no_last_word(start: Callable[..., Run]) -> None:
    chatter = SAY_PID + "told = []\nsignal.signal(signal.SIGTERM, lambda *_: told.append(1))\n"
    chatter += "while not told: print('x' * 200)\nprint('bye')\n"
    run = start(("web", chatter, False), ("work", chatter, False), ("beat", POLITE + WAIT, False))
    run.wait_for(r"all ready")
    until(lambda: all(run.pids(name) for name in ("web", "work", "beat")), lambda: "three children")
    assert run.stop() == 0
    assert sorted(re.findall(r"^(\w+) *\| bye$", run.text, re.MULTILINE)) == ["beat", "web", "work"]
    until_gone(*run.pids("web"), *run.pids("work"), *run.pids("beat"))


def test_a_foundation_starts_before_the_others_and_ends_after_them(start: Callable[..., Run]) -> None:
    slow = "time.sleep(0.3); open(os.environ['READY'], 'w').close()\n"
    late = POLITE.replace("print('bye'", "time.sleep(0.3), print('bye'")
    run = start(("web", late + WAIT, False), ("redis", POLITE + slow + WAIT, True))
    run.wait_for(r"^web +\| pid")
    assert run.text.index("redis | pid") < run.text.index("web   | pid")
    assert run.stop(signal.SIGHUP) == 0
    assert run.text.index("web   | bye") < run.text.index("redis | bye")


def test_a_foundation_that_never_answers_is_mended_and_then_ends_it_all(start: Callable[..., Run]) -> None:
    run = start(("redis", "raise SystemExit(1)", True), ("web", POLITE + WAIT, False))
    assert run.process.wait(15) == 1
    assert run.text.count("mended") == 3
    assert run.text.splitlines()[-1] == "up    | redis does not start: see its lines above"
    assert run.pids("web") == []


def test_a_stubborn_child_is_killed_with_what_it_started(start: Callable[..., Run]) -> None:
    stubborn = (
        SAY_PID + "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nos.fork() or print('pid', os.getpid())\n" + WAIT
    )
    run = start(("work", stubborn, False), patience=0.5)
    until(lambda: len(run.pids("work")) == 2, lambda: run.text)
    assert run.stop() == 0
    until_gone(*run.pids("work"))


def test_a_second_ctrl_c_kills_at_once(start: Callable[..., Run]) -> None:
    stubborn = SAY_PID + "signal.signal(signal.SIGTERM, lambda *_: print('not yet'))\nprint('armed')\n" + WAIT
    run = start(("work", stubborn, False))
    run.wait_for("armed")
    run.process.send_signal(signal.SIGINT)
    run.wait_for("not yet")
    assert run.stop(signal.SIGINT) == 130
    until_gone(*run.pids("work"))


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the next start kills the leftovers")
def test_nobody_outlives_a_supervisor_killed_with_9(start: Callable[..., Run]) -> None:
    master = SAY_PID + textwrap.dedent(
        """
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        from connector.orphans import die_with
        master = os.getpid()
        if os.fork() == 0:
            die_with(master)()
            print('pid', os.getpid())
        """
    )
    run = start(("web", master + WAIT, False), ("work", POLITE + WAIT, False))
    until(lambda: len(run.pids("web")) == 2 and len(run.pids("work")) == 1, lambda: run.text)
    run.process.kill()
    until_gone(*run.pids("web"), *run.pids("work"))


def test_leftovers_of_a_killed_supervisor_are_ended_and_strangers_are_not(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    ours, stranger = (subprocess.Popen(command, start_new_session=True) for _ in range(2))
    try:
        orphans.note(tmp_path, "web", ours.pid)
        (tmp_path / "work.pid").write_text(f"{stranger.pid} another start")
        (tmp_path / "beat.pid").write_text("")
        threading.Timer(0.1, ours.wait).start()  # whoever adopts an orphan collects it
        assert orphans.kill_leftovers(tmp_path) == ["web"]
        assert orphans.started(ours.pid) == "" and stranger.poll() is None
        assert list(tmp_path.glob("*.pid")) == []
    finally:
        for each in (ours, stranger):
            each.kill()
            each.wait()


def test_a_taken_port_and_a_taken_var_dir_are_said_plainly(tmp_path: Path) -> None:
    def supervise(port: int) -> tuple[int, str]:
        command = [sys.executable, "-m", "connector.supervisor", "127.0.0.1", str(port)]
        environment = {**os.environ, "VAR_DIR": str(tmp_path)}
        ended = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=20, check=False
        )
        return ended.returncode, ended.stderr

    run_dir = tmp_path / "run"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        wanted = f"cannot listen on 127.0.0.1:{port} (Address already in use): choose another with --port or --host\n"
        assert supervise(port) == (1, wanted)
        holder = (
            f"import connector.supervisor, pathlib; lock = connector.supervisor.hold(pathlib.Path({str(run_dir)!r}))"
        )
        with subprocess.Popen(
            [sys.executable, "-c", f"{holder}; print(flush=True); input()"],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        ) as other:  # fmt: skip
            assert other.stdout and other.stdout.readline() == b"\n"
            code, said = supervise(port)
            other.kill()
        assert code == 1
        assert said == f"another `manage.py up` runs with VAR_DIR={tmp_path}: stop it first, or set another VAR_DIR\n"
