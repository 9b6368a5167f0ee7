"""Orders to journal entries over the wire: what is written, and that it is written once whatever breaks off."""

from __future__ import annotations

import dataclasses
import datetime as dt
import random
from collections import Counter
from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pytest

from connector.kernel.contracts import Feedback, Link, Style
from connector.kernel.errors import NotYet, Refuse, Retry, Unknown
from connector.kernel.events import Ref
from connector.kernel.standin import Answer
from sinks.quickbooks_online.journal import fingerprint

from .conftest import ACCOUNT, LINES, NOW, ORDER, SETTINGS, Books, line, money, order

ENTRY = r"POST .*/journalentry"
DETAIL = "JournalEntryLineDetail"
LATER = NOW + dt.timedelta(hours=1)


def changed(operation: str = "updated", *amounts: str, **more: Any) -> Any:
    lines = tuple(
        dataclasses.replace(each, amount=line(amount).amount) for each, amount in zip(LINES, amounts, strict=False)
    )
    return order(operation, *lines, occurred_at=LATER, **more)


def postings(entry: dict[str, Any]) -> Sequence[tuple[str, str, str]]:
    details = [(row[DETAIL], row["Amount"]) for row in entry["Line"]]
    return [(detail["PostingType"], detail["AccountRef"]["value"], f"{amount:.2f}") for detail, amount in details]


def test_an_order_is_one_balanced_entry(books: Books) -> None:
    receipt = books.post(order())
    (write,) = books.intuit.writes
    mark = fingerprint(order())
    assert (write.entity, write.operation) == ("JournalEntry", "create")
    assert write.body == {
        "DocNumber": "SF-00000107",
        "TxnDate": "2026-11-05",
        "PrivateNote": f"Salesforce order 00000107 ({ORDER}) [{mark}]",
        "CurrencyRef": {"value": "USD"},
        "Line": [
            {
                "Description": "Order 00000107",
                "Amount": 362.07,
                "DetailType": DETAIL,
                DETAIL: {
                    "PostingType": "Debit",
                    "AccountRef": {"value": "91"},
                    "Entity": {"Type": "Customer", "EntityRef": {"value": "58"}},
                    "DepartmentRef": {"value": "2"},
                },
            },
            {
                "Description": "Design hours",
                "Amount": 302.07,
                "DetailType": DETAIL,
                DETAIL: {"PostingType": "Credit", "AccountRef": {"value": "82"}, "DepartmentRef": {"value": "2"}},
            },
            {
                "Description": "Pump",
                "Amount": 60.00,
                "DetailType": DETAIL,
                DETAIL: {
                    "PostingType": "Credit",
                    "AccountRef": {"value": "79"},
                    "DepartmentRef": {"value": "2"},
                    "ClassRef": {"value": "7"},
                },
            },
        ],
    }
    entry = {
        "id": write.id, "doc": "SF-00000107", "version": 1, "kind": "entry", "reverses": "", "hash": mark,
        "sync_token": "0",
    }  # fmt: skip
    assert (receipt.id, receipt.target, receipt.is_repeated) == (write.id, "", False)
    assert receipt.link == Link("order", ORDER, write.id, {"entries": [entry], "version": NOW.isoformat()})
    assert receipt.feedback == (Feedback("order", ORDER, "posted", write.id, "SF-00000107", SETTINGS),)


def test_a_repeated_order_writes_nothing_and_costs_one_call(books: Books) -> None:
    first = books.post(order())
    books.intuit.calls.clear()
    assert books.post(order()) == first
    assert books.post(order("updated"), first.link) == first
    assert (len(books.intuit.writes), len(books.intuit.calls)) == (1, 2)


