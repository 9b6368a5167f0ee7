"""An organization whose books are a QuickBooks Desktop company file, with the service behind a real address."""

from __future__ import annotations

import datetime as dt
import re
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, unescape

from connector.models import Connection, InboxEvent, Organization, Run
from connector.pipeline import clock
from sinks.slack.standin import SlackStandIn
from sources.quickbooks_desktop.standin import FILE_ID, Company, WebConnector
from tests.pipeline.conftest import CHANNEL, World

FIXTURES = Path(__file__).parent / "sources" / "quickbooks_desktop" / "fixtures"
PASSWORD = "fake-web-connector-password"
#: Before every record of the samples, on their PC's clock.
BEFORE_SAMPLES = dt.datetime(2026, 11, 16, tzinfo=dt.UTC)
ENVELOPE = (
    '<?xml version="1.0" encoding="utf-8"?><soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/">'
    '<soap:Body><{operation} xmlns="http://developer.intuit.com/">{content}</{operation}></soap:Body></soap:Envelope>'
)


def sample(name: str) -> str:
    return (FIXTURES / name).read_text(encoding="utf-8")


class Desk(World):
    """The world of one company file. `url` is where the service listens."""

    def __init__(self, slack: SlackStandIn, base_url: str) -> None:
        self.slack = slack
        slack.add_channel(CHANNEL, "ap", is_member=True)
        self.url = f"{base_url}/soap/quickbooks-desktop/"
        self.base_url = base_url
        self.organization = Organization.objects.create(
            slug="acme", name="Acme Services LLC", timezone="America/Los_Angeles"
        )
        self.books = self._connect("acme-desktop", "quickbooks_desktop", FILE_ID)
        self.authorize(self.books, password=PASSWORD)
        self.chat = self._connect("acme-slack", "slack", "T00000001")
        self.authorize(self.chat, bot_token=slack.issue_token())
        self.company = Company("Acme Services LLC", zone="America/Los_Angeles")
        self.web_connector = WebConnector(self.url, "acme-desktop", PASSWORD, self.company)
        self.since(clock.now() - dt.timedelta(minutes=1))

    def since(self, moment: dt.datetime) -> None:
        """Moves the beginning of the connection."""
        Connection.objects.filter(pk=self.books.pk).update(created_at=moment)

    def set(self, **settings: Any) -> None:
        self.books.settings = {**self.books.settings, **settings}
        self.books.save()

    def hurry(self) -> None:
        """Lets the interval of the last cycle go by."""
        Run.objects.filter(connection=self.books).update(started_at=clock.now() - dt.timedelta(hours=1))

    def cycle(self, **faults: Any) -> Any:
        """One update of the stand-in, told to the end. It must have found no fault with the service."""
        self.hurry()
        found = self.web_connector.run_cycle(**faults)
        self.work()
        assert self.web_connector.violations == []
        return found

    @property
    def last_run(self) -> Run:
        return Run.objects.filter(connection=self.books, ticket_hash__isnull=False).latest("started_at")

    def types(self) -> list[str]:
        return [event.type for event in InboxEvent.objects.order_by("pk")]

    # --- calls by hand -----------------------------------------------------------------------------------------------

    def post(self, body: bytes | str) -> tuple[int, str]:
        """Status and body of a POST."""
        content = body.encode() if isinstance(body, str) else body
        request = urllib.request.Request(self.url, data=content, headers={"Content-Type": "text/xml; charset=utf-8"})
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def call(self, operation: str, **arguments: str) -> str:
        """The inner text of the result; every answer must be a good one."""
        content = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in arguments.items())
        status, answer = self.post(ENVELOPE.format(operation=operation, content=content))
        assert status == 200, answer
        return self.result(answer)

    @staticmethod
    def result(answer: str) -> str:
        found = re.search(r"Result>(.*)</tns:\w+Result>", answer, re.DOTALL)
        assert found, answer
        return unescape(found[1])

    def strings(self, user: str = "acme-desktop", password: str = PASSWORD) -> list[str]:
        """What authenticate returns."""
        return re.findall(r"<tns:string>(.*?)</tns:string>", self.call(
            "authenticate", strUserName=user, strPassword=password
        ))  # fmt: skip

    def ticket(self) -> str:
        """A ticket with work to do."""
        self.hurry()
        ticket, word = self.strings()
        assert word == ""
        return ticket

    def send(self, ticket: str, company: str = "") -> str:
        return self.call(
            "sendRequestXML", ticket=ticket, strHCPResponse=company, strCompanyFileName="C:\\x.qbw", qbXMLCountry="US",
            qbXMLMajorVers="16", qbXMLMinorVers="0",
        )  # fmt: skip

    def receive(self, ticket: str, response: str, hresult: str = "", message: str = "") -> int:
        return int(self.call("receiveResponseXML", ticket=ticket, response=response, hresult=hresult, message=message))


#: The plan when routes want everything, and the sample that answers each query.
ANSWERS = {
    "Vendor": ["VendorQuery.new_and_modified"],
    "Customer": ["no_match.customer"],
    "Bill": ["BillQuery.page1", "BillQuery.page2"],
    "PurchaseOrder": ["PurchaseOrderQuery"],
    "BillPaymentCheck": ["BillPaymentCheckQuery"],
    "BillPaymentCreditCard": ["BillPaymentCreditCardQuery"],
    "ReceivePayment": ["ReceivePaymentQuery"],
    "Invoice": ["InvoiceQuery"],
    "TxnDeleted": ["TxnDeletedQuery"],
    "ListDeleted": ["ListDeletedQuery"],
}
NO_CUSTOMER = (
    '<?xml version="1.0" ?><QBXML><QBXMLMsgsRs><CustomerQueryRs requestID="c" statusCode="1" statusSeverity="Info" '
    'statusMessage="none" /></QBXMLMsgsRs></QBXML>'
)
NOTHING = (
    '<?xml version="1.0" ?><QBXML><QBXMLMsgsRs><{0}QueryRs requestID="n" statusCode="1" statusSeverity="Info" '
    'statusMessage="A query request did not find a matching object in QuickBooks" /></QBXMLMsgsRs></QBXML>'
)


def bill(company: Company, number: str, amount: str = "100.00", **fields: Any) -> str:
    return company.add("Bill", VendorRef="Cascade Paper Co.", AmountDue=amount, RefNumber=number, **fields)


def query_of(request: str) -> str:
    found = re.search(r"<(\w+)QueryRq ", request)
    assert found, request
    return found[1]


def play(desk: Desk, ticket: str, *, until: str = "") -> list[int]:
    """Answers each request with nothing found, as far as the query named."""
    numbers: list[int] = []
    while not numbers or 0 <= numbers[-1] < 100:
        name = query_of(desk.send(ticket))
        if name == until:
            break
        numbers.append(desk.receive(ticket, NOTHING.format(name)))
    return numbers
