"""Reports from the gateway to Slack: each thing is told once, also when a reading is cut, refused or repeated."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from celery.signals import before_task_publish
from django.db import connection as database

from connector.kernel.errors import Retry, VendorError
from connector.models import AuditEntry, Connection, Cursor, InboxEvent, Report
from connector.pipeline import clock, connections, reporting, reports, sweep
from sources.sage_intacct.standin import credit, debit
from tests.intacct.world import FREIGHT, REPORTS, SHARPE, TEXTILES, TODAY, IntacctWorld

#: What one reading of the busy day below tells, in its order.
TOLD = [
    "GL posting of 2 batches completed",
    "GL posting GJ 250 is out of balance",
    "Payment batch 321 completed",
    "Payment 10022 voided",
    "Vendor 20031 has an exception",
]
#: What the first reading asks for: a session, all heads and who the user is, the lines and the user's clock, and once
#: more the lines of what seems out of balance.
FIRST = [
    ("getAPISession",),
    ("query:GLBATCH", "query:APPYMT", "query:VENDOR", "readByName:USERINFO"),
    ("readUserFormatting", "query:GLENTRY"),
    ("query:GLENTRY",),
]


def busy(world: IntacctWorld) -> None:
    """A day with something for every kind of message."""
    world.post()
    world.post("Reclass rent", "1200.00", other="1000.00")
    world.pay()
    world.intacct.set_payment_state(world.pay(TEXTILES, "500.00", "10022"), "V")
    world.intacct.set_vendor(FREIGHT, is_on_hold=True)
    world.pay(FREIGHT, "870.00", "10024")


def heads(texts: list[str]) -> list[str]:
    return [text.split(":")[0] for text in texts]


def test_a_poll_tells_all_that_is_new_and_the_next_one_nothing(world: IntacctWorld) -> None:
    world.route()
    with world.at():
        busy(world)
        assert world.command("poll", "acme-intacct") == (0, {"seen": 5, "new": 5})
        assert world.command("poll", "acme-intacct") == (0, {"seen": 0, "new": 0})
    world.work()
    assert heads(world.texts) == TOLD
    assert world.functions == [*FIRST, ("query:GLBATCH", "query:APPYMT", "query:VENDOR")]
    assert {row.outcome for row in Report.objects.all()} == {"done"}
    assert AuditEntry.objects.filter(action="report.read").count() == 4


def test_one_report_may_be_read_alone(world: IntacctWorld) -> None:
    world.route()
    with world.at():
        busy(world)
        assert world.command("poll", "acme-intacct", "--report", "gl_postings") == (0, {"seen": 2, "new": 2})
        assert world.command("poll", "acme-intacct") == (0, {"seen": 3, "new": 3})
    world.work()
    assert heads(world.texts) == TOLD
    assert not any("APPYMT" in function for functions in world.functions[:4] for function in functions)


def test_an_unknown_report_is_bad_usage(world: IntacctWorld) -> None:
    code, said = world.command("poll", "acme-intacct", "--report", "trial_balance")
    assert (code, said) == (2, "there is no report 'trial_balance': there are gl_postings, payment_batches")
    code, said = world.command("poll", "acme-slack", "--report", "gl_postings")
    assert (code, said) == (2, "there is no report 'gl_postings': slack has none")
    assert world.functions == []


def test_a_backfill_tells_only_what_was_not_told(world: IntacctWorld) -> None:
    world.route("GL", "gl_posting.*")
    with world.at():
        world.intacct.entered_ago = dt.timedelta(days=3)
        world.post("Three days ago", "30.00")
        world.intacct.entered_ago = dt.timedelta(hours=1)
        world.post("An hour ago", "40.00")
        assert world.command("poll", "acme-intacct")[1]["new"] == 1
        since = ("backfill", "acme-intacct", "--since", "2026-11-16T00:00:00Z")
        assert world.command(*since, "--dry-run") == (0, {"seen": 1, "new": 1})
        assert world.command(*since) == (0, {"seen": 1, "new": 1})
        assert world.command(*since) == (0, {"seen": 0, "new": 0})
        assert world.command(*since, "--until", "2026-11-17T00:00:00Z")[0] == 2
    world.work()
    assert [text.split(":")[1].split(",")[0] for text in world.texts] == [" $40.00", " $30.00"]


def test_the_first_poll_looks_back_as_far_as_it_is_told(world: IntacctWorld) -> None:
    Connection.objects.filter(pk=world.source.pk).update(settings={"lookback_hours": 2})
    world.route("GL", "gl_posting.*")
    with world.at():
        world.intacct.entered_ago = dt.timedelta(hours=3)
        world.post()
        assert world.command("poll", "acme-intacct")[1]["new"] == 0


def test_what_is_very_fresh_is_told_whole_or_a_little_later(world: IntacctWorld) -> None:
    """Lines may still be on their way when their batch is there: no alarm is raised over that."""
    world.route("GL", "gl_posting.*")
    world.intacct.entered_ago = dt.timedelta(0)
    with world.at():
        whole, half = world.post("Whole", "1.00"), world.post("Half", "2.00", other="1.00")
        assert (whole, half) == (6679, 6680)
        assert heads(world.tell()) == ["GL posting of 1 batch completed"]
    with world.at(1):
        world.intacct.add_line(half, credit("1010", "1.00"))
        assert heads(world.tell()) == ["GL posting of 1 batch completed"]
    with world.at(30):
        assert world.tell() == []


def test_what_was_entered_this_very_second_is_told_though_the_clocks_differ(world: IntacctWorld) -> None:
    """What we take for the server's present is whole seconds, and was learnt at the sign-in."""
    world.route()
    world.intacct.entered_ago = dt.timedelta(0)
    for minutes, skew in ((0, 0), (10, 2), (20, -2)):
        with world.at(minutes):
            moment = clock.now() + dt.timedelta(seconds=skew)
            world.intacct.now = lambda moment=moment: moment  # type: ignore[misc]
            world.post("Just now", f"{minutes + 1}.00")
            world.pay(number=f"4000{minutes}", batch=f"Batch {minutes}")
            assert heads(world.tell())[0] == "GL posting of 1 batch completed"
    assert len(world.texts) == 6


