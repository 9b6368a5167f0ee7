"""The configuration as a file: each mistake with its line, all-or-nothing, the same twice, and nothing newer undone."""

from __future__ import annotations

import datetime as dt
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery.signals import before_task_publish
from django.core.management import CommandError, call_command

from connector import configuration
from connector.configuration import reader
from connector.kernel.contracts import Secrets
from connector.models import (
    AuditEntry,
    Connection,
    ConnectionState,
    Credential,
    Delivery,
    DeliveryState,
    Hold,
    InboxEvent,
    Mailbox,
    NameOverride,
    Organization,
    Route,
)
from connector.pipeline import alerts, audit, clock, credentials, parking, routing
from connector.pipeline.hashing import keyed_hash

EXAMPLE = """\
version: 1
organizations:
  - slug: acme
    name: Acme Services LLC
    timezone: America/Chicago
    locale: en_US
    connections:
      - slug: acme-books
        system: quickbooks_online
        account: 04620816365000000000
        credentials: {access_token: env:QBO_ACCESS, refresh_token: env:QBO_REFRESH, expires_at: 2026-11-20T12:00:00Z}
      - slug: acme-slack
        system: slack
        account: T00000001
        credentials: {bot_token: env:SLACK_BOT_TOKEN}
        settings: {when_unreadable: park}
    names:
      - {connection: acme-books, kind: account, id: 080, name: Cash on hand}
    routes:
      - name: Bills to AP
        from: acme-books
        to: acme-slack
        channel: C0AP00001
        events: [bill.created, bill.updated]
        where: {min_amount: 100.00, max_amount: "", currency: usd, parties: "", accounts: [080], exclude_internal: true}
        thread_updates: true
        mention: <!here>
        digest_after: 30
      - name: Slack itself
        from: acme-slack
        to: acme-slack
        channel: C0OPS0001
        events: [connection.*]
"""
TOKENS = {"QBO_ACCESS": "fake-access-1", "QBO_REFRESH": "fake-refresh-1", "SLACK_BOT_TOKEN": "xoxb-fake-1"}
NOON = dt.datetime(2026, 11, 20, 12, tzinfo=dt.UTC)


@pytest.fixture(autouse=True)
def _tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in TOKENS.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def hinted(redis: str) -> Iterator[list[tuple[str, str]]]:
    """The tasks hinted at, with their first argument."""
    seen: list[tuple[str, str]] = []

    def note(sender: str, body: Any, **_: Any) -> None:
        seen.append((sender.removeprefix("connector.tasks."), body[0][0]))

    before_task_publish.connect(note)
    yield seen
    before_task_publish.disconnect(note)


