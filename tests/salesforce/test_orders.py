"""Orders that are refused, mended, reversed and told anew; and entries that somebody else edits."""

from __future__ import annotations

import dataclasses
import json
from decimal import Decimal
from typing import Any

import pytest

from connector.kernel.errors import Refuse
from connector.models import AuditEntry, Delivery, Feedback, Hold, Link, Payload, PayloadKind
from connector.pipeline import outbox, refusals, replay
from connector.pipeline.delivery import drain
from connector.pipeline.outbox import Claim, Outcome
from tests.salesforce.books import CLEARING, ENTRY, INCOME
from tests.salesforce.world import TwoWays

NEGATIVE = {CLEARING: Decimal("-300.50"), INCOME: Decimal("300.50")}
POSITIVE = {CLEARING: Decimal("300.50"), INCOME: Decimal("-300.50")}


def free(world: TwoWays, **selected: Any) -> dict[str, object]:
    """`manage.py replay`, and then the workers."""
    found = dataclasses.asdict(replay.replay(replay.Selection(**selected), actor="test"))
    del found["freed"]
    world.work()
    return found


def test_a_refused_order_shows_every_reason_and_goes_on_once_it_is_mended(world: TwoWays) -> None:
    world.tell_in_slack()
    account = world.linked_account()
    gauge = world.org.add_product("Rain gauge", "1", sku="GAUGE-3")
    world.intuit.put(world.realm, "Item", {**world.company.find("Item", "6"), "Active": False})
    order = world.order(
        account, (gauge, 1, "10"), (world.work_hour, 1, "20"), (world.pump, 1, "30"),
        QBO_Class__c="Wholesale", QBO_Department__c="East",
    )  # fmt: skip
    world.work()
    number = world.number(order)
    reasons = (
        "line 1: no item in QuickBooks has the SKU or product code of its product; "
        "line 1: its department is unknown or inactive in QuickBooks; "
        "line 1: its class is unknown or inactive in QuickBooks; "
        "line 2: its item in QuickBooks (6) is inactive: make it active; "
        "line 2: its department is unknown or inactive in QuickBooks; "
        "line 2: its class is unknown or inactive in QuickBooks; "
        "line 3: its department is unknown or inactive in QuickBooks; "
        "line 3: its class is unknown or inactive in QuickBooks"
    )
    entry, status = world.mark(order)
    assert entry == "" and status.startswith("Refused: line 1") and len(status) == 255 and status.endswith("…")
    assert f"Refused: {reasons}".startswith(status[:-1])
    assert world.entries() == {}
    refused = Delivery.objects.get(state="parked")
    assert (refused.hold, refused.event.record_id) == (Hold.REFUSED, order)
    assert [text.split(":")[0] for text in world.texts] == [f"Order {number} created", f"Order {number} rejected"]
    assert f"$60.00, {reasons[:400]}" in world.texts[1]
    assert reasons in json.dumps(world.slack.posts[1].blocks)
    assert f"/admin/connector/delivery/{refused.pk}/change/" in json.dumps(world.slack.posts[1].blocks)
    assert world.slack.posts[1].thread_ts == world.slack.posts[0].ts
    # Half of it is mended: the rest is told, and told again in Slack.
    item = {"Name": "Rain gauge", "FullyQualifiedName": "Rain gauge", "Type": "NonInventory", "Sku": "GAUGE-3"}
    world.intuit.put(world.realm, "Item", {**item, "IncomeAccountRef": {"value": INCOME}})
    world.intuit.put(world.realm, "Item", {**world.company.find("Item", "6"), "Active": True})
    for entity, name in (("Class", "Wholesale"), ("Department", "East")):
        world.intuit.put(world.realm, entity, {"Name": name, "FullyQualifiedName": name})
    assert free(world, connection="acme-books", status="parked") == {"matched": 1, "released": 1, "skipped": 0}
    (posted,) = world.company.rows("JournalEntry")
    assert world.mark(order) == (posted["Id"], f"Posted: SF-{number}")
    assert world.entries() == {
        f"SF-{number}": {CLEARING: Decimal(60), INCOME: Decimal(-40), "42": Decimal(-20)},
    }
    assert {state for _, state, _ in world.deliveries()} == {"delivered"}
    assert free(world, connection="acme-books", status="parked") == {"matched": 0, "released": 0, "skipped": 0}
    assert len(world.entries()) == 1


