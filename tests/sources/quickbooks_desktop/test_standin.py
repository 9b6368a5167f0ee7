"""The stand-in of QuickBooks and its Web Connector, held against the samples of their traffic."""

from __future__ import annotations

import datetime as dt
import re
import threading
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from connector.kernel.standin import Answer, Call, StandIn
from sources.quickbooks_desktop import standin_soap as soap
from sources.quickbooks_desktop.standin import OWNER_ID, Company, Faults, HResult, QuickBooks, WebConnector
from sources.quickbooks_desktop.standin_company import Deletion
from sources.quickbooks_desktop.standin_qwc import QwcError, read_qwc

FIXTURES = Path(__file__).parent / "fixtures"
REQUESTS = sorted((FIXTURES / "qbxml/requests").glob("*.xml"))
FILE_ID = "{7c2e1a63-8f1c-4a68-8b6f-1d6c7e8f9012}"
NOW = dt.datetime(2026, 11, 19, 16, 30, tzinfo=dt.UTC)
_HEAD = '<?xml version="1.0" encoding="utf-8"?>\n<?qbxml version="13.0"?>\n'


def sample(path: str) -> str:
    return (FIXTURES / path).read_bytes().decode()


def document(query: str, *, version: str = "13.0", on_error: str = "continueOnError") -> str:
    head = _HEAD.replace("13.0", version)
    return f'{head}<QBXML><QBXMLMsgsRq onError="{on_error}">{query}</QBXMLMsgsRq></QBXML>'


def northwind() -> Company:
    company = Company("Northwind Test Supply")
    company.extensions = {
        (OWNER_ID, "AppLock"): "LOCKED:FRONT-DESK:639147420000000000",
        (OWNER_ID, "FileID"): FILE_ID,
    }
    company.set_clock(NOW)
    return company


@pytest.fixture
def company() -> Company:
    return northwind()


@pytest.fixture
def quickbooks(company: Company) -> QuickBooks:
    return QuickBooks(company)


def fields_of(element: etree._Element) -> dict[str, Any]:
    """A response's record as `Company.restore` takes it."""
    fields: dict[str, Any] = {}
    for child in element:
        value = fields_of(child) if len(child) else child.text or ""
        if child.tag not in fields:
            fields[child.tag] = value
        elif isinstance(fields[child.tag], list):
            fields[child.tag].append(value)
        else:
            fields[child.tag] = [fields[child.tag], value]
    return fields


def restore(company: Company, *names: str) -> list[str]:
    """Puts the records of sample responses into the file; the iterator IDs that these show."""
    iterators = []
    for name in names:
        answer = etree.fromstring(sample(f"qbxml/responses/{name}").encode())[0][0]
        iterators.append(answer.get("iteratorID", ""))
        for row in answer:
            fields = fields_of(row)
            kind = str(row.tag).removesuffix("Ret")
            if kind in ("TxnDeleted", "ListDeleted"):
                created, deleted = (
                    dt.datetime.fromisoformat(fields[each]).astimezone(dt.UTC)
                    for each in ("TimeCreated", "TimeDeleted")
                )
                name_ = fields.get("RefNumber") or fields["FullName"]
                prefix = kind.removesuffix("Deleted")
                known = (fields[f"{prefix}DelType"], fields[f"{prefix}ID"])
                company.deletions.append(Deletion(*known, created, deleted, name_))
            else:
                company.restore(kind, fields)
    return iterators


def ask(quickbooks: QuickBooks, query: str, **more: str) -> etree._Element:
    """The one answer to one query."""
    return etree.fromstring(quickbooks.process(document(query, **more)).encode())[0][0]


def ids(answer: etree._Element) -> list[str]:
    return [row[0].text or "" for row in answer]


def status(answer: etree._Element) -> tuple[str | None, str | None]:
    return answer.get("statusCode"), answer.get("statusSeverity")


# --- what QuickBooks accepts -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", REQUESTS, ids=lambda path: path.stem)
def test_accepts_every_sample_request(quickbooks: QuickBooks, path: Path) -> None:
    answer = etree.fromstring(quickbooks.process(path.read_bytes().decode()).encode())
    expected = {"BillQuery.continue": ["3391"], "two_requests_one_set": ["1", "1"]}.get(path.stem, ["1"])
    assert [each.get("statusCode") for each in answer[0]] == expected


