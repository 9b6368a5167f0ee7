"""The stand-in's records, and the transactions in which API clients and people change them."""

from __future__ import annotations

import dataclasses
import datetime as dt
import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from sources.salesforce import standin_rules as rules
from sources.salesforce.standin_faults import VendorError, no_column, not_found, not_writable
from sources.salesforce.standin_types import READ_ONLY, Field, ObjectType, Row, case_marks, full_id, object_types
from sources.salesforce.standin_values import accepted

#: Digits of IDs: neighbours differ by case alone, as a client that folds case must be found out.
_DIGITS = "".join(low.upper() + low for low in "abcdefghijklmnopqrstuvwxyz") + "0123456789"
Key = tuple[str, str]


class Write(NamedTuple):
    """A change made through the API: the fields as the client sent them; none for a deletion."""

    object: str
    id: str
    fields: Mapping[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Author:
    """Who changes: the user, and where the change comes from, as a change event has it."""

    user: str
    origin: str
    is_api: bool = False


class Change(NamedTuple):
    """What a transaction did to one record; `before` is None for a new one."""

    object: str
    id: str
    before: Row | None
    after: Row


Refusal = Callable[[str, Mapping[str, Any]], VendorError | None]


class Records:
    """All records of the org. `on_commit(author, changes)` is told of each transaction."""

    def __init__(self, now: Callable[[], dt.datetime], on_commit: Callable[[Author, list[Change]], object]) -> None:
        self.types: dict[str, ObjectType] = object_types()
        self.rows: dict[str, dict[str, Row]] = {name: {} for name in self.types}
        self.now = now
        #: Asked at each write through the API, with the object and the fields; what they give is the answer.
        self.refusals: list[Refusal] = []
        self.read_only_fields: set[tuple[str, str]] = set()
        self.writes: list[Write] = []
        #: Currencies of a multi-currency org, the corporate one first.
        self.currencies: tuple[str, ...] = ()
        self.on_commit = on_commit
        self._serials = {name: itertools.count(1) for name in self.types}
        self.order_numbers = itertools.count(100)
        self.item_numbers = itertools.count(1)

    def new_id(self, entity: str) -> str:
        """A fresh ID with 18 characters."""
        number, tail = next(self._serials[entity]), ""
        while number:
            number, digit = divmod(number, len(_DIGITS))
            tail = _DIGITS[digit] + tail
        short = f"{self.types[entity].prefix}Sm{tail.rjust(10, '0')}"
        return short + case_marks(short)

    def find(self, entity: str, identifier: str) -> Row:
        """The record, which is not deleted. Raises `VendorError` NOT_FOUND or ENTITY_IS_DELETED."""
        row = self.rows[entity].get(full_id(identifier))
        if row is None:
            raise not_found()
        if row["IsDeleted"]:
            raise VendorError("ENTITY_IS_DELETED", "entity is deleted", [])
        return row

    def live(self, entity: str) -> Iterator[Row]:
        """All records of an object that are not deleted."""
        return (row for row in self.rows[entity].values() if not row["IsDeleted"])

    def matches(self, entity: str, field: str, value: str) -> list[Row]:
        """The records with this external ID, without regard to case."""
        return [row for row in self.live(entity) if (row[field] or "").lower() == value.lower() and value]

    def load(self, entity: str, row: Mapping[str, Any]) -> Row:
        """Keeps a record as it is, without rules and without events; its ID and times are filled in when missing."""
        kind = self.types[entity]
        kept: Row = {name: False if field.kind == "boolean" else None for name, field in kind.fields.items()}
        kept = {name: value for name, value in kept.items() if kind.fields[name].kind != "address"}
        for name, value in row.items():
            kept[name] = accepted(kind.fields[name], value)
        now = self.now().replace(microsecond=0)
        kept["Id"] = kept["Id"] or self.new_id(entity)
        for name in ("CreatedDate", "LastModifiedDate", "SystemModstamp"):
            kept[name] = kept[name] or now
        self.rows[entity][kept["Id"]] = kept
        return kept

    def begin(self, author: Author) -> Transaction:
        return Transaction(self, author)


class Transaction:
    """Changes that are committed together, or not at all; nobody else may change records meanwhile."""

    def __init__(self, records: Records, author: Author) -> None:
        self.records = records
        self.author = author
        self.now = records.now().replace(microsecond=0)
        self._log: list[tuple[str, str, Row | None]] = []
        self._writes: list[tuple[int, Write]] = []

    def mark(self) -> int:
        """A point to which `undo` can go back."""
        return len(self._log)

    def undo(self, mark: int = 0) -> None:
        """Takes back what was done since the mark."""
        while len(self._log) > mark:
            entity, identifier, before = self._log.pop()
            if before is None:
                del self.records.rows[entity][identifier]
            else:
                self.records.rows[entity][identifier] = before
        self._writes[:] = [(at, write) for at, write in self._writes if at < mark]

    def commit(self) -> None:
        """Makes the changes known: to `writes` when they came through the API, and to the event bus."""
        first: dict[Key, Row | None] = {}
        for entity, identifier, before in self._log:
            first.setdefault((entity, identifier), before)
        changes = [
            Change(entity, identifier, before, dict(self.records.rows[entity][identifier]))
            for (entity, identifier), before in first.items()
        ]
        self.records.writes.extend(write for _, write in self._writes)
        self._log.clear()
        self._writes.clear()
        if changes:
            self.records.on_commit(self.author, changes)

    # What is done to one record. Each raises `VendorError`, and then has changed nothing.

    def create(self, entity: str, sent: Mapping[str, Any]) -> str:
        """A new record; its ID."""
        identifier: str = self._alone(lambda: self._create(entity, sent))
        return identifier

    def update(self, entity: str, identifier: str, sent: Mapping[str, Any]) -> None:
        """Changes the fields that are sent."""
        self._alone(lambda: self._update(entity, identifier, sent))

    def delete(self, entity: str, identifier: str, *, is_forced: bool = False) -> None:
        """Puts the record into the recycle bin, and with it what belongs to it."""
        self._alone(lambda: self._delete(entity, identifier, is_forced=is_forced))

    def add(self, entity: str, identifier: str) -> None:
        """Notes that a record which stands there now is new."""
        self._log.append((entity, identifier, None))

    def put(self, entity: str, identifier: str, fields: Mapping[str, Any]) -> None:
        """Changes fields as the system itself does, by no rule."""
        row = self.records.rows[entity][identifier]
        self._log.append((entity, identifier, dict(row)))
        row.update(fields, SystemModstamp=self.now, LastModifiedDate=self.now, LastModifiedById=self.author.user)

    def _alone(self, work: Callable[[], Any]) -> Any:
        mark = self.mark()
        try:
            return work()
        except VendorError:
            self.undo(mark)
            raise

    def _create(self, entity: str, sent: Mapping[str, Any]) -> str:
        fields = self._fields(entity, sent, is_new=True)
        if self.author.is_api:
            self._may_write(entity, sent)
        kind = self.records.types[entity]
        missing = [each.name for each in kind.fields.values() if each.is_required and fields.get(each.name) is None]
        if missing:
            raise _missing(missing)
        row = self.records.load(entity, {})
        self.add(entity, row["Id"])
        trail = {"CreatedDate": self.now, "CreatedById": self.author.user}
        owner = {"OwnerId": self.author.user} if "OwnerId" in kind.fields else {}
        currency = {"CurrencyIsoCode": self.records.currencies[0]} if "CurrencyIsoCode" in kind.fields else {}
        row.update({**owner, **currency, **trail, **fields})
        row.update(LastModifiedDate=self.now, LastModifiedById=self.author.user, SystemModstamp=self.now)
        self._unique(entity, row, fields)
        rules.created(self, entity, row)
        self._note(entity, row["Id"], sent)
        identifier: str = row["Id"]
        return identifier

    def _update(self, entity: str, identifier: str, sent: Mapping[str, Any]) -> None:
        row = self.records.find(entity, identifier)
        fields = self._fields(entity, sent, is_new=False)
        if self.author.is_api:
            self._may_write(entity, sent)
        kind = self.records.types[entity]
        missing = [name for name, value in fields.items() if kind.fields[name].is_required and value is None]
        if missing:
            raise _missing(missing)
        self._unique(entity, row, fields)
        before = dict(row)
        self.put(entity, row["Id"], fields)
        rules.updated(self, entity, before, row)
        self._note(entity, row["Id"], sent)

    def _delete(self, entity: str, identifier: str, *, is_forced: bool) -> None:
        row = self.records.find(entity, identifier)
        if self.author.is_api:
            self._may_write(entity, {})
        rules.deleting(self, entity, row, is_forced=is_forced)
        self.put(entity, row["Id"], {"IsDeleted": True})
        rules.deleted(self, entity, row)
        self._note(entity, row["Id"], {})

    def _note(self, entity: str, identifier: str, sent: Mapping[str, Any]) -> None:
        if self.author.is_api:
            fields = {name: value for name, value in sent.items() if name not in ("attributes", "id", "Id")}
            self._writes.append((len(self._log) - 1, Write(entity, identifier, fields)))

    def _may_write(self, entity: str, sent: Mapping[str, Any]) -> None:
        if entity in READ_ONLY:
            raise VendorError("INSUFFICIENT_ACCESS_OR_READONLY", "insufficient access rights on object id", [])
        for refusal in list(self.records.refusals):
            error = refusal(entity, sent)
            if error:
                raise error

    def _fields(self, entity: str, sent: Mapping[str, Any], *, is_new: bool) -> Row:
        """What the record keeps of the fields that were sent."""
        kind = self.records.types[entity]
        found: Row = {}
        closed: list[str] = []
        for name, value in sent.items():
            if name == "attributes":
                continue
            field, relation = kind.find(name), kind.parent(name.removesuffix("__r"))
            if field is None and relation and isinstance(value, dict):
                field, value = relation, self._by_external_id(entity, relation, value)
            if field is None:
                raise no_column(name, entity)
            is_locked = self.author.is_api and (entity, field.name) in self.records.read_only_fields
            if is_locked or not (field.can_create if is_new else field.can_update):
                closed.append(field.name)
                continue
            found[field.name] = self._kept(field, value)
        if closed:
            raise not_writable(closed)
        return found

    def _kept(self, field: Field, value: Any) -> Any:
        kept = accepted(field, value)
        if kept is None:
            return None
        if field.kind == "reference" and field.holds:
            return self._reference(field, kept)
        allowed = rules.choices(self.records, field)
        if field.kind == "picklist" and allowed and kept not in allowed:
            text = f"{field.name}: bad value for restricted picklist field: {kept}"
            raise VendorError("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", text, [field.name])
        return kept

    def _reference(self, field: Field, value: str) -> str:
        identifier = full_id(value)
        if not identifier:
            text = f"{field.parent} ID: id value of incorrect type: {value}"
            raise VendorError("MALFORMED_ID", text, [field.name])
        row = self.records.rows[field.holds].get(identifier)
        if row is None:
            if identifier[:3] != self.records.types[field.holds].prefix:
                text = f"{field.parent} ID: id value of incorrect type: {value}"
                raise VendorError("FIELD_INTEGRITY_EXCEPTION", text, [field.name])
            raise VendorError("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", [])
        if row["IsDeleted"]:
            raise VendorError("ENTITY_IS_DELETED", "entity is deleted", [])
        return identifier

    def _by_external_id(self, entity: str, relation: Field, value: Mapping[str, Any]) -> str | None:
        keys = [name for name in value if name != "attributes"]
        parent = self.records.types[relation.holds]
        field = parent.find(keys[0]) if len(keys) == 1 else None
        if field is None or not field.is_external_id:
            raise no_column(keys[0] if keys else relation.parent, relation.holds)
        found = self.records.matches(relation.holds, field.name, str(value[keys[0]]))
        if len(found) != 1:
            wrong = "not found" if not found else "is not unique"
            text = (
                f"Foreign key external ID: {value[keys[0]]} {wrong} for field {field.name} in entity {relation.holds}"
            )
            raise VendorError("INVALID_FIELD", text, [])
        identifier: str = found[0]["Id"]
        return identifier

    def _unique(self, entity: str, row: Row, fields: Row) -> None:
        for name, value in fields.items():
            if value is None or not self.records.types[entity].fields[name].is_unique:
                continue
            other = next((each for each in self.records.matches(entity, name, value) if each["Id"] != row["Id"]), None)
            if other:
                text = f"duplicate value found: {name} duplicates value on record with id: {other['Id'][:15]}"
                raise VendorError("DUPLICATE_VALUE", text, [])


def _missing(names: list[str]) -> VendorError:
    return VendorError("REQUIRED_FIELD_MISSING", f"Required fields are missing: [{', '.join(names)}]", names)
