"""Silence, pings, commands and the admin."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from lxml import etree

from connector.models import Connection, Cursor, Run
from connector.pipeline import connections, contacts, sweep
from sources.quickbooks_desktop.standin import FILE_ID, HResult, WebConnector
from tests.desktop import (
    PASSWORD,
    Desk,
    bill,
    sample,
)


def quiet(desk: Desk, minutes: int) -> list[str]:
    """What is told after so many minutes without another call."""
    before = len(desk.texts)
    past = dt.timedelta(minutes=minutes)
    for run in Run.objects.all():
        times = {
            name: getattr(run, name) - past for name in ("started_at", "seen_at", "ended_at") if getattr(run, name)
        }
        Run.objects.filter(pk=run.pk).update(**times)
    for _ in range(2):
        sweep.connections()
    desk.work()
    return desk.texts[before:]


def test_silence_is_told_once_with_its_likely_cause(desk: Desk) -> None:
    assert quiet(desk, 600) == []
    desk.cycle()
    assert quiet(desk, 29) == []
    (said,) = quiet(desk, 2)
    assert said.startswith("Connection acme-desktop is failing: Nothing has been read since")
    assert "does not call: the PC may be off or asleep" in said
    desk.books.refresh_from_db()
    assert desk.books.state == "unreachable"
    assert quiet(desk, 600) == []
    desk.cycle()
    assert desk.web_connector.run_cycle(problem=HResult("0x80040416")).outcome == "none"
    quiet(desk, 20)
    desk.web_connector.run_cycle(problem=HResult("0x80040416"))
    (said,) = quiet(desk, 20)
    assert "calls, but the cycle did not end well: QuickBooks is not running" in said
    desk.cycle()
    quiet(desk, 20)
    desk.web_connector.run_cycle(password="fake-wrong")
    (said,) = quiet(desk, 20)
    assert "gives a wrong password: type the connection's password into it again" in said


def test_the_ping_tells_of_the_last_contact(desk: Desk) -> None:
    def ping() -> str:
        try:
            return connections.check(str(desk.books.pk))
        except connections.VendorError as error:
            return f"{type(error).__name__}: {error.text}"

    assert ping().startswith("Unreachable: The Web Connector has never called yet. Add the connection file to it")
    bill(desk.company, "B-1")
    desk.cycle()
    assert ping() == "Last called less than a minute ago, the cycle ended well (1 record read)"
    desk.books.refresh_from_db()
    assert (desk.books.state, desk.books.detail) == ("ok", ping())
    desk.cycle(problem=HResult("0x80040414"))
    went = "the cycle did not end well: A dialog is open in QuickBooks: close it."
    assert ping() == f"Retry: Last called less than a minute ago; {went}"
    assert contacts.of(desk.books).good is not None


def command(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    """The JSON document that a command prints; a refusal is its exit code."""
    try:
        call_command(*arguments, "--json")
    except CommandError as error:
        return error.returncode, str(error)
    return json.loads(capsys.readouterr().out)


def test_the_connection_file(desk: Desk, capsys: pytest.CaptureFixture[str], settings: Any) -> None:
    settings.PUBLIC_URL = "https://connector.example.com"
    desk.organization.name = "Smith & Sons"
    desk.organization.save()
    desk.set(poll_minutes=15, company_file=desk.company.path)
    text = command(capsys, "qwc", "acme-desktop")["qwc"]
    call_command("qwc", "acme-desktop")
    assert capsys.readouterr().out == text
    root = etree.fromstring(text.encode())
    sample_root = etree.fromstring(sample("ml-connector.qwc").encode())
    assert [element.tag for element in root] == [element.tag for element in sample_root]
    assert {element.tag: element.text for element in root if not len(element)} == {
        "AppName": "ml-connector - Smith & Sons (acme-desktop)",
        "AppID": None,
        "AppURL": "https://connector.example.com/soap/quickbooks-desktop/",
        "AppDescription": "Posts new and changed vendors, bills, purchase orders, payments",
        "AppSupport": "https://connector.example.com/support/quickbooks-desktop/",
        "UserName": "acme-desktop",
        "OwnerID": "{3b1f0d52-6f0b-4f57-9a5e-0c5b6d7e8f90}",
        "FileID": FILE_ID,
        "QBType": "QBFS",
        "Style": "Document",
        "AuthFlags": "0x0",
        "IsReadOnly": "false",
        "Notify": "false",
        "PersonalDataPref": "pdpNotNeeded",
        "UnattendedModePref": "umpRequired",
    }
    assert root.findtext("Scheduler/RunEveryNMinutes") == "15"
    web_connector = WebConnector.from_qwc(text, PASSWORD, desk.company, url=desk.url)
    assert web_connector.run_cycle().outcome == "done"
    assert command(capsys, "qwc", "acme-slack")[0] == 2
    Connection.objects.filter(pk=desk.books.pk).update(account="12345")
    code, said = command(capsys, "qwc", "acme-desktop")
    assert (code, "must be a GUID in braces" in said) == (2, True)


def test_what_a_caller_is_not_asked_is_said(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(capsys, "poll", "acme-desktop") == (
        2,
        "QuickBooks Desktop cannot be polled from here: its Web Connector calls when it is due",
    )
    since = "2026-11-01T00:00:00Z"
    assert command(capsys, "backfill", "acme-desktop", "--since", since, "--dry-run")[0] == 2
    assert command(capsys, "backfill", "acme-desktop", "--since", since) == {"seen": 0, "new": 0}
    assert Cursor.objects.get().state == {"since": "2026-11-01T00:00:00+00:00"}
    assert command(capsys, "ping", "acme-desktop")[0] == 1


def test_the_admin_shows_the_last_contact_and_hands_out_the_file(desk: Desk, admin_client: Any) -> None:
    page = f"/admin/connector/connection/{desk.books.pk}/change/"
    assert "Never called yet" in admin_client.get(page).content.decode()
    desk.cycle(problem=HResult("0x80040416"))
    desk.cycle(password="fake-wrong")
    shown = admin_client.get(page).content.decode()
    assert "0x80040416 QuickBooks is not running" in shown
    assert "Web Connector 34.0.10008.96" in shown
    assert "Last wrong password" in shown
    assert "Download .qwc file" in shown
    found = admin_client.get(page.replace("change", "qwc"))
    assert (found.status_code, found.headers["Content-Type"], found.headers["Content-Disposition"]) == (
        200,
        "application/x-qwc",
        'attachment; filename="acme-desktop.qwc"',
    )
    assert b"<UserName>acme-desktop</UserName>" in found.content
    other = f"/admin/connector/connection/{desk.chat.pk}/"
    assert admin_client.get(f"{other}qwc/").status_code == 404
    assert "Download .qwc file" not in admin_client.get(f"{other}change/").content.decode()
