"""Slack's text as HTML: mrkdwn, plain text, date tokens (vendors/slack.md, section 10).

Everything that comes in is untrusted: it leaves escaped, and only http(s) and mailto addresses become links.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from html import escape

_PARTS = re.compile(
    r"```(?P<pre>.+?)```"
    r"|`(?P<code>[^`\n]+)`"
    r"|<(?P<angle>[^<>\n]+)>"
    r"|(?P<bare>\bhttps?://[^\s<>|\"]*[^\s<>|\".,;:!?)])"
    r"|(?<!\w)@(?P<call>here|channel|everyone)\b",
    re.DOTALL,
)
_STYLES = re.compile(
    r"(?<![\w*])\*(?=\S)(?P<strong>[^*\n]*\S)\*(?![\w*])"
    r"|(?<![\w_])_(?=\S)(?P<em>[^_\n]*\S)_(?![\w_])"
    r"|(?<![\w~])~(?=\S)(?P<s>[^~\n]*\S)~(?![\w~])"
)
_HELD = re.compile("\ue000(\\d+)\ue001")
_EMOJI_NAME = re.compile(r":([a-z0-9_+-]{1,40}):")
_DATE = re.compile(r"!date\^(\d{1,12})\^([^^|]*)(?:\^([^|]*))?")
_TOKEN = re.compile(r"\{(\w+)\}")
_LINK = re.compile(r"(?:https?://|mailto:)[^\s]+", re.IGNORECASE)

EMOJI = {
    "warning": "⚠️", "rotating_light": "🚨", "white_check_mark": "✅", "heavy_check_mark": "✔️", "x": "❌",
    "information_source": "\u2139\ufe0f", "bell": "🔔", "no_bell": "🔕", "memo": "📝",
    "page_facing_up": "📄", "receipt": "🧾", "moneybag": "💰", "money_with_wings": "💸", "dollar": "💵", "euro": "💶",
    "credit_card": "💳", "bank": "🏦",
    "chart_with_upwards_trend": "📈", "bar_chart": "📊", "calendar": "📅", "hourglass": "⌛", "package": "📦",
    "inbox_tray": "📥", "outbox_tray": "📤", "wastebasket": "🗑️", "no_entry": "⛔", "construction": "🚧",
    "mag": "🔍", "link": "🔗", "lock": "🔒", "key": "🔑", "arrows_counterclockwise": "🔄", "tada": "🎉", "eyes": "👀",
    "point_right": "👉", "zzz": "💤", "large_green_circle": "🟢", "large_yellow_circle": "🟡", "red_circle": "🔴",
    "scales": "⚖️", "ledger": "📒", "books": "📚", "office": "🏢", "bust_in_silhouette": "👤", "email": "📧",
}  # fmt: skip


@dataclasses.dataclass(frozen=True, slots=True)
class Reader:
    """Who reads: the names behind channel and user IDs, and the clock and time zone that times are told in."""

    channels: Mapping[str, str]
    users: Mapping[str, str]
    now: datetime
    zone: tzinfo | None = None

    def local(self, seconds: float) -> datetime:
        return datetime.fromtimestamp(seconds, UTC).astimezone(self.zone)


def plain(text: str, *, has_emoji: bool = True) -> str:
    """A plain_text object's text."""
    return _lines(_emoji(escape(_unescaped(text))) if has_emoji else escape(_unescaped(text)))


def mrkdwn(text: str, reader: Reader, *, is_verbatim: bool = False) -> str:
    """A mrkdwn text; unless `is_verbatim`, bare addresses and @here are brought to life as Slack does."""
    held: list[str] = []

    def hold(match: re.Match[str]) -> str:
        if is_verbatim and (match["bare"] or match["call"]):
            return match[0]
        held.append(_part(match, reader))
        return f"\ue000{len(held) - 1}\ue001"

    # The private-use marks that stand for finished parts must not come from outside.
    text = text.replace("\ue000", "").replace("\ue001", "")
    rest = _styled(_emoji(escape(_unescaped(_PARTS.sub(hold, text)))))
    return _HELD.sub(lambda match: held[int(match[1])], _quoted(rest))


def clock(moment: datetime) -> str:
    return f"{moment.hour % 12 or 12}:{moment:%M %p}"


def day(moment: datetime, now: datetime) -> str:
    """A day as people call it: today, yesterday, else its weekday and date."""
    return _near(moment, now) or f"{moment:%A}, {moment:%B} {_ordinal(moment.day)}"


def _unescaped(text: str) -> str:
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def _emoji(text: str) -> str:
    return _EMOJI_NAME.sub(lambda match: EMOJI.get(match[1], match[0]), text)


def _lines(text: str) -> str:
    return text.replace("\n", "<br>")


