"""What finance reads: every kind of message as Slack gets it, against reviewed files.

`python -m pytest tests/intacct/test_messages.py --rewrite-golden` writes them anew after a change of wording.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from connector.models import Connection
from sources.sage_intacct.standin import credit, debit
from tests.intacct.world import BATCH, CHANNEL, FREIGHT, REGAL, SHARPE, TEXTILES, IntacctWorld

GOLDEN = Path(__file__).parent / "golden"
#: What the messages of a test are called in their files, in the order in which they come.
NAMES = (
    "run", "unbalanced", "run_with_details", "details", "changed_run", "empty_run", "no_lines", "batch", "voided",
    "rejected", "vendor_exception", "grown_batch", "large_batch", "large_batch_details", "pending_batch",
    "single_payments", "empty_batches", "unchecked_batch", "right_missing", "not_whole", "partly_told", "locations",
    "currencies",
)  # fmt: skip


def reviewed(world: IntacctWorld, request: pytest.FixtureRequest, *names: str, since: int = 0) -> None:
    """Compares what was posted with the files of these names; writes them anew when that was asked for."""
    posts = world.slack.posts[since:]
    assert {post.channel for post in posts} == {CHANNEL} and set(names) <= set(NAMES)
    assert len(posts) == len(names), [post.text for post in posts]
    for name, post in zip(names, posts, strict=True):
        shown = {"text": post.text, "blocks": post.blocks, **({"in_thread": True} if post.thread_ts else {})}
        text = json.dumps(shown, indent=1, ensure_ascii=False).replace(str(world.source.pk), "ID") + "\n"
        golden = GOLDEN / f"{name}.json"
        if request.config.getoption("--rewrite-golden"):
            golden.write_text(text)
        assert text == golden.read_text()


def threads(world: IntacctWorld) -> list[int]:
    """The place of the message in whose thread each message stands; -1 for none."""
    stamps = [post.ts for post in world.slack.posts]
    return [stamps.index(post.thread_ts) if post.thread_ts else -1 for post in world.slack.posts]


def set_setting(world: IntacctWorld, **settings: Any) -> None:
    Connection.objects.filter(pk=world.source.pk).update(settings=settings)


def test_every_file_belongs_to_a_message() -> None:
    assert {path.stem for path in GOLDEN.glob("*.json")} == set(NAMES)


def test_a_run_with_an_entry_out_of_balance(world: IntacctWorld, request: pytest.FixtureRequest) -> None:
    """Two posted entries, one of them in euros; the one that does not balance has an alarm of its own."""
    world.route("GL", "gl_posting.*")
    with world.at():
        euros = {"currency": "EUR", "trx_amount": "100.00"}
        world.intacct.post_batch(
            "GJ", "Trip to Lyon", [debit("6410", "108.52", **euros), credit("2010", "108.52", **euros)]
        )
        world.post("Reclass rent", "1200.00", other="1000.00")
        world.intacct.post_batch("STAT", "Heads", [debit("9100", "42")], is_statistical=True)
        world.intacct.post_batch("GJ", "Accruals", [debit("6410", "75.00")], state="Draft")
        world.read()
    world.work()
    reviewed(world, request, "run", "unbalanced")


def test_a_long_run_has_its_details_in_the_thread(world: IntacctWorld, request: pytest.FixtureRequest) -> None:
    """More batches than a message holds: the details say how many are left out."""
    world.route("GL", "gl_posting.*")
    with world.at():
        world.intacct.post_batch("PYRJ", "Payroll", [debit("6100", "50000.00"), credit("1010", "50000.00")])
        for number in range(150):
            world.post(f"Accrual of the month, part {number}", f"{1000 + number}.50")
        world.read("gl_postings")
    world.work()
    reviewed(world, request, "run_with_details", "details")
    assert threads(world) == [-1, 0]
    shown = json.dumps(world.slack.posts[1].blocks)
    batches = shown.count("Accrual of the month")
    assert f"and {150 - batches} more, which one message cannot hold" in shown and batches > 80


def test_entries_that_were_told_and_changed(world: IntacctWorld, request: pytest.FixtureRequest) -> None:
    world.route("GL", "gl_posting.*")
    with world.at():
        first, second = world.post("Rent"), world.post("Supplies", "80.00")
        world.read("gl_postings")
    world.work()
    with world.at(30):
        world.intacct.add_line(first, debit("6300", "5.00"))
        world.intacct.add_line(first, credit("1010", "5.00"))
        world.intacct.change("GLBATCH", second, STATE="Z")
        world.read("gl_postings")
    world.work()
    reviewed(world, request, "changed_run", since=1)


def test_a_run_that_found_nothing_is_told_by_setting_only(world: IntacctWorld, request: pytest.FixtureRequest) -> None:
    world.route()
    with world.at():
        world.read()
    world.work()
    assert world.texts == []
    set_setting(world, tell_empty_runs="yes")
    with world.at(60):
        world.read()
    world.work()
    reviewed(world, request, "empty_run", "empty_batches")


def test_an_entry_without_visible_lines(world: IntacctWorld, request: pytest.FixtureRequest) -> None:
    world.route("GL", "gl_posting.*")
    with world.at():
        world.intacct.post_batch("GJ", "Board's own", [])
        world.read("gl_postings")
    world.work()
    reviewed(world, request, "no_lines")


def test_locations_and_currencies_are_summed_apart(world: IntacctWorld, request: pytest.FixtureRequest) -> None:
    world.intacct.add_location("200", "Toronto")
    world.route("GL", "gl_posting.*")
    with world.at():
        north = {"location": "200"}
        world.intacct.post_batch("GJ", "Between", [debit("6300", "70.00"), credit("1010", "70.00", **north)])
        world.read("gl_postings")
    world.work()
    with world.at(10):
        dollars = {"base": "CAD", **north}
        world.intacct.post_batch("GJ", "Toronto", [debit("6300", "9.00", **dollars), credit("1010", "9.00", **dollars)])
        world.post("Rent")
        world.read("gl_postings")
    world.work()
    reviewed(world, request, "locations", "currencies")


def test_a_payment_batch_with_what_needs_a_hand(world: IntacctWorld, request: pytest.FixtureRequest) -> None:
    """Voided and declined payments and a vendor on hold each have their own message; a late payment joins in."""
    world.route("AP", "payment_batch.*", "payment.*", "vendor.*")
    with world.at():
        world.pay()
        voided = world.pay(TEXTILES, "500.00", "10022", currency="CAD", base_amount="375.00")
        declined = world.pay(SHARPE, "96.20", "10023", state="S")
        world.intacct.set_vendor(FREIGHT, is_on_hold=True)
        world.pay(FREIGHT, "870.00", "10024")
        world.intacct.set_payment_state(voided, "V")
        world.intacct.set_payment_state(declined, "U")
        world.read("payment_batches")
    world.work()
    reviewed(world, request, "batch", "voided", "rejected", "vendor_exception")
    with world.at(20):
        world.pay(SHARPE, "80.61", "", method="EFT")
        world.read("payment_batches")
    world.work()
    reviewed(world, request, "grown_batch", since=4)
    assert threads(world) == [-1, -1, -1, -1, 0]


def test_a_large_batch_has_every_payment_in_the_thread(world: IntacctWorld, request: pytest.FixtureRequest) -> None:
    world.route("AP", "payment_batch.*")
    with world.at():
        for number in range(12):
            vendor = (REGAL, TEXTILES, SHARPE, FREIGHT)[number % 4]
            world.pay(vendor, f"{number + 1}00.00", f"{30000 + number}", method=("ACH", "Printed Check")[number % 2])
        world.read("payment_batches")
    world.work()
    reviewed(world, request, "large_batch", "large_batch_details")
    assert threads(world) == [-1, 0]


def test_payments_that_wait_and_payments_without_a_batch(world: IntacctWorld, request: pytest.FixtureRequest) -> None:
    world.route("AP", "payment_batch.*")
    with world.at():
        world.pay(SHARPE, "80.61", "", state="A", method="EFT")
        world.pay(REGAL, "12.00", "7001", batch="")
        world.pay(TEXTILES, "3.50", "7002", batch="", method="Cash")
        world.read("payment_batches")
    world.work()
    reviewed(world, request, "pending_batch", "single_payments")


def test_what_could_not_be_read_is_said(world: IntacctWorld, request: pytest.FixtureRequest) -> None:
    """A missing right for the vendors hides no payment, one for the lines tells no half of a run."""
    world.route()
    world.intacct.deny("VENDOR")
    with world.at():
        world.pay(batch=BATCH)
        world.read("payment_batches")
    world.work()
    reviewed(world, request, "unchecked_batch", "partly_told")
    world.intacct.permit("VENDOR")
    with world.at(2):
        world.read("payment_batches", "gl_postings")
        world.post()
        world.intacct.deny("GLENTRY")
        world.read("gl_postings")
    world.work()
    reviewed(world, request, "right_missing", since=2)
    world.intacct.permit("GLENTRY")
    with world.at(4):
        world.run_due()
    world.work()
    assert world.texts[3:] == [
        "GL posting of 1 batch completed: $1,200.00, Batches: 1 in GJ; Lines: 2; Location: Headquarters; "
        "GJ 249: Rent, 2 lines, $1,200.00; Covers: 2026-11-20 09:00 to 2026-11-20 09:04, on Prepaid rent, Rent"
    ]


def test_a_report_that_intacct_refuses_is_told_once(world: IntacctWorld, request: pytest.FixtureRequest) -> None:
    world.route()
    with world.at():
        world.post()
        world.intacct.fail_function("query:GLENTRY", "processing", times=2)
        world.read("gl_postings")
        world.read("gl_postings")
    world.work()
    reviewed(world, request, "not_whole")
    with world.at(5):
        world.read("gl_postings")
    world.work()
    assert [text.split(":")[0] for text in world.texts[1:]] == ["GL posting of 1 batch completed"]
