"""FreshBooks to Slack: callbacks registered, notices taken, records fetched, messages posted, over real HTTP."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from connector.models import Connection, Cursor, InboxEvent, Payload, PayloadKind
from connector.pipeline import polling
from tests.freshbooks.world import ACCOUNT, CHANNEL, FreshWorld

INVOICE = {
    "invoice_number": "SS007",
    "customerid": 217572,
    "current_organization": "Hooli",
    "amount": {"amount": "1222.00", "code": "USD"},
    "create_date": "2026-11-14",
    "due_date": "2026-12-14",
}
EXPENSE = {
    "amount": {"amount": "54.00", "code": "CAD"}, "vendor": "Serano Bakery", "date": "2026-07-19", "clientid": 0,
    "status": 0, "notes": "For lunch",
}  # fmt: skip


def test_an_invoice_is_told_once_however_many_notices_follow_its_creation(world: FreshWorld) -> None:
    world.route()
    world.subscribe()
    world.business.updates_after_create = 3
    world.books.put(ACCOUNT, "invoices", INVOICE)
    assert world.deliver() == [200] * 4
    world.books.announce(ACCOUNT, "invoice.create", 100_001)  # said again
    assert world.deliver() == [200]
    reads = world.books.count(r"GET /accounting/")
    world.work()
    assert world.books.count(r"GET /accounting/") - reads == 1
    assert world.texts == ["Invoice SS007 created: Hooli, $1,222.00, balance $1,222.00, due Dec 14, 2026 (draft)"]
    repeated = ("invoice.updated", "ignored", "duplicate: this state of the record was told before")
    assert world.outcomes() == [("invoice.created", "routed", ""), *[repeated] * 3]


def test_many_at_once_are_one_list(world: FreshWorld) -> None:
    world.route()
    world.subscribe()
    for number in range(30):
        world.books.put(ACCOUNT, "invoices", {**INVOICE, "invoice_number": f"N{number}"})
    gone = world.books.put(ACCOUNT, "invoices", {**INVOICE, "invoice_number": "N30"})
    world.books.delete(ACCOUNT, "invoices", gone["id"])
    world.deliver()
    world.work()
    assert [text.split()[1] for text in world.texts] == [f"N{number}" for number in range(31)]
    assert world.texts[30].startswith("Invoice N30 deleted: Hooli")
    # The list leaves the deleted one out, so that it is asked for alone.
    assert world.books.count(r"GET /accounting/account/6BApk/invoices/invoices") == 2


def test_notices_settle_before_they_are_fetched(world: FreshWorld) -> None:
    world.subscribe()
    world.books.put(ACCOUNT, "invoices", INVOICE)
    world.books.put(ACCOUNT, "expenses", EXPENSE)
    world.deliver(1)
    Connection.objects.filter(pk=world.source.pk).update(settings={"settle_seconds": 30})
    world.deliver()
    times = InboxEvent.objects.order_by("pk").values_list("received_at", "next_attempt_at")
    assert [round((due - came).total_seconds()) for came, due in times] == [5, 30]


def test_an_invoice_is_sent_paid_and_deleted(world: FreshWorld) -> None:
    world.route()
    world.subscribe()
    number = world.books.put(ACCOUNT, "invoices", INVOICE)["id"]
    world.books.put(ACCOUNT, "clients", {"id": 217572, "organization": "Hooli"})
    _tell(world)
    world.books.send(ACCOUNT, number)
    _tell(world)
    paid = {"invoiceid": number, "clientid": 217572, "type": "Check", "date": "2026-11-20"}
    world.books.put(ACCOUNT, "payments", {**paid, "amount": {"amount": "1222.00", "code": "USD"}})
    _tell(world)
    world.books.delete(ACCOUNT, "invoices", number)
    _tell(world)
    assert world.texts == [
        "Invoice SS007 created: Hooli, $1,222.00, balance $1,222.00, due Dec 14, 2026 (draft)",
        "Invoice SS007 emailed: Hooli, $1,222.00, balance $1,222.00, due Dec 14, 2026 (sent)",
        "Payment received: Hooli, $1,222.00, for invoice SS007, dated Nov 20, 2026",
        "Invoice SS007 paid: Hooli, $1,222.00, balance $0.00, due Dec 14, 2026; "
        "changed: balance $1,222.00 → $0.00; status sent → paid",
        "Invoice SS007 deleted: Hooli, $1,222.00, balance $0.00, due Dec 14, 2026",
    ]


def _tell(world: FreshWorld) -> None:
    world.deliver()
    world.work()


def test_two_changes_within_one_second_are_two_states(world: FreshWorld) -> None:
    """The vendor's times are of whole seconds, and its notices of two changes are the same to the byte."""
    world.route()
    world.subscribe()
    world.books.now = lambda: dt.datetime(2026, 11, 20, 15, 0, tzinfo=dt.UTC)
    bill = {"bill_number": "B-1", "vendor": {"vendor_name": "IKEA"}, "issue_date": "2026-11-20"}
    number = world.books.put(ACCOUNT, "bills", {**bill, "amount": {"amount": "10.00", "code": "CAD"}})["id"]
    _tell(world)
    for amount in ("20.00", "15.00", "15.00"):
        world.books.change(ACCOUNT, "bills", number, total_amount={"amount": amount, "code": "CAD"})
        _tell(world)
    assert [text.partition(",")[2].partition(",")[0].strip() for text in world.texts] == [
        "CA$10.00",
        "CA$20.00",
        "CA$15.00",
    ]


