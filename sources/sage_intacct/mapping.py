"""Records of the reports as financial events. Pure: everything a message says stands in the record."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from connector.kernel.contracts import Names, Notice, Record
from connector.kernel.events import FinancialEvent
from connector.kernel.values import BadValue, text
from sources.sage_intacct import payment_mapping, posting_mapping
from sources.sage_intacct.wording import Scope

Mapper = Callable[[Scope, FinancialEvent], FinancialEvent]
_MAPPERS: Mapping[str, Mapper] = {
    "gl_posting run": posting_mapping.run,
    "gl_posting details": posting_mapping.details,
    "gl_posting unbalanced": posting_mapping.unbalanced,
    "payment_batch batch": payment_mapping.batch,
    "payment_batch details": payment_mapping.details,
    "payment payment": payment_mapping.payment,
    "vendor vendor": payment_mapping.vendor,
}


def to_event(record: Record, notice: Notice, names: Names, *, timezone: str, entity: str = "") -> FinancialEvent:
    """The event of a record that a report made. Raises `BadValue` for any other."""
    mapper = _MAPPERS.get(f"{record.record} {text(record.body, 'kind')}")
    if mapper is None:
        raise BadValue("the record is none that a report makes")
    scope = Scope(record.body, names, _zone(timezone), entity)
    base = FinancialEvent(
        record.record, notice.operation, record.record_id, occurred_at=notice.occurred_at or record.updated_at
    )
    return mapper(scope, base)


def _zone(name: str) -> dt.tzinfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return dt.UTC
