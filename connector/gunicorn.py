"""Gunicorn's configuration for the web child of `manage.py up`."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

from connector.orphans import die_with

workers = 1
worker_class = "gthread"
threads = 8
timeout = 30
# The supervisor kills after 12 seconds.
graceful_timeout = 10
keepalive = 5
accesslog = None
loglevel = "warning"
# It would be a socket in the home directory, for a tool that nobody here uses.
control_socket_disable = True
# The worker's sign of life is a file: on a slow disk it would be late, and the worker killed.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108


def post_fork(server: Any, worker: Any) -> None:
    """The worker ends with its master, however that one ends."""
    die_with(os.getppid())()


def post_worker_init(worker: Any) -> None:
    """Gunicorn's own lines go through the filter that hides secrets: they may quote a request's address."""
    log = logging.getLogger("gunicorn.error")
    log.handlers.clear()
    log.propagate = True