def test_an_object_that_is_gone_ends_by_its_number_or_by_what_its_notice_said(world: FreshWorld) -> None:
    world.route()
    world.subscribe()
    number = world.books.put(ACCOUNT, "invoices", INVOICE)["id"]
    _tell(world)
    world.books.change(ACCOUNT, "invoices", number, notes="late")
    world.books.vanish(ACCOUNT, "invoices", number)
    _tell(world)
    world.books.extra_fields = {"amount": "77.10", "currency": "EUR", "number": "X-9", "client_name": "Pied Piper"}
    other = world.books.put(ACCOUNT, "invoices", INVOICE)["id"]
    world.books.vanish(ACCOUNT, "invoices", other)
    _tell(world)
    assert world.texts[1:] == [
        "Invoice SS007 deleted: Hooli, $1,222.00, due Dec 14, 2026",
        "Invoice X-9 deleted: Pied Piper, €77.10",
    ]


def test_a_large_invoice_goes_to_two_channels_and_an_internal_expense_to_none(world: FreshWorld) -> None:
    world.slack.add_channel("C0EXEC0001", "exec-alerts", is_member=True)
    world.route("AR", "invoice.*")
    world.route("Exec", "invoice.created", channel="C0EXEC0001", where={"above_amount": "5000", "currency": "USD"})
    world.route("Expenses", "expense.*", where={"exclude_internal": True})
    world.subscribe()
    for number, code in (("5000.00", "USD"), ("5000.01", "USD"), ("9000", "CAD")):
        world.books.put(ACCOUNT, "invoices", {**INVOICE, "amount": {"amount": number, "code": code}})
    world.books.put(ACCOUNT, "expenses", EXPENSE)
    world.books.put(ACCOUNT, "expenses", {**EXPENSE, "status": 1, "clientid": 7, "vendor": "Uber"})
    _tell(world)
    exec_texts = [post.text for post in world.slack.posts if post.channel == "C0EXEC0001"]
    assert exec_texts == [
        "Invoice SS007 created: Hooli, $5,000.01, balance $5,000.01, due Dec 14, 2026 (draft)",
    ]
    others = [post.text for post in world.slack.posts if post.channel == CHANNEL]
    assert len(others) == 4 and others[3] == "Expense created: Uber, CA$54.00, dated Jul 19, 2026 (outstanding)"
    skipped = InboxEvent.objects.get(state="ignored")
    assert (skipped.type, skipped.reason) == ("expense.created", "no route matches")
    (decision,) = [each for each in Payload.read(skipped, PayloadKind.DECISIONS) if each["route"] == "Expenses"]
    assert decision["checks"] == [
        {"condition": "events", "wanted": "expense.*", "met": "expense.created", "is_satisfied": True},
        {"condition": "exclude_internal", "wanted": "not internal", "met": "internal", "is_satisfied": False},
    ]


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({"parties": ["hooli"]}, ["SS007"]),
        ({"parties": ["217572"]}, ["SS007"]),
        ({"parties": ["Pied Piper"]}, ["PP1"]),
        ({"statuses": ["overdue"]}, ["PP1"]),
        ({"min_amount": "1222.00", "currency": "usd"}, ["SS007"]),
    ],
)
def test_rules_on_parties_statuses_and_amounts(world: FreshWorld, where: dict[str, Any], expected: list[str]) -> None:
    world.route(where=where)
    world.subscribe()
    world.books.put(ACCOUNT, "invoices", INVOICE)
    other = {"invoice_number": "PP1", "current_organization": "", "organization": "Pied Piper", "customerid": 8}
    owed = {"amount": "3000.00", "code": "EUR"}
    world.books.put(ACCOUNT, "invoices", {**INVOICE, **other, "v3_status": "overdue", "amount": owed})
    _tell(world)
    assert [text.split()[1] for text in world.texts] == expected


def test_the_sweep_finds_what_no_notice_told_and_tells_it_once(world: FreshWorld) -> None:
    world.route()
    world.subscribe()
    polling.poll(world.source.pk)
    assert world.texts == [] and Cursor.objects.get().state.keys() == {"from", "swept"}
    world.books.put(ACCOUNT, "invoices", INVOICE)
    bill = {"bill_number": "B-1", "vendor": {"vendor_name": "IKEA"}, "amount": {"amount": "15.00", "code": "CAD"}}
    number = world.books.put(ACCOUNT, "bills", bill)["id"]
    world.books.put(ACCOUNT, "expenses", EXPENSE)
    late = world.mail.waiting.copy()
    world.mail.waiting.clear()
    for _ in range(2):
        polling.poll(world.source.pk)
        world.work()
    told = [
        "Invoice SS007 created: Hooli, $1,222.00, balance $1,222.00, due Dec 14, 2026 (draft)",
        "Bill B-1 created: IKEA, CA$15.00 (unpaid)",
        "Expense created: Serano Bakery, CA$54.00, dated Jul 19, 2026 (internal)",
    ]
    assert world.texts == told
    world.mail.waiting = late
    assert set(world.deliver()) == {200}
    world.work()
    assert world.texts == told
    world.books.delete(ACCOUNT, "bills", number)
    world.mail.waiting.clear()
    polling.poll(world.source.pk)
    world.work()
    assert world.texts[3:] == ["Bill B-1 deleted: IKEA, CA$15.00"]
    assert {row.state for row in InboxEvent.objects.all()} <= {"routed", "ignored"}
