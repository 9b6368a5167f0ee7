"""The stand-in with two companies, and a client of the first."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sources.quickbooks_online.standin import IntuitStandIn
from tests.sources.quickbooks_online.standin_client import NOON, OTHER, REALM, Client, entity_of, sample


@pytest.fixture
def intuit() -> Iterator[IntuitStandIn]:
    with IntuitStandIn() as server:
        server.now = lambda: NOON
        server.enforce_limits = False
        server.add_company(REALM, "Larry's Bakery")
        server.add_company(OTHER, "Thames Gardens Ltd", "GBP", "Europe/London")
        yield server


@pytest.fixture
def client(intuit: IntuitStandIn) -> Client:
    return Client(intuit)


@pytest.fixture
def books(intuit: IntuitStandIn) -> IntuitStandIn:
    """The accounts, department and class that the sample journal entry names, and a customer."""
    for number, name, kind in (
        ("91", "Order Clearing", "Other Current Asset"),
        ("82", "Design income", "Income"),
        ("79", "Sales of Product Income", "Income"),
        ("84", "Accounts Receivable (A/R)", "Accounts Receivable"),
    ):
        intuit.put(REALM, "Account", {"Id": number, "Name": name, "AccountType": kind, "Active": True})
    for name in ("department", "class", "customer"):
        document = sample(f"entities/{name}.json")
        intuit.load(REALM, entity_of(document), document[entity_of(document)])
    return intuit
