"""The benchmarks (`make bench`): ratios within one run, on one real stack with its stand-ins.

Figures of different runs or machines do not compare; each row stands against something measured, or promised, here.
"""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.stack import REALM, Stack, acme, bill, wait_for

CHANNEL = "C0AP00001"
SPACING = 1.05
Row = tuple[str, str, str, str]


def new_bills(stack: Stack, count: int, prefix: str) -> list[tuple[str, str, str]]:
    rows = [stack.intuit.put(REALM, "Bill", bill(f"{prefix}-{number}")) for number in range(count)]
    return [("Bill", row["Id"], "created") for row in rows]


def memory(stack: Stack) -> Row:
    """The idle stack's proportional set size."""
    total = 0
    for pid in stack.pids(""):
        found = re.search(r"^Pss:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
        total += int(found[1]) if found else 0
    return "memory of the idle stack", f"{total / 1024:.0f} MiB", "350 MiB", f"{total / 1024 / 350:.2f} (goal < 1)"


def latency(stack: Stack) -> Row:
    """From the webhook's first byte to the call at Slack, on an idle stack."""
    seconds = []
    for number in range(10):
        (change,) = new_bills(stack, 1, f"L{number}")
        seen = len(stack.posts())
        began = time.time()
        stack.notify(change)
        wait_for(lambda seen=seen: len(stack.posts()) > seen, what="the post")
        seconds.append(stack.posts()[-1].at - began)
        time.sleep(SPACING)
    middle, worst = statistics.median(seconds), max(seconds)
    return (
        "idle latency, webhook in to Slack call out",
        f"{middle * 1000:.0f} ms",
        "",
        f"worst {worst / middle:.1f} of the median",
    )


def one_channel(stack: Stack) -> Row:
    """Twenty messages to one channel against the spacing times nineteen."""
    seen = len(stack.posts())
    stack.notify(*new_bills(stack, 20, "P"))
    wait_for(lambda: len(stack.posts()) >= seen + 20, 60, what="twenty posts")
    posts = stack.posts()[seen:]
    took, least = posts[-1].at - posts[0].at, SPACING * 19
    return "one channel, 20 messages", f"{took:.1f} s", f"{least:.1f} s", f"{least / took:.3f} (goal ≥ 0.98)"


def calls_and_events(stack: Stack) -> Iterator[Row]:
    """A thousand changed records in twenty webhooks: QuickBooks calls, and events a second from stored to routed."""
    changes = new_bills(stack, 1000, "K")
    before = stack.status()["events"]["routed"]
    stack.intuit.clear()
    began = time.monotonic()
    for start in range(0, 1000, 50):
        stack.notify(*changes[start : start + 50])
    answered = time.monotonic() - began
    wait_for(lambda: stack.status()["events"]["routed"] >= before + 1000, 120, what="a thousand routed events")
    routed = time.monotonic() - began
    calls = stack.intuit.count("/v3/company/")
    yield "QuickBooks calls for 1,000 changed records", str(calls), "1000", f"{calls / 1000:.3f} (goal ≤ 0.04)"
    yield (
        "1,000 events stored and answered, then routed",
        f"{answered:.1f} s",
        f"{routed:.1f} s",
        f"{1000 / routed:.0f}/s",
    )


def main() -> None:
    stack = Stack().start()
    try:
        stack.slack.add_channel(CHANNEL, "ap", is_member=True)
        route = {"name": "Bills", "channel": CHANNEL, "events": ["bill.*"], "digest_after": 100}
        stack.configure(acme(stack, route))
        time.sleep(5)
        plain: list[Callable[[Stack], Row]] = [memory, latency, one_channel]
        rows = [measure(stack) for measure in plain]
        rows += calls_and_events(stack)
    finally:
        stack.close()
    width = max(len(row[0]) for row in rows)
    print(f"{'':{width}}  {'measured':>10}  {'against':>10}  ratio")
    for name, measured, against, ratio in rows:
        print(f"{name:{width}}  {measured:>10}  {against:>10}  {ratio}")


if __name__ == "__main__":
    main()
