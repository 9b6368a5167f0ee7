"""One cycle as values: where it stands, the next request, and what an answer makes of it. Pure.

A cycle asks its plan's queries one after the other. A query's cursor moves only when its last page came without an
error, so whatever is interrupted is asked again; repeats are known by their keys.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from connector.kernel.contracts import Batch, Caller, RunState
from connector.kernel.events import from_json, to_json
from connector.kernel.values import parse_moment
from sources.quickbooks_desktop import dates, entities, qbxml, records, verdicts
from sources.quickbooks_desktop.entities import BY_NAME, Entity

#: Where a person wants the next cycle to start (`backfill`).
START = "start"
#: How often a query of one cycle begins anew, and how many answers to something else are taken in its place.
MAX_RESTARTS = 2
MAX_STRAYS = 3


@dataclasses.dataclass(frozen=True, slots=True)
class Position:
    """Where a cycle stands. It is stored as JSON and holds no content of records."""

    plan: tuple[str, ...]
    #: How many queries are behind us.
    index: int = 0
    #: A request is out, and its answer is awaited.
    is_sent: bool = False
    #: Requests so far; numbers the requests for the log.
    requests: int = 0
    version: str = ""
    #: The Web Connector and its version.
    client: str = ""
    #: Of the query at hand: its filter, its iterator, rows so far, the newest change, and when it began.
    since: str = ""
    iterator: str = ""
    got: int = 0
    left: int = 0
    newest: str = ""
    begun_at: dt.datetime | None = None
    restarts: int = 0
    strays: int = 0
    #: The last answer by its digest, and the number it was answered with.
    digest: str = ""
    number: int = 0
    #: What `getLastError` says.
    error: str = ""
    #: What went wrong with single queries.
    problems: tuple[str, ...] = ()
    #: The one-off start of this cycle, when a person set one.
    start: dt.datetime | None = None

    def as_json(self) -> dict[str, Any]:
        found: dict[str, Any] = to_json(self)
        return found

    @property
    def is_finished(self) -> bool:
        return self.index >= len(self.plan)

    @property
    def entity(self) -> Entity:
        return BY_NAME[self.plan[self.index]]

    @property
    def percent(self) -> int:
        """How much of the plan is done: 1 to 99 while work remains, then 100."""
        if self.is_finished:
            return 100
        part = self.got / (self.got + self.left) if self.left else 0.0
        return max(1, min(99, int(100 * (self.index + part) / len(self.plan))))


def position_of(run: RunState) -> Position:
    return from_json(Position, run.position)


def begin(caller: Caller) -> Position:
    """The start of a cycle: what could not be read last time comes last, so that it holds up nothing else."""
    plan = entities.wanted(caller.wanted)
    late = [name for name in plan if caller.cursors.get(name, {}).get("is_late")]
    start = caller.cursors.get(START, {}).get("since")
    return Position(
        plan=tuple([name for name in plan if name not in late] + late),
        start=parse_moment(str(start)) if start else None,
    )


def request(position: Position, caller: Caller, now: dt.datetime) -> tuple[Position, str]:
    """The next request, and the position that awaits its answer. The same one again while an answer is awaited."""
    if not position.since:
        position = dataclasses.replace(position, since=_since(position, caller), begun_at=now)
    if not position.is_sent:
        position = dataclasses.replace(position, is_sent=True, requests=position.requests + 1)
    query = qbxml.Query(
        entity=position.entity,
        request_id=request_id(position),
        since=position.since,
        iterator=position.iterator,
        types=tuple(entities.deletable(position.entity, position.plan)),
    )
    return position, qbxml.build(query, position.version or "13.0")


def request_id(position: Position) -> str:
    return f"{position.requests}-{position.entity.name}"


def _since(position: Position, caller: Caller) -> str:
    """Where the query at hand begins, on the PC's clock. Nothing before the connection's own beginning."""
    zone = dates.zone_of(caller.ctx)
    if position.start is not None:
        return dates.local_text(position.start, zone)
    cursor = caller.cursors.get(position.entity.name, {})
    first = str(cursor.get("first") or dates.local_text(caller.created_at, zone))
    newest = str(cursor.get("newest") or "")
    return max(first, dates.back(newest, float(cursor.get("took") or 0), zone)) if newest else first


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """What an answer comes to: the new position, cursors to move, and sentences for people."""

    position: Position
    cursors: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    alerts: tuple[str, ...] = ()


def absorb(
    run: RunState, position: Position, answers: Sequence[qbxml.Answer], newest: str, now: dt.datetime
) -> Outcome:
    """The position after an answer whose rows are stored along with it. `newest` is the latest change in it."""
    mine = next((answer for answer in answers if answer.entity == position.entity), None)
    if mine is None:
        if position.strays < MAX_STRAYS:
            return Outcome(dataclasses.replace(position, is_sent=False, strays=position.strays + 1))
        return refuse(run, position, verdicts.Ruling(verdicts.Action.RETRY, "stray", "it was not answered"), now)
    if mine.is_error:
        return refuse(run, position, verdicts.of_status(mine.status), now)
    position = dataclasses.replace(
        position,
        is_sent=False,
        got=position.got + len(mine.rows),
        left=mine.remaining,
        iterator=mine.iterator,
        newest=max(position.newest, newest),
    )
    if mine.remaining and mine.iterator and position.entity.page:
        return Outcome(position)
    return Outcome(_next(position), {position.entity.name: _cursor(run, position, now)} | _ends(run, position))


def refuse(run: RunState, position: Position, ruling: verdicts.Ruling, now: dt.datetime) -> Outcome:
    """The query at hand is given up for this cycle (or begun anew); its cursor stays where it is."""
    name = position.entity.name
    if ruling.action == verdicts.Action.AFRESH and position.restarts < MAX_RESTARTS:
        fresh = dataclasses.replace(
            position, is_sent=False, iterator="", got=0, left=0, newest="", restarts=position.restarts + 1
        )
        return Outcome(fresh)
    problem = f"{name}: {ruling.text}"
    moved = _next(dataclasses.replace(position, problems=(*position.problems, problem)))
    cursor = run.caller.cursors.get(name, {})
    cursors: dict[str, Mapping[str, Any]] = dict(_ends(run, position))
    alerts: tuple[str, ...] = ()
    if ruling.action == verdicts.Action.TELL and cursor.get("told") != ruling.code:
        cursors[name] = {**cursor, "told": ruling.code}
        alerts = (f"The {name} query fails ({ruling.code}): {ruling.text}. The other queries go on.",)
    return Outcome(moved, cursors, alerts)


def _next(position: Position) -> Position:
    """On to the plan's next query."""
    return dataclasses.replace(
        position, index=position.index + 1, is_sent=False, since="", iterator="", got=0, left=0, newest="",
        begun_at=None, restarts=0, strays=0,
    )  # fmt: skip


