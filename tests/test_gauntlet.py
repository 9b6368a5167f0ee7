"""The gauntlet in short (the long form is `make gauntlet`), and proof that its oracle sees what it is there to see."""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import Any

import pytest

from sinks.slack.standin import Post
from tests.gauntlet import oracle
from tests.gauntlet.happenings import EVERYTHING, LATER, PAYMENTS, SYSTEMS, TOLD, Happening, plan
from tests.gauntlet.oracle import Findings
from tests.gauntlet.report import Options, table
from tests.gauntlet.run import run
from tests.gauntlet.schedule import CALLS, menu, schedule

HERE = "C0GAUNTLET00"


@pytest.mark.slow
@pytest.mark.timeout(420)
def test_under_fire_nothing_is_lost_and_nothing_told_twice() -> None:
    result = run(Options(events=72, faults=14, seed=1002, channels=4, seconds=14.0, patience=240.0))
    print(table(result))
    assert result.problems == []
    assert sum(result.happened.values()) >= 10
    assert {system for system, count in result.findings.messages.items() if count >= 18} == set(SYSTEMS)


def test_a_seed_is_a_schedule() -> None:
    first, again, other = (schedule(seed, 200, 600.0, lease=7) for seed in (1, 1, 2))
    assert first == again != other
    assert [fault.at for fault in first] == sorted(fault.at for fault in first)
    assert {(fault.kind, fault.target) for fault in first} == set(menu())
    assert {fault.call for fault in first if fault.kind == "quickbooks_desktop"} == set(range(1, CALLS + 1))
    online = schedule(1, 200, 600.0, lease=7, systems=("quickbooks_online",))
    assert {fault.kind for fault in online} == {"kill", "flush", "freeze", "slack", "quickbooks_online"}
    assert {fault.kind for fault in schedule(1, 200, 600.0, lease=7, kinds=("kill", "slack"))} == {"kill", "slack"}


@pytest.mark.parametrize("system", TOLD)
def test_a_seed_is_what_happens(system: str) -> None:
    assert plan(system, 1, 50, 3, 20.0) == plan(system, 1, 50, 3, 20.0) != plan(system, 2, 50, 3, 20.0)
    happened = [happening for batch in plan(system, 1, 500, 3, 200.0) for happening in batch.happenings]
    made = [one for one in happened if one.operation == "created"]
    second = [one for one in happened if one.operation != "created"]
    assert len(happened) == 500 and len(second) > 50
    assert [one.record for one in made] == list(range(1, len(made) + 1))
    assert len({one.record for one in second}) == len(second)
    kinds = {(one.noun, one.operation) for one in second}
    assert kinds == {(noun, operation) for noun, each in LATER[system].items() for operation in each}
    paid = {(one.record, one.payer) for one in second if one.payer}
    assert paid == {(one.pays, one.record) for one in made if one.pays}
    assert bool(paid) is any(of == system for of, _ in PAYMENTS)


G, D, F = TOLD


class Account:
    """Four records as they should be told: the first made and changed, others folded into a digest, a vendor gone."""

    def __init__(self) -> None:
        self.sent = [
            Happening(G, 1, "bill", "created", 100),
            Happening(G, 1, "bill", "updated", 101),
            Happening(D, 2, "invoice", "created", 200),
            Happening(F, 3, "bill", "created", 300),
            Happening(D, 4, "vendor", "created", 400),
            Happening(D, 4, "vendor", "deleted", 400),
        ]
        self.posts: list[Post] = []
        self.events: list[dict[str, Any]] = []
        self.deliveries: list[dict[str, Any]] = []
        self.audit: list[dict[str, Any]] = []
        self.frozen: list[tuple[float, float]] = []
        for number, system in enumerate((G, G, D, F, D, D), start=1):
            self.events.append(
                {
                    "id": f"e{number}", "system": system, "connection": f"acme-{system}", "origin": "webhook",
                    "state": "routed", "reason": "", "attempts": 0,
                    "received_at": "2026-11-20T10:00:00+00:00", "state_at": "2026-11-20T10:00:05+00:00",
                }
            )  # fmt: skip
        for channel in (HERE, EVERYTHING):
            self.tell(channel, "1", "Bill G-00001 created: Bessie, $100.00", "e1")
            self.tell(channel, "2", "Bill G-00001 updated: Bessie, $101.00", "e2")
            self.tell(channel, "3", "Digest: 2\nInvoice D-00002: $200.00\nBill F-00003: $300.00", "e3", "e4")
        self.tell(EVERYTHING, "4", "Vendor created: D-00004 Supply 400", "e5")
        self.tell(EVERYTHING, "5", "Vendor deleted: D-00004 Supply 400", "e6")

    def tell(self, channel: str, ts: str, text: str, *events: str) -> None:
        key = f"{channel} {ts}"
        payload = {"event_type": "x", "event_payload": {"delivery_id": key}}
        self.posts.append(Post(channel, ts, float(ts), None, text, [], payload, ""))
        systems = {row["id"]: row["system"] for row in self.events}
        for event in events:
            row = {"id": f"{channel} {event}", "event": event, "state": "delivered", "reason": "", "channel": channel}
            row["sink"] = "slack"
            self.deliveries.append({**row, "system": systems.get(event, G), "message": key, "ts": ts, "attempts": 1})

    def change(self, index: int, **fields: Any) -> None:
        self.posts[index] = dataclasses.replace(self.posts[index], **fields)

    def judge(self) -> Findings:
        stored = {"events": self.events, "deliveries": self.deliveries, "attempts": {"found": 2}}
        return oracle.judge(self.sent, self.posts, stored, self.audit, self.frozen)


