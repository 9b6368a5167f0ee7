"""Whether a bill or invoice is far outside its party's own history: median ± K · MAD of the last records."""

from __future__ import annotations

import dataclasses
import statistics
from decimal import Decimal

from connector.kernel.events import FinancialEvent, Money, Unusual
from connector.models import Connection, RecordState
from connector.pipeline.hashing import keyed_hash

RECORDS = ("bill", "invoice")
LEAST = 8
LAST = 20
#: Distances of K median absolute deviations are common in short histories; beyond, somebody should look.
K = Decimal(6)
#: A history of equal amounts has no deviation of its own; a tenth either way is not worth a mark.
FLOOR = Decimal("0.1")


def party_hash(connection_id: object, event: FinancialEvent) -> str:
    """What finds the other records of the same party without naming it."""
    return keyed_hash("party", str(connection_id), event.record, event.party.id) if event.party else ""


def marked(connection: Connection, event: FinancialEvent) -> FinancialEvent:
    """The event, with its mark when it is unusual."""
    if event.record not in RECORDS or event.operation not in ("created", "updated") or not event.party:
        return event
    amount = event.amount
    history = _history(connection, event)
    if amount is None or len(history) < LEAST:
        return event
    middle = statistics.median(history)
    spread = statistics.median(abs(value - middle) for value in history)
    reach = max(K * spread, FLOOR * abs(middle))
    if abs(amount.amount - middle) <= reach:
        return event
    cent = Decimal("0.01")
    low, high = (
        Money(value.quantize(cent), amount.currency) for value in (max(Decimal(0), middle - reach), middle + reach)
    )
    return dataclasses.replace(event, unusual=Unusual(low, high, len(history)))


def _history(connection: Connection, event: FinancialEvent) -> list[Decimal]:
    """The amounts of the party's latest other records of this kind, in this currency."""
    rows = RecordState.objects.filter(
        connection=connection, record=event.record, party_hash=party_hash(connection.pk, event), is_gone=False
    ).exclude(record_id=event.record_id)
    currency = event.amount.currency if event.amount else ""
    found = []
    for row in rows.order_by("-seen_at")[:LAST]:
        other = row.event or {}
        amount = other.get("amount") or {}
        if amount.get("currency") == currency and other.get("operation") != "voided":
            found.append(Decimal(amount["amount"]))
    return found
