"""Requests: the very elements of the vendor's samples, in the schema's order."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from lxml import etree

from connector.kernel.errors import Misconfigured
from sources.sage_intacct import queries
from sources.sage_intacct.envelope import Function, Login, Sender, build
from sources.sage_intacct.queries import Compare, Query, between, either, every
from sources.sage_intacct.rows import (
    BATCH_FIELDS,
    ENTRY_FIELDS,
    PAYMENT_FIELDS,
    VENDOR_FIELDS,
)
from tests.sources.sage_intacct.wire import FIXTURES, parsed, sample

SENDER = Sender("acme_sender", "FAKE-sender-password")
LOGIN = Login("ws_reader", "ACME-US", "FAKE-user-password")
SESSION = "fAkESesSiOnId.."
FROM, UNTIL = "01/08/2019 22:00:00", "01/09/2019 23:00:00"
IN_WINDOW = between("WHENMODIFIED", FROM, UNTIL).parts  # type: ignore[union-attr]


def shape(element: etree._Element, *, without: Sequence[str] = ()) -> object:
    """An element as nested values; `transaction` is left out, because false is what it means when it is missing."""
    attributes = {name: value for name, value in element.attrib.items() if name != "transaction"}
    children = [shape(child, without=without) for child in element if child.tag not in without]
    return (element.tag, attributes, (element.text or "").strip(), children)


def built(auth: Login | str, *functions: Function) -> object:
    return shape(parsed(build(SENDER, "1700000000-0001", auth, functions)))


def expected(name: str) -> object:
    return shape(parsed(sample(f"requests/{name}.xml")))


def named(path: str, number: int = 1) -> tuple[str, ...]:
    """The fields that a sample's query selects."""
    found = parsed(sample(f"requests/{path}.xml")).findall(".//query")[number - 1]
    return tuple(field.text or "" for field in found.findall("select/field"))


def test_a_session_is_opened_alone() -> None:
    assert built(LOGIN, Function("session-1", queries.get_api_session())) == expected("01_getapisession_login")
    entity = Login("ws_reader", "ACME-US", "FAKE-user-password", "200")
    assert built(entity, Function("session-1", queries.get_api_session())) == expected("02_getapisession_entity")


def test_the_batched_reads() -> None:
    path = "03_batched_reads_one_request"
    batches = every(Compare("equalto", "STATE", ("Posted",)), *IN_WINDOW)
    flags = (("ONHOLD", "true"), ("DONOTCUTCHECK", "true"), ("STATUS", "inactive"))
    barred = either(*(Compare("equalto", field, (value,)) for field, value in flags))
    functions = (
        Function("glbatch", Query("GLBATCH", named(path, 1), batches, page=1000).verb()),
        Function("appymt", Query("APPYMT", named(path, 2), every(*IN_WINDOW), page=1000).verb()),
        Function("vendor", Query("VENDOR", named(path, 3), barred, with_private=False, page=1000).verb()),
    )
    vendor = parsed(sample(f"requests/{path}.xml")).findall(".//query")[2]
    etree.SubElement(vendor, "offset").text = "0"  # the sample leaves the default out
    made = parsed(build(SENDER, "1700000000-0001", SESSION, functions))
    whole = parsed(sample(f"requests/{path}.xml"))
    assert shape(made.findall(".//query")[2], without=("orderby",)) == shape(vendor)
    assert [shape(item) for item in made.findall(".//query")[:2]] == [
        shape(item) for item in whole.findall(".//query")[:2]
    ]
    for each in (made, whole):
        for query in each.findall(".//query"):
            query.clear()
    assert shape(made) == shape(whole)
    assert made.find("operation").attrib == {"transaction": "false"}  # type: ignore[union-attr]


def test_lines_by_their_batches() -> None:
    path = "04_query_glentry_in_batches"
    query = Query("GLENTRY", named(path), Compare("in", "BATCHNO", ("6679", "6680")))
    assert built(SESSION, Function("glentry-p1", query.verb())) == expected(path)


def test_the_legacy_reads() -> None:
    fields = ("RECORDNO", "STATE", "VENDORID", "VENDORNAME", "CURRENCY", "TRX_TOTALENTERED", "WHENMODIFIED")
    text = "STATE in ('C','V') AND WHENMODIFIED >= '01/08/2019 22:00:00'"
    verb = queries.read_by_query("APPYMT", fields, text)
    assert built(SESSION, Function("appymt-legacy", verb)) == expected("05_readbyquery_appymt")
    verb = queries.read_more("7765623332WU1hh8CoA4QAAHxI9i8AAAAA5")
    assert built(SESSION, Function("appymt-legacy-2", verb)) == expected("06_readmore")


def test_the_users_formatting() -> None:
    functions = (
        Function("user", queries.read_by_name("USERINFO", "ws_reader", ("RECORDNO",))),
        Function("fmt", queries.read_user_formatting("20")),
    )
    assert built(SESSION, *functions) == expected("08_user_formatting")


def test_conditions_as_text() -> None:
    where = either(
        between("WHENMODIFIED", FROM, UNTIL),
        every(Compare("isnull", "WHENMODIFIED"), Compare("equalto", "STATUS", ("inactive",))),
        Compare("in", "VENDORID", ("O'Hara", "a\\b")),
    )
    assert where.as_text() == (
        f"((WHENMODIFIED > '{FROM}' AND WHENMODIFIED <= '{UNTIL}') OR (WHENMODIFIED IS NULL AND STATUS = 'F') "
        r"OR VENDORID in ('O\'Hara','a\\b'))"
    )


def test_what_is_selected_exists_at_the_vendor() -> None:
    known = json.loads((FIXTURES / "fields.json").read_text())
    for name, fields in (
        ("GLBATCH", BATCH_FIELDS),
        ("GLENTRY", ENTRY_FIELDS),
        ("APPYMT", PAYMENT_FIELDS),
        ("VENDOR", VENDOR_FIELDS),
    ):
        assert set(fields) <= set(known[name])


def test_values_are_escaped_and_nonsense_is_refused() -> None:
    body = build(Sender("a&b", "<x>"), "1", SESSION, [])
    assert b"<senderid>a&amp;b</senderid><password>&lt;x&gt;</password>" in body
    with pytest.raises(Misconfigured, match="cannot be sent"):
        build(Sender("a", "b\x01"), "1", SESSION, [])
