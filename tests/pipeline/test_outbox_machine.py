"""The outbox under every interleaving: claims, posts, cuts, crashes, looks, parking, replays, and frozen workers.

The database code is the real one; Slack is a list, and each worker is a claim that somebody still holds. A worker may
be interrupted between any two of its steps, for longer than its lease, and may then go on as if nothing had been.
"""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import functools
import itertools
import re
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from uuid import UUID

import hypothesis.strategies as st
import pytest
import time_machine
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from connector.kernel.contracts import Message as Rendered
from connector.kernel.contracts import Receipt
from connector.models import (
    AuditEntry,
    Connection,
    ConnectionState,
    Delivery,
    EventState,
    Hold,
    InboxEvent,
    Organization,
    Payload,
    PayloadKind,
    Route,
)
from connector.pipeline import audit, clock, delivery, mapping, outbox, parking, replay, resolve, routing
from connector.pipeline.outbox import Claim, Outcome
from connector.pipeline.pacing import Gate
from sources.quickbooks_online.standin_faults import gateway_fault, outage
from tests.pipeline.conftest import CHANNEL, World
from tests.stack import REALM, bill

LEASE, TIMEOUT, LOOK_AGAIN = 60, 15, 3
_serial = itertools.count(1)


@dataclasses.dataclass(eq=False)
class Worker:
    """A claim that somebody holds. `ts` is set once its post is in Slack, `seen` once it has looked."""

    claim: Claim
    ts: str = ""
    seen: tuple[str, ...] | None = None
    is_frozen: bool = False

    @property
    def rendered(self) -> Rendered:
        """What it posts, as `composing` has it: a message made before stays as it was made."""
        content = self.claim.message.content
        return Rendered(content["text"] if content else " ".join(str(row.pk) for row in self.claim.deliveries), {})


