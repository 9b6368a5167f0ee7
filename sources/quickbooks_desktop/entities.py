"""What one cycle asks QuickBooks for, in this order, and how each query is written (qbXML 13.0 operations file)."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection


@dataclasses.dataclass(frozen=True, slots=True)
class Entity:
    """One query: `{name}QueryRq`, answered by `{name}QueryRs` with `{name}Ret` rows.

    `record` is ours; empty for the deletion queries, whose rows name their type. `page` is how many rows an iterator
    brings at a time; 0 where the query has no iterator. `options` stand at its end, in this order.
    """

    name: str
    record: str = ""
    key: str = "TxnID"
    page: int = 50
    options: tuple[str, ...] = ()
    is_list: bool = False

    @property
    def query(self) -> str:
        return f"{self.name}QueryRq"

    @property
    def answer(self) -> str:
        return f"{self.name}QueryRs"

    @property
    def row(self) -> str:
        return f"{self.name}Ret"

    @property
    def is_deletions(self) -> bool:
        return not self.record


_LINES = ("IncludeLineItems",)
_LINKED = ("IncludeLineItems", "IncludeLinkedTxns")
#: Deletions come last: what is told of a deleted record is what was read of it before.
ENTITIES = (
    Entity("Vendor", "vendor", key="ListID", page=200, is_list=True),
    Entity("Customer", "customer", key="ListID", page=200, is_list=True),
    Entity("Bill", "bill", options=_LINKED),
    Entity("PurchaseOrder", "purchase_order", options=_LINKED),
    Entity("BillPaymentCheck", "bill_payment", options=_LINES),
    Entity("BillPaymentCreditCard", "bill_payment", options=_LINES),
    Entity("ReceivePayment", "payment", options=_LINES),
    Entity("Invoice", "invoice", options=_LINKED),
    Entity("TxnDeleted", page=0),
    Entity("ListDeleted", key="ListID", page=0, is_list=True),
)
BY_NAME = {entity.name: entity for entity in ENTITIES}
BY_ANSWER = {entity.answer: entity for entity in ENTITIES}
RECORDS = frozenset(entity.record for entity in ENTITIES if entity.record)
#: Asked for only when a route wants them.
OPTIONAL = ("customer", "invoice")


def wanted(records: Collection[str]) -> tuple[str, ...]:
    """The names of the queries of a cycle whose routes want these records."""
    return tuple(entity.name for entity in ENTITIES if entity.record not in OPTIONAL or entity.record in records)


def deletable(entity: Entity, plan: Collection[str]) -> list[str]:
    """The types that a deletion query asks about: those that the cycle reads."""
    found = [other for other in ENTITIES if not other.is_deletions and other.is_list == entity.is_list]
    return [other.name for other in found if other.name in plan]
