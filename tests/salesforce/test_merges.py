"""Both sides edit, merge and delete customers: they stay in step, and nothing is deleted on the other side."""

from __future__ import annotations

from connector.models import AuditEntry
from tests.salesforce.books import CUSTOMER
from tests.salesforce.world import TwoWays


def customer_of(world: TwoWays, account: str) -> str:
    return str(world.org.record("Account", account)[CUSTOMER])


def test_both_sides_edit_one_customer_at_once_and_each_keeps_the_others_field(world: TwoWays) -> None:
    account = world.linked_account(Phone="1", BillingCity="Waco")
    number = customer_of(world, account)
    writes = len(world.intuit.writes), len(world.org.writes)
    world.org.edit("Account", account, Phone="2")
    world.change("Customer", number, BillAddr={"City": "Austin"})
    world.work()
    row, there = world.customers()[number], world.org.record("Account", account)
    assert (row["PrimaryPhone"]["FreeFormNumber"], row["BillAddr"]["City"]) == ("2", "Austin")
    assert (there["Phone"], there["BillingCity"]) == ("2", "Austin")
    assert (len(world.intuit.writes), len(world.org.writes)) == (writes[0] + 1, writes[1] + 1)


def test_of_two_edits_of_one_field_the_side_of_its_birth_wins(world: TwoWays) -> None:
    account = world.linked_account(Phone="1")
    old = world.put("Customer", DisplayName="Fabrikam", PrimaryPhone={"FreeFormNumber": "1"})
    world.work()
    other = next(row["Id"] for row in world.org.all_of("Account") if row[CUSTOMER] == old["Id"])
    for customer, there in ((customer_of(world, account), account), (old["Id"], other)):
        world.org.edit("Account", there, Phone="there")
        world.change("Customer", customer, PrimaryPhone={"FreeFormNumber": "here"})
    world.work()
    shown = [
        (world.customers()[customer]["PrimaryPhone"]["FreeFormNumber"], world.org.record("Account", there)["Phone"])
        for customer, there in ((customer_of(world, account), account), (old["Id"], other))
    ]
    assert shown == [("there", "there"), ("here", "here")]


def test_accounts_that_are_merged_keep_the_winners_customer(world: TwoWays) -> None:
    winner, loser = world.linked_account("Northwind"), world.linked_account("Northwind Inc")
    numbers = customer_of(world, winner), customer_of(world, loser)
    world.org.merge(winner, loser)
    world.work()
    assert {number: row["Active"] for number, row in world.customers().items()} == dict.fromkeys(numbers, True)
    assert customer_of(world, winner) == numbers[0]
    # The customer whose Account is gone finds the winner, and leaves it to the customer that it belongs to.
    world.change("Customer", numbers[1], PrimaryPhone={"FreeFormNumber": "555-0177"})
    world.change("Customer", numbers[0], PrimaryPhone={"FreeFormNumber": "555-0188"})
    world.work()
    assert customer_of(world, winner) == numbers[0]
    assert world.org.record("Account", winner)["Phone"] == "555-0188"
    order = world.order(winner)
    world.work()
    assert world.mark(order)[1].startswith("Posted")


def test_the_link_of_a_merged_account_goes_to_a_winner_that_had_none(world: TwoWays) -> None:
    world.back.settings = {**world.back.settings, "create_customers": "type_customer"}
    world.back.save()
    winner = world.org.create("Account", Name="Northwind")
    loser = world.linked_account("Northwind Inc", Type="Customer - Direct")
    number = customer_of(world, loser)
    world.org.merge(winner, loser)
    world.work()
    world.change("Customer", number, PrimaryPhone={"FreeFormNumber": "555-0177"})
    world.work()
    assert (customer_of(world, winner), world.org.record("Account", winner)["Phone"]) == (number, "555-0177")
    assert world.links() >= {("customer", number, winner)}
    assert len(world.customers()) == 1


def test_deleting_on_one_side_deletes_nothing_on_the_other(world: TwoWays) -> None:
    gone, idle = world.linked_account("Northwind"), world.linked_account("Fabrikam")
    numbers = customer_of(world, gone), customer_of(world, idle)
    world.org.delete("Account", gone)
    world.intuit.deactivate(world.realm, "Customer", numbers[1])
    world.notify(("Customer", numbers[1], "deleted"))
    world.work()
    assert world.customers()[numbers[0]]["Active"] is True
    assert [str(row["Id"]) for row in world.org.all_of("Account")] == [idle]
    before = len(world.intuit.writes), len(world.org.writes)
    world.org.edit("Account", idle, Phone="555-0166")
    world.work()
    assert (len(world.intuit.writes), len(world.org.writes)) == before  # an inactive customer is left as it is
    assert not AuditEntry.objects.filter(action="delivery.failed").exists()
