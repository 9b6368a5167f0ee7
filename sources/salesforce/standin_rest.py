"""The stand-in's REST API: records by ID and by external ID, queries, describe, replication and limits."""

from __future__ import annotations

import dataclasses
import datetime as dt
import gzip
import json
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, ClassVar
from urllib.parse import unquote, urlencode

from connector.kernel.standin import Answer, Call, json_answer
from sources.salesforce import standin_rules as rules
from sources.salesforce.standin_describe import summary, whole
from sources.salesforce.standin_faults import VendorError, no_column, not_found
from sources.salesforce.standin_oauth import AuthorizationServer
from sources.salesforce.standin_queries import Answers, attributes, value_of
from sources.salesforce.standin_records import Author, Change, Records, Transaction
from sources.salesforce.standin_replication import Replication
from sources.salesforce.standin_soql import Schema, parse
from sources.salesforce.standin_types import Field, ObjectType, Row, full_id

VERSIONS = {"60.0": "Spring '24", "66.0": "Spring '26", "67.0": "Summer '26", "68.0": "Winter '27"}
#: What the address and the headers of a request may hold, in bytes.
MOST_ADDRESS = 16_384
#: A body below this is not worth compressing.
_COMPRESSED = 1000
_CLIENT = re.compile(r"(?:^|,)\s*client=([^,]+)")


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """A call of a data resource, or a part of a composite one; `path` follows the version."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any
    version: str
    #: Whether it came inside a composite call or a collection, where the call options do not count.
    is_inner: bool = False

    @property
    def author_origin(self) -> str:
        client = "" if self.is_inner else self.headers.get("sforce-call-options", "")
        named = _CLIENT.search(client)
        return f"com/salesforce/api/rest/{self.version}" + (f";client={named[1]}" if named else "")

    def fields(self) -> dict[str, Any]:
        """The body of a write. Raises `VendorError`."""
        if not isinstance(self.body, dict):
            raise VendorError("JSON_PARSER_ERROR", "Unexpected end-of-input or no object in the request")
        return self.body


@dataclasses.dataclass(frozen=True, slots=True)
class Reply:
    """The answer to a request; `document` None is an empty body."""

    status: int = 200
    document: Any = None
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)


class RestServer(AuthorizationServer):
    """The REST half of the stand-in, without composite resources."""

    routes: ClassVar[tuple[tuple[str, str, str], ...]] = (
        *AuthorizationServer.routes,
        ("GET", r"/services/data/?", "_versions"),
        *((method, r"/services/data/v([\d.]+)/?(.*)", "_data") for method in ("GET", "POST", "PATCH", "DELETE")),
    )
    #: (method, path after the version, name of the method that answers it).
    resources: ClassVar[tuple[tuple[str, str, str], ...]] = (
        ("GET", r"", "_resources"),
        ("GET", r"limits/?", "_limits"),
        ("GET", r"(query|queryAll)/?", "_query"),
        ("GET", r"(?:query|queryAll)/([^/]+)", "_query_more"),
        ("GET", r"sobjects/?", "_objects"),
        ("GET", r"sobjects/([^/]+)/describe/?", "_describe"),
        ("GET", r"sobjects/([^/]+)/(updated|deleted)/?", "_replicate"),
        ("POST", r"sobjects/([^/]+)/?", "_create"),
        ("GET", r"sobjects/([^/]+)/([^/]+)", "_get"),
        ("PATCH", r"sobjects/([^/]+)/([^/]+)", "_update"),
        ("DELETE", r"sobjects/([^/]+)/([^/]+)", "_delete"),
        ("GET", r"sobjects/([^/]+)/([^/]+)/([^/]+)", "_get_external"),
        ("PATCH", r"sobjects/([^/]+)/([^/]+)/([^/]+)", "_upsert"),
        ("DELETE", r"sobjects/([^/]+)/([^/]+)/([^/]+)", "_delete_external"),
    )

    def __init__(self, client_id: str, client_secret: str, *, host: str, port: int) -> None:
        super().__init__(client_id, client_secret, host=host, port=port)
        self.versions = dict(VERSIONS)
        self.records = Records(self._clock, self._committed)
        self.answers = Answers(self.records)
        self.replication = Replication(self.records)
        #: Objects that the integration user does not see; an edition has no Invoice and no Payment by itself.
        self.hidden = {"Invoice", "Payment"}
        self.hidden_fields: set[tuple[str, str]] = set()
        #: Calls counted in the last 24 hours, and how many there may be.
        self.api_usage = 0
        self.api_limit = 100_000
        #: What newer and older orgs add to the header of usage, such as "api-bursts=1/750".
        self.limit_note = ""
        self.platform_event_limit = 25_000

    def _clock(self) -> dt.datetime:
        # Asked through here because `now` may be replaced while the org is open.
        return self.now()

    def _committed(self, author: Author, changes: list[Change]) -> None:
        """Told of each transaction."""

    # The way in and out

    def _versions(self, call: Call, match: object) -> Answer:
        listed = [
            {"label": label, "url": f"/services/data/v{version}", "version": version}
            for version, label in self.versions.items()
        ]
        return json_answer(listed)

    def _data(self, call: Call, match: re.Match[str]) -> Answer:
        version, path = match.groups()
        with self.lock:
            if not self.bearer(call):
                return VendorError("INVALID_SESSION_ID", "Session expired or invalid").answer()
            if version not in self.versions:
                return not_found().answer()
            size = len(call.path) + len(urlencode(call.query)) + sum(len(k) + len(v) for k, v in call.headers.items())
            if size > MOST_ADDRESS:
                self.violations.append(f"{call.method} {call.path}: {size} bytes of address and headers")
                return Answer(414, b"URI Too Long", content_type="text/plain")
            if self.api_usage >= self.api_limit:
                return VendorError("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.").answer()
            self.api_usage += 1
            try:
                body = self._body(call)
                reply = self.dispatch(Request(call.method, path, call.query, call.headers, body, version))
            except VendorError as error:
                reply = Reply(error.status, error.body())
        return self._packed(call, reply)

    def _body(self, call: Call) -> Any:
        if not call.body:
            return None
        if call.headers.get("content-type", "").partition(";")[0] != "application/json":
            raise VendorError("UNSUPPORTED_MEDIA_TYPE", "Content type of the request is not supported")
        try:
            return json.loads(call.body, parse_float=Decimal, parse_constant=_constant)
        except ValueError:
            raise VendorError("JSON_PARSER_ERROR", "Unexpected character") from None

    def _packed(self, call: Call, reply: Reply) -> Answer:
        note = f"; {self.limit_note}" if self.limit_note else ""
        headers = {"Sforce-Limit-Info": f"api-usage={self.api_usage}/{self.api_limit}{note}", **reply.headers}
        if reply.document is None:
            return Answer(reply.status, b"", headers)
        answer = json_answer(reply.document, status=reply.status)
        body = answer.body
        if "gzip" in call.headers.get("accept-encoding", "") and len(body) > _COMPRESSED:
            body, headers["Content-Encoding"] = gzip.compress(body, 1), "gzip"
        return dataclasses.replace(answer, body=body, headers=headers)

    def dispatch(self, request: Request) -> Reply:
        """Finds the resource and works. Raises `VendorError`."""
        known = False
        for method, pattern, name in self.resources:
            match = re.fullmatch(pattern, request.path)
            known = known or match is not None
            if match and method == request.method:
                reply: Reply = getattr(self, name)(request, *(unquote(part) for part in match.groups()))
                return reply
        if known:
            raise VendorError("METHOD_NOT_ALLOWED", f"HTTP Method '{request.method}' not allowed.")
        raise not_found()

    def seen(self, name: str) -> ObjectType:
        """The object that the integration user sees under this name. Raises `VendorError` NOT_FOUND."""
        found = self._schema().object(name)
        if found is None:
            raise not_found()
        return found

    def begin(self, request: Request) -> Transaction:
        """A transaction of the integration user."""
        return self.records.begin(Author(self.run_as, request.author_origin, is_api=True))

    def check_fields(self, kind: ObjectType, sent: Mapping[str, Any]) -> None:
        """Refuses the names that the user does not see. Raises `VendorError` INVALID_FIELD."""
        for name in sent:
            field = kind.find(name)
            if field and (kind.name, field.name) in self.hidden_fields:
                raise no_column(name, kind.name)

    def _schema(self) -> Schema:
        return Schema(self.records.types, self.hidden, self.hidden_fields)

    # Metadata

    def _resources(self, request: Request) -> Reply:
        names = ("sobjects", "query", "queryAll", "composite", "limits")
        return Reply(200, {name: f"/services/data/v{request.version}/{name}" for name in names})

    def _limits(self, request: Request) -> Reply:
        daily = {"Max": self.api_limit, "Remaining": self.api_limit - self.api_usage}
        return Reply(200, {"DailyApiRequests": daily, "DailyDeliveredPlatformEvents": self._event_limit()})

    def _event_limit(self) -> dict[str, int]:
        return {"Max": self.platform_event_limit, "Remaining": self.platform_event_limit}

    def _objects(self, request: Request) -> Reply:
        seen = [kind for kind in self.records.types.values() if kind.name not in self.hidden]
        listed = [summary(kind, request.version) for kind in seen]
        return Reply(200, {"encoding": "UTF-8", "maxBatchSize": 200, "sobjects": listed})

    def _describe(self, request: Request, name: str) -> Reply:
        kind = self.seen(name)
        fields = [field for field in kind.fields.values() if (kind.name, field.name) not in self.hidden_fields]
        closed = {field for entity, field in self.records.read_only_fields if entity == kind.name}
        return Reply(200, whole(kind, fields, self._choices, closed, request.version))

    def _choices(self, field: Field) -> tuple[str, ...]:
        return rules.choices(self.records, field)

    # Records

    def _get(self, request: Request, name: str, identifier: str) -> Reply:
        kind = self.seen(name)
        if not full_id(identifier):
            text = f"Provided external ID field does not exist or is not accessible: {identifier}"
            raise not_found(text)
        return Reply(200, self.shown(kind, self.records.find(kind.name, identifier), request))

    def _get_external(self, request: Request, name: str, field: str, value: str) -> Reply:
        kind = self.seen(name)
        found = self._by_external_id(kind, field, value)
        if len(found) > 1:
            return self._several(kind, found, request)
        if not found:
            raise not_found()
        return Reply(200, self.shown(kind, found[0], request))

    def shown(self, kind: ObjectType, row: Row, request: Request, names: Sequence[str] | None = None) -> dict[str, Any]:
        """The record with the fields that were asked for, or all. Raises `VendorError` INVALID_FIELD."""
        schema = self._schema()
        asked = request.query.get("fields", "").split(",") if names is None else names
        wanted = [name.strip() for name in asked if name.strip()] or list(kind.fields)
        document = attributes(kind.name, row, request.version)
        for name in wanted:
            field = schema.field(kind, name)
            if field is None and name not in kind.fields:
                raise no_column(name, kind.name)
            if field is None and (names or request.query.get("fields")):
                raise no_column(name, kind.name)
            if field is not None:
                document[field.name] = value_of(kind, row, field)
        return document

    def _create(self, request: Request, name: str) -> Reply:
        kind, sent = self.seen(name), request.fields()
        self.check_fields(kind, sent)
        work = self.begin(request)
        identifier = work.create(kind.name, sent)
        work.commit()
        location = f"/services/data/v{request.version}/sobjects/{kind.name}/{identifier}"
        return Reply(201, {"id": identifier, "success": True, "errors": []}, {"Location": location})

    def _update(self, request: Request, name: str, identifier: str) -> Reply:
        kind, sent = self.seen(name), request.fields()
        self.check_fields(kind, sent)
        _without(sent, "Id")
        work = self.begin(request)
        work.update(kind.name, identifier, sent)
        work.commit()
        return Reply(204)

    def _delete(self, request: Request, name: str, identifier: str) -> Reply:
        work = self.begin(request)
        work.delete(self.seen(name).name, identifier)
        work.commit()
        return Reply(204)

    def _delete_external(self, request: Request, name: str, field: str, value: str) -> Reply:
        kind = self.seen(name)
        found = self._by_external_id(kind, field, value)
        if len(found) != 1:
            if found:
                return self._several(kind, found, request)
            raise not_found()
        return self._delete(request, name, found[0]["Id"])

    def _upsert(self, request: Request, name: str, field_name: str, value: str) -> Reply:
        kind, sent = self.seen(name), request.fields()
        self.check_fields(kind, sent)
        if field_name.lower() == "id":
            return self._update(request, name, value)
        found = self._by_external_id(kind, field_name, value)
        field = kind.find(field_name)
        _without(sent, "Id", field.name if field else "")
        if len(found) > 1:
            return self._several(kind, found, request)
        if not found and request.query.get("updateOnly", "").lower() == "true":
            raise not_found()
        work = self.begin(request)
        identifier, created = self.upsert_one(work, kind, field_name, value, sent)
        work.commit()
        document = {"id": identifier, "success": True, "errors": [], "created": created}
        location = f"/services/data/v{request.version}/sobjects/{kind.name}/{identifier}"
        return Reply(201 if created else 200, document, {"Location": location} if created else {})

    def upsert_one(
        self, work: Transaction, kind: ObjectType, field_name: str, value: str, sent: Mapping[str, Any]
    ) -> tuple[str, bool]:
        """Changes or makes the record with this external ID: its ID, and whether it is new. Raises `VendorError`."""
        found = self._by_external_id(kind, field_name, value)
        if len(found) > 1:
            text = f"{field_name}: more than one record found for external id field: {[row['Id'] for row in found]}"
            raise VendorError("DUPLICATE_EXTERNAL_ID", text, [field_name])
        if found:
            identifier: str = found[0]["Id"]
            work.update(kind.name, identifier, sent)
            return identifier, False
        field = kind.find(field_name)
        return work.create(kind.name, {**sent, field.name if field else field_name: value}), True

    def _by_external_id(self, kind: ObjectType, name: str, value: str) -> list[Row]:
        field = self._schema().field(kind, name)
        if field is None or not field.is_external_id:
            raise not_found(f"Provided external ID field does not exist or is not accessible: {name}")
        return self.records.matches(kind.name, field.name, value)

    def _several(self, kind: ObjectType, found: Sequence[Row], request: Request) -> Reply:
        urls = [f"/services/data/v{request.version}/sobjects/{kind.name}/{row['Id']}" for row in found]
        return Reply(300, urls)

    # Queries and replication

    def _query(self, request: Request, resource: str) -> Reply:
        if "q" not in request.query:
            raise VendorError("MALFORMED_QUERY", "SOQL statement cannot be empty")
        query = parse(request.query["q"], self._schema())
        wish = re.search(r"batchSize=(\d+)", request.headers.get("sforce-query-options", ""))
        size = min(max(int(wish[1]), 200), 2000) if wish else 2000
        with_deleted = resource == "queryAll"
        return Reply(200, self.answers.first(query, version=request.version, size=size, with_deleted=with_deleted))

    def _query_more(self, request: Request, locator: str) -> Reply:
        return Reply(200, self.answers.next(locator, request.version))

    def _replicate(self, request: Request, name: str, what: str) -> Reply:
        kind = self.seen(name)
        work = self.replication.updated if what == "updated" else self.replication.deleted
        return Reply(200, work(kind.name, request.query))


def _without(sent: Mapping[str, Any], *names: str) -> None:
    """Refuses what names the record in the body although the address does already."""
    for name in sent:
        if name.lower() in {each.lower() for each in names if each}:
            text = f"The {name} field should not be specified in the sobject data."
            raise VendorError("INVALID_FIELD", text, [name])


def _constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