class Outbox(RuleBasedStateMachine):
    """One mailbox; its route folds a backlog of more than two, or never."""

    def __init__(self) -> None:
        super().__init__()
        self.travel = time_machine.travel(dt.datetime.now(dt.UTC), tick=False)
        self.time = self.travel.start()
        self.workers: list[Worker] = []
        self.moving: list[InboxEvent] = []
        #: Slack: each message with its ts; and how often each delivery was told there.
        self.slack: list[tuple[Any, str]] = []
        self.told: collections.Counter[Any] = collections.Counter()
        #: How often more than once a delivery may be told: a person asked for it, or a worker froze in the one place.
        self.allowed: collections.Counter[Any] = collections.Counter()

    @initialize(digest_after=st.sampled_from((0, 2)))
    def connect(self, digest_after: int) -> None:
        number = next(_serial)
        organization, _ = Organization.objects.get_or_create(slug="acme", name="Acme")
        common = {"organization": organization, "state": ConnectionState.OK, "account": f"{number}"}
        self.books = Connection.objects.create(slug=f"books-{number}", system="quickbooks_online", **common)
        self.chat = Connection.objects.create(slug=f"chat-{number}", system="slack", **common)
        self.route = Route.objects.create(
            organization=organization, name=f"{number}", source=self.books, sink=self.chat, target="C1",
            digest_after=digest_after,
        )  # fmt: skip
        self.box = routing.mailbox_at(self.route.sink_id, self.route.target)
        self.rows = Delivery.objects.filter(mailbox=self.box)

    @rule()
    def go_on(self) -> None:
        """The usual course: the first worker that is awake does its next step; without one one claims."""
        awake = [worker for worker in self.workers if not worker.is_frozen]
        if awake:
            self.steps(awake[0])[0](awake[0])
            return
        due = outbox.next_due(self.box.pk)
        if due is not None:
            self.time.shift(due)
            self.claim()
        elif self.moving:
            self.route_one(self.moving[0])
        else:
            self.tell()

    @rule(data=st.data(), seconds=st.sampled_from((0, 0, LOOK_AGAIN + 1, LEASE + 1)))
    def interfere(self, data: st.DataObject, seconds: int) -> None:
        """Some time later something else happens."""
        self.time.shift(seconds)
        states = set(self.rows.values_list("state", flat=True))
        happenings: list[Callable[[], object]] = [self.claim]
        if self.rows.count() - len(self.told) < 6:
            happenings += [self.tell, lambda: self.tell(4), self.receive, lambda: self.receive(attempts=1)]
        if states & {"parked", "failed"}:
            happenings += [self.release, self.replay]
        if states & {"parked", "failed", "delivered"}:
            happenings.append(lambda: self.replay_one(data))
        happenings += [functools.partial(self.route_one, event) for event in self.moving]
        for worker in self.workers:
            happenings += [functools.partial(step, worker) for step in self.steps(worker)]
        data.draw(st.sampled_from(happenings))()

    def steps(self, worker: Worker) -> tuple[Callable[[Worker], None], ...]:
        """What a worker may do: its next step first; or its call comes to nothing, or it dies, or freezes."""
        if worker.is_frozen:
            return (self._thaw,)
        if worker.claim.is_look:
            return (self._look, self._freeze) if worker.seen is None else (self._settle, self._unreadable)
        if worker.ts:
            return self._answer, self._cut, self._die, self._freeze
        refusals = (self._cut, self._retry, self._fail, self._park)
        return self._post, self._post_late, *refusals, self._die, self._freeze

    def tell(self, count: int = 1) -> None:
        for _ in range(count):
            self.receive()
            self.route_one(self.moving[-1])

    def receive(self, attempts: int = 0) -> None:
        """An event that is still to be worked on; with an attempt behind it, it waits for its vendor."""
        now = clock.now()
        event = InboxEvent.objects.create(
            connection=self.books, received_at=now, state_at=now, record="bill", attempts=attempts
        )
        self.moving.append(event)

    def route_one(self, event: InboxEvent) -> None:
        self.box.refresh_from_db()
        now = clock.now()
        InboxEvent.objects.filter(pk=event.pk).update(state=EventState.ROUTED)
        Delivery.objects.create(
            event=event, route=self.route, mailbox=self.box, record_key=str(event.pk)[-32:], state_key="1",
            state="parked" if self.box.hold else "waiting", hold=self.box.hold,
            created_at=now, due_since=now, next_attempt_at=now,
        )  # fmt: skip
        self.moving.remove(event)

    # --- workers -----------------------------------------------------------------------------------------------------

    def claim(self) -> None:
        before = {row.pk: row for row in self.rows.all()}
        found = outbox.claim(self.box.pk)
        if not isinstance(found, Claim):
            return
        now = clock.now()
        assert not any(row.lease_until and row.lease_until > now for row in before.values()), "two hold the mailbox"
        if not before[found.deliveries[0].pk].message_id:
            self._is_in_order(found, before)
        self.workers.append(Worker(found))

    def _is_in_order(self, found: Claim, before: Mapping[UUID, Delivery]) -> None:
        """A new message passes over nothing; one that was made before goes out as it was made."""
        head, newest = found.deliveries[0], found.deliveries[-1]
        mine = {row.pk for row in found.deliveries}
        queued = [row for row in before.values() if row.state in outbox.QUEUED and row.pk not in mine]
        assert not [row for row in queued if row.event_id < newest.event_id]
        if head.attempts == 1 and head.created_at > clock.after(-outbox.PATIENCE):
            assert not [event for event in self.moving if event.attempts == 0 and event.pk < newest.event_id]

    def _freeze(self, worker: Worker) -> None:
        worker.is_frozen = True

    def _thaw(self, worker: Worker) -> None:
        worker.is_frozen = False

    def _die(self, worker: Worker) -> None:
        self.workers.remove(worker)

    def _post(self, worker: Worker) -> None:
        """As `delivery` does: never when the answer might come after the lease."""
        if clock.after(TIMEOUT) > worker.claim.lease_until:
            outbox.waits(worker.claim, 1, Outcome("retry", "lease"), reason="lease")
            self.workers.remove(worker)
        else:
            self._arrive(worker)

    def _post_late(self, worker: Worker) -> None:
        """Frozen right between its last look at the lease and the call: the one way left to post twice."""
        if clock.now() > worker.claim.lease_until:
            self.allowed.update(row.pk for row in worker.claim.deliveries)
            self._arrive(worker)

    def _arrive(self, worker: Worker) -> None:
        worker.ts = f"{len(self.slack) + 1}.000000"
        self.slack.append((worker.claim.message.pk, worker.ts))
        self.told.update(map(UUID, worker.rendered.text.split()))

    def _answer(self, worker: Worker) -> None:
        outbox.delivered(worker.claim, Receipt(worker.ts, "C1"), Outcome("delivered"), worker.rendered, "")
        self.workers.remove(worker)

    def _cut(self, worker: Worker) -> None:
        outbox.doubtful(worker.claim, LOOK_AGAIN, Outcome("doubt", "cut"), worker.rendered, "")
        self.workers.remove(worker)

    def _retry(self, worker: Worker) -> None:
        outbox.waits(worker.claim, 2, Outcome("retry", "ratelimited"), reason="later")
        self.workers.remove(worker)

    def _fail(self, worker: Worker) -> None:
        outbox.failed(worker.claim, Outcome("failed", "invalid_blocks"), reason="no")
        self.workers.remove(worker)

    def _park(self, worker: Worker) -> None:
        outbox.parked(worker.claim, Hold.TARGET, Outcome("parked", "is_archived"), reason="archived")
        parking.park_mailbox(worker.claim.mailbox, Hold.TARGET, "archived", is_alerted=False)
        self.workers.remove(worker)

    def _look(self, worker: Worker) -> None:
        worker.seen = tuple(ts for message, ts in self.slack if message == worker.claim.message.pk)

    def _settle(self, worker: Worker) -> None:
        claim, looks = worker.claim, worker.claim.message.looks + 1
        if worker.seen:
            receipt = Receipt(worker.seen[0], "C1", is_repeated=len(worker.seen) > 1)
            outbox.delivered(claim, receipt, Outcome("found"), worker.rendered, "")
        elif looks < 2:
            outbox.looked(claim, LOOK_AGAIN, Outcome("absent"), looks=looks)
        else:
            outbox.absent(claim, 0.0, Outcome("absent"))
        self.workers.remove(worker)

    def _unreadable(self, worker: Worker) -> None:
        outbox.parked(worker.claim, Hold.DOUBT, Outcome("parked", "missing_scope"), reason="unreadable")
        self.workers.remove(worker)

    # --- people and mended channels ----------------------------------------------------------------------------------

    def release(self) -> None:
        self.box.refresh_from_db()
        parking.release(self.box)

    def replay(self) -> None:
        replay.replay(replay.Selection(connection=self.chat.slug), actor="person")

    def replay_one(self, data: st.DataObject) -> None:
        row = data.draw(st.sampled_from(list(self.rows.order_by("event_id"))))
        again = data.draw(st.booleans())
        result = replay.replay(replay.Selection(delivery=str(row.pk)), actor="person", again=again)
        if again and row.state == "delivered":
            assert result.released == 1
            self.allowed[row.pk] += 1

    # --- what always holds -------------------------------------------------------------------------------------------

    @invariant()
    def nothing_is_told_twice(self) -> None:
        assert {pk: count for pk, count in self.told.items() if count > 1 + self.allowed[pk]} == {}

    def what_counts_as_delivered_is_there(self) -> None:
        delivered = self.rows.filter(state="delivered").values_list("message_id", "message__ts")
        assert set(delivered) <= set(self.slack)

    def teardown(self) -> None:
        """Every worker is dead and every channel mended: what is left goes out, and nothing else does."""
        try:
            if hasattr(self, "rows"):
                self._drain()
        finally:
            self.travel.stop()

    def _drain(self) -> None:
        self.workers.clear()
        for event in list(self.moving):
            self.route_one(event)
        self.replay()
        self.release()
        while self.rows.filter(state__in=outbox.QUEUED).exists():
            self.time.shift(LEASE + 1)
            self.claim()
            (worker,) = self.workers
            if worker.claim.is_look:
                self._look(worker)
                self._settle(worker)
            else:
                self._arrive(worker)
                self._answer(worker)
        assert set(self.rows.values_list("state", flat=True)) <= {"delivered"}
        assert set(self.rows.values_list("pk", flat=True)) == set(self.told)
        self.nothing_is_told_twice()
        self.what_counts_as_delivered_is_there()


