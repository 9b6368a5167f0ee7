"""The stand-in's webhooks: callbacks with their verifiers, the signature, and the sender.

Written from freshbooks.com/api/webhooks. How often FreshBooks repeats what is not acknowledged is not documented: a
delivery that fails is lost, unless `Courier.retry_seconds` says otherwise.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import hmac
import http.client
import json
import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

#: FreshBooks waits so long for a 2xx.
ACKNOWLEDGE_SECONDS = 10.0
#: The order of the fields as documented, and as it was seen on an old account.
DOCUMENTED = ("name", "object_id", "account_id", "business_id", "identity_id", "user_id", "verifier")
SEEN = ("user_id", "name", "verifier", "object_id", "account_id", "business_id", "identity_id")

_VERBS = ("create", "update", "delete")
#: Noun -> the scope without which its events cannot be subscribed to.
NOUNS = {
    "bill": "user:bills:read",
    "bill_vendor": "user:bill_vendors:read",
    "category": "user:expenses:read",
    "client": "user:clients:read",
    "credit_note": "user:credit_notes:read",
    "estimate": "user:estimates:read",
    "expense": "user:expenses:read",
    "invoice": "user:invoices:read",
    "item": "user:billable_items:read",
    "payment": "user:payments:read",
    "project": "user:projects:read",
    "recurring": "user:invoices:read",
    "service": "user:billable_items:read",
    "tax": "user:taxes:read",
    "time_entry": "user:time_entries:read",
}
EVENTS = {
    *NOUNS,
    *(f"{noun}.{verb}" for noun in NOUNS for verb in _VERBS),
    *("invoice.sendByEmail", "estimate.sendByEmail"),
}


@dataclasses.dataclass(slots=True)
class Callback:
    """A registered address; `updated` is in the words of the wire."""

    number: int
    account_id: str
    event: str
    uri: str
    verifier: str
    updated: str
    is_verified: bool = False

    def document(self) -> dict[str, Any]:
        return {
            "callbackid": self.number,
            "verified": self.is_verified,
            "uri": self.uri,
            "event": self.event,
            "updated_at": self.updated,
        }

    def wants(self, account_id: str, name: str) -> bool:
        """Whether the event is sent here: events of a noun go to whoever registered the noun, too."""
        is_meant = self.event in (name, name.partition(".")[0])
        return self.is_verified and self.account_id == account_id and is_meant


def sign(body: str, verifier: str) -> str:
    """The signature of a form: over all its fields in their order, as the JSON text that Python makes of them."""
    fields = dict(parse_qsl(body, keep_blank_values=True))
    return base64.b64encode(hmac.new(verifier.encode(), json.dumps(fields).encode(), hashlib.sha256).digest()).decode()


def build(
    fields: Mapping[str, object], verifier: str, order: Sequence[str] = DOCUMENTED
) -> tuple[bytes, Mapping[str, str]]:
    """The exact body and the headers of one delivery; fields that the order does not name come last."""
    named = [name for name in order if name in fields] + [name for name in fields if name not in order]
    body = urlencode([(name, str(fields[name])) for name in named])
    headers = {
        "Content-Type": "application/x-www-form-urlencoded",
        "X-FreshBooks-Hmac-SHA256": sign(body, verifier),
    }
    return body.encode(), headers


def post(url: str, body: bytes, headers: Mapping[str, str]) -> int:
    """The status of the answer; 0 when none came in time. Redirects are not followed."""
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.netloc, timeout=ACKNOWLEDGE_SECONDS)
    try:
        connection.request("POST", parts._replace(scheme="", netloc="").geturl() or "/", body, dict(headers))
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


@dataclasses.dataclass(slots=True)
class Delivery:
    """One form on its way; `answers` are the statuses that it met, 0 for none."""

    callback: Callback
    name: str
    object_id: int
    body: bytes
    headers: Mapping[str, str]
    answers: list[int] = dataclasses.field(default_factory=list)

    def attempt(self) -> bool:
        """Sends it once; whether it was acknowledged."""
        self.answers.append(post(self.callback.uri, self.body, self.headers))
        return 200 <= self.answers[-1] < 300


class Courier:
    """Sends deliveries one after the other from a thread of its own."""

    def __init__(self, is_registered: Callable[[Callback], bool]) -> None:
        #: The pauses before an unacknowledged delivery is sent again.
        self.retry_seconds: Sequence[float] = ()
        #: What is sent from now on gets lost on its way.
        self.loses = False
        self._is_registered = is_registered
        self._waiting: queue.SimpleQueue[Delivery | None] = queue.SimpleQueue()
        self._unsettled = 0
        self._turn = threading.Condition()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def add(self, delivery: Delivery) -> None:
        if self.loses:
            return
        with self._turn:
            self._unsettled += 1
        self._waiting.put(delivery)

    def settle(self, seconds: float) -> bool:
        """Waits until everything added so far has been sent; False when that took too long."""
        with self._turn:
            return self._turn.wait_for(lambda: self._unsettled == 0, seconds)

    def stop(self) -> None:
        self._stopping.set()
        self._waiting.put(None)
        self._thread.join(ACKNOWLEDGE_SECONDS + 1)

    def _run(self) -> None:
        while (delivery := self._waiting.get()) is not None and not self._stopping.is_set():
            self._send(delivery)
            with self._turn:
                self._unsettled -= 1
                self._turn.notify_all()

    def _send(self, delivery: Delivery) -> None:
        for pause in (0.0, *self.retry_seconds):
            if self._stopping.wait(pause) or not self._is_registered(delivery.callback) or delivery.attempt():
                return
