"""What an update changed, what is unusual, and why an event was or was not told."""

from __future__ import annotations

from connector.models import InboxEvent, Payload
from connector.models.inbox import PayloadKind
from tests.pipeline.conftest import World
from tests.stack import REALM, bill


def test_an_update_says_what_changed_since_the_version_told_last(world: World) -> None:
    world.route()
    record = world.intuit.put(REALM, "Bill", bill("B-1", 500))
    world.notify(("Bill", record["Id"], "created"))
    world.work()
    world.intuit.change(REALM, "Bill", record["Id"], DueDate="2026-12-24", Balance=0)
    world.notify(("Bill", record["Id"], "updated"))
    world.work()
    assert world.texts[1].endswith(
        "; changed: balance $500.00 → $0.00; due date Dec 3, 2026 → Dec 24, 2026; status open → paid"
    )


def test_an_update_in_which_a_reader_sees_no_change_is_not_told_and_says_why(world: World) -> None:
    world.route()
    record = world.intuit.put(REALM, "Bill", bill("B-1"))
    world.notify(("Bill", record["Id"], "created"))
    world.work()
    world.intuit.change(REALM, "Bill", record["Id"], SalesTermRef={"value": "3"})
    world.notify(("Bill", record["Id"], "updated"))
    world.work()
    assert len(world.texts) == 1
    event = InboxEvent.objects.order_by("-id")[0]
    assert (event.state, event.reason) == ("ignored", "nothing that a reader sees has changed")


def test_a_bill_far_outside_its_vendors_history_is_marked(world: World) -> None:
    world.route(where={"min_amount": "5000"})
    for number, amount in enumerate((100, 110, 95, 105, 100, 98, 102, 101)):
        record = world.intuit.put(REALM, "Bill", bill(f"B-{number}", amount))
        world.notify(("Bill", record["Id"], "created"))
    world.work()
    record = world.intuit.put(REALM, "Bill", bill("B-9", 9000))
    world.notify(("Bill", record["Id"], "created"))
    world.work()
    assert len(world.texts) == 1
    assert "Unusual amount: the last 8 bills of Books by Bessie were $88.50 to $112.50" in world.texts[0]


def test_every_event_keeps_each_routes_conditions_with_the_values_they_met(world: World) -> None:
    world.route("large", where={"above_amount": "100", "parties": ["books by bessie"]})
    world.route("invoices", "invoice.*")
    record = world.intuit.put(REALM, "Bill", bill("B-1", 100))
    world.notify(("Bill", record["Id"], "created"))
    world.work()
    assert not world.texts
    event = InboxEvent.objects.get()
    assert (event.state, event.reason) == ("ignored", "no route matches")
    assert Payload.read(event, PayloadKind.DECISIONS) == [
        {
            "route": "large",
            "matched": False,
            "checks": [
                {"condition": "events", "wanted": "*", "met": "bill.created", "is_satisfied": True},
                {"condition": "above_amount", "wanted": "100", "met": "100 USD", "is_satisfied": False},
                {"condition": "parties", "wanted": "books by bessie", "met": "Books by Bessie", "is_satisfied": True},
            ],
        },
        {
            "route": "invoices",
            "matched": False,
            "checks": [{"condition": "events", "wanted": "invoice.*", "met": "bill.created", "is_satisfied": False}],
        },
    ]
