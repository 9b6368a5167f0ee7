"""The schedule of faults that a seed makes."""

from __future__ import annotations

import dataclasses
import itertools
import random
from collections.abc import Collection, Mapping

from tests.gauntlet.happenings import SYSTEMS

#: What targets that are workers begin with: they freeze for longer than a lease, others only for a moment.
WORKERS = ("slack", "work")
#: Kind of fault -> target -> its weight in the schedule.
MENU: Mapping[str, Mapping[str, int]] = {
    "kill": {"web": 6, "web child": 4, "slack": 12, "work": 12, "beat": 4, "redis": 10, "tree": 5},
    "flush": {"redis": 10},
    "freeze": {"slack": 8, "work": 6, "web": 3, "beat": 2, "redis": 4},
    "slack": {
        "429": 8, "500": 6, "502 page": 6, "truncated": 6, "slow before": 3, "slow after": 4, "cut before": 4,
        "internal_error": 3, "history 500": 4, "history 429": 4,
    },
}  # fmt: skip
#: System -> what befalls its books alone; the kind of fault is the system's name.
OF_SYSTEM: Mapping[str, Mapping[str, int]] = {
    "quickbooks_online": {
        "503": 6, "429": 6, "429 in XML": 3, "truncated": 4, "slow": 3, "10000": 3, "token expired": 6,
        "token expired, refresh 503": 4, "token expired, refresh cut": 4,
    },
    "quickbooks_desktop": {
        "web killed between calls": 14, "web killed in a call": 10, "answer lost": 4, "answer twice": 4, "stopped": 5,
        "answer cut": 3, "not running": 3, "query fails": 3, "query refused": 2, "stale ticket": 2, "wrong file": 2,
        "not closed": 2,
    },
    "freshbooks": {
        "503": 5, "429": 5, "500": 3, "401": 4, "truncated": 4, "slow": 3, "cut": 3, "token expired": 5,
        "token expired, refresh 503": 4, "token expired, refresh cut": 5, "token expired, refresh lost": 3,
    },
    "salesforce": {
        "503": 4, "502 page": 3, "throttle": 3, "locked row": 4, "truncated": 3, "slow": 3, "token revoked": 4,
        "streams cut": 4, "streams ended": 2, "stream refused": 3, "stream deaf": 3, "record written, answer cut": 6,
        "record written, worker killed": 6, "ledger written, answer cut": 6, "ledger written, listener killed": 4,
    },
}  # fmt: skip
#: The listener runs only where there is something to listen to.
LISTENER = {"kill": {"listen": 8}, "freeze": {"listen": 3}}
SECOND_HOST = {"kill": {"slack 2": 8, "work 2": 6}, "freeze": {"slack 2": 8, "work 2": 4}}
POSTGRES = {"postgres": {"restart": 8, "disconnect": 8}}
#: A quiet update of the Web Connector makes no fewer calls.
CALLS = 24


@dataclasses.dataclass(frozen=True, slots=True)
class Fault:
    """What happens so many seconds after the start.

    `seconds` is how long a freeze lasts, `call` which call of an update a fault of QuickBooks Desktop meets.
    """

    at: float
    kind: str
    target: str
    seconds: float = 0.0
    call: int = 0

    @property
    def name(self) -> str:
        return f"{self.kind} {self.target}"


def menu(systems: Collection[str] = SYSTEMS, *, hosts: int = 1, postgres: bool = False) -> dict[tuple[str, str], int]:
    """(kind, target) -> weight of everything that can happen."""
    menus = [MENU, {system: OF_SYSTEM[system] for system in systems}]
    menus += [LISTENER] if "salesforce" in systems else []
    menus += [SECOND_HOST] if hosts > 1 else []
    menus += [POSTGRES] if postgres else []
    return {
        (kind, target): weight for each in menus for kind, targets in each.items() for target, weight in targets.items()
    }


def schedule(
    seed: int,
    count: int,
    seconds: float,
    *,
    lease: float,
    systems: Collection[str] = SYSTEMS,
    kinds: Collection[str] = (),
    hosts: int = 1,
    postgres: bool = False,
) -> list[Fault]:
    """So many faults, evenly over the time. Each kind comes once before any comes by its weight.

    Where `kinds` names some, no others. The faults of QuickBooks Desktop meet every call of an update in turn.
    """
    chance = random.Random(f"faults {seed}")
    found = menu(systems, hosts=hosts, postgres=postgres)
    weights = {each: weight for each, weight in found.items() if not kinds or each[0] in kinds}
    chosen = list(weights)
    chance.shuffle(chosen)
    chosen += chance.choices(list(weights), list(weights.values()), k=max(0, count - len(chosen)))
    chosen = chosen[:count]
    chance.shuffle(chosen)
    calls = itertools.cycle(chance.sample(range(1, CALLS + 1), CALLS))
    faults = []
    for number, (kind, target) in enumerate(chosen):
        at = seconds * (number + chance.random()) / count
        is_worker = target.startswith(WORKERS)
        frozen = lease + chance.uniform(1.0, 8.0) if is_worker else chance.uniform(2.0, 5.0)
        length = round(frozen, 2) if kind == "freeze" else 0.0
        call = next(calls) if kind == "quickbooks_desktop" else 0
        faults.append(Fault(round(at, 2), kind, target, length, call))
    return faults
