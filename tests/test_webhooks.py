"""The doors that vendors knock on: whatever the bytes, the contract's answer, and no good notice lost."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from hypothesis import HealthCheck, given, settings, strategies

from connector.models import AuditEntry, Connection, EventState, InboxEvent, Mailbox, Organization, Payload
from tests.stack import REALM

pytestmark = pytest.mark.usefixtures("database", "redis")

QBO = "/webhooks/quickbooks-online/"
SLACK = "/webhooks/slack/"
TOKEN = "fake-verifier-token-for-tests"
SAMPLES = Path(__file__).parent / "sources" / "quickbooks_online" / "fixtures" / "webhooks"


@pytest.fixture
def books() -> Connection:
    organization = Organization.objects.create(slug="acme", name="Acme")
    return Connection.objects.create(
        organization=organization, slug="acme-books", system="quickbooks_online", account=REALM, state="ok"
    )


def sign(body: bytes, token: str = TOKEN) -> str:
    return base64.b64encode(hmac.new(token.encode(), body, hashlib.sha256).digest()).decode()


def post(body: bytes, *, signature: str | None = None, content_type: str = "application/json", path: str = QBO) -> Any:
    headers = {"intuit-signature": sign(body) if signature is None else signature}
    return Client().post(path, data=body, content_type=content_type, headers=headers)


def entity(record_id: str = "25", name: str = "Bill", operation: str = "Create", realm: str = REALM) -> dict[str, Any]:
    changed = {"name": name, "id": record_id, "operation": operation, "lastUpdated": "2026-11-03T17:20:11.000Z"}
    return {"realmId": realm, "dataChangeEvent": {"entities": [changed]}}


def legacy(*realms: dict[str, Any]) -> bytes:
    return json.dumps({"eventNotifications": list(realms)}).encode()


@pytest.mark.parametrize(
    "sample", sorted(path.name for path in SAMPLES.glob("*.json") if path.name.startswith(("legacy_", "cloudevents_")))
)
def test_every_sample_is_stored_under_both_verifier_tokens_once(sample: str, books: Connection) -> None:
    body = (SAMPLES / sample).read_bytes()
    vectors = json.loads((SAMPLES / "signature_vectors.json").read_text())["vectors"]
    signatures = [row["intuit_signature"] for row in vectors if row["file"] == sample]
    for signature in signatures:
        assert post(body, signature=signature).status_code == 200
    document = json.loads(body)
    told = (
        [row["intuitaccountid"] for row in document]
        if isinstance(document, list)
        else [row["realmId"] for row in document["eventNotifications"] for _ in row["dataChangeEvent"]["entities"]]
    )
    assert InboxEvent.objects.count() == len(told)
    for event in InboxEvent.objects.all():
        if event.account != REALM:
            assert (event.state, event.reason) == ("ignored", event.reason) and event.connection is None


def test_a_body_with_good_and_bad_elements_keeps_the_good_and_shows_the_bad(books: Connection) -> None:
    broken: dict[str, Any] = {
        "realmId": REALM,
        "dataChangeEvent": {"entities": [{"name": 7, "id": {}, "operation": []}]},
    }
    body = legacy(entity("1"), broken, entity("2", "Starship"), entity("3", operation="Evaporate"), entity("4"))
    assert post(body).status_code == 200
    assert list(InboxEvent.objects.order_by("id").values_list("record_id", "state")) == [
        ("1", "received"), ("", "failed"), ("2", "ignored"), ("3", "ignored"), ("4", "received"),
    ]  # fmt: skip
    assert all(InboxEvent.objects.exclude(state="received").values_list("reason", flat=True))


@pytest.mark.parametrize(
    "body",
    [
        b"null", b"17", b'"text"', b"{}", b"{", b"\xff\xfe\x00", b'{"eventNotifications": 5}', b"[[[[1]]]]",
        b'{"a": NaN}', b"[" * 50_000, b'[{"specversion": "1.0", "id": 5, "type": ["x"], "intuitentityid": {}}]',
        b'[{"specversion":"1.0","id":"x","type":"qbo.bill.created.v1","time":"yesterday","intuitentityid":"1"}]',
        b'[{"specversion":"1.0","id":"\\ud800","type":"qbo.bill.created.v1","intuitentityid":"\\u0000\\ud800","intuitaccountid":"\\ud8ff"}]',
        json.dumps({"eventNotifications": [{"realmId": 9 * 10**70}]}).encode(),
    ],
)  # fmt: skip
def test_a_signed_body_that_cannot_be_understood_is_stored_and_answered_200(body: bytes, books: Connection) -> None:
    assert post(body).status_code == 200
    assert InboxEvent.objects.get().state in (EventState.FAILED, EventState.IGNORED)
    assert Payload.objects.count() == 1
    assert post(body).status_code == 200
    assert InboxEvent.objects.count() == 1


def test_an_empty_list_says_nothing(books: Connection) -> None:
    assert post(b"[]").status_code == 200
    assert not InboxEvent.objects.exists()


@pytest.mark.parametrize(
    "signature", ["", "x", "AAAA", "=", "é", sign(b"other"), sign(legacy(entity()), "wrong-token")]
)
def test_a_wrong_signature_stores_nothing_but_one_line(signature: str, books: Connection) -> None:
    for _ in range(3):
        assert post(legacy(entity()), signature=signature).status_code == 401
    assert not InboxEvent.objects.exists()
    assert AuditEntry.objects.filter(action="webhook.refused").count() <= 1


def test_limits_and_methods(books: Connection) -> None:
    mebibyte = b" " * (1024 * 1024)
    assert post(mebibyte + b" ").status_code == 413
    assert post(mebibyte[:-2] + b"[]").status_code == 200
    assert [Client().generic(method, QBO).status_code for method in ("GET", "PUT", "DELETE", "PATCH")] == [
        405,
        405,
        405,
        405,
    ]
    assert Client().post(QBO, data=b"[]", content_type="application/json", CONTENT_LENGTH="").status_code == 411
    assert post(b"[]", path="/webhooks/nobody/").status_code == 404


@pytest.mark.parametrize(
    "kind",
    [
        "application/json",
        "application/cloudevents+json",
        "application/cloudevents-batch+json; charset=utf-8",
        "text/plain",
    ],
)
def test_any_content_type_is_read(kind: str, books: Connection) -> None:
    assert post(legacy(entity()), content_type=kind).status_code == 200
    assert InboxEvent.objects.get().state == "received"


def test_an_account_connected_in_two_organizations_gives_each_its_own_event(books: Connection) -> None:
    other = Organization.objects.create(slug="other", name="Other")
    Connection.objects.create(organization=other, slug="other-books", system="quickbooks_online", account=REALM)
    assert post(legacy(entity())).status_code == 200
    assert sorted(InboxEvent.objects.values_list("connection__slug", flat=True)) == ["acme-books", "other-books"]


def test_fifty_at_once_are_one_event_and_fifty_times_200(books: Connection) -> None:
    body = legacy(entity())
    answers: list[int] = []
    threads = [threading.Thread(target=lambda: answers.append(post(body).status_code)) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [200] * 50
    assert InboxEvent.objects.count() == 1


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    document=strategies.recursive(
        strategies.none() | strategies.booleans() | strategies.integers() | strategies.text() | strategies.just("Bill")
        | strategies.sampled_from([REALM, "qbo.bill.created.v1", "2026-11-03T17:20:11Z", "Create"]),
        lambda inner: strategies.lists(inner, max_size=4)
        | strategies.dictionaries(
            strategies.sampled_from(["eventNotifications", "realmId", "dataChangeEvent", "entities", "name", "id",
                                     "operation", "lastUpdated", "specversion", "type", "time", "intuitentityid",
                                     "intuitaccountid", "data", "deletedid"]),
            inner, max_size=8,
        ),
        max_leaves=25,
    )
)  # fmt: skip
def test_no_signed_document_brings_the_door_down(document: Any, books: Connection) -> None:
    assert post(json.dumps(document).encode()).status_code == 200


# --- Slack ---


def slack_post(
    event: dict[str, Any], *, secret: str = "fake-signing-secret-samples", age: int = 0, event_id: str = "Ev1"
) -> Any:
    outer = {
        "type": "event_callback",
        "team_id": "T00000001",
        "event_id": event_id,
        "event_time": int(time.time()) - age,
        "event": event,
    }
    return slack_raw(json.dumps(outer).encode(), secret=secret, age=age)


def slack_raw(body: bytes, *, secret: str = "fake-signing-secret-samples", age: int = 0) -> Any:
    at = str(int(time.time()) - age)
    digest = hmac.new(secret.encode(), b"v0:" + at.encode() + b":" + body, hashlib.sha256).hexdigest()
    headers = {"X-Slack-Request-Timestamp": at, "X-Slack-Signature": f"v0={digest}"}
    return Client().post(SLACK, data=body, content_type="application/json", headers=headers)


@pytest.fixture
def chat(books: Connection) -> Connection:
    return Connection.objects.create(
        organization=books.organization, slug="acme-slack", system="slack", account="T00000001", state="ok"
    )


def test_slack_gets_its_challenge_back_only_when_it_signs() -> None:
    body = json.dumps({"type": "url_verification", "challenge": "3eZbrw1aBm2r"}).encode()
    answer = slack_raw(body)
    assert (answer.status_code, answer.content) == (200, b"3eZbrw1aBm2r")
    assert slack_raw(body, secret="other").status_code == 401
    assert slack_raw(body, age=301).status_code == 401


def test_a_revoked_token_parks_the_workspace_once(chat: Connection) -> None:
    Mailbox.objects.create(connection=chat, target="C0AP00001")
    revoked = {"type": "tokens_revoked", "tokens": {"bot": ["U1"], "oauth": []}}
    for _ in range(3):
        assert slack_post(revoked).status_code == 200
    chat.refresh_from_db()
    assert chat.state == "needs_reauthorization"
    assert Mailbox.objects.get().hold == "connection"
    assert AuditEntry.objects.filter(action="connection.needs_reauthorization").count() == 1
    assert InboxEvent.objects.filter(origin="webhook").count() == 1


def test_an_old_revocation_does_not_touch_a_newer_authorization(chat: Connection) -> None:
    from connector.kernel.contracts import Secrets
    from connector.pipeline import credentials

    credentials.store(chat, Secrets({"bot_token": "xoxb-fake"}), actor="test", action="credential.stored")
    assert slack_post({"type": "app_uninstalled"}, age=120).status_code == 200
    chat.refresh_from_db()
    assert chat.state == "ok"


@pytest.mark.parametrize(
    ("closes", "opens"), [("channel_archive", "channel_unarchive"), ("group_archive", "group_unarchive")]
)
def test_an_archived_channel_is_parked_and_opened_again(chat: Connection, closes: str, opens: str) -> None:
    Mailbox.objects.create(connection=chat, target="C0AP00001")
    assert slack_post({"type": closes, "channel": "C0AP00001"}, event_id="Ev1").status_code == 200
    assert Mailbox.objects.get().hold == "target"
    assert slack_post({"type": opens, "channel": "C0AP00001"}, event_id="Ev2").status_code == 200
    assert Mailbox.objects.get().hold == ""
    renamed = {"type": "channel_rename", "channel": {"id": "C0AP00001", "name": "payables", "created": 1}}
    assert slack_post(renamed, event_id="Ev3").status_code == 200
    assert Mailbox.objects.get().title == "payables"


def test_an_unknown_slack_event_is_ignored_with_its_reason(chat: Connection) -> None:
    assert slack_post({"type": "star_added"}).status_code == 200
    event = InboxEvent.objects.get()
    assert event.state == "ignored" and "star_added" in event.reason
    assert slack_raw(b"{not json").status_code == 200
    assert slack_raw(b"\xff").status_code == 401


def test_a_workspaces_own_secret_speaks_for_that_workspace_only(chat: Connection) -> None:
    from connector.kernel.contracts import Secrets
    from connector.pipeline import credentials

    other = Organization.objects.create(slug="other", name="Other")
    theirs = Connection.objects.create(
        organization=other, slug="other-slack", system="slack", account="T0OTHER", state="ok"
    )
    secrets = Secrets({"bot_token": "xoxb-fake", "signing_secret": "fake-own-secret"})
    credentials.store(theirs, secrets, actor="test", action="credential.stored")
    for connection in (chat, theirs):
        Mailbox.objects.create(connection=connection, target="C0AP00001")
    gone = {"type": "channel_archive", "channel": "C0AP00001"}
    assert slack_post(gone, secret="fake-own-secret").status_code == 200
    assert not Mailbox.objects.exclude(hold="").exists()
    outer = {
        "type": "event_callback",
        "team_id": "T0OTHER",
        "event_id": "Ev9",
        "event_time": int(time.time()),
        "event": gone,
    }
    assert slack_raw(json.dumps(outer).encode(), secret="fake-own-secret").status_code == 200
    assert Mailbox.objects.exclude(hold="").get().connection == theirs
