"""Webhooks that have stopped are told of once, and again only after they came back."""

from __future__ import annotations

import pytest

from connector.kernel.contracts import Notice
from connector.models import Connection, InboxEvent, Organization, Payload, PayloadKind
from connector.pipeline import intake, silence

REALM = "9130350000000001"


@pytest.fixture
def connection(db: None) -> Connection:
    organization = Organization.objects.create(slug="acme", name="Acme")
    return Connection.objects.create(
        organization=organization, slug="acme-books", system="quickbooks_online", account=REALM
    )


def learn(connection: Connection, origin: str, *numbers: str) -> None:
    notices = [Notice(REALM, "bill", number, "created", delivery_key=f"{origin} {number}") for number in numbers]
    intake.record("quickbooks_online", notices, origin=origin, only=[connection])
    silence.notice(connection)


def told() -> list[str]:
    return [Payload.read(event, PayloadKind.EVENT)["memo"] for event in InboxEvent.objects.filter(origin="connector")]


def test_changes_that_only_a_reading_finds_are_told_of_once(connection: Connection) -> None:
    learn(connection, "poll", "1", "2")
    assert told() == []
    learn(connection, "poll", "3")
    learn(connection, "poll", "4", "5", "6")
    (text,) = told()
    assert text.startswith(
        "QuickBooks Online has told nothing of acme-books by webhook for 24 hours, though 3 records changed"
    )


def test_a_webhook_ends_the_silence(connection: Connection) -> None:
    learn(connection, "webhook", "0")
    learn(connection, "poll", "1", "2", "3", "4")
    assert told() == []
    InboxEvent.objects.filter(origin="webhook").delete()
    silence.notice(connection)
    assert len(told()) == 1
    learn(connection, "webhook", "9")
    InboxEvent.objects.filter(origin="webhook").delete()
    silence.notice(connection)
    assert len(told()) == 2
