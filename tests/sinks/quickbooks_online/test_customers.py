"""Accounts to customers over the wire: made once, found rather than doubled, and kept in step field by field."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import Any

import pytest

from connector.kernel.contracts import Feedback, Link, Receipt
from connector.kernel.errors import Refuse, Retry, Unknown
from connector.kernel.events import Profile
from connector.kernel.standin import Answer
from sinks.quickbooks_online.sink import QuickBooksOnlineSink
from sources.quickbooks_online.profiles import profile_of
from sources.quickbooks_online.source import QuickBooksOnline
from tests.sources.quickbooks_online.wire import sample

from .conftest import ACCOUNT, NOW, PROFILE, SETTINGS, Books, customer

CREATE = r"POST .*/customer"
FABRIKAM = dataclasses.replace(PROFILE, name="Fabrikam")
LATER = NOW + dt.timedelta(hours=1)


def row(books: Books, customer_id: str) -> dict[str, Any]:
    found: dict[str, Any] = books.company.documents["Customer", customer_id]
    return found


def edited(receipt: Receipt, at: dt.datetime = LATER, **fields: str) -> Any:
    """The Account after a person's edit, as the source tells it once our mark is on it."""
    profile = dataclasses.replace(FABRIKAM, **fields)
    return customer("updated", profile, linked_id=receipt.id, occurred_at=at)


def test_a_new_account_becomes_a_customer(books: Books) -> None:
    receipt = books.post(customer("created", FABRIKAM))
    (write,) = books.intuit.writes
    assert (write.entity, write.operation, write.id) == ("Customer", "create", receipt.id)
    assert write.body == {
        "DisplayName": "Fabrikam",
        "GivenName": "Ann",
        "FamilyName": "Lee",
        "PrimaryEmailAddr": {"Address": "ann@northwind.example"},
        "PrimaryPhone": {"FreeFormNumber": "555-0100"},
        "BillAddr": {
            "Line1": "1 Main St",
            "Line2": "Suite 2",
            "City": "Austin",
            "CountrySubDivisionCode": "TX",
            "PostalCode": "78701",
            "Country": "USA",
        },
        "Notes": f"Salesforce account {ACCOUNT}",
        "CurrencyRef": {"value": "USD"},
    }
    values = {name: value for name, value in dataclasses.asdict(FABRIKAM).items() if name not in ("currency", "kind")}
    state = {"born": "salesforce", "base": {"salesforce": values, "quickbooks_online": values}}
    assert receipt.link == Link("customer", ACCOUNT, receipt.id, state)
    told = f"customer {receipt.id} in QuickBooks"
    assert receipt.feedback == (Feedback("customer", ACCOUNT, "created", receipt.id, told, SETTINGS),)
    assert dataclasses.replace(profile_of(row(books, receipt.id)), kind=FABRIKAM.kind) == FABRIKAM


@pytest.mark.parametrize("kind", ["cut_after", "truncate"])
def test_a_lost_answer_leaves_one_customer(books: Books, kind: str) -> None:
    books.intuit.fail(CREATE, kind)
    with pytest.raises(Unknown):
        books.post(customer("created", FABRIKAM))
    found = books.look(customer("created", FABRIKAM))
    again = books.post(customer("created", FABRIKAM))
    assert found is not None
    assert (again.id, again.feedback) == (found.id, found.feedback)
    assert len(books.intuit.writes) == 1


def test_nothing_that_was_never_made_is_found(books: Books) -> None:
    assert books.look(customer("created", FABRIKAM)) is None
    assert books.look(customer("created", PROFILE)) is None


@pytest.mark.parametrize(
    ("rule", "kind", "is_made"),
    [
        ("all", "", True),
        ("type_customer", "Customer - Channel", True),
        ("type_customer", "Customer", True),
        ("type_customer", "Prospect", False),
        ("first_order", "Customer", False),
    ],
)
@pytest.mark.parametrize("operation", ["created", "updated"])
def test_which_accounts_become_customers(books: Books, operation: str, rule: str, kind: str, is_made: bool) -> None:
    event = customer(operation, dataclasses.replace(FABRIKAM, kind=kind))
    receipt = books.post(event, create_customers=rule)
    assert (bool(receipt.id), len(books.intuit.writes), bool(receipt.warnings)) == (is_made, int(is_made), not is_made)


@pytest.mark.parametrize(
    ("changes", "reasons"),
    [
        ({"name": ""}, ("the account has no name",)),
        (
            {"name": "A:B" * 200, "currency": "EUR"},
            (
                "the account's name has a colon, a tab or a new line, which QuickBooks does not take",
                "the account's name is longer than 500 characters",
                "the account is in EUR, and the company in QuickBooks uses USD alone",
            ),
        ),
    ],
)
def test_an_account_that_cannot_be_a_customer(books: Books, changes: dict[str, str], reasons: tuple[str, ...]) -> None:
    with pytest.raises(Refuse) as refused:
        books.post(customer("created", dataclasses.replace(FABRIKAM, **changes)))
    assert (refused.value.reasons, books.intuit.writes) == (reasons, [])


def test_a_name_that_a_vendor_has(books: Books) -> None:
    books.put("Vendor", Id="41", DisplayName="Fabrikam")
    with pytest.raises(Refuse) as refused:
        books.post(customer("created", FABRIKAM))
    assert refused.value.reasons == (
        "the vendor 41 in QuickBooks has this name: names are unique there, so give one of them another",
    )
    assert books.look(customer("created", FABRIKAM)) is None


