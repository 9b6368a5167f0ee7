"""The outbox under every interleaving: claims, posts, cuts, crashes, looks, parking, replays, and frozen workers.

The database code is the real one; Slack is a list, and each worker is a claim that somebody still holds. A worker may
be interrupted between any two of its steps, for longer than its lease, and may then go on as if nothing had been.
"""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import itertools
from collections.abc import Callable
from typing import Any
from uuid import UUID

import hypothesis.strategies as st
import pytest
import time_machine
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from connector.kernel.contracts import Message as Rendered
from connector.kernel.contracts import Receipt
from connector.models import Connection, ConnectionState, Delivery, EventState, Hold, InboxEvent, Organization, Route
from connector.pipeline import audit, clock, outbox, parking, replay, routing
from connector.pipeline.outbox import Claim, Outcome

LEASE, TIMEOUT, LOOK_AGAIN = 60, 15, 3
_serial = itertools.count(1)


@dataclasses.dataclass(eq=False)
class Worker:
    """A claim that somebody holds. `ts` is set once its post is in Slack, `seen` once it has looked."""

    claim: Claim

    @property
    def rendered(self) -> Rendered:
        """What it posts, as `composing` has it: a message made before stays as it was made."""
        content = self.claim.message.content
        return Rendered(content["text"] if content else " ".join(str(row.pk) for row in self.claim.deliveries), {})

    ts: str = ""
    seen: tuple[str, ...] | None = None


class Outbox(RuleBasedStateMachine):
    """One mailbox; its route folds a backlog of more than two, or never."""

    def __init__(self) -> None:
        super().__init__()
        self.travel = time_machine.travel(dt.datetime.now(dt.UTC), tick=False)
        self.time = self.travel.start()
        self.workers: list[Worker] = []
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
        self.box = routing.mailbox_of(self.route)
        self.rows = Delivery.objects.filter(mailbox=self.box)

    # --- what goes in, and time --------------------------------------------------------------------------------------

    @precondition(lambda self: len(self.told) >= self.rows.count() - 2)
    @rule(count=st.sampled_from((1, 1, 4)))
    def tell(self, count: int) -> None:
        self.box.refresh_from_db()
        now = clock.now()
        for _ in range(count):
            event = InboxEvent.objects.create(
                connection=self.books, received_at=now, state=EventState.ROUTED, state_at=now, record="bill"
            )
            Delivery.objects.create(
                event=event, route=self.route, mailbox=self.box, record_key=str(event.pk)[-32:], state_key="1",
                state="parked" if self.box.hold else "waiting", hold=self.box.hold,
                created_at=now, due_since=now, next_attempt_at=now,
            )  # fmt: skip

    # --- workers -----------------------------------------------------------------------------------------------------

    def claim(self) -> None:
        queue = self.rows.filter(state__in=outbox.QUEUED)
        before = {row.pk: row for row in queue}
        found = outbox.claim(self.box.pk)
        if not isinstance(found, Claim):
            return
        mine = {row.pk for row in found.deliveries}
        now = clock.now()
        assert not any(row.lease_until and row.lease_until > now for row in before.values()), "two hold the mailbox"
        newest = max(row.event_id for row in found.deliveries)
        assert found.is_look or not [pk for pk, row in before.items() if row.event_id < newest and pk not in mine], (
            "out of order"
        )
        self.workers.append(Worker(found))

    @rule(data=st.data(), seconds=st.sampled_from((0, 0, LOOK_AGAIN + 1, LEASE - TIMEOUT + 1, LEASE + 1)))
    def act(self, data: st.DataObject, seconds: int) -> None:
        """After so many seconds a worker claims; or one that holds a claim does its next step, or dies before it."""
        self.time.shift(seconds)
        worker = data.draw(st.sampled_from((None, *self.workers)))
        if worker is None:
            self.claim()
            return
        steps: tuple[Callable[[Worker], None], ...]
        if worker.claim.is_look:
            steps = (self._look, self._die) if worker.seen is None else (self._settle, self._settle, self._unreadable)
        elif worker.ts:
            steps = (self._answer, self._answer, self._cut, self._die)
        else:
            refusals = (self._cut, self._retry, self._fail, self._park)
            steps = (self._post, self._post, self._post_frozen, *refusals, self._die)
        data.draw(st.sampled_from(steps))(worker)

    act_more = act
    act_on = act

    def _die(self, worker: Worker) -> None:
        self.workers.remove(worker)

    def _post(self, worker: Worker) -> None:
        """As `delivery` does: never when the answer might come after the lease."""
        if clock.after(TIMEOUT) > worker.claim.lease_until:
            outbox.waits(worker.claim, 1, Outcome("retry", "lease"), reason="lease")
            self.workers.remove(worker)
        else:
            self._arrive(worker)

    def _post_frozen(self, worker: Worker) -> None:
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
            outbox.absent(claim, Outcome("absent"))
        self.workers.remove(worker)

    def _unreadable(self, worker: Worker) -> None:
        outbox.parked(worker.claim, Hold.DOUBT, Outcome("parked", "missing_scope"), reason="unreadable")
        self.workers.remove(worker)

    # --- people and mended channels ----------------------------------------------------------------------------------

    def release(self) -> None:
        self.box.refresh_from_db()
        parking.release(self.box)

    def replay(self, **selection: str) -> None:
        replay.replay(replay.Selection(connection=self.chat.slug, **selection), actor="person")

    @precondition(lambda self: self.rows.exclude(state="waiting").exists())
    @rule(data=st.data())
    def intervene(self, data: st.DataObject) -> None:
        """The channel is mended, or a person replays what is parked, failed, all of it, or one alone."""
        rows = list(self.rows.order_by("event_id"))
        choice = data.draw(st.sampled_from(("release", "parked", "failed", "", *range(len(rows)))))
        if choice == "release":
            self.release()
        elif isinstance(choice, str):
            self.replay(status=choice)
        else:
            self._replay_one(rows[choice], again=data.draw(st.booleans()))

    def _replay_one(self, row: Delivery, *, again: bool) -> None:
        result = replay.replay(replay.Selection(delivery=str(row.pk)), actor="person", again=again)
        if again and row.state == "delivered":
            assert result.released == 1
            self.allowed[row.pk] += 1

    # --- what always holds -------------------------------------------------------------------------------------------

    @invariant()
    def nothing_is_told_twice(self) -> None:
        assert {pk: count for pk, count in self.told.items() if count > 1 + self.allowed[pk]} == {}

    @invariant()
    def what_counts_as_delivered_is_there(self) -> None:
        if hasattr(self, "rows"):
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
            max_examples=100,
            stateful_step_count=30,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert audit.verify()[1] == []
