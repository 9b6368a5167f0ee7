"""What every test stands on: a real Redis, and stand-ins for the vendors."""

from __future__ import annotations

import importlib
import os
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from connector.pipeline import hashing
from sinks.slack.standin import SlackStandIn
from sources.quickbooks_online.standin import IntuitStandIn
from tests.environment import VAR_DIR
from tests.standins import environment, new_intuit, new_slack

# No test depends on how fast the machine is.
hypothesis_settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
hypothesis_settings.load_profile("suite")

# One pair for the tests that run in this process: their addresses must stand before the settings are read.
_intuit, _slack = new_intuit(), new_slack()
_intuit.start()
_slack.start()
os.environ.update(environment(_intuit, _slack))


@pytest.fixture
def intuit() -> Iterator[IntuitStandIn]:
    """The accounting system of this process, with the faults and calls of earlier tests forgotten."""
    _intuit.clear()
    _intuit.companies.clear()
    _intuit.enforce_limits = True
    yield _intuit
    _intuit.clear()


@pytest.fixture
def slack() -> Iterator[SlackStandIn]:
    _slack.clear()
    _slack.team.posts.clear()
    _slack.team.channels.clear()
    yield _slack
    _slack.clear()


@pytest.fixture(scope="session")
def django_db_modify_db_settings() -> None:
    """A database file rather than memory: several threads and connections work on it. One for each process."""
    database = settings.DATABASES["default"]
    if database["ENGINE"].endswith("sqlite3"):
        database["TEST"]["NAME"] = str(VAR_DIR / "test.sqlite3")
    else:
        database["TEST"]["NAME"] = f"test_{os.environ.get('PYTEST_XDIST_WORKER', 'alone')}"


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> None:
    """Without the audit triggers: Django empties tables between tests. `database` puts them in place."""
    with django_db_blocker.unblock():
        _triggers(are_there=False)


def _triggers(*, are_there: bool) -> None:
    migration = importlib.import_module("connector.migrations.0002_audit_triggers")
    with connection.schema_editor() as editor:
        (migration.create if are_there else migration.drop)(None, editor)


@pytest.fixture
def database(transactional_db: None) -> Iterator[None]:
    """The real database with real transactions, and its append-only audit trail."""
    hashing._lasting_key.cache_clear()
    _triggers(are_there=True)
    yield
    _triggers(are_there=False)


@pytest.fixture(scope="session")
def redis_server() -> Iterator[str]:
    """A real Redis-compatible server for the tests of this process."""
    from connector.embedded_redis import embedded_url, server_command

    (VAR_DIR / "redis").mkdir(mode=0o700, exist_ok=True)
    server = subprocess.Popen(server_command(VAR_DIR), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    from connector import locks

    ends = time.monotonic() + 10
    while not locks.is_alive() and time.monotonic() < ends:
        time.sleep(0.02)
    yield embedded_url(VAR_DIR)
    server.terminate()
    server.wait(10)


@pytest.fixture
def redis(redis_server: str) -> str:
    """That server, emptied."""
    from connector import locks

    locks.client().flushall()
    return redis_server


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rewrite-golden", action="store_true", help="write the expected messages anew, to be reviewed")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests first: run side by side, none of them is begun last and then waited for alone."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)
