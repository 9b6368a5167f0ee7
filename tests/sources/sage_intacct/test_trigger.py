"""The signed call that asks for a reading now."""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.kernel.contracts import Parsed, Request, Secrets
from connector.kernel.errors import BadSignature
from tests.sources.sage_intacct.wire import SOURCE

NOW = dt.datetime(2026, 11, 20, 12, 0, tzinfo=dt.UTC)
STAMP = int(NOW.timestamp())
SECRETS = Secrets({"trigger_secret": "fake-trigger"})
BODY = b'{"reason": "posted"}'


def signed(body: bytes = BODY, *, at: int = STAMP, secret: str = "fake-trigger") -> str:
    digest = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={digest}"


def request(header: str, body: bytes = BODY) -> Request:
    headers = {"x-connector-signature": header} if header else {}
    return Request("POST", "/webhooks/sage-intacct/acme-intacct/", headers, body, NOW)


@pytest.mark.parametrize("at", [STAMP, STAMP - 300, STAMP + 300])
def test_a_good_signature(at: int) -> None:
    SOURCE.verify(request(signed(at=at)), {}, SECRETS)
    SOURCE.verify(request(signed(b"", at=at), b""), {}, SECRETS)


@pytest.mark.parametrize(
    "header",
    [
        "",
        signed(at=STAMP - 301),
        signed(at=STAMP + 301),
        signed(b"another"),
        signed(secret="another"),
        signed().replace(f"t={STAMP}", f"t={STAMP + 1}"),
        signed().replace("v1=", "v0="),
        signed()[:-1],
        f"{signed()},v1=00",
        f"t={STAMP},v1={'é' * 64}",
        "t=99999999999999999999,v1=" + "0" * 64,
    ],
)
def test_any_other_is_refused(header: str) -> None:
    with pytest.raises(BadSignature):
        SOURCE.verify(request(header), {}, SECRETS)


@pytest.mark.parametrize("secrets", [None, Secrets({}), Secrets({"trigger_secret": ""})])
def test_without_a_secret_nothing_is_trusted(secrets: Secrets | None) -> None:
    for secret in ("", "none", "fake-trigger"):
        with pytest.raises(BadSignature, match="no trigger_secret"):
            SOURCE.verify(request(signed(secret=secret)), {}, secrets)


@given(st.text(), st.binary())
def test_nothing_that_is_sent_breaks_it(header: str, body: bytes) -> None:
    with pytest.raises(BadSignature):
        SOURCE.verify(request(header, body), {}, SECRETS)
    assert SOURCE.parse(request(header, body)) == Parsed(is_wake=True)