def test_two_readings_within_a_second_lose_nothing(world: IntacctWorld) -> None:
    world.route()
    with world.at():
        for number in range(4):
            world.post("Rent", f"{number + 1}.00")
            world.pay(SHARPE, f"{number + 1}.00", "", batch="")
            world.pay(number=f"2000{number}")
            world.read()
    world.work()
    # Each time a run, the batch as it has grown, and a payment without one.
    assert len(world.texts) == 12
    batches = [text.split(":")[1].split(",")[:2] for text in world.texts if "Payment batch 321" in text]
    assert batches == [[" $1", "475.00"], [" $2", "950.00"], [" $4", "425.00"], [" $5", "900.00"]]


@pytest.mark.parametrize("count", range(1, 4))
def test_a_session_that_ends_in_the_middle_doubles_nothing(world: IntacctWorld, count: int) -> None:
    world.route()
    with world.at():
        world.read()  # a session is there, and nothing to tell
        world.intacct.clear()
        busy(world)
        world.intacct.expire_sessions(after=count)
        world.read()
        world.read()
    world.work()
    assert heads(world.texts) == TOLD
    assert (world.intacct.logins, world.intacct.refused_logins) == (1, 0)


def test_a_session_is_used_again_and_opened_when_it_is_needed(world: IntacctWorld) -> None:
    with world.at():
        world.read()
    for minutes in (10, 44):
        with world.at(minutes):
            world.read()
    assert world.intacct.logins == 1
    with world.at(46):
        world.read()
    assert world.intacct.logins == 2
    world.intacct.session_life = dt.timedelta(minutes=12)
    world.intacct.expire_sessions()
    for minutes, logins in ((50, 3), (56, 3), (58, 4)):
        with world.at(minutes):
            world.read()
        assert world.intacct.logins == logins


