"""The connector under the demonstration: a fresh folder, throw-away keys, `manage.py` commands, and `manage.py up`."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import http.client
import os
import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from connector import orphans

ROOT = Path(__file__).resolve().parents[2]
HOST = "127.0.0.1"
WEB_PORT = 8000
#: What an operator may have set for the real thing, and the demonstration must not see.
_SETTINGS = (
    "QUICKBOOKS_ONLINE_", "FRESHBOOKS_", "INTACCT_", "SLACK_", "SALESFORCE_", "RETRY_", "QBO_", "LOG_",
    "SECRET_KEY", "ENCRYPTION_KEYS", "DEBUG", "PUBLIC_URL", "ALLOWED_HOSTS", "DATABASE_URL", "REDIS_URL",
    "SWEEP_SECONDS", "DELIVERY_LEASE_SECONDS", "HTTP_TIMEOUT_SECONDS", "RETENTION_DAYS", "CONNECTOR_ROLE",
    "DJANGO_SETTINGS_MODULE",
)  # fmt: skip
#: A day in a minute: troubles are over sooner, and so is the patience with them.
_PACE = {"SWEEP_SECONDS": "1", "RETRY_BASE_SECONDS": "0.5", "RETRY_CAP_SECONDS": "3"}
#: Seconds that the connector may take to stop (its supervisor promises less).
_PATIENCE = 25.0
#: Where the process that we started is noted; "run" is its own place for the same.
_NOTES = "processes"


class CannotStart(Exception):
    """The demonstration cannot run here and now; the text says what to do."""


@contextlib.contextmanager
def fresh_folder(base: Path) -> Iterator[Path]:
    """`base`/demo, emptied, and ours alone for the length of the block. Raises `CannotStart`."""
    folder = base / "demo"
    base.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (base / "demo.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CannotStart(f"another demo runs in {folder}: stop it first, or set another VAR_DIR") from None
        for notes in (_NOTES, "run"):
            orphans.kill_leftovers(folder / notes)
        if folder.exists():
            shutil.rmtree(folder)
        (folder / _NOTES).mkdir(mode=0o700, parents=True)
        yield folder


def free_port(wanted: int) -> int:
    """The wanted port of this machine, or any other when somebody listens there."""
    for port in (wanted, 0):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((HOST, port))
            return int(probe.getsockname()[1])
    raise CannotStart("no port of this machine is free")


class Command:
    """A `manage.py` command on its way. Its output must fit a pipe, which that of the commands used here does."""

    def __init__(self, environment: Mapping[str, str], arguments: tuple[str, ...]) -> None:
        shown = (Path(argument).name if argument.startswith("/") else argument for argument in arguments)
        self.title = f"manage.py {' '.join(shown)}"
        self.output = self.errors = ""
        self._code: int | None = None
        self._running = subprocess.Popen(  # noqa: S603 - our own command
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT, env=environment, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def is_done(self) -> bool:
        return self._running.poll() is not None

    def wait(self) -> int:
        """Its exit code, once it has ended; from then on `output` and `errors` hold what it said."""
        if self._code is None:
            self.output, self.errors = self._running.communicate()
            self._code = self._running.returncode
        return self._code

    def stop(self) -> None:
        """Ends it if it still runs."""
        if not self.is_done():
            self._running.terminate()
            self.wait()


class Connector:
    """One installation in a folder of its own."""

    def __init__(self, folder: Path, vendors: Mapping[str, str]) -> None:
        self.folder = folder
        self.port = free_port(WEB_PORT)
        self.url = f"http://{HOST}:{self.port}"
        self.log = folder / "up.log"
        self.environment = _environment(folder, self.url) | dict(vendors)
        self._up: subprocess.Popen[bytes] | None = None
        self._commands: list[Command] = []

    def begin(self, *arguments: str, **environment: str) -> Command:
        """Starts a command beside us."""
        self._commands.append(Command({**self.environment, **environment}, arguments))
        return self._commands[-1]

    def manage(self, *arguments: str, **environment: str) -> str:
        """Runs a command to its end; what it printed. Raises `CannotStart` with its own words."""
        command = self.begin(*arguments, **environment)
        if code := command.wait():
            raise CannotStart(f"{command.title} ended with exit code {code}:\n{command.output}{command.errors}")
        return command.output

    def start(self) -> None:
        """`manage.py up`, which dies with us. To be called before any thread runs."""
        with self.log.open("wb") as log:
            self._up = subprocess.Popen(  # noqa: S603 - our own command
                [sys.executable, "manage.py", "up", "--host", HOST, "--port", str(self.port)],
                cwd=ROOT, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches us alone
                preexec_fn=orphans.die_with(os.getpid()),  # noqa: PLW1509 (there are no threads yet)
            )  # fmt: skip
        orphans.note(self.folder / _NOTES, "up", self._up.pid)

    def is_running(self) -> bool:
        return self._up is not None and self._up.poll() is None

    def is_ready(self) -> bool:
        """What /readyz says."""
        wire = http.client.HTTPConnection(HOST, self.port, timeout=5)
        try:
            wire.request("GET", "/readyz")
            return wire.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            wire.close()

    def stop(self) -> None:
        """Ends it in order, and commands still on their way; whoever does not end is killed."""
        for command in self._commands:
            command.stop()
        if self._up is None:
            return
        self._up.terminate()
        try:
            self._up.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            orphans.kill_group(self._up.pid)
            self._up.wait()
            orphans.kill_leftovers(self.folder / "run")
        orphans.unnote(self.folder / _NOTES, "up")
        self._up = None

    def tail(self, lines: int = 40) -> list[str]:
        """The end of the connector's log."""
        with contextlib.suppress(OSError):
            return self.log.read_text(errors="replace").splitlines()[-lines:]
        return []


def _environment(folder: Path, url: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_SETTINGS)}
    return (
        kept
        | _PACE
        | {
            "ENV_FILE": os.devnull,
            "VAR_DIR": str(folder),
            "PUBLIC_URL": url,
            "REDIS_URL": "",
            "SECRET_KEY": secrets.token_urlsafe(50),
            "ENCRYPTION_KEYS": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            "LOG_FORMAT": "console",
        }
    )
