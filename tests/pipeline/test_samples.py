"""Every record of the vendor's samples, from the notice to the message as Slack gets it, against reviewed files.

`python -m pytest tests/pipeline/test_samples.py --rewrite-golden` writes them anew after a change of wording.
"""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import pytest
import time_machine

from connector.models import InboxEvent
from sources.quickbooks_online.standin_webhooks import Change
from tests.pipeline.conftest import CHANNEL, World
from tests.stack import REALM

SAMPLES = Path(__file__).parents[1] / "sources" / "quickbooks_online" / "fixtures" / "entities"
GOLDEN = Path(__file__).parent / "golden"
TOLD = {
    "Bill": "bill", "BillPayment": "bill_payment", "Invoice": "invoice", "Payment": "payment",
    "JournalEntry": "journal_entry", "Vendor": "vendor", "Customer": "customer", "Account": "account",
}  # fmt: skip
TODAY = dt.datetime(2026, 11, 20, 9, 0, tzinfo=dt.UTC)
NAMES = ("account", "account_sub_numbered", "class", "department", "item_category", "item_inventory", "item_service")


def entity(name: str) -> tuple[str, dict[str, object]]:
    document = json.loads((SAMPLES / f"{name}.json").read_text())
    kind = next(key for key in document if key != "time")
    return kind, document[kind]


ALL = sorted(path.stem for path in SAMPLES.glob("*.json"))


@pytest.mark.parametrize("name", ALL)
def test_a_sample_record_becomes_its_message(name: str, world: World, request: pytest.FixtureRequest) -> None:
    world.route()
    kind, document = entity(name)
    for other in NAMES:
        world.intuit.load(REALM, *entity(other))
    if kind not in ("CompanyInfo", "Preferences"):
        world.intuit.load(REALM, kind, document)
    with time_machine.travel(TODAY):
        world.notify(Change(REALM, kind, str(document["Id"]), "created", at=TODAY))
        world.work()
    if kind not in TOLD:
        event = InboxEvent.objects.get()
        assert event.state == "ignored" and event.reason.startswith("no integration tells of")
        assert not world.slack.posts
        return
    (post,) = world.slack.posts
    assert post.channel == CHANNEL
    shown = json.dumps({"text": post.text, "blocks": post.blocks}, indent=1, ensure_ascii=False) + "\n"
    golden = GOLDEN / f"{name}.json"
    if request.config.getoption("--rewrite-golden"):
        golden.write_text(shown)
    assert shown == golden.read_text()
