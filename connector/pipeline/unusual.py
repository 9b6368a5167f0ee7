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


#: What one party's latest records were: (record ID, currency, amount), newest first.
History = list[tuple[str, str, Decimal]]


def marked(connection: Connection, event: FinancialEvent, read: dict[str, History]) -> FinancialEvent:
    """The event, with its mark when it is unusual. `read` keeps the histories that a batch has in common."""
    if event.record not in RECORDS or event.operation not in ("created", "updated") or not event.party:
        return event
    amount = event.amount
    party = party_hash(connection.pk, event)
    if amount is None:
        return event
    if party not in read:
        read[party] = _history(connection, event.record, party)
    known = (row for row in read[party] if row[0] != event.record_id and row[1] == amount.currency)
    history = [value for _, _, value in known]
    if len(history) < LEAST:
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


def _history(connection: Connection, record: str, party: str) -> History:
    rows = RecordState.objects.filter(connection=connection, record=record, party_hash=party, is_gone=False)
    found = []
    for row in rows.order_by("-seen_at")[:LAST]:
        event = row.event or {}
        amount = event.get("amount")
        if amount and event.get("operation") != "voided":
            found.append((row.record_id, amount.get("currency", ""), Decimal(amount["amount"])))
    return found
