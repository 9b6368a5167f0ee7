"""Both systems under load and under fire, through the whole product as a user runs it.

ORDERS and CUSTOMERS make it larger than every day (500 and 200 for the full proof).
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from tests.salesforce.installation import Installation, every
from tests.stack import REALM, wait_for

ORDERS, CUSTOMERS = int(os.environ.get("ORDERS", "24")), int(os.environ.get("CUSTOMERS", "12"))
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300 + 5 * ORDERS + 8 * CUSTOMERS)]


@pytest.fixture
def stack() -> Iterator[Installation]:
    stack = Installation()
    try:
        yield stack
        assert stack.troubles() == []
    finally:
        stack.close()


def test_the_listener_starts_by_itself_and_ends_with_the_rest(stack: Installation) -> None:
    stack.start()
    assert stack.pids("manage.py listen") == []
    stack.configure(stack.document())
    applied = time.monotonic()
    assert stack.org.wait_for_streams(3, 20)
    assert time.monotonic() - applied < 15
    account = stack.org.create("Account", Name="Fabrikam")
    wait_for(lambda: stack.books.customer_of(account), 10, what="the customer's ID on the account")
    print(f"listening after {time.monotonic() - applied:.1f} s; memory {stack.memory()}")
    assert stack.stop() < 20
    assert stack.org.streams == 0
    assert stack.pids("") == []


def test_every_order_is_one_balanced_entry_whatever_is_killed_or_cut(stack: Installation) -> None:
    dice = random.Random(20261120)
    stack.begin()
    accounts = stack.linked_accounts(8)
    orders: list[str] = []
    is_over = threading.Event()

    def enter(number: int) -> None:
        products = (stack.books.pump, stack.books.labour)
        lines = [
            (dice.choice(products), dice.randint(1, 9), Decimal(dice.randint(1, 90_000)) / 1000)
            for _ in range(dice.randint(1, 4))
        ]
        orders.append(stack.org.add_order(dice.choice(accounts), lines, activate=True))

    def trouble(number: int) -> None:
        for standin, pattern in ((stack.intuit, r"POST .*/journalentry"), (stack.org, r"PATCH .*/sobjects/Order/")):
            standin.fail(pattern, "cut_after")
        acts = (
            lambda: stack.kill("worker"),
            lambda: stack.kill("listener"),
            stack.org.cut_streams,
            lambda: stack.intuit.expire_access_tokens(REALM),
            stack.org.revoke_tokens,
        )
        acts[number % len(acts)]()

    def troubles() -> None:
        number = 0
        while not is_over.wait(4):
            trouble(number)
            number += 1

    began = time.monotonic()
    thread = threading.Thread(target=troubles)
    thread.start()
    every(0.1, ORDERS, enter)
    undone = dice.sample(orders, ORDERS // 8)
    for order in undone:
        wait_for(lambda order=order: stack.books.mark(order)[0], 120 + ORDERS, what=f"the entry of {order}")
        stack.org.deactivate(order)
    again = undone[: len(undone) // 2]
    for order in again:
        wait_for(
            lambda order=order: stack.books.mark(order)[1].startswith("Reversed"),
            120 + ORDERS,
            what=f"{order}'s reversal",
        )
        stack.org.activate(order)
    is_over.set()
    thread.join()
    last = {order: "Reversed" if order in set(undone) - set(again) else "Posted" for order in orders}

    def wrong() -> list[str]:
        return [
            f"{order}: {mark}" for order in orders if not (mark := stack.books.mark(order)[1]).startswith(last[order])
        ]

    wait_for(lambda: not wrong(), 120 + ORDERS, what="every order's last note")
    stack.settle(quiet=6, seconds=120 + ORDERS)
    assert wrong() == []
    wanted = stack.books.wanted(orders, undone, again)
    assert stack.books.entries() == wanted
    assert len(stack.books.rows("Customer")) == len(accounts)
    calls = stack.intuit.count(" /v3/")
    print(f"{ORDERS} orders, {len(wanted)} entries in {time.monotonic() - began:.0f} s, {calls} calls to QuickBooks")


def test_a_storm_of_edits_on_both_sides_settles_without_an_echo(stack: Installation) -> None:
    dice = random.Random(7)
    stack.begin()
    accounts = stack.linked_accounts(CUSTOMERS)
    pairs = [(account, stack.books.customer_of(account)) for account in accounts]
    stack.settle(quiet=4, seconds=60 + CUSTOMERS)
    before = stack.writes()
    edits = 0
    began = time.monotonic()
    for _ in range(3):
        for account, customer in dice.sample(pairs, len(pairs)):
            edits += 2
            here, there = f"555-{edits}", f"555-{edits + 1}"
            stack.org.edit("Account", account, **{dice.choice(("Phone", "BillingCity")): there})
            fields: dict[str, Any] = {"PrimaryPhone": {"FreeFormNumber": here}}
            if dice.random() < 0.5:
                fields = {"BillAddr": {**stack.books.customer(customer).get("BillAddr", {}), "City": here}}
            stack.intuit.change(REALM, "Customer", customer, **fields)
            time.sleep(0.02)
    stack.settle(quiet=10, seconds=120 + 4 * CUSTOMERS)
    for account in accounts:
        assert stack.books.differences(account) == []
    written = stack.writes() - before
    print(f"{edits} edits of {CUSTOMERS} customers, {written} writes, settled in {time.monotonic() - began:.0f} s")
    assert 0 < written <= edits
    assert (len(stack.books.rows("Customer")), len(stack.org.all_of("Account"))) == (CUSTOMERS, CUSTOMERS)


def test_a_stream_down_for_longer_than_its_retention_is_bridged(stack: Installation) -> None:
    stack.begin()
    account, other = stack.linked_accounts(2)
    lines = [(stack.books.pump, 2, "10.25")]
    kept, gone, drafted = (stack.org.add_order(account, lines, activate=True) for _ in range(3))
    wait_for(lambda: len(stack.books.entries()) == 3, 30, what="three entries")
    with stack.deaf():
        stack.org.delete("Order", gone, force=True)
        stack.org.deactivate(drafted)
        late = stack.org.add_order(account, lines, activate=True)
        fresh = stack.org.create("Account", Name="Contoso")
        stack.org.edit("Account", other, Phone="555-0199")
        time.sleep(3)
    numbers = {order: f"SF-{stack.org.record('Order', order)['OrderNumber']}" for order in (kept, gone, drafted, late)}
    wanted = {*numbers.values(), f"{numbers[gone]}-R", f"{numbers[drafted]}-R"}
    wait_for(lambda: set(stack.books.entries()) == wanted, 90, what="what was missed")
    wait_for(lambda: stack.books.customer_of(fresh), 30, what="the new account's customer")
    stack.settle(quiet=5, seconds=120)
    assert set(stack.books.entries()) == wanted
    customer = stack.books.customer(stack.books.customer_of(other))
    assert customer["PrimaryPhone"]["FreeFormNumber"] == "555-0199"
    assert len(stack.books.rows("Customer")) == 3
