"""A refused sign-in is made once: the next one could lock the user out. What was due waits for the right password."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
import time_machine
import yaml

from connector.kernel.errors import Reauthorize, Retry
from connector.models import Connection, ConnectionState, Credential, Report
from connector.pipeline import connections, credentials, reporting, reports, schedules, sweep
from tests.intacct.test_reading import TOLD, busy, heads, hinted, hints_of
from tests.intacct.world import COMPANY, REPORTS, TODAY, IntacctWorld, at_once


def everything(world: IntacctWorld) -> None:
    """All that asks the company for something by itself."""
    source = str(world.source.pk)
    for schedule in world.source.schedules.all():
        schedules.fire(schedule.pk)
    reporting.run(source)
    reports.sweep()
    sweep.connections()
    sweep.stalled()
    connections.renew(str(world.source.credential_id))
    world.trigger()


@pytest.fixture
def refused(world: IntacctWorld) -> IntacctWorld:
    """The stored password is wrong, and nobody knows it yet."""
    world.authorize(world.source, user_id="fake-user", user_password="wrong")
    Connection.objects.filter(pk=world.source.pk).update(state=ConnectionState.UNKNOWN)
    world.route()
    for report in REPORTS:
        schedules.add(world.source, report, "0 7 * * *")
    busy(world)
    return world


def test_one_sign_in_however_often_something_is_due(refused: IntacctWorld) -> None:
    for minutes in (0, 1, 2, 15, 60, 60 * 24):
        with time_machine.travel(dt.datetime.now(dt.UTC) + dt.timedelta(minutes=minutes)):
            everything(refused)
    refused.work()
    assert (refused.intacct.logins, refused.intacct.refused_logins) == (1, 1)
    assert refused.state() == "needs_reauthorization" and not hinted(refused)
    (text,) = refused.texts
    assert text == (
        "Connection acme-intacct must be connected again: Intacct refuses the sign-in: correct the company ID, user ID "
        "or user password (code XL03000006) (needs reauthorization)"
    )
    assert {(row.outcome, row.due_at is not None) for row in Report.objects.all()} == {("parked", True)}


def test_a_command_does_not_repeat_it_and_a_ping_does(refused: IntacctWorld) -> None:
    assert refused.command("poll", "acme-intacct")[0] == 1
    code, said = refused.command("poll", "acme-intacct")
    assert (code, said) == (
        1,
        "Intacct refuses the sign-in: correct the company ID, user ID or user password (code XL03000006); nothing is "
        "read, so that the user is not locked out. Store the right credentials, or ping acme-intacct once the stored "
        "ones are good",
    )
    assert refused.command("backfill", "acme-intacct", "--since", "2026-11-01T00:00:00Z")[0] == 1
    assert refused.intacct.logins == 1
    # An administrator of Intacct sets the password that is stored here.
    refused.intacct.user = ("fake-user", "wrong")
    with time_machine.travel(dt.datetime.now(dt.UTC) + dt.timedelta(seconds=5)):
        assert refused.command("ping", "acme-intacct")[0] == 0
        assert (refused.state(), hinted(refused)) == ("ok", False)
        assert refused.command("poll", "acme-intacct")[1]["new"] == 5
    refused.work()
    assert sorted(heads(refused.texts)[1:]) == sorted(TOLD)


def test_two_that_need_a_session_at_once_sign_in_once(refused: IntacctWorld) -> None:
    refused.intacct.fail("xmlgw", "slow", times=10, seconds=0.3)
    source = str(refused.source.pk)
    reports.ask(refused.source, REPORTS)
    at_once(lambda: reporting.run(source), *[lambda: connections.recheck(source)] * 3)
    connections.recheck(source)  # a hint that was late
    assert (refused.intacct.logins, refused.intacct.refused_logins) == (1, 1)
    assert refused.state() == "needs_reauthorization"


def test_a_sign_in_that_takes_long_is_not_made_twice(
    world: IntacctWorld, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    """The claim on the renewal is kept for as long as the call takes, which may be longer than the claim."""
    settings.HTTP_TIMEOUT_SECONDS = 1.0
    assert credentials._lease() == 2.0
    world.intacct.fail("getAPISession", "slow", seconds=3.5)
    source = str(world.source.pk)
    found = at_once(lambda: connections.check(source), lambda: connections.check(source))
    assert world.intacct.logins == 1
    assert sum(isinstance(each, Retry) for each in found) <= 1
    assert Credential.objects.get(connections=world.source).lease_until is None


def document(world: IntacctWorld, password: str) -> dict[str, Any]:
    return {
        "version": 1,
        "organizations": [
            {
                "slug": "acme",
                "connections": [
                    {
                        "slug": "acme-intacct",
                        "system": "sage_intacct",
                        "account": COMPANY,
                        "credentials": {"user_id": "fake-user", "user_password": password},
                    }
                ],
            }
        ],
    }


@pytest.mark.parametrize("flags", [(), ("--force-credentials",)])
def test_the_right_password_sets_free_what_was_due(world: IntacctWorld, tmp_path: Path, flags: tuple[str, ...]) -> None:
    file = tmp_path / "connector.yaml"

    def apply(password: str, *flags: str) -> None:
        file.write_text(yaml.safe_dump(document(world, password)))
        assert world.command("config", "apply", str(file), *flags)[0] == 0

    world.route()
    apply("wrong", "--force-credentials")
    busy(world)
    everything(world)
    world.read()
    assert (world.state(), world.intacct.logins) == ("needs_reauthorization", 1)
    apply(world.intacct.user[1], *flags)
    assert (world.state(), hinted(world)) == ("unknown", True)
    reporting.run(world.source.pk)
    world.work()
    assert sorted(heads(world.texts)) == sorted([*TOLD, "Connection acme-intacct must be connected again"])
    assert (world.state(), world.intacct.logins) == ("ok", 2)


def test_a_password_that_is_changed_at_intacct_is_tried_once_when_the_session_ends(world: IntacctWorld) -> None:
    with world.at():
        world.read()
    world.intacct.user = ("fake-user", "another")
    with world.at(10):
        world.read()  # the session is good for a while
        world.intacct.expire_sessions()
        everything(world)
        world.read()
    with world.at(20):
        everything(world)
    assert (world.intacct.logins, world.intacct.refused_logins) == (2, 1)
    with pytest.raises(Reauthorize), world.at(30):
        reporting.read(world.source, REPORTS, origin="poll")


def test_nobody_signs_in_while_there_is_nothing_to_read(world: IntacctWorld) -> None:
    """A session is no token to be kept alive around the clock."""
    with world.at():
        world.read()
    assert Credential.objects.get(connections=world.source).expires_at is None
    for minutes in range(5, 60 * 24, 45):
        with time_machine.travel(TODAY + dt.timedelta(minutes=minutes)):
            hints = [*hints_of(sweep.connections), *hints_of(sweep.stalled)]
        assert {task for task, _ in hints} & {"refresh_credential", "check_connection", "read_reports"} == set()
