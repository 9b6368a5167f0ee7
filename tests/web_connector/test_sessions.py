"""The ways in which a session with the Web Connector goes."""

from __future__ import annotations

import datetime as dt
import logging
import re
from typing import Any

import pytest

from connector.models import Connection, Run
from connector.pipeline import clock
from sources.quickbooks_desktop.standin import Company, HResult
from tests.desktop import (
    NOTHING,
    PASSWORD,
    Desk,
    bill,
    play,
)


def test_new_records_are_told_from_vendors_to_deletions(desk: Desk) -> None:
    assert desk.cycle().outcome == "done"
    vendor = desk.company.add("Vendor", Name="Umpqua Print & Sign")
    order = desk.company.add("PurchaseOrder", VendorRef=vendor, TotalAmount="842.00", RefNumber="PO-1")
    owed = bill(desk.company, "B-1")
    desk.company.add(
        "BillPaymentCheck",
        PayeeEntityRef="Cascade Paper Co.",
        Amount="40.00",
        RefNumber="5502",
        AppliedToTxnRet={"TxnID": owed, "Amount": "40.00"},
    )
    cycle = desk.cycle()
    assert (cycle.outcome, cycle.percents[-1]) == ("done", 100)
    assert desk.texts[0] == "Vendor created: Umpqua Print &amp; Sign, balance $0.00"
    assert re.fullmatch(
        r"Bill B-1 created: Cascade Paper Co\., \$100\.00, balance \$60\.00, dated .* \(partly paid\)", desk.texts[1]
    )
    assert desk.texts[2].startswith("Purchase order PO-1 created: Umpqua Print &amp; Sign, $842.00")
    assert desk.texts[3].startswith("Bill payment 5502 made: Cascade Paper Co., $40.00, for bill B-1")
    # The next cycle reads its last minutes again, and none of it is told twice.
    assert desk.cycle().outcome == "done"
    assert len(desk.texts) == 4
    desk.company.change(order, Memo="Rush")
    desk.company.delete(owed)
    desk.cycle()
    assert desk.texts[4].startswith("Purchase order PO-1 updated")
    assert desk.texts[5].startswith("Bill B-1 deleted: Cascade Paper Co., $100.00")
    assert len(desk.texts) == 6