@given(st.data())
@settings(deadline=None)
def test_refuses_children_out_of_order(data: st.DataObject) -> None:
    path = data.draw(st.sampled_from([path for path in REQUESTS if path.stem != "two_requests_one_set"]))
    root = etree.fromstring(path.read_bytes())
    group = data.draw(st.sampled_from([each for each in root[0][0].iter() if len({child.tag for child in each}) > 1]))
    order = [child.tag for child in group]
    shuffled = data.draw(st.permutations(list(group)))
    group[:] = shuffled
    text = _HEAD + etree.tostring(root, encoding="unicode")
    quickbooks = QuickBooks(northwind())
    if [child.tag for child in shuffled] == order:
        quickbooks.process(text)
        return
    with pytest.raises(HResult) as refused:
        quickbooks.process(text)
    assert (refused.value.code, len(quickbooks.violations)) == ("0x80040400", 1)


_BILLS = "<BillQueryRq>{0}</BillQueryRq>"
_DELETED = "<TxnDeletedQueryRq{0}><TxnDelType>Bill</TxnDelType></TxnDeletedQueryRq>"


@pytest.mark.parametrize(
    "text",
    [
        " " + document(_BILLS),
        document(_BILLS).partition("?>")[2],
        document(_BILLS).replace('<?qbxml version="13.0"?>', ""),
        document(_BILLS, version="17.0"),
        document(_BILLS, version="CA3.0"),
        document(_BILLS, on_error="goOn"),
        document(_BILLS).replace(' onError="continueOnError"', ""),
        document(_BILLS).replace("<QBXML>", "<!DOCTYPE QBXML><QBXML>"),
        document(_BILLS)[:-3],
        document(""),
        document(_BILLS + "text"),
        document("<BillQueryRq><Whatever>1</Whatever></BillQueryRq>"),
        document('<BillQueryRq iterator="Start" />'),
        document('<BillQueryRq iterator="Continue"><MaxReturned>5</MaxReturned></BillQueryRq>'),
        document('<BillQueryRq iterator="start"><MaxReturned>5</MaxReturned></BillQueryRq>'),
        document("<BillQueryRq><MaxReturned>0</MaxReturned></BillQueryRq>"),
        document("<VendorQueryRq><ActiveStatus>Both</ActiveStatus></VendorQueryRq>"),
        document("<VendorQueryRq><ModifiedDateRangeFilter /></VendorQueryRq>"),
        document("<VendorQueryRq><ListID>1</ListID><MaxReturned>5</MaxReturned></VendorQueryRq>"),
        document("<BillPaymentCheckQueryRq><IncludeLinkedTxns>true</IncludeLinkedTxns></BillPaymentCheckQueryRq>"),
        document("<PurchaseOrderQueryRq><PaidStatus>All</PaidStatus></PurchaseOrderQueryRq>"),
        document(_DELETED.format(' iterator="Start"')),
        document("<TxnDeletedQueryRq><DeletedDateRangeFilter /></TxnDeletedQueryRq>"),
        document("<TxnDeletedQueryRq><TxnDelType>Vendor</TxnDelType></TxnDeletedQueryRq>"),
        document("<VendorAddRq><VendorAdd><Name>Sneaky</Name></VendorAdd></VendorAddRq>"),
        document("<TxnDelRq><TxnDelType>Bill</TxnDelType><TxnID>1-1</TxnID></TxnDelRq>"),
    ],
)
def test_refuses_the_whole_document(quickbooks: QuickBooks, text: str) -> None:
    with pytest.raises(HResult) as refused:
        quickbooks.process(text.replace("{0}", ""))
    assert refused.value.code == "0x80040400"
    assert refused.value.message == "QuickBooks found an error when parsing the provided XML text stream."


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("<VendorQueryRq><FromModifiedDate>2026-11-19T06:00:00.250</FromModifiedDate></VendorQueryRq>", "3020"),
        ("<VendorQueryRq><FromModifiedDate>2026-11-31T06:00:00</FromModifiedDate></VendorQueryRq>", "3020"),
        ("<VendorQueryRq><FromModifiedDate>2026-11-19T06:00:00Z</FromModifiedDate></VendorQueryRq>", "3020"),
        ("<BillQueryRq><IncludeLineItems>yes</IncludeLineItems></BillQueryRq>", "3010"),
        (f'<BillQueryRq requestID="{"x" * 51}" />', "1060"),
        ("<BillQueryRq><TxnID>FFFF-1</TxnID></BillQueryRq>", "3120"),
        ("<BillQueryRq><EntityFilter><ListIDWithChildren>1</ListIDWithChildren></EntityFilter></BillQueryRq>", "1030"),
    ],
)
def test_refuses_one_query_alone(quickbooks: QuickBooks, query: str, expected: str) -> None:
    answer = etree.fromstring(quickbooks.process(document(query + "<InvoiceQueryRq />")).encode())[0]
    assert [status(each) for each in answer] == [(expected, "Error"), ("1", "Info")]
    stopped = etree.fromstring(quickbooks.process(document(query + "<InvoiceQueryRq />", on_error="stopOnError")))[0]
    assert [each.get("statusCode") for each in stopped] == [expected]


