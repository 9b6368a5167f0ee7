"""The listener's process, and what happens where there is no stream, or not any more."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import time_machine
from django.core.management import CommandError, call_command

from connector.models import Connection, Cursor, InboxEvent
from connector.pipeline import clock, listening, polling, sweep
from tests.salesforce.books import CUSTOMER
from tests.salesforce.world import TwoWays
from tests.stack import wait_for


@contextmanager
def listening_to(*listeners: listening.Listener) -> Iterator[None]:
    threads = [threading.Thread(target=each.run) for each in listeners]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for each in listeners:
            each.stop()
        for thread in threads:
            thread.join(15)
        assert not any(thread.is_alive() for thread in threads)


def test_the_listener_hears_at_once_and_two_of_them_share_the_streams(world: TwoWays) -> None:
    with listening_to(listening.Listener(), listening.Listener(world.crm.slug)):
        assert world.org.wait_for_streams(3)
        account = world.org.create("Account", Name="Fabrikam")
        wait_for(InboxEvent.objects.filter(record_id=account).exists, 5, what="the account's event")
        world.org.cut_streams()
        late = world.org.create("Account", Name="Contoso")
        wait_for(InboxEvent.objects.filter(record_id=late).exists, 10, what="the event after the cut")
        assert world.org.wait_for_streams(3, 10)
    wait_for(lambda: world.org.streams == 0, 5, what="all streams to be closed")
    world._heard = world.org.bus.newest()
    while world.step():
        pass
    assert {row["DisplayName"] for row in world.customers().values()} == {"Fabrikam", "Contoso"}
    assert InboxEvent.objects.filter(record_id=account, operation="created").count() == 1


def test_an_edition_without_the_pubsub_api_is_polled_and_told_once(world: TwoWays) -> None:
    world.tell_in_slack()
    world.org.fail_rpc("Subscribe", "service.tenant.license", times=1000)
    with listening_to(listening.Listener()):
        wait_for(lambda: len(world.org.pubsub._failures) <= 994, 20, what="every stream to be tried twice")
    assert Connection.objects.get(pk=world.crm.pk).state == "ok"
    world._heard = world.org.bus.newest()
    while world.step():
        pass
    (alert,) = world.texts
    assert alert.startswith("Connection acme-salesforce is failing: acme-salesforce cannot listen to /data/")
    assert "this Salesforce edition has no Pub/Sub API: set stream to polling" in alert
    assert sweep._poll_every(world.crm) == sweep.POLL_OFTEN
    world.crm.settings = {**world.crm.settings, "stream": "polling"}
    assert (listening.topics_of(world.crm), sweep._poll_every(world.crm)) == ((), sweep.POLL_OFTEN)


def test_a_stream_that_opens_again_is_polled_seldom_again(world: TwoWays) -> None:
    world.org.deny_topic("/data/OrderChangeEvent")
    with listening_to(listening.Listener()):
        wait_for(lambda: listening.is_refused(world.crm), 10, what="the refusal")
        assert sweep._poll_every(world.crm) == sweep.POLL_OFTEN
        world.org.deny_topic("/data/OrderChangeEvent", is_denied=False)
        wait_for(lambda: not listening.is_refused(world.crm), 20, what="the stream to open")
    assert sweep._poll_every(world.crm) == sweep.POLL_EVERY


def test_polling_alone_finds_everything_once(world: TwoWays) -> None:
    world.crm.settings = {**world.crm.settings, "stream": "polling"}
    world.crm.save()
    world.org.bus.is_publishing = False
    began = clock.now().replace(second=0, microsecond=0)
    with time_machine.travel(began) as clocks:

        def turn() -> None:
            clocks.shift(dt.timedelta(minutes=5))
            polling.read(world.crm, origin="poll")
            world.work()

        turn()
        account = world.org.create("Account", Name="Northwind")
        turn()
        assert world.org.record("Account", account)[CUSTOMER]
        order, gone = world.order(account), world.order(account)
        turn()
        world.org.delete("Order", gone, force=True)
        world.org.deactivate(order)
        turn()
        world.org.activate(order)
        turn()
        turn()
        first, second = world.number(order), world.number(gone)
        assert set(world.entries()) == {
            f"SF-{first}", f"SF-{first}-R", f"SF-{first}-2", f"SF-{second}", f"SF-{second}-R",
        }  # fmt: skip
        assert len(world.customers()) == 1
        assert world.mark(order)[1] == f"Posted: SF-{first}-2"


def test_a_stream_that_was_down_for_longer_than_its_retention_is_bridged(world: TwoWays) -> None:
    account, other = world.linked_account("Northwind"), world.linked_account("Fabrikam")
    kept, gone, drafted = (world.order(account) for _ in range(3))
    world.work()
    for row in Cursor.objects.filter(connection=world.crm, name__startswith="stream"):
        four_days_ago = (clock.now() - dt.timedelta(days=4)).isoformat()
        polling.move_cursor(world.crm, row.name, {**row.state, "commit": four_days_ago})
    world.org.delete("Order", gone, force=True)
    world.org.deactivate(drafted)
    late = world.order(account)
    fresh = world.org.create("Account", Name="Contoso")
    world.org.edit("Account", other, Phone="555-0199")
    world.org.forget_events_before(clock.now())
    world.org.expire_replay_ids()
    world.org.pubsub.calls.clear()
    world.work()
    numbers = {order: f"SF-{world.number(order)}" for order in (kept, gone, drafted, late)}
    reversed_ = {f"{numbers[gone]}-R", f"{numbers[drafted]}-R"}
    assert set(world.entries()) == {*numbers.values(), *reversed_}
    assert world.org.record("Account", fresh)[CUSTOMER]
    customer = world.customers()[str(world.org.record("Account", other)[CUSTOMER])]
    assert customer["PrimaryPhone"]["FreeFormNumber"] == "555-0199"
    presets = [preset for rpc, preset, _ in world.org.pubsub.calls if rpc == "Subscribe"]
    assert sorted(presets[:6]) == ["CUSTOM"] * 3 + ["LATEST"] * 3
    writes = len(world.intuit.writes), len(world.org.writes)
    world.org.edit("Account", fresh, Description="so that there is something to hear")
    world.work()
    assert (len(world.intuit.writes), len(world.org.writes)) == writes


@pytest.mark.parametrize("slug", ["acme-books", "acme-slack", "acme-nobody"])
def test_listen_refuses_what_has_no_streams(world: TwoWays, slug: str) -> None:
    with pytest.raises(CommandError) as refusal:
        call_command("listen", slug)
    assert refusal.value.returncode == 2


def test_a_dead_stream_is_told_once_and_polled_often(world: TwoWays) -> None:
    world.tell_in_slack()
    Cursor.objects.filter(connection=world.crm).update(moved_at=clock.after(-3600))
    assert sweep._poll_every(world.crm) == sweep.POLL_OFTEN
    listening.tell_silence(world.crm)
    Cursor.objects.filter(connection=world.crm).exclude(name="silence").update(moved_at=clock.after(-3600))
    with time_machine.travel(clock.now() + dt.timedelta(minutes=3)):
        listening.tell_silence(world.crm)
        listening.tell_silence(world.crm)
    while world.step():
        pass
    (alert,) = world.texts
    assert "The change stream of acme-salesforce has been silent for too long; it is polled meanwhile." in alert