def test_lists_are_read_once_and_what_changed_since_each_time(books: Books) -> None:
    books.post(order())
    books.intuit.calls.clear()
    books.now += dt.timedelta(minutes=5)
    books.intuit.deactivate(books.realm, "Item", "6")
    with pytest.raises(Refuse) as refused:
        books.post(order(record_id="801Sm00000Ordr2IAA", number="00000108"))
    assert refused.value.reasons == ("line 2: its item in QuickBooks (6) is inactive: make it active",)
    books.intuit.calls.clear()
    books.put("Item", Id="6", Name="Pump", Sku="SKU-2", IncomeAccountRef={"value": "79"}, Active=True)
    books.now += dt.timedelta(seconds=10)
    books.post(order(record_id="801Sm00000Ordr2IAA", number="00000108"))
    assert [call.path.rsplit("/", 1)[-1] for call in books.intuit.calls] == ["query", "cdc", "journalentry"]
    books.intuit.calls.clear()
    books.post(order(record_id="801Sm00000Ordr3IAA", number="00000109"))
    assert [call.path.rsplit("/", 1)[-1] for call in books.intuit.calls] == ["query", "journalentry"]


def test_a_customer_that_became_inactive_is_noticed_though_it_was_read_before(books: Books) -> None:
    books.post(order())
    books.intuit.deactivate(books.realm, "Customer", "58")
    books.now += dt.timedelta(seconds=10)
    with pytest.raises(Refuse) as refused:
        books.post(order(record_id="801Sm00000Ordr2IAA", number="00000108"))
    assert refused.value.reasons == ("the QuickBooks customer 58 is inactive: make it active",)
    books.put("Customer", Id="58", DisplayName="Northwind Bakery", CurrencyRef={"value": "USD"}, Active=True)
    books.post(order(record_id="801Sm00000Ordr2IAA", number="00000108"))
    assert len(books.entries()) == 2


@pytest.mark.parametrize("kind", ["cut_after", "truncate"])
def test_an_answer_that_was_lost_doubles_nothing(books: Books, kind: str) -> None:
    books.intuit.fail(ENTRY, kind)
    with pytest.raises(Unknown):
        books.post(order())
    found = books.look(order())
    assert found == books.post(order())
    assert found is not None
    assert list(books.entries()) == ["SF-00000107"]


def test_a_request_that_never_arrived_is_absent(books: Books) -> None:
    books.intuit.fail(ENTRY, "cut_before")
    with pytest.raises(Unknown):
        books.post(order())
    assert books.look(order()) is None
    books.post(order())
    assert len(books.entries()) == 1


def test_a_changed_order_is_reversed_and_posted_anew(books: Books) -> None:
    first = books.post(order())
    second = books.post(changed("updated", "100", "20"), first.link)
    entries = books.entries()
    assert {number: postings(entry) for number, entry in entries.items()} == {
        "SF-00000107": [("Debit", "91", "362.07"), ("Credit", "82", "302.07"), ("Credit", "79", "60.00")],
        "SF-00000107-R": [("Credit", "91", "362.07"), ("Debit", "82", "302.07"), ("Debit", "79", "60.00")],
        "SF-00000107-2": [("Debit", "91", "120.00"), ("Credit", "82", "100.00"), ("Credit", "79", "20.00")],
    }
    back = entries["SF-00000107-R"]
    assert (back["TxnDate"], back["Line"][2][DETAIL]["ClassRef"]["value"]) == ("2026-11-20", "7")
    assert ORDER in back["PrivateNote"]
    assert "SF-00000107 (QuickBooks entry " + first.id in back["PrivateNote"]
    assert second.id == entries["SF-00000107-2"]["Id"]
    assert second.feedback == (Feedback("order", ORDER, "posted", second.id, "SF-00000107-2", SETTINGS),)
    assert second.link is not None
    assert [(each["doc"], each["reverses"]) for each in second.link.state["entries"]] == [
        ("SF-00000107", ""), ("SF-00000107-R", first.id), ("SF-00000107-2", ""),
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["cut_before", "cut_after"])
@pytest.mark.parametrize("step", [1, 2])
def test_a_change_survives_a_break_at_each_step(books: Books, step: int, kind: str) -> None:
    link = books.post(order()).link
    event = changed("updated", "100", "20")
    if step == 2:  # the first of the two writes passes
        books.intuit.fail(ENTRY, "slow", seconds=0)
    books.intuit.fail(ENTRY, kind)
    with pytest.raises(Unknown):
        books.post(event, link)
    if books.look(event, link) is None:
        books.post(event, link)
    assert list(books.entries()) == ["SF-00000107", "SF-00000107-R", "SF-00000107-2"]
    assert books.balances() == {"91": 120, "82": -100, "79": -20}


