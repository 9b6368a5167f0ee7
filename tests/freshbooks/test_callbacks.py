"""Callbacks at FreshBooks: registered, proven, repaired and removed by the connector itself."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from typing import Any

from django.contrib.auth.models import User
from django.db import connections as databases
from django.test import Client

from connector import locks
from connector.admin import connection_actions
from connector.kernel.contracts import Secrets
from connector.models import Connection, Subscription
from connector.pipeline import clock, connections, credentials, subscriptions
from sources.freshbooks.standin_faults import EventsError
from sources.freshbooks.standin_webhooks import build
from tests.freshbooks.test_messages import INVOICE
from tests.freshbooks.world import ACCOUNT, FreshWorld

EVENTS = {
    f"{noun}.{verb}" for noun in ("invoice", "payment", "bill", "expense") for verb in ("create", "update", "delete")
}
EVENTS |= {"invoice.sendByEmail"}


def states() -> Counter[str]:
    return Counter(Subscription.objects.exclude(event="").values_list("state", flat=True))


def tend(world: FreshWorld, *, in_days: float = 0) -> None:
    """A look at the callbacks as the sweep would begin it, so much later."""
    Subscription.objects.update(check_at=clock.now() - dt.timedelta(seconds=1) if in_days else clock.now())
    Subscription.objects.update(state_at=clock.now() - dt.timedelta(days=in_days))
    subscriptions.tend(str(world.source.pk))


def test_one_callback_for_each_event_with_an_address_and_a_secret_of_its_own(world: FreshWorld) -> None:
    subscriptions.tend(str(world.source.pk))
    assert states() == {"waiting": 13}
    world.subscribe()
    assert states() == {"active": 13}
    registered = list(world.books.callbacks.values())
    assert {each.event for each in registered} == EVENTS and all(each.is_verified for each in registered)
    base = "http://127.0.0.1:8000/webhooks/freshbooks/acme-freshbooks/"
    assert {each.uri for each in registered} == {f"{base}{row.pk}/" for row in Subscription.objects.all()}
    for row in Subscription.objects.all():
        (callback,) = [each for each in registered if each.uri.endswith(f"{row.pk}/")]
        assert row.verifiers == {str(callback.number): callback.verifier}
        assert callback.verifier not in row.verifiers_sealed and row.offers is None


def test_a_handshake_may_come_before_the_answer_of_its_registration(world: FreshWorld) -> None:
    world.books.handshakes = "first"
    world.books.courier.add = lambda sent: None  # type: ignore[method-assign]
    shaken: list[int] = []

    def shake(callback: object) -> None:
        sent = world.books.build(callback, "callback.verify", callback.number, verifier=callback.verifier)  # type: ignore[attr-defined, arg-type]
        shaken.append(world.post(callback.uri, sent.body, sent.headers))  # type: ignore[attr-defined]
        world.confirm()
        databases.close_all()  # a thread of the stand-in's own

    world.books._shake_hands = shake  # type: ignore[method-assign]
    subscriptions.tend(str(world.source.pk))
    assert shaken == [200] * 13 and states() == {"active": 13}


def test_a_strangers_handshake_is_not_believed(world: FreshWorld) -> None:
    subscriptions.tend(str(world.source.pk))
    (row, *_) = Subscription.objects.all()
    fields = {"name": "callback.verify", "object_id": row.callback_id, "account_id": ACCOUNT, "verifier": "fake-theirs"}
    assert world.post(row.uri, *build(fields, "fake-theirs")) == 200
    assert world.post(row.uri, *build({**fields, "object_id": "9999"}, "fake-theirs")) == 200
    row.refresh_from_db()
    assert row.offers == [[row.callback_id, "fake-theirs"]]
    notice = {"name": "invoice.create", "object_id": "1", "account_id": ACCOUNT}
    assert world.post(row.uri, *build(notice, "fake-theirs")) == 401
    world.confirm()
    assert world.post(row.uri, *build(notice, "fake-theirs")) == 401
    world.subscribe()
    kept = Subscription.objects.get(pk=row.pk)
    assert world.post(row.uri, *build(fields, "fake-theirs")) == 200
    world.confirm()
    assert Subscription.objects.get(pk=row.pk).verifiers == kept.verifiers
    assert states() == {"active": 13}


def test_a_callback_registered_by_hand_to_the_connections_own_address(world: FreshWorld) -> None:
    address = f"http://127.0.0.1:8000{world.source_uri}"
    source = subscriptions._source(world.source)
    connections.call(world.source, lambda ctx: source.register(ctx, "invoice.create", address))
    assert world.deliver() == [200]
    subscriptions.sweep()
    world.confirm()
    world.books.put(ACCOUNT, "invoices", INVOICE)
    assert world.deliver() == [200]
    tend(world, in_days=1)
    assert address in {each.uri for each in world.books.callbacks.values()}


def test_what_is_missing_unverified_doubled_or_astray_is_repaired(world: FreshWorld) -> None:
    world.subscribe()
    first, second, third, *_ = world.books.callbacks.values()
    del world.books.callbacks[first.number]
    second.is_verified = False
    double = type(third)(9001, ACCOUNT, third.event, third.uri, "fake-other", third.updated, True)
    astray = f"http://127.0.0.1:8000{world.source_uri}00000000-0000-7000-8000-000000000000/"
    stray = type(third)(9002, ACCOUNT, "bill.create", astray, "fake-other", third.updated, True)
    foreign = type(third)(9003, ACCOUNT, "bill.create", "https://else.example/hook", "fake-other", third.updated, True)
    world.books.callbacks.update({each.number: each for each in (double, stray, foreign)})
    tend(world, in_days=1)
    assert states() == {"active": 11, "waiting": 2}
    world.deliver()
    world.confirm()
    assert states() == {"active": 13}
    assert set(world.books.callbacks) >= {second.number, third.number, foreign.number}
    assert not {first.number, double.number, stray.number} & set(world.books.callbacks)
    assert len(world.books.callbacks) == 14


def test_another_choice_of_events_another_address_and_a_switched_off_connection(
    world: FreshWorld, settings: Any
) -> None:
    world.subscribe()
    Connection.objects.filter(pk=world.source.pk).update(settings={"subscribe": ["expense"]})
    subscriptions.tend(str(world.source.pk))
    assert {each.event for each in world.books.callbacks.values()} == {
        f"expense.{v}" for v in ("create", "update", "delete")
    }
    settings.PUBLIC_URL = "http://127.0.0.1:8001"
    subscriptions.sweep()
    world.subscribe()
    assert {each.uri[:21] for each in world.books.callbacks.values()} == {"http://127.0.0.1:8001"}
    assert states() == {"active": 3}
    Connection.objects.filter(pk=world.source.pk).update(is_active=False)
    for _ in range(3):  # as far as the allowance of calls goes
        locks.client().flushall()
        subscriptions.tend(str(world.source.pk))
    assert world.books.callbacks == {} and states() == {}


def test_a_refused_registration_is_shown_and_the_others_go_on(world: FreshWorld) -> None:
    world.source.settings = {"subscribe": ["payment", "bill"]}
    world.source.save()
    scopes = [scope for scope in world.books.app_scopes if "bills" not in scope]
    tokens = world.books.issue_tokens(scopes=scopes)
    secrets = Secrets({"access_token": tokens["access_token"]})
    credentials.store(world.source, secrets, actor="test", action="credential.stored")
    world.subscribe()
    assert states() == {"active": 3, "failed": 3}
    failed = Subscription.objects.filter(state="failed")
    assert {row.reason.partition(" (")[0] for row in failed} == {
        "403: FreshBooks does not allow this to the app: tick the scope in the app's settings there, then connect again"
    }


def test_an_outage_leaves_what_works_alone(world: FreshWorld) -> None:
    world.subscribe()
    world.books.fail(r"GET /events/", "answer", times=1, answer=EventsError(503, "away").answer("old"))
    tend(world, in_days=1)
    assert states() == {"active": 13}
    tend(world, in_days=1)
    assert states() == {"active": 13}


def test_disconnecting_takes_the_callbacks_back(world: FreshWorld) -> None:
    world.subscribe()
    said = connection_actions.disconnect(world.source, actor="ada")
    assert said == "Disconnected acme-freshbooks. The authorization was ended at FreshBooks."
    assert world.books.callbacks == {} and not Subscription.objects.exists()


def test_the_admin_shows_every_callback_with_its_state(world: FreshWorld, client: Client) -> None:
    world.subscribe()
    Subscription.objects.filter(event="bill.create").update(state="failed", reason="422: refused")
    client.force_login(User.objects.create(username="ada", is_staff=True, is_superuser=True))
    page = client.get(f"/admin/connector/connection/{world.source.pk}/change/").content.decode()
    assert all(event in page for event in EVENTS)
    assert page.count('<span class="badge badge-good">Verified</span>') == 12 and "422: refused" in page
    row = Subscription.objects.get(event="bill.create")
    listed = client.get("/admin/connector/subscription/").content.decode()
    detail = client.get(f"/admin/connector/subscription/{row.pk}/change/").content.decode()
    assert "bill.create" in listed and row.uri in detail
    assert not any(
        secret in page + listed + detail for each in Subscription.objects.all() for secret in each.verifiers.values()
    )
    gone = client.post(f"/admin/connector/connection/{world.source.pk}/delete/", {"post": "yes"})
    assert gone.status_code == 302 and world.books.callbacks == {}
