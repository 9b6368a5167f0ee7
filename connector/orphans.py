"""No child outlives the one who started it, even one that was killed with -9.

Linux kills the child with its parent (PR_SET_PDEATHSIG). Elsewhere the children of a killed supervisor are found by the
notes it left in `VAR_DIR/run` and killed at the next start. Standard library only.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def die_with(parent: int) -> Callable[[], None]:
    """What a child calls between fork and exec so that it is killed when `parent`, who forked it, ends."""

    def bind() -> None:
        if _libc is not None:
            _libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
            if os.getppid() != parent:  # it ended before the line above
                os._exit(1)

    return bind


def note(folder: Path, name: str, pid: int) -> None:
    """Writes down that this child is ours; the time it started tells it from a later one with the same number."""
    with contextlib.suppress(OSError):  # a full disk must not end the supervisor
        (folder / f"{name}.pid").write_text(f"{pid} {started(pid)}")


def unnote(folder: Path, name: str) -> None:
    (folder / f"{name}.pid").unlink(missing_ok=True)


def kill_leftovers(folder: Path) -> list[str]:
    """Kills what an earlier supervisor left alive, waits until it is gone, and returns the names."""
    found: dict[str, tuple[int, str]] = {}
    for path in sorted(folder.glob("*.pid")):
        number, _, start = path.read_text().partition(" ")
        if number.isdigit() and start and started(int(number)) == start:
            kill_group(int(number))
            found[path.stem] = int(number), start
        path.unlink(missing_ok=True)
    for pid, start in found.values():
        for _ in range(100):
            if started(pid) != start:
                break
            select.select([], [], [], 0.05)
    return list(found)


def kill_group(pid: int) -> None:
    """Kills a child that leads its own group, and all that it started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def started(pid: int) -> str:
    """When this process started, in the system's own spelling; empty when it is gone."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            # The name in parentheses may hold anything; the state and, 19 fields later, the start time follow it.
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            return "" if fields[0] in "ZX" else fields[19]
        return ""
    command = ["/bin/ps", "-o", "lstart=", "-p", str(pid)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()  # noqa: S603