def heads(cases: list[oracle.Case]) -> list[tuple[str, ...]]:
    return [(case.system, *case.text.split()[:2]) for case in cases]


def test_the_oracle_finds_nothing_where_all_is_well() -> None:
    account = Account()
    account.audit.append({"action": "delivery.absent", "delivery": "d", "at": "1", "reason": ""})
    messages = Counter({G: 4, D: 4, F: 2})
    assert account.judge() == Findings(found=2, absent=1, digests=2, messages=messages)


def test_the_oracle_sees_what_is_lost() -> None:
    account = Account()
    account.change(1, text="Bill G-00001 updated: Bessie, $100.00")  # its last amount was never told
    account.change(7, text="Vendor updated: D-00004 Supply 400")  # nor that this one is gone
    account.events[3] |= {"state": "failed", "reason": "why"}
    account.deliveries[0]["state"] = "parked"
    del account.posts[5]  # the whole digest of the other channel
    found = account.judge()
    assert heads(found.lost) == [
        (G, HERE, "G-00001"),
        (D, EVERYTHING, "D-00002"),
        (F, EVERYTHING, "F-00003"),
        (D, EVERYTHING, "D-00004"),
        (F, "event", "e4"),
        (G, "delivery", HERE),
    ]
    assert [case.text for case in found.untrue] == [
        f"{EVERYTHING} lacks a delivered message: {EVERYTHING} e3",
        f"{EVERYTHING} lacks a delivered message: {EVERYTHING} e4",
    ]


def test_the_oracle_sees_what_is_doubled_and_whether_the_audit_trail_says_so() -> None:
    account = Account()
    account.posts.append(dataclasses.replace(account.posts[0], ts="9"))
    account.posts.append(dataclasses.replace(account.posts[3], ts="9"))
    account.audit.append({"action": "delivery.repeated", "delivery": f"{HERE} e1", "at": "1", "reason": "posted_again"})
    account.tell(HERE, "6", "Invoice D-00002 created: Amy, $200.00", "e7")
    assert heads(account.judge().doubled) == [(G, HERE, "2"), (G, EVERYTHING, "2"), (D, HERE, "D-00002")]
    account.frozen.append((0.0, 1.0))
    found = account.judge()
    assert [case.text for case in found.doubled_frozen] == [f"{HERE} 2 times {HERE} 1"]
    assert heads(found.doubled) == [(G, EVERYTHING, "2"), (D, HERE, "D-00002")]
    account.posts.append(dataclasses.replace(account.posts[0], ts="10", metadata=None))
    assert [case.text for case in account.judge().untrue] == [f"{HERE} holds a message that no delivery knows: "]


def test_the_oracle_sees_what_is_out_of_order() -> None:
    account = Account()
    account.change(0, ts="8")
    account.deliveries[0]["ts"] = "8"
    assert account.judge().disordered == [(G, f"{HERE} 8: event e1 after e4")]
    account.events[0]["attempts"] = 1
    found = account.judge()
    assert (found.disordered, found.late) == ([], 1)


@pytest.mark.parametrize(("freed", "late"), [("2026-11-20T10:00:03+00:00", 1), ("2026-11-20T09:59:59+00:00", 0)])
def test_an_event_may_come_late_whose_connection_waited_for_a_person(freed: str, late: int) -> None:
    account = Account()
    account.change(0, ts="8")
    account.deliveries[0]["ts"] = "8"
    blocked = {"action": "connection.needs_reauthorization", "connection": f"acme-{G}", "at": "2026-11-20T09:59:00Z"}
    account.audit += [blocked, {"action": "credential.stored", "connection": f"acme-{G}", "at": freed}]
    found = account.judge()
    assert (found.late, len(found.disordered)) == (late, 1 - late)
