"""Slack's text markup: what vendor text must become before it may stand in a message.

Slack gives meaning to `&`, `<` and `>` alone (https://docs.slack.dev/messaging/formatting-message-text), so these three
are escaped and nothing else is. Texts are cut after escaping and never inside an entity.
"""

from __future__ import annotations

import datetime as dt
import re
import unicodedata

#: The mentions that an admin may configure; anything else is shown as text.
_MENTION = re.compile(r"(<!here>|<!channel>|<@[UW][A-Z0-9]{1,30}>|<!subteam\^S[A-Z0-9]{1,30}>)")
_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
_URL_ESCAPES = str.maketrans({"&": "&amp;", "<": "%3C", ">": "%3E", "|": "%7C"})
_DRAWN = str.maketrans(
    "<>", "\N{SINGLE LEFT-POINTING ANGLE QUOTATION MARK}\N{SINGLE RIGHT-POINTING ANGLE QUOTATION MARK}"
)
MAX_URL = 500


def clean(text: str) -> str:
    """Text without control characters (line ends aside) and without halves of characters."""
    whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return "".join(sign for sign in whole if sign == "\n" or unicodedata.category(sign) != "Cc")


def flat(text: str) -> str:
    """Clean text on one line."""
    return " ".join(clean(re.sub(r"\s", " ", text)).split())


def escape(text: str) -> str:
    return text.translate(_ESCAPES)


def cut(escaped: str, limit: int) -> str:
    """At most `limit` characters of escaped text, with an ellipsis where some are missing."""
    if len(escaped) <= limit:
        return escaped
    kept = escaped[: limit - 1]
    if kept.rfind("&") > kept.rfind(";"):  # every & of escaped text begins an entity
        kept = kept[: kept.rfind("&")]
    return f"{kept.rstrip()}…"


def safe(text: str, limit: int) -> str:
    """Vendor text on one line, escaped and cut."""
    return cut(escape(flat(text)), limit)


def safe_lines(text: str, limit: int) -> str:
    """Vendor text on its own lines, blank ones left out, escaped and cut."""
    lines = (flat(line) for line in clean(text.replace("\r", "\n")).split("\n"))
    return cut(escape("\n".join(line for line in lines if line)), limit)


def short(text: str, limit: int) -> str:
    """Text on one line, cut and not yet escaped."""
    line = flat(text)
    return line if len(line) <= limit else f"{line[: limit - 1].rstrip()}…"


def plain(text: str, limit: int) -> str:
    """Vendor text for a plain_text object, which Slack shows as it is: there angle brackets are drawn, not escaped."""
    return short(text, limit).translate(_DRAWN)


def link(url: str, label: str, limit: int = 80) -> str:
    """A labelled link; the label alone where the URL is not one that people should click."""
    shown, target = safe(label, limit).replace("|", "/"), url.translate(_URL_ESCAPES)
    is_usable = re.fullmatch(r"https?://[!-~]+", url) and len(target) <= MAX_URL
    return f"<{target}|{shown}>" if is_usable else shown


def mention(text: str) -> str:
    """An admin's mention: the shapes that Slack may ping for stand, the rest is shown as text."""
    parts = _MENTION.split(flat(text)[:200])
    return "".join(part if position % 2 else escape(part) for position, part in enumerate(parts))


def instant(at: dt.datetime) -> str:
    """A time in each reader's own zone, with UTC for where Slack cannot format it."""
    utc = at.astimezone(dt.UTC)
    shown = f"{utc:%Y-%m-%d %H:%M} UTC"
    if utc.year < 1970:
        return shown
    return f"<!date^{int(utc.timestamp())}^{{date_short_pretty}} {{time}}|{shown}>"
