"""Block Kit's building blocks within Slack's limits: https://docs.slack.dev/reference/block-kit/blocks.

Texts come escaped. A text that is too long all the same is cut, and an empty one makes no block.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sinks.slack.markup import cut, plain

MAX_BLOCKS = 50
HEADER = 150
SECTION = 3000
FIELD = 2000
FIELDS_PER_SECTION = 10

Block = dict[str, Any]


def mrkdwn(text: str, limit: int = SECTION) -> dict[str, Any]:
    """A text object whose bare @words, #words and URLs Slack leaves alone (`verbatim`)."""
    return {"type": "mrkdwn", "text": cut(text, limit), "verbatim": True}


def header(text: str) -> list[Block]:
    shown = plain(text, HEADER)
    return [{"type": "header", "text": {"type": "plain_text", "text": shown, "emoji": False}}] if shown else []


def section(text: str) -> list[Block]:
    return [{"type": "section", "text": mrkdwn(text)}] if text.strip() else []


def fields(texts: Sequence[str]) -> list[Block]:
    """Sections of up to ten fields, in two columns."""
    starts = range(0, len(texts), FIELDS_PER_SECTION)
    return [
        {"type": "section", "fields": [mrkdwn(text, FIELD) for text in texts[start : start + FIELDS_PER_SECTION]]}
        for start in starts
    ]


def context(text: str) -> list[Block]:
    return [{"type": "context", "elements": [mrkdwn(text)]}] if text.strip() else []


def paragraphs(lines: Iterable[str], *, limit: int = SECTION) -> list[Block]:
    """Sections that hold all lines, each line whole in one of them."""
    found: list[Block] = []
    text = ""
    for line in lines:
        joined = f"{text}\n{line}" if text else line
        if len(joined) > limit and text:
            found += section(text)
            joined = line
        text = joined
    return found + section(text)
