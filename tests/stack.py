"""The whole product as a user runs it: `manage.py up` in a process tree of its own, seen from outside only."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from sinks.slack.standin import SlackStandIn
from sources.quickbooks_online.standin import IntuitStandIn
from tests.standins import environment, new_intuit, new_slack

ROOT = Path(__file__).resolve().parent.parent
REALM = "9130350000000001"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(condition: Callable[[], Any], seconds: float = 30.0, *, what: str = "the condition") -> Any:
    """The condition's first true value, or an assertion that names it."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        if value := condition():
            return value
        time.sleep(0.05)
    raise AssertionError(f"{what} did not come within {seconds} s")


class Stack:
    """One installation with its stand-ins. `env` adds to or changes its environment."""

    def __init__(self, *, slack: SlackStandIn | None = None, **env: str) -> None:
        self.intuit: IntuitStandIn = new_intuit()
        self.slack: SlackStandIn = slack or new_slack()
        self.intuit.start()
        self.slack.start()
        self.var = Path(tempfile.mkdtemp(prefix="mlc-stack-"))
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.env = {
            **os.environ,
            **environment(self.intuit, self.slack),
            "VAR_DIR": str(self.var),
            "PUBLIC_URL": self.url,
            "SECRET_KEY": "another-throw-away-key-for-a-stack-0123456789-0123456789",
            "ENCRYPTION_KEYS": base64.urlsafe_b64encode(os.urandom(32)).decode(),
            "LOG_LEVEL": "INFO",
            "SWEEP_SECONDS": "2",
            **env,
        }
        self.env.pop("CONNECTOR_ROLE", None)
        self._own_database()
        self.log = self.var / "up.log"
        self.up: subprocess.Popen[bytes] | None = None

    def _own_database(self) -> None:
        """A database of its own on the suite's PostgreSQL; SQLite stacks have their file."""
        url = os.environ.get("DATABASE_URL", "")
        if not url.startswith("postgres"):
            self.env.pop("DATABASE_URL", None)
            return
        import psycopg

        name = f"stack_{uuid.uuid4().hex[:12]}"
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        head, _, query = url.partition("?")
        self.env["DATABASE_URL"] = f"{head.rsplit('/', 1)[0]}/{name}" + (f"?{query}" if query else "")

    # --- running it --------------------------------------------------------------------------------------------------

    def start(self, seconds: float = 60.0) -> Stack:
        self.spawn()
        wait_for(self.is_ready, seconds, what=f"readiness ({self.log})")
        return self

    def spawn(self) -> None:
        """Starts it, and does not wait until it works."""
        with self.log.open("ab") as log:
            self.up = subprocess.Popen(
                [sys.executable, "manage.py", "up", "--port", str(self.port)],
                cwd=ROOT,
                env=self.env,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def is_ready(self) -> bool:
        try:
            return self.get("/readyz")[0] == 200
        except OSError:
            return False

    def stop(self) -> float:
        """Stops it as a user would; seconds it took."""
        started = time.monotonic()
        if self.up is not None and self.up.poll() is None:
            self.up.send_signal(signal.SIGTERM)
            self.up.wait(30)
        self.up = None
        return time.monotonic() - started

    def close(self) -> None:
        self.stop()
        self.intuit.stop()
        self.slack.stop()
        shutil.rmtree(self.var, ignore_errors=True)

    def pids(self, word: str) -> list[int]:
        """The processes of this installation whose command line holds the word."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                environ = (entry / "environ").read_bytes()
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            is_ours = f"VAR_DIR={self.var}".encode() in environ or str(self.var) in command
            if is_ours and word in command:
                found.append(int(entry.name))
        return sorted(found)

    # --- its doors ---------------------------------------------------------------------------------------------------

    def manage(self, *arguments: str, status: int | None = 0, **env: str) -> subprocess.CompletedProcess[str]:
        """A `manage.py` command; asserts its exit code unless `status` is None."""
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env={**self.env, **env},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if status is not None:
            assert done.returncode == status, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def answer(self, *arguments: str, status: int | None = 0) -> Any:
        """The JSON document that a command prints."""
        return json.loads(self.manage(*arguments, "--json", status=status).stdout)

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, bytes, Mapping[str, str]]:
        request = urllib.request.Request(f"{self.url}{path}", data=body, headers=dict(headers or {}), method=method)
        try:
            with urllib.request.urlopen(request, timeout=15) as response:
                return response.status, response.read(), dict(response.headers)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read(), dict(error.headers)

    def get(self, path: str) -> tuple[int, bytes, Mapping[str, str]]:
        return self.request("GET", path)

    def notify(self, *changes: Any, format: str = "cloudevents") -> int:
        """Sends QuickBooks notices: (entity, id, operation) or a whole Change."""
        rows = [change if not isinstance(change, tuple) else (REALM, *change) for change in changes]
        return self.intuit.notify(f"{self.url}/webhooks/quickbooks-online/", rows, format=format)

    def configure(self, document: Mapping[str, Any], *options: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Applies a configuration document."""
        path = self.var / "connector.yaml"
        path.write_text(yaml.safe_dump(dict(document), sort_keys=False))
        return self.manage("config", "apply", str(path), *options, **env)

    # --- what it did -------------------------------------------------------------------------------------------------

    def status(self) -> Any:
        return self.answer("status")

    def posts(self, channel: str = "") -> list[Any]:
        return [post for post in list(self.slack.posts) if not channel or post.channel == channel]

    def wait_for_posts(self, count: int, channel: str = "", seconds: float = 30.0) -> list[Any]:
        """Waits for so many posts, and a moment longer for one too many."""
        wait_for(lambda: len(self.posts(channel)) >= count, seconds, what=f"{count} posts to {channel or 'all'}")
        time.sleep(0.3)
        found = self.posts(channel)
        assert len(found) == count, [post.text for post in found]
        return found


def acme(stack: Stack, *routes: Mapping[str, Any], **organization: Any) -> dict[str, Any]:
    """The usual organization: QuickBooks Online and Slack, both authorized, with the given routes."""
    if REALM not in stack.intuit.companies:
        stack.intuit.add_company(REALM, "Acme Services LLC")
    tokens = stack.intuit.issue_tokens(REALM)
    return {
        "version": 1,
        "organizations": [
            {
                "slug": "acme",
                "name": "Acme Services LLC",
                "timezone": "America/Chicago",
                "locale": "en_US",
                "connections": [
                    {
                        "slug": "acme-books",
                        "system": "quickbooks_online",
                        "account": REALM,
                        "credentials": {
                            "access_token": tokens["access_token"],
                            "refresh_token": tokens["refresh_token"],
                            "expires_at": "2099-01-01T00:00:00Z",
                        },
                    },
                    {
                        "slug": "acme-slack",
                        "system": "slack",
                        "account": "T00000001",
                        "credentials": {"bot_token": stack.slack.issue_token()},
                    },
                ],
                "routes": [{"from": "acme-books", "to": "acme-slack", **route} for route in routes],
                **organization,
            }
        ],
    }


def bill(number: str, amount: float = 100.0, **fields: Any) -> dict[str, Any]:
    """A bill as QuickBooks has it."""
    return {
        "VendorRef": {"value": "30", "name": "Books by Bessie"},
        "DocNumber": number,
        "TotalAmt": amount,
        "Balance": amount,
        "TxnDate": "2026-11-03",
        "DueDate": "2026-12-03",
        "CurrencyRef": {"value": "USD"},
        "Line": [
            {
                "Id": "1",
                "Amount": amount,
                "DetailType": "AccountBasedExpenseLineDetail",
                "AccountBasedExpenseLineDetail": {"AccountRef": {"value": "7", "name": "Advertising"}},
            }
        ],
        **fields,
    }
