"""Both directions at once, each by its own source and sink over the wire: a storm of edits settles without an echo."""

from __future__ import annotations

import dataclasses
import random
from collections import deque
from collections.abc import Iterator
from typing import Any

import pytest

from connector.kernel.contracts import Context, Link, Notice, Posting, Receipt, Secrets, Sink, Source, Style
from connector.kernel.errors import Outdated
from connector.kernel.http import Http
from connector.kernel.standin import StandIn
from sinks.quickbooks_online.sink import QuickBooksOnlineSink
from sinks.salesforce.sink import SalesforceSink
from sources.quickbooks_online.source import QuickBooksOnline
from sources.quickbooks_online.standin import IntuitStandIn
from sources.salesforce.client import Client
from sources.salesforce.source import Salesforce
from sources.salesforce.standin import SalesforceStandIn

REALM = "9130350000000777"
BOOKS, ORG = "quickbooks_online", "salesforce"


class Two:
    """A company and an org, the link table between them, and what each has yet to tell the other."""

    def __init__(self, intuit: IntuitStandIn, org: SalesforceStandIn) -> None:
        self.intuit, self.org = intuit, org
        self.company = intuit.add_company(REALM, "Larry's Bakery")
        self.sources: dict[str, Source] = {BOOKS: QuickBooksOnline(), ORG: Salesforce()}
        self.sinks: dict[str, Sink] = {BOOKS: QuickBooksOnlineSink(), ORG: SalesforceSink()}
        tokens = {"access_token": intuit.issue_tokens(REALM)["access_token"]}
        keys = {"client_id": "fake-client-id", "client_secret": "fake-client-secret"}
        books = Context(BOOKS, REALM, {}, {"api_url": intuit.url}, Secrets(tokens), Http(), intuit.now)
        crm = Context(ORG, "", {"instance_url": org.url}, {}, Secrets(keys), Http(), org.now)
        self.contexts = {BOOKS: books, ORG: dataclasses.replace(crm, secrets=Salesforce().refresh(crm))}
        Client(self.contexts[ORG]).forget_describes()
        #: (QuickBooks ID, Salesforce ID, state) of each pair.
        self.links: list[tuple[str, str, Any]] = []
        self.waiting: dict[str, deque[Any]] = {BOOKS: deque(), ORG: deque()}

    def fetch(self, system: str, record_id: str) -> None:
        """Reads a changed record, to be told later."""
        source, ctx = self.sources[system], self.contexts[system]
        notice, asked_at = Notice("", "customer", record_id, "updated"), ctx.now()
        ((_, record),) = source.fetch(ctx, [notice])
        assert not isinstance(record, Exception)
        event = source.to_event(ctx, notice, record, lambda kind, record_id, name: name)
        self.waiting[system].append((asked_at, event))

    def tell(self, system: str) -> int:
        """Tells the other system of the oldest change; the number of writes there."""
        asked_at, event = self.waiting[system].popleft()
        other = ORG if system == BOOKS else BOOKS
        here, there = (0, 1) if system == BOOKS else (1, 0)
        found = [pair for pair in self.links if pair[here] == event.record_id]
        link = Link("customer", event.record_id, found[0][there], found[0][2]) if found else None
        message = self.sinks[other].render(event, Style())
        before = self.writes()
        posting = Posting("key", "", message, link=link, asked_at=asked_at)
        try:
            receipt = self.sinks[other].post(self.contexts[other], posting)
        except Outdated:
            self.fetch(system, event.record_id)
            self.waiting[system].rotate(1)
            return self.tell(system)
        self.keep(receipt, system, found)
        return self.writes() - before

    def keep(self, receipt: Receipt, system: str, found: list[Any]) -> None:
        assert receipt.link is not None
        ids = (receipt.link.source_id, receipt.link.sink_id)
        pair = ids if system == BOOKS else ids[::-1]
        self.links = [*(each for each in self.links if each not in found), (*pair, receipt.link.state)]
        for each in receipt.feedback:
            self.sources[system].note(self.contexts[system], each)

    def writes(self) -> int:
        return len(self.intuit.writes) + len(
            [write for write in self.org.writes if "QBO_Sync_Status__c" not in write.fields]
        )

    def shown(self) -> list[tuple[dict[str, str], dict[str, str]]]:
        """What both sides of each pair tell of it."""
        told = []
        for pair in self.links:
            for system, record_id in zip((BOOKS, ORG), pair, strict=False):
                self.fetch(system, record_id)
            profiles = [self.waiting[system].pop()[1].profile for system in (BOOKS, ORG)]
            told.append(tuple(dataclasses.asdict(dataclasses.replace(each, kind="", currency="")) for each in profiles))
        return told  # type: ignore[return-value]


