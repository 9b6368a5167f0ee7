"""One organization with everything that the admin can show: events told, parked, failed and unmatched."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

from connector.kernel.contracts import Feedback, Link, Name, Notice, Receipt, Record, Secrets, Watched
from connector.kernel.contracts import Message as Rendered
from connector.models import (
    Connection,
    Cursor,
    Delivery,
    DeliveryState,
    EventState,
    Hold,
    InboxEvent,
    NameOverride,
    Organization,
    RecordState,
    Report,
    Route,
    Subscription,
    VendorCalls,
)
from connector.pipeline import (
    clock,
    connections,
    credentials,
    directory,
    drift,
    feedback,
    intake,
    links,
    mapping,
    outbox,
    parking,
    routing,
)

REALM = "9130350000000001"
TEAM = "T00000001"
PARTY = "Zebulon Paper Works"
#: Every secret of the world; none may appear in any page.
SECRETS = {
    "access_token": "fake-access-canary-7f3a91",
    "refresh_token": "fake-refresh-canary-c02d55",
    "bot_token": "xoxb-fake-bot-canary-9e1b",
    "signing_secret": "fake-signing-canary-44aa",
}


def build(books: dict[str, str] | None = None, slack: dict[str, str] | None = None) -> Organization:
    """Makes the organization "acme". `books` and `slack` replace the credentials of its two connections."""
    organization = Organization.objects.create(slug="acme", name="Acme Services LLC", timezone="America/Chicago")
    source = Connection.objects.create(
        organization=organization, slug="acme-books", system="quickbooks_online", account=REALM
    )
    sink = Connection.objects.create(organization=organization, slug="acme-slack", system="slack", account=TEAM)
    tokens = {name: SECRETS[name] for name in ("access_token", "refresh_token")}
    bot = {name: SECRETS[name] for name in ("bot_token", "signing_secret")}
    ends = clock.after(3600)
    credentials.store(source, Secrets(books or tokens, expires_at=ends), actor="file", action="credential.stored")
    credentials.store(sink, Secrets(slack or bot), actor="file", action="credential.stored")
    for connection in (source, sink):
        connections.mend(connection, "Connected")
    _around(source)
    _kept_in_step(organization, source)
    _routes(organization, source, sink)
    told, large, broken = (_bill(source, number) for number in ("1001", "1002", "1003"))
    _post(told)
    _park(large)
    InboxEvent.objects.filter(pk=broken.pk).update(
        state=EventState.FAILED, reason="the record cannot be read: TotalAmt"
    )
    unmatched = Notice(account="1", record="bill", record_id="9", operation="created", delivery_key="stranger")
    intake.record("quickbooks_online", [unmatched])
    return organization


def _around(source: Connection) -> None:
    """What a connection gathers: names, a cursor, the meter."""
    override = NameOverride(connection=source, kind="account", record_id="7")
    override.name = "Ads"
    override.save()
    directory.store(source, [Name("vendor", "30", PARTY)])
    Cursor.objects.create(connection=source, name="poll", state={"since": "2026-11-20"}, moved_at=clock.now())
    month = clock.now().date().replace(day=1)
    VendorCalls.objects.create(connection=source, month=month, outcome="200", count=42)
    Subscription.objects.create(connection=source, event="bill.create", state_at=clock.now(), check_at=clock.now())


def _kept_in_step(organization: Organization, source: Connection) -> None:
    """A Salesforce org beside the books, with a linked customer, a posted entry and what is to be noted."""
    crm = Connection.objects.create(
        organization=organization, slug="acme-salesforce", system="salesforce", account="00D000000000001"
    )
    link = Link("customer", "58", "001A00000000001AAA", {"base": {"name": PARTY}})
    links.keep(source.pk, crm.pk, link, before=links.Seen(), now=clock.now())
    drift.watch(source.pk, [Watched("journal_entry", "145", "SF-00000107", 0)], origin="order 801A00000000001AAA")
    feedback.store(crm, [Feedback("order", "801A00000000001AAA", "posted", "145", text=PARTY)])
    Report.objects.create(connection=source, name="gl_postings", outcome="failed", reason="no answer")


def _routes(organization: Organization, source: Connection, sink: Connection) -> None:
    every = Route(
        organization=organization, name="Bills to AP", source=source, sink=sink, target="C0AP00001", events=["bill.*"]
    )
    every.conditions = {"max_amount": "5000", "currency": "USD"}
    every.save()
    large = Route(
        organization=organization, name="Large bills", source=source, sink=sink, target="C0EXEC001", events=["bill.*"]
    )
    large.conditions = {"above_amount": "100", "parties": [PARTY]}
    large.save()


def bill(number: str) -> dict[str, Any]:
    """A bill as QuickBooks has it; 1002 alone is over a hundred."""
    amount = 2500 if number == "1002" else 75
    account = {"value": "7", "name": "Advertising"}
    return {
        "Id": number,
        "SyncToken": "0",
        "DocNumber": f"B-{number}",
        "VendorRef": {"value": "30", "name": PARTY},
        "TotalAmt": amount,
        "Balance": amount,
        "TxnDate": "2026-11-03",
        "DueDate": "2026-12-03",
        "CurrencyRef": {"value": "USD"},
        "PrivateNote": "<script>alert('note')</script>",
        "Line": [
            {
                "Id": "1",
                "Amount": amount,
                "DetailType": "AccountBasedExpenseLineDetail",
                "AccountBasedExpenseLineDetail": {"AccountRef": account},
            }
        ],
        "MetaData": {"CreateTime": "2026-11-03T10:00:00-08:00", "LastUpdatedTime": "2026-11-03T10:00:00-08:00"},
    }


def _bill(source: Connection, number: str) -> InboxEvent:
    """A bill that went through the pipeline up to its deliveries."""
    at = dt.datetime(2026, 11, 3, 18, tzinfo=dt.UTC)
    raw = json.dumps({"id": f"evt-{number}", "intuitentityid": number})
    notice = Notice(REALM, "bill", number, "created", at, delivery_key=f"key-{number}", raw=raw)
    event = intake.new_event("quickbooks_online", notice, source, "webhook")
    record = Record("bill", number, bill(number), (1, at.isoformat()), created_at=at, updated_at=at)
    event.state = EventState.FETCHED
    intake.store([(event, notice)], {event.pk: record})
    mapping.map_events([event.pk])
    routing.route_events([event.pk])
    event.refresh_from_db()
    return event


def _post(event: InboxEvent) -> None:
    """Its first delivery arrived in the channel."""
    delivery = Delivery.objects.filter(event=event).order_by("route__name")[0]
    claim = outbox.claim(delivery.mailbox_id)
    assert isinstance(claim, outbox.Claim)
    rendered = Rendered(f"Bill B-1001 of {PARTY}: $75.00", {})
    receipt = Receipt("1762192800.000100", "C0AP00001")
    outbox.delivered(claim, receipt, outbox.Outcome("delivered", milliseconds=120), rendered, "")


def _park(event: InboxEvent) -> None:
    """Its channel was archived."""
    delivery = Delivery.objects.get(event=event, mailbox__target="C0EXEC001")
    parking.park_mailbox(delivery.mailbox, Hold.TARGET, "is_archived: the channel is archived", is_alerted=False)
    assert Delivery.objects.get(pk=delivery.pk).state == DeliveryState.PARKED
    assert RecordState.objects.exists()
