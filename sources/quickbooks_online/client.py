"""Calls to the QuickBooks Online Accounting API (v3): read one, query, batch, changes since.

Every method raises one of `connector.kernel.errors`, never anything else, and spends the vendor's allowance first.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from connector.kernel.contracts import Context
from connector.kernel.errors import Misconfigured, Reauthorize, Refresh, Reject, Unknown, VendorError
from connector.kernel.http import Answer
from connector.kernel.values import BadValue, moment, rows, text
from sources.quickbooks_online.errors import NoAnswer, document_of, faults_in, is_shared, unreadable, verdict
from sources.quickbooks_online.queries import Query

API_URL = "https://quickbooks.api.intuit.com"
#: Versions below 75 are ignored since August 2025.
MINOR_VERSION = "75"
#: Queries in one batch (the vendor's limit).
BATCH_ITEMS = 30

Row = Mapping[str, Any]
Result = list[Any] | VendorError


class Client:
    """The API of one company, with the connection's access token."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._base = (ctx.app.get("api_url") or API_URL).rstrip("/")

    @property
    def company(self) -> str:
        """The company's ID (realm ID)."""
        return self._ctx.account

    def read(self, entity: str, record_id: str = "") -> Row:
        """One object by ID, inactive ones included; `Preferences` has no ID. Raises `Gone` when it was deleted."""
        if record_id in (".", ".."):  # would leave the path
            raise Reject(f"{record_id} is not an ID")
        path = f"{entity.lower()}/{quote(record_id, safe='')}".rstrip("/")
        document = self._ask("GET", path).get(entity)
        if not isinstance(document, Mapping):
            raise unreadable(f"its {entity}")
        return document

    def run(self, queries: Sequence[Query]) -> list[Result]:
        """The rows of each query, or its error, in the order asked: one GET for one query, else batches.

        An error that concerns the whole connection is raised.
        """
        if len(queries) == 1:
            return [self._query(queries[0])]
        results: list[Result] = []
        for start in range(0, len(queries), BATCH_ITEMS):
            results += self._batch(queries[start : start + BATCH_ITEMS])
        return results

    def changes(self, entities: Sequence[str], since: dt.datetime) -> tuple[dict[str, list[Any]], dt.datetime | None]:
        """What changed since then, by entity (at most 1000 objects in all), and the vendor's time of the answer."""
        since_text = since.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        document = self._ask("GET", "cdc", params={"entities": ",".join(entities), "changedSince": since_text})
        found: dict[str, list[Any]] = {entity: [] for entity in entities}
        try:
            for block in self._blocks(document):
                for entity in entities:
                    found[entity] += rows(block, entity)
            return found, moment(document, "time")
        except BadValue:
            raise unreadable("readable changes") from None

    def _blocks(self, document: Row) -> Iterator[Row]:
        if "CDCResponse" not in document:
            raise unreadable("its changes")
        for response in rows(document, "CDCResponse"):
            for block in (response, *rows(response, "QueryResponse")):
                if faults := faults_in(block):
                    raise verdict(faults, Answer(200, {}, b""), self._ctx.now())
                yield block

    def _query(self, query: Query) -> Result:
        try:
            return _rows_of(self._ask("GET", "query", params={"query": query.statement}), query)
        except VendorError as error:
            if is_shared(error):
                raise
            return error

    def _batch(self, queries: Sequence[Query], *, may_halve: bool = True) -> list[Result]:
        items = [{"bId": f"q{number}", "Query": query.statement} for number, query in enumerate(queries)]
        try:
            self._ctx.spend("batch")
            document = self._ask("POST", "batch", body=json.dumps({"BatchItemRequest": items}).encode())
            answers = {text(item, "bId"): item for item in rows(document, "BatchItemResponse")}
        except NoAnswer as error:
            if not may_halve or len(queries) == 1:
                return [error] * len(queries)
            half = len(queries) // 2
            return self._batch(queries[:half], may_halve=False) + self._batch(queries[half:], may_halve=False)
        except BadValue:
            raise unreadable("readable batch items") from None
        return [self._item(answers.get(f"q{number}"), query) for number, query in enumerate(queries)]

    def _item(self, item: Row | None, query: Query) -> Result:
        if faults := faults_in(item):
            error = verdict(faults, Answer(200, {}, b""), self._ctx.now())
            if is_shared(error):
                raise error
            return error
        try:
            return _rows_of(item or {}, query)
        except VendorError as error:
            return error

    def _ask(
        self, method: str, path: str, *, params: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Row:
        """A call that only reads, so that one without an answer may simply be repeated."""
        try:
            return self.call(method, path, params=params, body=body)
        except Unknown as error:
            raise NoAnswer(error.text, code=error.code) from None

    def call(
        self, method: str, path: str, *, params: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Row:
        """One call under the company's address; the JSON object of its answer. `Unknown` when it may have worked."""
        headers = {"Authorization": f"Bearer {self._token()}", "Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if not self._ctx.account:
            raise Misconfigured("the connection has no company ID (realm ID): set its account")
        url = f"{self._base}/v3/company/{quote(self._ctx.account, safe='')}/{path}"
        self._ctx.spend("call")
        answer = self._ctx.http.call(
            method, url, headers=headers, params={**(params or {}), "minorversion": MINOR_VERSION}, body=body
        )
        return document_of(answer, self._ctx.now())

    def _token(self) -> str:
        secrets = self._ctx.secrets
        token = secrets.get("access_token")
        if token and token.isascii() and token.isprintable():
            return token
        if secrets.get("refresh_token"):
            raise Refresh("the connection has no usable access token yet; it will be renewed")
        raise Reauthorize("the connection has no token: connect it to QuickBooks Online")


def _rows_of(document: Row, query: Query) -> list[Any]:
    """The rows of a query's answer; the vendor leaves the key out when there are none."""
    try:
        if "QueryResponse" in document:
            return rows(document, "QueryResponse", query.entity)
    except BadValue:
        pass
    raise unreadable("its rows")
