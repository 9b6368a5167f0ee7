"""Change events: captured ones and samples to their last byte, bitmaps of any width, and bytes that are none."""

from __future__ import annotations

import base64
import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.kernel.values import BadValue
from sources.salesforce.decode import Schema, decode, names_of, positions, read_schema

FIXTURES = Path(__file__).parent / "fixtures"
SCHEMAS = {
    "/data/AccountChangeEvent": "AccountChangeEvent.avsc",
    "/data/OrderChangeEvent": "OrderChangeEvent.avsc",
    "real": "real_capture/AccountChangeEvent.avsc",
}
SAMPLES: list[dict[str, Any]] = json.loads((FIXTURES / "events.json").read_text())
CAPTURED: list[dict[str, Any]] = json.loads((FIXTURES / "real_capture" / "events.json").read_text())
WIDE = Schema(None, tuple(f"F{index}" for index in range(100)), {4: tuple("abcdef"), 7: tuple("xyz")})


def schema_of(case: dict[str, Any]) -> Schema:
    return read_schema((FIXTURES / SCHEMAS[case.get("topic", "real")]).read_text())


def payload_of(case: dict[str, Any]) -> bytes:
    return base64.b64decode(case["event"]["payload_base64"])


@pytest.mark.parametrize("case", SAMPLES + CAPTURED, ids=lambda case: case.get("name") or case["event"]["id"])
def test_an_event_decodes_as_documented(case: dict[str, Any]) -> None:
    event = decode(schema_of(case), payload_of(case))
    wanted = case["decoded"]
    header = wanted["header"]
    assert event.header == header
    assert {key: value for key, value in event.body.items() if value is not None} == wanted["non_null"]
    assert sorted(event.changed) == sorted(wanted["changed"])
    assert sorted(event.nulled) == sorted(wanted.get("nulled", []))
    assert (event.entity, event.change, event.record_ids) == (
        header["entityName"],
        header["changeType"],
        tuple(header["recordIds"]),
    )
    assert (event.transaction, event.sequence) == (header["transactionKey"], header["sequenceNumber"])
    assert (event.user, event.origin) == (header["commitUser"], header["changeOrigin"])
    assert event.committed_at == dt.datetime.fromtimestamp(header["commitTimestamp"] / 1000, dt.UTC)
    assert json.loads(event.raw()) == header


@pytest.mark.parametrize("case", SAMPLES + CAPTURED, ids=lambda case: case.get("name") or case["event"]["id"])
def test_an_event_that_is_cut_or_too_long_is_refused(case: dict[str, Any]) -> None:
    schema, payload = schema_of(case), payload_of(case)
    with pytest.raises(BadValue, match="does not fit"):
        decode(schema, payload[:-1])
    with pytest.raises(BadValue, match="longer"):
        decode(schema, payload + b"\0")


def test_an_event_is_not_read_by_the_schema_of_another() -> None:
    with pytest.raises(BadValue):
        decode(schema_of(CAPTURED[0]), payload_of(SAMPLES[0]))


@given(payload=st.binary(max_size=400))
def test_bytes_that_are_no_event_are_a_bad_value(payload: bytes) -> None:
    try:
        decode(ACCOUNT, payload)
    except BadValue as error:
        assert "\\x" not in str(error)


ACCOUNT = schema_of(SAMPLES[0])


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"type":"record","name":"X","fields":[{"name":"a","type":"Nope"}]}'])
def test_a_schema_that_cannot_be_read_is_a_bad_value(text: str) -> None:
    with pytest.raises(BadValue, match="schema"):
        read_schema(text)


def test_a_second_address_is_known_by_the_name_of_its_type() -> None:
    schema = schema_of(CAPTURED[0])
    index = schema.fields.index("ShippingAddress")
    assert schema.children[index] == schema.children[schema.fields.index("BillingAddress")]
    assert schema.children[index][:2] == ("Street", "City")


@pytest.mark.parametrize("case", json.loads((FIXTURES / "bitmap_cases.json").read_text()), ids=str)
def test_the_documented_bitmaps(case: dict[str, Any]) -> None:
    if "expect" in case:
        assert names_of(ACCOUNT, case["bitmaps"]) == tuple(case["expect"])
        return
    top = [f"F{bit}" for bit in case["set_bits"]]
    nested = {"4-0x10": ["F4.e"], "7-0x06": ["F7.y", "F7.z"]}
    assert names_of(WIDE, case["bitmaps"]) == tuple(
        top + [name for element in case["bitmaps"] for name in nested.get(element, [])]
    )


@given(bits=st.sets(st.integers(0, 99)), nested=st.dictionaries(st.sampled_from([4, 7]), st.sets(st.integers(0, 2))))
def test_a_bitmap_names_exactly_the_bits_that_are_set(bits: set[int], nested: dict[int, set[int]]) -> None:
    written = [f"0x{sum(1 << bit for bit in bits):X}"] if bits else []
    written += [f"{parent}-0x{sum(1 << bit for bit in children):04x}" for parent, children in nested.items()]
    names = {f"F{bit}" for bit in bits}
    names |= {f"F{parent}.{WIDE.children[parent][bit]}" for parent, children in nested.items() for bit in children}
    found = names_of(WIDE, written)
    assert set(found) == names
    assert len(found) == len(names)


@given(bits=st.sets(st.integers(0, 700)))
def test_positions_of_any_width(bits: set[int]) -> None:
    assert positions(f"{sum(1 << bit for bit in bits):0400X}") == sorted(bits)


def test_bits_beyond_the_known_fields_are_left_out() -> None:
    assert names_of(WIDE, ["0x1" + "0" * 40 + "2", "4-0xFF", "9-0x01", "200-0x01"]) == (
        "F1", "F4.a", "F4.b", "F4.c", "F4.d", "F4.e", "F4.f",
    )  # fmt: skip


@pytest.mark.parametrize("element", ["", "0x", "02", "x-0x02", "4-", "4-0x02-0x01", None, 2])
def test_a_bitmap_that_cannot_be_read_is_a_bad_value(element: Any) -> None:
    with pytest.raises(BadValue, match="bitmap"):
        names_of(WIDE, [element])