# --- what QuickBooks answers -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "responses"),
    [
        ("VendorQuery.xml", ["VendorQuery.new_and_modified.xml"]),
        ("PurchaseOrderQuery.xml", ["PurchaseOrderQuery.xml"]),
        ("BillPaymentCheckQuery.xml", ["BillPaymentCheckQuery.xml"]),
        ("BillPaymentCreditCardQuery.xml", ["BillPaymentCreditCardQuery.xml"]),
        ("ReceivePaymentQuery.xml", ["ReceivePaymentQuery.xml"]),
        ("InvoiceQuery.xml", ["InvoiceQuery.xml"]),
        ("TxnDeletedQuery.xml", ["TxnDeletedQuery.xml"]),
        ("ListDeletedQuery.xml", ["ListDeletedQuery.xml"]),
        ("BillQuery.start.xml", ["BillQuery.page1.xml", "BillQuery.page2.xml"]),
        ("PurchaseOrderQuery.xml", ["no_match.iterator.xml"]),
    ],
)
def test_answers_are_the_samples_to_the_byte(
    quickbooks: QuickBooks, company: Company, request_: str, responses: list[str]
) -> None:
    [key, *_] = restore(company, *responses)
    quickbooks.new_guid = lambda: key
    assert quickbooks.process(sample(f"qbxml/requests/{request_}")) == sample(f"qbxml/responses/{responses[0]}")
    if responses[1:]:
        assert quickbooks.process(sample("qbxml/requests/BillQuery.continue.xml")) == sample(
            f"qbxml/responses/{responses[1]}"
        )


def test_answers_without_an_iterator_are_the_samples(quickbooks: QuickBooks, company: Company) -> None:
    assert quickbooks.process(document('<BillQueryRq requestID="bill-1" />')) == sample("qbxml/responses/no_match.xml")
    gone = '<BillQueryRq requestID="bill-1"><TxnID>FFFF-1795046400</TxnID></BillQueryRq>'
    assert quickbooks.process(document(gone)) == sample("qbxml/responses/status_3120_error.xml")
    nobody = '<VendorQueryRq requestID="vendor-1"><FullName>Nobody Inc.</FullName></VendorQueryRq>'
    assert quickbooks.process(document(nobody)) == sample("qbxml/responses/status_500_warn.xml")
    strange = quickbooks.process(sample("qbxml/requests/BillQuery.continue.xml"))
    assert strange == sample("qbxml/responses/status_3391_bad_iterator.xml")
    restore(company, "TxnDeletedQuery.xml")
    both = quickbooks.process(sample("qbxml/requests/two_requests_one_set.xml"))
    assert both == sample("qbxml/responses/two_requests_one_set.xml")


def _page(kind: str, most: int = 2, *, key: str = "", filters: str = "") -> str:
    attributes = f'iterator="Continue" iteratorID="{key}"' if key else 'iterator="Start"'
    return f"<{kind}QueryRq {attributes}><MaxReturned>{most}</MaxReturned>{filters}</{kind}QueryRq>"


def test_iterator_counts_down_over_what_was_there_at_its_start(quickbooks: QuickBooks, company: Company) -> None:
    bills = [company.add("Bill", VendorRef="Cascade Paper Co.", AmountDue=Decimal(n)) for n in range(1, 6)]
    first = ask(quickbooks, _page("Bill"))
    key = first.get("iteratorID") or ""
    company.add("Bill", VendorRef="Cascade Paper Co.", AmountDue="6.00")
    company.delete(bills[2])
    second = ask(quickbooks, _page("Bill", key=key))
    last = ask(quickbooks, _page("Bill", 5, key=key))
    pages = [(each.get("iteratorRemainingCount"), ids(each)) for each in (first, second, last)]
    assert pages == [("3", bills[:2]), ("1", [bills[3]]), ("0", [bills[4]])]
    assert status(ask(quickbooks, _page("Bill", key=key))) == ("3391", "Error")


