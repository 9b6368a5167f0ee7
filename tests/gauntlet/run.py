"""One run: sets the stack up, sends, burns, waits until all is calm, and has the oracle judge."""

from __future__ import annotations

import collections
import contextlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from tests.gauntlet import oracle
from tests.gauntlet.faults import Saboteur, SecondHost
from tests.gauntlet.happenings import CHANNEL, EVERYTHING, plan
from tests.gauntlet.oracle import Case
from tests.gauntlet.report import Options, Result
from tests.gauntlet.schedule import Fault, schedule
from tests.gauntlet.traffic import Traffic
from tests.gauntlet.traffic_desktop import DesktopTraffic
from tests.gauntlet.traffic_freshbooks import FreshBooksTraffic
from tests.gauntlet.traffic_online import OnlineTraffic
from tests.gauntlet.traffic_salesforce import SalesforceTraffic
from tests.gauntlet.traffic_salesforce import plan as acts
from tests.postgres import Server
from tests.stack import ROOT, Stack, acme
from tests.standins import new_slack

LEASE, TIMEOUT, SWEEP = 7, 3, 2
#: So many looks in a row must find nothing moving, so many seconds apart.
CALM_LOOKS, CALM_SECONDS = 3, 1.5


class Judged(Protocol):
    """Whoever notes what the product did wrong."""

    @property
    def violations(self) -> list[str]: ...


class Watch:
    """Notes when violations came in, and whose they are."""

    def __init__(self, **judges: Judged) -> None:
        self.seen: list[tuple[float, Case]] = []
        self._judges = judges
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        counts = dict.fromkeys(self._judges, 0)
        while not self._stopping.wait(0.1):
            for name, judge in self._judges.items():
                fresh = list(judge.violations[counts[name] :])
                counts[name] += len(fresh)
                self.seen += [(time.time(), Case(name, text)) for text in fresh]

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
    books = _books(stack, options)  # these add to the stack's environment
    second = SecondHost(stack) if options.hosts > 1 else None
    try:
        with _running(stack, books, second, options):
            return _run(stack, books, options, second, server)
    finally:
        if options.log:
            options.log.parent.mkdir(parents=True, exist_ok=True)
            options.log.write_bytes(b"".join(path.read_bytes() for path in sorted(stack.var.glob("*.log"))))
        stack.close()
        for each in books:
            each.close()


def _books(stack: Stack, options: Options) -> list[Traffic]:
    """The books of each system, with all that will happen in them."""
    found: list[Traffic] = []
    for system, events in options.shares.items():
        if system == SalesforceTraffic.system:
            found.append(SalesforceTraffic(stack, acts(options.seed, events, options.length), options.seed))
            continue
        batches = plan(system, options.seed, events, options.channels, options.length)
        if system == OnlineTraffic.system:
            found.append(OnlineTraffic(stack, batches, options.seed))
        elif system == DesktopTraffic.system:
            found.append(DesktopTraffic(stack, batches))
        else:
            found.append(FreshBooksTraffic(stack, batches, options.seed))
    return found


@contextlib.contextmanager
def _running(stack: Stack, books: Sequence[Traffic], second: SecondHost | None, options: Options) -> Iterator[None]:
    for number in range(options.channels):
        stack.slack.add_channel(CHANNEL.format(number), f"gauntlet-{number}", is_member=True)
    stack.slack.add_channel(EVERYTHING, "gauntlet-all", is_member=True)
    stack.start()
    document = acme(stack)
    (organization,) = document["organizations"]
    organization["connections"] = [organization["connections"][1], *(one for each in books for one in each.connections)]
    organization["routes"] = [route for each in books for route in each.routes(options.channels)]
    stack.configure(document)
    for each in books:
        each.settle_in()
    if second:
        second.start()
    try:
        yield
    finally:
        if second:
            second.stop()


def _run(
    stack: Stack, books: Sequence[Traffic], options: Options, second: SecondHost | None, server: Server | None
) -> Result:
    is_postgres = stack.env.get("DATABASE_URL", "").startswith("postgres")
    faults = schedule(
        options.seed,
        options.faults,
        options.length,
        lease=LEASE,
        systems=options.systems,
        kinds=options.kinds,
        hosts=options.hosts,
        postgres=is_postgres,
    )
    saboteur = Saboteur(stack, books, second=second, server=server)
    watch = Watch(slack=stack.slack, intuit=stack.intuit, **{each.system: each for each in books})
    for each in books:
        each.start()
    try:
        _burn(faults, saboteur, options)
        ended = time.monotonic()
        is_calm = _wait_for_calm(stack, books, saboteur, options)
        seconds = time.monotonic() - ended - CALM_LOOKS * CALM_SECONDS if is_calm else None
    finally:
        saboteur.make_peace()
        for each in books:
            each.stop()
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


def _wait_for_calm(stack: Stack, books: Sequence[Traffic], saboteur: Saboteur, options: Options) -> bool:
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
        quiet = quiet + 1 if all(each.is_over for each in books) and not left else 0
    return quiet >= CALM_LOOKS


def _result(
    stack: Stack,
    options: Options,
    books: Sequence[Traffic],
    saboteur: Saboteur,
    watch: Watch,
    seconds: float | None,
) -> Result:
    audit = [json.loads(line) for line in stack.manage("audit", "export").stdout.splitlines()]
    notes: dict[bool, list[Case]] = {True: [], False: []}
    for at, case in watch.seen:
        # A wiped pace and a thawed worker explain much, but nothing that the Web Connector sees.
        notes[saboteur.explains(at, case.text) and case.system != DesktopTraffic.system].append(case)
    sent = [happening for each in books for happening in each.sent]
    findings = oracle.judge(sent, stack.posts(), _stored(stack), audit, saboteur.frozen)
    for each in books:
        each.judge(findings)
    return Result(
        options=options,
        database="PostgreSQL" if stack.env.get("DATABASE_URL", "").startswith("postgres") else "SQLite",
        happened=saboteur.done,
        missed=saboteur.missed,
        findings=findings,
        refused=sum((each.refused for each in books), collections.Counter()),
        slowest=max(each.slowest for each in books),
        seconds_to_calm=seconds,
        is_audit_proven=stack.manage("audit", "verify", status=None).returncode == 0,
        notes=[note for each in books for note in each.notes],
        explained=notes[True],
        violations=notes[False],
    )


def _stored(stack: Stack) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "tests.gauntlet.stored"],
        cwd=ROOT,
        env={**stack.env, "DJANGO_SETTINGS_MODULE": "connector.settings"},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return json.loads(done.stdout)