def test_a_namesake_is_linked_only_when_more_than_the_name_agrees(books: Books) -> None:
    event = customer("created", PROFILE)
    with pytest.raises(Refuse, match="the QuickBooks customer 58 has this name, and nothing else tells"):
        books.post(event)
    books.intuit.change(
        books.realm,
        "Customer",
        "58",
        PrimaryEmailAddr={"Address": "ANN@northwind.example"},
        PrimaryPhone={"FreeFormNumber": "555-9999"},
    )
    receipt = books.post(event)
    assert (receipt.id, [each.linked_id for each in receipt.feedback]) == ("58", ["58"])
    (write,) = books.intuit.writes
    assert (write.operation, sorted(write.body)) == (
        "update", ["BillAddr", "FamilyName", "GivenName", "Id", "SyncToken", "sparse"],
    )  # fmt: skip
    assert row(books, "58")["PrimaryPhone"] == {"FreeFormNumber": "555-9999"}  # it was in QuickBooks first
    with pytest.raises(Refuse, match="belongs to another account"):
        books.put("Customer", Id="58", DisplayName="Northwind Bakery", Notes="Salesforce account 001Sm00000Acct9IAA")
        books.post(event)


def test_only_what_the_account_changed_is_written(books: Books) -> None:
    made = books.post(customer("created", FABRIKAM))
    books.intuit.change(books.realm, "Customer", made.id, PrimaryPhone={"FreeFormNumber": "555-7777"})
    receipt = books.post(edited(made, city="Dallas", street="9 Elm St"), made.link)
    write = books.intuit.writes[-1]
    assert write.body == {
        "Id": made.id,
        "SyncToken": "1",
        "sparse": True,
        "BillAddr": {
            "Line1": "9 Elm St",
            "Line2": "",
            "City": "Dallas",
            "CountrySubDivisionCode": "TX",
            "PostalCode": "78701",
            "Country": "USA",
        },
    }
    assert receipt.feedback == ()
    assert profile_of(row(books, made.id)) == dataclasses.replace(
        FABRIKAM, kind="", city="Dallas", street="9 Elm St", phone="555-7777"
    )
    books.post(edited(made, city="Dallas", street="9 Elm St"), receipt.link)
    assert len(books.intuit.writes) == 2


def test_who_wins_where_both_changed_the_same(books: Books) -> None:
    made = books.post(customer("created", FABRIKAM))
    assert made.link is not None
    books.intuit.change(books.realm, "Customer", made.id, PrimaryPhone={"FreeFormNumber": "1"})
    born_there = dataclasses.replace(made.link, state={**made.link.state, "born": "quickbooks_online"})
    books.post(edited(made, phone="2"), born_there)
    assert profile_of(row(books, made.id)).phone == "1"
    books.post(edited(made, phone="2"), made.link)
    assert profile_of(row(books, made.id)).phone == "2"


def test_an_empty_person_of_the_account_clears_nothing(books: Books) -> None:
    made = books.post(customer("created", FABRIKAM))
    books.post(edited(made, given_name="", family_name="", email="", phone=""), made.link)
    assert profile_of(row(books, made.id)) == dataclasses.replace(FABRIKAM, kind="", phone="")


def test_a_stale_token_is_answered_with_a_fresh_reading(books: Books) -> None:
    made = books.post(customer("created", FABRIKAM))
    stale = sample("faults/400_5010_stale_object.json")
    books.intuit.fail(CREATE, "answer", times=2, answer=Answer(400, stale))
    books.post(edited(made, city="Dallas"), made.link)
    assert profile_of(row(books, made.id)).city == "Dallas"
    books.intuit.fail(CREATE, "answer", times=3, answer=Answer(400, stale))
    with pytest.raises(Retry, match="somebody else keeps changing"):
        books.post(edited(made, city="Waco"), made.link)


def test_a_cut_update_is_written_once(books: Books) -> None:
    made = books.post(customer("created", FABRIKAM))
    books.intuit.fail(CREATE, "cut_after")
    with pytest.raises(Unknown):
        books.post(edited(made, city="Dallas"), made.link)
    assert books.look(edited(made, city="Dallas"), made.link) is None
    books.post(edited(made, city="Dallas"), made.link)
    assert len(books.intuit.writes) == 2


def test_a_customer_that_is_inactive_or_not_there(books: Books) -> None:
    made = books.post(customer("created", FABRIKAM))
    books.intuit.deactivate(books.realm, "Customer", made.id)
    receipt = books.post(edited(made, city="Dallas"), made.link)
    assert (receipt.warnings, len(books.intuit.writes)) == (("the customer is inactive in QuickBooks",), 1)
    for wrong in ("999", "x"):
        with pytest.raises(Refuse, match="that this account is linked to"):
            books.post(customer("updated", FABRIKAM, linked_id=wrong))


def test_an_event_without_a_profile_goes_by_its_party(books: Books) -> None:
    event = dataclasses.replace(customer("created", Profile(name="Litware")), profile=None)
    assert row(books, books.post(event).id)["DisplayName"] == "Litware"


def test_the_sink_is_the_same_system_as_the_source() -> None:
    sink, source = QuickBooksOnlineSink(), QuickBooksOnline()
    assert (sink.name, sink.label, sink.env_prefix) == (source.name, source.label, source.env_prefix)
    assert {field.name: field.default for field in sink.route_fields} == {
        "debit_account": "",
        "credit_account": "",
        "create_customers": "all",
        "department_field": "QBO_Department__c",
        "class_field": "QBO_Class__c",
        "customer_id_field": "QBO_Customer_Id__c",
        "journal_entry_id_field": "QBO_JournalEntry_Id__c",
    }
    assert (sink.has_targets, sink.is_paced, sink.target_of(customer())) == (False, False, f"customer:{ACCOUNT}")
