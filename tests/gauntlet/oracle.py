"""The oracle: what was told to the books, what stands in Slack, what the database believes, and where they differ."""

from __future__ import annotations

import collections
import dataclasses
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sinks.slack.standin import Post
from tests.gauntlet.traffic import EVERYTHING, Happening

NUMBER = re.compile(r"G-\d{5}")
#: Why an event may end without a message of its own.
TOLD_BEFORE = ("duplicate: this state", "a newer state of the record", "nothing that a reader sees")

#: What a process had begun before it froze is over so many seconds after it has thawed.
THAWED = 10.0

Row = Mapping[str, Any]


@dataclasses.dataclass(slots=True)
class Findings:
    """What the oracle found; each list names the cases."""

    lost: list[str] = dataclasses.field(default_factory=list)
    doubled: list[str] = dataclasses.field(default_factory=list)
    #: Doubled by a process that was frozen past its lease, and told as such in the audit trail.
    doubled_frozen: list[str] = dataclasses.field(default_factory=list)
    disordered: list[str] = dataclasses.field(default_factory=list)
    #: The database and Slack disagree.
    untrue: list[str] = dataclasses.field(default_factory=list)
    late: int = 0
    repeated: int = 0
    found: int = 0
    absent: int = 0
    digests: int = 0


def key_of(post: Post) -> str:
    """The message's key, from its metadata."""
    return str((post.metadata or {}).get("event_payload", {}).get("delivery_id", ""))


def lines_of(post: Post) -> list[str]:
    """The lines of a post that name a record; the first of a single message, every one of a digest."""
    named = [line for line in post.text.splitlines() if NUMBER.search(line)]
    return named if post.text.startswith("Digest") else named[:1]


def first_copies(posts: Iterable[Post]) -> Iterator[Post]:
    """Each message once; further copies are counted by their key."""
    seen = set()
    for post in posts:
        name = (post.channel, key_of(post))
        if name not in seen:
            seen.add(name)
            yield post


def judge(
    sent: Sequence[Happening],
    posts: Sequence[Post],
    stored: Mapping[str, Any],
    audit: Sequence[Row],
    frozen: Sequence[tuple[float, float]] = (),
) -> Findings:
    """Compares the four accounts. `frozen` is when workers were (epoch seconds)."""
    findings = Findings()
    ordered = sorted(posts, key=lambda post: post.ts)
    findings.digests = sum(post.text.startswith("Digest") for post in ordered)
    repeated = {row["delivery"] for row in audit if row["action"] == "delivery.repeated"}
    findings.repeated = len(repeated)
    findings.absent = len({(row["delivery"], row["at"]) for row in audit if row["action"] == "delivery.absent"})
    findings.found = stored["attempts"].get("found", 0)
    _by_key(ordered, stored["deliveries"], repeated, frozen, findings)
    _by_text(sent, ordered, findings)
    _by_state(stored, findings)
    _by_order(ordered, stored, findings)
    return findings


def _by_key(
    posts: Sequence[Post],
    deliveries: Sequence[Row],
    repeated: set[str],
    frozen: Sequence[tuple[float, float]],
    findings: Findings,
) -> None:
    """Every message that the database calls posted stands in Slack, once, and nothing else does."""
    copies: dict[tuple[str, str], list[Post]] = collections.defaultdict(list)
    for post in posts:
        copies[post.channel, key_of(post)].append(post)
    known: dict[tuple[str, str], list[Row]] = collections.defaultdict(list)
    for row in deliveries:
        known[row["channel"], row["message"]].append(row)
    for (channel, key), each in copies.items():
        rows = known.get((channel, key), [])
        if not rows:
            findings.untrue.append(f"{channel} holds a message that no delivery knows: {key}")
        if len(each) > 1:
            is_told = any(row["id"] in repeated for row in rows)
            is_frozen = any(begin <= post.at <= end + THAWED for post in each for begin, end in frozen)
            kind = findings.doubled_frozen if is_told and is_frozen else findings.doubled
            kind.append(f"{channel} {len(each)} times {key}")
    stamps = {(post.channel, post.ts) for post in posts}
    for row in deliveries:
        if row["state"] == "delivered" and (row["channel"], row["ts"]) not in stamps:
            findings.untrue.append(f"{row['channel']} lacks a delivered message: {row['id']}")


