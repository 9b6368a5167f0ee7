"""One organization on FreshBooks in this process's database; a person turns the crank instead of workers.

What FreshBooks sends is taken at the real addresses, by the real views.
"""

from __future__ import annotations

import atexit
import os
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from django.test import Client

from connector import registry
from connector.kernel.contracts import Secrets
from connector.models import (
    Connection,
    ConnectionState,
    Delivery,
    DeliveryState,
    InboxEvent,
    Mailbox,
    Organization,
    Route,
    Subscription,
)
from connector.models.inbox import MOVING
from connector.pipeline import clock, credentials, delivery, mapping, resolve, routing, subscriptions
from sinks.slack.standin import SlackStandIn
from sources.freshbooks.standin import FreshBooksStandIn
from sources.freshbooks.standin_webhooks import Delivery as Sent

ACCOUNT = "6BApk"
CHANNEL = "C0AR00001"
APP = {"FRESHBOOKS_CLIENT_ID": "fake-client-id", "FRESHBOOKS_CLIENT_SECRET": "fake-client-secret"}


class Mail:
    """What the stand-in sends, held until somebody delivers it: its callbacks point at no server here."""

    def __init__(self) -> None:
        self.waiting: list[Sent] = []

    def add(self, sent: Sent) -> None:
        self.waiting.append(sent)

    def stop(self) -> None:
        self.waiting.clear()


def new_freshbooks() -> FreshBooksStandIn:
    """A started stand-in that this process's connector calls."""
    standin = FreshBooksStandIn(APP["FRESHBOOKS_CLIENT_ID"], APP["FRESHBOOKS_CLIENT_SECRET"]).start()
    atexit.register(standin.stop)
    os.environ.update(
        {**APP, "FRESHBOOKS_API_URL": standin.url, "FRESHBOOKS_AUTHORIZE_URL": f"{standin.url}/oauth/authorize"}
    )
    registry.app_settings.cache_clear()
    return standin


class FreshWorld:
    """An organization with FreshBooks and Slack."""

    def __init__(self, slack: SlackStandIn, *, account: str = ACCOUNT) -> None:
        self.books, self.slack, self.mail = new_freshbooks(), slack, Mail()
        self.books.courier.add = self.mail.add  # type: ignore[method-assign]
        self.business = self.books.add_business(account, "Acme Services LLC")
        slack.add_channel(CHANNEL, "ar", is_member=True)
        self.organization = Organization.objects.create(slug="acme", name="Acme Services LLC")
        self.source = self.connect("acme-freshbooks", "freshbooks", account)
        self.authorize(self.source)
        self.sink = self.connect("acme-slack", "slack", "T00000001")
        secrets = Secrets({"bot_token": slack.issue_token()})
        credentials.store(self.sink, secrets, actor="test", action="credential.stored")

    def connect(self, slug: str, system: str, account: str) -> Connection:
        return Connection.objects.create(
            organization=self.organization, slug=slug, system=system, account=account, state=ConnectionState.OK
        )

    def authorize(self, connection: Connection, *, expires_in: int = 43199, **more: str) -> Mapping[str, Any]:
        tokens = self.books.issue_tokens()
        values = {name: str(tokens[name]) for name in ("access_token", "refresh_token", "scope")}
        secrets = Secrets({**values, **more}, expires_at=clock.after(expires_in))
        credentials.store(connection, secrets, owner="1234", actor="test", action="credential.stored")
        return tokens

    def route(
        self, name: str = "all", *events: str, channel: str = CHANNEL, where: dict[str, Any] | None = None, **more: Any
    ) -> Route:
        route = Route(
            organization=self.organization, name=name, source=self.source, sink=self.sink, target=channel,
            events=list(events) or ["*"], **more,
        )  # fmt: skip
        route.conditions = where or {}
        route.save(force_insert=True)
        return route

    def subscribe(self) -> None:
        """Registers every callback and lets the handshakes through."""
        subscriptions.tend(str(self.source.pk))
        self.deliver()
        self.confirm()

    def confirm(self) -> None:
        for row in Subscription.objects.exclude(offers_sealed=""):
            subscriptions.confirm(str(row.pk))

    def deliver(self, count: int | None = None) -> list[int]:
        """Brings what FreshBooks has sent to its addresses; the answers."""
        sent, self.mail.waiting = self.mail.waiting[:count], self.mail.waiting[len(self.mail.waiting[:count]) :]
        return [self.post(each.callback.uri, each.body, each.headers) for each in sent]

    def post(self, uri: str, body: bytes, headers: Mapping[str, str]) -> int:
        extra = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()}
        kind = "application/x-www-form-urlencoded"
        return Client().post(urlsplit(uri).path, data=body, content_type=kind, **extra).status_code  # type: ignore[arg-type]

    def work(self) -> None:
        """Turns the crank until nothing is due any more; what settles is taken as settled."""
        for _ in range(50):
            rows = InboxEvent.objects.filter(state__in=MOVING, lease_until=None, attempts=0)
            ids = [str(pk) for pk in rows.order_by("pk").values_list("pk", flat=True)]
            for step in (resolve.fetch, mapping.map_events, routing.route_events):
                step(ids)
            now = clock.now()
            due = Delivery.objects.filter(state=DeliveryState.WAITING, next_attempt_at__lte=now, mailbox__hold="")
            boxes = list(Mailbox.objects.filter(deliveries__in=due).distinct().values_list("pk", flat=True))
            for box in boxes:
                delivery.drain(box, is_armed=True)
                time.sleep(0.02)
            if not ids and not boxes:
                return
        raise AssertionError("the work does not end")

    @property
    def source_uri(self) -> str:
        """The connection's own address."""
        return f"/webhooks/freshbooks/{self.source.slug}/"

    @property
    def texts(self) -> list[str]:
        return [post.text for post in self.slack.posts]

    def outcomes(self) -> list[tuple[str, str, str]]:
        rows = InboxEvent.objects.exclude(record="connection").order_by("pk")
        return [(row.type, row.state, row.reason) for row in rows]


def at_once(work: Callable[[], Any], count: int) -> list[Any]:
    """The results of so many threads that do the same at once; an exception is its result."""
    import threading

    from django.db import connections

    found: list[Any] = []
    barrier = threading.Barrier(count)

    def run() -> None:
        barrier.wait()
        try:
            found.append(work())
        except Exception as error:  # noqa: BLE001 - a result like any other
            found.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found
