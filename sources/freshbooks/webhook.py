"""FreshBooks' callbacks: the signature, the handshake, and the form fields as a notice.

Source: freshbooks.com/api/webhooks. The signed text is not the body: it is a JSON object of all form fields, in the
order in which they came, as Python's `json.dumps` writes it by default.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from urllib.parse import parse_qsl

from connector.kernel.contracts import Handshake, Notice, Parsed, Request, Secrets
from connector.kernel.errors import BadSignature
from connector.kernel.values import BadValue
from sources.freshbooks.entities import BY_RECORD

SIGNATURE = "x-freshbooks-hmac-sha256"
HANDSHAKE = "callback.verify"
#: Seconds in which the updates that follow a creation arrive.
SETTLE_SECONDS = 5.0
#: Fields of one body; a real one has eight.
MAX_FIELDS = 100
OPERATIONS = {"create": "created", "update": "updated", "delete": "deleted", "sendByEmail": "emailed"}
_WORD = re.compile(r"[A-Za-z_]{1,40}")
_ID = re.compile(r"[A-Za-z0-9_-]{1,60}")


def read_fields(body: bytes | str) -> dict[str, str]:
    """The form's fields in the order of the wire, blank ones included. Raises `BadValue`."""
    wire = body.decode("utf-8", "replace") if isinstance(body, bytes) else body
    try:
        return dict(parse_qsl(wire, keep_blank_values=True, max_num_fields=MAX_FIELDS))
    except ValueError:
        raise BadValue("the body is not a form") from None


def signed_text(fields: Mapping[str, str]) -> bytes:
    """What FreshBooks computes the signature of."""
    return json.dumps(dict(fields)).encode()


def verify(request: Request, secrets: Secrets | None) -> None:
    """Raises `BadSignature` unless one of the verifiers on file signed these fields.

    A handshake brings its own verifier, so its signature shows no more than that it arrived whole.
    """
    try:
        fields = read_fields(request.body)
    except BadValue:
        fields = {}
    on_file = secrets.get("webhook_verifier").splitlines() if secrets else []
    verifiers = [fields["verifier"]] if is_handshake(fields) else [line for line in on_file if line]
    given, is_good = _digest(request.headers.get(SIGNATURE, "")), False
    # Without a verifier a digest is computed all the same, so that the time taken tells nothing.
    for verifier in verifiers or ["none"]:
        made = hmac.new(verifier.encode("utf-8", "replace"), signed_text(fields), hashlib.sha256).digest()
        is_good |= hmac.compare_digest(made, given)
    if not verifiers:
        raise BadSignature("no verifier is known for this address, so nothing sent to it can be trusted")
    if not is_good:
        raise BadSignature("the signature is missing or belongs to other fields or another verifier")


def _digest(value: str) -> bytes:
    try:
        return binascii.a2b_base64(value.encode("ascii"), strict_mode=True)
    except ValueError:
        return b""


def is_handshake(fields: Mapping[str, str]) -> bool:
    """Whether the fields introduce a callback: no notice of a change carries a verifier."""
    return fields.get("name") == HANDSHAKE and bool(fields.get("verifier")) and bool(_ID.fullmatch(_id(fields)))


def parse(request: Request) -> Parsed:
    """The one change, or the handshake, that the body tells of. What cannot be understood has a `problem`."""
    raw = request.body.decode("utf-8", "replace")
    try:
        fields = read_fields(request.body)
    except BadValue as error:
        digest = hashlib.sha256(request.body).hexdigest()
        return Parsed((Notice(account="", delivery_key=digest, raw=raw, problem=str(error)),))
    if is_handshake(fields):
        return Parsed(handshakes=(Handshake(_id(fields), fields["verifier"]),))
    return Parsed((_notice(fields, raw),))


def _notice(fields: Mapping[str, str], raw: str) -> Notice:
    noun, _, verb = fields.get("name", "").partition(".")
    account, record_id = fields.get("account_id", "").strip(), _id(fields)
    # A callback for a whole noun may leave the verb out; the record read then says what it is.
    operation = OPERATIONS.get(verb, "") if verb else "updated"
    missing = [key for key in ("name", "object_id", "account_id") if not fields.get(key, "").strip()]
    problem = f"{', '.join(missing)} missing" if missing else ""
    if record_id and not _ID.fullmatch(record_id):
        problem, record_id = "object_id is not an ID", ""
    is_known = noun in BY_RECORD and bool(operation)
    digest = hashlib.sha256(raw.encode("utf-8", "replace")).hexdigest()
    return Notice(
        account=account,
        record=noun if noun in BY_RECORD else "",
        record_id=record_id,
        operation=operation,
        # Of other notices a redelivery cannot be told from a second change: the state that is fetched decides.
        delivery_key=digest if problem else "",
        change_key=change_key_of(noun, record_id) if is_known and not problem and operation == "created" else "",
        raw=raw,
        problem=problem,
        unknown="" if problem or is_known else _unknown(noun, verb),
        settle_seconds=SETTLE_SECONDS,
    )


def change_key_of(noun: str, record_id: str) -> str:
    """A record is created once, whichever way that was learnt."""
    return f"{noun}|{record_id}|created"


def _unknown(noun: str, verb: str) -> str:
    if noun not in BY_RECORD:
        return f"no integration tells of {_told(noun)} records"
    return f"no integration knows the operation {_told(verb)}"


def _told(word: str) -> str:
    """A word of the vendor's, if it is one."""
    return word if _WORD.fullmatch(word) else "unnamed"


def _id(fields: Mapping[str, str]) -> str:
    return fields.get("object_id", "").strip()
