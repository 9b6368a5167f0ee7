"""The call by which Intacct (a Platform Services trigger) asks to be read now.

The body says nothing that is believed; only that somebody who knows the secret called a moment ago.
"""

from __future__ import annotations

import hashlib
import hmac
import re

from connector.kernel.contracts import Parsed, Request, Secrets
from connector.kernel.errors import BadSignature

SIGNATURE = "x-connector-signature"
#: Seconds by which the call's own time may differ from ours.
TOLERANCE = 300
_FORM = re.compile(r"t=(\d{1,12}),\s*v1=([0-9a-fA-F]{64})")


def verify(request: Request, secrets: Secrets | None) -> None:
    """Raises `BadSignature` unless the header holds a fresh HMAC-SHA256 of "<time>.<body>" with the secret."""
    found = _FORM.fullmatch(request.headers.get(SIGNATURE, "").strip())
    stamp, given = found.groups() if found else ("0", "0" * 64)
    secret = secrets.get("trigger_secret") if secrets else ""
    # Without a secret a digest is computed all the same, so that the time taken tells nothing.
    text = stamp.encode() + b"." + request.body
    made = hmac.new((secret or "none").encode("utf-8", "replace"), text, hashlib.sha256).digest()
    is_good = hmac.compare_digest(made, bytes.fromhex(given))
    if not secret:
        raise BadSignature("the connection has no trigger_secret, so no call for it can be trusted")
    if found is None or not is_good:
        raise BadSignature("the signature is missing or belongs to another body or secret")
    if abs(request.received_at.timestamp() - int(stamp)) > TOLERANCE:
        raise BadSignature("the call is too old")


def parse(request: Request) -> Parsed:
    """A wake-up, whatever the body says."""
    return Parsed(is_wake=True)
