"""The stand-in org as a person sees it: one HTML page without scripts and without outside resources."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from decimal import Decimal
from html import escape
from typing import Any

from connector.kernel.standin import Answer
from sources.salesforce.standin_records import Records
from sources.salesforce.standin_rules import items
from sources.salesforce.standin_types import Row

ROWS_SHOWN = 200
_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem;color:#181818}"
    "h1{font-size:1.4rem}h2{font-size:1.1rem;margin:2rem 0 .5rem}p{color:#5c5c5c;margin:.25rem 0}"
    "table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.35rem .75rem .35rem 0;"
    "border-bottom:1px solid #e5e5e5;vertical-align:top}th{font-weight:600;color:#444}"
    "td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}"
)
_DIGEST = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_HEADERS = {
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_DIGEST}'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
#: Heading -> object, its columns: label, field.
_TABLES = {
    "Accounts": ("Account", ("Name", "Type", "Phone", "BillingCity")),
    "Contacts": ("Contact", ("FirstName", "LastName", "Email", "Account")),
    "Opportunities": ("Opportunity", ("Name", "Account", "StageName", "CloseDate", "Amount")),
    "Orders": ("Order", ("OrderNumber", "Account", "Status", "EffectiveDate", "Items", "TotalAmount")),
}
_LABELS = {"StageName": "Stage", "CloseDate": "Close date", "OrderNumber": "Order", "EffectiveDate": "Start date"}
_LABELS |= {"TotalAmount": "Amount", "BillingCity": "City", "FirstName": "First name", "LastName": "Last name"}
_NUMBERS = ("Amount", "TotalAmount", "Items")


def page(records: Records, name: str) -> Answer:
    """Accounts, contacts, opportunities and orders, the newest first; deleted ones are left out."""
    tables = "".join(_table(records, heading, *shape) for heading, shape in _TABLES.items())
    title = escape(f"{name} | Salesforce stand-in")
    html = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{_STYLE}</style></head><body><h1>{escape(name)}</h1>"
        f"<p>A stand-in for a Salesforce org. Reload to see what has changed.</p>{tables}"
        "</body></html>"
    )
    return Answer(200, html.encode(), _HEADERS, "text/html; charset=utf-8")


def _table(records: Records, heading: str, entity: str, columns: Sequence[str]) -> str:
    found = list(records.live(entity))
    custom = [field.name for field in records.types[entity].fields.values() if field.is_custom]
    names = [*columns, *custom]
    if not found:
        return f"<h2>{heading} (0)</h2><p>None yet.</p>"
    head = "".join(f"<th{_kind(name)}>{escape(_label(name))}</th>" for name in names)
    rows = "".join(_row(records, entity, row, names) for row in reversed(found[-ROWS_SHOWN:]))
    return f"<h2>{heading} ({len(found)})</h2><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _row(records: Records, entity: str, row: Row, names: Iterable[str]) -> str:
    cells = (f"<td{_kind(name)}>{escape(_text(_cell(records, entity, row, name)))}</td>" for name in names)
    return f"<tr>{''.join(cells)}</tr>"


def _cell(records: Records, entity: str, row: Row, name: str) -> Any:
    if name == "Account":
        account = records.rows["Account"].get(row["AccountId"] or "")
        return account and account["Name"]
    return len(items(records, row["Id"])) if name == "Items" else row[name]


def _text(value: Any) -> str:
    if isinstance(value, Decimal):
        return f"{value:,.2f}"
    return "" if value is None else str(value)


def _kind(name: str) -> str:
    return ' class="n"' if name in _NUMBERS else ""


def _label(name: str) -> str:
    return _LABELS.get(name, name.removesuffix("__c").replace("_", " "))
