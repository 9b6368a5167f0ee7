"""The addresses that FreshBooks posts to: what is signed for them is taken, everything else refused."""

from __future__ import annotations

import threading

import pytest
from django.db import connections as databases

from connector.models import InboxEvent, Subscription
from connector.pipeline import subscriptions
from sources.freshbooks.standin_webhooks import build
from tests.freshbooks.test_messages import INVOICE
from tests.freshbooks.world import ACCOUNT, FreshWorld


def test_what_is_not_signed_for_this_address_is_refused(world: FreshWorld) -> None:
    world.subscribe()
    world.books.put(ACCOUNT, "invoices", INVOICE)
    (sent,) = world.mail.waiting
    uri, other = sent.callback.uri, next(each for each in world.books.callbacks.values() if each != sent.callback).uri
    unknown = uri.replace(uri.rstrip("/").rpartition("/")[2], "00000000-0000-7000-8000-000000000000")
    handshake = next(each for each in world.books.deliveries if each.name == "callback.verify")
    attempts = {
        other: sent,
        unknown: sent,
        uri.replace("acme-freshbooks", "nobody"): sent,
        world.source_uri: sent,
        world.source_uri.replace("acme-freshbooks", "nobody"): handshake,
        unknown + "?x": handshake,
        f"{world.source_uri}not-an-id/": handshake,
    }
    assert {world.post(where, each.body, each.headers) for where, each in attempts.items()} == {401}
    assert not InboxEvent.objects.exists()
    assert world.deliver() == [200]


def test_a_request_that_is_as_quick_as_the_vendors_yes_is_not_refused(world: FreshWorld) -> None:
    subscriptions.tend(str(world.source.pk))
    world.deliver()
    row = Subscription.objects.get(event="invoice.create")
    (callback,) = [each for each in world.books.callbacks.values() if each.uri == row.uri]
    told = {"name": "invoice.create", "object_id": "7", "account_id": ACCOUNT, "business_id": "1"}
    body, headers = build(told, callback.verifier)

    def confirm() -> None:
        world.confirm()
        databases.close_all()

    confirming = threading.Timer(0.4, confirm)
    confirming.start()
    try:
        assert world.post(row.uri, body, headers) == 200
        assert world.post(row.uri, *build(told, "fake-theirs")) == 401
    finally:
        confirming.join()
    assert InboxEvent.objects.count() == 1


@pytest.mark.parametrize(
    ("fields", "state", "reason"),
    [
        ({"name": "client.create"}, "ignored", "no integration tells of client records"),
        ({"name": "invoice.explode"}, "ignored", "no integration knows the operation explode"),
        ({"name": ""}, "failed", "name missing"),
        ({"object_id": ""}, "failed", "object_id missing"),
        ({"object_id": "../../me"}, "failed", "object_id is not an ID"),
        ({"account_id": "6bapk"}, "ignored", "no connection has this account"),
    ],
)
def test_a_signed_notice_that_leads_nowhere_is_kept(
    world: FreshWorld, fields: dict[str, str], state: str, reason: str
) -> None:
    world.authorize(world.source, webhook_verifier="fake-verifier")
    told = {"name": "invoice.create", "object_id": "7", "account_id": ACCOUNT, "business_id": "1", **fields}
    body, headers = build(told, "fake-verifier")
    for _ in range(2):
        assert world.post(world.source_uri, body, headers) == 200
    rows = InboxEvent.objects.all()
    assert {(row.state, row.reason) for row in rows} == {(state, reason)}