@pytest.mark.parametrize(
    ("function", "error", "state"),
    [
        ("query:GLBATCH", "permission", "misconfigured"),
        ("query:GLENTRY", "permission", "misconfigured"),
        ("query:GLENTRY", "business", "ok"),
    ],
)
def test_a_failed_function_beside_good_ones(world: IntacctWorld, function: str, error: str, state: str) -> None:
    """The payments are told; the postings keep their place, are told of once as failing, and whole the next time."""
    world.route()
    with world.at():
        busy(world)
        world.intacct.fail_function(function, error, times=3)
        for _ in range(3):
            world.read()
    world.work()
    told = heads(world.texts)
    assert sorted(told) == sorted([*TOLD[2:], "Connection acme-intacct is failing"])
    assert world.state() == state
    assert [row.name for row in Cursor.objects.all()] == ["report payment_batches"]
    (reason,) = [text for text in world.texts if "is failing" in text]
    assert "gl_postings could not be read whole, and nothing of it was told" in reason
    with world.at(10):
        assert heads(world.tell()) == TOLD[:2]
    assert world.state() == "ok"
    assert [(row.outcome, row.told_at, row.due_at) for row in Report.objects.all()] == [("done", None, None)] * 2


def test_a_mended_right_is_noticed_and_what_waited_is_read_by_itself(world: IntacctWorld) -> None:
    world.route("all", "gl_posting.*", "payment_batch.*", "connection.*")
    world.intacct.deny("GLENTRY")
    with world.at():
        world.post()
        world.pay()
        world.read()
        for _ in range(3):  # what may be read is read on
            world.run_due()
        sweep.connections()
        connections.recheck(str(world.source.pk))
    world.work()
    assert heads(world.texts) == ["Payment batch 321 completed", "Connection acme-intacct is failing"]
    assert world.report("gl_postings").outcome == "parked"
    before = len(world.intacct.requests)
    with world.at(5):
        reports.sweep()
        reporting.run(world.source.pk) if hinted(world) else None
    assert len(world.intacct.requests) == before
    world.intacct.permit("GLENTRY")
    with world.at(6):
        connections.recheck(str(world.source.pk))
        assert (world.state(), hinted(world)) == ("ok", True)
        reporting.run(world.source.pk)
    world.work()
    assert heads(world.texts)[2:] == ["GL posting of 1 batch completed"]


def hinted(world: IntacctWorld) -> bool:
    """Whether the sweep has the connection's reports read."""
    return ("read_reports", str(world.source.pk)) in hints_of(reports.sweep)


def hints_of(work: Callable[[], object]) -> list[tuple[str, str]]:
    """The tasks that the work hints at, with their first argument."""
    seen: list[tuple[str, str]] = []

    def note(sender: str, body: Any, **_: Any) -> None:
        seen.append((sender.removeprefix("connector.tasks."), body[0][0] if body[0] else ""))

    before_task_publish.connect(note)
    work()
    before_task_publish.disconnect(note)
    return seen


TRANSIENT = ["throttle", "throttle_bare", "outage", "bad_gateway", "timeout", "html", "empty", "not_xml"]


@pytest.mark.parametrize("answer", TRANSIENT)
@pytest.mark.parametrize("place", [1, 2])
def test_a_passing_trouble_is_tried_again_and_told_by_nobody(world: IntacctWorld, answer: str, place: int) -> None:
    world.route()
    with world.at():
        world.read()  # a session is there
        busy(world)
        world.intacct.answer_badly(answer, "query:GLBATCH" if place == 1 else "query:GLENTRY", times=2)
        for _ in range(3):
            world.run_due() if world.report("gl_postings").due_at else world.read()
    world.work()
    assert sorted(heads(world.texts)) == sorted(TOLD)
    assert {row.due_at for row in Report.objects.all()} == {None}


def test_an_answer_that_is_cut_in_half_is_read_again(world: IntacctWorld) -> None:
    world.route()
    with world.at():
        world.read()
        busy(world)
        world.intacct.fail("query:GLBATCH", "halve", times=1)
        world.intacct.fail("query:GLENTRY", "halve", times=1)
        for _ in range(3):
            world.run_due() if world.report("gl_postings").due_at else world.read()
    world.work()
    assert sorted(heads(world.texts)) == sorted(TOLD)


def test_the_pause_that_intacct_asks_for_is_kept(world: IntacctWorld) -> None:
    with world.at():
        world.read()
        world.intacct.answer_badly("throttle", times=1)
        world.read()
        row = world.report("gl_postings")
        assert row.due_at == clock.now() + dt.timedelta(seconds=1)
        # A schedule or a trigger does not cut it short; a person does.
        reports.ask(world.source, REPORTS)
        assert world.report("gl_postings").due_at == row.due_at
        reports.ask(world.source, REPORTS, is_person=True)
        assert world.report("gl_postings").due_at == clock.now()


