"""Friendly names from QuickBooks Online, for as few calls as possible: whole lists where they are short."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from connector.kernel.contracts import Name
from connector.kernel.errors import Misconfigured, Reject, Retry, VendorError
from connector.kernel.events import Ref
from connector.kernel.values import BadValue
from sources.quickbooks_online.client import Client
from sources.quickbooks_online.documents import NAME_ENTITIES, names_in
from sources.quickbooks_online.queries import PAGE, Query, by_ids, chunks, everything

#: Kinds of which a company has few enough to load all, and those of which it may have many thousands.
_WHOLE = ("account", "department", "class", "item")
_BY_ID = ("vendor", "customer")


def load(client: Client, wanted: Iterable[Ref]) -> Iterator[Name]:
    """The names wanted and all that came along. A list that the company does not have is left out."""
    wanted = list(wanted)
    if any(ref.kind == "company" for ref in wanted):
        yield from _company(client)
    queries = _queries(wanted)
    while queries:
        pages = []
        for query, result in zip(queries, client.run(queries), strict=True):
            if isinstance(result, Retry):
                raise result
            if isinstance(result, VendorError):
                continue
            yield from _names(query.entity, result)
            if query.start and len(result) >= PAGE:
                pages.append(everything(query.entity, query.start + PAGE))
        queries = pages


def _company(client: Client) -> Iterator[Name]:
    """What the company is called, and its home currency: each is documented as a read of its own only."""
    for entity, record_id in (("CompanyInfo", client.company), ("Preferences", "")):
        try:
            yield from names_in(entity, client.read(entity, record_id))
        except (BadValue, Reject, Misconfigured):
            continue  # a message without them is better than none


def _queries(wanted: Sequence[Ref]) -> list[Query]:
    kinds = {ref.kind for ref in wanted}
    if "item" in kinds:  # items name their accounts by ID, and the accounts cost no further call
        kinds.add("account")
    queries = [everything(NAME_ENTITIES[kind]) for kind in _WHOLE if kind in kinds]
    for kind in _BY_ID:
        ids = list(dict.fromkeys(ref.id for ref in wanted if ref.kind == kind and ref.id.isdecimal()))
        queries += [by_ids(NAME_ENTITIES[kind], portion, is_list=True) for portion in chunks(ids)]
    return queries


def _names(entity: str, rows: Iterable[object]) -> Iterator[Name]:
    for row in rows:
        try:
            yield from names_in(entity, row)
        except BadValue:
            continue  # one broken row must not cost the names of the others
