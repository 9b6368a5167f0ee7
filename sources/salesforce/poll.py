"""The scheduled reading: what changed in each object since the last one. It is all there is in polling mode, and what
finds a lost event otherwise."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from typing import Any

from connector.kernel.contracts import Batch, Context
from connector.kernel.values import BadValue, moment
from sources.salesforce import changes, notices
from sources.salesforce.client import Client
from sources.salesforce.fetch import orders_of
from sources.salesforce.layout import ITEM, RECORDS


def poll(ctx: Context, cursor: Mapping[str, Any], since: dt.datetime | None) -> Iterator[Batch]:
    """A batch for each object, whose cursor is how far Salesforce says that it has listed it.

    An object without a cursor begins now: there is nothing to look back for.
    """
    client, now = Client(ctx), ctx.now()
    known = {obj: _read(cursor, obj) for obj in RECORDS}
    reached = {obj: at or since or now for obj, at in known.items()}
    for obj, at in known.items():
        listing = changes.since(client, obj, since or at or now, now)
        reached[obj] = max(reached[obj], listing.covered)
        ids = [*listing.updated, *(each for each, _ in listing.deleted)]
        orders = orders_of(client, ids) if ids and obj == ITEM else {}
        found = tuple(notices.from_listing(ctx.account, obj, listing, orders))
        yield Batch(found, cursor={name: at.isoformat() for name, at in reached.items()})


def _read(cursor: Mapping[str, Any], obj: str) -> dt.datetime | None:
    try:
        return moment(cursor, obj)
    except BadValue:
        return None
