"""Every sample of the vendor, posted to the service over HTTP."""

from __future__ import annotations

import re

import pytest

from connector.models import Connection, Cursor, InboxEvent
from tests.desktop import (
    ANSWERS,
    BEFORE_SAMPLES,
    FIXTURES,
    NO_CUSTOMER,
    NOTHING,
    PASSWORD,
    Desk,
    play,
    query_of,
    sample,
)


@pytest.fixture
def northwind(desk: Desk) -> Desk:
    """The company of the samples."""
    desk.authorize(desk.books, password="not-a-real-password")
    Connection.objects.filter(pk=desk.books.pk).update(
        slug="northwind", account="{7c2e1a63-8f1c-4a68-8b6f-1d6c7e8f9012}", created_at=BEFORE_SAMPLES
    )
    return desk


def soap_sample(desk: Desk, name: str, ticket: str) -> str:
    """The answer to a posted sample, with this session's ticket in it."""
    body = sample(f"soap/{name}.xml").replace("{9d2f6a10-3c55-4b1e-9c0a-5f1d2e3a4b5c}", ticket)
    status, answer = desk.post(body)
    assert status == 200
    return answer


def test_the_sample_session_as_posted(northwind: Desk) -> None:
    assert northwind.result(soap_sample(northwind, "01_serverVersion.request", "")) == "1.0"
    assert northwind.result(soap_sample(northwind, "02_clientVersion.request", "")) == ""
    found = soap_sample(northwind, "03_authenticate.request", "")
    ticket, word = re.findall(r"<tns:string>(.*?)</tns:string>", found)
    assert re.fullmatch(r"\{[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}\}", ticket)
    assert word == ""
    first = northwind.result(soap_sample(northwind, "04_sendRequestXML.request.first", ticket))
    assert "VendorQueryRq" in first
    # An answer to something else is taken for what it is, and the question asked again.
    page = soap_sample(northwind, "05_receiveResponseXML.request.bills_page1", ticket)
    assert 1 <= int(northwind.result(page)) < 100
    assert "VendorQueryRq" in northwind.result(soap_sample(northwind, "04_sendRequestXML.request.later", ticket))
    failed = soap_sample(northwind, "05_receiveResponseXML.request.hresult", ticket)
    assert 1 <= int(northwind.result(failed)) < 100
    assert northwind.result(soap_sample(northwind, "06_getLastError.request", ticket)) == "No error."
    assert northwind.result(soap_sample(northwind, "07_connectionError.request", ticket)) == "done"
    assert northwind.result(soap_sample(northwind, "06_getLastError.request", ticket)) == (
        "QuickBooks could not be started: start it and open the company file."
    )
    assert northwind.result(soap_sample(northwind, "08_closeConnection.request", ticket)).startswith("Finished, but")
    run = northwind.last_run
    assert (run.outcome, run.code, run.detail) == ("broken", "0x80040408", "Could not start QuickBooks.")
    assert run.client == "Web Connector 34.0.10008.96, QuickBooks Enterprise Solutions 24.0"
    northwind.work()
    assert [event.record_id for event in InboxEvent.objects.filter(record="bill")] == [
        "2F1A-1795097525",
        "2F21-1795099251",
    ]


def test_every_sample_answer_becomes_its_message(northwind: Desk) -> None:
    northwind.hurry()
    ticket, _ = northwind.strings("northwind", "not-a-real-password")
    company = sample("qbxml/responses/host_company_preferences.xml")
    asked, numbers = [], []
    waiting = {name: list(files) for name, files in ANSWERS.items()}
    while not numbers or 0 <= numbers[-1] < 100:
        request = northwind.send(ticket, company if not asked else "")
        name = query_of(request)
        asked.append(name)
        file = waiting[name].pop(0)
        answer = NO_CUSTOMER if file == "no_match.customer" else sample(f"qbxml/responses/{file}.xml")
        numbers.append(northwind.receive(ticket, answer))
    assert asked == [name for name, files in ANSWERS.items() for _ in files]
    assert numbers == sorted(numbers)
    assert numbers[-1] == 100
    northwind.work()
    assert northwind.types() == [
        "vendor.created", "vendor.updated", "bill.created", "bill.created", "bill.created", "purchase_order.created",
        "bill_payment.created", "bill_payment.created", "payment.created", "invoice.created", "bill.deleted",
        "vendor.deleted",
    ]  # fmt: skip
    assert northwind.texts == [
        "Vendor created: Umpqua Print &amp; Sign, balance $0.00",
        "Vendor updated: Cascade Paper Co., balance $1,380.70",
        "Bill CP-10442 created: Cascade Paper Co., $1,284.50, due Dec 18, 2026 (open)",
        "Bill 88213 created: Harbor Freight Lines LLC, $310.00, due Nov 29, 2026 (open)",
        "Bill CP-10431 created: Cascade Paper Co., $96.20, balance $0.00, due Dec 17, 2026 (paid)",
        "Purchase order PO-3107 created: Cascade Paper Co., $842.00, expected Dec 1, 2026 (open)",
        "Bill payment 5502 made: Cascade Paper Co., $96.20, for bill CP-10431, dated Nov 19, 2026",
        "Bill payment CC-77 made: Harbor Freight Lines LLC, $310.00, for bill 88213, dated Nov 19, 2026",
        "Payment 20441 received: Willamette Dental Group, $2,450.00, for invoice INV-2217, dated Nov 19, 2026",
        "Invoice INV-2230 created: Willamette Dental Group, $1,200.00, balance $1,200.00, due Dec 19, 2026 (open)",
        "Bill CP-10425 deleted",
        "Vendor deleted: Test Vendor (do not use)",
    ]
    assert northwind.call("closeConnection", ticket=ticket) == "OK"


