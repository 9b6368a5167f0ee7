"""The one way in which something is written to QuickBooks Online: exact numbers, a request ID, refusals for people."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from connector.kernel.errors import Refuse, Reject, Unknown, VendorError
from connector.kernel.values import BadValue
from sources.quickbooks_online.client import Client, Row
from sources.quickbooks_online.documents import identifier
from sources.quickbooks_online.errors import unreadable
from sources.quickbooks_online.queries import IDS, PAGE, Query

#: Refusals that end when somebody changes something in one of the two systems: a reference made active again, the
#: books opened, a name or number given up. The others are for good.
MENDABLE = frozenset({"610", "2050", "2500", "6000", "6140", "6210", "6240"})
_ALL_OF = "select * from"
STALE, TAKEN_NAME, TAKEN_NUMBER = "5010", "6240", "6140"


def request_id(*parts: str) -> str:
    """The `requestid` of a write: the same for every try of the same content, at most 50 characters."""
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:32]


def write(client: Client, entity: str, body: Mapping[str, Any], request: str) -> Row:
    """Writes and gives the whole record as it then is. `Unknown` when it may have been written without that answer."""
    try:
        answer = client.call("POST", entity.lower(), params={"requestid": request}, body=encode(body).encode())
    except Reject as error:
        if error.code not in MENDABLE:
            raise
        raise Refuse([error.text], code=error.code, status=error.status, detail=error.detail) from None
    except VendorError as error:
        if error.code == unreadable("").code:
            raise Unknown(error.text, code=error.code, status=error.status) from None
        raise
    written = answer.get(entity)
    try:
        identifier(written, "Id")
    except BadValue:
        raise Unknown(f"QuickBooks Online answered without its {entity}", code="unreadable") from None
    assert isinstance(written, Mapping)
    return written


def encode(value: Any) -> str:
    """JSON in which a Decimal is the number that it is."""
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{json.dumps(key)}:{encode(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(encode(item) for item in value) + "]"
    return f"{value:f}" if isinstance(value, Decimal) else json.dumps(value)


def where(entity: str, field: str, values: Sequence[str], *, is_list: bool) -> list[Query]:
    """The rows whose field has one of the values, inactive ones included, in portions that fit one query each."""
    active = " and Active in (true, false)" if is_list else ""
    listed = list(dict.fromkeys(values))
    portions = [listed[start : start + IDS] for start in range(0, len(listed), IDS)]
    return [
        Query(
            entity,
            f"{_ALL_OF} {entity} where {field} in ({','.join(map(_quoted, portion))}){active} maxresults {PAGE}",
        )
        for portion in portions
    ]


def found(client: Client, queries: Sequence[Query]) -> list[Row]:
    """All rows of the queries. Raises the first error."""
    listed: list[Row] = []
    for result in client.run(queries) if queries else []:
        if isinstance(result, VendorError):
            raise result
        listed += [row for row in result if isinstance(row, Mapping)]
    return listed


def _quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
