"""The stand-in's composite resources: collections of up to 200 records, and several calls in one."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlsplit

from sources.salesforce.standin_faults import VendorError
from sources.salesforce.standin_records import Transaction
from sources.salesforce.standin_rest import Reply, Request, RestServer
from sources.salesforce.standin_types import ObjectType, full_id

MOST_RECORDS = 200
MOST_PARTS = 25
#: Of which so many queries and collections.
MOST_HEAVY = 5
_REFERENCE = re.compile(r"@\{(\w+)\.([\w.\[\]]+)\}")
_HEAVY = re.compile(r"(query|queryAll|composite/sobjects)(/|$|\?)")
_ROLLED_BACK = VendorError(
    "ALL_OR_NONE_OPERATION_ROLLED_BACK",
    "Record rolled back because not all records were valid and the request was using AllOrNone header",
)
_HALTED = VendorError(
    "PROCESSING_HALTED", "The transaction was rolled back since another operation in the same transaction failed."
)
Item = dict[str, Any]


class CompositeServer(RestServer):
    """The REST API with its composite resources."""

    resources: ClassVar[tuple[tuple[str, str, str], ...]] = (
        ("POST", r"composite/?", "_composite"),
        ("POST", r"composite/sobjects/?", "_create_all"),
        ("PATCH", r"composite/sobjects/?", "_update_all"),
        ("DELETE", r"composite/sobjects/?", "_delete_all"),
        ("GET", r"composite/sobjects/([^/]+)", "_get_all"),
        ("POST", r"composite/sobjects/([^/]+)", "_get_all_posted"),
        ("PATCH", r"composite/sobjects/([^/]+)/([^/]+)", "_upsert_all"),
        *RestServer.resources,
    )

    #: The transaction that the parts of an all-or-none composite call share.
    _shared: Transaction | None = None

    def begin(self, request: Request) -> Transaction:
        if self._shared is not None:
            return _SharedTransaction(self._shared)
        return super().begin(request)

    # Collections

    def _create_all(self, request: Request) -> Reply:
        def create(work: Transaction, sent: Mapping[str, Any], kind: ObjectType) -> Item:
            return {"id": work.create(kind.name, sent), "success": True, "errors": []}

        return self._each(request, self._listed(request), create)

    def _update_all(self, request: Request) -> Reply:
        def update(work: Transaction, sent: Mapping[str, Any], kind: ObjectType) -> Item:
            identifier = full_id(str(sent.get("id") or sent.get("Id") or ""))
            if not identifier:
                raise VendorError("MISSING_ARGUMENT", "Id not specified in an update call", ["Id"])
            work.update(kind.name, identifier, {name: value for name, value in sent.items() if name.lower() != "id"})
            return {"id": identifier, "success": True, "errors": []}

        return self._each(request, self._listed(request), update)

    def _upsert_all(self, request: Request, name: str, field_name: str) -> Reply:
        wanted = self.seen(name)
        if self._schema().field(wanted, field_name) is None or not wanted.fields[field_name].is_external_id:
            text = f"Provided external ID field does not exist or is not accessible: {field_name}"
            raise VendorError("NOT_FOUND", text)
        taken: set[str] = set()

        def upsert(work: Transaction, sent: Mapping[str, Any], kind: ObjectType) -> Item:
            if kind.name != wanted.name:
                raise VendorError("INVALID_TYPE", f"all records must be of type {wanted.name}")
            value = str(sent.get(field_name) or "")
            if not value:
                raise VendorError("MISSING_ARGUMENT", f"{field_name} not specified", [field_name])
            if value.lower() in taken:
                self.violations.append(f"{name}: external ID {value} stands twice in one collection")
                raise VendorError("DUPLICATE_VALUE", f"Duplicate external id specified: {value}", [field_name])
            taken.add(value.lower())
            fields = {key: each for key, each in sent.items() if key != field_name}
            identifier, created = self.upsert_one(work, kind, field_name, value, fields)
            return {"id": identifier, "success": True, "errors": [], "created": created}

        return self._each(request, self._listed(request), upsert)

    def _delete_all(self, request: Request) -> Reply:
        ids = [each for each in request.query.get("ids", "").split(",") if each]
        self._check_count(len(ids))
        listed = [{"attributes": {"type": self._type_of(each)}, "id": each} for each in ids]

        def delete(work: Transaction, sent: Mapping[str, Any], kind: ObjectType) -> Item:
            work.delete(kind.name, sent["id"])
            return {"id": full_id(sent["id"]), "success": True, "errors": []}

        all_or_none = request.query.get("allOrNone", "").lower() == "true"
        return self._each(request, (listed, all_or_none), delete)

    def _get_all(self, request: Request, name: str) -> Reply:
        ids = request.query.get("ids", "").split(",")
        return self._found(request, name, ids, request.query.get("fields", "").split(","))

    def _get_all_posted(self, request: Request, name: str) -> Reply:
        body = request.fields()
        return self._found(request, name, body.get("ids", []), body.get("fields", []))

    def _found(self, request: Request, name: str, ids: list[str], fields: list[str]) -> Reply:
        kind = self.seen(name)
        self._check_count(len(ids))
        rows = [self.records.rows[kind.name].get(full_id(each)) for each in ids]
        wanted = ["Id", *(each for each in fields if each != "Id")]
        shown = [self.shown(kind, row, request, wanted) if row and not row["IsDeleted"] else None for row in rows]
        return Reply(200, shown)

    def _listed(self, request: Request) -> tuple[list[Any], bool]:
        body = request.fields()
        records = body.get("records")
        if not isinstance(records, list) or not records:
            raise VendorError("MISSING_ARGUMENT", "records is a required parameter")
        self._check_count(len(records))
        return records, body.get("allOrNone") is True

    def _check_count(self, count: int) -> None:
        if count > MOST_RECORDS:
            self.violations.append(f"a collection of {count} records")
            text = f"record limit reached. cannot submit more than {MOST_RECORDS} records into this call"
            raise VendorError("LIMIT_EXCEEDED", text)

    def _type_of(self, identifier: str) -> str:
        return next((kind.name for kind in self.records.types.values() if kind.prefix == identifier[:3]), "")

    def _each(
        self,
        request: Request,
        listed: tuple[list[Any], bool],
        work: Callable[[Transaction, Mapping[str, Any], ObjectType], Item],
    ) -> Reply:
        """Works on each record by itself; with all-or-none nothing stays when one has failed."""
        records, all_or_none = listed
        inner = _as_inner(request)
        transaction = self.begin(inner)
        mark = transaction.mark()
        results: list[Item] = []
        for sent in records:
            try:
                kind = self._named(sent)
                self.check_fields(kind, sent)
                results.append(work(transaction, sent, kind))
            except VendorError as error:
                results.append(error.item())
        if all_or_none and not all(result["success"] for result in results):
            transaction.undo(mark)
            results = [_ROLLED_BACK.item() if result["success"] else result for result in results]
        transaction.commit()
        return Reply(200, results)

    def _named(self, sent: Any) -> ObjectType:
        if not isinstance(sent, dict) or not isinstance(sent.get("attributes"), dict):
            raise VendorError("INVALID_TYPE", "The object has no attributes.type")
        found = self._schema().object(str(sent["attributes"].get("type", "")))
        if found is None:
            text = f"sObject type '{sent['attributes'].get('type')}' is not supported."
            raise VendorError("INVALID_TYPE", text)
        return found

    # Several calls in one

    def _composite(self, request: Request) -> Reply:
        body = request.fields()
        parts = body.get("compositeRequest")
        if not isinstance(parts, list) or not parts:
            raise VendorError("JSON_PARSER_ERROR", "compositeRequest is missing or empty")
        if len(parts) > MOST_PARTS:
            raise VendorError("LIMIT_EXCEEDED", f"Limit of {MOST_PARTS} subrequests exceeded")
        if sum(bool(_HEAVY.match(self._inside(part, request))) for part in parts) > MOST_HEAVY:
            raise VendorError("LIMIT_EXCEEDED", f"Limit of {MOST_HEAVY} query and collection subrequests exceeded")
        names = [part.get("referenceId") for part in parts]
        if len(set(names)) < len(names) or not all(isinstance(each, str) and each for each in names):
            raise VendorError("INVALID_INPUT", "The referenceId of each subrequest must be there, and unique")
        if body.get("allOrNone") is True:
            return Reply(200, {"compositeResponse": self._together(request, parts)})
        answered: dict[str, Any] = {}
        return Reply(200, {"compositeResponse": [self._part(request, part, answered) for part in parts]})

    def _together(self, request: Request, parts: list[Any]) -> list[Item]:
        shared = self.begin(_as_inner(request))
        self._shared = shared
        answered: dict[str, Any] = {}
        results: list[Item] = []
        try:
            for part in parts:
                results.append(self._part(request, part, answered))
                if results[-1]["httpStatusCode"] >= 300:
                    break
        finally:
            self._shared = None
        if results[-1]["httpStatusCode"] < 300:
            shared.commit()
            return results
        shared.undo()
        failed = results[-1]
        return [failed if part["referenceId"] == failed["referenceId"] else _halted(part) for part in parts]

    def _part(self, request: Request, part: Mapping[str, Any], answered: dict[str, Any]) -> Item:
        try:
            url = urlsplit(self._filled(self._inside(part, request), answered))
            body = self._filled_tree(part.get("body"), answered)
            query = dict(parse_qsl(url.query, keep_blank_values=True))
            headers = {name.lower(): value for name, value in (part.get("httpHeaders") or {}).items()}
            inner = Request(str(part.get("method", "")), url.path, query, headers, body, request.version, is_inner=True)
            reply = self.dispatch(inner)
        except VendorError as error:
            reply = Reply(error.status, error.body())
        if reply.status < 300:
            answered[part["referenceId"]] = reply.document
        return {
            "body": reply.document,
            "httpHeaders": dict(reply.headers),
            "httpStatusCode": reply.status,
            "referenceId": part["referenceId"],
        }

    def _inside(self, part: Any, request: Request) -> str:
        """What follows the version in a part's address."""
        base = f"/services/data/v{request.version}/"
        url = str(part.get("url", "")) if isinstance(part, dict) else ""
        if not url.startswith(base):
            raise VendorError("INVALID_INPUT", f"The url must start with {base}")
        return url.removeprefix(base)

    def _filled(self, text: str, answered: Mapping[str, Any]) -> str:
        def value(match: re.Match[str]) -> str:
            found = answered.get(match[1])
            for name in re.findall(r"\w+", match[2]):
                found = found[int(name)] if isinstance(found, list) else (found or {}).get(name)
            if found is None:
                text = f"Invalid reference specified. No value for {match[0]} found"
                raise VendorError("PROCESSING_HALTED", text)
            return str(found)

        return _REFERENCE.sub(value, text)

    def _filled_tree(self, body: Any, answered: Mapping[str, Any]) -> Any:
        if isinstance(body, dict):
            return {name: self._filled_tree(each, answered) for name, each in body.items()}
        if isinstance(body, list):
            return [self._filled_tree(each, answered) for each in body]
        return self._filled(body, answered) if isinstance(body, str) else body


class _SharedTransaction(Transaction):
    """A part of a larger transaction: what it commits is kept until the whole is."""

    def __init__(self, whole: Transaction) -> None:
        super().__init__(whole.records, whole.author)
        self._log = whole._log
        self._writes = whole._writes

    def commit(self) -> None:
        """Leaves it to the whole."""


def _as_inner(request: Request) -> Request:
    """The same request as one whose call options do not count."""
    return Request(
        request.method, request.path, request.query, request.headers, request.body, request.version, is_inner=True
    )


def _halted(part: Mapping[str, Any]) -> Item:
    return {
        "body": _HALTED.body(),
        "httpHeaders": {},
        "httpStatusCode": _HALTED.status,
        "referenceId": part["referenceId"],
    }
