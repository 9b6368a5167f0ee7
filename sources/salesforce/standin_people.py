"""The stand-in's people: what users and administrators do in Salesforce's own screens."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from sources.salesforce import standin_rules as rules
from sources.salesforce.standin_bus import EventBus
from sources.salesforce.standin_composite import CompositeServer
from sources.salesforce.standin_faults import VendorError
from sources.salesforce.standin_oauth import AUTOMATED, PERSON, RUN_AS
from sources.salesforce.standin_records import Author, Change, Transaction
from sources.salesforce.standin_types import Field, Row, full_id, picklist

SCREENS = "com/salesforce/api/soap/{};client=SfdcInternalAPI/"
BULK = "com/salesforce/api/bulkapi/{}"
#: Kind of field -> its type in a change event's schema.
_DOCS = {
    "currency": "Currency",
    "double": "Double",
    "date": "DateOnly",
    "datetime": "DateTime",
    "boolean": "Boolean",
    "int": "Integer",
}


class Org(CompositeServer):
    """An org with its users, its metadata and its records. Each change of a record returns as an event."""

    def __init__(self, client_id: str, client_secret: str, *, host: str, port: int) -> None:
        super().__init__(client_id, client_secret, host=host, port=port)
        self.person = PERSON
        self.api_version = "68.0"
        self.bus = EventBus(self.records.types, self._clock)
        self.bus.hidden, self.bus.hidden_fields = self.hidden, self.hidden_fields
        self._furnish()

    def _committed(self, author: Author, changes: list[Change]) -> None:
        self.bus.publish(author, changes)

    def _furnish(self) -> None:
        """What every org has: users, stages, statuses, the standard price book."""
        people = ((RUN_AS, "ML Connector"), (PERSON, "Ann Rep"), (AUTOMATED, "Automated Process"))
        for identifier, name in people:
            address = f"{name.lower().replace(' ', '.')}@acme.example"
            user = {"Id": identifier, "Name": name, "Username": address, "Email": address, "IsActive": True}
            self.records.load("User", user)
        self.rename_stages(rules.STAGES)
        for number, (label, code) in enumerate(rules.STATUSES.items(), start=1):
            status = {"MasterLabel": label, "ApiName": label, "StatusCode": code, "SortOrder": number}
            self.records.load("OrderStatus", {**status, "IsDefault": code == label == "Draft"})
        book = {"Name": "Standard Price Book", "IsActive": True, "IsStandard": True}
        self.price_book: str = self.records.load("Pricebook2", book)["Id"]

    # People's changes of records. All raise `VendorError` where the screens would show an error.

    @contextlib.contextmanager
    def transaction(self, user: str = "", origin: str | None = None) -> Iterator[Transaction]:
        """Several changes that are committed together; nothing of them stays when one is refused."""
        where = SCREENS.format(self.api_version) if origin is None else origin
        with self.lock:
            work = self.records.begin(Author(user or self.person, where))
            try:
                yield work
            except BaseException:
                work.undo()
                raise
            work.commit()

    def create(self, entity: str, **fields: Any) -> str:
        """A person makes a record; its ID."""
        with self.transaction() as work:
            return work.create(entity, fields)

    def edit(self, entity: str, identifier: str, **fields: Any) -> None:
        """A person changes fields of a record."""
        with self.transaction() as work:
            work.update(entity, identifier, fields)

    def edit_all(self, entity: str, identifiers: Sequence[str], **fields: Any) -> None:
        """A bulk load changes many records alike, which makes one event."""
        with self.transaction(origin=BULK.format(self.api_version)) as work:
            for identifier in identifiers:
                work.update(entity, identifier, fields)

    def delete(self, entity: str, identifier: str, *, force: bool = False) -> None:
        """A person deletes a record; `force` deletes even an activated order, as the vendor's own clean-ups do."""
        with self.transaction() as work:
            work.delete(entity, identifier, is_forced=force)

    def undelete(self, entity: str, identifier: str) -> None:
        """A person takes a record out of the recycle bin, without what was deleted along with it."""
        with self.transaction() as work:
            work.put(entity, full_id(identifier), {"IsDeleted": False})

    def purge(self, entity: str, identifier: str) -> None:
        """Empties the recycle bin of a record; nothing tells of it any more."""
        with self.lock:
            del self.records.rows[entity][full_id(identifier)]

    def merge(self, winner: str, loser: str, entity: str = "Account") -> None:
        """A person merges two records: the loser's children move, and the loser is deleted, naming the winner."""
        with self.transaction() as work:
            self.records.find(entity, winner)
            gone = self.records.find(entity, loser)
            for child, field in list(self.records.types[entity].children.values()):
                for row in [each for each in self.records.live(child) if each[field] == gone["Id"]]:
                    work.put(child, row["Id"], {field: full_id(winner)})
            work.put(entity, gone["Id"], {"IsDeleted": True, "MasterRecordId": full_id(winner)})
            work.put(entity, full_id(winner), {})

    def activate(self, order: str) -> None:
        """A person activates an order, which needs products."""
        self.edit("Order", order, Status=self._status("Activated"))

    def deactivate(self, order: str) -> None:
        """A person takes an order back to draft."""
        self.edit("Order", order, Status=self._status("Draft"))

    def add_product(self, name: str, price: object = "1", *, code: str = "", sku: str = "", **fields: Any) -> str:
        """A product with its entry in the standard price book; its ID."""
        with self.transaction() as work:
            sent = {"Name": name, "ProductCode": code, "StockKeepingUnit": sku, "IsActive": True, **fields}
            product = work.create("Product2", sent)
            entry = {"Pricebook2Id": self.price_book, "Product2Id": product, "UnitPrice": price, "IsActive": True}
            work.create("PricebookEntry", entry)
            return product

    def add_order(
        self, account: str, lines: Sequence[tuple[str, object, object]], *, activate: bool = False, **fields: Any
    ) -> str:
        """An order with lines of (product, quantity, unit price); its ID. Activating it is a change of its own."""
        day = fields.pop("EffectiveDate", self.now().date().isoformat())
        with self.transaction() as work:
            head = {"AccountId": account, "EffectiveDate": day, "Status": self._status("Draft"), **fields}
            order = work.create("Order", {"Pricebook2Id": self.price_book, **head})
            for product, quantity, price in lines:
                line = {"OrderId": order, "Product2Id": product, "Quantity": quantity, "UnitPrice": price}
                work.create("OrderItem", line)
        if activate:
            self.activate(order)
        return order

    def reduce(self, order: str, quantities: Mapping[str, object] | None = None, *, activate: bool = False) -> str:
        """A reduction order: by the item IDs' quantities, or by everything; its ID."""
        with self.transaction() as work:
            original = self.records.find("Order", order)
            head = {"AccountId": original["AccountId"], "EffectiveDate": self.now().date(), "IsReductionOrder": True}
            head |= {"OriginalOrderId": original["Id"], "Status": self._status("Draft")}
            reduction = work.create("Order", {**head, "Pricebook2Id": original["Pricebook2Id"]})
            for item in rules.items(self.records, original["Id"]):
                quantity = item["Quantity"] if quantities is None else Decimal(str(quantities.get(item["Id"], 0)))
                if quantity:
                    line = {"OrderId": reduction, "OriginalOrderItemId": item["Id"], "Product2Id": item["Product2Id"]}
                    work.create("OrderItem", {**line, "Quantity": -quantity, "UnitPrice": item["UnitPrice"]})
        if activate:
            self.activate(reduction)
        return reduction

    def _status(self, code: str) -> str:
        label: str = next(row["ApiName"] for row in self.records.live("OrderStatus") if row["StatusCode"] == code)
        return label

    # Looking, without an API call

    def record(self, entity: str, identifier: str) -> Row:
        """A copy of a record as it is kept (numbers are `Decimal`), deleted or not."""
        with self.lock:
            return dict(self.records.rows[entity][full_id(identifier)])

    def all_of(self, entity: str) -> list[Row]:
        """Copies of all records of an object that are not deleted, oldest first."""
        with self.lock:
            return [dict(row) for row in self.records.live(entity)]

    def load(self, entity: str, **fields: Any) -> str:
        """Keeps a record as it is, without rules and without an event; its ID."""
        with self.lock:
            identifier: str = self.records.load(entity, fields)["Id"]
            return identifier

    # What an administrator does

    def hide(self, entity: str) -> None:
        """The integration user loses an object, or the org the feature."""
        self.hidden.add(entity)

    def reveal(self, entity: str) -> None:
        """The integration user sees an object again, such as an Invoice after a licence was bought."""
        self.hidden.discard(entity)

    def hide_field(self, entity: str, name: str) -> None:
        """Field-level security takes a field from the integration user: the API says that it does not exist."""
        self.hidden_fields.add((entity, name))

    def reveal_field(self, entity: str, name: str) -> None:
        self.hidden_fields.discard((entity, name))

    def lock_field(self, entity: str, name: str) -> None:
        """Field-level security makes a field read-only for the integration user."""
        self.records.read_only_fields.add((entity, name))

    def add_field(
        self,
        entity: str,
        name: str,
        kind: str = "string",
        *,
        length: int = 255,
        external_id: bool = False,
        unique: bool = False,
    ) -> None:
        """A new custom field; events of the object have another schema from now on."""
        doc = f"Data:{_DOCS.get(kind, 'Text')}"
        size = length if kind == "string" else 0
        self._add(entity, Field(name, kind, doc, size, is_external_id=external_id, is_unique=unique))

    def _add(self, entity: str, field: Field) -> None:
        with self.lock:
            self.records.types[entity].fields[field.name] = field
            for row in self.records.rows[entity].values():
                row.setdefault(field.name, False if field.kind == "boolean" else None)

    def remove_field(self, entity: str, name: str) -> None:
        """Takes a field away, as if the connector's package had never been deployed."""
        with self.lock:
            del self.records.types[entity].fields[name]

    def allow_duplicates(self, entity: str, name: str) -> None:
        """Takes Unique from an external ID, after which several records may match."""
        fields = self.records.types[entity].fields
        fields[name] = dataclasses.replace(fields[name], is_unique=False)

    def enable_currencies(self, *codes: str) -> None:
        """Makes this a multi-currency org; the first code is the corporate currency."""
        with self.lock:
            self.records.currencies = codes
            for entity in ("Account", "Opportunity", "Order", "OrderItem", "Product2", "PricebookEntry"):
                self._add(entity, picklist("CurrencyIsoCode"))
                for row in self.records.rows[entity].values():
                    row["CurrencyIsoCode"] = row["CurrencyIsoCode"] or codes[0]

    def rename_stages(self, stages: Mapping[str, tuple[bool, bool]]) -> None:
        """Replaces the stages of opportunities: label -> (is closed, is won)."""
        with self.lock:
            self.records.rows["OpportunityStage"].clear()
            for number, (label, (is_closed, is_won)) in enumerate(stages.items(), start=1):
                stage = {"MasterLabel": label, "ApiName": label, "IsActive": True, "SortOrder": number}
                self.records.load("OpportunityStage", {**stage, "IsClosed": is_closed, "IsWon": is_won})

    def rename_status(self, code: str, label: str) -> None:
        """Gives the status of this code another label."""
        with self.lock:
            old = self._status(code)
            for row in self.records.live("OrderStatus"):
                if row["ApiName"] == old:
                    row.update(MasterLabel=label, ApiName=label)
            for row in self.records.rows["Order"].values():
                row["Status"] = label if row["Status"] == old else row["Status"]

    def refuse(
        self,
        entity: str,
        error: VendorError,
        *,
        times: int = 1,
        when: Callable[[Mapping[str, Any]], bool] = lambda fields: True,
    ) -> None:
        """The next API writes of the object fail, each record by itself: by a validation rule, a lock and so on."""
        left = itertools.count(1)

        def refusal(name: str, fields: Mapping[str, Any]) -> VendorError | None:
            return error if name == entity and when(fields) and next(left) <= times else None

        self.records.refusals.append(refusal)

    # Events that nobody's change has made

    def gap(self, entity: str, operation: str, identifiers: Sequence[str]) -> None:
        """An event without a body: `operation` is CREATE, UPDATE, DELETE or UNDELETE."""
        with self.lock:
            author = Author(self.person, "")
            self.bus.announce(author, entity, f"GAP_{operation}", [full_id(each) or each for each in identifiers])

    def overflow(self, entity: str) -> None:
        """More changes than the bus could tell: an event with no usable ID."""
        with self.lock:
            self.bus.announce(Author(self.person, ""), entity, "GAP_OVERFLOW", ["000000000000000AAA"])

    def forget_events_before(self, moment: dt.datetime) -> None:
        """Lets events and replay IDs from before the moment pass out of retention."""
        self.bus.forget_before(moment)

    def expire_replay_ids(self) -> None:
        """Makes every replay ID that was given out worthless; the events stay."""
        self.bus.forget_replay_ids()

    def events(self) -> list[dict[str, Any]]:
        """All kept events, decoded: the header, and the fields that are not null."""
        with self.bus.changed:
            return [self.bus.schemas[event.schema_id].decode(event.payload) for event in self.bus.events]
