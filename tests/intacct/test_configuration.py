"""Schedules in the configuration file and in the admin: what is there, what is wrong, and what beat makes of it."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from django_celery_beat.models import CrontabSchedule, PeriodicTask

from connector.models import AuditEntry, Connection, Organization, Report, Schedule
from connector.pipeline import reporting, schedules
from tests.intacct.test_reading import hints_of
from tests.intacct.world import COMPANY, IntacctWorld

CONTRACT: list[dict[str, Any]] = [
    {"report": "gl_postings", "cron": "0 7 * * 1-5"},
    {"report": "payment_batches", "cron": "30 7 * * 1-5"},
    {"report": "gl_postings", "cron": "*/30 7-19 * * *", "window": {"last": 2, "first": 5}},
]
MISTAKES = """\
version: 1
organizations:
  - slug: acme
    connections:
      - slug: acme-intacct
        system: sage_intacct
        account: ACME-COMPANY
        settings:
          lookback: 24  #! unknown setting 'lookback': did you mean 'lookback_hours'?
          lookback_hours: many  #! lookback_hours must be a whole number, 0 or more
          tell_empty_runs: maybe  #! tell_empty_runs must be no or yes, not 'maybe'
        schedules:
          - {report: gl_posting, cron: "0 7 * * *"}  #! there is no report 'gl_posting': did you mean 'gl_postings'?
          - {report: gl_postings}  #! cron is missing
          - {cron: "0 7 * * *"}  #! report is missing
          - {report: gl_postings, cron: "0 7 * *"}  #! CRON (it has 4 fields)
          - {report: gl_postings, cron: "0 25 * * *"}  #! CRON (Invalid end range: 25 > 23.)
          - {report: gl_postings, cron: daily}  #! CRON (it has 1 fields)
          - {report: gl_postings, cron: "5 7 * * *", every: day}  #! unknown key 'every': there can be cron, report, window
          - {report: gl_postings, cron: "6 7 * * *", window: {last: 0}}  #! a window names the last or first business days of a month: {last: 2, first: 5}
          - {report: gl_postings, cron: "7 7 * * *", window: {last: 21}}  #! last can be 20 business days at most
          - {report: gl_postings, cron: "8 7 * * *", window: {last: -1, first: 1}}  #! last must be a whole number, 0 or more
          - {report: gl_postings, cron: "9 7 * * *", window: {lost: 1}}  #! unknown key 'lost': did you mean 'last'? #! a window names the last or first business days of a month: {last: 2, first: 5}
          - {report: gl_postings, cron: "9  7 * * 1"}
          - {report: gl_postings, cron: "9 7 * * 1"}  #! the same schedule stands on line 24 already
      - slug: new-intacct
        system: sage_intacct
        account: OTHER
        credentials: {user_id: reader, user_pasword: fake}  #! unknown credential 'user_pasword': did you mean 'user_password'? #! user_password is missing: User password
      - slug: acme-slack
        system: slack
        account: T00000001
        schedules: [{report: gl_postings, cron: "0 7 * * *"}]  #! Slack has no reports to schedule: leave schedules out
