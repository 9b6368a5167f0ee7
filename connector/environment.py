"""What the environment and `.env` say, before Django looks at it."""

from __future__ import annotations

import base64
import os
import secrets
import sys
from pathlib import Path

import environ

BASE_DIR = Path(__file__).resolve().parent.parent
ENV_FILE = Path(os.environ.get("ENV_FILE") or BASE_DIR / ".env")


class Incomplete(Exception):
    """A setting without which nothing can start; the text says what to do."""


def read_env() -> environ.Env:
    """The environment, with `.env` filling what it leaves out. An empty value is as good as none."""
    if ENV_FILE.is_file():
        environ.Env.read_env(str(ENV_FILE), overwrite=False)
    env = environ.Env()
    env.ENVIRON = {name: value for name, value in os.environ.items() if value}
    return env


def ensure_var_dir() -> None:
    """Creates a missing VAR_DIR, for its owner alone; what is written from here on is the owner's alone too."""
    read_env()
    os.umask(0o077)
    Path(os.environ.get("VAR_DIR") or BASE_DIR / "var").resolve().mkdir(mode=0o700, parents=True, exist_ok=True)


def ensure_keys() -> None:
    """Writes a missing SECRET_KEY and ENCRYPTION_KEYS to `.env` and says so. Raises SystemExit where it cannot."""
    read_env()
    new = {
        "SECRET_KEY": secrets.token_urlsafe(50),
        "ENCRYPTION_KEYS": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
    }
    missing = {name: value for name, value in new.items() if not os.environ.get(name)}
    if not missing:
        return
    lines = "".join(f"{name}={value}\n" for name, value in missing.items())
    try:
        with os.fdopen(os.open(ENV_FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "a") as file:
            file.write(("\n" if file.tell() else "") + lines)
    except OSError as error:
        sys.exit(
            f"{' and '.join(missing)} must be set: {ENV_FILE} cannot be written ({error.strerror}). "
            "Set them in the environment (see .env.example)."
        )
    os.environ.update(missing)
    sys.stderr.write(
        f"wrote {' and '.join(missing)} to {ENV_FILE}: keep this file safe, the data cannot be read without it\n"
    )
