"""Many events as one message."""

from __future__ import annotations

import dataclasses
from decimal import Decimal

import pytest

from connector.kernel.contracts import Change, Style
from connector.kernel.events import FinancialEvent, Money, Ref
from tests.sinks.slack.stories import ACCOUNT, AT, BESSIE, BILL, INVOICE, QBO, usd
from tests.sinks.slack.support import SLACK

PAID = dataclasses.replace(BILL, operation="updated", status="paid", amount=usd("1300"))
EURO = FinancialEvent(
    "bill", "created", "26", number="B-2", party=Ref("vendor", "31", "Käse & Co"), amount=Money(Decimal("12"), "EUR")
)
GONE = FinancialEvent("bill", "deleted", "27", number="B-3", party=BESSIE, amount=usd("99"), status="deleted")


def test_a_digest_names_every_event_with_totals_and_links() -> None:
    noted = dataclasses.replace(
        QBO, mention="<!here>", notes=("Late: 2 hours",), changes=(Change("amount", "$1", "$2"),)
    )
    told = [(BILL, QBO), (INVOICE, noted), (PAID, QBO), (EURO, QBO), (GONE, QBO), (ACCOUNT, QBO)]
    message = SLACK.render_digest(told)
    assert message.text == (
        "<!here> Digest: 4 bills, 1 invoice, 1 account\n"
        "Bills (4), total $1,300.00 and €12.00\n"
        "Bill INV-7731 created: Books by Bessie, $1,240.50\n"
        "Bill INV-7731 paid: Books by Bessie, $1,300.00\n"
        "Bill B-2 created: Käse &amp; Co, €12.00\n"
        "Bill B-3 deleted: Books by Bessie, $99.00\n"
        "Invoices (1), total $362.07\n"
        "Invoice 1043 created: Amy's Bird Sanctuary, $362.07 (Late: 2 hours; amount $1 → $2)\n"
        "Accounts (1)\n"
        "Account 1010 created: Petty cash"
    )
    header = {"type": "plain_text", "text": "Digest: 4 bills, 1 invoice, 1 account", "emoji": False}
    assert message.body == {
        "blocks": [
            {"type": "header", "text": header},
            _section("<!here>"),
            _section(
                "*Bills (4), total $1,300.00 and €12.00*\n"
                "• Bill INV-7731 created: Books by Bessie, $1,240.50"
                " · <https://qbo.intuit.com/app/bill?txnId=25&amp;companyId=46|Open>\n"
                "• Bill INV-7731 paid: Books by Bessie, $1,300.00"
                " · <https://qbo.intuit.com/app/bill?txnId=25&amp;companyId=46|Open>\n"
                "• Bill B-2 created: Käse &amp; Co, €12.00\n"
                "• Bill B-3 deleted: Books by Bessie, $99.00"
            ),
            _section(
                "*Invoices (1), total $362.07*\n"
                "• Invoice 1043 created: Amy's Bird Sanctuary, $362.07 (Late: 2 hours; amount $1 → $2)"
                " · <https://qbo.intuit.com/app/invoice?txnId=130|Open>"
            ),
            _section("*Accounts (1)*\n• Account 1010 created: Petty cash"),
            {"type": "context", "elements": [_mrkdwn("Acme Services LLC · QuickBooks Online")]},
        ]
    }


def test_a_full_digest_of_long_names_leaves_nobody_out() -> None:
    told = [
        (
            dataclasses.replace(
                BILL,
                record_id=str(number),
                number=f"INV-2026-{number:06}",
                party=Ref("vendor", str(number), "Société Générale de Fournitures & Services Industriels du Nord-Est"),
                link=f"https://qbo.intuit.com/app/bill?txnId={number}&deeplinkcompanyid=4620816365000000000",
                occurred_at=AT,
            ),
            Style(organization="Acme", source="QuickBooks Online", changes=(Change("due date", "Dec 3", "Dec 9"),)),
        )
        for number in range(45)
    ]
    message = SLACK.render_digest(told)
    sections = [block["text"]["text"] for block in message.body["blocks"] if block["type"] == "section"]
    assert len(message.text) < 4000
    assert sum(map(len, sections)) < 9500
    for number in range(45):
        said = f"Bill INV-2026-{number:06} created: Société Générale de "
        assert message.text.count(said) == 1
        assert sum(text.count(said) for text in sections) == 1
        assert sum(text.count(f"txnId={number}&amp;") for text in sections) == 1
    assert message.text.count(", $1,240.50") == 45
    assert sections[0].startswith("*Bills (45), total $55,822.50*\n• Bill INV-2026-000000 created: ")


@pytest.mark.parametrize("count", [0, 46])
def test_more_than_fits_is_a_mistake_of_the_caller(count: int) -> None:
    with pytest.raises(ValueError, match=f"a digest holds 1 to 45 events, not {count}"):
        SLACK.render_digest([(BILL, QBO)] * count)


def _mrkdwn(text: str) -> dict[str, object]:
    return {"type": "mrkdwn", "text": text, "verbatim": True}


def _section(text: str) -> dict[str, object]:
    return {"type": "section", "text": _mrkdwn(text)}