@pytest.mark.parametrize("operation", ["voided", "deleted"])
def test_an_order_that_counts_no_more_nets_to_zero(books: Books, operation: str) -> None:
    first = books.post(order())
    gone = order(operation, occurred_at=LATER)
    if operation == "deleted":
        gone = dataclasses.replace(gone, lines=(), party=None, amount=None, day=None)
    books.intuit.fail(ENTRY, "cut_after")
    with pytest.raises(Unknown):
        books.post(gone, first.link)
    receipt = books.look(gone, first.link)
    assert receipt == books.post(gone, first.link)
    assert receipt is not None
    assert (list(books.entries()), books.balances()) == (["SF-00000107", "SF-00000107-R"], {})
    told = Feedback("order", ORDER, "reversed", first.id, "SF-00000107-R", SETTINGS)
    assert receipt.feedback == ((told,) if operation == "voided" else ())
    again = books.post(order("updated", occurred_at=LATER + dt.timedelta(hours=1)), receipt.link)
    assert (list(books.entries())[-1], again.id) == ("SF-00000107-2", books.entries()["SF-00000107-2"]["Id"])


def test_nothing_posted_leaves_nothing_to_reverse(books: Books) -> None:
    receipt = books.post(order("voided"))
    assert (receipt.id, receipt.feedback, books.entries()) == ("", (), {})


def test_an_older_state_told_late_changes_nothing(books: Books) -> None:
    link = books.post(changed("updated", "100", "20")).link
    receipt = books.post(order("updated"), link)
    assert receipt.warnings == ("late: a newer state of this order was told before",)
    assert (list(books.entries()), receipt.link) == (["SF-00000107"], link)


def test_an_entry_that_somebody_edited_or_deleted_is_left_alone(books: Books) -> None:
    link = books.post(order()).link
    (entry,) = books.company.rows("JournalEntry")
    books.intuit.change(books.realm, "JournalEntry", entry["Id"], PrivateNote="mine now")
    assert books.post(order("updated"), link).id == entry["Id"]
    with pytest.raises(Refuse, match=f"another journal entry in QuickBooks \\({entry['Id']}\\) has the number"):
        books.post(order("updated"))
    books.intuit.delete(books.realm, "JournalEntry", entry["Id"])
    assert books.post(order(), link).id == entry["Id"]
    assert books.entries() == {}
    books.post(changed("updated", "100", "20"), link)
    assert list(books.entries()) == ["SF-00000107-2"]


def test_a_zero_total_posts_nothing(books: Books) -> None:
    receipt = books.post(order("created", line("5", "Design"), line("-5", "Design")))
    told = Feedback("order", ORDER, "skipped", "", "nothing to post", SETTINGS)
    assert (receipt.id, receipt.feedback, books.intuit.writes) == ("", (told,), [])
    link = books.post(changed("updated", "100", "20"), receipt.link).link
    books.post(order("updated", line("0", "Design"), occurred_at=LATER), link)
    assert books.balances() == {}


def test_a_reduction_order_is_booked_the_other_way_round(books: Books) -> None:
    books.post(order("created", line("-10.005", "Design"), line("4", "SKU-2")))
    (entry,) = books.entries().values()
    assert postings(entry) == [("Credit", "91", "6.01"), ("Debit", "82", "10.01"), ("Credit", "79", "4.00")]


