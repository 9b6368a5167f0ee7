"""The whole product with Sage Intacct, as a user runs it: real web, workers, beat, Redis and database."""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

from sources.sage_intacct.standin import IntacctStandIn, credit, debit
from tests.intacct.world import COMPANY, FREIGHT, REGAL, new_company, variables
from tests.stack import Stack, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
FINANCE, OPS = "C0FIN0001", "C0OPS0001"
SECRET = "fake-trigger-secret"


@pytest.fixture(scope="module")
def intacct() -> Iterator[IntacctStandIn]:
    with IntacctStandIn() as standin:
        yield new_company(standin)


@pytest.fixture(scope="module")
def running(intacct: IntacctStandIn) -> Iterator[Stack]:
    stack = Stack(slack=None, **variables(intacct))
    try:
        yield stack.start()
    finally:
        stack.close()


@pytest.fixture
def stack(running: Stack, intacct: IntacctStandIn) -> Iterator[Stack]:
    """The running installation, connected, with everything read that was there before; what is entered is fresh."""
    intacct.entered_ago = dt.timedelta(0)
    for number, channel in enumerate((FINANCE, OPS)):
        running.slack.add_channel(channel, f"channel{number}", is_member=True)
    intacct.user = ("fake-user", "fake-user-password")
    intacct.clear()
    configure(running)
    wait_for(lambda: all(row["state"] == "ok" for row in running.status()["connections"]), what="connected")
    assert running.answer("poll", "acme-intacct").keys() == {"seen", "new"}
    wait_for(lambda: set(running.status()["events"]) and not moving(running), what="quiet")
    running.slack.clear()
    running.slack.team.posts.clear()
    intacct.clear()
    yield running
    assert intacct.violations == []
    assert (intacct.most_in_flight <= 1, intacct.overlaps) == (True, 0)


def moving(stack: Stack) -> int:
    status = stack.status()
    events = [int(status["events"][state]) for state in ("received", "fetched", "mapped")]
    return sum(events) + int(status["deliveries"]["waiting"]) + int(status["deliveries"]["sending"])


def configure(stack: Stack, *schedules: dict[str, Any], password: str = "fake-user-password") -> None:
    source = {
        "slug": "acme-intacct",
        "system": "sage_intacct",
        "account": COMPANY,
        "credentials": {"user_id": "fake-user", "user_password": password, "trigger_secret": SECRET},
        "schedules": list(schedules),
    }
    sink = {
        "slug": "acme-slack",
        "system": "slack",
        "account": "T00000001",
        "credentials": {"bot_token": stack.slack.issue_token()},
    }
    routes = [
        {"name": name, "from": "acme-intacct", "to": "acme-slack", "channel": channel, "events": events}
        for name, channel, events in (
            ("Finance", FINANCE, ["gl_posting.*", "payment_batch.*", "payment.*", "vendor.*"]),
            ("Alerts", OPS, ["connection.*"]),
        )
    ]
    organization = {
        "slug": "acme", "name": "Acme Services LLC", "timezone": "America/Chicago", "connections": [source, sink],
        "routes": routes,
    }  # fmt: skip
    stack.configure({"version": 1, "organizations": [organization]}, "--force-credentials")