def _cursor(run: RunState, position: Position, now: dt.datetime) -> dict[str, Any]:
    """How far the query got: the latest change on the PC's own clock, and how long the reading took."""
    before = run.caller.cursors.get(position.entity.name, {})
    # A PC whose clock was once years ahead must not silence what follows.
    limit = dates.local_text(now + dt.timedelta(days=1), dates.zone_of(run.caller.ctx))
    newest = min(max(str(before.get("newest") or ""), position.newest), limit)
    took = int((now - position.begun_at).total_seconds()) if position.begun_at else 0
    first = position.since if position.start is not None else str(before.get("first") or position.since)
    return {"first": first, **({"newest": newest, "took": max(0, took)} if newest else {})}


def _ends(run: RunState, position: Position) -> dict[str, Mapping[str, Any]]:
    """With the plan's last query: a one-off start is used up, and what no route wants begins when one does."""
    if position.index + 1 < len(position.plan):
        return {}
    caller = run.caller
    begun = dates.local_text(run.started_at, dates.zone_of(caller.ctx))
    unwanted = [entity.name for entity in entities.ENTITIES if entity.name not in position.plan]
    found: dict[str, Mapping[str, Any]] = {name: {"first": begun} for name in unwanted}
    start = caller.cursors.get(START, {}).get("since")
    if position.start is not None and start and parse_moment(str(start)) == position.start:
        found[START] = {}
    return found


def read(answers: Iterable[qbxml.Answer], run: RunState, position: Position, known: records.Known) -> tuple[Batch, str]:
    """The rows of all answers that are no errors, and the latest change among those that were asked for."""
    ctx = run.caller.ctx
    origin = records.Origin(ctx.account, dates.zone_of(ctx), run.id, request_id(position), position.since)
    good = [answer for answer in answers if not answer.is_error]
    batch, newest = records.read([answer for answer in good if answer.entity == position.entity], origin, known)
    strays, _ = records.read([answer for answer in good if answer.entity != position.entity], origin, known)
    return Batch(batch.notices + strays.notices, batch.records + strays.records), newest
