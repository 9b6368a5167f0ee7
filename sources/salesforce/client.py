"""Calls to one Salesforce org's REST API: queries, single records, collections, replication, describe.

Every method raises one of `connector.kernel.errors` or of `errors`, never anything else, and spends the allowance
first. A read without an answer is `NoAnswer` (a `Retry`); a write without one is `Unknown`: an upsert or update may
simply be repeated, a `create` may not.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode

from connector.kernel.contracts import Context
from connector.kernel.errors import Misconfigured, Reauthorize, Refresh, Reject, Retry, Unknown, VendorError
from connector.kernel.values import BadValue, flag, moment, rows, text
from sources.salesforce import answers, describe, oauth
from sources.salesforce.answers import Row, Saved, Several
from sources.salesforce.body import encode
from sources.salesforce.describe import ObjectShape
from sources.salesforce.errors import Ambiguous, Gone, NoAnswer, document_of, unreadable
from sources.salesforce.soql import CHUNK, full_id, instant, name

API_VERSION = "67.0"
#: Seen as the `client` of `changeOrigin` in the change events of our own writes (not of composite ones).
CLIENT_NAME = "ml-connector"
#: The part of the daily allowance from which on calls are slowed down.
SLOW_FROM = 0.8

#: (used, allowed) of the rolling 24 hours by org, as the last answer in this process told.
_usage: dict[str, tuple[int, int]] = {}


class Client:
    """The REST API of one org, with the connection's access token."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self.base = ctx.secrets.get("instance_url").rstrip("/") or oauth.base_of(ctx.settings)
        self.version = str(ctx.app.get("api_version") or API_VERSION)
        if not re.fullmatch(r"\d{2,3}\.0", self.version):
            raise Misconfigured("SALESFORCE_API_VERSION must look like 67.0", code="api_version")

    @property
    def org_id(self) -> str:
        return self._ctx.secrets.get("org_id")

    @property
    def user_id(self) -> str:
        """The run-as user: what our own changes are signed with."""
        return self._ctx.secrets.get("user_id")

    @property
    def usage(self) -> tuple[int, int]:
        """Calls used and allowed in the rolling 24 hours, as the last answer said; (0, 0) when none did."""
        return _usage.get(self.org_id or self.base, (0, 0))

    def versions(self) -> list[str]:
        """The API versions that the org knows, such as "67.0"."""
        found = self._read(f"{self.base}/services/data/")
        try:
            return [text(row, "version") for row in rows({"versions": found}, "versions")]
        except BadValue:
            raise unreadable("its versions") from None

    def limits(self) -> Row:
        """`{"DailyApiRequests": {"Max", "Remaining"}, …}`."""
        return answers.one_object(self._read(self._data("limits")), "its limits")

    def sobjects(self) -> dict[str, Row]:
        """The objects that the run-as user can see, by name."""
        try:
            return {text(row, "name"): row for row in rows(self._read(self._data("sobjects")), "sobjects")}
        except BadValue:
            raise unreadable("its objects") from None

    def describe(self, obj: str) -> ObjectShape:
        """The object's fields as the run-as user has them. Raises `Misconfigured` when there is no such object."""
        return describe.shelf.get((*self._owner(), obj), lambda: self._describe(obj))

    def forget_describes(self) -> None:
        """The next `describe` asks again."""
        describe.shelf.forget(self._owner())

    def _owner(self) -> tuple[str, ...]:
        # A new token may come with new rights, and is renewed every 90 minutes anyway.
        return self.base, self.version, str(hash(self._ctx.secrets.get("access_token")))

    def _describe(self, obj: str) -> ObjectShape:
        try:
            return describe.read(self._read(self._data("sobjects", obj, "describe")))
        except BadValue:
            raise unreadable(f"the fields of {obj}") from None

    def query(self, soql: str, *, with_deleted: bool = False) -> Iterator[Row]:
        """Every row, over all pages, each with all rows of its child queries. `with_deleted` reads merged ones too."""
        resource = self._data("queryAll" if with_deleted else "query")
        page = self._read(f"{resource}?{urlencode({'q': soql})}")
        for row in self._pages(page):
            yield {key: self._whole(value) for key, value in row.items()}

    def _whole(self, value: Any) -> Any:
        if not isinstance(value, Mapping) or not isinstance(value.get("records"), list):
            return value
        return {**value, "done": True, "records": list(self._pages(value))}

    def _pages(self, page: Any) -> Iterator[Row]:
        while True:
            try:
                listed, is_done, more = rows(page, "records"), flag(page, "done"), text(page, "nextRecordsUrl")
            except BadValue:
                raise unreadable("its records") from None
            if is_done is None:
                raise unreadable("the whole list of records")
            yield from (row for row in listed if isinstance(row, Mapping))
            if is_done:
                return
            if not more.startswith("/services/data/"):
                raise unreadable("the address of the next page")
            page = self._read(f"{self.base}{more}")

    def get(self, obj: str, record_id: str, fields: Sequence[str]) -> Row:
        """One record by ID. Raises `Gone`."""
        url = f"{self._data('sobjects', obj, full_id(record_id))}?{urlencode({'fields': ','.join(map(name, fields))})}"
        return answers.one_object(self._on_record(lambda: self._read(url)), "the record")

    def find(self, obj: str, ext_field: str, value: str, fields: Sequence[str]) -> Row | None:
        """The record with that external ID, or None. Raises `Ambiguous`."""
        url = f"{self._by(obj, ext_field, value)}?{urlencode({'fields': ','.join(map(name, fields))})}"
        try:
            return answers.one_object(self._on_record(lambda: self._read(url), obj, ext_field), "the record")
        except Gone:
            return None

    def upsert(
        self,
        obj: str,
        ext_field: str,
        value: str,
        body: Row,
        *,
        update_only: bool = False,
        allow_duplicates: bool = False,
    ) -> tuple[str, bool]:
        """Creates or updates the record with that external ID: its ID, and whether it is new.

        `body` holds neither the external ID nor `Id`. With `update_only` a missing record is `Gone`.
        `allow_duplicates` passes duplicate rules that only warn. Raises `Ambiguous` when several hold the external ID.
        """
        url = self._by(obj, ext_field, value) + ("?updateOnly=true" if update_only else "")

        def work() -> Any:
            return self._write("PATCH", url, body, allow_duplicates=allow_duplicates)

        found = self._on_record(work, obj, ext_field)
        if found is None:  # API versions before 46 say no more than that it was done
            row = self.find(obj, ext_field, value, ["Id"])
            return (answers.id_in(row) if row else ""), False
        saved = answers.saved(found)
        return saved.id, saved.is_created

    def upsert_many(self, obj: str, ext_field: str, records: Sequence[Row]) -> list[Saved | VendorError]:
        """Up to 200 records, each with its external ID in it (none twice): what became of each, in their order.

        One failed record does not hold back the others.
        """
        if len(records) > CHUNK:
            raise Reject(f"Salesforce takes {CHUNK} records in one call", code="too_many")
        if not records:
            return []
        items = [{"attributes": {"type": obj}, **record} for record in records]
        url = self._data("composite", "sobjects", obj, name(ext_field))
        found = self._write("PATCH", url, {"allOrNone": False, "records": items})
        if not isinstance(found, list) or len(found) != len(records):
            raise Unknown("Salesforce answered without a word on every record", code="unreadable")
        return [answers.item(row) for row in found]

    def update(self, obj: str, record_id: str, body: Row) -> None:
        """Writes the fields of one record by ID. Raises `Gone`."""
        url = self._data("sobjects", obj, full_id(record_id))
        self._on_record(lambda: self._write("PATCH", url, body))

    def create(self, obj: str, body: Row, *, allow_duplicates: bool = False) -> str:
        """A new record; its ID. Not to be repeated after `Unknown` without looking."""
        try:
            found = self._write("POST", self._data("sobjects", obj), body, allow_duplicates=allow_duplicates)
        except Retry as error:
            if not error.code and error.status >= 500:  # a page from between us and Salesforce says nothing of the work
                raise Unknown(error.text, status=error.status) from None
            raise
        return answers.saved(found).id

    def updated(self, obj: str, start: dt.datetime, end: dt.datetime) -> tuple[list[str], dt.datetime]:
        """IDs created or changed between the two, and how far that list reaches. Raises `TooOld` (30 days), `TooMany`.

        Salesforce drops the seconds of both: they must lie in different minutes.
        """
        found = self._replication(obj, "updated", start, end)
        try:
            return answers.changed_ids(found), moment(found, "latestDateCovered") or end
        except BadValue:
            raise unreadable("the changed records") from None

    def deleted(
        self, obj: str, start: dt.datetime, end: dt.datetime
    ) -> tuple[list[tuple[str, dt.datetime | None]], dt.datetime, dt.datetime | None]:
        """IDs deleted between the two with their times, how far that list reaches, and from when on it is whole.

        Raises `TooOld` (15 days), `TooMany`.
        """
        found = self._replication(obj, "deleted", start, end)
        try:
            covered, earliest = moment(found, "latestDateCovered"), moment(found, "earliestDateAvailable")
            return answers.deleted_ids(found), covered or end, earliest
        except BadValue:
            raise unreadable("the deleted records") from None

    def _replication(self, obj: str, kind: str, start: dt.datetime, end: dt.datetime) -> Any:
        window = urlencode({"start": instant(start), "end": instant(end)})
        return self._read(f"{self._data('sobjects', obj, kind)}/?{window}")

    def _data(self, *parts: str) -> str:
        return "/".join([f"{self.base}/services/data/v{self.version}", *(quote(part, safe="") for part in parts)])

    def _by(self, obj: str, ext_field: str, value: str) -> str:
        if value in ("", ".", ".."):  # would leave the path
            raise Reject("that is not an external ID", code="bad_id")
        return self._data("sobjects", obj, name(ext_field), value)

    def _on_record(self, work: Callable[[], Any], obj: str = "", ext_field: str = "") -> Any:
        """Runs a call on one record, for which "not found" means the record rather than a setting."""
        try:
            return work()
        except Misconfigured as error:
            if error.status != 404 or "external id field" in error.detail.lower():
                raise
            sentence = "the record does not exist in Salesforce (any more)"
            raise Gone(sentence, code=error.code, status=404, detail=error.detail) from None
        except Several as error:
            refusal = Ambiguous(
                [f"several {obj} records in Salesforce hold the same {ext_field}: keep one"], status=300
            )
            refusal.record_ids = error.record_ids
            raise refusal from None

    def _read(self, url: str) -> Any:
        try:
            return self._call("GET", url)
        except Unknown as error:
            raise NoAnswer(error.text, code=error.code) from None

    def _write(self, method: str, url: str, body: Row, *, allow_duplicates: bool = False) -> Any:
        headers = {"Sforce-Duplicate-Rule-Header": "allowSave=true"} if allow_duplicates else {}
        try:
            return self._call(method, url, body, headers)
        except Retry as error:
            if error.code == "unreadable":
                raise Unknown(error.text, code=error.code, status=error.status) from None
            raise

    def _call(self, method: str, url: str, body: Row | None = None, more: Mapping[str, str] | None = None) -> Any:
        headers = {
            "Authorization": f"Bearer {self._token()}",
            "Accept": "application/json",
            "Sforce-Call-Options": f"client={CLIENT_NAME}",
            "User-Agent": CLIENT_NAME,
            **(more or {}),
        }
        content = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            content = encode(body).encode()
        self._ctx.spend("call")
        used, allowed = self.usage
        if allowed and used >= allowed * SLOW_FROM:
            self._ctx.spend("slow")
        answer = self._ctx.http.call(method, url, headers=headers, body=content)
        if told := answers.usage_in(answer.headers.get("sforce-limit-info", "")):
            _usage[self.org_id or self.base] = told
        if answer.status == 300:
            raise answers.several(answer)
        return document_of(answer)

    def _token(self) -> str:
        secrets = self._ctx.secrets
        token = secrets.get("access_token")
        if token and token.isascii() and token.isprintable():
            return token
        if secrets.get("client_id") and secrets.get("client_secret"):
            raise Refresh("the connection has no usable access token yet; it will be renewed")
        raise Reauthorize("the connection has no client ID or client secret: enter both")
