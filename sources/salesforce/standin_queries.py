"""The stand-in's answers to queries: which records match, how they are shown, and page by page."""

from __future__ import annotations

import dataclasses
import datetime as dt
import itertools
import operator
from collections.abc import Callable, Iterator
from typing import Any

from sources.salesforce.standin_faults import VendorError
from sources.salesforce.standin_records import Records
from sources.salesforce.standin_soql import Combined, Comparison, Condition, Path, Query, comparable
from sources.salesforce.standin_types import Field, ObjectType, Row
from sources.salesforce.standin_values import shown

#: How long the rest of an answer can be fetched.
LOCATOR_LIFE = dt.timedelta(days=2)
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
}
Document = dict[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class _Rest:
    records: list[Document]
    size: int
    at: dt.datetime


class Answers:
    """Answers queries, and keeps what does not fit into one answer."""

    def __init__(self, records: Records) -> None:
        #: Records in one answer at most, and children under one record.
        self.page_size = 2000
        self.child_page_size = 500
        self._records = records
        self._rests: dict[str, _Rest] = {}
        self._serial = itertools.count(1)

    def first(self, query: Query, *, version: str, size: int, with_deleted: bool) -> Document:
        """The first page of the answer; `size` is the client's wish."""
        found = self._found(query, self._rows(query.entity, with_deleted))
        if query.is_count:
            return {"totalSize": len(found), "done": True, "records": []}
        documents = [self._shown(row, query, version, with_deleted) for row in found]
        return self._page(documents, min(self.page_size, size), version)

    def next(self, locator: str, version: str) -> Document:
        """A further page. Raises `VendorError` INVALID_QUERY_LOCATOR."""
        name, _, at = locator.rpartition("-")
        rest = self._rests.get(name)
        if rest is None or not at.isdecimal() or self._records.now() - rest.at > LOCATOR_LIFE:
            raise VendorError("INVALID_QUERY_LOCATOR", "invalid query locator")
        return self._part(name, rest, int(at), version)

    def forget(self) -> None:
        """Makes every locator that was given out worthless."""
        self._rests.clear()

    def _page(self, documents: list[Document], size: int, version: str) -> Document:
        if len(documents) <= size:
            return {"totalSize": len(documents), "done": True, "records": documents}
        name = f"01gSm{next(self._serial):010d}"
        rest = _Rest(documents, size, self._records.now())
        self._rests[name] = rest
        return self._part(name, rest, 0, version)

    def _part(self, name: str, rest: _Rest, at: int, version: str) -> Document:
        end = at + rest.size
        page: Document = {"totalSize": len(rest.records), "done": end >= len(rest.records)}
        if not page["done"]:
            page["nextRecordsUrl"] = f"/services/data/v{version}/query/{name}-{end}"
        return {**page, "records": rest.records[at:end]}

    def _rows(self, entity: str, with_deleted: bool) -> Iterator[Row]:
        return iter(list(self._records.rows[entity].values())) if with_deleted else self._records.live(entity)

    def _found(self, query: Query, rows: Iterator[Row]) -> list[Row]:
        found = [row for row in rows if query.condition is None or self._holds(query.condition, row)]
        for path, is_descending, nulls_last in reversed(query.order):
            found.sort(key=lambda row: self._sortable(path, row), reverse=is_descending)
            found.sort(key=lambda row: (self._value(path, row) is None) is nulls_last)
        end = None if query.limit is None else query.offset + query.limit
        return found[query.offset : end]

    def _sortable(self, path: Path, row: Row) -> Any:
        value = self._value(path, row)
        if value is None:
            return (False, 0)
        return (True, value.lower() if isinstance(value, str) else value)

    def _value(self, path: Path, row: Row | None) -> Any:
        for parent in path.parents:
            row = self._parent(parent, row)
        return None if row is None else row.get(path.field.name)

    def _parent(self, field: Field, row: Row | None) -> Row | None:
        return None if row is None else self._records.rows[field.holds].get(row[field.name] or "")

    def _holds(self, condition: Condition, row: Row) -> bool:
        if isinstance(condition, Combined):
            parts = (self._holds(part, row) for part in condition.parts)
            if condition.operator == "not":
                return not next(parts)
            return all(parts) if condition.operator == "and" else any(parts)
        return self._compares(condition, self._value(condition.path, row))

    def _compares(self, condition: Comparison, value: Any) -> bool:
        if condition.operator == "like":
            return value is not None and condition.values[0].fullmatch(str(value)) is not None
        value, wanted = comparable(condition.path.field, value), condition.values
        if condition.operator in ("=", "in"):
            return value in wanted
        if condition.operator in ("!=", "not in"):
            return value not in wanted
        return value is not None and wanted[0] is not None and _COMPARE[condition.operator](value, wanted[0])

    # What a record looks like

    def _shown(self, row: Row, query: Query, version: str, with_deleted: bool) -> Document:
        document = self._tree(
            self._records.types[query.entity], row, [(c.parents, c.field) for c in query.columns], version
        )
        for name, field, child in query.children:
            rows = (each for each in self._rows(child.entity, with_deleted) if each[field] == row["Id"])
            found = [self._shown(each, child, version, with_deleted) for each in self._found(child, rows)]
            document[name] = self._page(found, self.child_page_size, version) if found else None
        return document

    def _tree(
        self, kind: ObjectType, row: Row, columns: list[tuple[tuple[Field, ...], Field]], version: str
    ) -> Document:
        document = attributes(kind.name, row, version)
        for parents, field in columns:
            if not parents:
                document[field.name] = value_of(kind, row, field)
            elif parents[0].parent not in document:
                above = self._parent(parents[0], row)
                deeper = [(rest[1:], each) for rest, each in columns if rest[:1] == parents[:1]]
                holder = self._records.types[parents[0].holds]
                document[parents[0].parent] = None if above is None else self._tree(holder, above, deeper, version)
        return document


def attributes(entity: str, row: Row, version: str) -> Document:
    """What every record begins with."""
    return {"attributes": {"type": entity, "url": f"/services/data/v{version}/sobjects/{entity}/{row['Id']}"}}


def value_of(kind: ObjectType, row: Row, field: Field) -> Any:
    """One field as REST shows it; an address is an object of its components, or null."""
    if field.kind != "address":
        return shown(row.get(field.name))
    prefix = field.name.removesuffix("Address")
    parts = {each.name: shown(row[each.name]) for each in kind.fields.values() if each.part_of == field.name}
    if all(value is None for value in parts.values()):
        return None
    return {_camel(name.removeprefix(prefix)): value for name, value in parts.items()}


def _camel(name: str) -> str:
    return name[0].lower() + name[1:]
