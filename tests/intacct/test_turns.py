"""One request in flight for a company, whoever reads: workers, schedules, commands, pings, with Redis and without."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from connector import locks
from connector.kernel.errors import Retry
from connector.models import Connection, Report, VendorCalls
from connector.pipeline import connections, reporting, schedules, turns
from tests.intacct.test_reading import TOLD, busy, heads
from tests.intacct.world import REPORTS, IntacctWorld, at_once


@pytest.fixture
def slow(world: IntacctWorld) -> IntacctWorld:
    """Every request takes long enough for another one to come."""
    world.intacct.fail("xmlgw", "slow", times=1000, seconds=0.2)
    return world


def test_four_workers_two_schedules_and_a_poll_in_another_process(slow: IntacctWorld) -> None:
    slow.route()
    busy(slow)
    for report in REPORTS:
        schedules.add(slow.source, report, "0 7 * * *")
    due = list(slow.source.schedules.values_list("pk", flat=True))
    poll = slow.manage("poll", "acme-intacct", "--json")

    def work() -> None:
        for _ in range(5):
            for schedule in due:
                schedules.fire(schedule)
            reporting.run(slow.source.pk)

    found = at_once(work, work, work, work, lambda: connections.recheck(str(slow.source.pk)))
    said, _ = poll.communicate(timeout=60)
    assert (found, poll.returncode, set(json.loads(said))) == ([None] * 5, 0, {"seen", "new"}), said
    slow.work()
    assert sorted(heads(slow.texts)) == sorted(TOLD)
    assert (slow.intacct.most_in_flight, slow.intacct.overlaps) == (1, 0)
    assert (slow.intacct.logins, slow.intacct.refused_logins) == (1, 0)


def test_two_first_readings_at_once_tell_once(slow: IntacctWorld) -> None:
    slow.route()
    busy(slow)

    def poll() -> int:
        return reporting.read(slow.source, REPORTS, origin="poll").new

    found = at_once(poll, poll, poll)
    assert sorted(map(str, found)) == ["0", "0", "5"]
    slow.work()
    assert heads(slow.texts) == TOLD
    assert (slow.intacct.most_in_flight, slow.intacct.logins) == (1, 1)


def test_both_reports_together_cost_three_requests(world: IntacctWorld) -> None:
    with world.at():
        world.read()
        world.intacct.clear()
        world.post()
        world.pay()
        world.read()
    assert world.functions == [
        ("query:GLBATCH", "query:APPYMT", "query:VENDOR", "readByName:USERINFO"),
        ("readUserFormatting", "query:GLENTRY"),
    ]
    with world.at(10):
        world.intacct.clear()
        world.post("Odd", "2.00", other="1.00")
        world.pay(number="2")
        world.read()
    assert world.functions == [
        ("query:GLBATCH", "query:APPYMT", "query:VENDOR"),
        ("query:GLENTRY", "query:APPYMT"),
        ("query:GLENTRY",),
    ]
    with world.at(20):
        world.intacct.clear()
        world.read()
    assert world.functions == [("query:GLBATCH", "query:APPYMT", "query:VENDOR")]


def test_what_a_reading_costs_in_transactions(world: IntacctWorld) -> None:
    """The README's table."""

    def cost(minutes: float, *names: str, books: Callable[[], object] = lambda: None) -> int:
        before = used()
        with world.at(minutes):
            books()
            world.read(*names)
        return used() - before

    def used() -> int:
        return sum(VendorCalls.objects.filter(outcome="transactions").values_list("count", flat=True))

    assert cost(0, "gl_postings") == 1 + 1 + 1  # the sign-in, the heads, which number the user has
    assert cost(1, "gl_postings", books=world.post) == 1 + 1 + 2  # the lines, and how the user's times look
    assert cost(2, "gl_postings") == 1
    assert cost(3, "payment_batches", books=world.pay) == 2 + 2
    assert cost(4, "payment_batches") == 2
    assert cost(5, "payment_batches", books=lambda: world.pay(number="2")) == 2 + 1
    assert cost(6) == 3
    assert cost(7, books=lambda: world.post("Odd", "2.00", other="1.00")) == 3 + 1 + 1
    before = used()
    with world.at(8):
        connections.check(str(world.source.pk))
    assert used() - before == 6
    assert cost(46) == 1 + 3


def test_a_turn_that_does_not_come_is_no_trouble_of_the_company(world: IntacctWorld, settings: Any) -> None:
    settings.HTTP_TIMEOUT_SECONDS = 0.05
    with turns.turn("sage_intacct:acme-company", patience=1), world.at():
        world.read()
        assert (world.report("gl_postings").code, world.state(), world.functions) == (turns.CODE, "ok", [])
    settings.HTTP_TIMEOUT_SECONDS = 15.0
    with world.at():
        world.run_due()
    assert world.report("gl_postings").outcome == "done"


@pytest.mark.usefixtures("redis")
def test_a_holder_that_died_is_waited_for_and_a_living_one_keeps_its_place() -> None:
    assert locks.run(turns._TAKE, ["turn:x"], ["somebody else", 1000]) == 1
    started = time.monotonic()
    with turns.turn("X", patience=5):
        assert 0.8 < time.monotonic() - started < 2
        with pytest.raises(Retry), turns._everywhere("turn:x", time.monotonic()):
            pass
        time.sleep(turns.LIFE / 3 + 0.3)
        assert int(locks.client().pttl(f"{locks.PREFIX}turn:x")) > (turns.LIFE - 1) * 1000
    assert not locks.client().exists(f"{locks.PREFIX}turn:x")


# --- without Redis ---


@contextlib.contextmanager
def frozen() -> Iterator[None]:
    pid = int(locks.client().info("server")["process_id"])
    pool = locks.client().connection_pool
    pool.disconnect()
    pool.connection_kwargs["socket_timeout"] = 0.3  # two seconds each time would make a long test
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
        locks.client.cache_clear()


@contextlib.contextmanager
def away(settings: Any) -> Iterator[None]:
    there, settings.REDIS_URL = settings.REDIS_URL, "unix:///nowhere/redis.sock"
    locks.client.cache_clear()
    try:
        yield
    finally:
        settings.REDIS_URL = there
        locks.client.cache_clear()


@pytest.mark.parametrize("how", ["frozen", "away"])
def test_without_redis_a_command_reads_and_a_worker_waits(world: IntacctWorld, settings: Any, how: str) -> None:
    world.route()
    busy(world)
    with frozen() if how == "frozen" else away(settings):
        settings.ROLE = "worker"
        with world.at():
            world.read()
            row = world.report("gl_postings")
            assert (row.outcome, row.code, row.due_at is not None) == ("failed", "turn", True)
            assert (world.functions, world.state()) == ([], "ok")
        settings.ROLE = "command"
        assert world.command("poll", "acme-intacct") == (0, {"seen": 5, "new": 5})
    settings.ROLE = "worker"
    Report.objects.update(due_at=None)
    world.read()
    world.work()
    assert heads(world.texts) == TOLD
    assert Connection.objects.get(pk=world.source.pk).state == "ok"
