"""A company and an org that one connector keeps in step, in this process's database; a person turns the crank.

What Salesforce tells comes over its own stream, what QuickBooks tells comes in by the real door, and both tell of what
the connector wrote, as the vendors do.
"""

from __future__ import annotations

import base64
import datetime as dt
import itertools
import os
import threading
import time
from typing import Any

from connector import registry
from connector.kernel.contracts import Context, Request, Secrets, Streamer
from connector.models import (
    BLOCKED,
    Connection,
    ConnectionState,
    Cursor,
    Delivery,
    DeliveryState,
    Feedback,
    FeedbackState,
    InboxEvent,
    Link,
    Organization,
    Route,
)
from connector.models.inbox import MOVING
from connector.pipeline import (
    clock,
    connections,
    credentials,
    delivery,
    feedback,
    intake,
    listening,
    mapping,
    polling,
    resolve,
    routing,
)
from sinks.slack.standin import SlackStandIn
from sources.quickbooks_online.standin import IntuitStandIn
from sources.salesforce.standin import SalesforceStandIn
from tests.salesforce.books import BACK, CUSTOMER, ENTRY, ORG, STATUS, THERE, WANTED, Entries, furnish, sums_of

CHANNEL, OPS = "C0ORDERS1", "C0OPS0001"

#: Of each world its own: what the connector and Intuit remember of a company goes by its ID.
_realms = itertools.count(9130350000002000)


def new_org() -> SalesforceStandIn:
    """A started org with two products, to which this process's connector goes."""
    org = SalesforceStandIn().start()
    org.pubsub.keepalive_seconds = 0.02
    os.environ.update(SALESFORCE_PUBSUB_ENDPOINT=org.pubsub_endpoint, SALESFORCE_PUBSUB_PLAINTEXT="true")
    registry.app_settings.cache_clear()
    return org