class Files:
    """Runs the command on texts."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "connector.yaml"

    def run(self, action: str, text: str | None = None, *flags: str) -> tuple[int, str]:
        if text is not None:
            self.path.write_text(text)
        output = io.StringIO()
        try:
            call_command("config", action, str(self.path), *flags, stdout=output)
        except CommandError as error:
            return error.returncode, output.getvalue()
        return 0, output.getvalue()

    def apply(self, text: str, *flags: str) -> dict[str, Any]:
        code, output = self.run("apply", text, "--json", *flags)
        assert code == 0, output
        report: dict[str, Any] = json.loads(output)
        return report


@pytest.fixture
def files(database: None, redis: str, tmp_path: Path) -> Files:
    return Files(tmp_path)


def secrets_of(slug: str) -> dict[str, str]:
    credential = Connection.objects.select_related("credential").get(slug=slug).credential
    assert credential is not None
    secrets: dict[str, str] = credential.secrets
    return secrets


def renew(slug: str, **values: str) -> None:
    """What a renewal by the connector leaves behind."""
    row = Connection.objects.select_related("credential").get(slug=slug).credential
    assert row is not None
    credentials.fill(row, Secrets({**row.secrets, **values}, expires_at=NOON + dt.timedelta(hours=1)))
    row.generation, row.refreshed_at = row.generation + 1, clock.now()
    row.save()


NOTHING = {"created": {}, "changed": {}, "removed": {}, "kept_credentials": []}


def test_the_example_becomes_rows_secrets_and_hints(files: Files, hinted: list[tuple[str, str]]) -> None:
    assert files.apply(EXAMPLE) == {
        "created": {
            "organizations": ["acme"],
            "connections": ["acme-books", "acme-slack"],
            "credentials": ["acme-books", "acme-slack"],
            "names": ["acme-books account 080"],
            "routes": ["Bills to AP", "Slack itself"],
        },
        "changed": {},
        "removed": {},
        "unchanged": 0,
        "kept_credentials": [],
    }
    organization = Organization.objects.get()
    books, slack = Connection.objects.order_by("slug")
    assert (organization.name, organization.timezone, organization.locale) == (
        "Acme Services LLC",
        "America/Chicago",
        "en_US",
    )
    assert (books.system, books.account, books.settings) == ("quickbooks_online", "04620816365000000000", {})
    assert (slack.system, slack.account, slack.settings) == ("slack", "T00000001", {"when_unreadable": "park"})
    assert secrets_of("acme-books") == {"access_token": "fake-access-1", "refresh_token": "fake-refresh-1"}
    assert books.credential is not None and books.credential.expires_at == NOON
    route = Route.objects.get(name="Bills to AP")
    assert (route.source, route.sink, route.target, route.events) == (
        books,
        slack,
        "C0AP00001",
        ["bill.created", "bill.updated"],
    )
    assert route.conditions == {
        "min_amount": "100.00",
        "currency": "USD",
        "accounts": ["080"],
        "exclude_internal": True,
    }
    assert (route.thread_updates, route.mention, route.digest_after) == (True, "<!here>", 30)
    override = NameOverride.objects.get()
    assert (override.connection, override.kind, override.record_id, override.name) == (
        books,
        "account",
        "080",
        "Cash on hand",
    )
    boxes = {box.target: str(box.pk) for box in Mailbox.objects.all()}
    assert sorted(hinted) == sorted(
        [("check_connection", str(row.pk)) for row in (books, slack)]
        + [("prepare_mailbox", boxes[channel]) for channel in ("C0AP00001", "C0OPS0001")]
    )
    assert list(
        AuditEntry.objects.order_by("number").values_list("chain", "actor", "action", "connection", "reason")
    ) == [
        ("acme", "config", "credential.stored", "acme-books", ""),
        ("acme", "config", "credential.stored", "acme-slack", ""),
        ("acme", "config", "config.applied", "", "8 created"),
    ]


def test_the_second_run_changes_nothing_and_says_so(files: Files, hinted: list[tuple[str, str]]) -> None:
    files.apply(EXAMPLE)
    hinted.clear()
    rows = [list(model.objects.order_by("pk").values()) for model in (Organization, Connection, Credential, Route)]
    assert files.apply(EXAMPLE) == NOTHING | {"unchanged": 6}
    assert files.run("apply", EXAMPLE) == (0, "nothing changed\n6 as before\n")
    assert rows == [
        list(model.objects.order_by("pk").values()) for model in (Organization, Connection, Credential, Route)
    ]
    assert hinted == []
    assert AuditEntry.objects.filter(action="config.applied").count() == 1


#: What stands after `#!` is what is wrong there; several mistakes of a line are apart by `#!`, too.
MISTAKES = (Path(__file__).parent / "fixtures" / "configuration__mistakes.yaml").read_text()


def _world_of_mistakes() -> None:
    acme, other = (Organization.objects.create(slug=slug, name=slug) for slug in ("acme", "other"))
    for organization, slug, account in (
        (other, "other-books", "9"),
        (acme, "acme-moved", "10"),
        (acme, "acme-used", "20"),
    ):
        Connection.objects.create(organization=organization, slug=slug, system="quickbooks_online", account=account)
    Connection.objects.create(organization=acme, slug="acme-desk", system="freshbooks", account="5")
    # What a connection says of itself does not bind it to its account; what it heard of its books does.
    alerts.announce(Connection.objects.get(slug="acme-moved"), "failed", "test")
    alerts.announce(Connection.objects.get(slug="acme-used"), "failed", "test")
    InboxEvent.objects.filter(connection__slug="acme-used").update(origin="webhook")


def test_every_mistake_is_said_at_once_with_its_line(files: Files) -> None:
    _world_of_mistakes()
    expected = sorted(
        (number, text.strip()) for number, line in enumerate(MISTAKES.splitlines(), 1) for text in line.split("#!")[1:]
    )
    before = Connection.objects.count()
    code, output = files.run("check", re.sub(r"  #!.*", "", MISTAKES), "--json")
    found = [(each["line"], each["text"]) for each in json.loads(output)["mistakes"]]
    assert code == 1
    replaced = [
        (line, re.sub(r"routes go to .*", "routes go to SINKS", re.sub(r"records are .*", "records are RECORDS", text)))
        for line, text in found
    ]
    assert replaced == expected
    code, output = files.run("apply")
    assert code == 1
    assert output.splitlines()[0] == f"{files.path}:{found[0][0]}: {found[0][1]}"
    assert len(output.splitlines()) == len(expected)
    assert Connection.objects.count() == before
    assert not Route.objects.exists()


@pytest.mark.parametrize(
    ("content", "line", "text"),
    [
        (b"version: 1\norganizations: [\n", 3, "not YAML: while parsing a flow node"),
        (b"a: 1\nb: [*x, *x]\n", 2, "found undefined alias 'x'"),
        (b"a: &x []\nb: [" + b"*x , " * 1001 + b"]", 2, "more than 1000 aliases: write it out"),
        (b"organizations: &x\n- slug: a\n  routes: *x\n", 1, "version is missing"),
        (b"a: 1\nb: " + b"[" * 50, 2, "more than 20 levels of nesting"),
        (b"version: 1\n\nname: caf\xe9\n", 3, "this is not UTF-8 text"),
        (b"version: 1\nname: a\x07b\n", 2, "there is a character that cannot stand in YAML"),
        (b"- version: 1\n", 1, "a configuration is a mapping"),
        (b"", 1, "a configuration is a mapping"),
        (b"version: 1\n---\nversion: 1\n", 2, "not YAML: expected a single document in the stream"),
        (b"#" * (reader.MAX_BYTES + 1), 1, "the file has more than 1024 KiB"),
        (b"? [a]\n: 1\nversion: 1\norganizations: []\n", 1, "a key must be a plain word"),
    ],
)
def test_what_is_not_a_configuration_is_refused_with_a_line(db: None, content: bytes, line: int, text: str) -> None:
    with pytest.raises(configuration.Mistaken) as refused:
        configuration.check(content)
    mistake = refused.value.mistakes[0]
    assert (mistake.line, mistake.text[: len(text)]) == (line, text)


def test_an_alias_stands_for_what_it_names(files: Files) -> None:
    aliased = EXAMPLE.replace("events: [bill.created, bill.updated]", "events: &told [bill.created, bill.updated]")
    files.apply(
        f"{aliased}      - {{name: More, from: acme-books, to: acme-slack, channel: C0OPS0001, events: *told}}\n"
    )
    assert Route.objects.get(name="More").events == ["bill.created", "bill.updated"]


def test_bad_usage_exits_2(files: Files) -> None:
    assert files.run("check")[0] == 2
    assert files.run("check", EXAMPLE, "--force-credentials")[0] == 2
    assert files.run("apply", EXAMPLE, "--with-credentials")[0] == 2


def test_lists_that_are_given_are_whole_and_absent_keys_leave_things_alone(
    files: Files, hinted: list[tuple[str, str]]
) -> None:
    files.apply(EXAMPLE)
    bare = "version: 1\norganizations:\n  - slug: acme\n    locale: de_DE\n"
    assert files.apply(bare) == NOTHING | {"changed": {"organizations": ["acme"]}, "unchanged": 0}
    assert Route.objects.filter(is_active=True).count() == 2
    hinted.clear()
    report = files.apply(bare + "    names: []\n    routes: []\n")
    assert report["removed"] == {"names": ["acme-books account 080"], "routes": ["Bills to AP", "Slack itself"]}
    assert not Route.objects.filter(is_active=True).exists() and not NameOverride.objects.exists()
    assert Organization.objects.get().timezone == "America/Chicago"
    report = files.apply(EXAMPLE)
    assert report["changed"] == {"organizations": ["acme"], "routes": ["Bills to AP", "Slack itself"]}
    assert report["created"] == {"names": ["acme-books account 080"]}
    assert Route.objects.filter(is_active=True).count() == 2
    assert {task for task, _ in hinted} == {"prepare_mailbox"}


def test_a_changed_route_of_a_held_channel_has_it_tried_again(files: Files, hinted: list[tuple[str, str]]) -> None:
    files.apply(EXAMPLE)
    route = Route.objects.get(name="Bills to AP")
    box = routing.mailbox_at(route.sink_id, route.target)
    parking.park_mailbox(box, Hold.TARGET, "archived", is_alerted=False)
    hinted.clear()
    changed = EXAMPLE.replace("min_amount: 100.00", "min_amount: 200")
    assert files.apply(changed)["changed"] == {"routes": ["Bills to AP"]}
    assert hinted == [("prepare_mailbox", str(box.pk))]
    box.refresh_from_db()
    assert box.hold == Hold.TARGET and box.prepare_at is not None and box.prepare_at <= clock.now()
    assert Route.objects.get(name="Bills to AP").conditions["min_amount"] == "200"


def test_renewed_tokens_are_kept_until_forced_and_other_secrets_still_follow_the_file(files: Files) -> None:
    files.apply(EXAMPLE)
    renew("acme-books", access_token="fake-access-2", refresh_token="fake-refresh-2")
    renew("acme-slack", bot_token="xoxb-fake-2")
    assert files.apply(EXAMPLE) == NOTHING | {"unchanged": 6, "kept_credentials": ["acme-books", "acme-slack"]}
    signed = EXAMPLE.replace(
        "{bot_token: env:SLACK_BOT_TOKEN}", "{bot_token: env:SLACK_BOT_TOKEN, signing_secret: fake-s}"
    )
    for _ in range(2):
        assert files.apply(signed)["kept_credentials"] == ["acme-books", "acme-slack"]
        assert secrets_of("acme-books") == {"access_token": "fake-access-2", "refresh_token": "fake-refresh-2"}
        assert secrets_of("acme-slack") == {"bot_token": "xoxb-fake-2", "signing_secret": "fake-s"}
    report = files.apply(signed, "--force-credentials")
    assert report == NOTHING | {"changed": {"credentials": ["acme-books", "acme-slack"]}, "unchanged": 6}
    assert secrets_of("acme-books") == {"access_token": "fake-access-1", "refresh_token": "fake-refresh-1"}
    assert secrets_of("acme-slack") == {"bot_token": "xoxb-fake-1", "signing_secret": "fake-s"}
    assert Credential.objects.get(system="quickbooks_online").expires_at == NOON


def test_what_a_person_connected_since_is_kept_too(files: Files) -> None:
    files.apply(EXAMPLE)
    slack = Connection.objects.select_related("organization", "credential").get(slug="acme-slack")
    credentials.store(slack, Secrets({"bot_token": "xoxb-fake-oauth"}), actor="admin", action="credential.stored")
    assert files.apply(EXAMPLE)["kept_credentials"] == ["acme-slack"]
    assert secrets_of("acme-slack") == {"bot_token": "xoxb-fake-oauth"}


def test_a_changed_secret_is_stored_and_an_absent_one_stays(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    files.apply(EXAMPLE.replace("{bot_token: env:SLACK_BOT_TOKEN}", "{bot_token: xoxb-fake-0, signing_secret: fake-s}"))
    generation = Credential.objects.get(system="slack").generation
    report = files.apply(EXAMPLE)
    assert report["changed"] == {"credentials": ["acme-slack"]}
    assert secrets_of("acme-slack") == {"bot_token": "xoxb-fake-1", "signing_secret": "fake-s"}
    assert Credential.objects.get(system="slack").generation == generation + 1
    without = re.sub(r"        credentials: .*\n", "", EXAMPLE)
    assert files.apply(without, "--force-credentials") == NOTHING | {"unchanged": 6}
    assert secrets_of("acme-slack") == {"bot_token": "xoxb-fake-1", "signing_secret": "fake-s"}


def test_forcing_sets_free_what_waited_even_when_the_secrets_are_the_same(
    files: Files, hinted: list[tuple[str, str]]
) -> None:
    files.apply(EXAMPLE)
    slack = Connection.objects.select_related("organization").get(slug="acme-slack")
    alerts.announce(slack, "failed", "test")
    event = InboxEvent.objects.get()
    routing.route_events([event.pk])
    Connection.objects.filter(pk=slack.pk).update(state=ConnectionState.NEEDS_REAUTHORIZATION)
    parking.park_connection(slack, "revoked")
    assert Delivery.objects.get().state == DeliveryState.PARKED
    generation = Credential.objects.get(system="slack").generation
    hinted.clear()
    assert files.apply(EXAMPLE) == NOTHING | {"unchanged": 6}
    assert (Delivery.objects.get().state, hinted) == (DeliveryState.PARKED, [])
    assert files.apply(EXAMPLE, "--force-credentials") == NOTHING | {"unchanged": 6}
    assert Delivery.objects.get().state == DeliveryState.WAITING
    slack.refresh_from_db()
    assert (slack.state, slack.checked_at) == (ConnectionState.UNKNOWN, None)
    assert Credential.objects.get(system="slack").generation == generation
    assert ("check_connection", str(slack.pk)) in hinted


SECOND = """\
      - slug: acme-books-2
        system: quickbooks_online
        account: "77"
        credentials: {access_token: fake-access-x, refresh_token: env:QBO_REFRESH}
