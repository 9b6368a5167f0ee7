"""The stand-in's webhook sender: the vendor's two envelopes, its signature, and its stubborn order of delivery."""

from __future__ import annotations

import base64
import collections
import dataclasses
import datetime as dt
import hashlib
import hmac
import http.client
import itertools
import json
import threading
import uuid
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

#: The vendor gives up on an answer after this many seconds.
ACKNOWLEDGE_SECONDS = 3.0
MAX_EVENTS = 100
#: The vendor repeats after 0, 10, 20, 30 s, 5 and 20 min, 2, 4, 6 h and then every 6 h; the same order, in short.
RETRY_SECONDS = (0.0, 0.1, 0.2, 0.3, 1.0, 2.0, 5.0)

_SOURCE = "intuit.ZmFrZS1zb3VyY2UtaGFzaC1mb3ItdGVzdHM="
#: Any spelling of an operation -> the legacy word and the CloudEvents word.
_OPERATIONS = {
    spelling: words
    for spellings, words in (
        (("create", "created"), ("Create", "created")),
        (("update", "updated"), ("Update", "updated")),
        (("delete", "deleted"), ("Delete", "deleted")),
        (("merge", "merged"), ("Merge", "merged")),
        (("void", "voided"), ("Void", "void")),
        (("emailed",), ("Emailed", "emailed")),
    )
    for spelling in spellings
}


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """Something that happened to a record. `operation` is created, updated, deleted, merged, voided or emailed.

    Without `at` it happened at the time of sending; `event_id` is the CloudEvents id, the same on every redelivery;
    `deleted_id` is the record that vanished in a merge.
    """

    realm: str
    entity: str
    id: str
    operation: str
    at: dt.datetime | None = None
    event_id: str = ""
    deleted_id: str = ""


def build(changes: Sequence[Change], style: str, verifier_token: str, now: dt.datetime) -> tuple[bytes, dict[str, str]]:
    """The exact body and the headers, signed, of one notification; `style` is "cloudevents" or "legacy"."""
    events: Any = _legacy(changes, now) if style == "legacy" else [_cloud_event(change, now) for change in changes]
    body = json.dumps(events, separators=(",", ":")).encode()
    digest = hmac.new(verifier_token.encode(), body, hashlib.sha256).digest()
    is_legacy = style == "legacy"
    return body, {
        "Content-Type": "application/json; charset=utf-8" if is_legacy else "application/cloudevents+json",
        "Accept": "application/json",
        "User-Agent": "intuit_notification_server/0.1",
        "intuit-signature": base64.b64encode(digest).decode(),
        "intuit-created-time": f"{now:%Y-%m-%dT%H:%M:%S%z}",
        "intuit-t-id": str(uuid.uuid4()),
        "intuit-notification-schema-version": "0.1" if is_legacy else "1.0",
    }


def post(url: str, body: bytes, headers: dict[str, str]) -> int:
    """The status of the answer; 0 when none came within the vendor's three seconds. Redirects are not followed."""
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.netloc, timeout=ACKNOWLEDGE_SECONDS)
    try:
        connection.request("POST", parts._replace(scheme="", netloc="").geturl() or "/", body, headers)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


def _cloud_event(change: Change, now: dt.datetime) -> dict[str, Any]:
    at = (change.at or now).astimezone(dt.UTC)
    return {
        "specversion": "1.0",
        "id": change.event_id or str(uuid.uuid4()),
        "source": _SOURCE,
        "type": f"qbo.{change.entity.lower()}.{_words(change)[1]}.v1",
        "datacontenttype": "application/json",
        # Nine digits as the vendor sends them; the clock knows six, the rest only has to be there.
        "time": f"{at:%Y-%m-%dT%H:%M:%S.%f}{at.microsecond * 7 % 1000:03d}Z",
        "intuitentityid": change.id,
        "intuitaccountid": change.realm,
        "data": {"deletedid": change.deleted_id} if change.deleted_id else {},
    }


def _legacy(changes: Sequence[Change], now: dt.datetime) -> dict[str, Any]:
    realms: dict[str, list[dict[str, str]]] = {}
    for change in changes:
        at = (change.at or now).astimezone(dt.UTC)
        entity = {
            "name": change.entity,
            "id": change.id,
            "operation": _words(change)[0],
            "lastUpdated": f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z",
        }
        if change.deleted_id:
            entity["deletedId"] = change.deleted_id
        realms.setdefault(change.realm, []).append(entity)
    notifications = [{"realmId": realm, "dataChangeEvent": {"entities": rows}} for realm, rows in realms.items()]
    return {"eventNotifications": notifications}


def _words(change: Change) -> tuple[str, str]:
    return _OPERATIONS[change.operation.lower()]


class Sender:
    """Sends changes to one URL in order; a notification that is not answered with 200 holds back all later ones."""

    def __init__(
        self,
        url: str,
        builder: Callable[[Sequence[Change]], tuple[bytes, dict[str, str]]],
        *,
        gather_seconds: float = 0.05,
        retry_seconds: Sequence[float] = RETRY_SECONDS,
    ) -> None:
        self._url = url
        self._builder = builder
        self._gather_seconds = gather_seconds
        self._retry_seconds = retry_seconds
        self._waiting: collections.deque[Change] = collections.deque()
        self._unsettled = 0
        self._turn = threading.Condition()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def add(self, change: Change) -> None:
        with self._turn:
            self._waiting.append(change)
            self._unsettled += 1
            self._turn.notify_all()

    def settle(self, seconds: float) -> bool:
        """Waits until everything added so far has been acknowledged; False when that took too long."""
        with self._turn:
            return self._turn.wait_for(lambda: self._unsettled == 0, seconds)

    def stop(self) -> None:
        self._stopping.set()
        with self._turn:
            self._turn.notify_all()
        self._thread.join(ACKNOWLEDGE_SECONDS + 1)

    def _run(self) -> None:
        while batch := self._take():
            body, headers = self._builder(batch)
            pauses = itertools.chain(self._retry_seconds, itertools.repeat(self._retry_seconds[-1]))
            while post(self._url, body, headers) != http.client.OK:
                if self._stopping.wait(next(pauses)):
                    return
            with self._turn:
                self._unsettled -= len(batch)
                self._turn.notify_all()

    def _take(self) -> list[Change]:
        """The next notification's changes; none when the sender stops."""
        with self._turn:
            self._turn.wait_for(lambda: self._waiting or self._stopping.is_set())
        if self._stopping.wait(self._gather_seconds):
            return []
        with self._turn:
            return [self._waiting.popleft() for _ in range(min(MAX_EVENTS, len(self._waiting)))]