def test_iterator_belongs_to_its_filters_and_its_session(quickbooks: QuickBooks, company: Company) -> None:
    for number in range(4):
        company.add("Vendor", Name=f"Vendor {number}")
    everyone = "<ActiveStatus>All</ActiveStatus>"
    key = ask(quickbooks, _page("Vendor", 1, filters=everyone)).get("iteratorID") or ""
    assert status(ask(quickbooks, _page("Vendor", 1, key=key))) == ("3391", "Error")
    assert status(ask(quickbooks, _page("Customer", 1, key=key, filters=everyone))) == ("3391", "Error")
    assert status(ask(quickbooks, _page("Vendor", 1, key=key, filters=everyone))) == ("0", "Info")
    quickbooks.begin()
    assert status(ask(quickbooks, _page("Vendor", 1, key=key, filters=everyone))) == ("3391", "Error")


def test_filters(quickbooks: QuickBooks, company: Company) -> None:
    first = company.add("Vendor", Name="Cascade Paper Co.")
    company.advance(minutes=10)
    second = company.add("Vendor", Name="Harbor Freight Lines LLC")
    company.change(second, IsActive="false")

    def found(filters: str) -> list[str]:
        return ids(ask(quickbooks, f"<VendorQueryRq>{filters}</VendorQueryRq>"))

    assert found("") == [first]
    assert found("<ActiveStatus>InactiveOnly</ActiveStatus>") == [second]
    assert found("<ActiveStatus>All</ActiveStatus>") == [first, second]
    assert found("<MaxReturned>1</MaxReturned><ActiveStatus>All</ActiveStatus>") == [first]
    everyone = "<ActiveStatus>All</ActiveStatus>"
    assert found(f"{everyone}<FromModifiedDate>2026-11-19T08:40:00</FromModifiedDate>") == [second]
    assert found(f"{everyone}<FromModifiedDate>2026-11-19T08:40:01</FromModifiedDate>") == []
    assert found(f"{everyone}<ToModifiedDate>2026-11-19T08:30:00</ToModifiedDate>") == [first]
    assert found(f"{everyone}<FromModifiedDate>2026-11-19T17:40:00+01:00</FromModifiedDate>") == [second]
    assert found("<FullName>Harbor Freight Lines LLC</FullName>") == [second]


def test_lines_links_and_currencies_come_on_request(quickbooks: QuickBooks, company: Company) -> None:
    line = {"AccountRef": "Office Supplies", "Amount": "96.20"}
    bill = company.add(
        "Bill", VendorRef="Cascade Paper Co.", AmountDue="96.20", CurrencyRef="Euro", ExpenseLineRet=line
    )
    company.add(
        "BillPaymentCheck",
        PayeeEntityRef="Cascade Paper Co.",
        Amount="96.20",
        AppliedToTxnRet=[{"TxnID": bill, "Amount": "96.20"}],
    )

    def tags(query: str, **more: str) -> set[str]:
        return {str(child.tag) for child in ask(quickbooks, query, **more)[0]}

    lines, links = "<IncludeLineItems>true</IncludeLineItems>", "<IncludeLinkedTxns>1</IncludeLinkedTxns>"
    plain = tags("<BillQueryRq />")
    assert tags(_BILLS.format(lines + links)) - plain == {"ExpenseLineRet", "LinkedTxn"}
    assert plain - tags("<BillQueryRq />", version="7.0") == {"CurrencyRef"}
    assert tags("<BillQueryRq><IncludeRetElement>TxnID</IncludeRetElement></BillQueryRq>") == {"TxnID"}
    payments = "<BillPaymentCheckQueryRq>{0}</BillPaymentCheckQueryRq>"
    assert tags(payments.format(lines)) - tags(payments.format("")) == {"AppliedToTxnRet"}
    counted = ask(quickbooks, '<BillQueryRq metaData="MetaDataAndResponseData" />')
    assert counted.get("retCount") == "1"


def test_deletions_are_remembered_for_90_days(quickbooks: QuickBooks, company: Company) -> None:
    bill = company.add("Bill", VendorRef="Cascade Paper Co.", AmountDue="1.00", RefNumber="CP-1")
    company.advance(minutes=1)
    company.delete(bill)
    company.advance(days=90)
    assert ids(ask(quickbooks, _DELETED.format(""))) == ["Bill"]
    company.advance(seconds=1)
    assert status(ask(quickbooks, _DELETED.format(""))) == ("1", "Info")


def test_scripted_refusals(quickbooks: QuickBooks) -> None:
    quickbooks.refusals["PurchaseOrderQueryRq"] = (3250, "This feature is not enabled.")
    both = etree.fromstring(quickbooks.process(document("<PurchaseOrderQueryRq /><BillQueryRq />")))[0]
    assert [status(each) for each in both] == [("3250", "Error"), ("1", "Info")]
    assert quickbooks.violations == []