"""


def with_second(text: str, second: str = SECOND) -> str:
    return text.replace("    names:\n", f"{second}    names:\n")


def test_one_log_in_is_one_credential_even_when_it_was_renewed_before_the_second_came(files: Files) -> None:
    files.apply(EXAMPLE)
    renew("acme-books", access_token="fake-access-2", refresh_token="fake-refresh-2")
    report = files.apply(with_second(EXAMPLE))
    assert report["kept_credentials"] == ["acme-books", "acme-books-2"]
    assert secrets_of("acme-books-2")["refresh_token"] == "fake-refresh-2"
    assert Credential.objects.filter(system="quickbooks_online").count() == 1
    files.apply(with_second(EXAMPLE), "--force-credentials")
    forced = {"access_token": "fake-access-1", "refresh_token": "fake-refresh-1"}
    assert (secrets_of("acme-books"), secrets_of("acme-books-2")) == (forced, forced)
    assert files.apply(with_second(EXAMPLE)) == NOTHING | {"unchanged": 7}


def test_a_log_in_that_the_file_splits_becomes_two_credentials(files: Files) -> None:
    files.apply(with_second(EXAMPLE))
    split = with_second(EXAMPLE, SECOND.replace("env:QBO_REFRESH", "fake-refresh-other"))
    report = files.apply(split.replace("env:QBO_REFRESH", "fake-refresh-new"))
    assert report["changed"] == {"credentials": ["acme-books", "acme-books-2"]}
    assert secrets_of("acme-books")["refresh_token"] == "fake-refresh-new"
    assert secrets_of("acme-books-2") == {"access_token": "fake-access-x", "refresh_token": "fake-refresh-other"}


def test_a_secret_is_not_added_while_its_token_is_being_renewed(files: Files) -> None:
    files.apply(EXAMPLE)
    renew("acme-slack", bot_token="xoxb-fake-2")
    Credential.objects.update(lease_until=clock.after(30))
    signed = EXAMPLE.replace(
        "{bot_token: env:SLACK_BOT_TOKEN}", "{bot_token: env:SLACK_BOT_TOKEN, signing_secret: fake-s}"
    )
    assert files.run("apply", signed.replace("Acme Services LLC", "Acme"))[0] == 1
    assert secrets_of("acme-slack") == {"bot_token": "xoxb-fake-2"}
    assert Organization.objects.get().name == "Acme Services LLC"


def _forget_configuration() -> None:
    for model in (Route, NameOverride, Mailbox, Connection, Credential, Organization):
        model.objects.all().delete()


def test_an_export_makes_the_same_in_an_empty_database(files: Files) -> None:
    tricky = EXAMPLE.replace("Cash on hand", '"no: 5 # \\u00e9\\U0001F600"').replace("name: Slack itself", 'name: "on"')
    files.apply(with_second(tricky))
    files.path.unlink()
    plain, _ = configuration.export(), files.run("export", None, "--with-credentials")
    sealed = files.path.read_text()
    assert not [value for value in TOKENS.values() if value in sealed + plain]
    assert "credentials" not in plain.split("organizations:")[1] and files.path.stat().st_mode & 0o077 == 0
    assert 'account: "04620816365000000000"' in plain and 'id: "080"' in plain
    for exported, secrets in (
        (plain, None),
        (sealed, {"access_token": "fake-access-1", "refresh_token": "fake-refresh-1"}),
    ):
        _forget_configuration()
        assert files.apply(exported)["unchanged"] == 0
        assert configuration.export() == plain
        assert files.apply(exported) == NOTHING | {"unchanged": 7}
        if secrets is None:
            assert not Credential.objects.exists()
        else:
            assert secrets_of("acme-books") == secrets_of("acme-books-2") == secrets
            assert Credential.objects.get(system="quickbooks_online").expires_at == NOON
            assert Credential.objects.get(system="slack").file_hash == keyed_hash("token", "")
    assert audit.verify()[1] == []


def test_a_sealed_credential_opens_for_its_own_connection_alone(files: Files) -> None:
    files.apply(EXAMPLE)
    files.run("export", None, "--with-credentials")
    moved = files.path.read_text().replace("acme-slack", "acme-chat")
    _forget_configuration()
    code, output = files.run("check", moved)
    assert code == 1
    assert output.endswith(
        "acme|acme-chat|bot_token cannot be opened: it was sealed for another place: "
        "export it again, or give it as env:NAME\n"
    )


def test_the_export_as_json_can_be_applied_too(files: Files) -> None:
    files.apply(EXAMPLE)
    output = io.StringIO()
    call_command("config", "export", "-", "--json", stdout=output)
    assert json.loads(output.getvalue())["organizations"][0]["routes"][1] == {
        "name": "Slack itself",
        "from": "acme-slack",
        "to": "acme-slack",
        "channel": "C0OPS0001",
        "events": ["connection.*"],
    }
    assert files.apply(output.getvalue()) == NOTHING | {"unchanged": 6}
