"""FreshBooks' signature: over the form's fields in the order of the wire, whatever they hold."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.kernel.contracts import Handshake, Notice, Parsed, Request, Secrets
from connector.kernel.errors import BadSignature
from sources.freshbooks import webhook

FIXTURES = Path(__file__).parent / "fixtures"
CASES = json.loads((FIXTURES / "webhook_cases.json").read_text())
VERIFIER = "fake-verifier-0001-not-a-secret"


def request(body: bytes, signature: str | None) -> Request:
    headers = {} if signature is None else {webhook.SIGNATURE: signature}
    return Request("POST", "/", headers, body, dt.datetime(2026, 11, 20, tzinfo=dt.UTC))


def sign(text: str, verifier: str = VERIFIER) -> str:
    return base64.b64encode(hmac.new(verifier.encode(), text.encode(), hashlib.sha256).digest()).decode()


def is_taken(body: bytes, signature: str | None, verifier: str = VERIFIER) -> bool:
    try:
        webhook.verify(request(body, signature), Secrets({"webhook_verifier": verifier}))
    except BadSignature:
        return False
    return True


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_the_vendors_cases(case: dict[str, Any]) -> None:
    body = case["body"].encode()
    assert webhook.signed_text(webhook.read_fields(body)).decode() == case["signed_text_expected"]
    header = case["headers"].get("X-FreshBooks-Hmac-SHA256")
    assert is_taken(body, header, case["verifier_on_file"] or "") is bool(case["expect_signature_valid"])


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"name=a.b&note=", '{"name": "a.b", "note": ""}'),
        (b"b=1&a=2", '{"b": "1", "a": "2"}'),
        (b"name=Caf%C3%A9+%26+Co", '{"name": "Caf\\u00e9 & Co"}'),
        ("name=Café".encode(), '{"name": "Caf\\u00e9"}'),
        (b"name=%F0%9F%92%B0", '{"name": "\\ud83d\\udcb0"}'),
        (b"a=1&a=2", '{"a": "2"}'),
        (b"q=%22%2F%5C", '{"q": "\\"/\\\\"}'),
    ],
)
def test_blanks_odd_orders_and_foreign_letters(body: bytes, text: str) -> None:
    assert is_taken(body, sign(text))
    assert not is_taken(body, sign(text, "another"))
    assert not is_taken(body, sign(json.dumps(json.loads(text), separators=(",", ":"))))


@pytest.mark.parametrize("header", [None, "", "é", "!!!!", "IyLv9GoP", base64.b64encode(b"x" * 32).decode()])
def test_a_wrong_header_is_refused(header: str | None) -> None:
    assert not is_taken(CASES[0]["body"].encode(), header)


def test_any_of_several_verifiers_may_have_signed_and_none_is_none() -> None:
    text = '{"name": "invoice.create"}'
    assert is_taken(b"name=invoice.create", sign(text, "second"), "first\nsecond")
    assert not is_taken(b"name=invoice.create", sign(text, ""), "")
    assert not is_taken(b"name=invoice.create", sign(text, "none"), "")


def test_the_handshake_as_it_was_seen() -> None:
    body = (FIXTURES / "webhook_handshake_seen_in_the_wild.txt").read_bytes().strip()
    fields = webhook.read_fields(body)
    assert list(fields) == ["user_id", "name", "verifier", "object_id", "account_id", "system"]
    webhook.verify(request(body, sign(json.dumps(fields), fields["verifier"])), None)
    with pytest.raises(BadSignature):
        webhook.verify(request(body, None), None)
    assert webhook.parse(request(body, "")) == Parsed(
        handshakes=(Handshake("778599", "FAKEVERIFIERFAKEVERIFIERFAKE0001"),)
    )
    assert "FAKE" not in repr(webhook.parse(request(body, "")).handshakes[0])


def test_a_notice() -> None:
    body = CASES[0]["body"]
    assert webhook.parse(request(body.encode(), "")) == Parsed(
        (
            Notice(
                account="6BApk", record="invoice", record_id="1234567", operation="created",
                change_key="invoice|1234567|created", raw=body, settle_seconds=5.0,
            ),
        )
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "record", "operation", "unknown"),
    [
        ("invoice.sendByEmail", "invoice", "emailed", ""),
        ("bill.update", "bill", "updated", ""),
        ("expense.delete", "expense", "deleted", ""),
        ("payment", "payment", "updated", ""),
        ("time_entry.create", "", "created", "no integration tells of time_entry records"),
        ("bill.sendByEmail", "bill", "emailed", ""),
        ("invoice.<b>", "invoice", "", "no integration knows the operation unnamed"),
    ],
)
def test_names_of_events(name: str, record: str, operation: str, unknown: str) -> None:
    body = urlencode({"name": name, "object_id": "7", "account_id": "6BApk"}).encode()
    (notice,) = webhook.parse(request(body, "")).notices
    assert (notice.record, notice.operation, notice.unknown, notice.problem) == (record, operation, unknown, "")
    assert notice.delivery_key == notice.change_key == ""


@given(
    st.dictionaries(st.text(min_size=1, max_size=20), st.text(max_size=40), min_size=1, max_size=12),
    st.text(min_size=1),
)
def test_whatever_is_signed_as_documented_is_taken(fields: dict[str, str], verifier: str) -> None:
    fields = {
        key.encode("utf-8", "replace").decode(): value.encode("utf-8", "replace").decode()
        for key, value in fields.items()
    }
    verifier = "".join(verifier.encode("utf-8", "replace").decode().split()) or "v"
    body = urlencode(fields).encode()
    if webhook.is_handshake(fields):
        return
    assert is_taken(body, sign(json.dumps(fields), verifier), verifier)
    assert not is_taken(body + b"&more=1", sign(json.dumps(fields), verifier), verifier)


@given(st.binary(max_size=300))
def test_no_bytes_trip_the_parser(body: bytes) -> None:
    parsed = webhook.parse(request(body, ""))
    assert len(parsed.notices) + len(parsed.handshakes) == 1
    assert not is_taken(body, sign(body.decode("latin-1")))