def test_every_reason_is_told_at_once(books: Books) -> None:
    books.intuit.deactivate(books.realm, "Account", "79")
    books.intuit.deactivate(books.realm, "Customer", "58")
    preferences = books.company.documents["Preferences", "1"]
    preferences["AccountingInfoPrefs"]["BookCloseDate"] = "2026-11-05"
    books.put("Item", Name="Bare", Sku="B-1")
    bad = order(
        "created",
        line("1", "nowhere", "neither", department=Ref("department", "", "East")),
        line("2", "SKU-2", class_=Ref("class", "", "Retail")),
        line("3"),
        line("4", "b-1"),
    )
    with pytest.raises(Refuse) as refused:
        books.post(dataclasses.replace(bad, amount=line("11").amount), debit_account="84000", credit_account="")
    (bare,) = [row["Id"] for row in books.company.rows("Item") if row["Name"] == "Bare"]
    assert refused.value.reasons == (
        "the sum of the order's lines is not its total: correct the order",
        "the QuickBooks customer 58 is inactive: make it active",
        "the books in QuickBooks are closed up to 2026-11-05: reopen them or change the order's start date",
        "the route's debit_account is not an account in QuickBooks: correct it",
        "line 1: no item in QuickBooks has the SKU or product code of its product",
        "line 1: its department is unknown or inactive in QuickBooks",
        "line 2: the income account 79 of the item 6 is inactive: make it active",
        "line 2: its class is unknown or inactive in QuickBooks",
        "line 3: its product has neither a SKU nor a product code",
        f"line 4: the item {bare} has no income account in QuickBooks: give it one",
    )
    assert (refused.value.code, books.intuit.writes) == ("refused", [])


def test_a_refused_change_leaves_the_posted_entry(books: Books) -> None:
    link = books.post(order()).link
    with pytest.raises(Refuse):
        books.post(order("updated", line("1", "nowhere"), occurred_at=LATER), link)
    assert list(books.entries()) == ["SF-00000107"]


def test_other_settings_and_currencies(books: Books) -> None:
    with pytest.raises(Refuse, match="the route has no debit_account"):
        books.post(order(), debit_account="")
    with pytest.raises(Refuse, match="the order is in EUR, and the company in QuickBooks uses USD alone"):
        books.post(order("created", dataclasses.replace(LINES[0], amount=line("1").amount), amount=money("1", "EUR")))
    books.post(order(), debit_account="order clearing", credit_account="79")
    (entry,) = books.entries().values()
    assert [account for _, account, _ in postings(entry)] == ["91", "79", "79"]


def test_what_quickbooks_itself_refuses_can_be_mended(books: Books) -> None:
    closed = b'{"Fault":{"Error":[{"Message":"x","Detail":"y","code":"6210"}],"type":"ValidationFault"}}'
    books.intuit.fail(ENTRY, "answer", answer=Answer(400, closed))
    with pytest.raises(Refuse) as refused:
        books.post(order())
    assert (refused.value.code, refused.value.status) == ("6210", 400)
    books.intuit.fail(ENTRY, "answer", answer=Answer(503, b""))
    with pytest.raises(Retry):
        books.post(order())
    books.intuit.fail(ENTRY, "answer", answer=Answer(200, b"<html>"))
    with pytest.raises(Unknown):
        books.post(order())
    books.post(order())
    assert len(books.entries()) == 1


def test_a_number_that_was_taken_meanwhile_is_found(books: Books) -> None:
    books.company.warns_on_duplicate_numbers = True
    books.intuit.fail(ENTRY, "cut_after")
    with pytest.raises(Unknown):
        books.post(order())
    books.put("JournalEntry", DocNumber="SF-00000108", PrivateNote="by hand", Line=[])
    with pytest.raises(Refuse, match="change its number"):
        books.post(order(number="00000108"))
    assert books.post(order()).id


