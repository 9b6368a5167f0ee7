"""The running table of the demonstration: what happened in the books, and what arrived in Slack."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Sequence
from typing import TextIO

#: The width of lines in a file, and the most that the left column takes of any.
WIDEST, LEFT = 160, 66


class Screen:
    """Lines with the time since the start, cut to the terminal's width."""

    def __init__(self, out: TextIO = sys.stdout) -> None:
        self._out = out
        self._began = time.monotonic()
        self._width = shutil.get_terminal_size().columns if out.isatty() else WIDEST
        self._left = min(LEFT, self._width * 2 // 5)

    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._began

    def say(self, *lines: str) -> None:
        """Whole lines, as they are."""
        for line in lines:
            self._out.write(f"{line}\n")
        self._out.flush()

    def head(self) -> None:
        self._line(" time", "what happened", "what arrived in Slack")

    def happened(self, who: str, what: str) -> None:
        self._line(self._clock(), f"{who}: {what}", "")

    def arrived(self, channel: str, text: str, *, is_reply: bool) -> None:
        mark = "\N{DOWNWARDS ARROW WITH TIP RIGHTWARDS} " if is_reply else ""
        self._line(self._clock(), "", f"#{channel:<12} {mark}{' '.join(text.split())}")

    def table(self, heads: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """A table whose columns are as wide as what they hold; numbers stand to the right."""
        texts = [list(map(str, row)) for row in rows]
        widths = [max(len(row[column]) for row in [list(heads), *texts]) for column in range(len(heads))]
        self.say("  ".join(head.ljust(width) for head, width in zip(heads, widths, strict=True)).rstrip())
        for row, values in zip(texts, rows, strict=True):
            cells = (
                text.rjust(width) if isinstance(value, int) else text.ljust(width)
                for text, width, value in zip(row, widths, values, strict=True)
            )
            self.say("  ".join(cells).rstrip())

    def _clock(self) -> str:
        minutes, seconds = divmod(int(self.seconds()), 60)
        return f"{minutes:2}:{seconds:02}"

    def _line(self, clock: str, left: str, right: str) -> None:
        line = f"{clock}  {left}" if not right else f"{f'{clock}  {left}':<{self._left}}  {right}"
        self.say(line if len(line) <= self._width else f"{line[: self._width - 1]}\N{HORIZONTAL ELLIPSIS}")