# --- the company file ------------------------------------------------------------------------------------------------


def test_times_show_the_wall_clock_under_the_winter_offset() -> None:
    company = Company("Summer", zone="America/New_York")
    company.set_clock(dt.datetime.fromtimestamp(1405768916, dt.UTC))
    vendor = company.add("Vendor", Name="Zoë Núñez — 数")
    row = QuickBooks(company).process(document("<VendorQueryRq />"))
    times = "<TimeCreated>2014-07-19T07:21:56-05:00</TimeCreated>\n<TimeModified>2014-07-19T07:21:56-05:00<"
    assert times in row
    assert "<EditSequence>1405768916</EditSequence>\n<Name>Zo&#235; N&#250;&#241;ez &#8212; ?</Name>" in row
    assert vendor.endswith("-1405768916")


def test_paying_voiding_and_deleting(company: Company) -> None:
    vendor = company.add("Vendor", Name="Cascade Paper Co.")
    lines = [{"AccountRef": "Office Supplies", "Amount": Decimal("40")}]
    bill = company.add("Bill", VendorRef=vendor, AmountDue="40.00", RefNumber="CP-2", ExpenseLineRet=lines)
    fields = company.records[bill].fields
    assert fields["VendorRef"] == {"ListID": vendor, "FullName": "Cascade Paper Co."}
    company.advance(hours=1)
    payment = company.add(
        "BillPaymentCreditCard",
        PayeeEntityRef=vendor,
        Amount="15.00",
        AppliedToTxnRet=[{"TxnID": bill, "Amount": "15.00"}],
    )
    applied = company.records[payment].fields["AppliedToTxnRet"][0]
    assert (applied["TxnType"], applied["RefNumber"], applied["BalanceRemaining"]) == ("Bill", "CP-2", "25.00")
    record = company.records[bill]
    assert (record.fields["OpenAmount"], record.fields["IsPaid"], record.modified) == ("25.00", "false", company.now())
    assert record.fields["LinkedTxn"][0]["Amount"] == "-15.00"
    before = record.sequence
    company.delete(payment)
    assert (record.fields["OpenAmount"], record.fields["LinkedTxn"], record.sequence) == ("40.00", [], before + 1)
    company.void(bill)
    assert [record.fields[name] for name in ("AmountDue", "OpenAmount", "Memo")] == ["0.00", "0.00", "VOID:"]
    assert record.fields["ExpenseLineRet"][0]["Amount"] == "0.00"
    with pytest.raises(KeyError, match="Vendor has no FullName"):
        company.add("Vendor", Name="Flat", FullName="Flat")


# --- the Web Connector against canned answers ------------------------------------------------------------------------

TICKET = "{9d2f6a10-3c55-4b1e-9c0a-5f1d2e3a4b5c}"
_USUAL = {
    "serverVersion": ["01_serverVersion.response.xml"],
    "clientVersion": ["02_clientVersion.response.xml"],
    "authenticate": ["03_authenticate.response.work.xml"],
    "sendRequestXML": ["04_sendRequestXML.response.bill_query.xml"],
    "receiveResponseXML": ["05_receiveResponseXML.response.more.xml", "05_receiveResponseXML.response.done.xml"],
    "getLastError": ["06_getLastError.response.xml"],
    "connectionError": ["07_connectionError.response.xml"],
    "closeConnection": ["08_closeConnection.response.xml"],
}
_OPENING = ("serverVersion", "clientVersion", "authenticate")
_ROUND = ("sendRequestXML", "receiveResponseXML")


class Canned(StandIn):
    """A service that answers each operation with samples in turn; the last one is repeated."""

    def __init__(self) -> None:
        super().__init__()
        self.script = {name: list(files) for name, files in _USUAL.items()}
        self.answers: dict[str, Answer] = {}

    def handle(self, call: Call) -> Answer:
        self.calls.append(call)
        operation = call.headers["soapaction"].strip('"').removeprefix(soap.NAMESPACE)
        if operation in self.answers:
            return self.answers[operation]
        files = self.script[operation]
        body = (FIXTURES / "soap" / (files.pop(0) if files[1:] else files[0])).read_bytes()
        return Answer(200, body, content_type="text/xml; charset=utf-8")


@pytest.fixture
def service() -> Iterator[Canned]:
    with Canned() as canned:
        yield canned