def test_an_order_mended_in_salesforce_goes_on_by_itself(world: TwoWays) -> None:
    account = world.linked_account()
    order = world.order(account, QBO_Class__c="Wholesale")
    world.work()
    assert world.mark(order)[1].startswith("Refused: line 1: its class is unknown")
    world.org.edit("Order", order, QBO_Class__c="Retail")
    world.work()
    assert world.entries() == {f"SF-{world.number(order)}": POSITIVE}
    assert world.mark(order)[1] == f"Posted: SF-{world.number(order)}"
    # What was parked is released in vain: the books hold what the order says.
    free(world, status="parked")
    assert len(world.entries()) == 1
    assert [state for _, state, _ in world.deliveries()][-2:] == ["delivered", "delivered"]


def test_an_order_without_a_customer_waits_for_it(world: TwoWays) -> None:
    account = world.org.create("Account", Name="Northwind")
    order = world.order(account)
    world.hear()  # the account and its order at once
    for _ in range(5):
        world.step()
        world.make_due()
    world.work()
    assert world.entries() == {f"SF-{world.number(order)}": POSITIVE}
    assert len(world.customers()) == 1
    assert world.org.record("Account", account)["QBO_Customer_Id__c"] == next(iter(world.customers()))


def aged_order(world: TwoWays, account: str) -> Delivery:
    """An order that is about to be written, too old to be thought ahead of its customer."""
    world.order(account)
    world.hear()
    world.advance()
    delivery = Delivery.objects.get(event__record="order", state="waiting")
    content = Payload.read(delivery.event, PayloadKind.EVENT)
    Payload.put(delivery.event, PayloadKind.EVENT, {**content, "occurred_at": "2026-01-01T00:00:00+00:00"})
    return delivery


def test_a_refused_order_goes_on_by_itself_once_its_customer_is_there(world: TwoWays) -> None:
    account = world.org.create("Account", Name="North:wind")
    world.work()
    order = aged_order(world, account).event.record_id
    world.work()
    assert world.mark(order)[1].startswith("Refused: its account is not linked to a customer in QuickBooks")
    world.org.edit("Account", account, Name="Northwind")
    world.work()
    assert world.mark(order)[1] == f"Posted: SF-{world.number(order)}"
    assert world.entries() == {f"SF-{world.number(order)}": POSITIVE}


def test_an_order_that_is_refused_while_its_customer_is_being_made_goes_on(world: TwoWays) -> None:
    account = world.org.create("Account", Name="North:wind")
    world.work()
    delivery = aged_order(world, account)
    claim = outbox.claim(delivery.mailbox_id)
    assert isinstance(claim, Claim)
    world.org.edit("Account", account, Name="Northwind")
    world.hear()
    world.advance()
    for box in set(world.due_mailboxes()) - {delivery.mailbox_id}:
        drain(box, is_armed=True)
    assert len(world.customers()) == 1
    refusals.park(claim, Refuse(["its account is not linked to a customer"]), Outcome("parked", "refused"))
    delivery.refresh_from_db()
    assert (delivery.state, delivery.hold) == ("waiting", "")
    world.work()
    assert world.entries() == {f"SF-{world.number(delivery.event.record_id)}": POSITIVE}


def test_back_to_draft_reverses_and_a_new_activation_posts_the_second_version(world: TwoWays) -> None:
    world.tell_in_slack()
    account = world.linked_account()
    order = world.order(account)
    world.work()
    number = world.number(order)
    world.org.deactivate(order)
    world.work()
    assert world.entries() == {f"SF-{number}": POSITIVE, f"SF-{number}-R": NEGATIVE}
    first, back = world.company.rows("JournalEntry")
    assert world.mark(order) == (first["Id"], f"Reversed: SF-{number}-R")
    assert back["PrivateNote"] == (
        f"Reversal of SF-{number} (QuickBooks entry {first['Id']}), Salesforce order {number} ({order})"
    )
    world.org.activate(order)
    world.work()
    assert world.entries() == {f"SF-{number}": POSITIVE, f"SF-{number}-R": NEGATIVE, f"SF-{number}-2": POSITIVE}
    assert world.mark(order) == (world.company.rows("JournalEntry")[2]["Id"], f"Posted: SF-{number}-2")
    assert [" ".join(text.split()[:3]) for text in world.texts] == [
        f"Order {number} created:", f"Order {number} voided:", f"Order {number} updated:",
    ]  # fmt: skip
    (link,) = Link.objects.filter(record="order")
    assert [entry["doc"] for entry in link.state["entries"]] == [f"SF-{number}", f"SF-{number}-R", f"SF-{number}-2"]


