"""What a cycle reads, and from when."""

from __future__ import annotations

import datetime as dt
import re

from connector.models import Connection, Run
from connector.pipeline import clock, runs
from tests.desktop import (
    ANSWERS,
    NOTHING,
    Desk,
    bill,
    query_of,
)


def test_nothing_before_the_connection_is_told_unless_asked_for(desk: Desk) -> None:
    desk.company.advance(days=-40)
    bill(desk.company, "B-1")
    desk.company.advance(days=40)
    later = bill(desk.company, "B-2")
    cycle = desk.cycle()
    assert [text.split()[1] for text in desk.texts] == ["B-2"]
    begun = Connection.objects.get(pk=desk.books.pk).created_at.astimezone(desk.company.zone)
    assert f"<FromModifiedDate>{begun:%Y-%m-%dT%H:%M:%S}</FromModifiedDate>" in cycle.requests[0]
    runs.start_from(desk.books, clock.now() - dt.timedelta(days=60))
    assert desk.cycle(stop_after=12).outcome == "interrupted"
    assert desk.cycle().outcome == "done"
    assert [text.split()[1] for text in desk.texts] == ["B-2", "B-1"]
    # Once: the cycle after it goes on from the newest change.
    newest = desk.company.stamp(desk.company.records[later].modified)[:19]
    after = (dt.datetime.fromisoformat(newest) - dt.timedelta(minutes=5)).isoformat()
    asked = [request for request in desk.cycle().requests if query_of(request) == "Bill"]
    found = re.search("<FromModifiedDate>(.*?)<", asked[0])
    assert found
    assert abs((dt.datetime.fromisoformat(found[1]) - dt.datetime.fromisoformat(after)).total_seconds()) <= 2


def test_a_change_is_told_with_what_changed(desk: Desk) -> None:
    record = bill(desk.company, "B-1")
    vendor = desk.company.add("Vendor", Name="Umpqua")
    desk.cycle()
    desk.company.change(record, AmountDue="120.00", OpenAmount="120.00")
    desk.company.change(vendor, IsActive="false")
    desk.cycle()
    assert desk.texts[2].startswith("Vendor made inactive: Umpqua")
    assert desk.texts[3].startswith("Bill B-1 updated: Cascade Paper Co., $120.00")
    assert "changed: amount $100.00 → $120.00, balance" in desk.texts[3].replace(";", ",")
    desk.company.void(record)
    desk.cycle()
    assert desk.texts[4].startswith("Bill B-1 voided: Cascade Paper Co., $0.00")


def test_customers_and_invoices_are_asked_for_when_a_route_wants_them(desk: Desk) -> None:
    route = desk.books.routes_from.get()
    route.events = ["bill.*"]
    route.save()
    cycle = desk.cycle()
    assert [query_of(request) for request in cycle.requests] == [name for name in ANSWERS if name not in (
        "Customer", "Invoice"
    )]  # fmt: skip
    assert "Invoice" not in cycle.requests[-2]
    desk.company.advance(minutes=-1)
    desk.company.add("Invoice", CustomerRef="Willamette", Subtotal="10.00", RefNumber="I-0")
    desk.company.advance(minutes=1)
    route.events = ["*.created"]
    route.save()
    desk.company.add("Invoice", CustomerRef="Willamette", Subtotal="10.00", RefNumber="I-1")
    assert [query_of(request) for request in desk.cycle().requests] == list(ANSWERS)
    # What came before anybody wanted it stays untold.
    assert [text.split()[1] for text in desk.texts] == ["I-1"]


def test_two_company_files_do_not_meet(desk: Desk) -> None:
    other = desk._connect("other-desktop", "quickbooks_desktop", "{0C5E8C7E-0000-4000-8000-000000000002}")
    desk.authorize(other, password="fake-other-password")
    mine, theirs = desk.ticket(), desk.strings("other-desktop", "fake-other-password")[0]
    assert desk.strings("other-desktop") == ["", "nvu"]
    desk.send(mine)
    desk.send(theirs)
    assert desk.receive(theirs, NOTHING.format("Vendor")) > 0
    assert desk.receive(mine, NOTHING.format("Vendor")) > 0
    assert set(Run.objects.filter(outcome="live").values_list("connection__slug", flat=True)) == {
        "acme-desktop",
        "other-desktop",
    }
