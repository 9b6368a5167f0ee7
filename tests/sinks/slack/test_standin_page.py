"""The workspace page shows messages as a person would see them, and hostile text only as text."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sinks.slack.standin import SlackStandIn
from sinks.slack.standin_text import Reader, mrkdwn, plain
from tests.sinks.slack.standin_client import ask, fetch, notice, sample

HOSTILE = "<script>alert(1)</script> &lt;img src=x onerror=alert(2)&gt; \" ' {style} <javascript:alert(3)|click>"
READER = Reader({"C1": "ap-bills"}, {"U1": "Maria"}, datetime(2026, 11, 20, 12, 0, tzinfo=UTC), UTC)


@pytest.fixture
def slack() -> Iterator[SlackStandIn]:
    with SlackStandIn(team_name="Acme <Finance>") as standin:
        standin.add_channel("C1", "ap-bills", is_member=True)
        standin.add_channel("C2", "<b>fy24</b>", is_member=True, is_archived=True)
        yield standin


class Tags(HTMLParser):
    """Every start tag with its attributes, and the text between."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def post(slack: SlackStandIn, text: str, **arguments: Any) -> str:
    ts: str = ask(slack, "chat.postMessage", channel="C1", text=text, **arguments)["ts"]
    return ts


def test_the_page_is_whole_without_scripts_and_loads_nothing(slack: SlackStandIn) -> None:
    request = sample("chat_postMessage_request.json")
    parent = post(slack, "x", blocks=request["blocks"], metadata=notice("secret-id"))
    post(slack, "paid", thread_ts=parent)
    page = fetch(f"{slack.url}/channel/C1")
    html = page.body.decode()
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert page.headers["Content-Security-Policy"].startswith("default-src 'none'; style-src 'sha256-")
    for shown in ("Invoice created", "<strong>Client</strong><br>Hooli", "USD 1,222.00", "1 reply", "paid"):
        assert shown in html
    assert "Nov 14, 2019" in html
    assert "secret-id" not in html
    outside = [a for tag, a in Tags(html).tags if tag in ("script", "img", "iframe", "object") and "src" in a]
    assert outside == []
    landmarks = [tag for tag, _ in Tags(html).tags if tag in ("nav", "main", "h1")]
    assert landmarks == ["nav", "main", "h1"]


def test_hostile_text_stays_text(slack: SlackStandIn) -> None:
    def text(kind: str) -> dict[str, str]:
        return {"type": kind, "text": HOSTILE}

    quiet = Tags(fetch(f"{slack.url}/channel/C1").body.decode())
    image = {"type": "image", "image_url": "https://x.example/" + '"><script>', "alt_text": HOSTILE}
    button = {
        "type": "button",
        "text": {"type": "plain_text", "text": HOSTILE[:75]},
        "url": "javascript:alert(4)",
        "action_id": "a",
    }
    blocks = [
        {"type": "header", "text": text("plain_text")},
        {"type": "section", "text": text("mrkdwn"), "fields": [text("mrkdwn")], "accessory": image},
        {"type": "context", "elements": [text("mrkdwn"), image]},
        {"type": "actions", "elements": [button]},
        image,
    ]
    parent = post(slack, HOSTILE, blocks=blocks)
    post(slack, HOSTILE, thread_ts=parent, attachments=[{"text": HOSTILE}])
    loud = Tags(fetch(f"{slack.url}/channel/C1").body.decode())
    assert [tag for tag, _ in loud.tags].count("script") == [tag for tag, _ in quiet.tags].count("script") == 1
    assert "img" not in {tag for tag, _ in loud.tags}
    attributes = [(name, value or "") for _, found in loud.tags for name, value in found.items()]
    assert not [name for name, _ in attributes if name.startswith("on") or name == "style"]
    assert not [value for name, value in attributes if name in ("href", "src") and "javascript" in value]
    assert "<script>alert(1)</script>" in loud.text
    assert "<b>fy24</b>" in loud.text
    assert "Acme <Finance>" in loud.text


def test_unread_counts_rise_until_the_channel_is_opened(slack: SlackStandIn) -> None:
    slack.add_channel("C3", "zz-last", is_member=True)
    post(slack, "one")
    post(slack, "two")
    badge = 'class="badge">2<span'
    assert badge in fetch(f"{slack.url}/channel/C3").body.decode()
    fetch(f"{slack.url}/")
    assert badge not in fetch(f"{slack.url}/channel/C3").body.decode()


