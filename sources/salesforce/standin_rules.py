"""The stand-in's business rules: how orders live, what rolls up, who is a primary contact, and what dies with what."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from sources.salesforce.standin_faults import VendorError
from sources.salesforce.standin_types import Field, Row

if TYPE_CHECKING:
    from sources.salesforce.standin_records import Records, Transaction

#: Label -> (IsClosed, IsWon).
STAGES = {
    "Prospecting": (False, False),
    "Qualification": (False, False),
    "Proposal/Price Quote": (False, False),
    "Negotiation/Review": (False, False),
    "Closed Won": (True, True),
    "Closed Lost": (True, False),
}
#: Label -> StatusCode.
STATUSES = {"Draft": "Draft", "Activated": "Activated"}
#: What nobody changes on an activated order.
FROZEN = ("AccountId", "EffectiveDate", "Pricebook2Id", "ContractId", "CurrencyIsoCode")
#: Object -> the children that go with a deleted record, by (object, field).
_OWNED = {
    "Account": (("Contact", "AccountId"), ("Opportunity", "AccountId"), ("Order", "AccountId")),
    "Opportunity": (("OpportunityContactRole", "OpportunityId"),),
    "Contact": (("OpportunityContactRole", "ContactId"),),
    "Order": (("OrderItem", "OrderId"),),
    "Product2": (("PricebookEntry", "Product2Id"),),
}


def choices(records: Records, field: Field) -> tuple[str, ...]:
    """All values that a restricted picklist takes; none when it takes any."""
    if field.values in (("stages",), ("statuses",)):
        table = "OpportunityStage" if field.values == ("stages",) else "OrderStatus"
        return tuple(row["ApiName"] for row in records.live(table))
    return records.currencies if field.name == "CurrencyIsoCode" else field.values


def created(work: Transaction, entity: str, row: Row) -> None:
    """What the system adds to a new record. Raises `VendorError`."""
    after = {"Order": _order_created, "OrderItem": _item_created, "Opportunity": _opportunity_saved}
    after["Contact"] = _contact_saved
    if entity in after:
        after[entity](work, row)
    if entity == "Opportunity" and row["ContactId"]:
        role = {"OpportunityId": row["Id"], "ContactId": row["ContactId"], "IsPrimary": True}
        _by_system(work, "OpportunityContactRole", role)
    if entity == "OpportunityContactRole":
        _only_primary(work, row)


def updated(work: Transaction, entity: str, before: Row, row: Row) -> None:
    """What follows from a change. Raises `VendorError`."""
    if entity == "Order":
        _order_updated(work, before, row)
    elif entity == "OrderItem":
        _item_saved(work, row)
    elif entity == "Opportunity":
        _opportunity_saved(work, row)
    elif entity == "OpportunityContactRole":
        _only_primary(work, row)
    elif entity == "Contact":
        _contact_saved(work, row)


def deleting(work: Transaction, entity: str, row: Row, *, is_forced: bool) -> None:
    """Refuses what may not be deleted, unless forced. Raises `VendorError`."""
    link = {"Order": "Id", "OrderItem": "Id", "Account": "AccountId"}.get(entity)
    wanted = row["OrderId"] if entity == "OrderItem" else row["Id"]
    orders = (order for order in work.records.live("Order") if link and order[link] == wanted)
    if not is_forced and any(order["StatusCode"] == "Activated" for order in orders):
        text = f"Your attempt to delete {row['Id']} could not be completed because an order is activated."
        raise VendorError("DELETE_FAILED", text, [])


def deleted(work: Transaction, entity: str, row: Row) -> None:
    """Deletes what belongs to a deleted record, and rolls up."""
    for child, field in _OWNED.get(entity, ()):
        for each in [other for other in work.records.live(child) if other[field] == row["Id"]]:
            work.put(child, each["Id"], {"IsDeleted": True})
            deleted(work, child, each)
    if entity == "OrderItem" and not work.records.rows["Order"][row["OrderId"]]["IsDeleted"]:
        _roll_up(work, row["OrderId"])


# Orders


def items(records: Records, order_id: str) -> list[Row]:
    return [row for row in records.live("OrderItem") if row["OrderId"] == order_id]


def _order_created(work: Transaction, row: Row) -> None:
    code = _status_code(work, row["Status"])
    if code != "Draft":
        text = "Choose a valid order status and save your changes. Ask your admin for details."
        raise VendorError("FAILED_ACTIVATION", text, ["Status"])
    row.update(StatusCode=code, TotalAmount=Decimal(0), OrderNumber=f"{next(work.records.order_numbers):08d}")
    original = work.records.rows["Order"].get(row["OriginalOrderId"] or "")
    if row["IsReductionOrder"] and (original is None or original["StatusCode"] != "Activated"):
        text = "A reduction order needs an activated original order."
        raise VendorError("FIELD_INTEGRITY_EXCEPTION", text, ["OriginalOrderId"])


def _order_updated(work: Transaction, before: Row, row: Row) -> None:
    was, code = before["StatusCode"], _status_code(work, row["Status"])
    if "Activated" in (was, code) and was == code:
        frozen = [name for name in FROZEN if before.get(name) != row.get(name)]
        if frozen:
            text = f"You can't change these fields of an activated order: {', '.join(frozen)}"
            raise VendorError("FIELD_INTEGRITY_EXCEPTION", text, frozen)
    if code == "Activated" != was:
        if not items(work.records, row["Id"]):
            raise VendorError("FAILED_ACTIVATION", "An order must have at least one product.", [])
        row.update(ActivatedDate=work.now, ActivatedById=work.author.user)
    if was == "Activated" != code:
        row.update(ActivatedDate=None, ActivatedById=None)
    row["StatusCode"] = code


def _status_code(work: Transaction, label: str) -> str:
    code: str = next(row["StatusCode"] for row in work.records.live("OrderStatus") if row["ApiName"] == label)
    return code


def _item_created(work: Transaction, row: Row) -> None:
    if row["PricebookEntryId"]:
        entry = work.records.rows["PricebookEntry"][row["PricebookEntryId"]]
        row.update(Product2Id=entry["Product2Id"], ListPrice=entry["UnitPrice"])
    if not row["Product2Id"]:
        raise VendorError("REQUIRED_FIELD_MISSING", "Required fields are missing: [Product2Id]", ["Product2Id"])
    if work.records.find("Order", row["OrderId"])["StatusCode"] == "Activated":
        text = "You can't add products to an activated order."
        raise VendorError("FIELD_INTEGRITY_EXCEPTION", text, ["OrderId"])
    row["OrderItemNumber"] = f"{next(work.records.item_numbers):010d}"
    _item_saved(work, row)


def _item_saved(work: Transaction, row: Row) -> None:
    order = work.records.find("Order", row["OrderId"])
    if (row["Quantity"] < 0) != order["IsReductionOrder"]:
        wanted = "negative" if order["IsReductionOrder"] else "positive"
        raise VendorError("FIELD_INTEGRITY_EXCEPTION", f"Quantity must be {wanted}.", ["Quantity"])
    row["TotalPrice"] = row["Quantity"] * row["UnitPrice"]
    _roll_up(work, row["OrderId"])


def _roll_up(work: Transaction, order_id: str) -> None:
    total = sum((row["TotalPrice"] for row in items(work.records, order_id)), Decimal(0))
    if work.records.rows["Order"][order_id]["TotalAmount"] != total:
        work.put("Order", order_id, {"TotalAmount": total})


# Contacts and opportunities


def _contact_saved(work: Transaction, row: Row) -> None:
    row["Name"] = " ".join(filter(None, (row["FirstName"], row["LastName"])))


def _opportunity_saved(work: Transaction, row: Row) -> None:
    stage = next(each for each in work.records.live("OpportunityStage") if each["ApiName"] == row["StageName"])
    row.update(IsClosed=stage["IsClosed"], IsWon=stage["IsWon"])


def _only_primary(work: Transaction, row: Row) -> None:
    if not row["IsPrimary"]:
        return
    for other in list(work.records.live("OpportunityContactRole")):
        if other["OpportunityId"] == row["OpportunityId"] and other["Id"] != row["Id"] and other["IsPrimary"]:
            work.put("OpportunityContactRole", other["Id"], {"IsPrimary": False})


def _by_system(work: Transaction, entity: str, fields: dict[str, Any]) -> None:
    """A record that the system makes along with one that somebody made; it is nobody's write."""
    row = work.records.load(entity, {})
    work.add(entity, row["Id"])
    row.update(fields, CreatedDate=work.now, CreatedById=work.author.user, LastModifiedById=work.author.user)
    created(work, entity, row)