def test_a_trouble_that_lasts_is_told_once(world: IntacctWorld) -> None:
    world.route("alerts", "connection.*")
    world.intacct.answer_badly("outage", times=100)
    for minutes in (0, 10, 31, 45, 90):
        with world.at(minutes):
            world.run_due() if minutes else world.read()
    world.work()
    (text,) = world.texts
    assert text == (
        "Connection acme-intacct is failing: Its reports cannot be read: Intacct could not answer (HTTP 503). "
        "It goes on being tried. (failed)"
    )
    assert world.state() == "unreachable"


def test_a_kill_between_reading_and_storing_loses_nothing(world: IntacctWorld) -> None:
    """The work ends at once (nothing catches it) when all was read, and then when half of it was stored."""
    world.route()
    stores: list[str] = []

    class Killed(BaseException):
        pass

    def kill(execute: Callable[..., Any], sql: str, parameters: Any, many: bool, context: Any) -> Any:
        if 'INTO "connector_inboxevent"' in sql:
            stores.append(sql)
            if len(stores) in (1, 3):
                raise Killed
        return execute(sql, parameters, many, context)

    with world.at():
        busy(world)
        for _ in range(2):
            with database.execute_wrapper(kill), pytest.raises(Killed):
                world.read()
            assert world.report("gl_postings").lease_until is not None
            before = len(world.functions)
            reporting.run(world.source.pk)  # somebody else's claim still stands
            assert len(world.functions) == before
            Report.objects.update(lease_until=clock.now() - dt.timedelta(seconds=1))
        world.run_due()
        world.run_due()
    world.work()
    assert len(stores) == 3 and heads(world.texts) == TOLD


def test_a_reading_that_another_one_overtook_begins_anew(world: IntacctWorld) -> None:
    """Both have read the same: whoever stores second finds the cursor moved, and reads what is left."""
    world.route()
    with world.at():
        busy(world)
        work = reporting._Work(world.source, REPORTS, "poll", None, is_dry=False)
        work.begin()
        assert world.command("poll", "acme-intacct")[1]["new"] == 5
        with pytest.raises(reporting.Overtaken):
            reporting._call(world.source, work)
        assert reporting.read(world.source, REPORTS, origin="poll").new == 0
    world.work()
    assert heads(world.texts) == TOLD


def test_a_dry_run_that_fails_writes_nothing_down(world: IntacctWorld) -> None:
    world.intacct.answer_badly("outage", times=1)
    with pytest.raises(Retry):
        reporting.read(world.source, REPORTS, origin="backfill", since=TODAY, is_dry=True)
    assert not Report.objects.exists() and world.state() == "ok"


def test_what_a_poll_could_not_read_is_said_and_exits_1(world: IntacctWorld) -> None:
    world.intacct.deny("APPYMT")
    with world.at():
        world.post()
        code, said = world.command("poll", "acme-intacct")
    assert code == 1
    assert said.startswith("payment_batches could not be read whole, and nothing of it was told: the role of")
    assert InboxEvent.objects.filter(record="gl_posting").count() == 1


def test_a_large_run_is_read_page_by_page(world: IntacctWorld) -> None:
    """Three requests, and one more for each further page."""
    world.route("GL", "gl_posting.*")
    with world.at():
        for number in range(1001):
            lines = [debit("6100", "1.10"), credit("2010", "1.10")]
            world.intacct.post_batch("GJ", f"Batch {number}", lines)
        world.read("gl_postings")
    world.work()
    assert world.texts[0].startswith("GL posting of 1001 batches completed: $1,101.10, ")
    # The heads' second page; three functions of 500, 500 and 1 batches side by side.
    assert [len(functions) for functions in world.functions] == [1, 2, 1, 4]


def test_a_missing_user_is_a_reason_to_connect_again(world: IntacctWorld) -> None:
    world.authorize(world.source, user_id="", user_password="")
    with world.at():
        world.read()
    assert (world.state(), world.functions) == ("needs_reauthorization", [])
    with pytest.raises(VendorError, match="nothing is read"):
        reporting.read(world.source, REPORTS, origin="poll")
