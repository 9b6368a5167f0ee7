"""Answers of every kind, and what is no call at all."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from connector.models import EventState, InboxEvent
from connector.pipeline import replay
from sources.quickbooks_desktop.standin import HResult
from tests.desktop import (
    ENVELOPE,
    NOTHING,
    Desk,
    bill,
    query_of,
)


def test_three_pages_are_read_with_a_true_percentage(desk: Desk) -> None:
    for number in range(120):
        bill(desk.company, f"B-{number}")
    cycle = desk.cycle()
    assert [query_of(request) for request in cycle.requests].count("Bill") == 3
    assert list(cycle.percents) == sorted(set(cycle.percents))
    assert InboxEvent.objects.filter(record="bill", state=EventState.ROUTED).count() == 120


def test_a_query_that_quickbooks_cannot_read_holds_up_no_other(desk: Desk) -> None:
    bill(desk.company, "B-1")
    desk.company.add("PurchaseOrder", VendorRef="Cascade Paper Co.", TotalAmount="842.00", RefNumber="PO-1")
    for _ in range(2):
        assert desk.cycle(fails={2: HResult("0x80040400"), 3: HResult("0x80040400")}).outcome == "done"
    said = [text for text in desk.texts if "0x80040400" in text]
    assert [text.partition(": ")[2].split()[1] for text in said] == ["Customer", "Bill"]
    assert desk.cycle().outcome == "done"
    assert [text.split()[0] for text in desk.texts if text not in said] == ["Purchase", "Bill"]


def test_a_truncated_answer_is_asked_for_last_in_the_next_cycle(desk: Desk) -> None:
    bill(desk.company, "B-1")
    desk.company.add("PurchaseOrder", VendorRef="Cascade Paper Co.", TotalAmount="842.00", RefNumber="PO-1")
    cycle = desk.cycle(mangle=lambda text: text[:-40] if "BillRet" in text else text)
    assert cycle.outcome == "error"
    assert cycle.text.startswith("The answer to the Bill query cannot be read")
    assert desk.last_run.code == "unreadable"
    again = desk.cycle(mangle=lambda text: text[:-40] if "BillRet" in text else text)
    assert [query_of(request) for request in again.requests][-1] == "Bill"
    assert len(desk.texts) == 1
    assert desk.cycle().outcome == "done"
    assert len(desk.texts) == 2


BOMB = '<?xml version="1.0"?><!DOCTYPE z [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><QBXML>&b;</QBXML>'


@pytest.mark.parametrize("answer", ["", "not XML", "<QBXML/>", "<a><b></a>", BOMB, "<QBXML>" * 300, "\ufffe"])
def test_an_answer_that_is_none_ends_the_cycle(desk: Desk, answer: str) -> None:
    ticket = desk.ticket()
    desk.send(ticket)
    assert desk.receive(ticket, answer) == -1
    assert desk.call("getLastError", ticket=ticket).startswith("The answer to the Vendor query cannot be read")
    assert desk.last_run.outcome == "broken"


def test_odd_characters_arrive(desk: Desk) -> None:
    name = "Café Übung Zoë £ €"
    desk.company.add("Vendor", Name=name)
    bill(desk.company, "B-1", Memo="x")
    desk.cycle(mangle=lambda text: text.replace("<Memo>x</Memo>", "<Memo>tab&#11;stop &#x1F; &amp;#1; end</Memo>"))
    assert desk.texts[0] == f"Vendor created: {name}, balance $0.00"
    assert InboxEvent.objects.filter(record="bill", state=EventState.ROUTED).count() == 1


def test_one_odd_record_is_shown_and_holds_up_no_other(desk: Desk) -> None:
    bill(desk.company, "B-1")
    bad = bill(desk.company, "B-2")
    desk.cycle(mangle=lambda text: text.replace(f"<TxnID>{bad}</TxnID>", "<TxnID></TxnID>"))
    assert [text.split()[1] for text in desk.texts] == ["B-1"]
    failed = InboxEvent.objects.get(state=EventState.FAILED)
    assert failed.reason == "TxnID is missing"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"  ",
        b"hello",
        b"<html/>",
        b"\xff\xfe<\x00a\x00/\x00>\x00",
        b'<?xml version="1.0" encoding="cp037"?><a/>',
        ENVELOPE.format(operation="authenticate", content="")[:-30].encode(),
        ENVELOPE.format(operation="dropTables", content="").encode(),
        b'<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"/>',
        b'<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body/></e:Envelope>',
        b'<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Header/></e:Envelope>',
        b'<!DOCTYPE e [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
        + ENVELOPE.partition("?>")[2].format(operation="getLastError", content="<ticket>&x;</ticket>").encode(),
        b'<?xml version="1.0"?><!DOCTYPE z [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><z>&b;</z>',
    ],
)
def test_what_is_no_call_gets_a_fault(desk: Desk, body: bytes) -> None:
    status, answer = desk.post(body)
    assert status == 500
    assert "<faultcode>soap:Client</faultcode>" in answer
    assert "<html" not in answer


def test_a_body_that_cannot_be_read_leaves_no_password_in_the_logs(
    desk: Desk, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    content = "<strUserName>acme-desktop</strUserName><strPassword>fake-hidden-word</strPassword>"
    whole = ENVELOPE.format(operation="authenticate", content=content)
    for body in (whole[:-10], whole.replace("<soap:Body>", "<soap:Body><x>"), whole.replace("authenticate", "auth")):
        assert desk.post(body)[0] == 500
    captured = capfd.readouterr()
    assert "fake-hidden-word" not in caplog.text + captured.out + captured.err


def test_a_large_answer_is_taken_and_a_larger_one_refused(desk: Desk) -> None:
    ticket = desk.ticket()
    desk.send(ticket)
    padding = f"<PreferencesQueryRs>{'x' * 1000}</PreferencesQueryRs>" * 20_000
    assert desk.receive(ticket, NOTHING.format("Vendor").replace("</QBXMLMsgsRs>", f"{padding}</QBXMLMsgsRs>")) == 10
    try:
        status, answer = desk.post(b"<a>" + b"x" * (33 * 1024 * 1024))
    except OSError:
        return  # the server closes the door on the rest of the body
    assert status == 413
    assert "<html" not in answer


def test_other_methods(desk: Desk, client: Any) -> None:
    path = "/soap/quickbooks-desktop/"
    assert client.get(path).headers["Content-Type"] == "text/xml; charset=utf-8"
    assert client.put(path, b"x").status_code == 405
    assert client.get("/support/quickbooks-desktop/").status_code == 200
    assert b"Wrong password" in client.get("/support/quickbooks-desktop/").content


def test_a_record_that_cannot_be_mapped_is_kept_for_a_replay(desk: Desk) -> None:
    bill(desk.company, "B-1")
    desk.cycle(mangle=lambda text: text.replace("<AmountDue>100.00<", "<AmountDue>a lot<"))
    for _ in range(2):
        failed = InboxEvent.objects.get()
        assert (failed.state, failed.reason) == ("failed", "the record cannot be read: AmountDue is not an amount")
        found = replay.replay(replay.Selection(connection="acme-desktop"), actor="test")
        assert (found.matched, found.released) == (1, 1)
        desk.work()
