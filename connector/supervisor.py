"""Starts the children of `manage.py up`, restarts what dies, passes their lines on, and stops all of them.

`python -m connector.supervisor HOST PORT`, with VAR_DIR and REDIS_URL in the environment; `manage.py up` becomes this
after the migrations. Standard library only, without Django, so that it stays small for as long as it watches.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import IO

from connector import orphans
from connector.children import Child, address, children, near
from connector.embedded_redis import Unavailable

FIRST_DELAY, LONGEST_DELAY, STEADY_AFTER = 0.5, 15.0, 30.0
#: Seconds from the request to stop until the kill. Together they stay under 20.
CHILD_PATIENCE, FOUNDATION_PATIENCE = 12.0, 4.0
PROBE_EVERY = 0.1
#: So often it is asked whether a child has work by now.
LOOK_EVERY = 1.0
STARTS_OF_A_FOUNDATION = 3
#: A pipe holds no more.
LONGEST_LINE = 65536


class Lines:
    """One child's output, cut into lines."""

    def __init__(self, name: str, pipe: IO[bytes]) -> None:
        self.name = name
        self.pipe = pipe
        self.rest = b""
        os.set_blocking(pipe.fileno(), False)

    def read(self) -> list[bytes] | None:
        """The lines that are complete now; at the end what is left, and then None."""
        try:
            more = os.read(self.pipe.fileno(), LONGEST_LINE)
        except BlockingIOError:
            return []
        if not more:
            last, self.rest = self.rest, b""
            return [last] if last else None
        *lines, self.rest = (self.rest + more).split(b"\n")
        if len(self.rest) > LONGEST_LINE:
            lines, self.rest = [*lines, self.rest], b""
        return lines


class Printer:
    """Puts the child's name before each line: in colour for a person, as a field where the lines are JSON."""

    def __init__(self, out: IO[bytes], names: Sequence[str]) -> None:
        self.out = out
        self.is_json = os.environ.get("LOG_FORMAT") == "json"
        is_coloured = out.isatty() and "NO_COLOR" not in os.environ
        width = max(map(len, names), default=0)
        self.heads = {
            name: f"\033[{31 + number % 6}m{name:{width}} |\033[0m " if is_coloured else f"{name:{width}} | "
            for number, name in enumerate(names)
        }

    def line(self, name: str, text: bytes) -> None:
        if not text.strip():
            return
        if not self.is_json:
            whole = self.heads[name].encode() + text
        elif text.startswith(b'{"'):
            whole = b'{"process": "%b", %b' % (name.encode(), text[1:])
        else:
            whole = json.dumps({"process": name, "message": text.decode(errors="replace")}).encode()
        # Whoever read the lines may be gone; the children must go on, and be stopped in order.
        with contextlib.suppress(OSError):
            self.out.write(whole + b"\n")
            self.out.flush()


class Slot:
    """One child's place, over all its lives."""

    def __init__(self, child: Child) -> None:
        self.child = child
        self.running: subprocess.Popen[bytes] | None = None
        self.started_at = self.due_at = self.probe_at = 0.0
        self.kill_at: float | None = None
        self.delay = 0.0
        self.starts = 0
        self.has_answered = False

    @property
    def is_foundation(self) -> bool:
        return self.child.foundation is not None

    def next_delay(self, now: float) -> float:
        """How long to wait after an end: doubling, from the start again after a life that was long enough."""
        is_steady = now - self.started_at >= STEADY_AFTER
        self.delay = FIRST_DELAY if is_steady or not self.delay else min(LONGEST_DELAY, self.delay * 2)
        return self.delay


