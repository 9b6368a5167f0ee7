"""The oracle: what was told to the books, what stands in Slack, what the database believes, and where they differ."""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sinks.slack.standin import Post
from tests.gauntlet.happenings import LEDGER, Happening

NUMBER = re.compile(r"[GDF]-\d{5}")
#: Why an event may end without a message of its own.
TOLD_BEFORE = ("duplicate: this state", "a newer state of the record", "nothing that a reader sees")
#: Their records are judged by what the other side holds.
IN_STEP = (LEDGER, "acme-salesforce")
WITH_WEBHOOKS = ("quickbooks_online", "freshbooks")
#: What begins and what ends a time in which a connection waits for a person.
BLOCKS = ("connection.needs_reauthorization", "connection.misconfigured")
FREES = ("connection.ok", "credential.stored")

#: What a process had begun before it froze is over so many seconds after it has thawed.
THAWED = 10.0

Row = Mapping[str, Any]


class Case(NamedTuple):
    """Something that must not be; `system` is whose."""

    system: str
    text: str


@dataclasses.dataclass(slots=True)
class Findings:
    """What the oracle found; each list names the cases."""

    lost: list[Case] = dataclasses.field(default_factory=list)
    doubled: list[Case] = dataclasses.field(default_factory=list)
    #: Doubled by a process that was frozen past its lease, and told as such in the audit trail.
    doubled_frozen: list[Case] = dataclasses.field(default_factory=list)
    disordered: list[Case] = dataclasses.field(default_factory=list)
    #: The database and Slack disagree.
    untrue: list[Case] = dataclasses.field(default_factory=list)
    late: int = 0
    repeated: int = 0
    found: int = 0
    absent: int = 0
    digests: int = 0
    #: Events of systems with webhooks that none told of, found by reading and told.
    swept: int = 0
    #: System -> messages with something of it.
    messages: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)


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
    findings.swept = sum(
        row["origin"] == "poll" and row["state"] == "routed" and row["system"] in WITH_WEBHOOKS
        for row in stored["events"]
    )
    posted = [row for row in stored["deliveries"] if row["sink"] == "slack"]
    written = [row for row in stored["deliveries"] if row["sink"] != "slack" and row["state"] == "delivered"]
    told = {(row["system"], row["message"]) for row in posted if row["state"] == "delivered"}
    findings.messages = collections.Counter(system for system, _ in told)
    if written:
        findings.messages["salesforce"] = len(written)
    _by_key(ordered, posted, repeated, frozen, findings)
    _by_text(sent, ordered, findings)
    _by_state(stored, findings)
    _by_order(ordered, stored["events"], posted, blocked_times(audit), findings)
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
        system = rows[0]["system"] if rows else ""
        if not rows:
            findings.untrue.append(Case(system, f"{channel} holds a message that no delivery knows: {key}"))
        if len(each) > 1:
            is_told = any(row["id"] in repeated for row in rows)
            is_frozen = any(begin <= post.at <= end + THAWED for post in each for begin, end in frozen)
            kind = findings.doubled_frozen if is_told and is_frozen else findings.doubled
            kind.append(Case(system, f"{channel} {len(each)} times {key}"))
    stamps = {(post.channel, post.ts) for post in posts}
    for row in deliveries:
        if row["state"] == "delivered" and (row["channel"], row["ts"]) not in stamps:
            findings.untrue.append(Case(row["system"], f"{row['channel']} lacks a delivered message: {row['id']}"))


def _by_text(sent: Sequence[Happening], posts: Sequence[Post], findings: Findings) -> None:
    """Seen from outside: each record is told in its channels, at last as it is at last, and no line twice."""
    told: dict[tuple[str, str], list[str]] = collections.defaultdict(list)
    for post in first_copies(posts):
        for line in lines_of(post):
            told[post.channel, NUMBER.findall(line)[0]].append(line)
    records: dict[str, list[Happening]] = collections.defaultdict(list)
    for happening in sorted(sent, key=lambda one: one.operation != "created"):
        records[happening.number].append(happening)
    for number, each in records.items():
        last = each[-1]
        states = [f"{one.operation} {one.amount}" for one in each]
        for channel in last.channels:
            lines = told[channel, number]
            if not lines or any(word not in lines[-1] for word in last.words):
                findings.lost.append(Case(last.system, f"{channel} {number} {states} {lines}"))
            if len(lines) > sum(one.most_lines for one in each):
                findings.doubled.append(Case(last.system, f"{channel} {number} {states} {lines}"))


def _by_state(stored: Mapping[str, Any], findings: Findings) -> None:
    """Nothing is left behind: each event was routed or had nothing new to tell, each delivery was delivered."""
    for row in stored["events"]:
        if row["origin"] not in ("webhook", "poll", "stream"):
            continue
        is_nothing = row["reason"].startswith(TOLD_BEFORE) or row["connection"] in IN_STEP
        is_settled = row["state"] == "routed" or (row["state"] == "ignored" and is_nothing)
        if not is_settled:
            findings.lost.append(Case(row["system"], f"event {row['id']} is {row['state']}: {row['reason']}"))
    for row in stored["deliveries"]:
        if row["state"] != "delivered":
            findings.lost.append(Case(row["system"], f"delivery {row['id']} is {row['state']}: {row['reason']}"))


def blocked_times(audit: Sequence[Row]) -> dict[str, list[tuple[dt.datetime, dt.datetime]]]:
    """Connection -> when it waited for a person, and so held nobody else back."""
    begun: dict[str, dt.datetime] = {}
    found: dict[str, list[tuple[dt.datetime, dt.datetime]]] = collections.defaultdict(list)
    for row in audit:
        slug = row.get("connection", "")
        if row["action"] in BLOCKS:
            begun.setdefault(slug, dt.datetime.fromisoformat(row["at"]))
        elif row["action"] in FREES and slug in begun:
            found[slug].append((begun.pop(slug), dt.datetime.fromisoformat(row["at"])))
    return found


def _has_waited(event: Row, blocked: Mapping[str, Sequence[tuple[dt.datetime, dt.datetime]]]) -> bool:
    """Whether the event waited for its vendor, or for a person to mend its connection."""
    came, settled = (dt.datetime.fromisoformat(event[name]) for name in ("received_at", "state_at"))
    times = blocked.get(event["connection"], ())
    return bool(event["attempts"]) or any(came <= end and settled >= begin for begin, end in times)


def _by_order(
    posts: Sequence[Post],
    inbox: Sequence[Row],
    deliveries: Sequence[Row],
    blocked: Mapping[str, Sequence[tuple[dt.datetime, dt.datetime]]],
    findings: Findings,
) -> None:
    """In each channel events stand in the order of storing; those that waited for their vendor are left out."""
    waited = {row["id"] for row in inbox if _has_waited(row, blocked)}
    systems = {row["event"]: row["system"] for row in deliveries}
    events: dict[str, list[str]] = collections.defaultdict(list)
    for row in deliveries:
        events[row["message"]].append(row["event"])
    newest: dict[str, str] = {}
    for post in first_copies(posts):
        here = sorted(events.get(key_of(post), ()))
        before = newest.get(post.channel, "")
        for event in here:
            if event < before and event in waited:
                findings.late += 1
            elif event < before:
                text = f"{post.channel} {post.ts}: event {event} after {before}"
                findings.disordered.append(Case(systems[event], text))
        newest[post.channel] = max([before, *(event for event in here if event not in waited)])
