"""A connection against the strict stand-in of the gateway: what it sends is what the vendor's schema takes."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from connector.kernel.contracts import Context, Reported, Secrets
from connector.kernel.errors import Misconfigured, Reauthorize, Refresh
from connector.kernel.events import Money
from connector.kernel.http import Http
from sources.sage_intacct.standin import IntacctStandIn, credit, debit
from tests.sources.sage_intacct.wire import SERVER_NOW, SOURCE, cursors_of, events_of


class Books:
    """The stand-in with a few postings and payments, its clock, and the connection's secrets as the core keeps them."""

    def __init__(self, standin: IntacctStandIn) -> None:
        self.standin = standin
        self.at = SERVER_NOW
        standin.now = lambda: self.at
        self.secrets = Secrets({"user_id": "fake-user", "user_password": "fake-user-password"})
        self.cursors: dict[str, Any] = {name: {} for name in SOURCE.reports}

    def context(self) -> Context:
        app = {
            "sender_id": "fake-sender",
            "sender_password": "fake-sender-password",
            "gateway_url": self.standin.gateway_url,
        }
        return Context("acme", "ACME-COMPANY", {}, app, self.secrets, Http(seconds=5), lambda: self.at, timezone="UTC")

    def read(self) -> list[Reported]:
        """One reading, the session opened or renewed once as the core does it; the cursors move."""
        try:
            parts = list(SOURCE.report(self.context(), self.cursors))
        except Refresh:
            self.secrets = SOURCE.refresh(self.context())
            parts = list(SOURCE.report(self.context(), self.cursors))
        self.cursors |= cursors_of(parts)
        return parts

    def told(self) -> list[str]:
        parts = self.read()
        assert [part.failure for part in parts if part.failure] == []
        return [f"{event.type} {event.number}" for event in events_of(self.context(), parts)]

    def later(self, minutes: int) -> None:
        self.at += dt.timedelta(minutes=minutes)


@pytest.fixture
def books() -> Iterator[Books]:
    with IntacctStandIn() as standin:
        found = Books(standin)
        standin.add_account("6100", "Salaries")
        standin.add_account("2010", "Inter Entity Payable")
        standin.add_vendor("20001", "Regal Services")
        standin.add_vendor("20003", "Burlington Textiles", is_on_hold=True)
        standin.post_batch("GJ", "Paying some folks", [debit("6100", "50000"), credit("2010", "50000")])
        standin.add_payment("20001", "1475.00", batch="Bank 1", number="10021")
        standin.add_payment("20003", "500.00", currency="CAD", base_amount="375", state="V", batch="Bank 1")
        found.later(30)
        yield found
        assert standin.violations == []


def test_a_day_at_the_books(books: Books) -> None:
    first = ["gl_posting.completed of 1 batch", "payment_batch.completed 321", "payment.voided ", "vendor.failed 20003"]
    assert books.told() == first
    assert [seen.functions for seen in books.standin.requests] == [
        ("getAPISession",),
        ("query:GLBATCH", "query:APPYMT", "query:VENDOR", "readByName:USERINFO"),
        ("readUserFormatting", "query:GLENTRY"),
    ]
    assert books.told() == []
    books.standin.post_batch("GJ", "Rent", [debit("6100", "1200"), credit("2010", "1000")], may_be_unbalanced=True)
    books.standin.add_payment("20001", "25", batch="Bank 1", number="10023")
    books.later(10)
    assert books.told() == [
        "gl_posting.completed of 1 batch",
        "gl_posting.unbalanced GJ 250",
        "payment_batch.completed 321",
    ]
    assert (books.standin.overlaps, books.standin.logins) == (0, 1)


def test_a_session_that_ends_is_opened_again_once(books: Books) -> None:
    books.read()
    books.standin.expire_sessions()
    books.later(1)
    assert books.told() == []
    assert (books.standin.logins, books.standin.refused_logins) == (2, 0)


def test_a_wrong_password_is_tried_once(books: Books) -> None:
    books.secrets = Secrets({"user_id": "fake-user", "user_password": "wrong"})
    with pytest.raises(Reauthorize):
        books.read()
    assert (books.standin.logins, books.standin.refused_logins) == (1, 1)


def test_a_missing_right_is_named(books: Books) -> None:
    books.secrets = SOURCE.refresh(books.context())
    assert SOURCE.check(books.context()) == "Connected to the company ACME-COMPANY as fake-user, at the top level"
    books.standin.denied = {"APPYMT"}
    with pytest.raises(Misconfigured, match="may not read APPYMT"):
        SOURCE.check(books.context())
    postings, payments = books.read()
    assert postings.failure is None and isinstance(payments.failure, Misconfigured)
    books.standin.denied = {"USERINFO", "VENDOR"}
    postings, payments, vendors = books.read()
    assert (postings.failure, payments.failure) == (None, None) and isinstance(vendors.failure, Misconfigured)


def test_a_user_in_another_zone(books: Books) -> None:
    books.standin.formatting = dataclasses.replace(books.standin.formatting, gmtoffset="-08:00")
    assert len(books.told()) == 4
    assert books.told() == []
    books.standin.post_batch("GJ", "Later", [debit("6100", "1"), credit("2010", "1")])
    books.later(10)
    assert books.told() == ["gl_posting.completed of 1 batch"]


def test_many_pages(books: Books) -> None:
    for number in range(1, 1102):
        books.standin.post_batch("GJ", f"Batch {number}", [debit("6100", "1.1"), credit("2010", "1.1")])
    books.later(10)
    (run, details, *_) = events_of(books.context(), [books.read()[0]])
    assert (run.number, run.amount) == ("of 1102 batches", Money(Decimal("51211.1"), "USD"))
    assert len(details.lines) == 1102
