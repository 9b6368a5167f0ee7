"""qbXML both ways: requests as the samples have them, answers of every kind."""

from __future__ import annotations

import re
from pathlib import Path
from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from connector.kernel.values import BadValue
from sources.quickbooks_desktop import entities, qbxml
from sources.quickbooks_desktop.entities import BY_NAME

FIXTURES = Path(__file__).parent / "fixtures"
SAMPLES = sorted((FIXTURES / "qbxml" / "responses").glob("*.xml"))
PLAN = tuple(BY_NAME)


def shape(element: etree._Element) -> object:
    return (element.tag, [shape(child) for child in element])


@pytest.mark.parametrize("name", ["Vendor", "Bill", "PurchaseOrder", "BillPaymentCheck", "BillPaymentCreditCard",
                                  "ReceivePayment", "Invoice", "TxnDeleted", "ListDeleted"])  # fmt: skip
def test_requests_have_the_elements_and_order_of_the_samples(name: str) -> None:
    entity = BY_NAME[name]
    types = tuple(entities.deletable(entity, PLAN))
    built = qbxml.build(qbxml.Query(entity, f"1-{name}", "2026-11-19T06:00:00", types=types), "13.0")
    assert built.startswith('<?xml version="1.0" encoding="utf-8"?>\n<?qbxml version="13.0"?>\n<QBXML>')
    file = {"Bill": "BillQuery.start.xml"}.get(name, f"{name}Query.xml")
    sample = etree.parse(FIXTURES / "qbxml" / "requests" / file).getroot()
    for upper in ("ToModifiedDate", "ToDeletedDate"):
        for element in sample.iter(upper):
            element.getparent().remove(element)  # type: ignore[union-attr]
    mine = etree.fromstring(built.encode())
    for root in (mine, sample):
        for kind in ("TxnDelType", "ListDelType"):
            for extra in list(root.iter(kind))[1:]:
                extra.getparent().remove(extra)  # type: ignore[union-attr]
    assert shape(mine) == shape(sample)


def test_the_requests_of_a_page_and_of_deletions() -> None:
    query = qbxml.Query(BY_NAME["Customer"], "7-Customer", "2026-11-19T06:00:00", iterator="{1f4c}")
    assert qbxml.build(query, "8.0") == (
        '<?xml version="1.0" encoding="utf-8"?>\n<?qbxml version="8.0"?>\n'
        '<QBXML><QBXMLMsgsRq onError="continueOnError">'
        '<CustomerQueryRq requestID="7-Customer" iterator="Continue" iteratorID="{1f4c}"><MaxReturned>200</MaxReturned>'
        "<ActiveStatus>All</ActiveStatus><FromModifiedDate>2026-11-19T06:00:00</FromModifiedDate>"
        "</CustomerQueryRq></QBXMLMsgsRq></QBXML>"
    )
    assert entities.wanted(["bill"]) == tuple(name for name in BY_NAME if name not in ("Customer", "Invoice"))
    assert entities.deletable(BY_NAME["TxnDeleted"], entities.wanted(["bill"])) == [
        "Bill", "PurchaseOrder", "BillPaymentCheck", "BillPaymentCreditCard", "ReceivePayment",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("major", "minor", "spoken"),
    [
        ("16", "0", "13.0"),
        ("13", "0", "13.0"),
        ("8", "0", "8.0"),
        ("7", "9", None),
        ("", "", "13.0"),
        ("CA3", "0", None),
    ],
)
def test_the_version_is_the_newest_that_both_know(major: str, minor: str, spoken: str | None) -> None:
    assert qbxml.version_of(major, minor) == spoken


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_every_sample_is_read(path: Path) -> None:
    answers = qbxml.parse(path.read_text(encoding="utf-8"))
    expected = re.findall(r"<(\w+)QueryRs ", path.read_text(encoding="utf-8"))
    assert [answer.entity.name for answer in answers] == [name for name in expected if name in BY_NAME]


def test_what_is_sensitive_is_not_even_read() -> None:
    text = (
        '<?xml version="1.0" ?><QBXML><QBXMLMsgsRs><VendorQueryRs statusCode="0" statusSeverity="Info"><VendorRet>'
        "<ListID>1</ListID><Name>A&#233;</Name><AccountNumber>fake-1</AccountNumber><VendorTaxIdent>fake-2"
        "</VendorTaxIdent><TermsRef><FullName>Net 30</FullName></TermsRef></VendorRet></VendorQueryRs>"
        "</QBXMLMsgsRs></QBXML>"
    )
    (answer,) = qbxml.parse(text)
    assert answer.rows == ({"ListID": "1", "Name": "Aé", "TermsRef": {"FullName": "Net 30"}},)


def test_control_characters_are_left_out_and_others_kept() -> None:
    given_text = "<a>&#1;&#x1F;&#11;&#x9;&#10;&#xD;&#x26;&#233;&amp;#1;\x07ü</a>"
    assert qbxml.cleaned(given_text) == "<a>&#x9;&#10;&#xD;&#x26;&#233;&amp;#1;ü</a>"


@given(st.text())
def test_any_text_is_an_answer_or_a_bad_value(text: str) -> None:
    for document in (text, f"<QBXML>{text}</QBXML>", f"<QBXML><QBXMLMsgsRs>{text}</QBXMLMsgsRs></QBXML>"):
        try:
            qbxml.parse(document)
        except BadValue as error:
            assert len(text) < 4 or text not in str(error)


@given(st.text(st.characters(codec="utf-8", exclude_characters="\r")), st.integers(0, 10**12 - 1))
def test_every_name_survives(name: str, remaining: int) -> None:
    document = (
        f'<QBXML><QBXMLMsgsRs><VendorQueryRs statusCode="0" iteratorRemainingCount="{remaining}"><VendorRet>'
        f"<Name>{escape(name)}</Name></VendorRet></VendorQueryRs></QBXMLMsgsRs></QBXML>"
    )
    (answer,) = qbxml.parse(document)
    expected = re.sub("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]", "", name).strip()
    assert (answer.rows, answer.remaining) == (({"Name": expected},), remaining)


@given(st.binary())
def test_truncation_anywhere_is_noticed(tail: bytes) -> None:
    whole = (FIXTURES / "qbxml" / "responses" / "BillQuery.page1.xml").read_text(encoding="utf-8").rstrip()
    cut = len(tail) % (len(whole) - 1) + 1
    with pytest.raises(BadValue):
        qbxml.parse(whole[:-cut])
