"""Customers to Accounts over the wire: made once, found rather than doubled, written only where they differ."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import Any

import pytest

from connector.kernel.contracts import Link, Receipt
from connector.kernel.errors import Misconfigured, Refuse, Unknown
from connector.kernel.events import Profile

from .conftest import AT, PROFILE, World, customer

ADDRESS = {
    "BillingStreet": "1 Main St\nSuite 2",
    "BillingCity": "Austin",
    "BillingState": "TX",
    "BillingPostalCode": "78701",
    "BillingCountry": "USA",
}
FIELDS = ("name", "given_name", "family_name", "email", "phone", "street", "city", "region", "postal_code", "country")
VALUES = {field: getattr(PROFILE, field) for field in FIELDS}
LATER = AT + dt.timedelta(hours=1)


def changed(**fields: str) -> Any:
    return customer("updated", dataclasses.replace(PROFILE, **fields), occurred_at=LATER)


def test_a_customer_becomes_an_account_with_its_contact(world: World) -> None:
    receipt = world.post(customer())
    account, contact = world.one("Account"), world.one("Contact")
    assert world.written() == [
        ("Account", {"QBO_Customer_Id__c": "58", "Name": "Northwind Bakery", "Phone": "555-0100", **ADDRESS}),
        (
            "Contact",
            {
                "QBO_Customer_Id__c": "58",
                "FirstName": "Ann",
                "LastName": "Lee",
                "Email": "ann@northwind.example",
                "AccountId": account["Id"],
            },
        ),
    ]
    assert contact["AccountId"] == account["Id"]
    state = {"born": "quickbooks_online", "base": {"quickbooks_online": VALUES, "salesforce": VALUES}}
    assert receipt == Receipt(id=account["Id"], link=Link("customer", "58", account["Id"], state))
    assert world.post(customer("updated"), receipt.link) == receipt
    assert world.written() == []


@pytest.mark.parametrize("pattern", ["PATCH .*/Account/", "PATCH .*/Contact/"])
@pytest.mark.parametrize("kind", ["cut_after", "cut_before", "truncate"])
def test_a_lost_answer_doubles_nothing(world: World, pattern: str, kind: str) -> None:
    world.org.fail(pattern, kind)
    with pytest.raises(Unknown):
        world.post(customer())
    assert world.sink.reconcile(world.ctx, world.posting(customer()), AT) is None
    receipt = world.post(customer())
    assert (receipt.id, world.one("Contact")["Email"]) == (world.one("Account")["Id"], "ann@northwind.example")
    world.written()
    world.post(customer("updated"), receipt.link)
    assert world.written() == []


def test_only_what_quickbooks_changed_is_written(world: World) -> None:
    link = world.post(customer()).link
    account, contact = world.one("Account")["Id"], world.one("Contact")["Id"]
    world.org.edit("Account", account, Phone="555-7777", Industry="Food")
    world.written()
    receipt = world.post(changed(city="Dallas", email="ann@new.example"), link)
    assert world.written() == [("Account", {"BillingCity": "Dallas"}), ("Contact", {"Email": "ann@new.example"})]
    assert world.org.record("Account", account)["Phone"] == "555-7777"
    world.post(changed(city="Dallas", email="", phone="1"), receipt.link)
    assert world.written() == [("Account", {"Phone": "1"}), ("Contact", {"Email": None})]
    assert world.org.record("Contact", contact)["LastName"] == "Lee"


def test_an_account_that_was_there_first_wins_and_is_filled_up(world: World) -> None:
    account = world.org.create("Account", Name="Northwind Bakery", Phone="555 0100", BillingCity="Waco")
    receipt = world.post(customer())
    assert receipt.id == account
    assert receipt.link is not None
    assert receipt.link.state["born"] == "salesforce"
    written = dict(world.written()[0][1])
    assert written == {"QBO_Customer_Id__c": "58", **{key: ADDRESS[key] for key in ADDRESS if key != "BillingCity"}}


def test_a_namesake_with_nothing_else_in_common_is_another_account(world: World) -> None:
    world.org.create("Account", Name="Northwind Bakery", Phone="1")
    world.post(customer())
    assert len(world.org.all_of("Account")) == 2


def test_the_account_that_a_customer_was_made_from_is_found_before_it_is_marked(world: World) -> None:
    account = world.org.create("Account", Name="Northwind Bakery LLC", Type="Prospect")
    state = {"born": "salesforce", "base": dict.fromkeys(("salesforce", "quickbooks_online"), VALUES)}
    marked = world.post(customer("created", linked_id=account[:15]))
    assert (marked.id, len(world.org.all_of("Account"))) == (account, 1)
    assert world.org.record("Account", account)["Name"] == "Northwind Bakery LLC"
    linked = world.post(customer(), Link("customer", "58", account, state))
    assert linked.id == account


def test_a_merged_account_is_followed_and_a_deleted_one_is_told(world: World) -> None:
    link = world.post(customer()).link
    assert link is not None
    winner = world.org.create("Account", Name="Northwind")
    world.org.merge(winner, link.sink_id)
    world.written()
    receipt = world.post(changed(city="Dallas"), link)
    assert receipt.id == winner
    assert world.org.record("Account", winner)["QBO_Customer_Id__c"] == "58"
    world.org.delete("Account", winner)
    with pytest.raises(Refuse, match="is not there any more"):
        world.post(changed(city="Waco"), receipt.link)
    assert world.org.all_of("Account") == []


def test_a_person_of_the_account_is_adopted_or_kept_apart(world: World) -> None:
    account = world.org.create("Account", Name="X", QBO_Customer_Id__c="58")
    rep = world.org.create("Contact", LastName="Rep", Email="rep@northwind.example", AccountId=account)
    receipt = world.post(customer())
    assert [row["LastName"] for row in world.org.all_of("Contact")] == ["Rep", "Lee"]
    world.written()
    second = world.post(changed(email="ann@new.example"), receipt.link)
    assert world.written() == [("Contact", {"Email": "ann@new.example"})]
    assert "email" not in second.link.state["base"]["salesforce"]  # type: ignore[union-attr]
    world.post(changed(email="ann@new.example"), second.link)
    assert world.written() == []
    for row in world.org.all_of("Contact"):
        if row["Id"] != rep:
            world.org.delete("Contact", row["Id"])
    world.post(changed(email="rep@northwind.example"))
    adopted = world.one("Contact")
    assert (adopted["Id"], adopted["QBO_Customer_Id__c"]) == (rep, "58")


@pytest.mark.parametrize(
    ("profile", "expected"),
    [
        (Profile(name="Shop"), []),
        (Profile(name="Shop", given_name="Ann"), [(None, "Ann", None)]),
        (Profile(name="Shop", email="a@x.example, b@x.example"), [(None, "Shop", "a@x.example")]),
    ],
)
def test_what_a_contact_is_made_of(world: World, profile: Profile, expected: list[Any]) -> None:
    receipt = world.post(customer("created", profile))
    people = [(row["FirstName"], row["LastName"], row["Email"]) for row in world.org.all_of("Contact")]
    assert people == expected
    world.written()
    world.post(customer("updated", profile), receipt.link)
    assert world.written() == []


def test_texts_are_cut_to_their_fields_and_come_back_as_they_are(world: World) -> None:
    long = dataclasses.replace(PROFILE, name="N" * 300, family_name="L" * 90)
    receipt = world.post(customer("created", long))
    assert len(world.one("Account")["Name"]) == 255
    assert len(world.one("Contact")["LastName"]) == 80
    world.written()
    world.post(customer("updated", long), receipt.link)
    assert world.written() == []


def test_what_the_org_lacks_is_left_out_and_its_external_id_is_needed(world: World) -> None:
    world.org.hide_field("Account", "BillingStreet")
    world.org.lock_field("Account", "Phone")
    receipt = world.post(customer())
    assert receipt.link is not None
    assert (
        not {"street", "phone"} & receipt.link.state["base"]["salesforce"].keys()
    )  # else its silence would clear them
    account = world.written()[0][1]
    assert sorted(account) == [
        "BillingCity", "BillingCountry", "BillingPostalCode", "BillingState", "Name", "QBO_Customer_Id__c",
    ]  # fmt: skip
    with pytest.raises(Misconfigured, match="Account has no external ID field My_Id__c"):
        world.post(customer(), customer_id_field="My_Id__c")


def test_currencies_only_where_the_org_has_several(world: World) -> None:
    world.org.enable_currencies("USD", "EUR")
    world.post(customer("created", dataclasses.replace(PROFILE, currency="EUR")))
    assert world.one("Account")["CurrencyIsoCode"] == "EUR"


def test_two_accounts_with_one_id(world: World) -> None:
    world.org.allow_duplicates("Account", "QBO_Customer_Id__c")
    ids = [world.org.create("Account", Name=name, QBO_Customer_Id__c="58") for name in "AB"]
    with pytest.raises(Refuse) as refused:
        world.post(customer())
    (reason,) = refused.value.reasons
    assert all(each in reason for each in ids)


def test_countries_and_states_of_an_org_that_keeps_them_as_lists(world: World) -> None:
    for code in ("BillingCountryCode", "BillingStateCode"):
        world.org.add_field("Account", code)
    receipt = world.post(customer())
    account = world.written()[0][1]
    assert (account["BillingCountryCode"], account["BillingStateCode"]) == ("US", "TX")
    assert not {"BillingCountry", "BillingState"} & account.keys()
    world.org.edit("Account", receipt.id, BillingCountry="United States", BillingState="Texas")
    nowhere = world.post(changed(country="Atlantis", region="QQ"), receipt.link)
    assert world.written() == []
    assert nowhere.link is not None
    world.post(changed(country="CAN", region="British Columbia"), nowhere.link)
    assert world.written() == [("Account", {"BillingState": "British Columbia", "BillingCountryCode": "CA"})]


def test_a_person_account_is_its_own_contact(world: World) -> None:
    for name in ("FirstName", "LastName", "PersonEmail"):
        world.org.add_field("Account", name, length=80)
    account = world.org.create("Account", Name="Ann Lee", LastName="Lee", QBO_Customer_Id__c="58")
    receipt = world.post(customer())
    assert (receipt.id, world.org.all_of("Contact")) == (account, [])
    assert world.written() == [
        (
            "Account",
            {"FirstName": "Ann", "PersonEmail": "ann@northwind.example", "Phone": "555-0100", **ADDRESS},
        )
    ]
    world.post(customer("updated"), receipt.link)
    assert world.written() == []