class Supervisor:
    """Runs the children until a signal says stop. `run` returns the exit code."""

    def __init__(self, rows: Sequence[Child], *, run_dir: Path, ready: str, patience: float = CHILD_PATIENCE) -> None:
        self.slots = [Slot(child) for child in rows]
        self.run_dir = run_dir
        self.ready = ready
        self.patience = patience
        self.printer = Printer(sys.stderr.buffer, [*(child.name for child in rows), "up"])
        self.selector = selectors.DefaultSelector()
        self.is_stopping = False
        self.is_standing = False  # every foundation has answered once
        self.exit_code = 0

    def run(self) -> int:
        self._catch_signals()
        while True:
            now = time.monotonic()
            self._reap(now)
            if self.is_stopping:
                if self._stop(now):
                    break
            else:
                self._probe(now)
                self._start_due(now)
            self._wait(now)
        while self._pass_on(0):
            pass
        return self.exit_code

    def say(self, text: str) -> None:
        self.printer.line("up", text.encode())

    # --- signals -----------------------------------------------------------------------------------------------------

    def _catch_signals(self) -> None:
        wake, self._wake_end = socket.socketpair()
        for end in (wake, self._wake_end):
            end.setblocking(False)
        self.selector.register(wake, selectors.EVENT_READ)
        signal.set_wakeup_fd(self._wake_end.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN or number == signal.SIGTERM:  # nohup stays nohup
                signal.signal(number, self._on_stop)

    def _on_stop(self, number: int, frame: FrameType | None) -> None:
        if self.is_stopping and number == signal.SIGINT:
            for slot in self.slots:
                if slot.running:
                    orphans.kill_group(slot.running.pid)
            os._exit(130)
        self.is_stopping = True

    # --- one round ---------------------------------------------------------------------------------------------------

    def _reap(self, now: float) -> None:
        for slot in self.slots:
            if slot.running and slot.running.poll() is not None:
                self._ended(slot, slot.running, now)

    def _ended(self, slot: Slot, was: subprocess.Popen[bytes], now: float) -> None:
        orphans.kill_group(was.pid)  # what it started itself and left behind
        orphans.unnote(self.run_dir, slot.child.name)
        for _ in range(2):  # its last words first: one read empties a pipe, the next one finds its end
            self._pass_on(0)
        slot.running = None
        foundation = slot.child.foundation
        if self.is_stopping:
            if foundation:
                foundation.tidy()
            return
        code = was.returncode
        if foundation and code > 0 and not slot.has_answered:
            foundation.mend()
            if slot.starts >= STARTS_OF_A_FOUNDATION and not self.is_standing:
                self._give_up(f"{slot.child.name} does not start: see its lines above")
                return
        slot.due_at = now + slot.next_delay(now)
        how = f"exit code {code}" if code >= 0 else f"signal {-code}"
        self.say(f"{slot.child.name} ended with {how}; it starts again in {slot.delay:g} s")

    def _give_up(self, reason: str) -> None:
        self.say(reason)
        self.exit_code, self.is_stopping = 1, True

    def _start_due(self, now: float) -> None:
        for slot in self.slots:
            is_due = slot.running is None and now >= slot.due_at and (self.is_standing or slot.is_foundation)
            if is_due and slot.child.is_wanted():
                self._start(slot, now)

    def _start(self, slot: Slot, now: float) -> None:
        child = slot.child
        slot.started_at = slot.probe_at = now
        slot.has_answered = False
        slot.starts += 1
        try:
            if child.foundation:
                child.foundation.prepare()
            slot.running = subprocess.Popen(  # noqa: S603
                child.command,
                env={**os.environ, **child.environment},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                # Ctrl-C in a terminal must reach us alone, or Redis would go before those who need it.
                start_new_session=True,
                preexec_fn=orphans.die_with(os.getpid()),  # noqa: PLW1509 (there are no threads here)
            )
        except (OSError, Unavailable) as error:
            slot.due_at = now + slot.next_delay(now)
            self.say(f"{child.name} cannot start: {error}")
            if child.foundation and not self.is_standing:
                self._give_up(f"{child.name} is needed by all others")
            return
        assert slot.running.stdout
        orphans.note(self.run_dir, child.name, slot.running.pid)
        self.selector.register(slot.running.stdout, selectors.EVENT_READ, Lines(child.name, slot.running.stdout))

    def _probe(self, now: float) -> None:
        for slot in self.slots:
            if slot.running and not slot.has_answered and now >= slot.probe_at:
                slot.probe_at = now + PROBE_EVERY
                slot.has_answered = slot.child.answers is None or slot.child.answers()
        foundations = [slot for slot in self.slots if slot.is_foundation]
        self.is_standing = self.is_standing or all(slot.has_answered for slot in foundations)
        if self.ready and all(slot.has_answered or not slot.child.is_wanted() for slot in self.slots):
            with contextlib.suppress(OSError):
                print(self.ready, flush=True)  # noqa: T201
            self.ready = ""

    def _stop(self, now: float) -> bool:
        """Asks the children to end, later the foundations; kills who does not. True when all are gone."""
        alive = [slot for slot in self.slots if slot.running]
        for slot in [slot for slot in alive if not slot.is_foundation] or alive:
            assert slot.running
            if slot.kill_at is None:
                slot.kill_at = now + (FOUNDATION_PATIENCE if slot.is_foundation else self.patience)
                slot.running.terminate()
            elif now >= slot.kill_at:
                slot.kill_at = now + 1.0
                orphans.kill_group(slot.running.pid)
        return not alive

    # --- waiting and passing on --------------------------------------------------------------------------------------

    def _wait(self, now: float) -> None:
        moments = [now + 5.0]
        for slot in self.slots:
            if self.is_stopping:
                moments += [slot.kill_at] if slot.running and slot.kill_at else []
            elif slot.running is None:
                is_next = slot.child.is_wanted() and (self.is_standing or slot.is_foundation)
                moments += [slot.due_at] if is_next else [now + LOOK_EVERY]
            elif not slot.has_answered:
                moments.append(slot.probe_at)
        self._pass_on(max(0.0, min(moments) - time.monotonic()))

    def _pass_on(self, timeout: float) -> bool:
        """Passes on what the children said, waiting so long for it. False when nothing came."""
        events = self.selector.select(timeout)
        for key, _ in events:
            reader = key.data
            if not isinstance(reader, Lines):
                with contextlib.suppress(BlockingIOError):
                    os.read(key.fd, 4096)
                continue
            lines = reader.read()
            for line in lines or ():
                self.printer.line(reader.name, line)
            if lines is None:
                self.selector.unregister(reader.pipe)
                reader.pipe.close()
        return bool(events)


def hold(run_dir: Path) -> IO[str]:
    """Takes this VAR_DIR for one supervisor; the kernel gives it back however that one ends. Raises `Unavailable`."""
    lock = (run_dir / "up.lock").open("a")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise Unavailable(
            f"another `manage.py up` runs with VAR_DIR={run_dir.parent}: stop it first, or set another VAR_DIR"
        )
    return lock


def require_free(host: str, port: int) -> None:
    """Raises `Unavailable` where the web child could not listen."""
    try:
        family, kind, protocol, _, target = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(target)
    except OSError as error:
        raise Unavailable(
            f"cannot listen on {address(host, port)} ({error.strerror}): choose another with --port or --host"
        )


def main(arguments: Sequence[str]) -> int:
    host, port, var_dir = arguments[0], int(arguments[1]), Path(os.environ["VAR_DIR"])
    run_dir = var_dir / "run"
    run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        with hold(run_dir):
            for name in orphans.kill_leftovers(run_dir):
                sys.stderr.write(f"ended {name}, which an earlier `manage.py up` had left\n")
            require_free(host, port)
            rows = children(host, port, var_dir=var_dir, with_redis=not os.environ.get("REDIS_URL"))
            ready = f"ready: http://{address(near(host), port)}/ (admin at /admin/)"
            return Supervisor(rows, run_dir=run_dir, ready=ready).run()
    except Unavailable as error:
        sys.stderr.write(f"{error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