@pytest.mark.parametrize(
    ("file", "query", "end"),
    [
        ("no_match", "Bill", "OK"),
        ("no_match.iterator", "PurchaseOrder", "OK"),
        ("status_3120_error", "Bill", "Finished, but not all was read. Bill: QuickBooks refuses it with status 3120"),
        ("status_500_warn", "Vendor", "OK"),
        ("two_requests_one_set", "Vendor", "OK"),
    ],
)
def test_every_status_of_the_samples_lets_the_cycle_go_on(northwind: Desk, file: str, query: str, end: str) -> None:
    ticket, _ = northwind.strings("northwind", "not-a-real-password")
    play(northwind, ticket, until=query)
    assert northwind.receive(ticket, sample(f"qbxml/responses/{file}.xml")) >= 1
    assert play(northwind, ticket)[-1] == 100
    assert northwind.call("closeConnection", ticket=ticket) == end
    cursors = set(Cursor.objects.filter(state__has_key="first").values_list("name", flat=True))
    assert (query in cursors) == (end == "OK")


def test_a_lost_iterator_begins_its_query_anew(northwind: Desk) -> None:
    ticket, _ = northwind.strings("northwind", "not-a-real-password")
    play(northwind, ticket, until="Bill")
    shown = northwind.receive(ticket, sample("qbxml/responses/BillQuery.page1.xml"))
    assert 'iterator="Continue" iteratorID="{1f4c3a52-77e0-4c0e-8a61-0b9d1c2e3f40}"' in northwind.send(ticket)
    assert northwind.receive(ticket, sample("qbxml/responses/status_3391_bad_iterator.xml")) == shown
    assert 'iterator="Start"' in northwind.send(ticket)
    northwind.receive(ticket, sample("qbxml/responses/BillQuery.page1.xml"))
    assert query_of(northwind.send(ticket)) == "Bill"
    northwind.receive(ticket, sample("qbxml/responses/BillQuery.page2.xml"))
    assert play(northwind, ticket)[-1] == 100
    northwind.work()
    assert len(northwind.texts) == 3


def test_the_description_is_the_canonical_one(desk: Desk) -> None:
    zeep = pytest.importorskip("zeep", reason="the independent SOAP client is not installed")
    client = zeep.Client(f"{desk.url}?wsdl")
    service = client.create_service("{http://developer.intuit.com/}QBWebConnectorSvcSoap", desk.url)
    reference = zeep.Client(str(FIXTURES / "soap" / "reference.wsdl"))
    for each in (client, reference):
        binding = each.wsdl.bindings["{http://developer.intuit.com/}QBWebConnectorSvcSoap"]
        assert sorted(
            (name, operation.soapaction, operation.input.signature(), operation.output.signature())
            for name, operation in binding.all().items()
        ) == sorted(
            (name, operation.soapaction, operation.input.signature(), operation.output.signature())
            for name, operation in reference.wsdl.bindings[binding.name.text].all().items()
        )
    assert service.serverVersion() == "1.0"
    ticket, word = service.authenticate("acme-desktop", PASSWORD)
    assert (bool(ticket), word) == (True, None)
    request = service.sendRequestXML(ticket, "", "", "US", 13, 0)
    assert service.receiveResponseXML(ticket, NOTHING.format(query_of(request)), "", "") == 10
    assert service.connectionError(ticket, "0x80040414", "busy") == "done"
    assert service.getLastError(ticket) == "A dialog is open in QuickBooks: close it."
    assert service.closeConnection(ticket) == "A dialog is open in QuickBooks: close it."