def trigger(stack: Stack, secret: str = SECRET) -> int:
    body, stamp = b'{"object": "GLBATCH"}', str(int(time.time()))
    digest = hmac.new(secret.encode(), stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    headers = {"Content-Type": "application/json", "X-Connector-Signature": f"t={stamp},v1={digest}"}
    return stack.request("POST", "/webhooks/sage-intacct/acme-intacct/", body, headers)[0]


def post(intacct: IntacctStandIn, title: str = "Rent", amount: str = "1200.00") -> None:
    intacct.post_batch("GJ", title, [debit("6300", amount), credit("1110", amount)])


def test_a_trigger_is_followed_by_the_message_within_seconds(stack: Stack, intacct: IntacctStandIn) -> None:
    post(intacct)
    intacct.set_vendor(FREIGHT, is_on_hold=True)
    intacct.add_payment(FREIGHT, "870.00", batch="A", number="1")
    assert [trigger(stack, "fake-guess"), trigger(stack), trigger(stack)] == [401, 200, 200]
    posts = stack.wait_for_posts(3, FINANCE, seconds=15)
    assert sorted(each.text.split(":")[0] for each in posts) == [
        "GL posting of 1 batch completed",
        f"Payment batch {intacct.tables['APPYMT'][max(intacct.tables['APPYMT'])]['PRBATCHKEY']} completed",
        f"Vendor {FREIGHT} has an exception",
    ]
    time.sleep(6)  # the second call's reading
    stack.wait_for_posts(3, FINANCE)
    assert intacct.logins == 0
    assert intacct.count("query:GLBATCH") <= 2


def test_a_schedule_that_is_due_is_fired_by_beat(stack: Stack, intacct: IntacctStandIn) -> None:
    """Two schedules come due in the same minute; a third one's close window is shut."""
    post(intacct, "By schedule", "11.00")
    intacct.add_payment(REGAL, "12.00", batch="By schedule", number="77")
    configure(
        stack,
        {"report": "gl_postings", "cron": "* * * * *"},
        {"report": "payment_batches", "cron": "*/1 * * * *"},
    )
    posts = stack.wait_for_posts(2, FINANCE, seconds=100)
    assert {each.text.split(":")[1].split(",")[0] for each in posts} == {" $11.00", " $12.00"}
    configure(stack)
    assert intacct.logins == 0


def test_a_worker_that_is_killed_while_intacct_answers_loses_nothing(stack: Stack, intacct: IntacctStandIn) -> None:
    post(intacct, "Killed", "21.00")
    intacct.add_payment(REGAL, "22.00", batch="Killed", number="88")
    intacct.fail("query:GLENTRY", "slow_after", times=1, seconds=5.0)
    assert trigger(stack) == 200
    wait_for(lambda: intacct.count("query:GLENTRY") == 1, 10, what="the lines are asked for")
    pids = stack.pids("work@")
    assert pids
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    killed = time.monotonic()
    posts = stack.wait_for_posts(2, FINANCE, seconds=60)
    print(f"told {time.monotonic() - killed:.0f} s after the kill")
    assert sorted(each.text.split(":")[1].split(",")[0] for each in posts) == [" $21.00", " $22.00"]
    assert stack.answer("poll", "acme-intacct")["new"] == 0
    stack.wait_for_posts(2, FINANCE)


def test_a_wrong_password_is_tried_once_and_the_right_one_sets_free_what_was_due(
    stack: Stack, intacct: IntacctStandIn
) -> None:
    intacct.expire_sessions()
    intacct.user = ("fake-user", "a new password")
    post(intacct, "Locked", "31.00")
    for _ in range(4):
        assert trigger(stack) == 200
        time.sleep(1.5)
    (alert,) = stack.wait_for_posts(1, OPS)
    assert alert.text.startswith("Connection acme-intacct must be connected again: Intacct refuses the sign-in")
    assert stack.manage("poll", "acme-intacct", status=1).returncode == 1
    time.sleep(5)  # sweeps come and go
    assert (intacct.logins, intacct.refused_logins, stack.posts(FINANCE)) == (1, 1, [])
    states = {row["slug"]: row["state"] for row in stack.status()["connections"]}
    assert states["acme-intacct"] == "needs_reauthorization"
    configure(stack, password="a new password")
    (told,) = stack.wait_for_posts(1, FINANCE, seconds=40)
    assert told.text.startswith("GL posting of 1 batch completed: $31.00")
    assert (intacct.logins, intacct.refused_logins) == (2, 1)


def test_with_redis_frozen_a_command_reads_and_the_workers_tell_later(stack: Stack, intacct: IntacctStandIn) -> None:
    post(intacct, "Frozen", "41.00")
    pids = stack.pids("valkey-server") + stack.pids("redis-server")
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        assert stack.answer("poll", "acme-intacct")["new"] == 1
        assert not stack.posts()
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
    stack.wait_for_posts(1, FINANCE, seconds=40)
