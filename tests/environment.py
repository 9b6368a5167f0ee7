"""The environment of the suite: throw-away keys, a folder of its own. Loaded before Django (`-p` in pyproject.toml)."""

from __future__ import annotations

import atexit
import base64
import os
import shutil
import tempfile
from pathlib import Path

VAR_DIR = Path(tempfile.mkdtemp(prefix="mlc-test-"))
atexit.register(shutil.rmtree, VAR_DIR, ignore_errors=True)
os.environ.update(
    ENV_FILE=os.devnull,
    SECRET_KEY="a-throw-away-key-for-the-tests-only-0123456789-0123456789",
    ENCRYPTION_KEYS=base64.urlsafe_b64encode(os.urandom(32)).decode(),
    VAR_DIR=str(VAR_DIR),
    REDIS_URL="",
    LOG_LEVEL="WARNING",
    # Else gRPC's own handlers may end a child that is forked from a process with a stand-in, before its program runs.
    GRPC_ENABLE_FORK_SUPPORT="false",
)
