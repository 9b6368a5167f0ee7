"""One organization on Sage Intacct in this process's database; a person turns the crank instead of workers.

The company's books and the Slack workspace are stand-ins on loopback; between them everything is the product's own.
"""

from __future__ import annotations

import atexit
import datetime as dt
import io
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import time_machine
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connections as databases
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
    Report,
    Route,
)
from connector.models.inbox import MOVING
from connector.pipeline import clock, credentials, delivery, mapping, reporting, reports, resolve, routing
from sinks.slack.standin import SlackStandIn
from sources.sage_intacct.standin import IntacctStandIn, credit, debit
from tests.stack import ROOT

COMPANY = "ACME-COMPANY"
CHANNEL = "C0FIN0001"
#: When the days of these tests begin; what the books hold was entered a little before.
TODAY = dt.datetime(2026, 11, 20, 15, 0, tzinfo=dt.UTC)
AGE = dt.timedelta(minutes=10)
REGAL, TEXTILES, SHARPE, FREIGHT = "20001", "20003", "20024", "20031"
VENDORS = {
    REGAL: "Regal Services",
    TEXTILES: "Burlington Textiles",
    SHARPE: "Sharpe & Daughters Interiors",
    FREIGHT: "Cascade Freight",
}
ACCOUNTS = {
    "1010": "Checking", "1110": "Prepaid rent", "2010": "Accounts payable", "6100": "Salaries", "6300": "Rent",
    "6410": "Travel", "9100": "Headcount",
}  # fmt: skip
BATCH = "Payments(Bank-BA1143): 2026/11/20 Batch"
REPORTS = ("gl_postings", "payment_batches")


def new_company(intacct: IntacctStandIn) -> IntacctStandIn:
    """The company before the day began."""
    intacct.entered_ago = dt.timedelta(days=30)
    for symbol, title in (("GJ", "General journal"), ("PYRJ", "Payroll journal"), ("STAT", "Statistical journal")):
        intacct.add_journal(symbol, title, is_statistical=symbol == "STAT")
    for number, title in ACCOUNTS.items():
        intacct.add_account(number, title)
    for number, name in VENDORS.items():
        intacct.add_vendor(number, name)
    intacct.entered_ago = AGE
    return intacct


def variables(intacct: IntacctStandIn) -> dict[str, str]:
    """What points a connector at the stand-in."""
    sender, password = intacct.sender
    return {
        "INTACCT_SENDER_ID": sender,
        "INTACCT_SENDER_PASSWORD": password,
        "INTACCT_GATEWAY_URL": intacct.gateway_url,
    }


