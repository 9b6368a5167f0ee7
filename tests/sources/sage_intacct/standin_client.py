"""A bare client of the Sage Intacct stand-in, the vendor's samples, and the companies that the tests begin with."""

from __future__ import annotations

import datetime as dt
import http.client
import re
from pathlib import Path
from typing import Any, NamedTuple

from lxml import etree

from sources.sage_intacct.standin import PATH, IntacctStandIn
from sources.sage_intacct.standin_layouts import LAYOUTS

FIXTURES = Path(__file__).parent / "fixtures"
#: When the samples' answers were given.
NIGHT = dt.datetime(2019, 1, 9, 23, 0, 5, tzinfo=dt.UTC)
SAMPLE_SESSION = b"fAkESesSiOnId.."
XML = {"Content-Type": "application/xml"}
LOGIN = (
    "<login><userid>ws_reader</userid><companyid>ACME-US</companyid><password>FAKE-user-password</password>{}</login>"
)
#: A function that works.
GOOD = "<query><object>VENDOR</object><select><field>NAME</field></select></query>"
RECORDNO = "<select><field>RECORDNO</field></select>"
IN_ORDER = "<orderby><order><field>RECORDNO</field><ascending/></order></orderby>"


class Reply(NamedTuple):
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def root(self) -> etree._Element:
        return etree.fromstring(self.body)

    def text(self, path: str) -> str:
        """The text at a path; "missing" where there is no such element."""
        return self.root.findtext(path, "missing")

    def texts(self, path: str) -> list[str]:
        return [element.text or "" for element in self.root.iterfind(path)]

    @property
    def data(self) -> etree._Element:
        found = self.root.find("operation/result/data")
        assert found is not None, self.body
        return found

    @property
    def counts(self) -> dict[str, str]:
        """The attributes of the data."""
        return {str(name): str(value) for name, value in self.data.attrib.items()}

    @property
    def errors(self) -> list[tuple[str, str]]:
        """The number and text of each error, at whatever level."""
        return [(one.findtext("errorno", ""), one.findtext("description2", "")) for one in self.root.iter("error")]


class Client:
    """A bare client of the gateway, signed in by a session unless told otherwise."""

    def __init__(self, gateway: IntacctStandIn) -> None:
        self.gateway = gateway
        self.session = ""

    def send(self, body: bytes | str, headers: Any = XML, method: str = "POST", path: str = PATH) -> Reply:
        connection = http.client.HTTPConnection(self.gateway.url.removeprefix("http://"), timeout=5)
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        reply = Reply(response.status, response.headers, response.read())
        connection.close()
        return reply

    def open(self, location: str = "") -> str:
        """Signs in; the session's ID."""
        where = f"<locationid>{location}</locationid>" if location else ""
        self.session = self.call("<getAPISession/>", signed_in=LOGIN.format(where)).text(".//api/sessionid")
        return self.session

    def call(self, *verbs: str, signed_in: str = "", more: str = "", operation: str = "", **control: str) -> Reply:
        """A request of these verbs; `control` replaces elements of the control, None leaves one out."""
        return self.send(self.envelope(*verbs, signed_in=signed_in, more=more, operation=operation, **control))

    def envelope(self, *verbs: str, signed_in: str = "", more: str = "", operation: str = "", **control: str) -> str:
        head = {
            "senderid": "acme_sender", "password": "FAKE-sender-password", "controlid": "fake-0001",
            "uniqueid": "false", "dtdversion": "3.0", "includewhitespace": "false", **control,
        }  # fmt: skip
        elements = "".join(f"<{name}>{text}</{name}>" for name, text in head.items() if text) + more
        functions = "".join(
            f'<function controlid="f{number}">{verb}</function>' for number, verb in enumerate(verbs, start=1)
        )
        who = signed_in or f"<sessionid>{self.session}</sessionid>"
        return (
            f"<request><control>{elements}</control><operation{operation}><authentication>{who}</authentication>"
            f"<content>{functions}</content></operation></request>"
        )

    def query(self, name: str, *parts: str, select: str = RECORDNO) -> Reply:
        return self.call(f"<query><object>{name}</object>{select}{''.join(parts)}</query>")

    def found(self, name: str, filter: str) -> list[str]:
        """The RECORDNOs that a filter finds, in their order."""
        return self.query(name, f"<filter>{filter}</filter>", IN_ORDER).texts(f".//{name}/RECORDNO")

    def by_query(self, name: str, query: str, fields: str = "RECORDNO", size: int = 1000) -> Reply:
        text = query.replace("&", "&amp;").replace("<", "&lt;")
        return self.call(
            f"<readByQuery><object>{name}</object><fields>{fields}</fields><query>{text}</query>"
            f"<pagesize>{size}</pagesize></readByQuery>"
        )

    def more(self, result_id: str) -> Reply:
        return self.call(f"<readMore><resultId>{result_id}</resultId></readMore>")


def company() -> IntacctStandIn:
    """The samples' company, when their answers were given; not started yet."""
    standin = IntacctStandIn("acme_sender", "FAKE-sender-password", "ACME-US", "ws_reader", "FAKE-user-password")
    standin.now = lambda: NIGHT
    standin.add_location("200", "West", is_entity=True)
    return standin


def pay(gateway: IntacctStandIn) -> None:
    """Five payments, a minute apart: 1863 to 1867."""
    for vendor, name in (("V1", "Regal Services"), ("V2", "Sharpe & Sons"), ("V3", "O'Neil_50%")):
        gateway.add_vendor(vendor, name)
    gateway.set_vendor("V3", is_active=False)
    for minute, (vendor, amount, state) in enumerate(
        [("V1", "1475.00", "C"), ("V2", "80.61", "A"), ("V2", "500.00", "V"), ("V3", "9.10", "C"), ("V1", "20.50", "U")]
    ):
        gateway.now = lambda minute=minute: NIGHT + dt.timedelta(minutes=minute, microseconds=7)  # type: ignore[misc]
        number = "" if vendor == "V3" else f"1002{minute}"
        gateway.add_payment(vendor, amount, state=state, batch="Monday", number=number)


def condition(name: str, field: str, *values: str) -> str:
    return f"<{name}><field>{field}</field>{''.join(f'<value>{value}</value>' for value in values)}</{name}>"


def sample(name: str) -> bytes:
    return (FIXTURES / name).read_bytes()


def tidy(body: bytes) -> bytes:
    """The same XML without white space between elements, and without what each answer has of its own."""
    body = re.sub(rb"(?<=<sessionid>)[^<]+", SAMPLE_SESSION, body)
    body = re.sub(rb"(?<=<endpoint>)[^<]+", b"https://na12.intacct.com/ia/xml/xmlgw.phtml", body)
    body = re.sub(rb'(?<=resultId=")\w+', b"7765623332WU1hh8CoA4QAAHxI9i8AAAAA5", body)
    return etree.tostring(etree.fromstring(body, etree.XMLParser(remove_blank_text=True)), method="c14n")


def furnish(gateway: IntacctStandIn) -> None:
    """The rows of the samples, exactly."""
    gateway.drops_zeros = False
    for name in ("05_batched_reads_ok.xml", "06_glentry_balanced_and_unbalanced.xml"):
        for row in etree.fromstring(sample(f"responses/{name}")).iterfind(".//data/*"):
            fields = LAYOUTS[str(row.tag)].fields
            values = {
                str(cell.tag): gateway.formatting.read(fields[str(cell.tag)], cell.text, by_label=True)
                for cell in row
                if cell.text
            }
            gateway.load(str(row.tag), values)
