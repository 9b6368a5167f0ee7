"""Orders that were mended at Salesforce without a word of it, and are then set free: what they say now is written."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest
import time_machine

from connector.kernel.errors import Reauthorize
from connector.kernel.events import FinancialEvent, from_json, to_json
from connector.models import Attempt, ConnectionState, Delivery, DeliveryState, InboxEvent, Payload, PayloadKind
from connector.pipeline import clock, connections, outbox, replay
from sources.salesforce.standin_faults import ANSWERS
from tests.salesforce.books import CLEARING, INCOME
from tests.salesforce.world import CHANNEL, TwoWays

POSTED = {CLEARING: Decimal("300.50"), INCOME: Decimal("-300.50")}
QUERY = r"GET .*/query"
ENTRY = r"POST /v3/company/\d+/journalentry"


def refused(world: TwoWays) -> tuple[str, Delivery]:
    """An order of a product that QuickBooks does not know, and its parked delivery."""
    gauge = world.org.add_product("Rain gauge", "1", sku="GAUGE-3")
    order = world.order(world.linked_account(), (gauge, 2, "150.25"))
    world.work()
    parked = Delivery.objects.get(state="parked")
    assert (parked.hold, parked.event.record_id, world.entries()) == ("refused", order, {})
    return order, parked


def mend(world: TwoWays, order: str) -> None:
    """The product gets its code, which no stream tells, and the order its class, of which the word is lost."""
    (item,) = [row for row in world.org.all_of("OrderItem") if row["OrderId"] == order]
    world.org.edit("Product2", item["Product2Id"], StockKeepingUnit="PUMP-20")
    world.org.edit("Order", order, QBO_Class__c="Retail")
    world.lose()


def set_free(delivery: Delivery, *, again: bool = False) -> None:
    replay.replay(replay.Selection(delivery=str(delivery.pk)), actor="test", again=again)


def change(world: TwoWays, order: str, price: str) -> None:
    (item,) = [row for row in world.org.all_of("OrderItem") if row["OrderId"] == order]
    world.org.edit("OrderItem", item["Id"], UnitPrice=price)


def stored(event: InboxEvent) -> FinancialEvent:
    return from_json(FinancialEvent, Payload.read(event, PayloadKind.EVENT))


def fate(delivery: Delivery) -> tuple[str, str, str]:
    delivery.refresh_from_db()
    return delivery.state, delivery.hold, delivery.reason


def test_a_replayed_order_is_written_as_it_is_now_and_everybody_hears_of_the_change(world: TwoWays) -> None:
    world.tell_in_slack()
    order, parked = refused(world)
    before = stored(parked.event)
    mend(world, order)
    queries = world.org.count(QUERY)
    set_free(parked)
    world.work()
    number = world.number(order)
    assert fate(parked) == ("delivered", "", "")
    assert world.entries() == {f"SF-{number}": POSTED}
    (entry,) = world.company.rows("JournalEntry")
    assert ["ClassRef" in row["JournalEntryLineDetail"] for row in entry["Line"]] == [False, True]
    assert world.mark(order) == (entry["Id"], f"Posted: SF-{number}")
    # What was written is what is stored: with the message, and with the event.
    parked.event.refresh_from_db()
    told = stored(parked.event)
    assert parked.message is not None
    assert parked.message.content["body"]["event"] == to_json(told)
    assert (before.lines[0].codes, told.lines[0].codes) == (("GAUGE-3",), ("PUMP-20",))
    assert parked.event.type == told.type == "order.updated"
    assert Payload.read(parked.event, PayloadKind.RECORD)["body"]["QBO_Class__c"] == "Retail"
    # One reading for the replay, one for the event of the change, and one as the order shows its entry.
    assert world.org.count(QUERY) - queries == 3
    (fresh,) = InboxEvent.objects.filter(origin="reread")
    assert (fresh.type, fresh.state) == ("order.updated", "routed")
    assert [" ".join(text.split()[:3]).strip(":") for text in world.texts] == [
        f"Order {number} created", f"Order {number} rejected", f"Order {number} updated",
    ]  # fmt: skip
    # Had the word only been late, nobody would hear of it twice.
    world.org.edit("Order", order, QBO_Class__c="Retail")
    world.work()
    set_free(parked, again=True)
    world.work()
    assert (len(world.entries()), len(world.texts)) == (1, 3)


def test_a_source_that_is_away_delays_the_writing_and_no_more(world: TwoWays) -> None:
    order, parked = refused(world)
    mend(world, order)
    writes = len(world.intuit.writes)
    world.org.fail(QUERY, "answer", times=100, answer=ANSWERS["outage"]())
    set_free(parked)
    world.step()
    away = "something in front of Salesforce answered with a page (HTTP 503)"
    assert fate(parked) == ("waiting", "", f"acme-salesforce: the record cannot be read again: {away}")
    world.crm.refresh_from_db()
    world.books.refresh_from_db()
    assert (world.crm.state, world.books.state, len(world.intuit.writes)) == ("unreachable", "ok", writes)
    world.org.clear()
    world.make_due()
    world.work()
    assert fate(parked)[0] == "delivered"
    assert world.entries() == {f"SF-{world.number(order)}": POSTED}


def test_a_source_that_must_be_authorized_again_is_named_and_its_mending_sets_free(world: TwoWays) -> None:
    order, parked = refused(world)
    mend(world, order)
    world.org.oauth_problem = "client_secret"
    world.org.revoke_tokens()
    set_free(parked)
    world.work()
    state, hold, reason = fate(parked)
    assert (state, hold) == ("parked", "connection")
    assert reason.startswith("acme-salesforce (needs_reauthorization): the record cannot be read again: ")
    calls = world.org.token_requests
    set_free(parked)  # in vain: nobody is asked
    world.work()
    assert (*fate(parked)[:2], world.org.token_requests) == ("parked", "connection", calls)
    assert world.entries() == {}
    world.org.oauth_problem = ""
    world.authorize()
    connections.recheck(str(world.crm.pk))
    world.work()
    assert fate(parked)[0] == "delivered"
    assert world.entries() == {f"SF-{world.number(order)}": POSTED}


@pytest.mark.parametrize("is_there", [True, False])
def test_what_is_past_retention_is_written_from_the_source_or_not_at_all(world: TwoWays, is_there: bool) -> None:
    order, parked = refused(world)
    number = world.number(order)
    mend(world, order)
    Payload.objects.filter(event=parked.event).delete()
    if not is_there:
        world.org.delete("Order", order, force=True)
        world.org.purge("Order", order)
        world.lose()
    set_free(parked)
    world.work()
    if is_there:
        assert (fate(parked)[0], world.entries()) == ("delivered", {f"SF-{number}": POSTED})
    else:
        gone = "the stored record is gone, and its source does not show it any more: enter it there by hand"
        assert (fate(parked), world.entries()) == (("failed", "", f"past_retention: {gone}"), {})
        codes = Attempt.objects.filter(message=parked.message).order_by("pk").values_list("code", flat=True)
        assert list(codes) == ["refused", "past_retention"]


def test_an_order_that_is_gone_is_reversed_by_what_was_told(world: TwoWays) -> None:
    order = world.order(world.linked_account())
    world.work()
    number = world.number(order)
    connections.set_state(world.books, ConnectionState.NEEDS_REAUTHORIZATION, Reauthorize("revoked"))
    world.org.deactivate(order)
    world.work()
    parked = Delivery.objects.get(state="parked")
    assert parked.event.type == "order.voided"
    world.org.delete("Order", order, force=True)
    world.org.purge("Order", order)
    world.lose()
    connections.mend(world.books, "")
    world.work()
    assert fate(parked)[0] == "delivered"
    assert stored(parked.event).operation == "voided"
    negative = {account: -amount for account, amount in POSTED.items()}
    assert world.entries() == {f"SF-{number}": POSTED, f"SF-{number}-R": negative}


def test_an_order_back_in_draft_is_not_posted_any_more(world: TwoWays) -> None:
    order, parked = refused(world)
    mend(world, order)
    world.org.deactivate(order)
    world.lose()
    set_free(parked)
    world.work()
    assert (fate(parked)[0], world.entries()) == ("delivered", {})


def test_a_change_that_nobody_else_was_told_of_is_told_to_all_after_a_replay(world: TwoWays) -> None:
    order = world.order(world.linked_account())
    world.route("Orders", world.crm, world.chat, ["order.*"], target=CHANNEL)
    world.work()
    number, delivery = world.number(order), Delivery.objects.get(event__record="order", route=world.back)
    change(world, order, "100")
    world.lose()
    set_free(delivery, again=True)
    world.work()
    assert list(world.entries()) == [f"SF-{number}", f"SF-{number}-R", f"SF-{number}-2"]
    change(world, order, "150.25")
    world.work()
    assert list(world.entries())[3:] == [f"SF-{number}-2-R", f"SF-{number}-3"]
    assert world.entries()[f"SF-{number}-3"] == POSTED
    assert [text.split("$")[1].split(",")[0].split()[0] for text in world.texts] == ["300.50", "200.00", "300.50"]


def test_a_change_that_is_taken_back_after_a_replay_is_written(world: TwoWays) -> None:
    account = world.linked_account("Northwind")
    delivery = Delivery.objects.get(event__record="customer", event__operation="created", route=world.back)
    for name, is_told in (("Southwind", False), ("Northwind", True)):
        world.org.edit("Account", account, Name=name)
        if not is_told:
            world.lose()
            set_free(delivery, again=True)
        world.work()
        assert [row["DisplayName"] for row in world.customers().values()] == [name]


def test_an_older_state_that_is_still_waiting_undoes_nothing(world: TwoWays) -> None:
    order, parked = refused(world)
    mend(world, order)
    change(world, order, "100")
    world.intuit.fail(ENTRY, "answer", times=100, answer=ANSWERS["outage"]())
    while world.step(notes=False) or world.org.bus.newest() != world._heard:
        world.hear()
    assert [state for _, state, _ in world.deliveries()][-2:] == ["parked", "waiting"]
    with time_machine.travel(clock.now() + dt.timedelta(seconds=10)):
        change(world, order, "150.25")
        world.lose()
        world.intuit.clear()
        set_free(parked)
        world.make_due()
        world.work()
    assert world.entries() == {f"SF-{world.number(order)}": POSTED}
    assert {state for _, state, _ in world.deliveries()} == {"delivered"}


def test_a_worker_that_dies_over_a_replay_leaves_it_to_the_next(world: TwoWays) -> None:
    """What stands there already is the older state: found, it does not end the replay."""
    order = world.order(world.linked_account())
    world.work()
    number, delivery = world.number(order), Delivery.objects.get(event__record="order")
    change(world, order, "100")
    world.lose()
    set_free(delivery, again=True)
    assert isinstance(outbox.claim(delivery.mailbox_id), outbox.Claim)
    for _ in range(8):
        world.make_due()
        world.step(notes=False)
    assert fate(delivery)[0] == "delivered"
    assert world.entries()[f"SF-{number}-2"] == {CLEARING: Decimal(200), INCOME: Decimal(-200)}
    assert len(world.entries()) == 3


def test_a_message_made_before_the_reading_is_not_sent_any_more(world: TwoWays) -> None:
    order = world.order(world.linked_account(), activate=False)
    world.org.activate(order)
    world.intuit.fail(ENTRY, "cut_before")
    world.step()  # the order is fetched after its account
    world.hear()
    world.step()
    doubtful = Delivery.objects.get(event__record="order")
    assert doubtful.state == DeliveryState.SENDING and doubtful.message is not None
    assert doubtful.message.content["body"]["event"]["lines"]
    connections.set_state(world.books, ConnectionState.NEEDS_REAUTHORIZATION, Reauthorize("revoked"))
    change(world, order, "100")
    world.lose()
    Delivery.objects.filter(pk=doubtful.pk).update(state="parked", hold="doubt", lease_until=None)
    world.intuit.fail(ENTRY, "answer", answer=ANSWERS["outage"]())
    connections.mend(world.books, "")
    for _ in range(8):
        world.make_due()
        world.step(notes=False)
    assert fate(doubtful)[0] == "delivered"
    assert world.entries() == {f"SF-{world.number(order)}": {CLEARING: Decimal(200), INCOME: Decimal(-200)}}


def test_what_was_never_released_is_not_read_again(world: TwoWays) -> None:
    order = world.order(world.linked_account())
    world.hear()
    queries = world.org.count(QUERY)
    world.intuit.fail(ENTRY, "answer", answer=ANSWERS["outage"]())
    world.step()
    assert Delivery.objects.get(event__record_id=order).state == "waiting"
    world.make_due()
    world.step(notes=False)
    assert world.entries() == {f"SF-{world.number(order)}": POSTED}
    assert world.org.count(QUERY) == queries + 1
