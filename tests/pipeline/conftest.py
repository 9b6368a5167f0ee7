"""One organization in this process's database, worked on without any worker: each step is a plain call."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterator
from typing import Any

import pytest

from connector.kernel.contracts import Request, Secrets
from connector.models import (
    Connection,
    ConnectionState,
    Delivery,
    DeliveryState,
    InboxEvent,
    Mailbox,
    Organization,
    Route,
)
from connector.models.inbox import MOVING
from connector.pipeline import clock, credentials, delivery, intake, mapping, resolve, routing
from sinks.slack.standin import SlackStandIn
from sources.quickbooks_online.standin import IntuitStandIn
from tests.stack import REALM

CHANNEL = "C0AP00001"


class World:
    """An organization with its two connections, and a person who turns the crank."""

    def __init__(self, intuit: IntuitStandIn, slack: SlackStandIn) -> None:
        self.intuit, self.slack = intuit, slack
        intuit.add_company(REALM, "Acme Services LLC")
        if CHANNEL not in slack.team.channels:
            slack.add_channel(CHANNEL, "ap", is_member=True)
        self.organization = Organization.objects.create(slug="acme", name="Acme Services LLC")
        self.books = self._connect("acme-books", "quickbooks_online", REALM)
        tokens = intuit.issue_tokens(REALM)
        self.authorize(self.books, access_token=tokens["access_token"], refresh_token=tokens["refresh_token"])
        self.chat = self._connect("acme-slack", "slack", "T00000001")
        self.authorize(self.chat, bot_token=slack.issue_token())

    def _connect(self, slug: str, system: str, account: str) -> Connection:
        return Connection.objects.create(
            organization=self.organization, slug=slug, system=system, account=account, state=ConnectionState.OK
        )

    def authorize(self, connection: Connection, **values: str) -> None:
        ends = clock.after(3600) if "access_token" in values else None
        credentials.store(connection, Secrets(values, expires_at=ends), actor="test", action="credential.stored")

    def route(self, name: str = "all", *events: str, where: dict[str, Any] | None = None, **fields: Any) -> Route:
        route = Route(
            organization=self.organization,
            name=name,
            source=self.books,
            sink=self.chat,
            events=list(events) or ["*"],
            **{"target": CHANNEL, **fields},
        )
        route.conditions = where or {}
        route.save(force_insert=True)
        return route

    def notify(self, *changes: Any, format: str = "cloudevents") -> None:
        """Receives QuickBooks notices as the web process would."""
        rows = [change if not isinstance(change, tuple) else (REALM, *change) for change in changes]
        body, headers = self.intuit.build_notification(rows, format=format)
        lower = {name.lower(): value for name, value in headers.items()}
        intake.receive("quickbooks_online", Request("POST", "/", lower, body, dt.datetime.now(dt.UTC)))

    def work(self, *, events: bool = True, posts: bool = True) -> None:
        """Turns the crank until nothing is due any more."""
        for _ in range(200):
            ids = [str(pk) for pk in self._due_events()] if events else []
            if ids:
                resolve.fetch(ids)
                mapping.map_events(ids)
                routing.route_events(ids)
            boxes = self._due_mailboxes() if posts else []
            for box in boxes:
                delivery.drain(box, is_armed=True)
                time.sleep(0.02)
            if not ids and not boxes:
                return
        raise AssertionError("the work does not end")

    def _due_events(self) -> list[Any]:
        rows = InboxEvent.objects.filter(state__in=MOVING, lease_until=None, attempts=0)
        return list(rows.exclude(connection__state="needs_reauthorization").order_by("pk").values_list("pk", flat=True))

    def _due_mailboxes(self) -> list[Any]:
        now = clock.now()
        waiting = Delivery.objects.filter(state=DeliveryState.WAITING, next_attempt_at__lte=now, mailbox__hold="")
        doubt = Delivery.objects.filter(state=DeliveryState.SENDING, lease_until__lte=now)
        return list(Mailbox.objects.filter(deliveries__in=waiting | doubt).distinct().values_list("pk", flat=True))

    @property
    def texts(self) -> list[str]:
        return [post.text for post in self.slack.posts]


@pytest.fixture
def world(database: None, redis: str, intuit: IntuitStandIn, slack: SlackStandIn, settings: Any) -> Iterator[World]:
    """A fresh world; the stand-in counts posts under a second apart, these tests do not wait for them."""
    settings.SLACK_SPACING_SECONDS = 0.01
    intuit.enforce_limits = False
    yield World(intuit, slack)
