"""What every system's traffic has in common: its books under fire, and what happens in them as planned."""

from __future__ import annotations

import collections
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from tests.gauntlet.happenings import CHANNEL, EVERYTHING, Batch, Happening
from tests.gauntlet.oracle import Findings
from tests.gauntlet.schedule import Fault
from tests.stack import Stack

#: Seconds between two looks at what has been told.
LOOK = 0.5


class Traffic:
    """The books of one system. Made before the stack starts, so that it may add to the stack's environment."""

    system: ClassVar[str] = ""

    def __init__(self, stack: Stack, batches: Sequence[Batch]) -> None:
        self.sent: list[Happening] = []
        #: What webhooks were answered with other than 200; the longest that a 200 took (seconds).
        self.refused: collections.Counter[int] = collections.Counter()
        self.slowest = 0.0
        self._stack = stack
        self._waiting = collections.deque(batches)
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._start = 0.0
        self._told: set[tuple[str, str]] = set()
        self._seen: set[tuple[str, str]] = set()

    @property
    def slug(self) -> str:
        return f"acme-{self.system.replace('_', '-')}"

    @property
    def connection(self) -> dict[str, Any]:
        """The connection as a configuration file has it."""
        raise NotImplementedError

    @property
    def connections(self) -> list[dict[str, Any]]:
        return [self.connection]

    def routes(self, channels: int) -> list[dict[str, Any]]:
        """The systems share their channels: one for each thousand of amounts, and one for everything."""
        ends = {"from": self.slug, "to": "acme-slack"}
        told = ["bill.*", "invoice.*", "bill_payment.*", "payment.*", "purchase_order.*", "expense.*"]
        bands = [
            {
                **ends,
                "name": f"Band {number} of {self.system}",
                "channel": CHANNEL.format(number),
                "events": told,
                "where": {"min_amount": str(1000 * number), "max_amount": str(1000 * number + 999)},
                "digest_after": 0,
            }
            for number in range(channels)
        ]
        name = f"Everything of {self.system}"
        return [*bands, {**ends, "name": name, "channel": EVERYTHING, "events": ["*"], "digest_after": 10}]

    @property
    def violations(self) -> list[str]:
        """What the product did that this vendor would not put up with (Intuit and Slack speak for themselves)."""
        return []

    @property
    def notes(self) -> list[tuple[str, str]]:
        """Further rows of the table."""
        return []

    def settle_in(self) -> None:
        """Waits until the product, now configured, hears of this system."""

    def start(self) -> None:
        self._start = time.monotonic()
        for work in self._works():
            self._threads.append(threading.Thread(target=work, daemon=True))
            self._threads[-1].start()

    def stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def close(self) -> None:
        """Ends what was begun when this was made."""

    @property
    def is_over(self) -> bool:
        """Whether everything has happened, and the vendor has said so as often as it ever will."""
        raise NotImplementedError

    def suffer(self, fault: Fault, kill: Callable[[str], bool]) -> None:
        """Has a fault of this system happen; `kill` ends one of the product's processes."""
        raise NotImplementedError

    def make_peace(self) -> None:
        """No scripted fault is left."""

    def judge(self, findings: Findings) -> None:
        """Adds what is wrong in books that are written to; what is told in Slack is judged from there."""

    def _works(self) -> Sequence[Callable[[], None]]:
        raise NotImplementedError

    # --- for those who enter one thing after the other ---------------------------------------------------------------

    def _keep(self) -> None:
        """Enters everything at its time; what waits for a message comes when that stands in its channel."""
        held: list[Happening] = []
        while not self._stopping.is_set() and (held or self._waiting):
            held = [happening for happening in held if not self._enter_told(happening)]
            if not self._waiting:
                self._stopping.wait(LOOK)
                continue
            if self._stopping.wait(min(LOOK, max(0.0, self._start + self._waiting[0].at - time.monotonic()))):
                return
            if self._start + self._waiting[0].at <= time.monotonic():
                batch = self._waiting.popleft()
                held += [happening for happening in batch.happenings if not self._enter_now(happening)]

    def _enter_now(self, happening: Happening) -> bool:
        if happening.waits:
            return False
        if not happening.pays:  # else what it pays enters it
            self._enter(happening)
        self.sent.append(happening)
        return True

    def _enter_told(self, happening: Happening) -> bool:
        if not self._is_told(happening):
            return False
        self._enter(happening)
        self.sent.append(happening)
        return True

    def _enter(self, happening: Happening) -> None:
        raise NotImplementedError

    def _is_told(self, happening: Happening) -> bool:
        for post in self._stack.posts():
            # One that was slow on its way may stand before others that were seen already.
            if (post.channel, post.ts) not in self._seen:
                self._seen.add((post.channel, post.ts))
                self._told |= {(post.channel, word) for word in post.text.replace(":", " ").replace(",", " ").split()}
        return all((channel, happening.number) in self._told for channel in happening.channels)
