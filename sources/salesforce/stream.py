"""The stream of one object's changes: events as they come, and what was missed when the stream lost its place.

A position is a replay ID (opaque bytes), the time of the last change that was told, and, while something missed is
still to be listed, the time from which on. It belongs to the last event of a response, or to an empty response, which
Salesforce sends so that a quiet stream does not grow too old.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import datetime as dt
import itertools
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from connector.kernel.contracts import Batch, Context, Notice
from connector.kernel.errors import Misconfigured
from connector.kernel.values import BadValue, moment, text
from sources.salesforce import changes, notices
from sources.salesforce.change_event import ChangeEvent
from sources.salesforce.client import Client
from sources.salesforce.decode import decode
from sources.salesforce.fetch import orders_of
from sources.salesforce.layout import ITEM, ORDER
from sources.salesforce.notices import OVERFLOW
from sources.salesforce.pubsub import Channel
from sources.salesforce.refusals import PositionLost
from sources.salesforce.soql import full_id, is_id

#: Listed once more before the last change told, since a transaction may take as long.
MARGIN = dt.timedelta(minutes=10)
#: How far back is looked where a position has no time.
FARTHEST = dt.timedelta(days=30)
#: Seconds after which a stream ends, to be opened again with the token that was renewed meanwhile.
LIFE = 5400.0
#: Seconds without a word after which a stream is opened again; Salesforce sends something within 270.
SILENCE = 300
#: Notices of one batch, at most, when many are listed at once.
PORTION = 500

Events = list[tuple[str, ChangeEvent]]


@dataclasses.dataclass(frozen=True, slots=True)
class Position:
    """How far a stream got. `missed` is from when on changes are still to be listed; None when nothing is."""

    replay_id: bytes = b""
    commit: dt.datetime | None = None
    missed: dt.datetime | None = None

    def as_cursor(self) -> dict[str, str]:
        found = {"replay_id": base64.b64encode(self.replay_id).decode()}
        times = {"commit": self.commit, "missed": self.missed}
        return found | {name: at.isoformat() for name, at in times.items() if at}

    def lost(self, now: dt.datetime) -> Position:
        """Without a place in the stream: all since the last change told, less a margin, is missed."""
        return dataclasses.replace(self, replay_id=b"").lacking(self.commit - MARGIN if self.commit else now - FARTHEST)

    def lacking(self, since: dt.datetime) -> Position:
        """With everything since then to be listed as well."""
        return dataclasses.replace(self, missed=min(since, self.missed) if self.missed else since)


def read_position(cursor: Mapping[str, Any], now: dt.datetime) -> Position:
    """The position that `as_cursor` wrote. An empty cursor begins now; one that cannot be read has lost its place."""
    if not cursor:
        return Position(commit=now, missed=now)
    try:
        replay_id = base64.b64decode(text(cursor, "replay_id"), validate=True)
        position = Position(replay_id, moment(cursor, "commit"), moment(cursor, "missed"))
    except (BadValue, binascii.Error):
        return Position().lost(now)
    return position if replay_id or position.missed else position.lost(now)


def stream(ctx: Context, topic: str, cursor: Mapping[str, Any], stop: threading.Event) -> Iterator[Batch]:
    """Batches from the topic after the cursor, until Salesforce ends the stream or `stop` is set. Raises a verdict."""
    listener = _Listener(ctx, topic, read_position(cursor, ctx.now()), stop, is_new=not cursor)
    try:
        yield from listener.listen()
    except PositionLost:
        listener.lose()
        yield from listener.listen()


def _silence(settings: Mapping[str, Any]) -> float:
    try:
        return float(settings.get("silence_seconds") or SILENCE)
    except (TypeError, ValueError):
        raise Misconfigured("silence_seconds must be a number of seconds", code="silence_seconds") from None


class _Listener:
    """One topic being listened to."""

    def __init__(self, ctx: Context, topic: str, position: Position, stop: threading.Event, *, is_new: bool) -> None:
        self._ctx, self._topic, self._stop, self._is_new = ctx, topic, stop, is_new
        self._object = topic.removeprefix("/data/").removesuffix("ChangeEvent")
        self._client = Client(ctx)
        self._position = position
        #: What was missed is listed up to here; None until the stream is known to be open.
        self._list_to: dt.datetime | None = None
        self._listed_at: dt.datetime | None = None

    def lose(self) -> None:
        """The place in the stream is unknown to Salesforce."""
        self._position = self._position.lost(self._ctx.now())
        self._list_to = self._listed_at = None

    def listen(self) -> Iterator[Batch]:
        silence = _silence(self._ctx.settings)
        ends = time.monotonic() + LIFE
        with Channel(self._ctx) as channel:
            # Opened before anything is listed, so that nothing can fall between the two.
            opened = channel.subscribe(self._topic, self._position.replay_id, silence=silence, stop=self._stop)
            try:
                if self._is_new:  # so that whatever comes next, changes count from now on
                    yield Batch(cursor=self._position.as_cursor())
                elif self._position.missed and channel.has_opened(opened, self._stop):
                    yield from self._list_missed()
                for response in opened:
                    yield from self._respond(channel, response)
                    if time.monotonic() > ends:
                        return
            finally:
                opened.close()

    def _respond(self, channel: Channel, response: Any) -> Iterator[Batch]:
        events, broken = self._read(channel, response.events)
        self._advance(response, events, is_whole=not broken)
        yield from self._batches(itertools.chain(broken, self._notices(events)))
        if self._position.missed:
            yield from self._list_missed()

    def _advance(self, response: Any, events: Events, *, is_whole: bool) -> None:
        """Moves the position behind the response, and notes what it does not tell."""
        now, known = self._ctx.now(), self._position.commit
        commits = [event.committed_at for _, event in events]
        gaps = [event.committed_at for _, event in events if event.change == OVERFLOW]
        if not is_whole:
            gaps.append(known or now)
        replay_id = response.events[-1].replay_id if response.events else response.latest_replay_id
        self._position = dataclasses.replace(
            self._position,
            replay_id=replay_id or self._position.replay_id,
            commit=max([*commits, *([known] if known else [])], default=None),
        )
        for at in gaps:
            self._position = self._position.lacking(at - MARGIN)
        if gaps or self._list_to is None:
            self._list_to, self._listed_at = now, None

    def _read(self, channel: Channel, received: Iterable[Any]) -> tuple[Events, list[Notice]]:
        """The events, and a notice of each that cannot be read."""
        events: Events = []
        broken = []
        for each in received:
            produced = each.event
            try:
                event = decode(channel.schema(produced.schema_id), produced.payload)
                if event.entity != self._object:
                    raise BadValue("the event is of another object")
                events.append((produced.id, event))
            except BadValue as error:
                broken.append(notices.broken(self._ctx.account, self._object, produced, str(error)))
        return events, broken

    def _notices(self, events: Events) -> Iterator[Notice]:
        orders = self._orders(events)
        for event_id, event in events:
            if event.change == OVERFLOW:
                continue
            if any(each.endswith("*") for each in event.record_ids):
                ids = changes.every_id(self._client, ORDER if self._object == ITEM else self._object)
                yield from notices.resync(self._ctx.account, self._object, ids, event_id)
            else:
                yield from notices.from_event(self._ctx.account, event_id, event, orders)

    def _orders(self, events: Events) -> dict[str, str]:
        """The order of each item in the events: from the event itself where it says, else by one query for all."""
        if self._object != ITEM:
            return {}
        found: dict[str, str] = {}
        unknown: list[str] = []
        for _, event in events:
            ids = [full_id(each) for each in event.record_ids if is_id(each) and event.change != OVERFLOW]
            order_id = notices.order_in(event)
            found |= dict.fromkeys(ids, order_id) if order_id else {}
            unknown += [] if order_id else ids
        return found | (orders_of(self._client, unknown) if unknown else {})

    def _list_missed(self) -> Iterator[Batch]:
        """The next part of what was missed: again and again, each minute, until all is certain to be listed."""
        now, start = self._ctx.now(), self._position.missed
        if start is None or (self._listed_at is not None and now - self._listed_at < changes.MINUTE):
            return
        self._listed_at = now
        listing = changes.since(self._client, self._object, start, now)
        tail = changes.tail(self._client, self._object, max(start, listing.covered), now)
        is_done = self._list_to is not None and listing.covered >= self._list_to
        self._position = Position(
            self._position.replay_id,
            max(filter(None, (self._position.commit, listing.covered))),
            None if is_done else max(start, listing.covered),
        )
        found = [listed for part in (listing, tail) for listed in self._listed(part)]
        yield from self._batches(found)

    def _listed(self, listing: changes.Listing) -> list[Notice]:
        ids = [*listing.updated, *(each for each, _ in listing.deleted)]
        orders = orders_of(self._client, ids) if ids and self._object == ITEM else {}
        return list(notices.from_listing(self._ctx.account, self._object, listing, orders))

    def _batches(self, found: Iterable[Notice]) -> Iterator[Batch]:
        """The notices in portions; the position comes with the last, or alone."""
        portion: list[Notice] = []
        for notice in found:
            if len(portion) == PORTION:
                yield Batch(tuple(portion))
                portion = []
            portion.append(notice)
        yield Batch(tuple(portion), cursor=self._position.as_cursor())