def test_an_active_order_that_changes_is_reversed_and_posted_anew(world: TwoWays) -> None:
    account = world.linked_account()
    order = world.order(account)
    world.work()
    number = world.number(order)
    (item,) = [row for row in world.org.all_of("OrderItem") if row["OrderId"] == order]
    world.org.edit("OrderItem", item["Id"], UnitPrice="100")
    world.work()
    second = {CLEARING: Decimal(200), INCOME: Decimal(-200)}
    assert world.entries() == {f"SF-{number}": POSITIVE, f"SF-{number}-R": NEGATIVE, f"SF-{number}-2": second}
    world.org.edit("Order", order, Description="Call before delivery")
    world.work()
    assert len(world.entries()) == 3


def test_a_deleted_order_and_a_reduction_order_leave_nothing_standing(world: TwoWays) -> None:
    account = world.linked_account()
    gone, reduced = world.order(account), world.order(account)
    world.work()
    world.org.delete("Order", gone, force=True)
    reduction = world.org.reduce(reduced, activate=True)
    world.work()
    numbers = [world.number(order) for order in (gone, reduced, reduction)]
    assert world.entries() == {
        f"SF-{numbers[0]}": POSITIVE,
        f"SF-{numbers[0]}-R": NEGATIVE,
        f"SF-{numbers[1]}": POSITIVE,
        f"SF-{numbers[2]}": NEGATIVE,
    }
    assert world.mark(reduction)[1] == f"Posted: SF-{numbers[2]}"
    assert world.mark(reduced)[1] == f"Posted: SF-{numbers[1]}"


def test_somebody_elses_edit_of_an_entry_is_told_once(world: TwoWays) -> None:
    world.tell_in_slack()
    account = world.linked_account()
    order = world.order(account)
    world.work()
    number = world.number(order)
    before = len(world.texts)
    (entry,) = world.company.rows("JournalEntry")
    for _ in range(2):  # told twice by QuickBooks
        world.notify(("JournalEntry", entry["Id"], "updated"))
        world.work()
    assert len(world.texts) == before  # what the connector wrote is nobody's edit
    world.change("JournalEntry", entry["Id"], PrivateNote="Checked")
    world.notify(("JournalEntry", entry["Id"], "updated"))
    world.work()
    (alert,) = world.texts[before:]
    assert alert.startswith("Connection acme-books is failing: ")
    assert f"The journal entry SF-{number}, posted for order {order}, was updated by somebody else." in alert
    assert AuditEntry.objects.filter(action="record.drifted").count() == 1
    world.intuit.delete(world.realm, "JournalEntry", entry["Id"])
    world.notify(("JournalEntry", entry["Id"], "deleted"))
    world.work()
    assert "was deleted by somebody else" in world.texts[-1]
    assert len(world.texts) == before + 2
    assert world.entries() == {}  # and nothing is posted again behind the bookkeeper's back


@pytest.mark.parametrize("rule", ["type_customer", "first_order"])
def test_customers_are_created_by_the_routes_rule(world: TwoWays, rule: str) -> None:
    world.back.settings = {**world.back.settings, "create_customers": rule}
    world.back.save()
    plain = world.org.create("Account", Name="Plain")
    world.org.create("Account", Name="Typed", Type="Customer - Direct")
    world.work()
    names = {row["DisplayName"] for row in world.customers().values()}
    assert names == ({"Typed"} if rule == "type_customer" else set())
    if rule == "first_order":
        orders = [world.order(plain), world.order(plain)]
        world.work()
        (customer,) = world.customers().values()
        assert customer["DisplayName"] == "Plain"
        assert world.org.record("Account", plain)["QBO_Customer_Id__c"] == customer["Id"]
        assert len(world.entries()) == 2
        assert all(world.mark(order)[1].startswith("Posted") for order in orders)
        assert [write.entity for write in world.intuit.writes].count("Customer") == 1


def test_only_our_own_marks_change_nothing(world: TwoWays) -> None:
    account = world.linked_account()
    order = world.order(account)
    world.work()
    writes = (len(world.org.writes), len(world.intuit.writes))
    world.org.edit("Order", order, **{ENTRY: "999"})
    world.work()
    assert (len(world.org.writes), len(world.intuit.writes)) == writes
    assert Feedback.objects.exclude(state="done").count() == 0
