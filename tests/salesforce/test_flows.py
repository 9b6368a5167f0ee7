"""Customers, invoices and orders from one system to the other, and nothing of it back again."""

from __future__ import annotations

from decimal import Decimal

from connector.models import InboxEvent
from tests.salesforce.books import CLEARING, CUSTOMER, INCOME, SERVICES
from tests.salesforce.world import CHANNEL, TwoWays


def test_a_customer_with_its_invoice_becomes_an_account_with_its_opportunity(world: TwoWays) -> None:
    person = {"GivenName": "Ann", "FamilyName": "Lee", "PrimaryEmailAddr": {"Address": "ann@x.example"}}
    customer = world.put("Customer", DisplayName="Northwind", **person)
    detail = {"ItemRef": {"value": "5"}, "ClassRef": {"value": "7", "name": "Retail"}}
    line = {"Amount": Decimal("310.40"), "DetailType": "SalesItemLineDetail", "SalesItemLineDetail": detail}
    invoice = world.put(
        "Invoice", DocNumber="1001", CustomerRef={"value": customer["Id"], "name": "Northwind"}, Line=[line],
        TotalAmt=Decimal("310.40"), Balance=Decimal("310.40"), TxnDate="2026-11-03",
        DepartmentRef={"value": "2", "name": "West"}, CurrencyRef={"value": "USD"},
    )  # fmt: skip
    world.work()
    (account,), (contact,), (deal,), (role,) = (
        world.org.all_of(name) for name in ("Account", "Contact", "Opportunity", "OpportunityContactRole")
    )
    assert (account["Name"], account[CUSTOMER]) == ("Northwind", customer["Id"])
    assert (account["QBO_Department__c"], account["QBO_Class__c"]) == ("West", "Retail")
    assert (contact["LastName"], contact["Email"], contact["AccountId"]) == ("Lee", "ann@x.example", account["Id"])
    told = {name: deal[name] for name in ("Name", "Amount", "StageName", "AccountId", "QBO_Invoice_Id__c")}
    assert told == {
        "Name": "Invoice 1001 - Northwind",
        "Amount": Decimal("310.40"),
        "StageName": "Proposal/Price Quote",
        "AccountId": account["Id"],
        "QBO_Invoice_Id__c": invoice["Id"],
    }
    assert (str(deal["CloseDate"]), deal["QBO_Department__c"], deal["QBO_Class__c"]) == ("2026-11-03", "West", "Retail")
    assert (role["OpportunityId"], role["ContactId"], role["IsPrimary"]) == (deal["Id"], contact["Id"], True)
    writes = len(world.org.writes)
    world.change("Invoice", invoice["Id"], Balance=Decimal(0))
    world.work()
    assert world.org.all_of("Opportunity")[0]["StageName"] == "Closed Won"
    assert len(world.org.writes) == writes + 1
    assert world.intuit.writes == []
    assert {state for _, state, _ in world.deliveries()} == {"delivered"}


def test_a_new_account_becomes_a_customer_and_learns_its_id(world: TwoWays) -> None:
    account = world.org.create("Account", Name="Fabrikam", Phone="555-0100", BillingCity="Waco", BillingState="TX")
    world.work()
    (customer,) = world.customers().values()
    assert (customer["DisplayName"], customer["PrimaryPhone"]["FreeFormNumber"]) == ("Fabrikam", "555-0100")
    assert customer["BillAddr"] == {"City": "Waco", "CountrySubDivisionCode": "TX"}
    assert world.org.record("Account", account)[CUSTOMER] == customer["Id"]
    assert [write.operation for write in world.intuit.writes] == ["create"]
    assert [(write.object, sorted(write.fields)) for write in world.org.writes] == [("Account", [CUSTOMER])]
    assert world.links() == {("customer", customer["Id"], account)}
    world.org.edit("Account", account, Phone="555-0199")
    world.work()
    assert world.customers()[customer["Id"]]["PrimaryPhone"]["FreeFormNumber"] == "555-0199"
    assert [write.operation for write in world.intuit.writes] == ["create", "update"]
    assert len(world.org.writes) == 1


def test_what_is_written_on_an_account_for_our_own_sake_is_no_news(world: TwoWays) -> None:
    world.route("Customers", world.crm, world.chat, ["customer.*"], target=CHANNEL)
    account = world.linked_account()
    for fields in ({"QBO_Department__c": "West", "QBO_Class__c": "Retail"}, {"Description": "seen by nobody"}):
        world.org.edit("Account", account, **fields)
        world.work()
    assert len(world.texts) == 1
    assert InboxEvent.objects.latest("pk").reason == "nothing that a reader sees has changed"
    world.org.edit("Account", account, Name="Northwind Traders")
    world.work()
    assert len(world.texts) == 2


def test_an_order_is_posted_when_it_is_activated_and_noted_on_it(world: TwoWays) -> None:
    account = world.linked_account()
    lines = [(world.pump, 2, "100.125"), (world.pump, 1, "0.005"), (world.work_hour, 3, "60")]
    order = world.order(account, *lines, activate=False, QBO_Department__c="West", QBO_Class__c="Retail")
    world.work()
    assert (world.entries(), world.mark(order)) == ({}, ("", ""))
    world.org.activate(order)
    world.work()
    number = f"SF-{world.number(order)}"
    sums = {CLEARING: Decimal("380.26"), INCOME: Decimal("-200.26"), SERVICES: Decimal("-180.00")}
    assert world.entries() == {number: sums}
    (entry,) = world.company.rows("JournalEntry")
    assert world.mark(order) == (entry["Id"], f"Posted: {number}")
    details = [line["JournalEntryLineDetail"] for line in entry["Line"]]
    assert {detail["DepartmentRef"]["value"] for detail in details} == {"2"}
    assert [detail.get("ClassRef", {}).get("value") for detail in details] == [None, "7", "7", "7"]
    customer_id = world.org.record("Account", account)[CUSTOMER]
    assert details[0]["Entity"] == {"Type": "Customer", "EntityRef": {"value": customer_id, "name": "Northwind"}}
    assert world.links() >= {("order", entry["Id"], order)}
    assert len([write for write in world.org.writes if write.object == "Order"]) == 1


def test_an_invoice_of_a_customer_from_before_the_connector_brings_its_account_along(world: TwoWays) -> None:
    world.route("Customers", world.books, world.chat, ["customer.*"], target=CHANNEL)
    old = world.intuit.put(world.realm, "Customer", {"DisplayName": "Northwind"})
    customer = {"value": old["Id"], "name": "Northwind"}
    lines = [{"Amount": 70, "DetailType": "SalesItemLineDetail", "SalesItemLineDetail": {"ItemRef": {"value": "5"}}}]
    for number in ("1001", "1002"):
        world.put("Invoice", DocNumber=number, CustomerRef=customer, TotalAmt=70, Balance=70, Line=lines)
    world.work()
    world.make_due()
    world.work()
    (account,) = world.org.all_of("Account")
    assert (account["Name"], account[CUSTOMER]) == ("Northwind", old["Id"])
    deals = {row["Name"]: row["AccountId"] for row in world.org.all_of("Opportunity")}
    assert deals == {f"Invoice {number} - Northwind": account["Id"] for number in ("1001", "1002")}
    assert world.texts == []  # nobody made or changed the customer just now
    assert len([write for write in world.org.writes if write.object == "Account"]) == 1
    world.change("Customer", old["Id"], DisplayName="Northwind Bakery")
    world.work()
    assert [text.split(",")[0] for text in world.texts] == ["Customer updated: Northwind Bakery"]
    assert world.org.record("Account", account["Id"])["Name"] == "Northwind Bakery"
