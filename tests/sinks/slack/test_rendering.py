"""Whole messages, compared with reviewed golden files, and the words and amounts they are made of.

After a deliberate change of wording: `python -m tests.sinks.slack.test_rendering` writes the files anew for review.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from decimal import Decimal
from pathlib import Path

import pytest

from connector.kernel.contracts import Change, Style
from connector.kernel.events import OPERATIONS, RECORDS, FinancialEvent, Line, Money, Ref
from sinks.slack import wording
from sinks.slack.markup import clean, cut, escape, instant, link, mention, plain, safe, safe_lines
from tests.sinks.slack.stories import AT, BILL, JOURNAL, QBO, STORIES, usd
from tests.sinks.slack.support import SLACK

GOLDEN = Path(__file__).parent / "golden"


def rendered(name: str) -> str:
    message = SLACK.render(*STORIES[name])
    return f"{json.dumps({'text': message.text, **message.body}, indent=2, ensure_ascii=False)}\n"


@pytest.mark.parametrize("name", STORIES)
def test_each_message_is_as_reviewed(name: str) -> None:
    assert rendered(name) == (GOLDEN / f"{name}.json").read_text()


def test_every_golden_file_belongs_to_a_story() -> None:
    assert {path.stem for path in GOLDEN.glob("*.json")} == set(STORIES)


@pytest.mark.parametrize("record", sorted(RECORDS))
def test_every_record_has_its_own_sentence(record: str) -> None:
    assert (wording.TEMPLATES / f"{record}.txt").is_file()
    assert record in wording.NOUNS


@pytest.mark.parametrize("record", sorted(RECORDS))
@pytest.mark.parametrize("operation", sorted(OPERATIONS))
def test_every_event_says_party_number_amount_date_and_status(record: str, operation: str) -> None:
    event = dataclasses.replace(BILL, record=record, operation=operation, due=None, status="on hold", memo="Why")
    text = SLACK.render(event, QBO).text
    details = ["INV-7731", "on hold"]
    if record != "connection":
        details += ["Books by Bessie", "$1,240.50"]
    if record not in ("connection", "vendor", "customer", "account"):
        details.append("dated Nov 3, 2026")
    assert [detail for detail in details if detail not in text] == []
    assert "{" not in text


def test_an_unknown_record_is_told_all_the_same() -> None:
    event = FinancialEvent("credit_memo", "re_opened", "7", party=Ref("customer", "1", "Amy"), amount=usd("5"))
    assert SLACK.render(event, QBO).text == "Credit memo re opened: Amy, $5.00"


def test_an_event_with_nothing_to_tell_still_says_what_happened() -> None:
    message = SLACK.render(FinancialEvent("journal_entry", "created", ""), Style())
    assert message.text == "Journal entry created"
    assert message.body == {
        "blocks": [{"type": "header", "text": {"type": "plain_text", "text": "New journal entry", "emoji": False}}]
    }


@pytest.mark.parametrize(
    ("amount", "currency", "locale", "expected"),
    [
        ("1240.5", "USD", "en_US", "$1,240.50"),
        ("-1240.5", "USD", "en_US", "-$1,240.50"),
        ("1240", "JPY", "en_US", "¥1,240"),
        ("1.2345", "KWD", "en_US", "KWD 1.234"),
        ("-5", "CHF", "en_US", "-CHF 5.00"),
        ("1240.5", "CAD", "en_US", "CA$1,240.50"),
        ("1240.5", "EUR", "de_DE", "1.240,50 €"),
        ("1240.5", "eur", "en-GB", "€1,240.50"),
        ("1234.5", "ZZZ", "en_US", "ZZZ 1,234.50"),
        ("1234.5", "<!channel>", "en_US", "<!CHANNEL> 1,234.50"),
        ("1234.5", "", "en_US", "1,234.50"),
        ("1234.5", "USD", "xx_nowhere", "$1,234.50"),
        ("1234.5", "USD", "", "$1,234.50"),
        ("1e+30", "USD", "en_US", "$1,000,000,000,000,000,000,000,000,000,000.00"),
    ],
)
def test_amounts(amount: str, currency: str, locale: str, expected: str) -> None:
    assert wording.money(Money(Decimal(amount), currency), locale) == expected


def test_the_largest_amount_that_can_be_read_can_be_written() -> None:
    assert wording.money(usd("9e+60"), "en_US").endswith(",000.00")
    assert wording.quantity(Decimal("9e+60"), "en_US").startswith("9,000")


@pytest.mark.parametrize(
    ("day", "locale", "expected"),
    [
        (dt.date(2026, 12, 3), "en_US", "Dec 3, 2026"),
        (dt.date(2026, 12, 3), "de_DE", "03.12.2026"),
        (dt.date(1, 1, 1), "en_US", "Jan 1, 1"),
        (None, "en_US", ""),
    ],
)
def test_dates(day: dt.date | None, locale: str, expected: str) -> None:
    assert wording.day(day, locale) == expected


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (Change("due date", dt.date(2026, 12, 3), dt.date(2026, 12, 10)), "due date 03.12.2026 → 10.12.2026"),
        (Change("amount", usd("1"), usd("1240.5")), "amount 1,00 $ → 1.240,50 $"),
        (Change("memo", None, "a\nb"), "memo none → a b"),
        (Change("status", "open", None), "status open → none"),
        (Change("line added", None, "Rent, 5 USD"), "line added: Rent, 5 USD"),
        (Change("line removed", "Rent, 5 USD", None), "line removed: Rent, 5 USD"),
        (Change("memo", "x" * 200, "y" * 200), f"memo {'x' * 69}… → {'y' * 69}…"),
    ],
)
def test_changes(change: Change, expected: str) -> None:
    assert wording.change(change, "de_DE") == expected


def test_eleven_lines_say_one_more_line() -> None:
    event = dataclasses.replace(JOURNAL, lines=JOURNAL.lines[:11])
    (lines,) = [block for block in SLACK.render(event, QBO).body["blocks"] if "*Lines*" in str(block)]
    assert lines["text"]["text"].endswith("\n• Debit $100.00 · Expense 10 · East · Allocation 10\nand 1 more line")


def test_an_empty_line_is_shown_as_empty() -> None:
    event = FinancialEvent("bill", "created", "1", lines=(Line(), Line(quantity=Decimal("3"))))
    assert (
        SLACK.render(event, Style()).body["blocks"][-1]["text"]["text"]
        == "*Lines*\n• (empty line)\n• 3 \N{MULTIPLICATION SIGN} units"
    )


def test_a_message_is_the_same_each_time_and_leaves_the_event_alone() -> None:
    before = dataclasses.replace(BILL)
    assert SLACK.render(BILL, QBO) == SLACK.render(BILL, QBO)
    assert before == BILL


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("<!here>", "<!here>"),
        ("<!channel> <@U0AP00001>", "<!channel> <@U0AP00001>"),
        ("<!subteam^S0123ABC>", "<!subteam^S0123ABC>"),
        ("@here", "@here"),
        ("<!everyone>", "&lt;!everyone&gt;"),
        ("<!here|click>", "&lt;!here|click&gt;"),
        ("<https://evil.example|pay>", "&lt;https://evil.example|pay&gt;"),
        ("AP & <@U1>", "AP &amp; <@U1>"),
        ("<@u1>", "&lt;@u1&gt;"),
        ("", ""),
    ],
)
def test_only_known_mentions_can_ping(given: str, expected: str) -> None:
    assert mention(given) == expected


@pytest.mark.parametrize(
    ("url", "label", "expected"),
    [
        (
            "https://a.example/x?b=1&c=|<>",
            "Go | on\n<now>",
            "<https://a.example/x?b=1&amp;c=%7C%3C%3E|Go / on &lt;now&gt;>",
        ),
        ("javascript:alert(1)", "Go", "Go"),
        ("https://a.example/a b", "Go", "Go"),
        ("https://a.example/ä", "Go", "Go"),
        ("", "Go", "Go"),
        ("https://a.example/" + "x" * 500, "Go", "Go"),
    ],
)
def test_links(url: str, label: str, expected: str) -> None:
    assert link(url, label) == expected


def test_times_are_shown_in_the_readers_zone_with_utc_beside() -> None:
    at = dt.datetime(2026, 11, 20, 8, 0, tzinfo=dt.timezone(dt.timedelta(hours=-6)))
    assert instant(at) == "<!date^1795183200^{date_short_pretty} {time}|2026-11-20 14:00 UTC>" == instant(AT)
    assert instant(dt.datetime(1969, 1, 1, tzinfo=dt.UTC)) == "1969-01-01 00:00 UTC"


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (escape("<a> & 'b' \"c\" &amp;"), "&lt;a&gt; &amp; 'b' \"c\" &amp;amp;"),
        (cut("abcdef", 6), "abcdef"),
        (cut("abcdef", 5), "abcd…"),
        (cut("abc&amp;def", 8), "abc…"),
        (cut("abc&amp;def", 9), "abc&amp;…"),
        (safe("a\n b\t\x00c \u2028d<", 20), "a b c d&lt;"),
        (safe_lines(" a \r\n\r\n\n<b>\x0b ", 20), "a\n&lt;b&gt;"),
        (clean("a\ud83d\ude00b\udc00\x07\n"), "a😀b\ufffd\n"),
        (plain("A <b> & c", 20), "A \u2039b\u203a & c"),
        (plain("x" * 200, 150), "x" * 149 + "…"),
    ],
)
def test_text_is_made_safe(found: str, expected: str) -> None:
    assert found == expected


if __name__ == "__main__":
    for story in STORIES:
        (GOLDEN / f"{story}.json").write_text(rendered(story))
