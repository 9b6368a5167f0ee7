"""The lines of a record. `DetailType` names the part that says what a line is about; any field may be missing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from connector.kernel.events import Line, Money
from connector.kernel.values import amount, dig, rows, text
from sources.quickbooks_online.scope import Scope


def read_lines(scope: Scope, document: Any) -> Iterator[Line]:
    """Every line a reader cares for: groups are opened, subtotals left out."""
    for row in rows(document, "Line"):
        kind = text(row, "DetailType")
        if kind == "GroupLineDetail":
            yield from read_lines(scope, dig(row, kind))
        elif kind != "SubTotalLineDetail":
            line = _READERS.get(kind, _plain)(scope, row)
            if line != Line():
                yield line


def _plain(scope: Scope, row: Any) -> Line:
    return Line(description=text(row, "Description"), amount=scope.money(row, "Amount"))


def _account_expense(scope: Scope, row: Any) -> Line:
    detail = "AccountBasedExpenseLineDetail"
    return Line(
        description=text(row, "Description"),
        amount=scope.money(row, "Amount"),
        account=scope.ref("account", row, detail, "AccountRef"),
        class_=scope.ref("class", row, detail, "ClassRef"),
        entity=scope.ref("customer", row, detail, "CustomerRef"),
    )


def _item_expense(scope: Scope, row: Any) -> Line:
    detail = "ItemBasedExpenseLineDetail"
    item = scope.ref("item", row, detail, "ItemRef")
    return Line(
        description=text(row, "Description"),
        amount=scope.money(row, "Amount"),
        # What is kept in stock is bought into its asset account.
        account=scope.item_account(item, "asset_account", "expense_account"),
        item=item,
        class_=scope.ref("class", row, detail, "ClassRef"),
        entity=scope.ref("customer", row, detail, "CustomerRef"),
        quantity=amount(row, detail, "Qty"),
    )


def _sale(scope: Scope, row: Any) -> Line:
    detail = "SalesItemLineDetail"
    item = scope.ref("item", row, detail, "ItemRef")
    account = scope.ref("account", row, detail, "ItemAccountRef")
    return Line(
        description=text(row, "Description"),
        amount=scope.money(row, "Amount"),
        account=account or scope.item_account(item, "income_account"),
        item=item,
        class_=scope.ref("class", row, detail, "ClassRef"),
        quantity=amount(row, detail, "Qty"),
    )


def _discount(scope: Scope, row: Any) -> Line:
    """A discount, as the negative amount that it adds to the total."""
    detail = "DiscountLineDetail"
    percent = amount(row, detail, "DiscountPercent")
    given = amount(row, "Amount")
    return Line(
        description=text(row, "Description")
        or ("Discount" if percent is None else f"Discount {percent.normalize():f}%"),
        amount=None if given is None else Money(-given, scope.currency),
        account=scope.ref("account", row, detail, "DiscountAccountRef"),
        class_=scope.ref("class", row, detail, "ClassRef"),
    )


def _posting(scope: Scope, row: Any) -> Line:
    detail = "JournalEntryLineDetail"
    kind = text(row, detail, "Entity", "Type").lower()
    return Line(
        description=text(row, "Description"),
        amount=scope.money(row, "Amount"),
        account=scope.ref("account", row, detail, "AccountRef"),
        department=scope.ref("department", row, detail, "DepartmentRef"),
        class_=scope.ref("class", row, detail, "ClassRef"),
        entity=scope.ref(kind, row, detail, "Entity", "EntityRef") if kind else None,
        posting=text(row, detail, "PostingType").lower(),
    )


_READERS: dict[str, Callable[[Scope, Any], Line]] = {
    "AccountBasedExpenseLineDetail": _account_expense,
    "ItemBasedExpenseLineDetail": _item_expense,
    "SalesItemLineDetail": _sale,
    "DiscountLineDetail": _discount,
    "JournalEntryLineDetail": _posting,
}
