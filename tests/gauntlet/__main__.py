"""`python -m tests.gauntlet [--events N] [--faults N] [--seed N] [--database sqlite|postgres] [--hosts 1|2]
[--systems SYSTEM,SYSTEM] [--kinds kill,flush,freeze,slack,postgres,SYSTEM]`: a SYSTEM is one of `happenings.SYSTEMS`.

Exit code 0 only when nothing was lost, doubled or out of order.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Collection

import tests.environment  # noqa: F401 - keys of its own, before anything reads the settings
from tests.gauntlet.happenings import SYSTEMS
from tests.gauntlet.report import Options, table
from tests.gauntlet.run import run
from tests.gauntlet.schedule import menu
from tests.postgres import Impossible, running
from tests.stack import ROOT

NUMBERS = {"events": 2000, "faults": 200, "seed": 1, "channels": 6, "seconds": 0, "patience": 900}
LOG = ROOT / "var" / "gauntlet.log"


def _some_of(known: Collection[str]) -> Callable[[str], tuple[str, ...]]:
    """Reads names with commas between."""

    def read(text: str) -> tuple[str, ...]:
        chosen = tuple(text.split(","))
        if not set(chosen) <= set(known):
            raise argparse.ArgumentTypeError(f"choose from {', '.join(known)}")
        return chosen

    return read


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.gauntlet", description=__doc__)
    for name, default in NUMBERS.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--database", choices=("sqlite", "postgres"), default="sqlite")
    parser.add_argument("--hosts", type=int, choices=(1, 2), default=1)
    parser.add_argument("--systems", type=_some_of(SYSTEMS), default=SYSTEMS, help="some, with commas between")
    kinds = tuple(dict.fromkeys(kind for kind, _ in menu(postgres=True)))
    parser.add_argument("--kinds", type=_some_of(kinds), default=(), help="of faults; all when left out")
    parser.add_argument("--quiet", action="store_true", help="the table alone")
    given = vars(parser.parse_args())
    database, is_quiet = given.pop("database"), given.pop("quiet")
    options = Options(**given, say=(lambda text: None) if is_quiet else lambda text: print(text, flush=True), log=LOG)
    os.environ.pop("DATABASE_URL", None)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # what was started is stopped
    try:
        with running() if database == "postgres" else contextlib.nullcontext() as server:
            if server:
                os.environ["DATABASE_URL"] = server.url
            result = run(options, server)
    except Impossible as error:
        print(f"SKIPPED: PostgreSQL: {error}")
        return 0
    for problem in result.problems:
        print(problem)
    print(f"the lines of all processes are in {LOG}")
    print(table(result))
    return 1 if result.problems else 0


if __name__ == "__main__":
    sys.exit(main())
