"""The trigger: whoever knows the connection's secret wakes its reports, and nobody else does."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable

import pytest
import time_machine

from connector.models import AuditEntry, Connection, InboxEvent, Report
from connector.pipeline import reporting
from tests.intacct.test_reading import TOLD, busy, heads, hints_of
from tests.intacct.world import IntacctWorld, at_once

SECRET = "fake-trigger-secret"
BODY = b'{"object": "GLBATCH", "key": 6679}'


def signature(body: bytes = BODY, secret: str = SECRET, *, age: float = 0) -> str:
    stamp = str(int(time.time() - age))
    digest = hmac.new(secret.encode(), stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    return f"t={stamp},v1={digest}"


def test_a_signed_call_has_the_reports_read(world: IntacctWorld) -> None:
    world.route()
    busy(world)
    answers: list[int] = []
    hints = hints_of(lambda: answers.append(world.trigger(BODY, signature=signature())))
    assert (answers, hints) == ([200], [("read_reports", str(world.source.pk))])
    assert set(Report.objects.filter(due_at__isnull=False).values_list("name", flat=True)) == {
        "gl_postings",
        "payment_batches",
    }
    reporting.run(world.source.pk)
    world.work()
    assert heads(world.texts) == TOLD


def test_the_same_call_twice_reads_twice_at_most_and_tells_once(world: IntacctWorld) -> None:
    world.route()
    busy(world)
    signed = signature()
    assert [world.trigger(BODY, signature=signed) for _ in range(2)] == [200, 200]
    for _ in range(2):
        reporting.run(world.source.pk)
    assert world.trigger(BODY, signature=signed) == 200
    for _ in range(2):
        reporting.run(world.source.pk)
    world.work()
    assert heads(world.texts) == TOLD
    assert sum("query:GLBATCH" in functions for functions in world.functions) == 2


def test_a_call_while_it_is_read_has_it_read_once_more(world: IntacctWorld) -> None:
    world.route("GL", "gl_posting.*")
    world.post()
    world.trigger(BODY, signature=signature())
    claimed = reporting._claim(world.source)
    world.post("Later", "2.00")
    assert world.trigger(BODY, signature=signature()) == 200
    reporting.read(world.source, list(claimed), origin="poll", claimed=claimed)
    assert Report.objects.filter(due_at__isnull=False).count() == 2
    reporting.run(world.source.pk)
    assert not Report.objects.filter(due_at__isnull=False).exists()


def test_a_call_while_a_person_reads_is_not_taken_for_answered(world: IntacctWorld) -> None:
    world.intacct.fail("query:GLBATCH", "slow", times=1, seconds=1.0)

    def trigger() -> None:
        while not world.intacct.count("query:GLBATCH"):
            time.sleep(0.01)
        assert world.trigger(BODY, signature=signature()) == 200
        assert set(reporting._claim(world.source)) == {"gl_postings", "payment_batches"}

    found = at_once(trigger, lambda: reporting.read(world.source, ["gl_postings"], origin="poll").new)
    assert sorted(map(str, found)) == ["0", "None"]
    row = world.report("gl_postings")
    assert row.due_at is not None and row.lease_until is not None


@pytest.mark.parametrize(
    "given",
    [
        lambda: "",
        lambda: "nonsense",
        lambda: signature(secret="fake-other"),
        lambda: signature(b"another body"),
        lambda: signature(age=400),
        lambda: signature(age=-400),
        lambda: signature().replace("v1=", "v0="),
        lambda: signature()[:-2] + "zz",
    ],
)
def test_any_other_call_is_refused(world: IntacctWorld, given: Callable[[], str]) -> None:
    assert world.trigger(BODY, signature=given()) == 401
    assert not Report.objects.exists() and not InboxEvent.objects.exists()
    assert AuditEntry.objects.filter(action__contains="signature").count() <= 1


def test_a_connection_without_a_secret_has_no_trigger(world: IntacctWorld) -> None:
    world.authorize(world.source, user_id="fake-user", user_password="fake-user-password")
    assert [world.trigger(BODY, signature=signature(secret=secret)) for secret in ("", "none", SECRET)] == [401] * 3
    assert not Report.objects.exists()


def test_a_connection_that_is_switched_off_is_not_woken(world: IntacctWorld) -> None:
    Connection.objects.filter(pk=world.source.pk).update(is_active=False)
    assert world.trigger(BODY, signature=signature()) == 401
    assert not Report.objects.exists()


def test_the_body_is_not_believed(world: IntacctWorld) -> None:
    for body in (b"{}", b"\xff\x00<!DOCTYPE x>", b"[" * 50_000):
        assert world.trigger(body, signature=signature(body)) == 200
    with time_machine.travel(time.time() + 299):
        assert world.trigger(BODY, signature=signature(age=299)) == 200
    assert not InboxEvent.objects.exists() and world.functions == []
