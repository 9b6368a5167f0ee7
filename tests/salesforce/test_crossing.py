"""Both sides change the same customer while one direction is in the middle of its write."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import pytest
from django.db import connection as database

from connector import locks
from connector.models import Attempt, Delivery, InboxEvent
from connector.pipeline import clock, delivery, resolve
from tests.salesforce.books import CUSTOMER
from tests.salesforce.world import CHANNEL, TwoWays
from tests.stack import wait_for


@contextmanager
def written_but_not_answered(world: TwoWays, mailbox: Any) -> Iterator[None]:
    """Inside, the mailbox's delivery stands in QuickBooks already, and its answer is still on its way."""
    before = len(world.intuit.writes)
    world.intuit.fail(r"POST .*/customer", "slow_after", seconds=1.0)

    def drain() -> None:
        try:
            delivery.drain(mailbox, is_armed=True)
        finally:
            database.close()

    thread = threading.Thread(target=drain)
    thread.start()
    wait_for(lambda: len(world.intuit.writes) > before, 5, what="the write in QuickBooks")
    try:
        yield
    finally:
        thread.join()


@pytest.mark.parametrize("is_wiped", [False, True])
def test_changes_that_cross_end_in_agreement(world: TwoWays, is_wiped: bool) -> None:
    """One at a time by a lock in Redis; should that be gone, what was decided on an old state is decided again."""
    account = world.linked_account(Phone="555-1")
    customer = str(world.org.record("Account", account)[CUSTOMER])
    world.org.edit("Account", account, Phone="555-2")
    world.hear()
    world.advance()
    (to_ledger,) = world.due_mailboxes()
    with written_but_not_answered(world, to_ledger):
        world.change("Customer", customer, PrimaryPhone={"FreeFormNumber": "555-3"})
        world.advance()
        if is_wiped:
            locks.client().flushall()
        (to_org,) = set(world.due_mailboxes()) - {to_ledger}
        delivery.drain(to_org, is_armed=True)
        assert (to_org in world.due_mailboxes()) is not is_wiped
    assert Attempt.objects.filter(code="overtaken").exists() is is_wiped
    world.work()
    world.make_due()
    world.work()
    phones = (
        world.org.record("Account", account)["Phone"],
        world.customers()[customer]["PrimaryPhone"]["FreeFormNumber"],
    )
    assert phones == (("555-2", "555-2") if is_wiped else ("555-3", "555-3"))


def test_states_of_one_second_that_are_read_out_of_order_undo_nothing(world: TwoWays) -> None:
    """Salesforce's times are whole seconds: what was read later is told by when it was asked for."""
    account = world.linked_account(Phone="555-1", BillingCity="Rome")
    second = world.org.now()
    with mock.patch.object(world.org.records, "now", lambda: second):
        for fields in ({"Phone": "555-2"}, {"Phone": "555-3"}):
            world.org.edit("Account", account, **fields)
            world.hear()
        first, second_ = events_in("received")
        resolve.fetch([second_])
        world.org.edit("Account", account, BillingCity="Oslo")
        world.hear()
        resolve.fetch([first])
    world.work()
    world.make_due()
    world.work()
    customer = world.customers()[str(world.org.record("Account", account)[CUSTOMER])]
    assert (customer["PrimaryPhone"]["FreeFormNumber"], customer["BillAddr"]["City"]) == ("555-3", "Oslo")


@pytest.mark.parametrize("is_seen", [True, False])
@pytest.mark.parametrize("is_undone_in_org", [True, False])
def test_what_somebody_puts_back_at_once_is_told(world: TwoWays, is_undone_in_org: bool, is_seen: bool) -> None:
    """Whether or not the connector hears of its own write (`is_seen`) before that is undone."""
    account = world.linked_account(Phone="555-1")
    customer = str(world.org.record("Account", account)[CUSTOMER])

    def change(value: str, *, in_org: bool) -> None:
        if in_org:
            world.org.edit("Account", account, Phone=value)
        else:
            world.change("Customer", customer, PrimaryPhone={"FreeFormNumber": value})

    change("555-2", in_org=not is_undone_in_org)
    if is_seen:
        world.work()
    else:
        world.hear()
        world.step(notes=False)
    change("555-1", in_org=is_undone_in_org)
    world.work()
    world.make_due()
    world.work()
    assert world.org.record("Account", account)["Phone"] == "555-1"
    assert world.customers()[customer]["PrimaryPhone"]["FreeFormNumber"] == "555-1"


def test_a_state_that_comes_again_within_a_second_is_told_once_each_time(world: TwoWays) -> None:
    """The first of three events is the last to be read: it adds nothing to what the others told."""
    account = world.linked_account(Phone="555-1")
    told = Delivery.objects.filter(route=world.back)
    before, second = told.count(), world.org.now()
    with mock.patch.object(world.org.records, "now", lambda: second):
        for phone in ("555-2", "555-3", "555-2"):
            world.org.edit("Account", account, Phone=phone)
            world.hear()
            if phone == "555-2" and told.count() == before:
                InboxEvent.objects.filter(state="received").update(lease_until=clock.after(60))
            world.advance()
        assert told.count() == before + 2
        InboxEvent.objects.update(lease_until=None)
        world.advance()
        assert told.count() == before + 2
    world.work()
    assert world.customers()[str(world.org.record("Account", account)[CUSTOMER])]["PrimaryPhone"] == {
        "FreeFormNumber": "555-2"
    }


def test_a_creation_that_is_read_last_repeats_nothing(world: TwoWays) -> None:
    route = world.route("Customers", world.crm, world.chat, ["customer.*"], target=CHANNEL)
    told, second = Delivery.objects.filter(route=route), world.org.now()
    with mock.patch.object(world.org.records, "now", lambda: second):
        account = world.org.create("Account", Name="Northwind")
        world.hear()
        InboxEvent.objects.update(lease_until=clock.after(60))
        for name in ("Northwind 2", "Northwind 3"):
            world.org.edit("Account", account, Name=name)
            world.hear()
            world.advance()
        assert told.count() == 2
        InboxEvent.objects.update(lease_until=None)
        world.advance()
    assert told.count() == 2


def events_in(state: str) -> list[Any]:
    return list(InboxEvent.objects.filter(state=state).order_by("pk").values_list("pk", flat=True))
