"""The gauntlet in short (the long form is `make gauntlet`), and proof that its oracle sees what it is there to see."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from sinks.slack.standin import Post
from tests.gauntlet import oracle
from tests.gauntlet.faults import MENU, schedule
from tests.gauntlet.oracle import Findings
from tests.gauntlet.report import Options, table
from tests.gauntlet.run import run
from tests.gauntlet.traffic import EVERYTHING, Happening, plan

HERE = "C0GAUNTLET00"


@pytest.mark.timeout(240)
def test_under_fire_nothing_is_lost_and_nothing_told_twice() -> None:
    result = run(Options(events=70, faults=10, seed=233, channels=4, seconds=20.0, patience=90.0))
    print(table(result))
    assert result.problems == []


def test_a_seed_is_a_schedule() -> None:
    first, again, other = (schedule(seed, 200, 600.0, lease=7) for seed in (1, 1, 2))
    assert first == again != other
    assert [fault.at for fault in first] == sorted(fault.at for fault in first)
    assert {(fault.kind, fault.target) for fault in first} == {
        (kind, target) for kind, targets in MENU.items() for target in targets
    }
    assert plan(1, 50, 3, 20.0) == plan(1, 50, 3, 20.0) != plan(2, 50, 3, 20.0)
    happened = [happening for sending in plan(1, 500, 3, 200.0) for happening in sending.happenings]
    made = [one.record for one in happened if one.operation == "created"]
    changed = [one.record for one in happened if one.operation == "updated"]
    assert len(happened) == 500
    assert made == list(range(1, len(made) + 1))
    assert len(set(changed)) == len(changed) > 10


class Account:
    """Three records as they should be told: the first made and changed, the others folded into a digest."""

    def __init__(self) -> None:
        self.sent = [
            Happening(1, "created", 100),
            Happening(1, "updated", 101),
            Happening(2, "created", 200),
            Happening(3, "created", 300),
        ]
        self.posts: list[Post] = []
        self.events: list[dict[str, Any]] = []
        self.deliveries: list[dict[str, Any]] = []
        self.audit: list[dict[str, Any]] = []
        self.frozen: list[tuple[float, float]] = []
        for number in range(1, 5):
            self.events.append({"id": f"e{number}", "state": "routed", "reason": "", "attempts": 0})
        for channel in (HERE, EVERYTHING):
            self.tell(channel, "1", "Bill G-00001 created: Bessie, $100.00", "e1")
            self.tell(channel, "2", "Bill G-00001 updated: Bessie, $101.00", "e2")
            self.tell(channel, "3", "Digest: 2\nInvoice G-00002: $200.00\nBill G-00003: $300.00", "e3", "e4")

    def tell(self, channel: str, ts: str, text: str, *events: str) -> None:
        key = f"{channel} {ts}"
        payload = {"event_type": "x", "event_payload": {"delivery_id": key}}
        self.posts.append(Post(channel, ts, float(ts), None, text, [], payload, ""))
        for event in events:
            row = {"id": f"{channel} {event}", "event": event, "state": "delivered", "reason": "", "channel": channel}
            self.deliveries.append({**row, "message": key, "ts": ts, "attempts": 1})

    def change(self, index: int, **fields: Any) -> None:
        self.posts[index] = dataclasses.replace(self.posts[index], **fields)

    def judge(self) -> Findings:
        stored = {"events": self.events, "deliveries": self.deliveries, "attempts": {"found": 2}}
        return oracle.judge(self.sent, self.posts, stored, self.audit, self.frozen)


def test_the_oracle_finds_nothing_where_all_is_well() -> None:
    account = Account()
    account.audit.append({"action": "delivery.absent", "delivery": "d", "at": "1", "reason": ""})
    assert account.judge() == Findings(found=2, absent=1, digests=2)


def test_the_oracle_sees_what_is_lost() -> None:
    account = Account()
    account.change(1, text="Bill G-00001 updated: Bessie, $100.00")  # its last amount was never told
    account.events[3] |= {"state": "failed", "reason": "why"}
    account.deliveries[0]["state"] = "parked"
    del account.posts[5]  # the whole digest of the other channel
    found = account.judge()
    assert [case.split()[:2] for case in found.lost] == [
        [HERE, "G-00001"],
        [EVERYTHING, "G-00002"],
        [EVERYTHING, "G-00003"],
        ["event", "e4"],
        ["delivery", HERE],
    ]
    assert found.untrue == [
        f"{EVERYTHING} lacks a delivered message: {EVERYTHING} e3",
        f"{EVERYTHING} lacks a delivered message: {EVERYTHING} e4",
    ]


def test_the_oracle_sees_what_is_doubled_and_whether_the_audit_trail_says_so() -> None:
    account = Account()
    account.posts.append(dataclasses.replace(account.posts[0], ts="9"))
    account.posts.append(dataclasses.replace(account.posts[3], ts="9"))
    account.audit.append({"action": "delivery.repeated", "delivery": f"{HERE} e1", "at": "1", "reason": "posted_again"})
    account.tell(HERE, "4", "Invoice G-00002 created: Amy, $200.00", "e5")
    assert [case.split()[:2] for case in account.judge().doubled] == [[HERE, "2"], [EVERYTHING, "2"], [HERE, "G-00002"]]
    account.frozen.append((0.0, 1.0))
    found = account.judge()
    assert found.doubled_frozen == [f"{HERE} 2 times {HERE} 1"]
    assert [case.split()[:2] for case in found.doubled] == [[EVERYTHING, "2"], [HERE, "G-00002"]]
    account.posts.append(dataclasses.replace(account.posts[0], ts="10", metadata=None))
    assert account.judge().untrue == [f"{HERE} holds a message that no delivery knows: "]


def test_the_oracle_sees_what_is_out_of_order() -> None:
    account = Account()
    account.change(0, ts="8")
    account.deliveries[0]["ts"] = "8"
    assert account.judge().disordered == [f"{HERE} 8: event e1 after e4"]
    account.events[0]["attempts"] = 1
    found = account.judge()
    assert (found.disordered, found.late) == ([], 1)
