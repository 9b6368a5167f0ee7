"""One run: sets the stack up, sends, burns, waits until all is calm, and has the oracle judge."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

from connector.kernel.standin import StandIn
from tests.gauntlet import oracle, traffic
from tests.gauntlet.faults import Fault, Saboteur, SecondHost, schedule
from tests.gauntlet.report import Options, Result
from tests.postgres import Server
from tests.stack import ROOT, Stack, acme
from tests.standins import new_slack

LEASE, TIMEOUT, SWEEP = 7, 3, 2
#: So many looks in a row must find nothing moving, so many seconds apart.
CALM_LOOKS, CALM_SECONDS = 3, 1.5


class Watch:
    """Notes when a stand-in's violations came in."""

    def __init__(self, *standins: StandIn) -> None:
        self.seen: list[tuple[float, str]] = []
        self._standins = standins
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        counts = [0] * len(self._standins)
        while not self._stopping.wait(0.1):
            for number, standin in enumerate(self._standins):
                fresh = list(standin.violations[counts[number] :])
                counts[number] += len(fresh)
                self.seen += [(time.time(), text) for text in fresh]

    def stop(self) -> None:
        self._stopping.wait(0.3)
        self._stopping.set()
        self._thread.join()


def run(options: Options, server: Server | None = None) -> Result:
    """Runs the gauntlet on a stack of its own, on the database that DATABASE_URL names (else on SQLite)."""
    slack = new_slack(cut_after_rate=0.05, seed=options.seed, pause_grace=0.5)
    stack = Stack(
        slack=slack,
        DELIVERY_LEASE_SECONDS=str(LEASE),
        HTTP_TIMEOUT_SECONDS=str(TIMEOUT),
        SWEEP_SECONDS=str(SWEEP),
        RETRY_BASE_SECONDS="0.5",
        RETRY_CAP_SECONDS="8",
    )
    second = SecondHost(stack) if options.hosts > 1 else None
    try:
        with _running(stack, second, options):
            return _run(stack, options, second, server)
    finally:
        if options.log:
            options.log.parent.mkdir(parents=True, exist_ok=True)
            options.log.write_bytes(b"".join(path.read_bytes() for path in sorted(stack.var.glob("*.log"))))
        stack.close()


@contextlib.contextmanager
def _running(stack: Stack, second: SecondHost | None, options: Options) -> Iterator[None]:
    for number in range(options.channels):
        stack.slack.add_channel(traffic.CHANNEL.format(number), f"gauntlet-{number}", is_member=True)
    stack.slack.add_channel(traffic.EVERYTHING, "gauntlet-all", is_member=True)
    stack.start()
    bands = (
        {
            "name": f"Band {number}",
            "channel": traffic.CHANNEL.format(number),
            "events": ["bill.*", "invoice.*"],
            "where": {"min_amount": str(1000 * number), "max_amount": str(1000 * number + 999)},
            "digest_after": 0,
        }
        for number in range(options.channels)
    )
    everything = {"name": "Everything", "channel": traffic.EVERYTHING, "events": ["*"], "digest_after": 10}
    stack.configure(acme(stack, *bands, everything))
    if second:
        second.start()
    try:
        yield
    finally:
        if second:
            second.stop()


def _run(stack: Stack, options: Options, second: SecondHost | None, server: Server | None) -> Result:
    is_postgres = stack.env.get("DATABASE_URL", "").startswith("postgres")
    plan = schedule(
        options.seed, options.faults, options.length, lease=LEASE, hosts=options.hosts, postgres=is_postgres
    )
    sendings = traffic.plan(options.seed, options.events, options.channels, options.length)
    books = traffic.Traffic(stack, sendings)
    saboteur = Saboteur(stack, second=second, server=server)
    watch = Watch(stack.slack, stack.intuit)
    books.start()
    try:
        _burn(plan, saboteur, options)
        ended = time.monotonic()
        is_calm = _wait_for_calm(stack, books, saboteur, options)
        seconds = time.monotonic() - ended - CALM_LOOKS * CALM_SECONDS if is_calm else None
    finally:
        saboteur.make_peace()
        books.stop()
        watch.stop()
        saboteur.stop()
    return _result(stack, options, books, saboteur, watch, seconds)


def _burn(plan: list[Fault], saboteur: Saboteur, options: Options) -> None:
    ends = time.monotonic() + options.length
    for fault in plan:
        _wait_until(ends - options.length + fault.at, saboteur)
        is_done = saboteur.act(fault)
        options.say(f"{fault.at:7.2f} s  {fault.name} {fault.seconds or ''}{'' if is_done else ' (nothing to hit)'}")

    _wait_until(ends, saboteur)


def _wait_until(moment: float, saboteur: Saboteur) -> None:
    while (left := moment - time.monotonic()) > 0:
        time.sleep(min(left, 0.5))
        saboteur.tend()


def _wait_for_calm(stack: Stack, books: traffic.Traffic, saboteur: Saboteur, options: Options) -> bool:
    """Until nothing moves, waits, is sent or parked, several looks in a row; False when that takes too long."""
    saboteur.make_peace()
    ends = time.monotonic() + options.patience
    quiet = 0
    while quiet < CALM_LOOKS and time.monotonic() < ends:
        saboteur.tend()
        time.sleep(CALM_SECONDS)
        seen = stack.manage("status", "--json", status=None)
        if seen.returncode:
            continue
        counts = json.loads(seen.stdout)
        events, deliveries = counts["events"], counts["deliveries"]
        left = sum(events[state] for state in ("received", "fetched", "mapped"))
        left += sum(deliveries[state] for state in ("waiting", "sending", "parked"))
        options.say(f"events {events}, deliveries {deliveries}")
        quiet = quiet + 1 if books.is_over and not left else 0
    return quiet >= CALM_LOOKS


def _result(
    stack: Stack, options: Options, books: traffic.Traffic, saboteur: Saboteur, watch: Watch, seconds: float | None
) -> Result:
    audit = [json.loads(line) for line in stack.manage("audit", "export").stdout.splitlines()]
    notes: dict[bool, list[str]] = {True: [], False: []}
    for at, text in watch.seen:
        notes[saboteur.explains(at)].append(text)
    return Result(
        options=options,
        database="PostgreSQL" if stack.env.get("DATABASE_URL", "").startswith("postgres") else "SQLite",
        happened=saboteur.done,
        missed=saboteur.missed,
        findings=oracle.judge(books.sent, stack.posts(), _stored(stack), audit, saboteur.frozen),
        refused=books.refused,
        slowest=books.slowest,
        seconds_to_calm=seconds,
        is_audit_proven=stack.manage("audit", "verify", status=None).returncode == 0,
        explained=notes[True],
        violations=notes[False],
    )


def _stored(stack: Stack) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "tests.gauntlet.oracle"],
        cwd=ROOT,
        env={**stack.env, "DJANGO_SETTINGS_MODULE": "connector.settings"},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return json.loads(done.stdout)
