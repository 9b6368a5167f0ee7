"""The stand-in's event bus: what each transaction says, kept for three days under replay IDs that mean nothing."""

from __future__ import annotations

import bisect
import dataclasses
import datetime as dt
import hashlib
import itertools
import secrets
import threading
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from sources.salesforce.standin_avro import Schema, schema
from sources.salesforce.standin_records import Author, Change
from sources.salesforce.standin_types import Field, ObjectType

RETENTION = dt.timedelta(hours=72)
#: What a merged event may name at most.
_MERGED = 500
ALL_CHANGES = "/data/ChangeEvents"


@dataclasses.dataclass(frozen=True, slots=True)
class Event:
    """One event as it waits for subscribers. `position` is its place on the bus, which nobody outside sees."""

    position: int
    object: str
    id: str
    replay_id: bytes
    schema_id: str
    payload: bytes
    at: dt.datetime


@dataclasses.dataclass(frozen=True, slots=True)
class _Told:
    """What one event says, before it is numbered."""

    object: str
    change_type: str
    record_ids: list[str]
    body: dict[str, Any]
    changed: list[str]
    nulled: list[str]


class EventBus:
    """All change events. `selected` are the objects that the administrator has chosen for change data capture."""

    def __init__(self, types: Mapping[str, ObjectType], now: Callable[[], dt.datetime]) -> None:
        self.changed = threading.Condition()
        self.selected = {"Account", "Contact", "Order", "OrderItem"}
        #: What the subscriber does not see: its changes are left out, and nobody says so.
        self.hidden: set[str] = set()
        self.hidden_fields: set[tuple[str, str]] = set()
        self.schemas: dict[str, Schema] = {}
        #: Whether changes become events at all.
        self.is_publishing = True
        #: Whether records that one transaction changes alike share an event.
        self.merges = True
        self.events: list[Event] = []
        self._types = types
        self._current: dict[str, tuple[tuple[Field, ...], str]] = {}
        self._now = now
        self._positions = itertools.count(1)
        self._commits = itertools.count(12_000_000_900_107, 7)
        #: Replay ID -> the position after which it stands, and when it was given out.
        self._marks: dict[bytes, tuple[int, dt.datetime]] = {}
        self._last = 0

    def topic_objects(self, topic: str) -> set[str]:
        """The objects whose changes the topic tells; none for a topic that does not exist."""
        if topic == ALL_CHANGES:
            return self.selected - self.hidden
        name = topic.removeprefix("/data/").removesuffix("ChangeEvent")
        return {name} if topic == f"/data/{name}ChangeEvent" and name in self.selected else set()

    def schema(self, entity: str) -> Schema:
        """The object's schema as of now."""
        fields = tuple(self._types[entity].fields.values())
        if self._current.get(entity, ((), ""))[0] != fields:
            found = schema(self._types[entity])
            self.schemas[found.id] = found
            self._current[entity] = (fields, found.id)
        return self.schemas[self._current[entity][1]]

    # Publishing

    def publish(self, author: Author, changes: Sequence[Change]) -> None:
        """Tells what a transaction has done, in order, under one transaction key."""
        if self.is_publishing:
            told = [self._told(change) for change in changes if change.object in self.selected]
            told = [each for each in told if each.changed or each.change_type != "UPDATE"]
            self._send(author, self._merged(told) if self.merges else told)

    def announce(
        self,
        author: Author,
        entity: str,
        change_type: str,
        record_ids: Sequence[str],
        body: Mapping[str, Any] | None = None,
        *,
        changed: Iterable[str] = (),
        nulled: Iterable[str] = (),
    ) -> Event:
        """One event exactly as given, whether or not anything has changed."""
        told = _Told(entity, change_type, list(record_ids), dict(body or {}), list(changed), list(nulled))
        self._send(author, [told])
        return self.events[-1]

    def repeat(self, count: int = 1) -> None:
        """Delivers the last events once more: the same event IDs under other replay IDs."""
        with self.changed:
            for event in self.events[-count:]:
                position = next(self._positions)
                self._keep(dataclasses.replace(event, position=position, replay_id=self._mint(position)))
            self.changed.notify_all()

    def _told(self, change: Change) -> _Told:
        entity, before, after = change.object, change.before, change.after
        shape = self.schema(entity)
        known = [
            name
            for name in after
            if name in self._types[entity].fields and shape.carries(name) and (entity, name) not in self.hidden_fields
        ]
        if after["IsDeleted"]:
            return _Told(entity, "DELETE", [change.id], {}, [], [])
        if before is None or before["IsDeleted"]:
            populated = [name for name in known if after[name] is not None]
            kind = "CREATE" if before is None else "UNDELETE"
            return _Told(entity, kind, [change.id], shape.body(after, populated), [], [])
        moved = [name for name in known if before.get(name) != after[name]]
        nulled = [name for name in moved if after[name] is None]
        body = shape.body(after, moved)
        return _Told(entity, "UPDATE", [change.id], body, shape.bitmaps(moved), shape.bitmaps(nulled))

    def _merged(self, told: Sequence[_Told]) -> list[_Told]:
        found: list[_Told] = []
        for each in told:
            same = next((one for one in found if _is_alike(one, each) and len(one.record_ids) < _MERGED), None)
            if same is None:
                found.append(each)
            else:
                same.record_ids.extend(each.record_ids)
        return found

    def _send(self, author: Author, told: Sequence[_Told]) -> None:
        if not told:
            return
        now = self._now()
        common = {
            "changeOrigin": author.origin,
            "transactionKey": str(uuid.uuid4()),
            "commitTimestamp": int(now.timestamp()) * 1000,
            "commitNumber": next(self._commits),
            "commitUser": author.user,
            "diffFields": [],
        }
        with self.changed:
            for number, each in enumerate(told, start=1):
                header = {
                    **common,
                    "entityName": each.object,
                    "recordIds": each.record_ids,
                    "changeType": each.change_type,
                    "sequenceNumber": number,
                    "nulledFields": each.nulled,
                    "changedFields": each.changed,
                }
                shape = self.schema(each.object)
                position = next(self._positions)
                payload = shape.encode(header, each.body)
                replay_id = self._mint(position)
                self._keep(Event(position, each.object, str(uuid.uuid4()), replay_id, shape.id, payload, now))
            self.changed.notify_all()

    def _keep(self, event: Event) -> None:
        self.events.append(event)
        self._last = event.position

    def _mint(self, position: int) -> bytes:
        replay_id = hashlib.sha256(position.to_bytes(8, "big") + secrets.token_bytes(8)).digest()[:10]
        self._marks[replay_id] = (position, self._now())
        return replay_id

    # Reading. The caller holds `changed`.

    def after(self, position: int, objects: set[str], most: int) -> list[Event]:
        """The next events of these objects that are still kept."""
        self._forget(self._now() - RETENTION)
        start = bisect.bisect_right(self.events, position, key=lambda event: event.position)
        found = (event for event in itertools.islice(self.events, start, None) if event.object in objects)
        return list(itertools.islice(found, most))

    def newest(self) -> int:
        return self._last

    def position_of(self, replay_id: bytes) -> int | None:
        """Where a replay ID stands; None when it is too old or never was."""
        self._forget(self._now() - RETENTION)
        found = self._marks.get(replay_id)
        return found and found[0]

    def mark(self, position: int) -> bytes:
        """A replay ID for a place on the bus, as keep-alives carry one."""
        return self._mint(position)

    def forget_before(self, moment: dt.datetime) -> None:
        """Drops the events, and the replay IDs, from before the moment."""
        with self.changed:
            self._forget(moment)

    def forget_replay_ids(self) -> None:
        """Makes every replay ID that was given out worthless, as a move of the org does; the events stay."""
        with self.changed:
            self._marks.clear()
            self.events = [dataclasses.replace(event, replay_id=self._mint(event.position)) for event in self.events]

    def _forget(self, moment: dt.datetime) -> None:
        if self.events and self.events[0].at < moment:
            self.events = [event for event in self.events if event.at >= moment]
        if self._marks and next(iter(self._marks.values()))[1] < moment:
            self._marks = {mark: found for mark, found in self._marks.items() if found[1] >= moment}


def _is_alike(one: _Told, other: _Told) -> bool:
    return one.change_type in ("UPDATE", "DELETE") and all(
        getattr(one, name) == getattr(other, name) for name in ("object", "change_type", "body", "changed", "nulled")
    )
