"""The stand-in's lists: pages, filters, order and includes (freshbooks.com/api/parameters, active_deleted)."""

from __future__ import annotations

import copy
import datetime as dt
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from sources.freshbooks.standin_documents import Document, Resource
from sources.freshbooks.standin_faults import VendorError

PER_PAGE, MOST_PER_PAGE = 15, 100
_SEARCH = re.compile(r"search\[(\w+)\](?:\[\])?")
_SORT = re.compile(r"(\w+)_(asc|desc)")
_ORDINARY = ("page", "per_page", "sort", "include[]")
#: Other names of the fields by which a list can be ordered.
_SORT_NAMES = {"invoice_date": "create_date", "invoice_create_date": "create_date", "invoice_due_date": "due_date"}

Test = Callable[[Document], bool]


def shown(resource: Resource, record: Document, query: Mapping[str, str]) -> Document:
    """The record as it is sent: without what was not asked for."""
    wanted = query.get("include[]", "")
    return {
        name: copy.deepcopy(value) for name, value in record.items() if name not in resource.included or name == wanted
    }


def check_include(resource: Resource, query: Mapping[str, str], note: Callable[[str], None]) -> None:
    """Notes an include that FreshBooks passes over."""
    wanted = query.get("include[]", "")
    if wanted and wanted not in resource.included:
        note(f"include[]={wanted} means nothing to {resource.listed}")


def listing(
    resource: Resource,
    records: list[Document],
    query: Mapping[str, str],
    *,
    filters_by_change: bool,
    note: Callable[[str], None],
) -> Document:
    """One page of the list with its counts. What FreshBooks does not know in a query it passes over; `note` is told.

    Without `filters_by_change` the bounds on the time of the last change are passed over, too. Raises `VendorError`.
    """
    tests = _tests(resource, query, filters_by_change, note)
    rows = [record for record in records if all(test(record) for test in tests)]
    rows.sort(key=lambda record: int(record[resource.keys[-1]]), reverse=True)
    _order(resource, rows, query.get("sort", ""), note)
    found, counts = page_of(rows, query)
    return {resource.listed: [shown(resource, record, query) for record in found], **counts}


def page_of(rows: list[Document], query: Mapping[str, str]) -> tuple[list[Document], dict[str, int]]:
    """The rows of the page that was asked for, and the counts. Page 0 is page 1, and no page has over 100 rows."""
    page = max(1, _number(query, "page", 1))
    per_page = min(max(1, _number(query, "per_page", PER_PAGE)), MOST_PER_PAGE)
    counts = {"page": page, "pages": -(-len(rows) // per_page), "per_page": per_page, "total": len(rows)}
    return rows[(page - 1) * per_page : page * per_page], counts


def with_numbers(node: Any) -> Any:
    """The same document with its amounts as JSON numbers, as a fixture of the vendor has them."""
    if isinstance(node, list):
        return [with_numbers(item) for item in node]
    if isinstance(node, dict):
        if node.keys() == {"amount", "code"} and isinstance(node["amount"], str):
            return {**node, "amount": Decimal(node["amount"])}
        return {name: with_numbers(value) for name, value in node.items()}
    return node


def _number(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name, str(default))
    if not re.fullmatch(r"[0-9]+", text):
        raise VendorError(400, 1001, f"{name} must be a number.", field=name, value=text)
    return int(text)


def _tests(
    resource: Resource, query: Mapping[str, str], filters_by_change: bool, note: Callable[[str], None]
) -> list[Test]:
    tests: list[Test] = []
    if "search[vis_state]" not in query:
        tests.append(lambda record: record.get("vis_state") != 1)
    for name, value in query.items():
        match = _SEARCH.fullmatch(name)
        if match:
            found = _test(resource, match[1], value, filters_by_change)
            if found is None:
                note(f"{name}={value} filters nothing in {resource.listed}")
            else:
                tests.append(found)
        elif name not in _ORDINARY:
            note(f"{name} means nothing to a list of {resource.listed}")
    return tests


def _test(resource: Resource, name: str, value: str, filters_by_change: bool) -> Test | None:
    """What a filter asks of a record; None when FreshBooks does not know it."""
    stem, _, bound = name.rpartition("_")
    if bound in ("min", "max"):
        is_change = stem in ("updated", "updated_at")
        if is_change and not filters_by_change:
            return lambda record: True
        field = resource.updated if is_change else resource.date if stem == "date" else stem
        return _between(field, value, is_minimum=bound == "min") if field and _is_moment(value) else None
    if name == "ids" or name.removesuffix("s") in resource.keys:
        # Of a name that stands in a query several times, the server beneath keeps the last value alone.
        wanted = set(value.split(","))
        return lambda record: str(record[resource.keys[-1]]) in wanted
    if name in resource.template or name in resource.keys:
        return lambda record: str(record.get(name)) == value
    return None


def _is_moment(text: str) -> bool:
    """Bounds are days, or naive moments; FreshBooks has no zone in them."""
    try:
        return dt.datetime.fromisoformat(text).tzinfo is None and "T" not in text
    except ValueError:
        return False


def _between(field: str, value: str, *, is_minimum: bool) -> Test:
    """A minimum includes the value, a maximum does not. Both are compared in the zone of the field's own texts."""

    def test(record: Document) -> bool:
        text = str(record.get(field) or "")
        return bool(text) and (text >= value if is_minimum else text < value)

    return test


def _order(resource: Resource, rows: list[Document], sort: str, note: Callable[[str], None]) -> None:
    match = _SORT.fullmatch(sort)
    field = _SORT_NAMES.get(match[1], match[1]) if match else ""
    if match and (
        field in resource.template or field in (*resource.keys, resource.created, resource.updated, "amount")
    ):
        rows.sort(key=lambda record: _rank(record.get(field)), reverse=match[2] == "desc")
    elif sort:
        note(f"sort={sort} orders nothing in {resource.listed}")


def _rank(value: Any) -> tuple[Decimal, str]:
    if isinstance(value, dict):
        value = Decimal(str(value.get("amount", 0)))
    return (Decimal(value), "") if isinstance(value, int | Decimal) else (Decimal(0), str(value or ""))
