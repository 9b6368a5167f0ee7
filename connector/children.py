"""What `manage.py up` runs, as rows; one more child is one more row. Standard library only."""

from __future__ import annotations

import contextlib
import functools
import os
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from connector import embedded_redis


class Foundation(NamedTuple):
    """What a child needs on which the others stand: it starts before them and stops after them."""

    #: Before each start. Raises `embedded_redis.Unavailable` where a start would be wrong.
    prepare: Callable[[], None]
    #: After it ended without having answered once.
    mend: Callable[[], None]
    #: After a clean stop.
    tidy: Callable[[], None]


class Child(NamedTuple):
    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = {}
    #: Whether it does its work now. Asked until the first yes; without it, started is as good as ready.
    answers: Callable[[], bool] | None = None
    foundation: Foundation | None = None
    #: Whether there is work for it; without it there always is.
    is_wanted: Callable[[], bool] = lambda: True


def children(host: str, port: int, *, var_dir: Path, with_redis: bool) -> list[Child]:
    """The connector on one machine."""
    gunicorn = (sys.executable, "-m", "gunicorn", "-c", "python:connector.gunicorn")
    web = (*gunicorn, "--bind", address(host, port), "connector.wsgi")
    rows = [
        Child("web", web, _role("web"), answers=functools.partial(web_answers, host, port)),
        Child("slack", _worker("slack", queues="slack", threads=16), _role("worker")),
        Child("work", _worker("work", queues="inbound,sync,beat", threads=8), _role("worker")),
        Child("beat", _manage("beat"), _role("beat")),
        # The note is left by a worker that knows of a stream.
        Child("listen", _manage("listen"), _role("listen"), is_wanted=(var_dir / "run" / "listen.wanted").exists),
    ]
    return [_redis(var_dir), *rows] if with_redis else rows


def address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def near(host: str) -> str:
    """Where this machine reaches a server that listens on `host`."""
    return {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104


def web_answers(host: str, port: int) -> bool:
    """Whether the web process answers requests at all; what it says is /readyz's business."""
    with contextlib.suppress(OSError), socket.create_connection((near(host), port), timeout=0.5) as wire:
        wire.sendall(b"GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n")
        return wire.recv(16)[9:10] in (b"2", b"3", b"4")
    return False


def _redis(var_dir: Path) -> Child:
    return Child(
        "redis",
        embedded_redis.server_command(var_dir),
        answers=functools.partial(embedded_redis.answers, var_dir),
        foundation=Foundation(
            prepare=functools.partial(embedded_redis.prepare, var_dir),
            mend=functools.partial(embedded_redis.set_aside, var_dir),
            tidy=functools.partial(embedded_redis.forget, var_dir),
        ),
    )


def _worker(name: str, *, queues: str, threads: int) -> list[str]:
    return _manage("work", "--queues", queues, "--threads", str(threads), "--hostname", f"{name}@%h")


def _manage(command: str, *arguments: str) -> list[str]:
    return [sys.executable, str(Path(__file__).parents[1] / "manage.py"), command, *arguments]


def _role(role: str) -> dict[str, str]:
    # Each thread would otherwise get an arena of its own, and keep it: tens of megabytes a worker.
    arenas = os.environ.get("MALLOC_ARENA_MAX", "2")
    return {"CONNECTOR_ROLE": role, "PYTHONUNBUFFERED": "1", "MALLOC_ARENA_MAX": arenas, "CELERY_SKIP_CHECKS": "1"}
