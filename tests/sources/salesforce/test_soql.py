"""Literals, IDs and names in statements, and the JSON of bodies."""

from __future__ import annotations

import datetime as dt
import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.kernel.errors import Misconfigured, Reject
from sources.salesforce import soql
from sources.salesforce.body import encode

QUERY = json.loads((Path(__file__).parent / "fixtures" / "http" / "query.json").read_text())
_BACK = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}


@pytest.mark.parametrize("case", QUERY["soql_escape_cases"], ids=lambda case: case["literal"])
def test_the_documented_escapes(case: dict[str, str]) -> None:
    assert soql.literal(case["value"]) == case["literal"]


@given(value=st.text())
def test_a_literal_ends_where_it_should_and_means_what_was_given(value: str) -> None:
    written = soql.literal(value)
    inner = re.fullmatch(r"'((?:[^'\\]|\\.)*)'", written, re.DOTALL)
    assert inner is not None
    assert re.sub(r"\\(.)", lambda found: _BACK.get(found[1], found[1]), inner[1], flags=re.DOTALL) == value


def test_lists_statements_and_instants() -> None:
    assert soql.literals(["a", "O'Hara"]) == "('a','O\\'Hara')"
    assert soql.select(["Id", "Name", "Id"], "Account") == "SELECT Id, Name FROM Account"
    assert soql.select(["Id"], "Order", "Id IN ('1')") == "SELECT Id FROM Order WHERE Id IN ('1')"
    local = dt.datetime(2026, 11, 20, 1, 2, 3, 999, dt.timezone(-dt.timedelta(hours=3)))
    assert soql.instant(local) == "2026-11-20T04:02:03Z"


@pytest.mark.parametrize(
    ("short", "long"),
    [
        ("001Dp00000JJkkH", "001Dp00000JJkkHIAT"),
        ("00D000000000001", "00D000000000001EAA"),
        ("Z" * 15, "Z" * 15 + "555"),
    ],
)
def test_an_id_of_15_characters_becomes_one_of_18(short: str, long: str) -> None:
    assert soql.full_id(short) == soql.full_id(long) == long


@pytest.mark.parametrize("value", ["", "001", "001Sm00000Acct1IA", "001Sm00000Acct'", "001Sm00000Acct1IAA ", "é" * 15])
def test_what_is_no_id_is_refused(value: str) -> None:
    with pytest.raises(Reject):
        soql.full_id(value)


@pytest.mark.parametrize("value", ["", "1A", "A B", "A,B", "A'", "A.B", "(SELECT", "A" * 81])
def test_what_is_no_field_name_is_refused(value: str) -> None:
    with pytest.raises(Misconfigured):
        soql.name(value)


def test_bodies_keep_exact_digits() -> None:
    body: dict[str, Any] = {
        "Amount": Decimal("362.070"), "Tiny": Decimal("1E-7"), "Name": "O'Hara \"x\"\n",
        "CloseDate": dt.date(2026, 11, 20), "At": dt.datetime(2026, 11, 20, 4, tzinfo=dt.UTC),
        "Cleared": None, "Flag": True, "Rows": [{"Count": 3}],
    }  # fmt: skip
    assert encode(body) == (
        '{"Amount":362.070,"Tiny":0.0000001,"Name":"O\'Hara \\"x\\"\\n","CloseDate":"2026-11-20",'
        '"At":"2026-11-20T04:00:00Z","Cleared":null,"Flag":true,"Rows":[{"Count":3}]}'
    )
