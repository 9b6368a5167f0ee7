"""FreshBooks' token chain: one for each person, good once, renewed by one worker, never tried in a loop."""

from __future__ import annotations

import datetime as dt
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from django.contrib.auth.models import User
from django.test import Client

from connector.kernel.errors import Misconfigured, Reauthorize
from connector.models import Connection, Credential, InboxEvent
from connector.pipeline import clock, connections, credentials
from tests.freshbooks.test_messages import INVOICE
from tests.freshbooks.world import ACCOUNT, FreshWorld, at_once

TOKEN = r"POST /auth/oauth/token"


def test_fifty_workers_that_need_a_token_make_one_refresh(world: FreshWorld) -> None:
    world.authorize(world.source, expires_in=1800)  # within the margin
    world.books.put(ACCOUNT, "invoices", {**INVOICE, "id": 7})

    def work() -> str:
        connection = Connection.objects.select_related("organization", "credential").get(pk=world.source.pk)
        return credentials.call(connection, lambda ctx: ctx.secrets.get("access_token"))

    found = at_once(work, 50)
    assert world.books.count(TOKEN) == 1
    assert len(set(found)) == 1 and isinstance(found[0], str)
    assert connections.check(str(world.source.pk)) == "Connected to Acme Services LLC"
    credential = Credential.objects.get(pk=world.source.credential_id)
    assert credential.generation == 3 and credential.failures == 0
    assert dt.timedelta(hours=11) < credential.expires_at - clock.now() < dt.timedelta(hours=12)


def test_a_refused_access_token_is_renewed_once_and_the_redirect_is_named(world: FreshWorld) -> None:
    world.books.expire_access_tokens()
    assert connections.check(str(world.source.pk)) == "Connected to Acme Services LLC"
    (call,) = [call for call in world.books.calls if call.path == "/auth/oauth/token"]
    form = call.form()
    assert form["redirect_uri"] == "http://127.0.0.1:8000/oauth/freshbooks/callback/"
    assert form["grant_type"] == "refresh_token"


@pytest.mark.parametrize("forgives", [True, False])
def test_a_refresh_cut_after_freshbooks_answered(world: FreshWorld, forgives: bool) -> None:
    """The old refresh token tells: it works once more, or a person must connect again. It is never tried in a loop."""
    world.books.forgives_lost_answer = forgives
    world.books.put(ACCOUNT, "invoices", {**INVOICE, "id": 7})
    world.books.expire_access_tokens()
    world.books.fail(TOKEN, "cut_after")
    for _ in range(6):
        connection = Connection.objects.select_related("organization", "credential").get(pk=world.source.pk)
        try:
            connections.call(connection, lambda ctx: ctx.secrets.get("access_token") and _read(ctx))
            break
        except Reauthorize:
            break
        except Exception:  # noqa: BLE001 - waits, as the pipeline would
            Credential.objects.update(retry_at=None)
    state = Connection.objects.get(pk=world.source.pk).state
    assert state == ("ok" if forgives else "needs_reauthorization")
    assert world.books.count(TOKEN) == 2
    if not forgives:
        connections.renew(str(world.source.credential_id))
        assert world.books.count(TOKEN) == 2
        told = InboxEvent.objects.get(record="connection")
        assert told.operation == "needs_reauthorization"
        world.authorize(world.source)
        assert connections.check(str(world.source.pk)) == "Connected to Acme Services LLC"


def _read(ctx: Any) -> Any:
    from sources.freshbooks.client import Client as Api

    return Api(ctx).me()


def test_what_was_not_granted_is_named(world: FreshWorld) -> None:
    scopes = [scope for scope in world.books.app_scopes if "expenses" not in scope]
    tokens = world.books.issue_tokens(scopes=scopes)
    world.source.refresh_from_db()
    secrets = credentials.opened(world.source.credential)
    values = {**secrets.values, **{name: tokens[name] for name in ("access_token", "refresh_token", "scope")}}
    credentials.store(world.source, type(secrets)(values), actor="test", action="credential.stored")
    with pytest.raises(Misconfigured) as error:
        connections.check(str(world.source.pk))
    assert error.value.text == (
        "FreshBooks did not grant user:expenses:read: tick them in the app's settings, then connect again"
    )
    assert Connection.objects.get(pk=world.source.pk).state == "misconfigured"


def test_a_person_with_two_businesses_chooses_and_both_share_one_credential(world: FreshWorld, client: Client) -> None:
    world.books.add_business("9ZZzz", "Second Street Ltd")
    world.books.add_business(None, "Without accounting")
    client.force_login(User.objects.create(username="ada", is_staff=True, is_superuser=True))
    for account in ("9ZZzz", ACCOUNT):
        page = _consented(client)
        assert page.status_code == 200
        shown = page.content.decode()
        assert "Second Street Ltd" in shown and "Acme Services LLC" in shown and "Without accounting" not in shown
        state = page.context["state"]
        assert client.post("/oauth/freshbooks/callback/", {"state": state, "account": account}).status_code == 302
    rows = Connection.objects.filter(system="freshbooks").order_by("pk")
    assert [(row.account, row.settings, row.state) for row in rows] == [
        (ACCOUNT, {"business_id": "77128"}, "ok"),
        ("9ZZzz", {"business_id": "77129"}, "ok"),
    ]
    assert len({row.credential_id for row in rows}) == 1
    assert [connections.check(str(row.pk)) for row in rows] == [
        "Connected to Acme Services LLC",
        "Connected to Second Street Ltd",
    ]


def _consented(client: Client) -> Any:
    """Through FreshBooks' consent page and back."""
    start = client.get("/oauth/freshbooks/start/?organization=acme")
    away = requests.get(start.headers["Location"], allow_redirects=False, timeout=5)
    back = urlsplit(away.headers["Location"])
    return client.get(f"{back.path}?{back.query}")


def test_a_declined_consent_connects_nothing(world: FreshWorld, client: Client) -> None:
    client.force_login(User.objects.create(username="ada", is_staff=True, is_superuser=True))
    world.books.consent = None
    page = _consented(client)
    assert page.status_code == 400 and "Access was denied at FreshBooks" in page.content.decode()
    assert world.books.count(TOKEN) == 0