def test_a_wrong_password_is_refused_and_remembered(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    cycle = desk.cycle(password="fake-wrong-password")
    assert (cycle.outcome, cycle.calls) == (
        "nvu",
        ("serverVersion", "clientVersion", "authenticate", "closeConnection"),
    )
    assert desk.strings("nobody", PASSWORD) == ["", "nvu"]
    assert desk.strings("acme-slack", PASSWORD) == ["", "nvu"]
    assert desk.strings("acme-desktop", "") == ["", "nvu"]
    assert Run.objects.get().outcome == "refused"
    assert "fake-wrong-password" not in caplog.text
    assert PASSWORD not in caplog.text


def test_guessing_shuts_the_door_for_this_name_and_address(desk: Desk) -> None:
    for _ in range(10):
        assert desk.strings("throttled", "guess") == ["", "nvu"]
    books = desk._connect("throttled", "quickbooks_desktop", "{0C5E8C7E-0000-4000-8000-000000000002}")
    desk.authorize(books, password=PASSWORD)
    assert desk.strings("throttled") == ["", "nvu"]
    assert desk.strings()[1] == ""


def test_quickbooks_that_cannot_be_opened_ends_the_cycle_visibly(desk: Desk) -> None:
    bill(desk.company, "B-1")
    cycle = desk.cycle(problem=HResult("0x80040416"))
    assert (cycle.outcome, cycle.calls[-1]) == ("connection", "connectionError")
    run = desk.last_run
    assert (run.outcome, run.code) == ("broken", "0x80040416")
    desk.books.refresh_from_db()
    assert desk.books.state == "unreachable"
    # The next call is let in at once, and nothing was lost.
    assert desk.web_connector.run_cycle().outcome == "done"
    desk.work()
    assert len(desk.texts) == 1
    desk.books.refresh_from_db()
    assert desk.books.state == "ok"


@pytest.mark.parametrize("calls", range(4, 20))
def test_an_interruption_anywhere_loses_and_doubles_nothing(desk: Desk, calls: int) -> None:
    numbers = [f"B-{number}" for number in range(3)]
    for number in numbers:
        bill(desk.company, number)
    assert desk.cycle(stop_after=calls).outcome == "interrupted"
    assert desk.cycle().outcome == "done"
    assert sorted(text.split()[1] for text in desk.texts) == numbers


@pytest.mark.parametrize("fault", [{"lose_response": 2}, {"resend": 2}, {"close": False}])
def test_lost_and_repeated_answers_change_nothing_twice(desk: Desk, fault: dict[str, Any]) -> None:
    bill(desk.company, "B-1")
    cycle = desk.cycle(**fault)
    assert cycle.outcome == ("lost" if "lose_response" in fault else "done")
    desk.cycle()
    assert [text.split()[1] for text in desk.texts] == ["B-1"]


def test_an_answer_delivered_late_gets_its_number_again(desk: Desk) -> None:
    ticket = desk.ticket()
    desk.send(ticket)
    first = NOTHING.format("Vendor")
    number = desk.receive(ticket, first)
    assert desk.receive(ticket, first) == number
    desk.send(ticket)
    step = desk.last_run.step
    assert desk.receive(ticket, first) == number
    assert desk.last_run.step == step
    assert desk.receive(ticket, NOTHING.format("Customer")) > number


def test_calls_out_of_order_are_answered_with_a_reason(desk: Desk) -> None:
    cycle = desk.cycle(receive_first=True)
    assert cycle.outcome == "error"
    assert cycle.text == "An answer came although nothing was asked: the next update begins anew."
    stale = desk.cycle(ticket="{00000000-0000-0000-0000-000000000000}")
    assert stale.outcome == "error"
    assert stale.text == "This session is over or unknown: the next update begins a new one."
    ticket = desk.ticket()
    assert desk.receive(ticket, "") == -1
    for unknown in ("", "{nonsense}"):
        assert desk.send(unknown) == ""
        assert desk.receive(unknown, NOTHING.format("Vendor")) == -1
        assert desk.call("closeConnection", ticket=unknown) == "OK"


def test_a_new_session_takes_the_place_of_the_old(desk: Desk) -> None:
    old = desk.ticket()
    desk.send(old)
    new = desk.ticket()
    assert desk.receive(old, NOTHING.format("Vendor")) == -1
    assert desk.send(old) == ""
    assert play(desk, new)[-1] == 100
    assert sorted(Run.objects.values_list("outcome", flat=True)) == ["done", "replaced"]


def test_an_idle_ticket_expires(desk: Desk) -> None:
    ticket = desk.ticket()
    Run.objects.update(seen_at=clock.now() - dt.timedelta(minutes=31))
    assert desk.send(ticket) == ""
    assert desk.last_run.outcome == "expired"
    assert ticket not in str(list(Run.objects.values()))


def test_a_call_before_its_time_has_nothing_to_do(desk: Desk) -> None:
    assert desk.cycle().outcome == "done"
    assert desk.web_connector.run_cycle().outcome == "none"
    started = {"started_at": clock.now() - dt.timedelta(minutes=5) + dt.timedelta(seconds=14)}
    Run.objects.filter(outcome="done").update(**started)
    assert desk.web_connector.run_cycle().outcome == "done"
    assert desk.web_connector.run_cycle().outcome == "none"
    Connection.objects.filter(pk=desk.books.pk).update(is_active=False)
    desk.hurry()
    assert desk.web_connector.run_cycle().outcome == "none"


def test_the_company_file_is_named_and_its_mark_checked(desk: Desk) -> None:
    desk.set(company_file="C:\\Files\\Acme.qbw")
    assert desk.strings()[1] == "C:\\Files\\Acme.qbw"
    desk.set(company_file="")
    other = Company("Another", file_id="{11111111-2222-4333-8444-555555555555}")
    cycle = desk.cycle(company=other)
    assert cycle.outcome == "error"
    assert cycle.text.startswith("A wrong company file is open")
    desk.books.refresh_from_db()
    assert desk.books.state == "misconfigured"
    assert desk.cycle().outcome == "done"
    desk.books.refresh_from_db()
    assert desk.books.state == "ok"


def test_an_old_quickbooks_is_told_so(desk: Desk) -> None:
    ticket = desk.ticket()
    asked = {"strHCPResponse": "", "strCompanyFileName": "", "qbXMLCountry": "US", "qbXMLMinorVers": "0"}
    assert desk.call("sendRequestXML", ticket=ticket, qbXMLMajorVers="7", **asked) == ""
    assert desk.call("getLastError", ticket=ticket).startswith("This QuickBooks is too old")
    ticket = desk.ticket()
    assert '<?qbxml version="8.0"?>' in desk.call("sendRequestXML", ticket=ticket, qbXMLMajorVers="8", **asked)
