"""What became of an order reaches its record, whatever fails or dies between the two."""

from __future__ import annotations

import datetime as dt
from typing import Any

import time_machine

from connector.kernel.contracts import Secrets
from connector.models import AuditEntry, Connection, Feedback
from connector.pipeline import clock, connections, credentials, feedback
from sources.salesforce.standin_faults import ANSWERS, VendorError
from tests.salesforce.books import ENTRY
from tests.salesforce.world import TwoWays


def row(order: str) -> Feedback:
    return Feedback.objects.get(record="order", record_id=order)


def test_a_note_that_fails_is_written_later_and_the_entry_stays_one(world: TwoWays) -> None:
    account = world.linked_account()
    order = world.order(account)
    world.org.fail(r"PATCH .*/sobjects/Order/", "answer", answer=ANSWERS["unavailable"]())
    world.work()
    waits = row(order)
    assert (waits.state, waits.attempts, world.mark(order)) == ("waiting", 1, ("", ""))
    assert waits.next_attempt_at and waits.next_attempt_at > clock.now()
    world.org.fail(r"PATCH .*/sobjects/Order/", "cut_after")
    world.make_due()
    world.work()
    world.make_due()
    world.work()
    assert (row(order).state, row(order).attempts) == ("done", 3)
    assert world.mark(order)[1] == f"Posted: SF-{world.number(order)}"
    assert len(world.entries()) == 1
    assert AuditEntry.objects.filter(action="feedback.written").count() == 2  # the customer's and the order's


def test_a_worker_that_dies_before_the_note_or_in_it_leaves_it_to_the_next(world: TwoWays) -> None:
    account = world.linked_account()
    order = world.order(account)
    world.hear()
    while world.step(notes=False):
        world.hear()
    assert len(world.entries()) == 1
    assert (row(order).state, world.mark(order)) == ("waiting", ("", ""))
    # The next one claims it, and dies as well.
    Feedback.objects.filter(pk=row(order).pk).update(lease_until=clock.after(60), attempts=1)
    feedback.write(str(world.crm.pk))
    assert world.mark(order) == ("", "")
    Feedback.objects.filter(pk=row(order).pk).update(lease_until=clock.after(-1))
    feedback.sweep()
    feedback.write(str(world.crm.pk))
    world.work()
    assert world.mark(order)[1] == f"Posted: SF-{world.number(order)}"
    assert len([write for write in world.org.writes if write.object == "Order"]) == 1


def test_notes_on_one_order_are_written_in_their_order(world: TwoWays, settings: Any) -> None:
    settings.RETRY_BASE_SECONDS = 600  # the first is not tried again by itself while this looks
    account = world.linked_account()
    order = world.order(account)
    world.org.fail(r"PATCH .*/sobjects/Order/", "answer", answer=ANSWERS["unavailable"]())
    world.work()
    world.org.deactivate(order)
    world.work()
    assert world.mark(order) == ("", "")  # the second waits for the first
    world.make_due()
    world.work()
    statuses = [write.fields["QBO_Sync_Status__c"] for write in world.org.writes if write.object == "Order"]
    assert [status.split(":")[0] for status in statuses] == ["Posted", "Reversed"]


def test_a_revoked_token_is_renewed_once_and_nobody_notices(world: TwoWays) -> None:
    world.tell_in_slack()
    account = world.linked_account()
    before = world.org.token_requests
    world.org.revoke_tokens()
    order = world.order(account)
    with time_machine.travel(clock.now() + dt.timedelta(seconds=10)):
        world.work()
    assert world.org.token_requests == before + 1
    assert world.mark(order)[1].startswith("Posted")
    assert [text.split(" ")[0] for text in world.texts] == ["Order"]


def test_a_rotated_secret_stops_the_notes_until_the_new_one_is_brought(world: TwoWays) -> None:
    world.tell_in_slack()
    account = world.linked_account()
    order = world.order(account)
    world.hear()
    while world.step(notes=False):
        pass
    world.org.rotate_secret("fake-new-secret")
    world.org.revoke_tokens()
    world.write_notes()
    assert Connection.objects.get(pk=world.crm.pk).state == "needs_reauthorization"
    assert row(order).state == "waiting"
    world.step()
    assert world.texts[-1].startswith("Connection acme-salesforce must be connected again")
    secrets = Secrets({"client_id": "fake-client-id", "client_secret": "fake-new-secret"})
    world.crm.refresh_from_db()
    credentials.store(world.crm, secrets, actor="test", action="credential.stored")
    connections.check(str(world.crm.pk))
    world.make_due()
    world.work()
    assert world.mark(order)[1].startswith("Posted")
    assert len(world.entries()) == 1


def test_a_record_that_refuses_its_note_says_so_and_holds_nothing_else(world: TwoWays) -> None:
    account = world.linked_account()
    orders = [world.order(account), world.order(account)]
    refusal = VendorError("FIELD_CUSTOM_VALIDATION_EXCEPTION", "Locked for audit", [ENTRY])
    world.org.refuse("Order", refusal)
    world.work()
    states = sorted(row(order).state for order in orders)
    assert states == ["done", "failed"]
    (entry,) = AuditEntry.objects.filter(action="feedback.failed")
    assert entry.reason.endswith("FIELD_CUSTOM_VALIDATION_EXCEPTION")
    assert len(world.entries()) == 2
