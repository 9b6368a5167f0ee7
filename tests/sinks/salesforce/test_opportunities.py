"""Invoices to Opportunities over the wire: on the right Account, with its contact, in the right stage, once."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest

from connector.kernel.contracts import Link, Style
from connector.kernel.errors import Misconfigured, NotYet, Unknown
from connector.kernel.events import Money, Ref
from sources.salesforce.source import Salesforce

from .conftest import World, customer, invoice

BASE = {
    "Name": "Invoice 1037 - Northwind Bakery",
    "StageName": "Proposal/Price Quote",
    "CloseDate": "2026-11-20",
    "Amount": "362.07",
    "QBO_Department__c": "West",
    "QBO_Class__c": "Sales:Retail",
}


@pytest.fixture
def account(world: World) -> str:
    account = world.post(customer()).id
    world.written()
    return account


def test_an_invoice_becomes_an_opportunity_with_its_contact(world: World, account: str) -> None:
    receipt = world.post(invoice())
    opportunity, contact = world.one("Opportunity"), world.one("Contact")["Id"]
    marks = {"QBO_Department__c": "West", "QBO_Class__c": "Sales:Retail"}
    sent = {**BASE, "Amount": Decimal("362.07"), "QBO_Invoice_Id__c": "130", "AccountId": account}
    assert world.written() == [
        ("Opportunity", sent),
        ("Account", marks),
        ("OpportunityContactRole", {"OpportunityId": opportunity["Id"], "ContactId": contact, "IsPrimary": True}),
    ]
    state = {"base": {**BASE, "AccountId": account}, "role": True}
    assert receipt.link == Link("invoice", "130", opportunity["Id"], state)
    again = world.post(invoice("updated"), receipt.link)
    assert (again, world.written()) == (receipt, [])


@pytest.mark.parametrize("pattern", ["PATCH .*/Opportunity/", "PATCH .*/Account/", "POST .*/OpportunityContactRole"])
@pytest.mark.parametrize("kind", ["cut_after", "cut_before"])
def test_a_lost_answer_doubles_nothing(world: World, account: str, pattern: str, kind: str) -> None:
    world.org.fail(pattern, kind)
    with pytest.raises(Unknown):
        world.post(invoice())
    receipt = world.post(invoice())
    assert receipt.id == world.one("Opportunity")["Id"]
    assert world.one("OpportunityContactRole")["IsPrimary"] is True
    assert world.one("Account")["QBO_Department__c"] == "West"


@pytest.mark.parametrize(
    ("event", "stage", "amount"),
    [
        (invoice("updated", status="paid"), "Closed Won", "362.07"),
        (invoice("voided", amount=Money(Decimal(0), "USD"), status="voided"), "Closed Lost", "362.07"),
        (
            invoice("deleted", amount=None, party=None, day=None, status="deleted", departments=(), classes=()),
            "Closed Lost",
            "362.07",
        ),
        (invoice("updated", amount=Money(Decimal("400"), "USD")), "Proposal/Price Quote", "400"),
    ],
)
def test_the_stage_follows_the_invoice(world: World, account: str, event: Any, stage: str, amount: str) -> None:
    link = world.post(invoice()).link
    world.written()
    receipt = world.post(event, link)
    opportunity = world.one("Opportunity")
    assert (opportunity["StageName"], opportunity["Amount"]) == (stage, Decimal(amount))
    assert len(world.written()) == 1
    world.post(event, receipt.link)
    assert world.written() == []


def test_what_people_changed_stays_until_the_invoice_changes(world: World, account: str) -> None:
    link = world.post(invoice()).link
    world.org.edit("Opportunity", world.one("Opportunity")["Id"], Name="Big one", StageName="Negotiation/Review")
    world.written()
    link = world.post(invoice("updated", amount=Money(Decimal("400"), "USD")), link).link
    assert world.written() == [("Opportunity", {"Amount": 400})]
    world.post(invoice("updated", status="paid", amount=Money(Decimal("400"), "USD")), link)
    assert world.written() == [("Opportunity", {"StageName": "Closed Won"})]
    assert world.one("Opportunity")["Name"] == "Big one"


def test_the_account_keeps_its_allocation_unless_the_invoice_names_one_anew(world: World, account: str) -> None:
    link = world.post(invoice()).link
    world.org.edit("Account", account, QBO_Department__c="East")
    several = (Ref("class", "7", "Sales:Retail"), Ref("class", "8", "Sales:Web"))
    world.post(invoice("updated", classes=several), link)
    marked = world.one("Account")
    assert (marked["QBO_Department__c"], marked["QBO_Class__c"]) == ("East", "Sales:Retail")
    assert world.one("Opportunity")["QBO_Class__c"] == "Sales:Retail; Sales:Web"


def test_an_invoice_waits_for_its_account(world: World) -> None:
    with pytest.raises(NotYet, match="the customer 58 of this invoice is not in Salesforce yet"):
        world.post(invoice())
    for operation in ("voided", "deleted"):
        receipt = world.post(invoice(operation))
        assert (receipt.id, receipt.link, len(receipt.warnings)) == ("", None, 1)
    assert world.written() == []


def test_stages_must_be_the_orgs_own(world: World, account: str) -> None:
    with pytest.raises(Misconfigured, match='no active opportunity stage "Billed"'):
        world.post(invoice(), stage_open="Billed")
    world.org.rename_stages({"Offen": (False, False), "Gewonnen": (True, True), "Verloren": (True, False)})
    with pytest.raises(Misconfigured, match='no active opportunity stage "Closed Won"'):
        world.post(invoice(status="paid"))
    world.post(invoice())
    assert world.one("Opportunity")["StageName"] == "Offen"
    world.post(invoice("updated", status="paid"), stage_paid="Gewonnen")
    assert world.one("Opportunity")["StageName"] == "Gewonnen"


def test_names_are_cut_and_currencies_told_where_there_are_several(world: World, account: str) -> None:
    world.org.enable_currencies("USD", "EUR")
    party = Ref("customer", "58", "N" * 200)
    world.post(invoice(number="", party=party, amount=Money(Decimal("1"), "EUR"), day=None, due=dt.date(2026, 12, 1)))
    opportunity = world.one("Opportunity")
    assert opportunity["Name"] == f"Invoice 130 - {'N' * 106}"
    assert (opportunity["CurrencyIsoCode"], opportunity["CloseDate"]) == ("EUR", dt.date(2026, 12, 1))


def test_a_primary_contact_of_the_sales_people_stays(world: World, account: str) -> None:
    world.org.hide("OpportunityContactRole")
    link = world.post(invoice()).link
    assert link is not None
    assert link.state["role"] is False
    world.org.reveal("OpportunityContactRole")
    other = world.org.create("Contact", LastName="Buyer")
    world.org.create("OpportunityContactRole", OpportunityId=link.sink_id, ContactId=other, IsPrimary=True)
    link = world.post(invoice("updated"), link).link
    roles = {row["ContactId"] == other: row["IsPrimary"] for row in world.org.all_of("OpportunityContactRole")}
    assert roles == {True: True, False: False}
    assert link is not None
    assert link.state["role"] is True


def test_the_route_names_the_fields(world: World, account: str) -> None:
    world.org.add_field("Opportunity", "Beleg__c", external_id=True)
    world.org.hide_field("Opportunity", "QBO_Class__c")
    world.post(invoice(), invoice_id_field="Beleg__c")
    opportunity = world.one("Opportunity")
    assert (opportunity["Beleg__c"], "QBO_Class__c" in opportunity) == ("130", False)
    with pytest.raises(Misconfigured, match="Opportunity has no external ID field QBO_Department__c"):
        world.post(invoice(), invoice_id_field="QBO_Department__c")


def test_the_sink_is_the_same_system_as_the_source(world: World) -> None:
    sink = world.sink
    assert (sink.name, sink.label, sink.has_targets, sink.is_paced) == ("salesforce", Salesforce.label, False, False)
    assert {field.name: field.default for field in sink.route_fields} == {
        "department_field": "QBO_Department__c",
        "class_field": "QBO_Class__c",
        "customer_id_field": "QBO_Customer_Id__c",
        "invoice_id_field": "QBO_Invoice_Id__c",
        "stage_open": "",
        "stage_paid": "Closed Won",
        "stage_voided": "Closed Lost",
    }
    assert sink.check(world.ctx).split(". ")[0] == Salesforce().check(world.ctx).split(". ")[0]
    assert sink.prepare(world.ctx, "") == "Accounts, contacts and Opportunities can be written."


def test_what_is_shown(world: World) -> None:
    def shown(event: Any) -> str:
        return world.sink.render(event, Style()).text

    assert shown(customer()) == "Customer Northwind Bakery: Account in Salesforce"
    assert shown(invoice()) == "Invoice 1037 of Northwind Bakery over 362.07 USD: Opportunity in Salesforce"
    assert shown(invoice("voided")) == "Invoice 1037 of Northwind Bakery: Opportunity in Salesforce, closed"