@pytest.fixture
def two() -> Iterator[Two]:
    with IntuitStandIn() as intuit, SalesforceStandIn() as org:
        intuit.enforce_limits = False
        servers: tuple[StandIn, ...] = (intuit, org)
        yield Two(intuit, org)
        assert [server.violations for server in servers] == [[], []]


def test_a_customer_of_either_side_is_made_once_and_comes_back_as_nothing(two: Two) -> None:
    address = {"Line1": "1 Main St", "City": "Austin", "CountrySubDivisionCode": "TX", "Country": "USA"}
    contact = {"GivenName": "Ann", "FamilyName": "Lee", "PrimaryEmailAddr": {"Address": "ann@x.example"}}
    here = two.intuit.put(REALM, "Customer", {"DisplayName": "Northwind", "BillAddr": address, **contact})["Id"]
    there = two.org.create("Account", Name="Fabrikam", Phone="555-0100", BillingCity="Waco")
    two.fetch(BOOKS, here)
    assert two.tell(BOOKS) == 2  # an Account and its contact
    two.fetch(ORG, there)
    assert two.tell(ORG) == 2  # a customer, and its ID on the Account
    for customer_id, account_id, _ in list(two.links):
        two.fetch(BOOKS, customer_id)
        two.fetch(ORG, account_id)
        assert (two.tell(BOOKS), two.tell(ORG)) == (0, 0)
    assert all(one == other for one, other in two.shown())
    assert (len(two.company.rows("Customer")), len(two.org.all_of("Account"))) == (2, 2)


def test_the_echo_of_a_new_customer_may_come_before_its_link_and_mark(two: Two) -> None:
    account = two.org.create("Account", Name="Fabrikam")
    two.fetch(ORG, account)
    _, event = two.waiting[ORG].popleft()
    message = two.sinks[BOOKS].render(event, Style())
    receipt = two.sinks[BOOKS].post(two.contexts[BOOKS], Posting("key", "", message))  # then nothing is kept of it
    two.fetch(BOOKS, receipt.id)
    two.tell(BOOKS)
    assert [row["QBO_Customer_Id__c"] for row in two.org.all_of("Account")] == [receipt.id]


@pytest.mark.parametrize("seed", range(3))
def test_a_storm_on_both_sides_settles(two: Two, seed: int) -> None:
    dice = random.Random(seed)
    for number in range(6):
        name = f"Customer {number}"
        two.fetch(
            BOOKS,
            two.intuit.put(REALM, "Customer", {"DisplayName": name, "PrimaryPhone": {"FreeFormNumber": "0"}})["Id"],
        )
        two.tell(BOOKS)
    changed: deque[tuple[str, str]] = deque()
    edits = writes = 0
    for step in range(60):
        customer_id, account_id, _ = dice.choice(two.links)
        kind = dice.choice(("books", "org", "fetch", "tell"))
        if kind == "books":
            row = two.company.documents["Customer", customer_id]
            value = f"Rome {step}" if dice.random() < 0.5 else row.get("BillAddr", {}).get("City", "")
            fields: dict[str, Any] = {"BillAddr": {"City": value}, "DisplayName": f"Renamed {step}"}
            two.intuit.change(REALM, "Customer", customer_id, **fields)
            changed.append((BOOKS, customer_id))
            edits += 1
        elif kind == "org":
            two.org.edit("Account", account_id, **{dice.choice(("Phone", "BillingCity")): str(step)})
            changed.append((ORG, account_id))
            edits += 1
        elif kind == "fetch" and changed:
            two.fetch(*changed.popleft())
        else:
            writes += step_of(two, dice, changed)
    for _ in range(400):
        if changed:
            two.fetch(*changed.popleft())
        elif any(two.waiting.values()):
            writes += step_of(two, dice, changed)
        else:
            break
    assert not changed
    assert all(one == other for one, other in two.shown())
    assert writes <= edits


def step_of(two: Two, dice: random.Random, changed: deque[tuple[str, str]]) -> int:
    """Tells one change; what is written for it is a change of the other side, as its webhook or stream would say."""
    ready = [system for system in (BOOKS, ORG) if two.waiting[system]]
    if not ready:
        return 0
    system = dice.choice(ready)
    _, event = two.waiting[system][0]
    done = two.tell(system)
    if done:
        here = 0 if system == BOOKS else 1
        (pair,) = [each for each in two.links if each[here] == event.record_id]
        changed.append((ORG, pair[1]) if system == BOOKS else (BOOKS, pair[0]))
    return done