def test_an_unlinked_account_waits_a_moment_for_its_customer_then_is_refused(books: Books) -> None:
    unlinked = order(party=Ref("customer", ACCOUNT, "Fabrikam"))
    with pytest.raises(NotYet):
        books.post(unlinked)
    books.now += dt.timedelta(minutes=1)
    with pytest.raises(Refuse) as refused:
        books.post(unlinked)
    assert refused.value.reasons == (
        "its account is not linked to a customer in QuickBooks: link or create the customer first",
    )
    books.put("Customer", Id="60", DisplayName="Fabrikam", Notes=f"Salesforce account {ACCOUNT}")
    receipt = books.post(unlinked)
    assert receipt.feedback[1] == Feedback("customer", ACCOUNT, "created", "60", "customer 60 in QuickBooks", SETTINGS)


def test_the_first_order_can_make_the_customer_once(books: Books) -> None:
    unlinked = order(party=Ref("customer", ACCOUNT, "Fabrikam"))
    for pattern in (r"POST .*/customer", ENTRY):
        books.intuit.fail(pattern, "cut_after")
        with pytest.raises(Unknown):
            books.post(unlinked, create_customers="first_order")
    receipt = books.look(unlinked, create_customers="first_order")
    assert receipt is not None
    (made,) = [row for row in books.company.rows("Customer") if row["DisplayName"] == "Fabrikam"]
    assert made["Notes"] == f"Salesforce account {ACCOUNT}"
    settings = SETTINGS | {"create_customers": "first_order"}
    assert receipt.feedback == (
        Feedback("order", ORDER, "posted", receipt.id, "SF-00000107", settings),
        Feedback("customer", ACCOUNT, "created", made["Id"], f"customer {made['Id']} in QuickBooks", settings),
    )
    assert len(books.entries()) == 1


def test_what_is_shown_of_an_order(books: Books) -> None:
    def shown(operation: str) -> str:
        return books.sink.render(order(operation), Style()).text

    assert shown("created") == "Order 00000107 of Northwind Bakery over 362.06 USD: journal entry in QuickBooks Online"
    assert shown("voided") == "Order 00000107 of Northwind Bakery: reversing entry in QuickBooks Online"


def test_many_orders_with_broken_calls_end_in_one_live_entry_each(books: Books) -> None:
    dice = random.Random(7)
    expected: Counter[str] = Counter()
    for number in range(40):
        event = order(record_id=f"801Sm0000{number:06d}IAA", number=f"{number:08d}")
        states = [event, changed("updated", f"{dice.randint(1, 99999)}.{dice.randint(0, 999):03d}", "20")]
        if dice.random() < 0.3:
            states.append(order("voided", occurred_at=LATER + dt.timedelta(hours=1)))
        link = None
        for state in states:
            told = dataclasses.replace(state, record_id=event.record_id, number=event.number)
            for _ in range(dice.randint(0, 3)):
                books.intuit.fail(dice.choice([ENTRY, r"/v3/"]), dice.choice(["cut_before", "cut_after", "truncate"]))
            link = delivered(books, told, link)
        if states[-1].operation != "voided":
            cents = [int((each.amount.amount * 100).quantize(Decimal(1), ROUND_HALF_UP)) for each in states[1].lines]
            expected.update({"91": sum(cents), "82": -cents[0], "79": -cents[1]})
    books.entries()  # no number twice
    assert {account: total * 100 for account, total in books.balances().items()} == expected


def delivered(books: Books, event: Any, link: Link | None) -> Link | None:
    """Delivers as the pipeline does: an uncertain outcome is looked up before the next try; the link may be lost."""
    for _ in range(20):
        try:
            return books.post(event, link).link
        except Unknown:
            try:
                found = books.look(event, link)
            except Retry:
                continue
            if found is not None:
                return found.link
        except Retry:
            continue
    raise AssertionError("it never arrives")
