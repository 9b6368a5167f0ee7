"""The entities of QuickBooks Online that become events, and how the vendor names them.

Source: the Accounting API reference, and for the links the product's own addresses (no vendor promise).
"""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class Entity:
    """One kind of record: our name, the API's name, and where it is shown in the browser.

    A list entity (vendor, customer, account) is never deleted, only made inactive.
    """

    record: str
    name: str
    link: str
    is_list: bool = False

    @property
    def word(self) -> str:
        """The entity as CloudEvents types and paths spell it."""
        return self.name.lower()


ENTITIES = (
    Entity("bill", "Bill", "bill?txnId={id}"),
    Entity("bill_payment", "BillPayment", "billpayment?txnId={id}"),
    Entity("invoice", "Invoice", "invoice?txnId={id}"),
    Entity("payment", "Payment", "recvpayment?txnId={id}"),
    Entity("journal_entry", "JournalEntry", "journal?txnId={id}"),
    Entity("vendor", "Vendor", "vendordetail?nameId={id}", is_list=True),
    Entity("customer", "Customer", "customerdetail?nameId={id}", is_list=True),
    Entity("account", "Account", "register?accountId={id}", is_list=True),
)
#: Entities that are no events of ours, but whose names stand in messages: the kind of name.
NAMED = {"department": "department", "class": "class", "item": "item"}
BY_RECORD = {entity.record: entity for entity in ENTITIES}
BY_WORD = {entity.word: entity for entity in ENTITIES}