@pytest.fixture
def connector(service: Canned, company: Company) -> WebConnector:
    [key] = restore(company, "BillQuery.page1.xml")
    company.add("Bill", VendorRef="Cascade Paper Co.", AmountDue="1.00")
    company.set_clock(dt.datetime(2026, 11, 19, 16, 0, tzinfo=dt.UTC))
    found = WebConnector(f"{service.url}/soap/", "northwind", "not-a-real-password", company, file_id=FILE_ID)
    for record in company.records.values():
        record.modified = record.created if record.created < NOW else NOW
    found.quickbooks.new_guid = lambda: key
    return found


def canonical(body: bytes) -> bytes:
    return etree.tostring(etree.fromstring(body), method="c14n")


def test_a_cycle_sends_the_sample_requests(service: Canned, connector: WebConnector) -> None:
    cycle = connector.run_cycle()
    assert cycle.calls == (*_OPENING, *_ROUND, *_ROUND, "closeConnection")
    assert (cycle.outcome, cycle.text, cycle.percents, cycle.ticket) == ("done", "OK", (25, 100), TICKET)
    assert cycle.requests == (sample("qbxml/requests/BillQuery.start.xml").strip(),) * 2
    expected = [
        "01_serverVersion.request.xml",
        "02_clientVersion.request.xml",
        "03_authenticate.request.xml",
        "04_sendRequestXML.request.first.xml",
        "05_receiveResponseXML.request.bills_page1.xml",
        "04_sendRequestXML.request.later.xml",
        "05_receiveResponseXML.request.bills_page1.xml",
        "08_closeConnection.request.xml",
    ]
    assert [canonical(call.body) for call in service.calls] == [
        canonical(sample(f"soap/{name}").encode()) for name in expected
    ]
    assert connector.violations == []


def test_a_call_has_the_headers_of_the_sample(service: Canned, connector: WebConnector) -> None:
    connector.run_cycle()
    lines = [line.partition(": ") for line in sample("soap/HEADERS.txt").partition("\n\n")[0].splitlines()[1:]]
    expected = {name.lower(): value.replace("<operation>", "authenticate") for name, _, value in lines}
    del expected["expect"], expected["connection"]
    headers = service.calls[2].headers
    assert {name: headers[name] for name in expected} == expected
    assert set(headers) == {*expected, "host", "content-length", "connection"}


_HRESULT = HResult("0x80040408")
_PARSE = HResult("0x80040400")
_CLOSED = ("sendRequestXML", "receiveResponseXML", "closeConnection")


@pytest.mark.parametrize(
    ("script", "faults", "calls", "outcome"),
    [
        ({"authenticate": "03_authenticate.response.none.xml"}, {}, ("closeConnection",), "none"),
        (
            {"authenticate": "03_authenticate.response.nvu.xml"},
            {"password": "fake-wrong"},
            ("closeConnection",),
            "nvu",
        ),
        ({"authenticate": "03_authenticate.response.busy_postpone.xml"}, {}, ("closeConnection",), "busy"),
        (
            {"authenticate": "03_authenticate.response.company_file.xml"},
            {},
            (*_ROUND, *_ROUND, "closeConnection"),
            "done",
        ),
        ({}, {"problem": _HRESULT}, ("connectionError",), "connection"),
        ({}, {"stop_after": 4}, ("sendRequestXML",), "interrupted"),
        ({}, {"stop_after": 5}, _ROUND, "interrupted"),
        ({}, {"lose_response": 1}, _ROUND, "lost"),
        ({}, {"close": False}, (*_ROUND, *_ROUND), "done"),
        (
            {"receiveResponseXML": "05_receiveResponseXML.response.error.xml"},
            {"receive_first": True},
            ("receiveResponseXML", "getLastError", "closeConnection"),
            "error",
        ),
        (
            {"sendRequestXML": "04_sendRequestXML.response.nothing.xml"},
            {"ticket": "fake-stale"},
            ("sendRequestXML", "getLastError", "closeConnection"),
            "error",
        ),
        (
            {"receiveResponseXML": "05_receiveResponseXML.response.error.xml"},
            {"fails": {1: _PARSE}},
            (*_ROUND, "getLastError", "closeConnection"),
            "error",
        ),
    ],
)
def test_sequences(
    service: Canned,
    connector: WebConnector,
    script: dict[str, str],
    faults: Faults,
    calls: tuple[str, ...],
    outcome: str,
) -> None:
    service.script |= {operation: [name] for operation, name in script.items()}
    cycle = connector.run_cycle(**faults)
    assert (cycle.calls, cycle.outcome) == ((*_OPENING, *calls), outcome)
    assert connector.violations == []
    bodies = {step.operation: step.arguments for step in cycle.steps}
    if "password" in faults:
        assert bodies["authenticate"]["strPassword"] == "fake-wrong"
    if "ticket" in faults:
        assert bodies["closeConnection"]["ticket"] == "fake-stale"
    if "problem" in faults:
        last = sample("soap/07_connectionError.request.xml").encode()
        assert canonical(service.calls[-1].body) == canonical(last)
    if "fails" in faults:
        last = sample("soap/05_receiveResponseXML.request.hresult.xml").encode()
        assert canonical(service.calls[4].body) == canonical(last)


