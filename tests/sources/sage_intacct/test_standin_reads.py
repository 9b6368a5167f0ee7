"""The stand-in's functions for reading, and the ledger and the payments that they read."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Iterator
from decimal import Decimal

import pytest

from sources.sage_intacct.standin import IntacctStandIn, credit, debit
from sources.sage_intacct.standin_layouts import LAYOUTS
from tests.sources.sage_intacct.standin_client import GOOD, IN_ORDER, NIGHT, Client, company, condition, pay


@pytest.fixture
def gateway() -> Iterator[IntacctStandIn]:
    with company() as standin:
        yield standin


@pytest.fixture
def client(gateway: IntacctStandIn) -> Client:
    client = Client(gateway)
    client.open()
    return client


@pytest.fixture
def payments(client: Client) -> Client:
    pay(client.gateway)
    return client


@pytest.mark.parametrize(
    ("filter", "expected"),
    [
        (condition("equalto", "STATE", "C"), "1863 1866"),
        (condition("notequalto", "STATE", "C"), "1864 1865 1867"),
        (condition("lessthan", "TOTALENTERED", "80.61"), "1866 1867"),
        (condition("lessthanorequalto", "TOTALENTERED", "80.61"), "1864 1866 1867"),
        (condition("greaterthan", "WHENMODIFIED", "01/09/2019 23:02:05"), "1866 1867"),
        (condition("greaterthanorequalto", "WHENMODIFIED", "01/09/2019 23:02:05"), "1865 1866 1867"),
        (condition("between", "RECORDNO", "1864", "1866"), "1864 1865 1866"),
        (condition("in", "STATE", "V", "U"), "1865 1867"),
        (condition("notin", "STATE", "V", "U"), "1863 1864 1866"),
        (condition("like", "VENDORNAME", "%Sons"), "1864 1865"),
        (condition("like", "VENDORNAME", "regal%"), ""),
        (condition("notlike", "VENDORNAME", "R%"), "1864 1865 1866"),
        (condition("isnull", "DOCNUMBER"), "1866"),
        (condition("isnotnull", "WHENPAID"), "1863 1865 1866"),
        (condition("equalto", "WHENPAID", "01/09/2019"), "1863 1865 1866"),
        (condition("equalto", "VENDOR.STATUS", "inactive"), "1866"),
        ("<and>" + condition("equalto", "STATE", "C") + condition("isnull", "DOCNUMBER") + "</and>", "1866"),
        (
            "<or>" + condition("equalto", "STATE", "U") + "<and>" + condition("equalto", "STATE", "C")
            + condition("equalto", "VENDORID", "V1") + "</and></or>",
            "1863 1867",
        ),
    ],
)  # fmt: skip
def test_operators(payments: Client, filter: str, expected: str) -> None:
    assert payments.found("APPYMT", filter) == expected.split()


def test_case_is_passed_over_when_asked(payments: Client) -> None:
    asked = f"<filter>{condition('like', 'VENDORNAME', 'regal%')}</filter><options><caseinsensitive/></options>"
    assert payments.query("APPYMT", asked).counts["totalcount"] == "2"


@pytest.mark.parametrize(
    "verb",
    [
        GOOD.replace("VENDOR", "VENDOR9"),
        GOOD.replace("NAME", "*"),
        GOOD.replace("NAME", "NOTHING"),
        GOOD.replace("NAME", "NOWHERE.NAME"),
        GOOD.replace("<select>", "<filter>" + condition("equalto", "NOTHING", "1") + "</filter><select>"),
        GOOD.replace("<select>", IN_ORDER.replace("RECORDNO", "NOTHING") + "<select>"),
        *(
            GOOD.replace("<select>", "<filter>" + condition("greaterthan", "WHENMODIFIED", text) + "</filter><select>")
            for text in ("2019-01-08T22:00:00Z", "2019-01-08", "1/8/2019 22:00:00", "13/01/2019 22:00:00")
        ),
        GOOD.replace("<select>", "<filter>" + condition("equalto", "RECORDNO", "one") + "</filter><select>"),
    ],
)
def test_queries_that_are_not_explained(payments: Client, verb: str) -> None:
    reply = payments.call(verb, GOOD)
    assert reply.texts(".//result/status") == ["failure", "success"]
    assert reply.errors == [("DL02000001", "There was an error processing the request.")]
    assert [result.find("data") is None for result in reply.root.iter("result")] == [True, False]


def test_pages_by_offset(payments: Client) -> None:
    pages = [
        payments.query("APPYMT", IN_ORDER, f"<pagesize>2</pagesize><offset>{offset}</offset>")
        for offset in (0, 2, 4, 6)
    ]
    assert [page.texts(".//APPYMT/RECORDNO") for page in pages] == [["1863", "1864"], ["1865", "1866"], ["1867"], []]
    assert [page.counts for page in pages] == [
        {"listtype": "APPYMT", "totalcount": "5", "offset": offset, "count": count, "numremaining": left}
        for offset, count, left in (("0", "2", "3"), ("2", "2", "1"), ("4", "1", "0"), ("6", "0", "0"))
    ]
    unordered = [
        payments.query("APPYMT", f"<offset>{offset}</offset>").texts(".//APPYMT/RECORDNO") for offset in (0, 1)
    ]
    assert unordered[0] != sorted(unordered[0])
    assert unordered[1] != unordered[0][1:]


def test_order_and_the_name_as_it_was_asked(payments: Client) -> None:
    by = "<order><field>VENDORID</field><descending/></order><order><field>TOTALENTERED</field></order>"
    reply = payments.query("appymt", f"<orderby>{by}</orderby>")
    assert reply.texts(".//appymt/RECORDNO") == ["1866", "1864", "1865", "1867", "1863"]
    assert reply.counts["listtype"] == "appymt"


def test_aggregates(payments: Client) -> None:
    select = (
        "<select><field>VENDORID</field><sum>TOTALENTERED</sum><count>RECORDNO</count><max>WHENMODIFIED</max></select>"
    )
    reply = payments.query("APPYMT", select=select)
    rows = [[(str(cell.tag), cell.text) for cell in row] for row in reply.root.iter("APPYMT")]
    assert next(row for row in rows if row[0][1] == "V2")[1:] == [
        ("SUM.TOTALENTERED", "580.61"), ("COUNT.RECORDNO", "2"), ("MAX.WHENMODIFIED", "01/09/2019 23:02:05"),
    ]  # fmt: skip
    assert reply.counts["totalcount"] == "3"


def test_labels_and_codes(client: Client) -> None:
    gateway = client.gateway
    lines = [debit("6100", "10.00"), credit("2010", "10.00")]
    posted, draft = gateway.post_batch(lines=lines), gateway.post_batch(lines=lines, state="Draft")
    gateway.add_journal("GJ", "General Journal")
    gateway.add_vendor("V1", "Regal", is_on_hold=True)
    select = "<select><field>RECORDNO</field><field>STATE</field><field>JOURNAL.SYMBOL</field></select>"
    reply = client.query("GLBATCH", f"<filter>{condition('equalto', 'STATE', 'Posted')}</filter>", select=select)
    assert [(str(cell.tag), cell.text) for cell in reply.data[0]] == [
        ("RECORDNO", str(posted)), ("STATE", "Posted"), ("JOURNAL.SYMBOL", "GJ"),
    ]  # fmt: skip
    assert client.found("VENDOR", condition("equalto", "ONHOLD", "true")) == ["1"]
    assert client.by_query("GLBATCH", "STATE = 'I'").texts(".//glbatch/RECORDNO") == [str(draft)]
    vendor = client.by_query("VENDOR", "STATUS = 'T' AND ONHOLD = 'T'", "VENDORID,STATUS,ONHOLD,DONOTCUTCHECK")
    assert [cell.text for cell in vendor.data[0]] == ["V1", "active", "true", "false"]
    assert gateway.violations == []
    assert client.found("GLBATCH", condition("equalto", "STATE", "P")) == []
    assert client.by_query("GLBATCH", "STATE = 'Posted'").counts["totalcount"] == "0"
    assert gateway.violations == [
        "GLBATCH.STATE has no label P: nothing is found",
        "GLBATCH.STATE has no code Posted: nothing is found",
    ]


def test_what_is_private_to_an_entity(client: Client) -> None:
    gateway = client.gateway
    lines = [debit("6100", "10"), credit("2010", "10")]
    top, west = gateway.post_batch(lines=lines), gateway.post_batch(lines=lines, entity="200")
    gateway.add_vendor("V1", "Regal")
    private = "<options><showprivate>true</showprivate></options>"

    def seen(name: str, more: str = "") -> list[str]:
        return client.query(name, IN_ORDER, more).texts(f".//{name}/RECORDNO")

    assert (seen("GLBATCH"), seen("GLENTRY")) == ([str(top)], ["99612", "99613"])
    assert (seen("GLBATCH", private), len(seen("GLENTRY", private))) == ([str(top), str(west)], 4)
    client.open("200")
    assert (seen("GLBATCH"), seen("VENDOR")) == ([str(west)], ["1"])


def test_formats_are_the_users(client: Client) -> None:
    gateway = client.gateway
    gateway.add_vendor("V1", "Regal")
    gateway.formatting.gmtoffset, gateway.formatting.dateformat = "-06:00", "-dmY"
    select = "<select><field>RECORDNO</field><field>WHENMODIFIED</field></select>"

    def asked(since: str) -> list[str]:
        found = f"<filter>{condition('greaterthanorequalto', 'WHENMODIFIED', since)}</filter>"
        return client.query("VENDOR", found, select=select).texts(".//VENDOR/WHENMODIFIED")

    assert asked("09-01-2019 17:00:05") == ["09-01-2019 17:00:05"]
    assert asked("09-01-2019 17:00:06") == []
    gateway.formatting.clock = "12"
    assert asked("09-01-2019 17:00:05") == ["09-01-2019 05:00:05 PM"]


# readByQuery, readMore, read


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", "1863 1864 1865 1866 1867"),
        ("STATE in ('C','V') AND WHENMODIFIED >= '01/09/2019 23:02:05'", "1865 1866"),
        ("STATE not in ('C','V')", "1864 1867"),
        ("RECORDNO > 1863 and RECORDNO <= 1865", "1864 1865"),
        ("VENDORNAME like '%Sons' OR DOCNUMBER IS NULL", "1864 1865 1866"),
        ("DOCNUMBER IS NOT NULL AND NOT STATE = 'C'", "1864 1865 1867"),
        ("( STATE = 'C' OR STATE = 'V' ) AND VENDORID != 'V1'", "1865 1866"),
        (r"VENDORNAME = 'O\'Neil_50%'", "1866"),
    ],
)
def test_conditions_of_read_by_query(payments: Client, query: str, expected: str) -> None:
    assert sorted(payments.by_query("APPYMT", query).texts(".//appymt/RECORDNO")) == expected.split()


@pytest.mark.parametrize(
    ("name", "query", "fields", "errorno"),
    [
        ("VENDOR9", "", "RECORDNO", "Query Failed"),
        ("APPYMT", "STATE = ", "RECORDNO", "Query Failed"),
        ("APPYMT", "STATE = 'C", "RECORDNO", "Query Failed"),
        ("APPYMT", "STATE = 'C' STATE = 'V'", "RECORDNO", "Query Failed"),
        ("APPYMT", "", "RECORDNO,NOTHING", "Invalid fields list NOTHING"),
        ("APPYMT", "NOTHING = 'C'", "RECORDNO", "Invalid fields list NOTHING"),
        ("APPYMT", "STATE = 'C' ORDER BY RECORDNO", "RECORDNO", "DL02000001"),
        ("APPYMT", "WHENMODIFIED > '2019-01-09T23:00:00'", "RECORDNO", "DL02000001"),
    ],
)
def test_refusals_of_read_by_query(payments: Client, name: str, query: str, fields: str, errorno: str) -> None:
    reply = payments.by_query(name, query, fields)
    assert (reply.text(".//result/status"), reply.errors[0][0]) == ("failure", errorno)


def test_read_more_goes_on_once_and_within_its_session(payments: Client) -> None:
    first = payments.by_query("APPYMT", "", size=2)
    id = first.counts["resultId"]
    second, last = payments.more(id), payments.more(id)
    numbers = [page.texts(".//appymt/RECORDNO") for page in (first, second, last)]
    told = list(itertools.chain(*numbers))
    assert sorted(told) == ["1863", "1864", "1865", "1866", "1867"] != told
    assert [page.counts["numremaining"] for page in (first, second, last)] == ["3", "1", "0"]
    assert (second.counts["resultId"], last.counts["resultId"]) == (id, "")
    gone = [("readMore failed", f"Attempt to readMore with an invalid or expired resultId: {id}")]
    assert payments.more(id).errors == gone
    other = payments.by_query("APPYMT", "", size=2).counts["resultId"]
    payments.open()
    assert payments.more(other).errors[0][0] == "readMore failed"
    payments.by_query("APPYMT", "", size=1001)
    assert payments.gateway.violations == ["readByQuery: a pagesize of 1001 is more than is documented"]


def test_read(payments: Client) -> None:
    verb = "<read><object>APPYMT</object><keys>1864, 9999,1863</keys><fields>RECORDNO,STATE,WHENPAID</fields></read>"
    reply = payments.call(verb)
    assert reply.counts == {"listtype": "APPYMT", "count": "2"}
    assert [[cell.text for cell in row] for row in reply.data] == [["1864", "A", None], ["1863", "C", "01/09/2019"]]
    many = payments.call(verb.replace("1864, 9999,1863", ",".join(map(str, range(101)))))
    assert many.errors == [("read failed", "No more than 100 keys can be read at once")]
    whole = payments.call("<read><object>VENDOR</object><keys>1</keys><fields>*</fields></read>")
    assert [str(cell.tag) for cell in whole.data[0]] == list(LAYOUTS["VENDOR"].fields)
    assert payments.call("<readUserFormatting><key>21</key></readUserFormatting>").text(".//result/status") == "failure"


# The ledger


def test_batches(client: Client) -> None:
    gateway = client.gateway
    gateway.add_account("6100", "Salaries")
    euros = {"currency": "EUR", "trx_amount": "100"}
    with pytest.raises(ValueError, match="'Odd' does not balance"):
        gateway.post_batch(title="Odd", lines=[debit("6100", "108.52", **euros)])
    number = gateway.post_batch(
        "GJ", "Payroll", [debit("6100", "108.52", **euros), credit("2010", "108.52")], day=dt.date(2019, 1, 31)
    )
    select = "".join(
        f"<field>{name}</field>"
        for name in "BATCHNO LINE_NO TR_TYPE AMOUNT TRX_AMOUNT BASECURR CURRENCY ACCOUNTTITLE STATISTICAL".split()  # noqa: SIM905 - shorter
    )
    found = f"<filter>{condition('equalto', 'BATCHNO', str(number))}</filter>"
    reply = client.query("GLENTRY", found, IN_ORDER, select=f"<select>{select}</select>")
    assert [[cell.text for cell in row] for row in reply.data] == [
        ["6679", "1", "1", "108.52", "100", "USD", "EUR", "Salaries", "F"],
        ["6679", "2", "-1", "108.52", "108.52", "USD", "USD", None, "F"],
    ]
    gateway.post_batch("STAT", "Heads", [debit("9100", "42")], is_statistical=True)
    assert client.found("GLENTRY", condition("equalto", "STATISTICAL", "T")) == ["99614"]
    assert client.found("GLBATCH", condition("equalto", "STATISTICAL", "true")) == ["6680"]
    gateway.post_batch(title="Odd", lines=[debit("6100", "5")], may_be_unbalanced=True)
    gateway.now = lambda: NIGHT + dt.timedelta(minutes=1)
    gateway.add_line(number, credit("2010", "1"))
    later = condition("greaterthan", "WHENMODIFIED", "01/09/2019 23:00:05")
    assert (client.found("GLBATCH", later), client.found("GLENTRY", later)) == (["6679"], ["99616"])
    gateway.touch(6681)
    gateway.remove("GLBATCH", 6679)
    assert client.found("GLBATCH", later) == ["6681"]


def test_what_was_entered_a_while_ago(client: Client) -> None:
    client.gateway.entered_ago = dt.timedelta(minutes=2)
    client.gateway.add_vendor("V1", "Regal")
    reply = client.query("VENDOR", select="<select><field>WHENMODIFIED</field></select>")
    assert reply.text(".//VENDOR/WHENMODIFIED") == "01/09/2019 22:58:05"
    assert reply.text(".//sessiontimestamp") == "2019-01-09T23:00:05+00:00"


def test_payments_and_vendors(payments: Client) -> None:
    gateway = payments.gateway
    names = "STATE RAWSTATE DISPLAYSTATE WHENPAID TOTALPAID PRBATCHKEY".split()  # noqa: SIM905 - shorter
    select = f"<select>{''.join(f'<field>{name}</field>' for name in names)}</select>"

    def shown(recordno: int) -> list[str]:
        found = f"<filter>{condition('equalto', 'RECORDNO', str(recordno))}</filter>"
        return [cell.text or "" for cell in payments.query("APPYMT", found, select=select).data[0]]

    assert shown(1864) == ["A", "A", "Approved", "", "0", "321"]
    gateway.set_payment_state(1864, "C")
    assert shown(1864) == ["C", "C", "Confirmed", "01/09/2019", "80.61", "321"]
    gateway.set_payment_state(1864, "V")
    assert shown(1864) == ["V", "V", "Voided", "01/09/2019", "80.61", "321"]
    bill = gateway.add_bill("V2", "CPM-7", "12.00")
    other = gateway.add_payment("V2", "10", currency="CAD", base_amount="7.50", batch="Tuesday", bills={bill: "10"})
    assert shown(other) == ["C", "C", "Confirmed", "01/09/2019", "7.5", "322"]
    assert payments.found("APPYMTDETAIL", condition("equalto", "PAYMENTKEY", str(other))) == ["1"]
    assert payments.found("APBILL", condition("equalto", "STATE", "Posted")) == [str(bill)]
    alone = gateway.add_payment("V1", "1")
    assert payments.found("APPYMT", condition("isnull", "PRBATCHKEY")) == [str(alone)]
    gateway.set_vendor("V1", is_payable=False, is_on_hold=True)
    assert payments.found("VENDOR", condition("equalto", "DONOTCUTCHECK", "true")) == ["1"]
    assert payments.found("VENDOR", condition("equalto", "STATUS", "inactive")) == ["3"]
    assert gateway.tables["APPYMT"][other]["TRX_TOTALENTERED"] == Decimal(10)
