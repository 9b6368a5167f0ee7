"""The Web Connector against the whole product: a real day's load, and processes that die in the middle."""

from __future__ import annotations

import os
import signal
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sources.quickbooks_desktop.standin import FILE_ID, Company, WebConnector
from tests.stack import Stack, acme, wait_for

PASSWORD = "fake-web-connector-password"


@pytest.fixture
def stack() -> Iterator[Stack]:
    found = Stack()
    yield found
    found.close()


def connect(stack: Stack, *events: str) -> WebConnector:
    """Starts the product with a company file whose records of these types are told."""
    stack.slack.add_channel("C0AP00001", "ap", is_member=True)
    document = acme(stack)
    (organization,) = document["organizations"]
    books: dict[str, Any] = {
        "slug": "acme-desktop",
        "system": "quickbooks_desktop",
        "account": FILE_ID,
        "credentials": {"password": PASSWORD},
        "settings": {"poll_minutes": 0, "timezone": "America/Chicago"},
    }
    organization["connections"] = [books, organization["connections"][1]]
    organization["routes"] = [
        {"name": "all", "from": "acme-desktop", "to": "acme-slack", "channel": "C0AP00001", "events": list(events)}
    ]
    stack.start()
    stack.configure(document)
    company = Company("Acme Services LLC", zone="America/Chicago")
    return WebConnector(f"{stack.url}/soap/quickbooks-desktop/", "acme-desktop", PASSWORD, company)


def web_memory(stack: Stack) -> int:
    """The most memory, in MiB, that a web process has had resident."""
    found = [0]
    for pid in stack.pids("gunicorn"):
        status = Path(f"/proc/{pid}/status").read_text()
        found += [int(line.split()[1]) // 1024 for line in status.splitlines() if line.startswith("VmHWM")]
    return max(found)


def test_a_cycle_becomes_messages_though_the_web_process_dies_in_it(stack: Stack) -> None:
    web_connector = connect(stack, "bill.*")
    for number in range(3):
        web_connector.quickbooks.company.add(
            "Bill", VendorRef="Cascade Paper Co.", AmountDue="100.00", RefNumber=f"B-{number}"
        )
    calls: list[str] = []

    def kill(operation: str) -> None:
        calls.append(operation)
        if len(calls) == 10:
            os.kill(max(stack.pids("gunicorn")), signal.SIGKILL)

    web_connector.before_call = kill
    web_connector.run_cycle()
    wait_for(stack.is_ready, what="the web process to be back")
    wait_for(lambda: web_connector.run_cycle().outcome == "done", what="a whole cycle")
    posts = stack.wait_for_posts(3)
    assert sorted(post.text.split()[1] for post in posts) == ["B-0", "B-1", "B-2"]
    assert PASSWORD not in stack.log.read_text()


@pytest.mark.skipif(
    os.environ.get("DATABASE_URL", "").startswith("postgres"), reason="only SQLite can be locked as a whole"
)
def test_a_database_that_cannot_store_is_answered_in_the_protocol(stack: Stack) -> None:
    web_connector = connect(stack, "bill.*")
    web_connector.quickbooks.company.add("Bill", VendorRef="Cascade", AmountDue="1.00", RefNumber="B-0")
    locks = []

    def lock(operation: str) -> None:
        if operation == "receiveResponseXML" and not locks:
            locks.append(sqlite3.connect(stack.var / "connector.sqlite3", isolation_level=None))
            locks[0].execute("BEGIN IMMEDIATE")

    web_connector.before_call = lock
    cycle = web_connector.run_cycle()
    assert (cycle.outcome, cycle.percents) == ("error", (-1,))
    assert web_connector.run_cycle().outcome == "busy"
    locks[0].rollback()
    assert web_connector.run_cycle().outcome == "done"
    assert web_connector.violations == []
    stack.wait_for_posts(1)


#: The whole proof is `BILLS=20000 python -m pytest tests/web_connector/test_stack.py -k large`.
BILLS = int(os.environ.get("BILLS", "3000"))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_large_cycle_takes_little_memory_and_is_picked_up_where_it_broke(stack: Stack) -> None:
    web_connector = connect(stack, "vendor.*")
    for number in range(BILLS):
        web_connector.quickbooks.company.add(
            "Bill", VendorRef="Cascade Paper Co.", AmountDue="100.00", RefNumber=f"B-{number}"
        )
    received = 0

    def kill(operation: str) -> None:
        nonlocal received
        received += operation == "receiveResponseXML"
        if received == BILLS // 100:
            received += 1
            threading.Timer(0.02, os.kill, (max(stack.pids("gunicorn")), signal.SIGKILL)).start()

    web_connector.before_call = kill
    first = web_connector.run_cycle()
    wait_for(stack.is_ready, what="the web process to be back")
    second = web_connector.run_cycle()
    assert second.outcome == "done"
    assert web_connector.violations == []
    memory = web_memory(stack)
    assert 50 < memory < 300
    print(f"{BILLS} bills: {first.outcome}, {first.seconds:.0f} s, {second.seconds:.0f} s, {memory} MiB")
    wait_for(lambda: sum(stack.status()["events"].values()) == BILLS, what="every event")