@pytest.mark.timeout(300)
def test_every_interleaving_tells_everything_once(database: None, redis: str) -> None:
    run_state_machine_as_test(
        Outbox,
        settings=settings(
            max_examples=150,
            stateful_step_count=40,
            deadline=None,
            database=None,
            phases=[Phase.generate],  # add Phase.shrink to a failure: it takes minutes, and gives a short one
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert audit.verify()[1] == []


# --- single cases that the machine, or the gauntlet, once found ------------------------------------------------------


@pytest.fixture
def hours() -> Iterator[Any]:
    """A clock that only the test moves."""
    with time_machine.travel(dt.datetime.now(dt.UTC), tick=False) as clock_:
        yield clock_


def sent(world: World, *numbers: str) -> list[Delivery]:
    """Bills that have come as far as their deliveries."""
    for number in numbers:
        record = world.intuit.put(REALM, "Bill", bill(number))
        world.notify(("Bill", record["Id"], "created"))
    world.work(posts=False)
    return list(Delivery.objects.order_by("event_id"))


def claimed(row: Delivery) -> Claim:
    found = outbox.claim(row.mailbox_id)
    assert isinstance(found, Claim)
    return found


def settled_as_absent(row: Delivery, hours: Any) -> None:
    """Others take the message up, look twice, and find nothing."""
    for looks in (1, 2):
        look = claimed(row)
        assert look.is_look
        if looks == 1:
            outbox.looked(look, LOOK_AGAIN, Outcome("absent"), looks=looks)
            hours.shift(LOOK_AGAIN + 1)
        else:
            outbox.absent(look, 0.0, Outcome("absent"))


def test_a_worker_that_wakes_after_its_lease_takes_nothing_out_of_another_ones_hands(world: World, hours: Any) -> None:
    world.route()
    (row,) = sent(world, "B-1")
    frozen = claimed(row)
    hours.shift(LEASE + 1)
    settled_as_absent(row, hours)
    other = claimed(row)
    outbox.waits(frozen, 1, Outcome("retry", "lease"), reason="lease")
    row.refresh_from_db()
    assert (row.state, row.lease_until) == ("sending", other.lease_until)


def test_what_a_late_worker_has_posted_is_not_posted_again(world: World, hours: Any) -> None:
    world.route()
    (row,) = sent(world, "B-1")
    frozen = claimed(row)
    hours.shift(LEASE + 1)
    settled_as_absent(row, hours)
    outbox.delivered(frozen, Receipt("1795000000.000100", CHANNEL), Outcome("delivered"), Rendered("text", {}), "")
    row.refresh_from_db()
    assert row.state == "delivered"
    assert outbox.claim(row.mailbox_id) is None


def test_a_message_that_was_found_meanwhile_is_no_repeat_to_the_worker_who_posted_it(world: World, hours: Any) -> None:
    world.route()
    (row,) = sent(world, "B-1")
    frozen = claimed(row)
    hours.shift(LEASE + 1)
    receipt = Receipt("1795000000.000100", CHANNEL)
    outbox.delivered(claimed(row), receipt, Outcome("found"), Rendered("text", {}), "")
    outbox.delivered(frozen, receipt, Outcome("delivered"), Rendered("text", {}), "")
    assert not AuditEntry.objects.filter(action="delivery.repeated").exists()
    outbox.delivered(frozen, Receipt("1795000001.000100", CHANNEL), Outcome("delivered"), None, "")
    assert AuditEntry.objects.get(action="delivery.repeated").reason == "posted_again"


def test_no_post_begins_that_might_end_after_its_lease(world: World, settings: Any) -> None:
    world.route()
    (row,) = sent(world, "B-1")
    settings.DELIVERY_LEASE_SECONDS = settings.HTTP_TIMEOUT_SECONDS - 1
    delivery.drain(row.mailbox_id)
    row.refresh_from_db()
    assert (row.state, row.reason) == ("waiting", "lease")
    assert world.slack.posts == []


def test_replaying_one_part_of_a_digest_sends_the_digest_once(world: World) -> None:
    world.route(digest_after=2)
    rows = sent(world, "B-1", "B-2", "B-3")
    claim = claimed(rows[0])
    outbox.parked(claim, Hold.EXHAUSTED, Outcome("parked", "service_unavailable"), reason="used up")
    for row in rows[1:]:
        replay.replay(replay.Selection(delivery=str(row.pk)), actor="person")
        world.work()
    replay.replay(replay.Selection(status="parked"), actor="person")
    world.work()
    (post,) = world.slack.posts
    assert [f"B-{number}" in post.text for number in (1, 2, 3)] == [True] * 3
    assert set(Delivery.objects.values_list("state", flat=True)) == {"delivered"}


def test_a_digest_does_not_pass_over_a_message_that_is_being_retried(world: World, hours: Any) -> None:
    world.route(digest_after=2)
    rows = sent(world, "B-1", "B-2", "B-3", "B-4", "B-5")
    Delivery.objects.filter(pk=rows[0].pk).update(state="failed")
    Delivery.objects.exclude(pk__in=[rows[0].pk, rows[1].pk]).update(state="failed")
    outbox.waits(claimed(rows[1]), 0, Outcome("retry", "ratelimited"), reason="later")
    Delivery.objects.filter(state="failed").update(state="waiting")
    assert [row.pk for row in claimed(rows[0]).deliveries] == [rows[0].pk]


@pytest.mark.parametrize("digest_after", [0, 2])
def test_an_event_whose_hint_was_lost_keeps_its_place(world: World, hours: Any, digest_after: int) -> None:
    """Whatever time has passed: nobody has worked on it yet, so it does not wait for its vendor."""
    world.route(digest_after=digest_after)
    numbers = ("B-1", "B-2", "B-3", "B-4")
    for number in numbers:
        record = world.intuit.put(REALM, "Bill", bill(number))
        world.notify(("Bill", record["Id"], "created"))
    hours.shift(600)
    first, second, *others = [str(pk) for pk in InboxEvent.objects.order_by("pk").values_list("pk", flat=True)]
    for ids in ([first, *others], [second]):
        resolve.fetch(ids)
        mapping.map_events(ids)
        routing.route_events(ids)
        for _ in numbers:
            time.sleep(0.02)  # the pace of these tests
            delivery.drain(Delivery.objects.all()[0].mailbox_id, is_armed=True)
    assert re.findall(r"B-\d", " ".join(world.texts)) == list(numbers)


def test_events_that_failed_together_are_asked_for_together_again(world: World) -> None:
    world.route()
    for number in ("B-1", "B-2", "B-3"):
        record = world.intuit.put(REALM, "Bill", bill(number))
        world.notify(("Bill", record["Id"], "created"))
    world.intuit.fail("/v3/", "answer", times=5, answer=outage())
    resolve.fetch(list(InboxEvent.objects.values_list("pk", flat=True)))
    assert set(InboxEvent.objects.values_list("attempts", flat=True)) == {1}
    due = sorted(at for at in InboxEvent.objects.values_list("next_attempt_at", flat=True) if at)
    assert due[2] - due[0] < dt.timedelta(seconds=0.5)


def test_what_never_gets_a_usable_answer_is_tried_later_each_time_and_then_left_to_a_person(
    world: World, hours: Any, settings: Any
) -> None:
    world.route()
    (row,) = sent(world, "B-1")
    world.slack.fail("chat.postMessage", "answer", times=9, answer=world.slack.html_503())

    def try_once() -> float:
        """One post and its two looks; seconds until the next post."""
        for _ in range(3):
            delivery.drain(row.mailbox_id)
            time.sleep(0.02)  # the pace of these tests
            hours.shift(LOOK_AGAIN + 1)
        row.refresh_from_db()
        assert row.next_attempt_at is not None
        return (row.next_attempt_at - clock.after(-LOOK_AGAIN - 1)).total_seconds()

    assert try_once() == 0
    hours.shift(5)
    assert 0 < try_once() <= 4
    hours.shift(5)
    settings.RETRY_MAX_AGE_SECONDS = 1
    try_once()
    assert (row.state, row.hold, row.attempts) == ("parked", "exhausted", 3)
    assert world.slack.posts == []


def test_looks_that_fail_come_further_apart(world: World, hours: Any) -> None:
    world.route()
    (row,) = sent(world, "B-1")
    outbox.doubtful(claimed(row), 0, Outcome("doubt", "cut"), Rendered("text", {}), "")
    world.slack.fail("conversations.history", "answer", times=99, answer=world.slack.html_503())
    waits = []
    for _ in range(12):
        delivery.drain(row.mailbox_id)
        row.refresh_from_db()
        assert row.lease_until is not None
        waits.append((row.lease_until - clock.now()).total_seconds())
        hours.shift(waits[-1] + 0.01)
        time.sleep(0.02)
    assert max(waits[:2]) < 10 < max(waits)


@pytest.mark.parametrize(("refusals", "state"), [(2, "ok"), (3, "needs_reauthorization")])
def test_a_token_that_runs_out_again_at_once_is_renewed_once_more(world: World, refusals: int, state: str) -> None:
    world.route()
    record = world.intuit.put(REALM, "Bill", bill("B-1"))
    world.notify(("Bill", record["Id"], "created"))
    world.intuit.fail("/v3/", "answer", times=refusals, answer=gateway_fault("3200"))
    world.work()
    world.books.refresh_from_db()
    assert (world.books.state, world.intuit.count("tokens/bearer")) == (state, 2)
    assert len(world.texts) == (1 if state == "ok" else 0)


def told_in_between(world: World, kind: PayloadKind) -> list[str]:
    """Three bills; what is stored of the second has a shape that nobody foresaw. What becomes of the events."""
    world.route()
    for number in ("B-1", "B-2", "B-3"):
        record = world.intuit.put(REALM, "Bill", bill(number))
        world.notify(("Bill", record["Id"], "created"))
    ids = list(InboxEvent.objects.order_by("pk").values_list("pk", flat=True))
    second = InboxEvent.objects.get(pk=ids[1])
    steps = {
        PayloadKind.NOTICE: resolve.fetch,
        PayloadKind.RECORD: mapping.map_events,
        PayloadKind.EVENT: routing.route_events,
    }
    for broken, step in steps.items():
        if broken == kind:
            Payload.put(second, kind, ["nonsense"])
        step(ids)
    world.work()
    return [f"{event.state}: {event.reason}" for event in InboxEvent.objects.order_by("pk")]


@pytest.mark.parametrize("kind", [PayloadKind.NOTICE, PayloadKind.RECORD, PayloadKind.EVENT])
def test_one_event_that_nobody_foresaw_stops_no_other(world: World, kind: PayloadKind) -> None:
    first, second, third = told_in_between(world, kind)
    assert (first, third) == ("routed: ", "routed: ")
    assert re.fullmatch(
        r"failed: it cannot be worked on \(\w+Error in \w+\.py, line \d+\): update the connector.*", second
    )
    assert [text[5:8] for text in world.texts] == ["B-1", "B-3"]


def test_one_message_that_cannot_be_made_does_not_stop_its_channel(world: World) -> None:
    world.route()
    rows = sent(world, "B-1", "B-2", "B-3")
    Payload.put(rows[1].event, PayloadKind.EVENT, ["nonsense"])
    world.work()
    rows[1].refresh_from_db()
    assert rows[1].state == "failed"
    assert re.fullmatch(
        r"it cannot be worked on \(\w+Error in \w+\.py, line \d+\): update the connector.*", rows[1].reason
    )
    assert [text[5:8] for text in world.texts] == ["B-1", "B-3"]


def test_a_pause_asked_for_meanwhile_keeps_a_post_from_beginning(redis: str) -> None:
    mine, other = (Gate("mailbox", "T1", channel, fly_seconds=6) for channel in ("C1", "C2"))
    assert (mine.acquire(), other.acquire()) == (0, 0)
    other.pause(5)
    assert 4 < mine.start_gap(1) <= 5
    other.pause(0.001)
    time.sleep(0.01)
    assert mine.start_gap(1) == 0
    mine.release()
    assert 0 < mine.acquire() <= 1
