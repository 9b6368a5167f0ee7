"""Every record of the vendor's samples, from the callback to the message as Slack gets it, against reviewed files.

`python -m pytest tests/freshbooks/test_samples.py --rewrite-golden` writes them anew after a change of wording.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
import time_machine

from connector.models import InboxEvent
from connector.pipeline import polling
from sinks.slack.standin import SlackStandIn
from tests.freshbooks.world import ACCOUNT, CHANNEL, FreshWorld

FIXTURES = Path(__file__).parents[1] / "sources" / "freshbooks" / "fixtures"
GOLDEN = Path(__file__).parent / "golden"
TODAY = dt.datetime(2026, 11, 20, 9, 0, tzinfo=dt.UTC)
#: What `result` of an answer holds that is no record.
NO_RECORDS = ("callback", "callbacks")
#: Sample -> the kind of its list, and the noun that its callbacks name.
TOLD = {
    "invoice_draft": ("invoices", "invoice"),
    "invoice_partial": ("invoices", "invoice"),
    "payment_check": ("payments", "payment"),
    "bill_unpaid": ("bills", "bill"),
    "expense_with_tax": ("expenses", "expense"),
}
LISTS = {"invoices_list": "invoices", "payments_list": "payments"}
#: Samples of which no callback tells, shown by a record that mentions them.
MENTIONED = ("bill_payment", "bill_vendor", "client", "expense_category")
CASES = json.loads((FIXTURES / "webhook_cases.json").read_text())
VERIFIER = "fake-verifier-0001-not-a-secret"


def result(name: str) -> Any:
    return json.loads((FIXTURES / f"{name}.json").read_text())["response"]["result"]


def record(name: str) -> dict[str, Any]:
    """The one record of a sample."""
    (found,) = result(name).values()
    return dict(found)


def samples_with_records() -> Iterator[str]:
    for path in FIXTURES.glob("*.json"):
        document = json.loads(path.read_text())
        answer = document.get("response", {}) if isinstance(document, dict) else {}
        if "result" in answer and not any(name in answer["result"] for name in NO_RECORDS):
            yield path.stem


def reviewed(slack: SlackStandIn, name: str, request: pytest.FixtureRequest) -> None:
    """Compares all that was posted with the reviewed file; writes it anew when that was asked for."""
    shown = [{"text": post.text, "blocks": post.blocks} for post in slack.posts]
    assert shown and {post.channel for post in slack.posts} == {CHANNEL}
    text = json.dumps(shown[0] if len(shown) == 1 else shown, indent=1, ensure_ascii=False) + "\n"
    golden = GOLDEN / f"{name}.json"
    if request.config.getoption("--rewrite-golden"):
        golden.write_text(text)
    assert text == golden.read_text()


@pytest.fixture
def shop(world: FreshWorld) -> Iterator[FreshWorld]:
    """A world of the samples' people and categories, subscribed to everything, on a day after them."""
    with time_machine.travel(TODAY):
        world.route()
        world.authorize(world.source)
        world.subscribe()
        world.books.load(ACCOUNT, "clients", record("client"))
        world.books.load(ACCOUNT, "bill_vendors", record("bill_vendor"))
        category = {**record("expense_category"), "id": 654654, "categoryid": 654654}
        world.books.load(ACCOUNT, "categories", category)
        yield world


def announced(world: FreshWorld, kind: str, name: str, document: dict[str, Any]) -> None:
    """Loads a record, and has FreshBooks tell of it."""
    world.books.load(ACCOUNT, kind, document)
    world.books.announce(ACCOUNT, name, document["id"])
    assert world.deliver() == [200]
    world.work()


def test_no_sample_is_left_out() -> None:
    """A sample that comes with the vendor's files needs its place above, and its reviewed message."""
    assert set(samples_with_records()) == {*TOLD, *LISTS, *MENTIONED}
    taken = {f"webhook_{case['id']}" for case in CASES if case["expect_signature_valid"] is True}
    assert {path.stem for path in GOLDEN.glob("*.json")} == {*TOLD, *LISTS, *MENTIONED, *taken}