"""  # noqa: E501 - a mistake and what is said of it stand on one line


def document(*rows: dict[str, Any], timezone: str = "America/Chicago") -> dict[str, Any]:
    connection = {"slug": "acme-intacct", "system": "sage_intacct", "account": COMPANY, "schedules": list(rows)}
    return {
        "version": 1,
        "organizations": [{"slug": "acme", "timezone": timezone, "connections": [connection]}],
    }


def apply(world: IntacctWorld, file: Path, document: dict[str, Any]) -> Any:
    file.write_text(yaml.safe_dump(document, sort_keys=False))
    code, report = world.command("config", "apply", str(file))
    assert code == 0, report
    return report


def beat() -> dict[str, tuple[str, str, bool]]:
    """The rows from which beat fires: by their cron line, what they are for."""
    rows = PeriodicTask.objects.filter(task="connector.tasks.fire_schedule").select_related("crontab")
    return {
        f"{row.crontab.minute} {row.crontab.hour} {row.crontab.day_of_week}": (
            row.description,
            str(row.crontab.timezone),
            row.enabled,
        )
        for row in rows
    }


def test_the_contracts_schedules_become_beats_rows(world: IntacctWorld, tmp_path: Path) -> None:
    file = tmp_path / "connector.yaml"
    report = apply(world, file, document(*CONTRACT))
    assert len(report["created"]["schedules"]) == 3
    assert beat() == {
        "0 7 1-5": ("gl_postings of acme-intacct", "America/Chicago", True),
        "30 7 1-5": ("payment_batches of acme-intacct", "America/Chicago", True),
        "*/30 7-19 *": ("gl_postings of acme-intacct", "America/Chicago", True),
    }
    again = apply(world, file, document(*CONTRACT))
    assert (again["created"], again["changed"], again["removed"]) == ({}, {}, {})
    moved = apply(world, file, document(*CONTRACT, timezone="Europe/Berlin"))
    assert moved["changed"] == {"organizations": ["acme"]}
    assert {zone for _, zone, _ in beat().values()} == {"Europe/Berlin"}
    fewer = apply(world, file, document(CONTRACT[0]))
    assert len(fewer["removed"]["schedules"]) == 2 and beat().keys() == {"0 7 1-5"}
    # A file that says nothing of them leaves them as they are.
    silent = document()
    del silent["organizations"][0]["connections"][0]["schedules"]
    apply(world, file, silent)
    assert beat().keys() == {"0 7 1-5"}


def test_an_export_reads_back_the_same(world: IntacctWorld, tmp_path: Path) -> None:
    file, exported = tmp_path / "connector.yaml", tmp_path / "exported.yaml"
    apply(world, file, document(*CONTRACT))
    with world.at():
        world.read()  # there is a session now, which is nobody's to take along
    assert world.command("config", "export", str(exported), "--with-credentials")[0] == 0
    text = exported.read_text()
    (organization,) = yaml.safe_load(text)["organizations"]
    (intacct, _) = organization["connections"]
    assert intacct["schedules"] == CONTRACT
    assert intacct["credentials"].keys() == {"user_id", "user_password", "trigger_secret"}
    assert "fake-user-password" not in text and "session" not in text
    again = apply(world, exported, yaml.safe_load(text))
    assert (again["created"], again["changed"], again["removed"]) == ({}, {}, {})
    Schedule.objects.all().delete()
    assert len(apply(world, exported, yaml.safe_load(text))["created"]["schedules"]) == 3


def test_every_mistake_is_said_with_its_line(world: IntacctWorld, tmp_path: Path) -> None:
    file = tmp_path / "connector.yaml"
    file.write_text(re.sub(r"  #!.*", "", MISTAKES))
    expected = sorted(
        (number, text.strip()) for number, line in enumerate(MISTAKES.splitlines(), 1) for text in line.split("#!")[1:]
    )
    output = io.StringIO()
    with pytest.raises(CommandError):
        call_command("config", "check", str(file), "--json", stdout=output)
    found = [
        (each["line"], re.sub(r"^'.*' is no cron line (\(.*\)): write five fields.*", r"CRON \1", each["text"]))
        for each in json.loads(output.getvalue())["mistakes"]
    ]
    assert sorted(found) == expected
    assert not Schedule.objects.exists()


def test_a_connection_that_is_switched_off_fires_nothing(world: IntacctWorld, tmp_path: Path) -> None:
    apply(world, tmp_path / "connector.yaml", document(CONTRACT[0]))
    Connection.objects.filter(pk=world.source.pk).update(is_active=False)
    schedules.sync(Connection.objects.get(pk=world.source.pk))
    assert beat() == {"0 7 1-5": ("gl_postings of acme-intacct", "America/Chicago", False)}
    schedules.fire(Schedule.objects.get().pk)
    schedules.fire_missed()
    reporting.run(world.source.pk)
    assert not Report.objects.exists() and world.functions == []


# --- the admin ---


@pytest.fixture
def ada(client: Client, world: IntacctWorld) -> Client:
    client.force_login(User.objects.create_superuser("ada", password="fake-password"))
    return client


def add(ada: Client, world: IntacctWorld, **fields: Any) -> str:
    form = {
        "connection": world.source.pk, "report": "gl_postings", "cron": "0 7 * * 1-5", "window_last": 0,
        "window_first": 0, "is_active": "on", **fields,
    }  # fmt: skip
    answer = ada.post(reverse("admin:connector_schedule_add"), form, follow=True)
    assert answer.status_code == 200
    return answer.content.decode()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"cron": "0 7 * *"}, "is no cron line (it has 4 fields): write five fields"),
        ({"cron": "61 * * * *"}, "is no cron line (Invalid end range: 61 &gt; 59.)"),
        ({"report": "trial_balance"}, "There are gl_postings, payment_batches."),
        ({"window_last": "-1"}, "greater than or equal to 0"),
        ({"window_last": "40"}, "less than or equal to 20"),
    ],
)
def test_the_form_says_what_is_wrong(ada: Client, world: IntacctWorld, fields: dict[str, str], said: str) -> None:
    assert said in add(ada, world, **fields)
    assert not Schedule.objects.exists()


def test_only_a_connection_with_reports_has_schedules(ada: Client, world: IntacctWorld) -> None:
    assert "acme-slack has no reports." in add(ada, world, connection=world.sink.pk)


def test_a_schedule_is_added_changed_and_deleted_with_beats_row(ada: Client, world: IntacctWorld) -> None:
    add(ada, world, cron="0  7 * * 1-5", window_last=2, window_first=5)
    schedule = Schedule.objects.get()
    assert (schedule.cron, beat()) == (
        "0 7 * * 1-5",
        {"0 7 1-5": ("gl_postings of acme-intacct", "America/Chicago", True)},
    )
    assert (
        "the 2 last and 5 first business days"
        in ada.get(reverse("admin:connector_schedule_changelist")).content.decode()
    )
    path = reverse("admin:connector_schedule_change", args=[schedule.pk])
    form = {"connection": world.source.pk, "report": "payment_batches", "cron": "15 6 * * *", "is_active": "on"}
    ada.post(path, {**form, "window_last": 0, "window_first": 0})
    assert beat() == {"15 6 *": ("payment_batches of acme-intacct", "America/Chicago", True)}
    ada.post(path, {**form, "window_last": 0, "window_first": 0, "is_active": ""})
    assert beat() == {}
    ada.post(reverse("admin:connector_schedule_delete", args=[schedule.pk]), {"post": "yes"})
    assert not Schedule.objects.exists() and not PeriodicTask.objects.filter(name__startswith="report").exists()


def test_a_changed_time_zone_in_the_admin_moves_beats_rows(ada: Client, world: IntacctWorld) -> None:
    add(ada, world)
    path = reverse("admin:connector_organization_change", args=[world.organization.pk])
    form = {"slug": "acme", "name": "Acme Services LLC", "timezone": "Asia/Tokyo", "locale": "en_US"}
    ada.post(path, form)
    assert Organization.objects.get().timezone == "Asia/Tokyo"
    assert {zone for _, zone, _ in beat().values()} == {"Asia/Tokyo"}
    assert CrontabSchedule.objects.filter(timezone="Asia/Tokyo").count() == 1


def test_the_panel_shows_the_reports_and_reads_them_now(ada: Client, world: IntacctWorld) -> None:
    world.route()
    add(ada, world)
    with world.at():
        world.post()
        world.intacct.deny("APPYMT")
        world.read()
    path = reverse("admin:connector_connection_change", args=[world.source.pk])
    page = re.sub(r"\s+", " ", ada.get(path).content.decode())
    assert "Read reports now" in page and "<code>0 7 * * 1-5</code>" in page
    assert "gl_postings" in page and "may not read APPYMT" in page and "Parked" in page
    world.intacct.permit("APPYMT")
    read = reverse("admin:connector_connection_read", args=[world.source.pk])
    assert ada.get(read).status_code == 405
    hints = hints_of(lambda: ada.post(read, {}))
    assert ("read_reports", str(world.source.pk)) in hints
    assert AuditEntry.objects.filter(action="report.asked", actor="ada").count() == 1
    with world.at(5):
        world.pay()
        world.run_due()
    world.work()
    assert [text.split(":")[0] for text in world.texts] == [
        "GL posting of 1 batch completed",
        "Connection acme-intacct is failing",
        "Payment batch 321 completed",
    ]
    assert set(Report.objects.values_list("outcome", flat=True)) == {"done"}