class IntacctWorld:
    """An organization with Sage Intacct and Slack."""

    def __init__(self, slack: SlackStandIn) -> None:
        self.intacct, self.slack = new_company(IntacctStandIn()).start(), slack
        atexit.register(self.intacct.stop)
        os.environ.update(variables(self.intacct))
        registry.app_settings.cache_clear()
        slack.add_channel(CHANNEL, "finance", is_member=True)
        self.organization = Organization.objects.create(
            slug="acme", name="Acme Services LLC", timezone="America/Chicago", locale="en_US"
        )
        self.source = self._connect("acme-intacct", "sage_intacct", COMPANY)
        user, password = self.intacct.user
        self.authorize(self.source, user_id=user, user_password=password, trigger_secret="fake-trigger-secret")
        self.sink = self._connect("acme-slack", "slack", "T00000001")
        self.authorize(self.sink, bot_token=slack.issue_token())

    def _connect(self, slug: str, system: str, account: str) -> Connection:
        return Connection.objects.create(
            organization=self.organization, slug=slug, system=system, account=account, state=ConnectionState.OK
        )

    @staticmethod
    def authorize(connection: Connection, **values: str) -> None:
        credentials.store(connection, Secrets(values), actor="test", action="credential.stored")

    def route(self, name: str = "all", *events: str, channel: str = CHANNEL, **more: Any) -> Route:
        route = Route(
            organization=self.organization, name=name, source=self.source, sink=self.sink, target=channel,
            events=list(events) or ["*"], **{"thread_updates": True, **more},
        )  # fmt: skip
        route.conditions = {}
        route.save(force_insert=True)
        return route

    # --- what the bookkeepers do -------------------------------------------------------------------------------------

    def post(self, title: str = "Rent", amount: str = "1200.00", *, other: str = "", journal: str = "GJ") -> int:
        """A journal entry; with another amount on its other side it does not balance."""
        lines = [debit("6300", amount), credit("1110", other or amount)]
        return self.intacct.post_batch(journal, title, lines, may_be_unbalanced=bool(other))

    def pay(self, vendor: str = REGAL, amount: str = "1475.00", number: str = "10021", **more: Any) -> int:
        return self.intacct.add_payment(vendor, amount, number=number, **{"batch": BATCH, **more})

    # --- reading and telling -----------------------------------------------------------------------------------------

    @staticmethod
    def at(minutes: float = 0) -> time_machine.travel:
        """The clocks of both sides stand still, so many minutes after the day began."""
        return time_machine.travel(TODAY + dt.timedelta(minutes=minutes), tick=False)

    def read(self, *names: str) -> None:
        """What a worker does when the reports are asked for."""
        reports.ask(self.source, names or REPORTS)
        reporting.run(self.source.pk)

    def run_due(self) -> None:
        """What the sweep and a worker do when a report's time has come, failed ones without their pause."""
        Report.objects.filter(due_at__isnull=False).update(due_at=clock.now())
        reporting.run(self.source.pk)

    def command(self, *arguments: str) -> tuple[int, Any]:
        """A `manage.py` command with `--json`: its exit code, and what it printed."""
        output = io.StringIO()
        try:
            call_command(*arguments, "--json", stdout=output)
        except CommandError as error:
            return error.returncode, str(error)
        return 0, json.loads(output.getvalue())

    def work(self) -> None:
        """Turns the crank until nothing is due any more."""
        for _ in range(50):
            ids = [
                str(pk)
                for pk in InboxEvent.objects.filter(state__in=MOVING, lease_until=None, attempts=0)
                .order_by("pk")
                .values_list("pk", flat=True)
            ]
            for step in (resolve.fetch, mapping.map_events, routing.route_events):
                step(ids)
            due = Delivery.objects.filter(state=DeliveryState.WAITING, next_attempt_at__lte=clock.now())
            boxes = list(Mailbox.objects.filter(deliveries__in=due, hold="").distinct().values_list("pk", flat=True))
            for box in boxes:
                delivery.drain(box, is_armed=True)
                time.sleep(0.02)
            if not ids and not boxes:
                return
        raise AssertionError("the work does not end")

    def tell(self, *names: str) -> list[str]:
        """Reads and tells; the texts that are new in Slack."""
        # Posts stand in the order of their time, and the clock may just have been moved.
        before = {id(post) for post in self.slack.posts}
        self.read(*names)
        self.work()
        return [post.text for post in self.slack.posts if id(post) not in before]

    def trigger(self, body: bytes = b"{}", **header: str) -> int:
        """What a Platform Services trigger does; the answer's status."""
        headers = {"HTTP_X_CONNECTOR_SIGNATURE": header["signature"]} if "signature" in header else {}
        path = f"/webhooks/sage-intacct/{self.source.slug}/"
        return Client().post(path, data=body, content_type="application/json", **headers).status_code  # type: ignore[arg-type]

    # --- what came of it ---------------------------------------------------------------------------------------------

    @property
    def texts(self) -> list[str]:
        return [post.text for post in self.slack.posts]

    @property
    def functions(self) -> list[tuple[str, ...]]:
        """What each request to the gateway asked for."""
        return [seen.functions for seen in self.intacct.requests]

    def state(self) -> str:
        return Connection.objects.get(pk=self.source.pk).state

    def report(self, name: str) -> Report:
        return Report.objects.get(connection=self.source, name=name)

    def environment(self) -> dict[str, str]:
        """The variables with which another process works on the same database, Redis and stand-ins."""
        database = settings.DATABASES["default"]
        url = os.environ.get("DATABASE_URL", "")
        if database["ENGINE"].endswith("sqlite3"):
            url = f"sqlite:///{database['NAME']}"
        else:
            head, _, query = url.partition("?")
            url = f"{head.rsplit('/', 1)[0]}/{database['NAME']}?{query}"
        return {**os.environ, "DATABASE_URL": url}

    def manage(self, *arguments: str) -> subprocess.Popen[str]:
        """A command in a process of its own."""
        return subprocess.Popen(
            [sys.executable, "manage.py", *arguments], cwd=ROOT, env=self.environment(), stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip


def at_once(*work: Callable[[], object]) -> list[object]:
    """Does all of it at the same time, each in a thread of its own; an exception is a result."""
    found: list[object] = []
    barrier = threading.Barrier(len(work))

    def run(each: Callable[[], object]) -> None:
        barrier.wait()
        try:
            found.append(each())
        except Exception as error:  # noqa: BLE001 - a result like any other
            found.append(error)
        finally:
            databases.close_all()

    threads = [threading.Thread(target=run, args=(each,)) for each in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found
