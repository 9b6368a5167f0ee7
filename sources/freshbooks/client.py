"""Calls to the FreshBooks API: records of one account, its callbacks, and who is logged in.

Every method raises one of `connector.kernel.errors`, never anything else, and spends the allowance first.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode

from connector.kernel.contracts import Context
from connector.kernel.errors import Misconfigured, Reauthorize, Refresh, Reject, Unknown, VendorError
from connector.kernel.values import BadValue, amount, dig, rows, text
from sources.freshbooks.entities import Entity
from sources.freshbooks.errors import Gone, NoAnswer, document_of, is_shared, unreadable

API_URL = "https://api.freshbooks.com"
#: Rows of a page; the vendor gives no more, whatever is asked for.
PAGE = 100
#: Pages read of one list at most.
MAX_PAGES = 200

Row = Mapping[str, Any]
Query = Sequence[tuple[str, str]]


class Client:
    """The API of one account, with the connection's access token."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._base = (ctx.app.get("api_url") or API_URL).rstrip("/")

    @property
    def account(self) -> str:
        """The accounting account's ID."""
        return self._ctx.account

    def me(self) -> Row:
        """Who is logged in, and the businesses that they belong to."""
        try:
            found = dig(self._read(f"{self._base}/auth/api/v1/users/me"), "response")
        except Gone as error:
            raise Misconfigured("the API is not at this address: check FRESHBOOKS_API_URL", code=error.code) from None
        if not isinstance(found, Mapping):
            raise unreadable("who is logged in")
        return found

    def one(self, entity: Entity, record_id: str) -> Row:
        """One object by ID, deleted ones (soft) included. Raises `Gone` when there is none."""
        if record_id in ("", ".", ".."):  # would leave the path
            raise Reject("that is not an ID", code="bad_id")
        url = f"{self._accounting(entity)}/{quote(record_id, safe='')}"
        found = dig(self._read(url, _includes(entity)), "response", "result", entity.one)
        if not isinstance(found, Mapping):
            raise unreadable(f"its {entity.one}")
        return found

    def many(self, entity: Entity, ids: Iterable[str]) -> Iterator[tuple[str, Row | VendorError]]:
        """Objects by their IDs: one list for several, and one read for each that a list does not bring.

        An error that concerns the whole connection is raised.
        """
        wanted = list(dict.fromkeys(ids))
        found = self._listed(entity, [each for each in wanted if each.isdecimal()]) if len(wanted) > 1 else {}
        for record_id in wanted:
            yield record_id, found.get(record_id) or self._alone(entity, record_id)

    def _listed(self, entity: Entity, ids: Sequence[str]) -> dict[str, Row]:
        found: dict[str, Row] = {}
        for start in range(0, len(ids), PAGE):
            portion = ids[start : start + PAGE]
            try:
                listed, _ = self.page(entity, [("search[ids][]", each) for each in portion])
            except Reject:
                continue  # not every list can be asked by ID: then each is read by itself
            for row in listed:
                try:
                    record_id = text(row, entity.key)
                except BadValue:
                    continue
                if record_id in portion:
                    found[record_id] = row
        return found

    def _alone(self, entity: Entity, record_id: str) -> Row | VendorError:
        try:
            return self.one(entity, record_id)
        except VendorError as error:
            if is_shared(error):
                raise
            return error

    def page(self, entity: Entity, query: Query = (), number: int = 1) -> tuple[list[Any], bool]:
        """One page of a list, and whether there are more."""
        asked = [*query, *_includes(entity), ("page", str(number)), ("per_page", str(PAGE))]
        result = dig(self._read(self._accounting(entity), asked), "response", "result")
        return _page(result, entity.many, number)

    def callbacks(self) -> Iterator[Any]:
        """Every registered callback."""
        for number in range(1, MAX_PAGES + 1):
            document = self._read(self._callbacks(), [("page", str(number)), ("per_page", str(PAGE))])
            listed, has_more = _page(dig(document, "response", "result"), "callbacks", number)
            yield from listed
            if not has_more:
                return

    def change_callback(self, method: str, callback_id: str = "", body: Any = None) -> Row:
        """Registers (POST), confirms or reminds (PUT), or ends (DELETE) a callback; what it is then."""
        url = self._callbacks() + (f"/{quote(callback_id, safe='')}" if callback_id else "")
        document = self._call(method, url, body={"callback": body} if body is not None else None)
        found = dig(document, "response", "result", "callback")
        return found if isinstance(found, Mapping) else {}

    def _accounting(self, entity: Entity) -> str:
        return f"{self._base}/accounting/account/{self._own_account()}/{entity.path}"

    def _callbacks(self) -> str:
        return f"{self._base}/events/account/{self._own_account()}/events/callbacks"

    def _own_account(self) -> str:
        if not self._ctx.account:
            raise Misconfigured("the connection has no account ID: set its account")
        return quote(self._ctx.account, safe="")

    def _read(self, url: str, query: Query = ()) -> Row:
        """A call that changes nothing, so that one without an answer may simply be repeated."""
        try:
            return self._call("GET", url, query)
        except Unknown as error:
            raise NoAnswer(error.text, code=error.code) from None

    def _call(self, method: str, url: str, query: Query = (), body: Any = None) -> Row:
        headers = {
            "Authorization": f"Bearer {self._token()}",
            "Accept": "application/json",
            "User-Agent": "ml-connector",
        }
        content = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            content = json.dumps(body).encode()
        self._ctx.spend("call")
        address = f"{url}?{urlencode(list(query))}" if query else url
        answer = self._ctx.http.call(method, address, headers=headers, body=content)
        if method == "DELETE" and 200 <= answer.status < 300 and not answer.body.strip():
            return {}
        return document_of(answer, self._ctx.now())

    def _token(self) -> str:
        secrets = self._ctx.secrets
        token = secrets.get("access_token")
        if token and token.isascii() and token.isprintable():
            return token
        if secrets.get("refresh_token"):
            raise Refresh("the connection has no usable access token yet; it will be renewed")
        raise Reauthorize("the connection has no token: connect it to FreshBooks")


def _includes(entity: Entity) -> list[tuple[str, str]]:
    return [("include[]", part) for part in entity.include]


def _page(result: Any, key: str, number: int) -> tuple[list[Any], bool]:
    if not isinstance(dig(result, key), list):
        raise unreadable(f"its {key}")
    try:
        return rows(result, key), number < min(amount(result, "pages") or 0, MAX_PAGES)
    except BadValue:
        raise unreadable("the number of its pages") from None