def _styled(text: str) -> str:
    """Bold, italic and strike in escaped text, nested at most once each."""

    def dress(match: re.Match[str]) -> str:
        tag = match.lastgroup or ""
        return f"<{tag}>{_styled(match[tag])}</{tag}>"

    return _STYLES.sub(dress, text)


def _quoted(text: str) -> str:
    """Lines that begin with > become quotes; other line ends become breaks."""
    out: list[str] = []
    is_after_text = False
    quote: list[str] = []
    for line in [*text.split("\n"), None]:
        if line is not None and line.startswith("&gt;"):
            quote.append(line.removeprefix("&gt;").removeprefix(" "))
            continue
        if quote:
            out.append(f"<blockquote>{'<br>'.join(quote)}</blockquote>")
            quote, is_after_text = [], False
        if line is not None:
            out.append(f"<br>{line}" if is_after_text else line)
            is_after_text = True
    return "".join(out)


def _part(match: re.Match[str], reader: Reader) -> str:
    if match["pre"] is not None:
        return f"<pre>{escape(_unescaped(match['pre'].strip(chr(10))))}</pre>"
    if match["code"] is not None:
        return f"<code>{escape(_unescaped(match['code']))}</code>"
    if match["bare"] is not None:
        return _link(match["bare"], match["bare"])
    if match["call"] is not None:
        return _mention(f"@{match['call']}", is_loud=True)
    return _angle(match["angle"], reader)


def _angle(inside: str, reader: Reader) -> str:
    """What stands between < and >: a mention, a channel, a date, a call to everyone, or a link."""
    target, _, label = inside.partition("|")
    if target.startswith("@"):
        return _mention("@" + (label or reader.users.get(target[1:], target[1:])).removeprefix("@"))
    if target.startswith("#"):
        name = "#" + (label or reader.channels.get(target[1:], target[1:])).removeprefix("#")
        is_known = target[1:] in reader.channels
        return (
            f'<a class="mention" href="/channel/{escape(target[1:])}">{escape(name)}</a>'
            if is_known
            else _mention(name)
        )
    if target.startswith("!date^"):
        return f"<time>{escape(_date(target, _unescaped(label), reader))}</time>"
    if target.startswith("!"):
        return _mention("@" + (label or target[1:].partition("^")[0]).removeprefix("@"), is_loud=True)
    return _link(target, label or target)


def _mention(name: str, *, is_loud: bool = False) -> str:
    return f'<span class="mention{" loud" if is_loud else ""}">{escape(_unescaped(name))}</span>'


def _link(address: str, label: str) -> str:
    address, label = _unescaped(address), _unescaped(label)
    if not _LINK.fullmatch(address):
        return escape(label if label != address else f"<{address}>")
    shown = escape(label.removeprefix("mailto:"))
    return f'<a href="{escape(address)}" target="_blank" rel="noopener noreferrer">{shown}</a>'


def _date(target: str, fallback: str, reader: Reader) -> str:
    """A date token in the reader's zone; anything malformed shows the fallback."""
    found = _DATE.fullmatch(target)
    if found is None:
        return fallback
    try:
        moment = reader.local(int(found[1]))
    except (OverflowError, OSError, ValueError):
        return fallback
    words = _date_words(moment, reader.now.astimezone(moment.tzinfo))
    names = set(_TOKEN.findall(found[2]))
    if not names or not names <= set(words):
        return fallback
    return _TOKEN.sub(lambda match: words[match[1]], _unescaped(found[2]))


def _date_words(moment: datetime, now: datetime) -> dict[str, str]:
    full = f"{moment:%B} {_ordinal(moment.day)}, {moment.year}"
    short = f"{moment:%b} {moment.day}, {moment.year}"
    near = _near(moment, now)
    return {
        "date_num": f"{moment:%Y-%m-%d}",
        "date": full,
        "date_short": short,
        "date_long": f"{moment:%A}, {full}",
        "date_pretty": near or full,
        "date_short_pretty": near or short,
        "date_long_pretty": near or f"{moment:%A}, {full}",
        "time": clock(moment),
        "time_secs": f"{moment.hour % 12 or 12}:{moment:%M:%S %p}",
        "ago": _ago(now - moment),
    }


def _near(moment: datetime, now: datetime) -> str:
    days = (now.date() - moment.date()).days
    return {0: "today", 1: "yesterday", -1: "tomorrow"}.get(days, "")


def _ago(passed: timedelta) -> str:
    seconds = abs(int(passed.total_seconds()))
    for name, size in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= size:
            count = seconds // size
            words = f"{count} {name}{'s' if count > 1 else ''}"
            return f"in {words}" if passed.total_seconds() < 0 else f"{words} ago"
    return "just now"


def _ordinal(number: int) -> str:
    suffix = "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{suffix}"
