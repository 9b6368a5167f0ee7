"""A strict stand-in for FreshBooks: auth service, accounting API, events API and webhook sender in one small server.

It refuses what the vendor refuses. What a client did that the vendor would refuse, pass over, or be harmed by is noted
in `violations`. Written from the vendor's documents and its own SDKs' fixtures; it shares no code with the client.
"""

from __future__ import annotations

import datetime as dt
import itertools
import re
from collections.abc import Callable
from typing import Any, ClassVar

from connector.kernel.standin import Answer, Call, Fault, json_answer
from sources.freshbooks.standin_books import Business
from sources.freshbooks.standin_documents import PATHS, Document, Resource
from sources.freshbooks.standin_events import EventsServer
from sources.freshbooks.standin_faults import ANSWERS, NOT_AUTHORIZED, VendorError, throttle
from sources.freshbooks.standin_reads import check_include, listing, shown, with_numbers

IDENTITY = 1234


class FreshBooksStandIn(EventsServer):
    """FreshBooks for tests, the sandbox and the demo. Add a business, then `issue_tokens` or go through the consent."""

    routes: ClassVar[tuple[tuple[str, str, str], ...]] = (
        *EventsServer.routes,
        ("GET", r"/accounting/account/([^/]+)/(\w+/\w+)", "_list"),
        ("GET", r"/accounting/account/([^/]+)/(\w+/\w+)/([^/]+)", "_get"),
        *((method, r"/accounting/account/.*", "_write") for method in ("POST", "PUT", "DELETE")),
        ("GET", r"/_control/calls", "_control_calls"),
        ("POST", r"/_control/fault", "_control_fault"),
        ("POST", r"/_control/([^/]+)/(\w+)", "_control"),
    )

    def __init__(
        self,
        client_id: str = "fake-client-id",
        client_secret: str = "fake-client-secret",
        *,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        super().__init__(client_id, client_secret, host=host, port=port)
        #: Whether amounts are JSON numbers instead of texts.
        self.money_as_numbers = False
        #: Whether lists of bills heed `search[updated_min]`, which no document says.
        self.bills_filter_by_change = False
        self._business_ids = itertools.count(77_128)

    # The books, as the people of a business change them. Each gives the full record.

    def add_business(
        self,
        account_id: str | None,
        name: str,
        *,
        identity_id: int = IDENTITY,
        role: str = "owner",
        business_id: int | None = None,
    ) -> Business:
        """Opens a business whose owner (or whatever the role says) is this person, who is added when unknown."""
        number = next(self._business_ids) if business_id is None else business_id
        business = Business(account_id, number, name, now=self._clock, on_change=self.announce)
        with self.lock:
            self.businesses[number] = business
            person = self.people.get(identity_id) or self.add_person(identity_id)
            person.memberships.append((role, business))
        return business

    def _clock(self) -> dt.datetime:
        # Asked through here because `now` may be replaced while a business is open.
        return self.now()

    def load(self, account_id: str, kind: str, document: Document) -> Document:
        """Keeps a record exactly as it is, its own times included; nothing is announced."""
        with self.lock:
            return self.business(account_id).load(kind, document)

    def put(self, account_id: str, kind: str, document: Document) -> Document:
        """Adds or replaces a record as of now; `kind` is the name of its list, such as `bill_vendors`."""
        with self.lock:
            return self.business(account_id).put(kind, document)

    def change(self, account_id: str, kind: str, number: int, **fields: Any) -> Document:
        """Replaces fields of a record."""
        with self.lock:
            return self.business(account_id).change(kind, number, **fields)

    def delete(self, account_id: str, kind: str, number: int) -> Document:
        """Deletes a record, which can still be read."""
        with self.lock:
            return self.business(account_id).delete(kind, number)

    def archive(self, account_id: str, kind: str, number: int) -> Document:
        with self.lock:
            return self.business(account_id).archive(kind, number)

    def send(self, account_id: str, number: int) -> Document:
        """Emails an invoice."""
        with self.lock:
            return self.business(account_id).send(number)

    def vanish(self, account_id: str, kind: str, number: int) -> None:
        """Takes a record away for good, and tells nobody."""
        with self.lock:
            self.business(account_id).vanish(kind, number)

    # The accounting API

    def take_fault(self, call: Call) -> Fault | None:
        return None if call.path.startswith("/_control/") else super().take_fault(call)

    def _list(self, call: Call, match: re.Match[str]) -> Answer:
        def work(business: Business, resource: Resource) -> Document:
            filters = resource.listed != "bills" or self.bills_filter_by_change
            rows = business.rows(resource.listed)
            return listing(resource, rows, call.query, filters_by_change=filters, note=self._note)

        return self._read(call, match[1], match[2], work)

    def _get(self, call: Call, match: re.Match[str]) -> Answer:
        account_id, path, text = match.groups()

        def work(business: Business, resource: Resource) -> Document:
            record = business.find(resource.listed, int(text) if text.isdecimal() else -1)
            return {resource.single: shown(resource, record, call.query)}

        return self._read(call, account_id, path, work)

    def _read(self, call: Call, account_id: str, path: str, work: Callable[[Business, Resource], Document]) -> Answer:
        shape = "new" if "x-api-version" in call.headers else self.error_shape
        with self.lock:
            try:
                chain = self.bearer(call)
                if chain is None:
                    raise VendorError(401, 1003, NOT_AUTHORIZED)
                if self._is_over(chain, call):
                    return throttle()
                resource = PATHS.get(path)
                if resource is None:
                    raise VendorError(404, 1012, "Resource not found.")
                if resource.scope not in chain.scope or not chain.person.may_open(account_id):
                    raise VendorError(403, 1003, NOT_AUTHORIZED)
                check_include(resource, call.query, self._note)
                result = work(self.business(account_id), resource)
            except VendorError as error:
                return error.answer(shape)
            return json_answer({"response": {"result": with_numbers(result) if self.money_as_numbers else result}})

    def _write(self, call: Call, match: re.Match[str]) -> Answer:
        self._note(f"{call.method} {call.path}: the app may only read")
        return VendorError(403, 1003, NOT_AUTHORIZED).answer(self.error_shape)

    # Control from another process

    def _control_calls(self, call: Call, match: object) -> Answer:
        with self.lock:
            calls = [
                {
                    "method": seen.method,
                    "path": seen.path,
                    "query": seen.query,
                    "body": seen.body.decode(errors="replace"),
                }
                for seen in self.calls
                if not seen.path.startswith("/_control/")
            ]
            callbacks = [callback.document() for callback in self.callbacks.values()]
            return json_answer({"calls": calls, "violations": self.violations, "callbacks": callbacks})

    def _control_fault(self, call: Call, match: object) -> Answer:
        asked = call.json()
        answer = ANSWERS[asked["answer"]]() if "answer" in asked else None
        kind = asked.get("kind", "answer")
        self.fail(asked["pattern"], kind, times=asked.get("times", 1), answer=answer, seconds=asked.get("seconds", 0))
        return json_answer({})

    def _control(self, call: Call, match: re.Match[str]) -> Answer:
        account_id, verb = match.groups()
        asked = call.json() if call.body else {}
        kind, number = asked.get("kind", ""), int(asked.get("id", 0))
        actions: dict[str, Callable[[], Any]] = {
            "business": lambda: self.add_business(account_id, **asked).business_id,
            "put": lambda: self.put(account_id, kind, asked["document"]),
            "change": lambda: self.change(account_id, kind, number, **asked["fields"]),
            "delete": lambda: self.delete(account_id, kind, number),
            "archive": lambda: self.archive(account_id, kind, number),
            "send": lambda: self.send(account_id, number),
            "vanish": lambda: self.vanish(account_id, kind, number),
            "announce": lambda: len(self.announce(account_id, asked["name"], number)),
            "lose": lambda: setattr(self.courier, "loses", asked["is_lost"]),
            "tokens": lambda: self.issue_tokens(self._owner(account_id)),
            "expire": lambda: self.expire_access_tokens(self._owner(account_id)),
            "revoke": lambda: self.revoke(self._owner(account_id)),
        }
        if verb not in actions:
            return Answer(404)
        try:
            return json_answer({"result": actions[verb]()})
        except (VendorError, LookupError, TypeError) as error:
            return json_answer({"error": f"{type(error).__name__}: {error}"}, status=400)

    def _owner(self, account_id: str) -> int:
        return next(number for number, person in self.people.items() if person.may_open(account_id))
