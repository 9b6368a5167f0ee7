"""Reading whole objects: several side by side in one request, each page by page until nothing remains."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

from lxml import etree

from connector.kernel.contracts import Context
from connector.kernel.errors import Reauthorize, Refresh, Retry, VendorError
from sources.sage_intacct import session
from sources.sage_intacct.answer import Reply, Result, Row
from sources.sage_intacct.client import Client
from sources.sage_intacct.envelope import Function
from sources.sage_intacct.errors import UNSUPPORTED
from sources.sage_intacct.queries import Query, read_more

#: Functions of one request, so that it stays short of the vendor's time limit.
MAX_FUNCTIONS = 5
#: Pages of one object at most.
MAX_PAGES = 200


@dataclasses.dataclass(slots=True)
class Read:
    """One object being read. `rows` are whole once `is_done` and without a `failure`."""

    name: str
    subject: str
    query: Query | None = None
    #: A verb without pages, instead of a query.
    verb: etree._Element | None = None
    rows: list[Row] = dataclasses.field(default_factory=list)
    failure: VendorError | None = None
    is_done: bool = False
    _pages: int = 0
    _total: int | None = None
    _is_legacy: bool = False
    _result_id: str = ""

    def function(self) -> Function:
        """What to ask next."""
        return Function(f"{self.name}-p{self._pages + 1}" if self._pages else self.name, self._verb(), self.subject)

    def _verb(self) -> etree._Element:
        if self.query is None:
            assert self.verb is not None
            return self.verb
        if not self._is_legacy:
            return self.query.verb(len(self.rows))
        return read_more(self._result_id) if self._result_id else self.query.legacy_verb()

    def fail(self, failure: VendorError) -> None:
        self.failure, self.is_done = failure, True
        self.rows.clear()

    def take(self, result: Result) -> None:
        """Adds a page. Raises `Refresh` when the session has ended."""
        if isinstance(result.failure, Refresh | Reauthorize):
            raise result.failure
        if result.failure is not None:
            if self.query is None or self._is_legacy or self._pages or not UNSUPPORTED.search(result.wording):
                self.fail(result.failure)
            self._is_legacy = True
            return
        self._pages += 1
        self.rows += result.rows
        self._result_id = result.result_id
        if self.query is None:
            self.is_done = True
        elif self._total not in (None, result.total):
            self.fail(_shifted(self.subject))
        else:
            self._total = result.total
            self._look_for_more(result)

    def _look_for_more(self, result: Result) -> None:
        """The end is where nothing remains or nothing came; then every row must be there, once."""
        remaining = result.remaining
        if remaining is None:
            remaining = max(0, (self._total or 0) - len(self.rows))
        if remaining and result.rows and self._pages < MAX_PAGES and (self._result_id or not self._is_legacy):
            return
        keys = {row.get("RECORDNO") or row.get("VENDORID") or str(place) for place, row in enumerate(self.rows)}
        if remaining or self._total not in (None, len(self.rows)) or len(keys) != len(self.rows):
            self.fail(_shifted(self.subject))
        self.is_done = True


def _shifted(subject: str) -> Retry:
    return Retry(f"{subject} changed while it was read, so that rows are missing", code="incomplete")


class Gateway:
    """The company's gateway within a session."""

    def __init__(self, ctx: Context) -> None:
        self._session, self._endpoint = session.current(ctx)
        self._client = Client(ctx)
        self._has_answered = False

    def call(self, functions: Sequence[Function]) -> Reply:
        """One request."""
        reply = self._client.call(functions, self._session, self._endpoint)
        self._has_answered = True
        return reply

    def read(self, reads: Iterable[Read]) -> Reply | None:
        """Reads all to their ends; the first reply. A read that fails says so in itself.

        Raises the verdict when the very first request failed as a whole, and whenever the sign-in is in question.
        """
        pending = list(reads)
        first: Reply | None = None
        while pending := [each for each in pending if not each.is_done]:
            batch = pending[:MAX_FUNCTIONS]
            asked = [(each, each.function()) for each in batch]
            try:
                reply = self.call([function for _, function in asked])
            except VendorError as error:
                if not self._has_answered or isinstance(error, Refresh | Reauthorize):
                    raise
                for each in batch:
                    each.fail(error)
                continue
            first = first or reply
            for each, function in asked:
                each.take(reply.results[function.name])
        return first
