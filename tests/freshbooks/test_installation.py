"""The whole product with FreshBooks: configured by a file, and everything else by itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from sources.freshbooks.standin import FreshBooksStandIn
from tests.freshbooks.test_messages import INVOICE
from tests.freshbooks.world import ACCOUNT, APP
from tests.stack import Stack, wait_for


@pytest.fixture
def books() -> Iterator[FreshBooksStandIn]:
    with FreshBooksStandIn(APP["FRESHBOOKS_CLIENT_ID"], APP["FRESHBOOKS_CLIENT_SECRET"]) as standin:
        standin.add_business(ACCOUNT, "Acme Services LLC")
        standin.handshakes = "first"
        yield standin


def document(stack: Stack, books: FreshBooksStandIn, subscribe: list[str]) -> dict[str, Any]:
    tokens = books.issue_tokens()
    names = ("access_token", "refresh_token")
    source = {
        "slug": "acme-freshbooks",
        "system": "freshbooks",
        "account": ACCOUNT,
        "credentials": {**{name: tokens[name] for name in names}, "expires_at": "2099-01-01T00:00:00Z"},
        "settings": {"business_id": "77128", "subscribe": subscribe},
    }
    sink = {
        "slug": "acme-slack",
        "system": "slack",
        "account": "T00000001",
        "credentials": {"bot_token": stack.slack.issue_token()},
    }
    route = {
        "name": "AR",
        "from": "acme-freshbooks",
        "to": "acme-slack",
        "channel": "C0AR00001",
        "events": ["invoice.*"],
    }
    organization = {"slug": "acme", "name": "Acme Services LLC", "connections": [source, sink], "routes": [route]}
    return {"version": 1, "organizations": [organization]}


def verified(books: FreshBooksStandIn) -> set[str]:
    return {each.event for each in list(books.callbacks.values()) if each.is_verified}


def test_callbacks_are_registered_by_themselves_and_an_invoice_is_told_once(books: FreshBooksStandIn) -> None:
    stack = Stack(**APP, FRESHBOOKS_API_URL=books.url)
    stack.slack.add_channel("C0AR00001", "ar", is_member=True)
    try:
        stack.start()
        stack.configure(document(stack, books, ["invoice", "payment"]))
        wait_for(lambda: len(verified(books)) == 7, 30, what="seven verified callbacks")
        books.businesses[77128].updates_after_create = 2
        books.put(ACCOUNT, "invoices", INVOICE)
        (post,) = stack.wait_for_posts(1, "C0AR00001")
        assert post.text == "Invoice SS007 created: Hooli, $1,222.00, balance $1,222.00, due Dec 14, 2026 (draft)"
        stack.configure(document(stack, books, ["invoice"]), "--force-credentials")
        wait_for(lambda: len(books.callbacks) == 4, 30, what="three callbacks taken back")
        assert books.violations == [] and len(stack.posts()) == 1
    finally:
        stack.close()
