"""The stand-in's events API: callbacks registered, verified, listed and removed, and events sent to them."""

from __future__ import annotations

import itertools
import json
import re
import secrets
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, TypeVar
from urllib.parse import urlsplit

from connector.kernel.standin import Answer, Call, json_answer
from sources.freshbooks.standin_books import Business
from sources.freshbooks.standin_documents import EASTERN
from sources.freshbooks.standin_faults import (
    INVALID_TOKEN,
    NO_RESOURCE,
    UNPROCESSABLE,
    EventsError,
    VendorError,
    throttle,
)
from sources.freshbooks.standin_oauth import AuthorizationServer, Chain
from sources.freshbooks.standin_reads import page_of
from sources.freshbooks.standin_webhooks import DOCUMENTED, EVENTS, NOUNS, Callback, Courier, Delivery, build

_T = TypeVar("_T")


class EventsServer(AuthorizationServer):
    """The webhook half of the stand-in."""

    routes: ClassVar[tuple[tuple[str, str, str], ...]] = (
        *AuthorizationServer.routes,
        ("POST", r"/events/account/([^/]+)/events/callbacks", "_register"),
        ("GET", r"/events/account/([^/]+)/events/callbacks", "_callbacks"),
        *((method, r"/events/account/([^/]+)/events/callbacks/([^/]+)", "_one") for method in ("GET", "PUT", "DELETE")),
    )

    def __init__(self, client_id: str, client_secret: str, *, host: str, port: int) -> None:
        super().__init__(client_id, client_secret, host=host, port=port)
        self.businesses: dict[int, Business] = {}
        #: One of `standin_faults.SHAPES`.
        self.error_shape = "old"
        #: The most requests in so many seconds for one person's tokens; FreshBooks publishes none.
        self.limit: tuple[int, float] | None = None
        #: "at_once" sends it while the registration is answered, "first" before that, "lost" never.
        self.handshakes = "at_once"
        #: The order of the fields of what is sent, and fields besides the documented ones.
        self.field_order: Sequence[str] = DOCUMENTED
        self.extra_fields: dict[str, str] = {}
        self.callbacks: dict[int, Callback] = {}
        #: Everything sent so far, handshakes included.
        self.deliveries: list[Delivery] = []
        self.courier = Courier(lambda callback: callback.number in self.callbacks)
        self._arrivals: defaultdict[int, deque[float]] = defaultdict(deque)
        self._callback_ids = itertools.count(2001)

    def stop(self) -> None:
        self.courier.stop()
        super().stop()

    def business(self, account_id: str) -> Business:
        """The business with this account. Raises `LookupError`."""
        found = (business for business in self.businesses.values() if business.account_id == account_id)
        try:
            return next(found)
        except StopIteration:
            raise LookupError(f"no business has the account {account_id}") from None

    def announce(self, account_id: str, name: str, number: int) -> list[Delivery]:
        """Sends the event to every verified callback that wants it; said again, the forms are the same to the byte."""
        with self.lock:
            wanting = [each for each in self.callbacks.values() if each.wants(account_id, name)]
            deliveries = [self.build(callback, name, number) for callback in wanting]
        for delivery in deliveries:
            self._dispatch(delivery)
        return deliveries

    def build(self, callback: Callback, name: str, number: int, **more: str) -> Delivery:
        """The exact form for a callback, with its signature; nothing is sent."""
        business = self.business(callback.account_id)
        people = (person for person in self.people.values() if person.may_open(callback.account_id))
        fields: dict[str, object] = {
            "name": name,
            "object_id": number,
            "account_id": callback.account_id,
            "business_id": business.business_id,
            "identity_id": next(people).identity_id,
            "user_id": 1,
            **more,
            **self.extra_fields,
        }
        return Delivery(callback, name, number, *build(fields, callback.verifier, self.field_order))

    def settle(self, seconds: float = 5.0) -> bool:
        """Waits until all that was announced has been sent; False when that took too long."""
        return self.courier.settle(seconds)

    def _dispatch(self, delivery: Delivery) -> None:
        with self.lock:
            self.deliveries.append(delivery)
        self.courier.add(delivery)

    def _shake_hands(self, callback: Callback) -> None:
        """Sends the callback its verifier. Never under the lock: the receiver may call back before it answers."""
        delivery = self.build(callback, "callback.verify", callback.number, verifier=callback.verifier)
        if self.handshakes == "at_once":
            self._dispatch(delivery)
        elif self.handshakes == "first":
            self.deliveries.append(delivery)
            delivery.attempt()

    def _register(self, call: Call, match: re.Match[str]) -> Answer:
        account_id = match[1]

        def work(chain: Chain) -> Callback:
            asked = _callback(call)
            event, uri = asked.get("event"), asked.get("uri")
            wrong = {}
            if event not in EVENTS:
                wrong["event"] = ("Value error, Unrecognized event.", "Unrecognized event.")
            if not _is_address(uri):
                text = "Input should be a valid URL, relative URL without a base"
                wrong["uri"] = (text, "Not a well-formed URL.")
            if wrong:
                raise EventsError(422, UNPROCESSABLE, wrong)
            _need(chain, NOUNS[str(event).partition(".")[0]])
            verifier = f"fake-verifier-{secrets.token_urlsafe(18)}"
            callback = Callback(next(self._callback_ids), account_id, str(event), str(uri), verifier, self._stamp())
            self.callbacks[callback.number] = callback
            return callback

        found = self._event(call, account_id, work)
        if isinstance(found, Answer):
            return found
        answer = _result({"callback": found.document()})
        self._shake_hands(found)
        return answer

    def _callbacks(self, call: Call, match: re.Match[str]) -> Answer:
        account_id = match[1]

        def work(chain: Chain) -> Answer:
            wanted = call.query.get("search[event]", "")
            rows = [
                callback.document()
                for callback in self.callbacks.values()
                if callback.account_id == account_id
                and (not wanted or callback.event in (wanted, wanted.partition(".")[0]))
            ]
            try:
                found, counts = page_of(rows, call.query)
            except VendorError as error:
                raise EventsError(400, str(error)) from None
            return _result({"callbacks": found, **counts})

        return self._event(call, account_id, work)

    def _one(self, call: Call, match: re.Match[str]) -> Answer:
        account_id, text = match.groups()
        resent: list[Callback] = []

        def work(chain: Chain) -> Answer:
            callback = self.callbacks.get(int(text) if text.isdecimal() else -1)
            if callback is None or callback.account_id != account_id:
                raise EventsError(404, NO_RESOURCE)
            if call.method == "DELETE":
                del self.callbacks[callback.number]
                return Answer(204)
            if call.method == "PUT" and self._amend(callback, _callback(call)):
                resent.append(callback)
            return _result({"callback": callback.document()})

        answer = self._event(call, account_id, work)
        for callback in resent:
            self._shake_hands(callback)
        return answer

    def _amend(self, callback: Callback, asked: dict[str, Any]) -> bool:
        """Does what a PUT asks; whether the verifier is to be sent again, which only an unverified callback gets."""
        if asked.get("resend") is True:
            return not callback.is_verified
        if not isinstance(asked.get("verifier"), str):
            raise EventsError(422, UNPROCESSABLE, {"verifier": ("Field required", "Missing.")})
        if asked["verifier"] != callback.verifier:
            raise EventsError(422, UNPROCESSABLE, {"verifier": ("Value error, Incorrect verifier.", "Incorrect.")})
        if not callback.is_verified:
            callback.is_verified, callback.updated = True, self._stamp()
        return False

    def _event(self, call: Call, account_id: str, work: Callable[[Chain], _T]) -> _T | Answer:
        with self.lock:
            try:
                chain = self.bearer(call)
                if chain is None:
                    raise EventsError(401, INVALID_TOKEN)
                if self._is_over(chain, call):
                    return throttle()
                if not chain.person.may_open(account_id):
                    raise EventsError(403, "insufficient_scope: The account does not belong to this identity.")
                return work(chain)
            except EventsError as error:
                return error.answer(self.error_shape)

    def _stamp(self) -> str:
        return f"{self.now().astimezone(EASTERN):%Y-%m-%d %H:%M:%S}"

    def _note(self, text: str) -> None:
        self.violations.append(text)

    def _is_over(self, chain: Chain, call: Call) -> bool:
        if self.limit is None:
            return False
        most, seconds = self.limit
        arrivals = self._arrivals[chain.person.identity_id]
        while arrivals and arrivals[0] <= call.at - seconds:
            arrivals.popleft()
        if len(arrivals) >= most:
            return True
        arrivals.append(call.at)
        return False


def _result(result: dict[str, Any]) -> Answer:
    return json_answer({"response": {"result": result}})


def _callback(call: Call) -> dict[str, Any]:
    """The `callback` object of a request's body."""
    if call.headers.get("content-type", "").partition(";")[0] != "application/json":
        raise EventsError(400, "The request must be application/json.")
    try:
        document = json.loads(call.body)
    except ValueError:
        raise EventsError(400, "The request is not valid JSON.") from None
    asked = document.get("callback") if isinstance(document, dict) else None
    if not isinstance(asked, dict):
        raise EventsError(422, UNPROCESSABLE, {"callback": ("Field required", "Missing.")})
    return asked


def _is_address(uri: Any) -> bool:
    try:
        parts = urlsplit(uri if isinstance(uri, str) else "")
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _need(chain: Chain, scope: str) -> None:
    if scope not in chain.scope:
        raise EventsError(403, f"insufficient_scope: The request requires the scope {scope}.")
