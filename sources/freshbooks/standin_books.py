"""The stand-in's books: the records of one business, and what its people do with them.

`Business` checks nothing but the existence of a record, as it stands for what is done in FreshBooks' own screens.
"""

from __future__ import annotations

import copy
import datetime as dt
import itertools
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from sources.freshbooks.standin_documents import EASTERN, RESOURCES, UTC, Document, Resource
from sources.freshbooks.standin_faults import VendorError

ACTIVE, DELETED, ARCHIVED = 0, 1, 2
#: What an invoice shows once it has been sent.
_SENT = {"status": 2, "v3_status": "sent", "display_status": "sent"}
#: A record that pays another: the field that names the other, its kind, and where the other keeps its total.
_PAYS = {"payments": ("invoiceid", "invoices", "amount"), "bill_payments": ("billid", "bills", "total_amount")}


class Business:
    """One business. `on_change(account_id, event name, number)` is told of every change, in order.

    `account_id` is None for a business without accounting.
    """

    def __init__(
        self,
        account_id: str | None,
        business_id: int,
        name: str,
        *,
        now: Callable[[], dt.datetime],
        on_change: Callable[[str, str, int], object],
    ) -> None:
        self.account_id = account_id
        self.business_id = business_id
        self.name = name
        self.records: dict[tuple[str, int], Document] = {}
        #: How many updates of its totals FreshBooks tells right after it has told that a record was created.
        self.updates_after_create = 0
        self._now = now
        self._on_change = on_change
        self._numbers = itertools.count(100_001)

    def rows(self, kind: str) -> list[Document]:
        return [record for (each, _), record in self.records.items() if each == kind]

    def find(self, kind: str, number: int) -> Document:
        """The record, deleted or not. Raises `VendorError` 1012 when there is none."""
        resource = RESOURCES[kind]
        if (kind, number) not in self.records:
            text = f"{resource.single.replace('_', ' ').capitalize()} not found."
            raise VendorError(404, 1012, text, object=resource.single, field=resource.keys[-1], value=str(number))
        return self.records[kind, number]

    def load(self, kind: str, document: Document) -> Document:
        """Keeps a document exactly as it is, its own times included; nothing is announced."""
        number = int(document[RESOURCES[kind].keys[-1]])
        self.records[kind, number] = copy.deepcopy(document)
        return document

    def put(self, kind: str, document: Document) -> Document:
        """Adds the record, or replaces the one with its number, as of now; what is left out is filled in."""
        resource = RESOURCES[kind]
        given = next((document[key] for key in resource.keys if key in document), None)
        number = next(self._numbers) if given is None else int(given)
        before = self.records.get((kind, number), {})
        full = {
            **resource.template,
            **self._derived(kind, document),
            **document,
            **dict.fromkeys(resource.keys, number),
        }
        if resource.system:
            full[resource.system] = self.account_id
        if resource.created:
            full[resource.created] = before.get(resource.created) or self._stamp(resource)
        self._keep(resource, number, full)
        verbs = ["update"] if before else ["create", *["update"] * self.updates_after_create]
        for verb in verbs:
            self._tell(resource, verb, number)
        if not before and kind in _PAYS:
            self._settle(kind, self.records[kind, number])
        return copy.deepcopy(self.records[kind, number])

    def change(self, kind: str, number: int, **fields: Any) -> Document:
        """Replaces fields of the record."""
        return self._change(kind, number, "update", fields)

    def delete(self, kind: str, number: int) -> Document:
        """Deletes the record, which FreshBooks goes on showing to whoever asks for it by its number."""
        return self._change(kind, number, "delete", {"vis_state": DELETED})

    def archive(self, kind: str, number: int) -> Document:
        return self._change(kind, number, "update", {"vis_state": ARCHIVED})

    def send(self, number: int) -> Document:
        """Emails an invoice to its client."""
        self._tell(RESOURCES["invoices"], "sendByEmail", number)
        return self._change("invoices", number, "update", _SENT)

    def vanish(self, kind: str, number: int) -> None:
        """Takes the record away for good, and tells nobody."""
        del self.records[kind, number]

    def _change(self, kind: str, number: int, verb: str, fields: Document) -> Document:
        resource = RESOURCES[kind]
        self._keep(resource, number, {**self.find(kind, number), **fields})
        self._tell(resource, verb, number)
        return copy.deepcopy(self.records[kind, number])

    def _keep(self, resource: Resource, number: int, full: Document) -> None:
        if resource.updated:
            full[resource.updated] = self._stamp(resource)
        if resource.listed == "invoices":
            full["version"] = f"{self._now().astimezone(EASTERN):%Y-%m-%d %H:%M:%S.%f}"
        self.records[resource.listed, number] = copy.deepcopy(full)

    def _tell(self, resource: Resource, verb: str, number: int) -> None:
        if resource.noun and self.account_id:
            self._on_change(self.account_id, f"{resource.noun}.{verb}", number)

    def _stamp(self, resource: Resource) -> str:
        return f"{self._now().astimezone(resource.zone):%Y-%m-%d %H:%M:%S}"

    def _derived(self, kind: str, document: Document) -> Document:
        """What FreshBooks works out by itself for a record of this kind."""
        if kind == "invoices":
            return self._of_invoice(document)
        if kind == "bills":
            return self._of_bill(document)
        if kind == "payments":
            invoice = self.records.get(("invoices", document.get("invoiceid") or 0), {})
            return {"clientid": invoice.get("customerid", 0)}
        if kind == "expenses":
            return {"category": self.records.get(("categories", document.get("categoryid", 0)))}
        if kind == "clients":
            return {"signup_date": f"{self._now().astimezone(UTC):%Y-%m-%d %H:%M:%S}"}
        return {}

    def _of_invoice(self, document: Document) -> Document:
        amount = document["amount"]
        client = self.records.get(("clients", document.get("customerid", 0)), {})
        names = {name: client.get(name, "") for name in ("organization", "fname", "lname", "email")}
        return {
            **names,
            "accountid": self.account_id,
            "current_organization": names["organization"],
            "currency_code": amount["code"],
            "discount_total": {"amount": "0.00", "code": amount["code"]},
            "outstanding": amount,
            "paid": {"amount": "0.00", "code": amount["code"]},
        }

    def _of_bill(self, document: Document) -> Document:
        amount = document["amount"]
        total: Any = document.get("total_amount", amount)
        tax = f"{Decimal(str(total['amount'])) - Decimal(str(amount['amount'])):.2f}"
        return {
            "currency_code": amount["code"],
            "outstanding": total,
            "paid": {"amount": "0.00", "code": amount["code"]},
            "tax_amount": {"amount": tax, "code": amount["code"]},
            "total_amount": total,
            "vendor": self.records.get(("bill_vendors", document.get("vendorid", 0))),
        }

    def _settle(self, kind: str, payment: Document) -> None:
        """Takes a new payment off what it pays."""
        link, paid_kind, total_field = _PAYS[kind]
        number = payment[link]
        other = self.records.get((paid_kind, number or 0))
        if other is None:
            return
        code = other[total_field]["code"]
        paid = Decimal(str(other["paid"]["amount"])) + Decimal(str(payment["amount"]["amount"]))
        left = Decimal(str(other[total_field]["amount"])) - paid
        state = "partial" if left > 0 else "paid"
        money = {
            "paid": {"amount": f"{paid:.2f}", "code": code},
            "outstanding": {"amount": f"{left:.2f}", "code": code},
        }
        if paid_kind == "bills":
            payments = [*other["bill_payments"], payment]
            self.change("bills", number, status=state, bill_payments=payments, **money)
        else:
            shown = {"status": 4 if state == "paid" else 8, "v3_status": state, "payment_status": state}
            self.change("invoices", number, date_paid=payment["date"], **shown, **money)