class TwoWays:
    """An organization with both systems and Slack, all connected, and the routes of the contract's example."""

    def __init__(self, intuit: IntuitStandIn, slack: SlackStandIn, org: SalesforceStandIn) -> None:
        self.intuit, self.slack, self.org = intuit, slack, org
        self.realm = str(next(_realms))
        self.company = intuit.add_company(self.realm, "Acme Services LLC")
        intuit.writes.clear()
        furnish(intuit, self.realm)
        self.pump = org.add_product("Pump", "1", code="PUMP", sku="PUMP-20")
        self.work_hour = org.add_product("Installation", "1", code="Installation")
        for channel in (CHANNEL, OPS):
            slack.add_channel(channel, channel.lower(), is_member=True)
        self.organization = Organization.objects.create(slug="acme", name="Acme Services LLC")
        self.books = self._connect("acme-books", "quickbooks_online", self.realm)
        self.crm = self._connect("acme-salesforce", "salesforce", ORG, instance_url=org.url, currency="USD")
        self.chat = self._connect("acme-slack", "slack", "T00000001")
        self.authorize()
        self.there = self.route("Customers and invoices to Salesforce", self.books, self.crm, THERE)
        self.back = self.route("Orders and customers to the ledger", self.crm, self.books, BACK, settings=WANTED)
        self._told = self._heard = 0
        self.begin_streams()

    # --- setting up --------------------------------------------------------------------------------------------------

    def _connect(self, slug: str, system: str, account: str, **settings: Any) -> Connection:
        return Connection.objects.create(
            organization=self.organization,
            slug=slug,
            system=system,
            account=account,
            state=ConnectionState.OK,
            settings=settings,
        )

    def authorize(self) -> None:
        tokens = self.intuit.issue_tokens(self.realm)
        values = {name: str(tokens[name]) for name in ("access_token", "refresh_token")}
        self._keep(self.books, Secrets(values, expires_at=clock.after(3600)))
        self._keep(self.crm, Secrets({"client_id": "fake-client-id", "client_secret": "fake-client-secret"}))
        self._keep(self.chat, Secrets({"bot_token": self.slack.issue_token()}))

    def _keep(self, connection: Connection, secrets: Secrets) -> None:
        credentials.store(connection, secrets, actor="test", action="credential.stored")

    def route(
        self, name: str, source: Connection, sink: Connection, events: list[str], *, target: str = "", **more: Any
    ) -> Route:
        return Route.objects.create(
            organization=self.organization, name=name, source=source, sink=sink, target=target, events=events, **more
        )

    def tell_in_slack(self) -> None:
        """Routes orders, and troubles of both connections, to Slack."""
        self.route("Orders", self.crm, self.chat, ["order.*"], target=CHANNEL, thread_updates=True)
        for connection in (self.crm, self.books):
            self.route(f"Troubles of {connection.slug}", connection, self.chat, ["connection.*"], target=OPS)

    def begin_streams(self) -> None:
        """Puts every stream to where the org's events end now."""
        mark = base64.b64encode(self.org.bus.mark(self.org.bus.newest())).decode()
        for topic in listening.topics_of(self.crm):
            position = {"replay_id": mark, "commit": clock.now().isoformat()}
            polling.move_cursor(self.crm, listening.cursor_name(topic), position)

    # --- what the vendors tell ---------------------------------------------------------------------------------------

    def hear(self) -> None:
        """Takes everything that the streams have to tell, until they say that there is no more."""
        newest, heard = self.org.bus.newest(), self._heard
        if newest == heard:
            return
        self._heard = newest
        self.crm.refresh_from_db()
        source = registry.source("salesforce")
        assert isinstance(source, Streamer)
        streamer = source
        for topic in listening.topics_of(self.crm):

            def work(ctx: Context, topic: str = topic) -> None:
                row = Cursor.objects.get(connection=self.crm, name=listening.cursor_name(topic))
                for batch in streamer.stream(ctx, topic, row.state, threading.Event()):
                    listening._store(self.crm, topic, batch)
                    if not batch.notices:
                        return

            connections.call(self.crm, work)

    def lose(self) -> None:
        """What the streams have to tell now is never told."""
        self.begin_streams()
        self._heard = self.org.bus.newest()

    def notify(self, *changes: tuple[str, str, str]) -> None:
        """QuickBooks tells of changes: (entity, ID, operation)."""
        body, headers = self.intuit.build_notification([(self.realm, *change) for change in changes])
        lower = {name.lower(): value for name, value in headers.items()}
        intake.receive("quickbooks_online", Request("POST", "/", lower, body, dt.datetime.now(dt.UTC)))

    def put(self, entity: str, **document: Any) -> dict[str, Any]:
        """A bookkeeper enters or replaces a record, and QuickBooks tells of it."""
        is_new = "Id" not in document
        kept = self.intuit.put(self.realm, entity, document)
        self.notify((entity, kept["Id"], "created" if is_new else "updated"))
        return kept

    def change(self, entity: str, number: str, **fields: Any) -> None:
        """A bookkeeper changes a record, and QuickBooks tells of it."""
        self.intuit.change(self.realm, entity, number, **fields)
        self.notify((entity, number, "updated"))

    def echo(self) -> None:
        """QuickBooks tells of what the connector wrote."""
        fresh = self.intuit.writes[self._told :]
        self._told += len(fresh)
        done = {"create": "created", "update": "updated"}
        if fresh:
            self.notify(*((write.entity, write.id, done[write.operation]) for write in fresh))

    # --- the crank ---------------------------------------------------------------------------------------------------

    def work(self) -> None:
        """Hears, fetches, routes, delivers and writes back until nothing is left to do on any side."""
        for _ in range(60):
            self.hear()
            self.echo()
            if not self.step():
                return
        raise AssertionError("the work does not end")

    def step(self, *, notes: bool = True) -> bool:
        """One round of the workers; whether there was anything to do."""
        has_events = self.advance()
        boxes = self.due_mailboxes()
        for box in boxes:
            delivery.drain(box, is_armed=True)
            time.sleep(0.01)
        return has_events or bool(boxes) or (notes and self.write_notes())

    def advance(self) -> bool:
        """Fetches, maps and routes what came in; whether there was any."""
        rows = InboxEvent.objects.filter(state__in=MOVING, lease_until=None, attempts=0)
        rows = rows.exclude(connection__state__in=BLOCKED, state="received")
        ids = [str(pk) for pk in rows.order_by("pk").values_list("pk", flat=True)]
        for act in (resolve.fetch, mapping.map_events, routing.route_events):
            act(ids)
        return bool(ids)

    def due_mailboxes(self) -> list[Any]:
        now = clock.now()
        due = Delivery.objects.filter(state=DeliveryState.WAITING, next_attempt_at__lte=now, mailbox__hold="")
        doubt = Delivery.objects.filter(state=DeliveryState.SENDING, lease_until__lte=now)
        # The oldest event first: what a record needs was told before it.
        return list(dict.fromkeys((due | doubt).order_by("event_id").values_list("mailbox_id", flat=True)))

    def write_notes(self) -> bool:
        tries = sum(Feedback.objects.values_list("attempts", flat=True))
        rows = Feedback.objects.filter(state=FeedbackState.WAITING, next_attempt_at__lte=clock.now())
        for connection_id in set(rows.values_list("connection_id", flat=True)):
            feedback.write(str(connection_id))
        return sum(Feedback.objects.values_list("attempts", flat=True)) > tries

    def make_due(self) -> None:
        """Lets the time pass until everything that waits is tried again."""
        now = clock.now()
        InboxEvent.objects.filter(state__in=MOVING).update(next_attempt_at=now, lease_until=None, attempts=0)
        Delivery.objects.filter(state=DeliveryState.WAITING).update(next_attempt_at=now)
        Delivery.objects.filter(state=DeliveryState.SENDING).update(lease_until=now)
        Feedback.objects.filter(state=FeedbackState.WAITING).update(next_attempt_at=now, lease_until=None)

    # --- what became of it -------------------------------------------------------------------------------------------

    def linked_account(self, name: str = "Northwind", **fields: Any) -> str:
        """An Account that has its customer; its ID."""
        account = self.org.create("Account", Name=name, **fields)
        self.work()
        assert self.org.record("Account", account)[CUSTOMER]
        return account

    def order(self, account: str, *lines: tuple[str, object, object], activate: bool = True, **fields: Any) -> str:
        lines = lines or ((self.pump, 2, "150.25"),)
        return self.org.add_order(account, lines, activate=activate, **fields)

    def entries(self) -> Entries:
        """The journal entries. A number used twice is an error."""
        found: Entries = {}
        for row in self.company.rows("JournalEntry"):
            assert row["DocNumber"] not in found
            found[row["DocNumber"]] = sums_of(row)
        return found

    def customers(self) -> dict[str, dict[str, Any]]:
        return {row["Id"]: row for row in self.company.rows("Customer")}

    def mark(self, order: str) -> tuple[str, str]:
        """The entry's ID and the status, as they stand on the order."""
        row = self.org.record("Order", order)
        return str(row[ENTRY] or ""), str(row[STATUS] or "")

    def number(self, order: str) -> str:
        return str(self.org.record("Order", order)["OrderNumber"])

    def deliveries(self) -> list[tuple[str, str, str]]:
        """(event, state, hold) of each delivery to either system, oldest first."""
        rows = Delivery.objects.exclude(mailbox__connection=self.chat).order_by("event_id")
        return [(row.event.type, row.state, row.hold) for row in rows.select_related("event")]

    def outcomes(self) -> list[tuple[str, str, str]]:
        rows = InboxEvent.objects.exclude(record="connection").order_by("pk")
        return [(row.type, row.state, row.reason) for row in rows]

    def links(self) -> set[tuple[str, str, str]]:
        """(record, ID in QuickBooks, ID in Salesforce) of each link."""
        found = set()
        for row in Link.objects.all():
            pair = (row.left_record_id, row.right_record_id)
            found.add((row.record, *(pair if row.left_id == self.books.pk else pair[::-1])))
        return found

    @property
    def texts(self) -> list[str]:
        return [post.text for post in self.slack.posts]