def test_resend_delivers_the_same_answer_twice(service: Canned, connector: WebConnector) -> None:
    service.script["receiveResponseXML"] = ["05_receiveResponseXML.response.done.xml"]
    cycle = connector.run_cycle(resend=1)
    assert cycle.calls[3:] == (*_ROUND, "receiveResponseXML", "closeConnection")
    assert service.calls[4].body == service.calls[5].body
    assert connector.violations == []
    service.script["receiveResponseXML"] = [
        "05_receiveResponseXML.response.more.xml",
        "05_receiveResponseXML.response.done.xml",
    ]
    connector.run_cycle(resend=1)
    assert connector.violations == ["a repeated receiveResponseXML was answered 100 instead of 25"]


def test_other_files_answers_and_closed_quickbooks(service: Canned, connector: WebConnector) -> None:
    other = Company("Other Books", file_id="{00000000-0000-4000-8000-000000000002}")
    first = connector.run_cycle(company=other, mangle=lambda text: text[:40])
    assert "{00000000-0000-4000-8000-000000000002}" in first.steps[3].arguments["strHCPResponse"]
    assert first.steps[4].arguments["response"] == '<?xml version="1.0" ?>\n<QBXML>\n<QBXMLMsg'
    assert connector.quickbooks.company is not other
    fresh = Company("Fresh Books")
    connector.run_cycle(company=fresh)
    assert fresh.extensions == {(OWNER_ID, "FileID"): FILE_ID}
    connector.quickbooks.is_open = False
    assert connector.run_cycle().steps[-1].arguments["hresult"] == "0x80040417"
    service.script["authenticate"] = ["03_authenticate.response.company_file.xml"]
    assert connector.run_cycle().outcome == "done"


def _reply(operation: str, inner: str, namespace: str = soap.NAMESPACE) -> Answer:
    response = f'<{operation}Response xmlns="{namespace}">{inner}</{operation}Response>'
    body = f'<s:Envelope xmlns:s="{soap.ENVELOPE}"><s:Body>{response}</s:Body></s:Envelope>'
    return Answer(200, body.encode(), content_type="text/xml")


_A = ' xmlns:a="http://schemas.microsoft.com/2003/10/Serialization/Arrays"'
_TWO = "<authenticateResult{0}><{1}>t</{1}><{1}></{1}></authenticateResult>"


@pytest.mark.parametrize(
    ("operation", "answer", "complaint"),
    [
        ("authenticate", Answer(200, b"<html></html>", content_type="text/html"), "content type of 'text/html'"),
        ("authenticate", Answer(400, b"<a/>", content_type="text/xml"), "instead of a SOAP 1.1 envelope"),
        ("authenticate", Answer(301, b"", {"Location": "/x"}, "text/xml"), "no XML"),
        ("authenticate", _reply("authenticate", _TWO.format(_A, "a:string")), "Index Out Of Range"),
        ("authenticate", _reply("authenticate", _TWO.format("", "String")), "Index Out Of Range"),
        ("authenticate", _reply("authenticate", "<authenticateResult />"), "returned 0 strings"),
        ("sendRequestXML", _reply("sendRequestXML", ""), "null: sendRequestXMLResult is missing"),
        ("sendRequestXML", _reply("sendRequestXML", "<sendRequestXMLResult/>", "urn:x"), "{urn:x}sendRequestXML"),
        ("sendRequestXML", _reply("sendRequestXml", "<sendRequestXMLResult/>"), "instead of {http"),
        ("sendRequestXML", _reply("sendRequestXML", "<sendRequestXMLResponse/>"), "instead of {http"),
        ("receiveResponseXML", _reply("receiveResponseXML", "<receiveResponseXMLResult/>"), "not an int"),
    ],
)
def test_replies_that_end_the_update(
    service: Canned, connector: WebConnector, operation: str, answer: Answer, complaint: str
) -> None:
    service.answers[operation] = answer
    cycle = connector.run_cycle()
    assert (cycle.outcome, cycle.calls[-1], cycle.text[:4]) == ("failed", operation, "QBWC")
    assert [re.search(re.escape(complaint), text) is not None for text in connector.violations] == [True]


