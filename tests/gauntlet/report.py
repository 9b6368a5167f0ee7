"""What a run is asked to do, what it came to, and the table that tells it."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.gauntlet.happenings import SYSTEMS
from tests.gauntlet.oracle import Case, Findings


@dataclasses.dataclass(frozen=True, slots=True)
class Options:
    """`seconds` is how long the fire lasts (0: as the faults need it), `patience` how long the calm may take."""

    events: int = 2000
    faults: int = 200
    seed: int = 1
    hosts: int = 1
    channels: int = 6
    seconds: float = 0.0
    patience: float = 900.0
    systems: tuple[str, ...] = SYSTEMS
    #: The kinds of faults; all when empty.
    kinds: tuple[str, ...] = ()
    say: Callable[[str], None] = lambda text: None
    #: Where the lines of the processes are kept.
    log: Path | None = None

    @property
    def length(self) -> float:
        return self.seconds or max(20.0, self.faults * 3.0, self.events / (0.6 * self.channels))

    @property
    def shares(self) -> dict[str, int]:
        """How many of the events happen in each system."""
        share, rest = divmod(self.events, len(self.systems))
        return {system: share + (number < rest) for number, system in enumerate(self.systems)}


@dataclasses.dataclass(slots=True)
class Result:
    """What a run came to."""

    options: Options
    database: str
    happened: Mapping[str, int]
    missed: Mapping[str, int]
    findings: Findings
    refused: Mapping[int, int]
    slowest: float
    seconds_to_calm: float | None
    is_audit_proven: bool
    #: What each system's traffic has to say.
    notes: list[tuple[str, str]]
    #: What the stand-ins noted: what the fire explains, and what it does not.
    explained: list[Case]
    violations: list[Case]

    @property
    def problems(self) -> list[str]:
        """Everything that must not be, in words; empty for a good run."""
        found = self.findings
        lists = {
            "lost": found.lost,
            "doubled": found.doubled,
            "out of order": found.disordered,
            "untrue": found.untrue,
            "violation": self.violations,
        }
        problems = [f"{word}: {case.system} {case.text}" for word, cases in lists.items() for case in cases]
        if self.seconds_to_calm is None:
            problems.append(f"no calm within {self.options.patience:g} s")
        if not self.is_audit_proven:
            problems.append("the audit trail does not prove itself")
        return problems


def table(result: Result) -> str:
    """The summary, for people."""
    found, options = result.findings, result.options
    calm = "never" if result.seconds_to_calm is None else f"{max(0.0, result.seconds_to_calm):.1f}"
    answers = ", ".join(f"{count} times {status or 'none'}" for status, count in sorted(result.refused.items()))
    rows = [
        ("seed", options.seed),
        ("database, worker hosts", f"{result.database}, {options.hosts}"),
        ("events, seconds of fire", f"{options.events}, {options.length:.0f}"),
        ("webhooks not answered with 200 at once", answers or "none"),
        ("slowest 200 (s)", f"{result.slowest:.2f}"),
        *result.notes,
        ("told by no webhook, found by reading", found.swept),
        ("lost", len(found.lost)),
        ("doubled", len(found.doubled)),
        ("doubled by a frozen process, and told", len(found.doubled_frozen)),
        ("order breaks", len(found.disordered)),
        ("later because their vendor failed", found.late),
        ("doubts settled: found, absent", f"{found.found}, {found.absent}"),
        ("digests", found.digests),
        ("pace and limits broken: explained, not", f"{len(result.explained)}, {len(result.violations)}"),
        ("audit trail proven", "yes" if result.is_audit_proven else "NO"),
        ("seconds to calm", calm),
    ]
    width = max(len(name) for name, _ in rows)
    lines = [f"{name:{width}}  {value}" for name, value in rows]
    return "\n".join([*lines, "", *_by_system(result), "", *_by_fault(result)])


def _by_system(result: Result) -> list[str]:
    found = result.findings
    lines = [f"{'system':20}{'events':>10}{'messages':>10}{'lost':>10}{'doubled':>10}{'order':>10}"]
    for system, events in result.options.shares.items():
        lists = (found.lost, found.doubled, found.disordered)
        counts = [events, found.messages[system], *(sum(case.system == system for case in cases) for cases in lists)]
        lines.append(f"{system:20}{''.join(f'{count:>10}' for count in counts)}")
    return lines


def _by_fault(result: Result) -> list[str]:
    kinds: dict[str, list[str]] = collections.defaultdict(list)
    for name, count in sorted(result.happened.items()):
        kind, _, target = name.partition(" ")
        kinds[kind].append(f"{target} {count}")
    missed = sum(result.missed.values())
    lines = [f"{sum(result.happened.values())} faults; {missed} more found nothing to hit"]
    return [*lines, *(f"{kind:20}  {', '.join(each)}" for kind, each in sorted(kinds.items()))]
