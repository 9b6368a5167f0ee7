"""Intuit's webhooks: the signature, and both bodies (CloudEvents, and the legacy envelope) as notices.

Vendor documentation: developer.intuit.com, "Webhooks"; change of format announced on 2025-11-12.
"""

from __future__ import annotations

import binascii
import dataclasses
import datetime as dt
import hashlib
import hmac
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from connector.kernel.contracts import Notice, Parsed, Request
from connector.kernel.errors import BadSignature
from connector.kernel.values import BadValue, dig, moment, parse_json, text
from sources.quickbooks_online.documents import identifier, stamp
from sources.quickbooks_online.entities import BY_WORD, NAMED

SIGNATURE = "intuit-signature"
#: The vendor's words of both formats (the void of CloudEvents is "void", some consumers saw "voided").
OPERATIONS = {
    "create": "created",
    "created": "created",
    "update": "updated",
    "updated": "updated",
    "delete": "deleted",
    "deleted": "deleted",
    "merge": "merged",
    "merged": "merged",
    "void": "voided",
    "voided": "voided",
    "emailed": "emailed",
}
_WORD = re.compile(r"[a-z]{1,40}")
_EVENT_ID = re.compile(r"[!-~]{1,100}")

T = TypeVar("T")


def verify(request: Request, tokens: str) -> None:
    """Raises `BadSignature` unless one of the comma-separated verifier tokens signed these very bytes."""
    given = _digest(request.headers.get(SIGNATURE, ""))
    known = [token.strip().encode() for token in tokens.split(",") if token.strip()]
    is_good = False
    # Without a token a digest is computed all the same, so that the time taken tells nothing.
    for token in known or [b"none"]:
        made = hmac.new(token, request.body, hashlib.sha256).digest()
        is_good |= hmac.compare_digest(made, given)
    if not known:
        raise BadSignature("QUICKBOOKS_ONLINE_WEBHOOK_TOKEN is not set, so no webhook can be trusted")
    if not is_good:
        raise BadSignature("the signature is missing or belongs to other bytes or another verifier token")


def _digest(value: str) -> bytes:
    try:
        return binascii.a2b_base64(value.encode("ascii"), strict_mode=True)
    except ValueError:
        return b""


def parse(request: Request) -> Parsed:
    """Every change that the body tells of; what cannot be understood is a notice with a `problem`."""
    digest = hashlib.sha256(request.body).hexdigest()
    try:
        events = list(_events(parse_json(request.body)))
    except BadValue as error:
        raw = request.body.decode("utf-8", "replace")
        return Parsed((Notice(account="", delivery_key=digest, raw=raw, problem=str(error)),))
    return Parsed(tuple(_notice(event, f"{digest}:{position}") for position, event in enumerate(events)))


@dataclasses.dataclass(frozen=True, slots=True)
class _Event:
    """One element of either format. `holder` is where the company is named."""

    element: Any
    holder: Any
    is_legacy: bool

    def account(self) -> str:
        return identifier(self.holder, "realmId" if self.is_legacy else "intuitaccountid")

    def record_id(self) -> str:
        return identifier(self.element, "id" if self.is_legacy else "intuitentityid")

    def occurred_at(self) -> dt.datetime | None:
        return moment(self.element, "lastUpdated" if self.is_legacy else "time")

    def words(self) -> tuple[str, str]:
        """The entity and the operation, in the vendor's words and lower case; empty where the type has none."""
        if self.is_legacy:
            return _needed(self.element, "name").lower(), _needed(self.element, "operation").lower()
        parts = _needed(self.element, "type").lower().split(".")
        return (parts[1], parts[2]) if len(parts) >= 3 and parts[0] == "qbo" else ("", "")

    def key(self) -> str:
        """What a redelivery repeats: the CloudEvents ID. Legacy events have none."""
        event_id = "" if self.is_legacy else text(self.element, "id")
        if event_id and not _EVENT_ID.fullmatch(event_id):
            event_id = hashlib.sha256(event_id.encode("utf-8", "surrogatepass")).hexdigest()
        return event_id and f"ce:{event_id}"


def _events(document: Any) -> Iterator[_Event]:
    """The elements of either body. Raises `BadValue` when it is neither."""
    if isinstance(document, Mapping) and "specversion" in document:
        document = [document]
    if isinstance(document, list):
        yield from (_Event(element, element, is_legacy=False) for element in document)
        return
    realms = dig(document, "eventNotifications")
    if not isinstance(realms, list):
        raise BadValue("the body is neither a list of CloudEvents nor an eventNotifications envelope")
    for realm in realms:
        entities = dig(realm, "dataChangeEvent", "entities")
        # A realm without its list is told as it came, and found to be a problem.
        for element in entities if isinstance(entities, list) else [realm]:
            yield _Event(element, realm, is_legacy=True)


def _notice(event: _Event, fallback: str) -> Notice:
    """The event as a notice. Each part is read by itself, so that a bad one leaves the others known."""
    problems: list[str] = []

    def part(read: Callable[[], T], missing: T) -> T:
        try:
            return read()
        except BadValue as error:
            problems.append(str(error))
            return missing

    account, record_id = part(event.account, ""), part(event.record_id, "")
    (word, verb), at, key = part(event.words, ("", "")), part(event.occurred_at, None), part(event.key, "")
    entity, operation = BY_WORD.get(word), OPERATIONS.get(verb, "")
    change_key = "" if problems else change_key_of(_told(word), record_id, operation or _told(verb), at)
    return Notice(
        account=account,
        record=entity.record if entity else NAMED.get(word, ""),
        record_id=record_id,
        operation=operation,
        occurred_at=at,
        delivery_key=key or ("" if change_key else fallback),
        change_key=change_key,
        raw=_compact(event.element),
        problem="; ".join(problems),
        unknown="" if problems else _unknown(word, verb),
    )


def change_key_of(word: str, record_id: str, operation: str, at: dt.datetime | None) -> str:
    """The same for one change whichever way it was learnt; empty when its time is not known."""
    return f"{word}|{record_id}|{operation}|{stamp(at)}" if at else ""


def _unknown(word: str, verb: str) -> str:
    if word not in BY_WORD:
        return f"no integration tells of {_told(word)} records"
    return "" if verb in OPERATIONS else f"no integration knows the operation {_told(verb)}"


def _told(word: str) -> str:
    """A word of the vendor's, if it is one."""
    return word if _WORD.fullmatch(word) else "unnamed"


def _needed(element: Any, key: str) -> str:
    value = text(element, key)
    if not value:
        raise BadValue(f"{key} is missing")
    return value


def vanished_id(raw: str) -> str:
    """The ID that a merge did away with, from a notice's own text; empty when it does not say."""
    try:
        element = parse_json(raw)
        for place in (element, dig(element, "data")):
            for key in ("deletedId", "deletedid"):
                if found := text(place, key):
                    return found
    except BadValue:
        pass
    return ""


def _compact(element: Any) -> str:
    return json.dumps(element, separators=(",", ":"), default=str)