def test_fragments_come_only_when_something_changed(slack: SlackStandIn) -> None:
    url = f"{slack.url}/_control/page/C1"
    first = fetch(url).json()
    assert "No messages yet" in first["messages"]
    assert fetch(f"{url}?version={first['version']}").status == 204
    post(slack, "hello")
    second = fetch(f"{url}?version={first['version']}").json()
    assert "hello" in second["messages"]
    assert "1 message<" in second["heading"]
    assert "ml-connector is connected" in second["presence"]
    slack.uninstall()
    assert "ml-connector was removed" in fetch(url).json()["presence"]
    assert fetch(f"{slack.url}/_control/page/C9").status == 404
    assert fetch(f"{slack.url}/channel/C9").status == 404
    assert "is archived" in fetch(f"{slack.url}/channel/C2").body.decode()


@pytest.mark.parametrize(
    ("source", "html"),
    [
        ("*a* _b_ ~c~ `d*e*`", "<strong>a</strong> <em>b</em> <s>c</s> <code>d*e*</code>"),
        ("*a _b_ c*", "<strong>a <em>b</em> c</strong>"),
        ("2*3*4 snake_case_name * a *", "2*3*4 snake_case_name * a *"),
        ("a &amp;amp; b &lt;i&gt;", "a &amp;amp; b &lt;i&gt;"),
        ("one\ntwo", "one<br>two"),
        ("> said\n&gt; more\nafter", "<blockquote>said<br>more</blockquote>after"),
        ("```a\n<b>```", "<pre>a\n&lt;b&gt;</pre>"),
        ("<@U1> <#C1>", '<span class="mention">@Maria</span> <a class="mention" href="/channel/C1">#ap-bills</a>'),
        ("<!channel>", '<span class="mention loud">@channel</span>'),
        (
            "<https://x.example/?a=1&amp;b=2|the *bill*>",
            '<a href="https://x.example/?a=1&amp;b=2" target="_blank" rel="noopener noreferrer">the *bill*</a>',
        ),
        ("<!date^1795132800^{date_short_pretty} at {time}|x>", "<time>today at 12:00 AM</time>"),
        ("<!date^1795132800^{date_long}|x>", "<time>Friday, November 20th, 2026</time>"),
        ("<!date^1795132800^{nonsense}|2026-11-20 &amp; on>", "<time>2026-11-20 &amp; on</time>"),
        (":warning: :unheard_of:", "⚠️ :unheard_of:"),
    ],
)
def test_mrkdwn_looks_as_in_slack(source: str, html: str) -> None:
    assert mrkdwn(source, READER) == html


def test_verbatim_text_wakes_nobody() -> None:
    source = "@here https://x.example"
    assert mrkdwn(source, READER, is_verbatim=True) == source
    woken = Tags(mrkdwn(source, READER)).tags
    assert [(tag, found.get("class"), found.get("href")) for tag, found in woken] == [
        ("span", "mention loud", None),
        ("a", None, "https://x.example"),
    ]


ALLOWED = {"strong", "em", "s", "code", "pre", "blockquote", "br", "a", "span", "time"}
PIECES = st.sampled_from(
    ["<", ">", "|", "*", "_", "~", "`", "```", "&lt;", "&amp;", "!date^1^{date}", "@U1", "#C1", "https://a.example",
     "javascript:x", '"', "'", "\n", "script", "\ue000", "0", "\ue001", " ", "é", "&gt;"]
)  # fmt: skip


@given(st.lists(PIECES | st.text(max_size=3), max_size=30).map("".join), st.booleans())
@example("\ue0000\ue001", True)
def test_any_text_gives_balanced_harmless_html(source: str, is_verbatim: bool) -> None:
    html = mrkdwn(source, READER, is_verbatim=is_verbatim)
    found = Tags(html)
    assert {tag for tag, _ in found.tags} <= ALLOWED
    assert {name for _, attributes in found.tags for name in attributes} <= {"class", "href", "target", "rel"}
    for _, attributes in found.tags:
        assert (attributes.get("href") or "/channel/").startswith(("/channel/C1", "https://", "/channel/"))
    for tag in ALLOWED - {"br"}:
        assert html.count(f"<{tag}>") + html.count(f"<{tag} ") == html.count(f"</{tag}>")
    assert "<" not in plain(source).replace("<br>", "")
