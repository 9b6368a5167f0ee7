"""Streams: what a source tells as it happens, stored with the position after it.

`manage.py listen` is one process. Each stream has a thread, and a lock in Redis while it runs, so that a second
listener waits; where both run, what they store is the same and is stored once.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import logging
import random
import secrets
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from uuid import UUID

from django.conf import settings
from django.db import DatabaseError, transaction
from django.db import connections as databases

from connector import locks, registry
from connector.kernel.contracts import Batch, Context, Streamer
from connector.kernel.errors import Misconfigured, Reauthorize, Refresh, Retry, Unknown, VendorError
from connector.models import BLOCKED, Connection, Cursor
from connector.models.base import keyed_uuid
from connector.pipeline import alerts, audit, clock, connections, hints, intake, polling
from connector.pipeline.keeping import kept

log = logging.getLogger(__name__)

#: So often the listener looks which streams are wanted (seconds).
LOOK_EVERY = 5.0
SILENCE = "silence"
FIRST_WAIT, LONGEST_WAIT = 1.0, 300.0
#: The lock of a stream outlives its holder by so much at most.
LEASE = 15.0
#: A stream that has lived so long was a good one, whatever ended it.
STEADY = 60.0
#: Without any word for so long a stream counts as dead: the source is polled, and people are told once.
SILENT_AFTER = dt.timedelta(minutes=10)
BENEFIT_OF_DOUBT = dt.timedelta(minutes=2)
#: How the notes of refused streams begin, among the cursors of a connection.
_REFUSED = "refused "

_TAKE = "return redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) and 1 or 0"
_KEEP = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end return 0"
_GIVE_BACK = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"


@dataclasses.dataclass(frozen=True, slots=True)
class Stream:
    """One stream as it is wanted: with another token or other settings it is another one, and opened anew."""

    connection_id: UUID
    slug: str
    topic: str
    generation: int
    settings: str


def wanted(slug: str = "") -> list[Stream]:
    """The streams of all active connections, or of one."""
    rows = Connection.objects.filter(is_active=True, system__in=registry.source_names())
    rows = rows.exclude(state__in=BLOCKED).select_related("credential").order_by("pk")
    found = []
    for row in rows.filter(slug=slug) if slug else rows:
        generation = row.credential.generation if row.credential else 0
        found += [Stream(row.pk, row.slug, topic, generation, str(row.settings)) for topic in topics_of(row)]
    return found


def topics_of(connection: Connection) -> tuple[str, ...]:
    """The topics that the connection's source streams; none for a source without streams."""
    source = registry.source(connection.system) if connection.system in registry.source_names() else None
    if not isinstance(source, Streamer):
        return ()
    defaults = {field.name: field.default for field in source.settings_fields}
    return source.topics({**defaults, **connection.settings})


def cursor_name(topic: str) -> str:
    return f"stream {topic}"[:60]


def is_silent(connection: Connection) -> bool:
    """Whether one of its streams has said nothing, not even that it lives, for too long."""
    topics = topics_of(connection)
    if topics and is_refused(connection):
        return True
    rows = Cursor.objects.filter(connection=connection, name__in=[cursor_name(topic) for topic in topics])
    moved = dict(rows.values_list("name", "moved_at"))
    since = clock.now() - SILENT_AFTER
    made = connection.created_at
    return any((moved.get(cursor_name(topic)) or made) < since for topic in topics)


def is_refused(connection: Connection) -> bool:
    """Whether the source refuses one of its streams, so that it is polled instead."""
    return Cursor.objects.filter(connection=connection, name__startswith=_REFUSED).exists()


def note_wanted() -> None:
    """Leaves a note for the supervisor of this host: it starts the listener only where there is a stream."""
    path = note_path(Path(settings.VAR_DIR))
    if wanted():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch()
    else:
        path.unlink(missing_ok=True)


def note_path(var_dir: Path) -> Path:
    return var_dir / "run" / "listen.wanted"


class Listener:
    """Keeps a thread for every wanted stream until it is told to stop."""

    def __init__(self, slug: str = "") -> None:
        self._slug = slug
        self._stopping = threading.Event()
        self._running: dict[Stream, tuple[threading.Thread, threading.Event]] = {}

    def stop(self) -> None:
        self._stopping.set()

    def run(self) -> None:
        """Runs until `stop`. A database that does not answer leaves the streams as they are."""
        while not self._stopping.is_set():
            try:
                self._match(wanted(self._slug))
            except DatabaseError as error:
                log.warning("the database does not answer (%s)", type(error).__name__)
            finally:
                databases.close_all()
            self._stopping.wait(LOOK_EVERY)
        self._match([])
        for thread, _ in list(self._running.values()):
            thread.join(10)

    def _match(self, streams: Iterable[Stream]) -> None:
        """Starts what is wanted and ends what is not, or not in this form."""
        streams = set(streams)
        for stream in [each for each in self._running if each not in streams]:
            self._running[stream][1].set()
        for stream, (thread, _) in list(self._running.items()):
            if not thread.is_alive():
                del self._running[stream]
        busy = {(each.connection_id, each.topic) for each in self._running}
        for stream in streams - set(self._running):
            if (stream.connection_id, stream.topic) not in busy:
                stop = threading.Event()
                thread = threading.Thread(target=_keep_listening, args=(stream, stop), name=stream.topic, daemon=True)
                self._running[stream] = thread, stop
                thread.start()


