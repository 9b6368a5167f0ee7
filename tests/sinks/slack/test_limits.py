"""Whatever a vendor writes into a record, the message stays within Slack's limits and pings nobody."""

from __future__ import annotations

import datetime as dt
import json
import re
from decimal import Decimal
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from connector.kernel.contracts import Change, Message, Style
from connector.kernel.events import OPERATIONS, RECORDS, Fact, FinancialEvent, Line, Money, Ref, Settled, Unusual
from tests.sinks.slack.support import SLACK

HOSTILE = st.sampled_from(
    [
        "",
        "<!channel>",
        "<!here|x>",
        "@here @channel #general https://evil.example",
        "<@U0AP00001>",
        "&",
        "&amp;lt;!channel>",
        "&" * 5000,
        "<" * 5000,
        "|>" * 2000,
        "x" * 5000,
        "🐢" * 5000,
        "👩‍👩‍👧‍👦" * 300,
        "a\nb\r\n\u2028\x00\x07\x1b",
        "\ud83d\ude00 \udc00",
        "```*_~>",
        "{{ party }} {% if %} {0} %s",
        "   ",
        "\u202egnp.exe",
    ]
)
TEXT = HOSTILE | st.text(max_size=40)
AMOUNT = st.decimals(allow_nan=False, allow_infinity=False) | st.sampled_from([Decimal("9e+60"), Decimal("1e-60")])
MONEY = st.none() | st.builds(Money, AMOUNT, st.sampled_from(["USD", "JPY", "", "ZZZ", "<!channel>"]) | TEXT)
REF = st.builds(Ref, st.sampled_from(["vendor", "customer", "account"]) | TEXT, TEXT, TEXT)
REFS = st.lists(REF, max_size=25).map(tuple)
AT = st.none() | st.datetimes(timezones=st.just(dt.UTC))
LINE = st.builds(
    Line,
    TEXT,
    MONEY,
    *[st.none() | REF] * 5,
    posting=st.sampled_from(["", "debit", "credit"]),
    quantity=st.none() | AMOUNT,
)
EVENT = st.builds(
    FinancialEvent,
    st.sampled_from(sorted(RECORDS)) | TEXT,
    st.sampled_from(sorted(OPERATIONS)) | TEXT,
    TEXT,
    number=TEXT,
    party=st.none() | REF,
    amount=MONEY,
    balance=MONEY,
    day=st.none() | st.dates(),
    due=st.none() | st.dates(),
    status=TEXT,
    memo=TEXT,
    lines=st.lists(LINE, max_size=14).map(tuple),
    settles=st.lists(st.builds(Settled, TEXT, TEXT, TEXT, MONEY), max_size=14).map(tuple),
    facts=st.lists(st.builds(Fact, TEXT, TEXT, MONEY), max_size=25).map(tuple),
    departments=REFS,
    classes=REFS,
    accounts=REFS,
    unusual=st.none() | st.builds(Unusual, MONEY.filter(bool), MONEY.filter(bool), st.integers(8, 50)),
    link=st.sampled_from(["https://a.example/?b=1&c=|<!channel>", "https://a.example/" + "&" * 900, "x"]) | TEXT,
    occurred_at=AT,
    part=st.sampled_from(["", "update", "details"]),
)
STYLE = st.builds(
    Style,
    organization=TEXT,
    source=TEXT,
    locale=st.sampled_from(["en_US", "de_DE", "fr-FR", "ar", "", "xx_nowhere"]),
    mention=st.sampled_from(["", "<!here>", "<@U0AP00001> <!subteam^S1>"]) | st.text(max_size=300),
    notes=st.lists(TEXT, max_size=12).map(tuple),
    changes=st.lists(
        st.builds(Change, TEXT, st.none() | TEXT | st.dates() | MONEY, st.none() | TEXT | st.dates()), max_size=15
    ).map(tuple),
)
#: The only markup that may stand in a message.
MARKUP = re.compile(
    r"<!date\^\d+\^\{date_short_pretty\} \{time\}\|\d{4}-\d\d-\d\d \d\d:\d\d UTC>"
    r"|<https?://[!-;=?-{}~]+\|[^<>|\n]*>|<!here>|<!channel>|<@[UW][A-Z0-9]+>|<!subteam\^S[A-Z0-9]+>"
)
ENTITY = re.compile(r"&(?:amp|lt|gt);")
FEW = settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)


@FEW
@given(EVENT, STYLE)
def test_any_event_makes_a_message_that_slack_takes(event: FinancialEvent, style: Style) -> None:
    message = SLACK.render(event, style)
    check(message)
    assert len(message.text) <= 4000
    if not re.search(r"<!|<@", style.mention):
        whole = json.dumps([message.text, message.body])
        assert [ping for ping in ("<!here", "<!channel", "<@", "<!subteam") if ping in whole] == []


@FEW
@given(st.lists(st.tuples(EVENT, STYLE), min_size=1, max_size=6), st.sampled_from([1, 7]))
def test_any_events_make_a_digest_that_slack_takes(events: list[tuple[FinancialEvent, Style]], times: int) -> None:
    told = events * times
    message = SLACK.render_digest(told)
    check(message)
    assert len(message.text) <= 40000
    shown = [text for block in message.body["blocks"] if block["type"] == "section" for text in texts(block)]
    assert sum(text.count("• ") >= 1 for text in shown) >= 1
    assert sum(line.startswith("• ") for text in shown for line in text.split("\n")) == len(told)


def check(message: Message) -> None:
    """Slack's limits, and that no vendor text means anything."""
    message.text.encode()
    json.dumps(message.body, ensure_ascii=False).encode()
    assert message.text.strip()
    assert_escaped(message.text)
    blocks = message.body["blocks"]
    assert len(blocks) <= 50
    assert sum(len(text) for block in blocks for text in texts(block)) <= 11000
    for block in blocks:
        assert block["type"] in ("header", "section", "context")
        assert len(block.get("fields", ())) <= 10
        for item in (block.get("text"), *block.get("fields", ()), *block.get("elements", ())):
            if item is not None:
                check_text(item, 150 if block["type"] == "header" else 2000 if "fields" in block else 3000)


def check_text(item: dict[str, Any], limit: int) -> None:
    assert 1 <= len(item["text"]) <= limit
    assert item["text"].strip()
    if item["type"] == "plain_text":
        assert item["emoji"] is False
        assert not set("<>\n") & set(item["text"])
    else:
        assert (item["type"], item["verbatim"]) == ("mrkdwn", True)
        assert_escaped(item["text"])


def assert_escaped(text: str) -> None:
    rest = MARKUP.sub("", text)
    assert not set("<>") & set(rest)
    assert "&" not in ENTITY.sub("", rest)


def texts(block: dict[str, Any]) -> list[str]:
    items = (block.get("text"), *block.get("fields", ()), *block.get("elements", ()))
    return [item["text"] for item in items if item is not None]