@pytest.mark.parametrize("name", TOLD)
def test_a_record_becomes_its_message(name: str, shop: FreshWorld, request: pytest.FixtureRequest) -> None:
    kind, noun = TOLD[name]
    if noun == "payment":
        shop.books.load(ACCOUNT, "invoices", record("invoice_partial"))
    announced(shop, kind, f"{noun}.create", record(name))
    reviewed(shop.slack, name, request)


@pytest.mark.parametrize(("name", "kind"), LISTS.items())
def test_a_list_is_swept(name: str, kind: str, shop: FreshWorld, request: pytest.FixtureRequest) -> None:
    rows = result(name)[kind]
    for row in rows:
        shop.books.load(ACCOUNT, kind, row)
    if kind == "payments":
        shop.books.load(ACCOUNT, "invoices", record("invoice_partial"))
    day = dt.datetime.fromisoformat(rows[0]["updated"]).replace(tzinfo=dt.UTC)
    polling.read(shop.source, origin="backfill", since=day)
    shop.work()
    assert shop.outcomes() == [(f"{kind.removesuffix('s')}.created", "routed", "")] * len(rows)
    reviewed(shop.slack, name, request)


def test_a_bill_payment_is_told_by_its_bill(shop: FreshWorld, request: pytest.FixtureRequest) -> None:
    payment = record("bill_payment")
    bill = {**record("bill_unpaid"), "bill_payments": [payment], "status": "paid", "paid": payment["amount"]}
    announced(shop, "bills", "bill.update", bill)
    reviewed(shop.slack, "bill_payment", request)


def test_a_vendor_names_a_bill_that_brings_only_its_number(shop: FreshWorld, request: pytest.FixtureRequest) -> None:
    bill = {**record("bill_unpaid"), "vendor": None, "vendorid": record("bill_vendor")["vendorid"]}
    announced(shop, "bills", "bill.create", bill)
    reviewed(shop.slack, "bill_vendor", request)


def test_a_client_names_an_invoice_without_names(shop: FreshWorld, request: pytest.FixtureRequest) -> None:
    blank = dict.fromkeys(("organization", "current_organization", "fname", "lname", "email"), "")
    announced(
        shop, "invoices", "invoice.create", {**record("invoice_draft"), **blank, "customerid": record("client")["id"]}
    )
    reviewed(shop.slack, "client", request)


def test_a_category_names_an_expense_that_brings_only_its_number(
    shop: FreshWorld, request: pytest.FixtureRequest
) -> None:
    category = record("expense_category")
    shop.books.load(ACCOUNT, "categories", category)
    expense = {**record("expense_with_tax"), "category": None, "categoryid": category["id"]}
    announced(shop, "expenses", "expense.create", expense)
    reviewed(shop.slack, "expense_category", request)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_a_delivery_of_the_samples(
    case: dict[str, Any], world: FreshWorld, redis: str, request: pytest.FixtureRequest
) -> None:
    """The exact bytes, sent to the connection's own address, whose verifier was entered by hand."""
    form = {name: values[0] for name, values in parse_qs(case["body"]).items()}
    noun = form["name"].partition(".")[0]
    if form["account_id"] != ACCOUNT:
        world.books.add_business(form["account_id"], "Another business")
        world.source.account = form["account_id"]
        world.source.save()
    world.authorize(world.source, webhook_verifier=VERIFIER)
    world.route()
    number = int(form["object_id"])
    if noun == "invoice":
        document = {**record("invoice_draft"), "id": number, "invoiceid": number}
        world.books.load(form["account_id"], "invoices", document)
    elif noun == "payment":
        world.books.load(form["account_id"], "payments", {**record("payment_check"), "id": number, "logid": number})
        world.books.load(form["account_id"], "invoices", record("invoice_partial"))
        world.books.load(form["account_id"], "clients", record("client"))
    with time_machine.travel(TODAY):
        status = world.post(world.source_uri, case["body"].encode(), case["headers"])
        world.work()
    if case["expect_signature_valid"] is True:
        assert status == 200
        reviewed(world.slack, f"webhook_{case['id']}", request)
        return
    assert status == (401 if case["expect_signature_valid"] is False else 200)
    assert not InboxEvent.objects.exists() and not world.slack.posts