def _keep_listening(stream: Stream, stop: threading.Event) -> None:
    """Opens the stream again whenever it ends, later each time that it did not live."""
    wait = FIRST_WAIT
    while not stop.is_set():
        began = time.monotonic()
        try:
            with _alone(stream) as is_ours:
                if is_ours:
                    _listen(stream, stop)
        except (DatabaseError, VendorError) as error:
            log.warning("the stream %s of %s broke (%s)", stream.topic, stream.slug, type(error).__name__)
        finally:
            databases.close_all()
        wait = FIRST_WAIT if time.monotonic() - began > STEADY else min(LONGEST_WAIT, wait * 2)
        stop.wait(random.uniform(wait / 2, wait))  # noqa: S311 - jitter, not a secret


@contextlib.contextmanager
def _alone(stream: Stream) -> Iterator[bool]:
    """Whether no other listener has the stream. Without Redis nobody can tell, and it is opened."""
    key, token = f"stream:{stream.connection_id}:{stream.topic}", secrets.token_hex(8)
    life = int(LEASE * 1000)
    try:
        is_ours = bool(locks.run(_TAKE, [key], [token, life]))
    except locks.RedisAway:
        is_ours = True
    if not is_ours:
        yield False
        return

    def renew() -> None:
        with contextlib.suppress(locks.RedisAway):
            locks.run(_KEEP, [key], [token, life])

    try:
        with kept(renew, every=LEASE / 3):
            yield True
    finally:
        with contextlib.suppress(locks.RedisAway):
            locks.run(_GIVE_BACK, [key], [token])


def _listen(stream: Stream, stop: threading.Event) -> None:
    """One life of the stream. Its verdicts are written down; what the database says is raised."""
    connection = Connection.objects.select_related("organization", "credential").get(pk=stream.connection_id)
    source = registry.source(connection.system)
    assert isinstance(source, Streamer)
    has_heard = False

    def work(ctx: Context) -> None:
        nonlocal has_heard
        row = Cursor.objects.filter(connection=connection, name=cursor_name(stream.topic)).first()
        try:
            for batch in source.stream(ctx, stream.topic, row.state if row else {}, stop):
                if not has_heard:
                    _forget_refusals(connection, stream.topic)
                _store(connection, stream.topic, batch)
                has_heard = True
        except Refresh:
            # A token that ends under a living stream is no sign of a bad one: the next life renews it.
            if not has_heard:
                raise
        except Misconfigured as error:
            _note_refusal(connection, stream.topic, error)

    try:
        connections.call(connection, work)
    except (Reauthorize, Misconfigured) as error:
        log.warning("the stream %s of %s needs a person (%s)", stream.topic, stream.slug, error.code)
    except (Retry, Unknown) as error:
        log.warning("the stream %s of %s ended (%s)", stream.topic, stream.slug, error.code)


def _note_refusal(connection: Connection, topic: str, error: Misconfigured) -> None:
    """Tells once why a stream cannot be listened to. Nothing else of the connection waits for it: it is polled."""
    log.warning("the stream %s of %s is refused (%s)", topic, connection.slug, error.code)
    # What is wrong with one topic is told of each; what is wrong with all of them once.
    name = f"{_REFUSED}{topic if '.topic.' in error.code else ''} {error.code}"[:60]
    with transaction.atomic():
        _, is_new = Cursor.objects.get_or_create(
            id=keyed_uuid(connection.pk, name),
            defaults={"connection": connection, "name": name, "state": {"topic": topic}, "moved_at": clock.now()},
        )
        if is_new:
            reason = f"{topic}: {error.code}"
            entry = audit.Entry("stream.refused", connection=connection.slug, reason=reason, body={"text": error.text})
            audit.append(connection.organization, entry)
            text = f"{connection.slug} cannot listen to {topic}: {error.text}. It is polled meanwhile."
            alerts.announce(connection, "failed", text)


def _forget_refusals(connection: Connection, topic: str) -> None:
    for row in Cursor.objects.filter(connection=connection, name__startswith=_REFUSED):
        if row.state.get("topic") == topic:
            row.delete()


def _store(connection: Connection, topic: str, batch: Batch) -> None:
    """The notices and the position after them, together."""
    with transaction.atomic():
        events = intake.record(connection.system, batch.notices, origin="stream", only=[connection])
        if batch.cursor is not None:
            polling.move_cursor(connection, cursor_name(topic), batch.cursor)
        hints.start_events(event.pk for event in events)


def tell_silence(connection: Connection) -> None:
    """Tells once that a stream is dead. After a stop of ours it is given a moment to speak again first."""
    row = Cursor.objects.filter(connection=connection, name=SILENCE).first()
    state = row.state if row else {}
    if is_refused(connection) or not is_silent(connection):
        if state:
            polling.move_cursor(connection, SILENCE, {})
        return
    now = clock.now()
    if "since" not in state:
        polling.move_cursor(connection, SILENCE, {"since": now.isoformat()})
    elif not state.get("told") and now - dt.datetime.fromisoformat(state["since"]) > BENEFIT_OF_DOUBT:
        with transaction.atomic():
            polling.move_cursor(connection, SILENCE, {**state, "told": True})
            audit.append(connection.organization, audit.Entry("stream.silent", connection=connection.slug))
            text = f"The change stream of {connection.slug} has been silent for too long; it is polled meanwhile."
            alerts.announce(connection, "failed", text)
