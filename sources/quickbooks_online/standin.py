"""A strict stand-in for Intuit: OAuth server, accounting API v3 and webhook sender in one small server.

It refuses what the vendor refuses and keeps the vendor's limits. What a client did that the vendor would refuse or be
harmed by is noted in `violations`. Written from the vendor's documents and captured traffic; it shares no code with
the client.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import re
import uuid
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar

from connector.kernel.standin import Answer, Call, Fault, json_answer
from sources.quickbooks_online.standin_books import ENTITIES, NOT_IN_CDC, Company, Document
from sources.quickbooks_online.standin_faults import (
    ANSWERS,
    VendorError,
    envelope_time,
    gateway_fault,
    throttle,
    xml_answer,
)
from sources.quickbooks_online.standin_oauth import AuthorizationServer
from sources.quickbooks_online.standin_query import moment, parse
from sources.quickbooks_online.standin_rules import write
from sources.quickbooks_online.standin_webhooks import RETRY_SECONDS, Change, Sender, build, post

BATCH_ITEMS = 30
CDC_DAYS = 30
CDC_OBJECTS = 1000
#: Kind of limit -> (requests, seconds) that one company may use.
LIMITS = {"second": (10, 1.0), "minute": (500, 60.0), "batch": (40, 60.0)}

_PATHS = {entity.lower(): entity for entity in ENTITIES}


@dataclasses.dataclass(frozen=True, slots=True)
class Write:
    """One write of an API client: `operation` is create, update, delete or void, `body` what was sent."""

    realm: str
    entity: str
    id: str
    operation: str
    body: Document


class IntuitStandIn(AuthorizationServer):
    """Intuit for tests, the sandbox and the demo. Add a company, then `issue_tokens` or go through the consent page."""

    routes: ClassVar[tuple[tuple[str, str, str], ...]] = (
        *AuthorizationServer.routes,
        ("GET", r"/v3/company/([^/]+)/(.+)", "_api"),
        ("POST", r"/v3/company/([^/]+)/(.+)", "_api"),
        ("GET", r"/_control/calls", "_control_calls"),
        ("POST", r"/_control/fault", "_control_fault"),
        ("POST", r"/_control/([^/]+)/(\w+)", "_control"),
    )

    def __init__(
        self,
        client_id: str = "fake-client-id",
        client_secret: str = "fake-client-secret",
        verifier_token: str = "fake-verifier-token",
        *,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        super().__init__(client_id, client_secret, host=host, port=port)
        self.verifier_token = verifier_token
        self.companies: dict[str, Company] = {}
        #: Whether `limits` are kept; they run on real time, not on `now`.
        self.enforce_limits = True
        self.limits = dict(LIMITS)
        self._arrivals: defaultdict[tuple[str, str], deque[float]] = defaultdict(deque)
        self._answers: dict[tuple[str, str], tuple[tuple[str, str, bytes], Answer]] = {}
        #: Each with the company that it tells of; "" = all.
        self._senders: list[tuple[str, Sender]] = []
        #: Every write that an API client got through, in order; a repeated `requestid` writes once.
        self.writes: list[Write] = []

    def stop(self) -> None:
        for _, sender in self._senders:
            sender.stop()
        super().stop()

    # The books, as a bookkeeper changes them. Each gives the full document.

    def add_company(
        self, realm_id: str, name: str, home_currency: str = "USD", zone: str = "America/Los_Angeles"
    ) -> Company:
        """Opens a company; the first one is the one that the consent page picks."""
        company = Company(
            realm_id, name, home_currency=home_currency, zone=zone, now=self._clock, on_change=self._announce
        )
        self.companies[realm_id] = company
        if len(self.companies) == 1:
            self.consent = realm_id
        return company

    def _clock(self) -> dt.datetime:
        # Asked through here because `now` may be replaced while a company is open.
        return self.now()

    def load(self, realm_id: str, entity: str, document: Document) -> Document:
        """Keeps a document exactly as it is, its own times and SyncToken included; nothing is announced."""
        with self.lock:
            return self.companies[realm_id].load(entity, document)

    def put(self, realm_id: str, entity: str, document: Document) -> Document:
        """Adds or replaces a record as of now."""
        with self.lock:
            return self.companies[realm_id].put(entity, document)

    def change(self, realm_id: str, entity: str, number: str, **fields: Any) -> Document:
        """Replaces top-level fields of a record."""
        with self.lock:
            return self.companies[realm_id].change(entity, number, **fields)

    def delete(self, realm_id: str, entity: str, number: str) -> Document:
        """Deletes a transaction; makes a name inactive."""
        with self.lock:
            return self.companies[realm_id].delete(entity, number)

    def void(self, realm_id: str, entity: str, number: str) -> Document:
        """Voids a transaction; the vendor has no void for a Bill or a JournalEntry."""
        with self.lock:
            return self.companies[realm_id].void(entity, number)

    def deactivate(self, realm_id: str, entity: str, number: str) -> Document:
        """Makes a name inactive."""
        with self.lock:
            return self.companies[realm_id].deactivate(entity, number)

    # Webhooks

    def build_notification(
        self,
        changes: Iterable[Change | tuple[str, str, str, str]],
        format: str = "cloudevents",
        verifier_token: str | None = None,
    ) -> tuple[bytes, dict[str, str]]:
        """The exact body and signed headers; a tuple is (realm, entity, id, operation)."""
        listed = [change if isinstance(change, Change) else Change(*change) for change in changes]
        token = self.verifier_token if verifier_token is None else verifier_token
        return build(listed, format, token, self.now())

    def notify(
        self,
        url: str,
        changes: Iterable[Change | tuple[str, str, str, str]],
        format: str = "cloudevents",
        verifier_token: str | None = None,
    ) -> int:
        """Sends one notification once; the answer's status, 0 when none came in three seconds."""
        return post(url, *self.build_notification(changes, format, verifier_token))

    def subscribe(
        self,
        url: str,
        format: str = "cloudevents",
        *,
        realm_id: str = "",
        retry_seconds: Sequence[float] = RETRY_SECONDS,
    ) -> Sender:
        """From now on every change of the company, or of all, is sent to the URL, in order, until acknowledged."""
        sender = Sender(url, lambda changes: self.build_notification(changes, format), retry_seconds=retry_seconds)
        with self.lock:
            self._senders.append((realm_id, sender))
        return sender

    def _announce(self, realm_id: str, entity: str, number: str, operation: str) -> None:
        if operation[0].upper() in ENTITIES[entity]:
            for wanted, sender in self._senders:
                if wanted in ("", realm_id):
                    sender.add(Change(realm_id, entity, number, operation, self.now()))

    # The accounting API

    def take_fault(self, call: Call) -> Fault | None:
        return None if call.path.startswith("/_control/") else super().take_fault(call)

    def _api(self, call: Call, match: re.Match[str]) -> Answer:
        realm, path = match.groups()
        with self.lock:
            problem = self.token_problem(call, realm)
            if problem:
                return gateway_fault(*problem)
            company = self.companies.get(realm)
            if company is None:
                return gateway_fault("3100")
            if self._is_over(realm, call, path):
                return throttle()
            try:
                answer = self._once(company, call, path)
            except VendorError as error:
                answer = self._document({"Fault": error.fault()}, 400)
        if "application/json" not in call.headers.get("accept", ""):
            self.violations.append(f"{call.method} {call.path}: Accept is not application/json, so XML is sent")
            return xml_answer(answer.status)
        return answer

    def _is_over(self, realm: str, call: Call, path: str) -> bool:
        names = ("second", "minute", "batch") if path == "batch" else ("second", "minute")
        windows = [(self._arrivals[realm, name], *self.limits[name]) for name in names]
        for arrivals, _, seconds in windows:
            while arrivals and arrivals[0] <= call.at - seconds:
                arrivals.popleft()
        if self.enforce_limits and any(len(arrivals) >= most for arrivals, most, _ in windows):
            self.violations.append(f"{realm}: over the vendor's request limit")
            return True
        for arrivals, _, _ in windows:
            arrivals.append(call.at)
        return False

    def _once(self, company: Company, call: Call, path: str) -> Answer:
        """Works, or gives the first answer again to a write whose `requestid` was answered before."""
        number = call.query.get("requestid", "") if call.method == "POST" and path != "query" else ""
        most = 36 if path == "batch" else 50
        if len(number) > most:
            detail = f"Min:0 Max:{most} supported. Supplied length:{len(number)}"
            raise VendorError("2050", f"String length specified does not match. {detail}", "requestid")
        request = (path, call.query.get("operation", ""), call.body)
        if number and (company.realm, number) in self._answers:
            first, answer = self._answers[company.realm, number]
            if first != request:
                self.violations.append(f"requestid {number} was used for different content")
            return answer
        answer = self._document(self._work(company, call, path))
        if number:
            self._answers[company.realm, number] = (request, answer)
        return answer

    def _document(self, document: Document, status: int = 200) -> Answer:
        stamped = {**document, "time": envelope_time(self.now())}
        return json_answer(stamped, status=status, Intuit_Tid=str(uuid.uuid4()))

    def _work(self, company: Company, call: Call, path: str) -> Document:
        word, _, number = path.partition("/")
        if call.method == "POST":
            _check_content_type(call, "application/text" if word == "query" else "application/json")
            if word == "query":
                return self._query(company, call.body.decode(errors="replace"))
            body = _json(call.body)
            return self._batch(company, body) if word == "batch" else self._write(company, path, body, call)
        if word == "query":
            return self._query(company, call.query.get("query", ""))
        return self._cdc(company, call) if word == "cdc" else self._read(company, word, number)

    def _query(self, company: Company, statement: str) -> Document:
        query = parse(statement, company.zone)
        return {"QueryResponse": query.answer(company.rows(query.entity), company.zone)}

    def _read(self, company: Company, word: str, number: str) -> Document:
        entity = _entity(word)
        if (entity, number) in (("CompanyInfo", company.realm), ("Preferences", "")):
            number = "1"
        if not number.isdecimal():
            raise VendorError("2030", "Invalid ID : Id is not a number", "Id")
        return {entity: company.find(entity, number)}

    def _write(self, company: Company, word: str, body: Any, call: Call) -> Document:
        operation = "void" if call.query.get("include") == "void" else call.query.get("operation", "")
        entity = _entity(word)
        written = self._written(company, entity, body, operation)
        return {"BatchItemResponse": []} if written is None else {entity: written}

    def _written(self, company: Company, entity: str, body: Any, operation: str) -> Document | None:
        written = write(company, entity, body, operation)
        if written is not None:
            done = operation or ("update" if "Id" in body else "create")
            self.writes.append(Write(company.realm, entity, written["Id"], done, body))
        return written

    def _batch(self, company: Company, body: Any) -> Document:
        items = body.get("BatchItemRequest") if isinstance(body, dict) else None
        if not isinstance(items, list) or not items or not all(isinstance(item, dict) for item in items):
            raise VendorError(
                "2020", "Required parameter BatchItemRequest is missing in the request", "BatchItemRequest"
            )
        numbers = [item.get("bId") for item in items]
        if len(items) > BATCH_ITEMS:
            self.violations.append(f"a batch of {len(items)} items")
            raise VendorError("2010", f"Property Name:BatchItemRequest has more than {BATCH_ITEMS} items", None)
        if not all(isinstance(number, str) and number for number in numbers) or len(set(numbers)) < len(numbers):
            self.violations.append("a batch whose bIds are missing or not unique")
            raise VendorError("2010", "Property Name:bId is missing or not unique", None)
        return {"BatchItemResponse": [{**self._item(company, item), "bId": item["bId"]} for item in items]}

    def _item(self, company: Company, item: Document) -> Document:
        names = [name for name in item if name not in ("bId", "operation", "optionsData")]
        try:
            if names == ["Query"]:
                return self._query(company, str(item["Query"]))
            if len(names) != 1 or item.get("operation") not in ("create", "update", "delete"):
                raise VendorError("500", f"Operation {item.get('operation')} is not supported.", "Operation")
            written = self._written(company, names[0], item[names[0]], item["operation"])
        except VendorError as error:
            return {"Fault": error.fault()}
        return {names[0]: written}

    def _cdc(self, company: Company, call: Call) -> Document:
        names = [name.strip() for name in call.query.get("entities", "").split(",")]
        for name in names:
            if name not in ENTITIES or name in NOT_IN_CDC:
                raise VendorError("4001", f"QueryValidationError: invalid context declaration: {name}", None)
        try:
            since = moment(call.query.get("changedSince", ""), company.zone)
        except ValueError:
            raise VendorError("2010", "Property Name:changedSince specified is unsupported or invalid", None) from None
        if since < self.now() - dt.timedelta(days=CDC_DAYS):
            self.violations.append("changedSince is more than 30 days back")
            raise VendorError("2010", "Property Name:changedSince is more than 30 days back", None)
        blocks: list[Document] = []
        room = CDC_OBJECTS
        for name in names:
            rows = company.changed_since(name, since)[:room]
            room -= len(rows)
            count = {"startPosition": 1, "maxResults": len(rows), "totalCount": len(rows)}
            blocks.append({name: rows, **count} if rows else {})
        return {"CDCResponse": [{"QueryResponse": blocks}]}

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
            return json_answer({"calls": calls, "violations": self.violations})

    def _control_fault(self, call: Call, match: object) -> Answer:
        asked = call.json()
        answer = ANSWERS[asked["answer"]]() if "answer" in asked else None
        kind = asked.get("kind", "answer")
        self.fail(asked["pattern"], kind, times=asked.get("times", 1), answer=answer, seconds=asked.get("seconds", 0))
        return json_answer({})

    def _control(self, call: Call, match: re.Match[str]) -> Answer:
        realm, verb = match.groups()
        asked = call.json() if call.body else {}
        where = (realm, asked.get("entity", ""), asked.get("id", ""))
        actions: dict[str, Callable[[], Any]] = {
            "company": lambda: self.add_company(realm, **asked).realm,
            "put": lambda: self.put(realm, asked["entity"], asked["document"]),
            "change": lambda: self.change(*where, **asked["fields"]),
            "delete": lambda: self.delete(*where),
            "void": lambda: self.void(*where),
            "deactivate": lambda: self.deactivate(*where),
            "notify": lambda: self.notify(
                asked["url"],
                [Change(realm, **change) for change in asked["changes"]],
                asked.get("format", "cloudevents"),
            ),
            "tokens": lambda: self.issue_tokens(realm),
            "expire": lambda: self.expire_access_tokens(realm),
            "revoke": lambda: self.revoke(realm),
        }
        if verb not in actions:
            return Answer(404)
        try:
            return json_answer({"result": actions[verb]()})
        except (VendorError, LookupError, TypeError) as error:
            return json_answer({"error": f"{type(error).__name__}: {error}"}, status=400)


def _entity(word: str) -> str:
    if word not in _PATHS:
        raise VendorError("500", f"Operation {word} is not supported.", "Operation")
    return _PATHS[word]


def _check_content_type(call: Call, wanted: str) -> None:
    if not call.headers.get("content-type", "").startswith(wanted):
        raise VendorError("2010", f"Property Name:Content-Type must be {wanted}", None)


def _json(body: bytes) -> Any:
    try:
        return json.loads(body, parse_constant=_constant)
    except ValueError:
        raise VendorError("2010", "Property Name:the request is not JSON", None) from None


def _constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
