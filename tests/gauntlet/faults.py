"""Who carries the faults out, on processes, Redis, the database and Slack; each system's traffic sees to its own."""

from __future__ import annotations

import collections
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psycopg
import redis

from connector.embedded_redis import embedded_url
from connector.kernel.standin import Answer
from connector.orphans import started
from tests.gauntlet.schedule import WORKERS, Fault
from tests.gauntlet.traffic import Traffic
from tests.postgres import Server
from tests.stack import ROOT, Stack

POST, HISTORY = "POST /api/chat.postMessage", "/api/conversations"
HTML = Answer(502, b"<html><head><title>502 Bad Gateway</title></head></html>", content_type="text/html")
ERROR = Answer(500, b'{"ok":false,"error":"fatal_error"}')
#: Slow answers are slower than HTTP_TIMEOUT_SECONDS of the gauntlet's stack, and known before the first look.
SLOW = 4.0
#: After Redis has come back, pace and allowances count as wiped for so long (seconds).
WIPED = 4.0
#: The count of a minute's calls is whole again after a minute.
MINUTE = 64.0


class SecondHost:
    """A second pair of workers on the same database and Redis."""

    def __init__(self, stack: Stack) -> None:
        self.var = Path(tempfile.mkdtemp(prefix="host-", dir=stack.var))
        self._env = {
            **stack.env,
            "VAR_DIR": str(self.var),
            "REDIS_URL": embedded_url(stack.var),
            "DATABASE_URL": stack.env.get("DATABASE_URL") or f"sqlite:///{stack.var / 'connector.sqlite3'}",
            "MLC_HOST": "2",
        }
        self._log = stack.log.with_name("host2.log")
        self._running: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._running = subprocess.Popen(
                [sys.executable, "-m", "tests.gauntlet.host"],
                cwd=ROOT, env=self._env, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip

    def stop(self) -> None:
        if self._running:
            self._running.terminate()
            self._running.wait(30)


class Saboteur:
    """Carries faults out on a running stack, and notes what each may explain."""

    def __init__(
        self,
        stack: Stack,
        books: Sequence[Traffic],
        *,
        second: SecondHost | None = None,
        server: Server | None = None,
    ) -> None:
        self.done: collections.Counter[str] = collections.Counter()
        self.missed: collections.Counter[str] = collections.Counter()
        #: From, to (epoch seconds): Redis did not know what had been, or a worker was frozen in whatever it did.
        self.wiped: list[tuple[float, float]] = []
        self.frozen: list[tuple[float, float]] = []
        self._stack, self._second, self._server = stack, second, server
        self._books = {each.system: each for each in books}
        self._stopping = threading.Event()
        self._probe = threading.Thread(target=self._watch_redis, daemon=True)
        self._probe.start()
        self._thaws: list[threading.Timer] = []
        self._acts: dict[str, Callable[[Fault], bool]] = {
            "kill": self._kill, "flush": self._flush, "freeze": self._freeze,
            "slack": self._slack, "postgres": self._postgres, **dict.fromkeys(self._books, self._of_system),
        }  # fmt: skip

    def act(self, fault: Fault) -> bool:
        """Carries the fault out; False when there was nothing to hit."""
        is_done = self._acts[fault.kind](fault)
        (self.done if is_done else self.missed)[fault.name] += 1
        return is_done

    def tend(self) -> None:
        """Starts `manage.py up` again where it has ended, as an init system would."""
        if self._stack.up is None or self._stack.up.poll() is not None:
            self._stack.spawn()

    def make_peace(self) -> None:
        """Nothing stays frozen, and nothing scripted waits any more."""
        for thaw in self._thaws:
            thaw.join()
        self._stack.slack.faults.clear()
        for each in self._books.values():
            each.make_peace()

    def stop(self) -> None:
        self._stopping.set()
        self._probe.join()

    def explains(self, at: float, what: str) -> bool:
        """Whether the pace, or an allowance of calls a minute, may have been lost at that time."""
        lasts = MINUTE if "request limit" in what else WIPED
        return any(begin <= at <= end + lasts for begin, end in (*self.wiped, *self.frozen))

    # --- processes ---------------------------------------------------------------------------------------------------

    def _pid(self, target: str) -> int | None:
        """The child's number, from the note that its supervisor keeps; None when it is not running just now."""
        name, _, host = target.partition(" ")
        var = self._second.var if host == "2" and self._second else self._stack.var
        with contextlib.suppress(OSError, ValueError):
            number, _, start = (var / "run" / f"{name}.pid").read_text().partition(" ")
            pid = int(number)
            if started(pid) != start:
                return None
            if host == "child":
                found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
                return int(found[0]) if found else None
            return pid
        return None

    def _kill(self, fault: Fault) -> bool:
        if fault.target == "tree":
            assert self._stack.up
            self._wipe()
            self._stack.up.kill()
            self._stack.up.wait()
            self._stack.spawn()
            return True
        if fault.target == "redis":
            self._wipe()
        return self._signal(fault.target, signal.SIGKILL)

    def _signal(self, target: str, number: int) -> bool:
        pid = self._pid(target)
        if pid is None:
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        return True

    def _freeze(self, fault: Fault) -> bool:
        pid = self._pid(fault.target)
        if pid is None:
            return False
        group = os.getpgid(pid)
        if fault.target.startswith(WORKERS):
            self.frozen.append((time.time(), time.time() + fault.seconds))

        def thaw() -> None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGCONT)

        os.killpg(group, signal.SIGSTOP)
        timer = threading.Timer(fault.seconds, thaw)
        timer.start()
        self._thaws.append(timer)
        return True

    # --- Redis and the database --------------------------------------------------------------------------------------

    def _redis(self) -> redis.Redis:
        return redis.Redis.from_url(embedded_url(self._stack.var), socket_timeout=1, socket_connect_timeout=1)

    def _is_redis_up(self) -> bool:
        with contextlib.suppress(redis.RedisError, OSError), self._redis() as client:
            return bool(client.ping())
        return False

    def _watch_redis(self) -> None:
        """Notes every time during which Redis did not answer."""
        up_at = time.time()
        while not self._stopping.wait(0.2):
            if self._is_redis_up():
                if time.time() - up_at > 0.5:
                    self.wiped.append((up_at, time.time()))
                up_at = time.time()

    def _wipe(self) -> None:
        now = time.time()
        self.wiped.append((now, now))

    def _flush(self, fault: Fault) -> bool:
        with contextlib.suppress(redis.RedisError, OSError), self._redis() as client:
            client.flushall()
            self._wipe()
            return True
        return False

    def _postgres(self, fault: Fault) -> bool:
        if fault.target == "restart" and self._server:
            self._server.restart()
            return True
        with contextlib.suppress(psycopg.Error), psycopg.connect(self._stack.env["DATABASE_URL"]) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            return True
        return False

    # --- vendors -----------------------------------------------------------------------------------------------------

    def _slack(self, fault: Fault) -> bool:
        slack = self._stack.slack
        pattern, kind, times, answer = {
            "429": (POST, "answer", 1, slack.ratelimited(1)),
            "500": (POST, "answer", 2, ERROR),
            "502 page": (POST, "answer", 2, HTML),
            "truncated": (POST, "truncate", 2, None),
            "slow before": (POST, "slow", 1, None),
            "slow after": (POST, "slow_after", 2, None),
            "cut before": (POST, "cut_before", 2, None),
            "internal_error": (POST, "answer", 2, slack.error("internal_error")),
            "history 500": (HISTORY, "answer", 2, HTML),
            "history 429": (HISTORY, "answer", 2, slack.ratelimited(1)),
        }[fault.target]
        slack.fail(pattern, kind, times=times, answer=answer, seconds=SLOW)
        return True

    def _of_system(self, fault: Fault) -> bool:
        self._books[fault.kind].suffer(fault, lambda target: self._signal(target, signal.SIGKILL))
        return True