def _by_text(sent: Sequence[Happening], posts: Sequence[Post], findings: Findings) -> None:
    """Seen from outside: each record is told in its channels, at last with its last amount, and no line twice."""
    told: dict[tuple[str, str], list[str]] = collections.defaultdict(list)
    for post in first_copies(posts):
        for line in lines_of(post):
            told[post.channel, NUMBER.findall(line)[0]].append(line)
    amounts: dict[str, list[int]] = collections.defaultdict(list)
    channels = {}
    for happening in sorted(sent, key=lambda one: one.operation):
        amounts[happening.number].append(happening.amount)
        channels[happening.number] = happening.channel
    for number, states in amounts.items():
        for channel in (channels[number], EVERYTHING):
            lines = told[channel, number]
            if not lines or f"${states[-1]:,}.00" not in lines[-1]:
                findings.lost.append(f"{channel} {number} {states} {lines}")
            if len(lines) > len(states):
                findings.doubled.append(f"{channel} {number} {states} {lines}")


def _by_state(stored: Mapping[str, Any], findings: Findings) -> None:
    """Nothing is left behind: each event was routed or had nothing new to tell, each delivery was delivered."""
    for row in stored["events"]:
        is_settled = row["state"] == "routed" or (row["state"] == "ignored" and row["reason"].startswith(TOLD_BEFORE))
        if not is_settled:
            findings.lost.append(f"event {row['id']} is {row['state']}: {row['reason']}")
    for row in stored["deliveries"]:
        if row["state"] != "delivered":
            findings.lost.append(f"delivery {row['id']} is {row['state']}: {row['reason']}")


def _by_order(posts: Sequence[Post], stored: Mapping[str, Any], findings: Findings) -> None:
    """In each channel events stand in the order of storing; those that waited for their vendor are left out."""
    waited = {row["id"] for row in stored["events"] if row["attempts"]}
    events: dict[str, list[str]] = collections.defaultdict(list)
    for row in stored["deliveries"]:
        events[row["message"]].append(row["event"])
    newest: dict[str, str] = {}
    for post in first_copies(posts):
        here = sorted(events.get(key_of(post), ()))
        before = newest.get(post.channel, "")
        for event in here:
            if event < before and event in waited:
                findings.late += 1
            elif event < before:
                findings.disordered.append(f"{post.channel} {post.ts}: event {event} after {before}")
        newest[post.channel] = max([before, *(event for event in here if event not in waited)])


def dump() -> None:
    """Writes what the database holds to standard output; reads only. Runs in a process of its own."""
    import django

    django.setup()
    from django.db.models import Count

    from connector.models import Attempt, Delivery, InboxEvent

    deliveries = Delivery.objects.select_related("mailbox", "message").order_by("event_id")
    json.dump(
        {
            "events": [
                {name: str(value) if name == "id" else value for name, value in row.items()}
                for row in InboxEvent.objects.filter(origin__in=("webhook", "poll"))
                .order_by("pk")
                .values("id", "state", "reason", "attempts", "origin")
            ],
            "deliveries": [
                {
                    "id": str(row.pk), "event": str(row.event_id), "state": row.state, "reason": row.reason,
                    "channel": row.mailbox.target, "message": str(row.message_id),
                    "ts": row.message.ts if row.message else "", "attempts": row.attempts,
                }
                for row in deliveries
            ],
            "attempts": dict(Attempt.objects.order_by().values_list("outcome").annotate(Count("pk"))),
        },
        sys.stdout,
    )  # fmt: skip


if __name__ == "__main__":
    dump()