def test_a_fault_is_a_violation_and_a_broken_line_is_not(service: Canned, connector: WebConnector) -> None:
    fault = sample("soap/99_fault.response.xml").encode()
    service.answers["closeConnection"] = Answer(500, fault, content_type="text/xml")
    assert connector.run_cycle().text.startswith("QBWC1044 closeConnection: SOAP fault, HTTP 500")
    assert connector.violations == ["closeConnection: SOAP fault, HTTP 500: soap:Server Internal Error"]
    service.stop()
    cycle = connector.run_cycle()
    assert (cycle.outcome, cycle.calls) == ("failed", ("serverVersion", "clientVersion"))
    assert len(connector.violations) == 1


@pytest.mark.parametrize(
    ("percents", "complaint"),
    [((50, 30, 100), "30 percent after 50"), ((150,), "150 percent after 0")],
)
def test_percentages_that_are_not_true(
    service: Canned, connector: WebConnector, percents: tuple[int, ...], complaint: str
) -> None:
    left = [_reply("receiveResponseXML", f"<receiveResponseXMLResult>{n}</receiveResponseXMLResult>") for n in percents]
    usual = service.handle

    def handle(call: Call) -> Answer:
        answer = usual(call)
        return left.pop(0) if "receiveResponseXML" in call.headers["soapaction"] else answer

    service.handle = handle  # type: ignore[method-assign]
    assert connector.run_cycle().outcome == "done"
    assert connector.violations == [f"receiveResponseXML: {complaint}"]


def test_interactive_mode_endless_pauses_and_endless_retries(service: Canned, connector: WebConnector) -> None:
    service.script["sendRequestXML"] = ["04_sendRequestXML.response.nothing.xml"]
    service.answers["getLastError"] = _reply(
        "getLastError", "<getLastErrorResult>Interactive mode</getLastErrorResult>"
    )
    assert connector.run_cycle().outcome == "error"
    del service.answers["getLastError"]
    service.script["getLastError"] = ["06_getLastError.response.noop.xml"]
    assert connector.run_cycle().calls.count("getLastError") == 3
    service.answers["connectionError"] = _reply("connectionError", "<connectionErrorResult/>")
    assert connector.run_cycle(problem=_HRESULT).calls.count("connectionError") == 3
    assert connector.violations == [
        "getLastError: 'Interactive mode'",
        "getLastError said NoOp again and again",
        "connectionError was answered with another try more than twice",
    ]


def test_polls_until_stopped(service: Canned, connector: WebConnector) -> None:
    enough = threading.Event()
    service.script["receiveResponseXML"] = ["05_receiveResponseXML.response.done.xml"]
    connector.before_call = lambda operation: enough.set() if len(connector.cycles) == 2 else None
    connector.coming.append({"stop_after": 4})
    connector.poll_every(0.01)
    assert enough.wait(10)
    connector.stop()
    assert [cycle.outcome for cycle in connector.cycles][:2] == ["interrupted", "done"]
    count = len(connector.cycles)
    assert not connector._thread or not connector._thread.is_alive()
    assert len(connector.cycles) == count


# --- the .qwc file ---------------------------------------------------------------------------------------------------


def test_adds_the_sample_qwc(company: Company) -> None:
    connector = WebConnector.from_qwc(sample("ml-connector.qwc"), "fake-password", company)
    assert (connector.url, connector.username) == ("https://connector.example.com/qbwc/northwind/", "northwind")
    assert (connector.file_id, connector.owner_id) == (FILE_ID, OWNER_ID)
    assert read_qwc(sample("ml-connector.qwc"))["RunEveryNMinutes"] == "5"


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("https://connector.example.com/qbwc/support/", "https://other.example.com/", "QBWC1000"),
        ("https://connector", "http://connector", "QBWC1001"),
        ("connector.example.com", "192.0.2.7", "QBWC1001"),
        ("{7c2e1a63", "{7c2e1a6g", "FileID is no GUID"),
        ("<UserName>northwind</UserName>", "", "missing"),
        ("Posts new", "Posts new and very" + 60 * "x", "80 characters"),
        ("QBFS", "QBES", "QBType"),
        ("<Notify>false</Notify>", "<Notify>no</Notify>", "Notify"),
        ("<Style>", "<Fashion/><Style>", "Fashion"),
        ("&", "&", "no XML"),
    ],
)
def test_refuses_a_bad_qwc(old: str, new: str, complaint: str) -> None:
    text = sample("ml-connector.qwc").replace(old, new)
    if complaint == "no XML":
        text = text.replace("northwind/<", "northwind/?a&b<")
    with pytest.raises(QwcError, match=complaint):
        read_qwc(text)
