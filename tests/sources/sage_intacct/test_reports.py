"""Whole readings over a real connection: the samples' exact events, cursors, late changes, and parts that fail."""

from __future__ import annotations

import copy
import dataclasses
import datetime as dt
from decimal import Decimal
from typing import Any

import pytest

from connector.kernel.contracts import Context
from connector.kernel.errors import Misconfigured, Refresh, Reject, Retry
from connector.kernel.events import Fact, FinancialEvent, Line, Money, Ref
from connector.kernel.standin import Answer
from connector.kernel.values import BadValue
from tests.sources.sage_intacct.wire import (
    SERVER_NOW,
    SOURCE,
    Gateway,
    context,
    cursors_of,
    events_of,
    failed_result,
    pairs_of,
    report,
    response,
    result_of,
    rows_result,
)

WINDOW_END = SERVER_NOW
#: What is younger is read again.
READ_UNTIL = SERVER_NOW - dt.timedelta(minutes=2)
RUN_ID = "ACME-US:20190109T230005.000Z"
#: The reading's number, and with a last digit for the place the version of what it tells.
NUMBER = 1547074805000
SALARIES, PAYABLE = Ref("account", "6100", "Salaries"), Ref("account", "2010", "Inter Entity Payable")
RENT, PREPAID = Ref("account", "6300", "Rent"), Ref("account", "1110", "Prepaid rent")
REGAL = Ref("vendor", "20001", "Regal Services")
BURLINGTON = Ref("vendor", "20003", "Burlington Textiles Corp of America")


def usd(text: str) -> Money:
    return Money(Decimal(text), "USD")


def cad(text: str) -> Money:
    return Money(Decimal(text), "CAD")


RUN = FinancialEvent(
    record="gl_posting",
    operation="completed",
    record_id=RUN_ID,
    number="of 2 batches",
    amount=usd("51200"),
    lines=(
        Line("2010, 1 line", usd("50000"), account=PAYABLE, posting="credit"),
        Line("6100, 1 line", usd("50000"), account=SALARIES, posting="debit"),
        Line("6300, 1 line", usd("1200"), account=RENT, posting="debit"),
        Line("1110, 1 line", usd("1000"), account=PREPAID, posting="credit"),
    ),
    facts=(
        Fact("Out of balance", "GJ 250 by 200.00 USD"),
        Fact("Debits", money=usd("51200")),
        Fact("Credits", money=usd("51000")),
        Fact("Batches", "2 in GJ"),
        Fact("Lines", "4"),
        Fact("Location", "100"),
        Fact("GJ 249", "Paying some folks, 2 lines,", usd("50000")),
        Fact("GJ 250", "Reclass rent, debits 1,200.00 USD, credits 1,000.00 USD, 2 lines"),
        Fact("Covers", "2019-01-08 17:00 to 2019-01-09 17:00"),
    ),
    accounts=(PAYABLE, SALARIES, RENT, PREPAID),
    occurred_at=WINDOW_END,
)
UNBALANCED = FinancialEvent(
    record="gl_posting",
    operation="unbalanced",
    record_id="6680",
    number="GJ 250",
    amount=usd("200"),
    day=dt.date(2019, 1, 9),
    status="Posted",
    memo=(
        "Reclass rent: debits 1,200.00 USD, credits 1,000.00 USD; its lines were read twice. Intacct posts nothing "
        "unbalanced, so check first whether the API user sees all of it (restricted entities, locations or "
        "departments hide lines), then open the entry in Intacct"
    ),
    facts=(
        Fact("Debits", money=usd("1200")),
        Fact("Credits", money=usd("1000")),
        Fact("Lines", "2"),
        Fact("Location", "100"),
    ),
    occurred_at=dt.datetime(2019, 1, 9, 22, 41, 10, tzinfo=dt.UTC),
)
TITLE = "Payments(Bank-BA1143): 2019/01/09 Batch"
BATCH_321 = FinancialEvent(
    record="payment_batch",
    operation="completed",
    record_id="321",
    number="321",
    amount=usd("1475.00"),
    day=dt.date(2019, 1, 9),
    memo=TITLE,
    lines=(
        Line("Printed Check 10022, Voided", cad("500.00"), entity=BURLINGTON),
        Line("Printed Check 10021", usd("1475.00"), entity=REGAL),
    ),
    facts=(
        Fact("Voided", "1 payment,", cad("500.00")),
        Fact("Check vendors", "Burlington Textiles Corp of America (on hold)"),
        Fact("Processed", "1 payment,", usd("1475.00")),
        Fact("Payments", "2 to 2 vendors"),
        Fact("Methods", "Printed Check"),
    ),
    occurred_at=WINDOW_END,
)
BATCH_322 = FinancialEvent(
    record="payment_batch",
    operation="completed",
    record_id="322",
    number="322",
    status="pending",
    memo=TITLE,
    lines=(Line("EFT, Approved", usd("80.61"), entity=Ref("vendor", "20024", "Sharpe Interiors")),),
    facts=(
        Fact("Payments", "1 to 1 vendor"),
        Fact("Pending", "1 payment (Approved),", usd("80.61")),
    ),
    occurred_at=WINDOW_END,
)
VOIDED = FinancialEvent(
    record="payment",
    operation="voided",
    record_id="1864",
    number="10022",
    party=BURLINGTON,
    amount=cad("500.00"),
    day=dt.date(2019, 1, 9),
    status="Voided",
    memo=f"Intacct shows the payment as Voided (state V); 375.00 USD in the base currency; {TITLE}",
    facts=(Fact("Method", "Printed Check"),),
    occurred_at=dt.datetime(2019, 1, 9, 22, 52, 34, tzinfo=dt.UTC),
)
BARRED = FinancialEvent(
    record="vendor",
    operation="failed",
    record_id="20003",
    number="20003",
    party=BURLINGTON,
    status="on hold",
    memo=("the vendor is marked on hold, and this run has 1 payment to it: Printed Check 10022 500.00 CAD, Voided"),
    occurred_at=WINDOW_END,
)


def dallas(gateway: Gateway, **more: Any) -> Context:
    return context(gateway, timezone="America/Chicago", **more)


def test_the_samples_are_told_exactly(gateway: Gateway) -> None:
    ctx = dallas(gateway)
    parts = report(ctx)
    assert [(part.report, part.failure) for part in parts] == [("gl_postings", None), ("payment_batches", None)]
    assert events_of(ctx, parts) == [RUN, UNBALANCED, BATCH_321, BATCH_322, VOIDED, BARRED]
    assert gateway.asked == [
        ["GLBATCH", "APPYMT", "VENDOR", "USERINFO"],
        ["readUserFormatting", "GLENTRY"],
        ["GLENTRY"],  # batch 6680 once more, before anybody is alarmed
    ]
    postings, payments = (dict(part.batch.cursor or {}) for part in parts)
    marks = payments.pop("batches")
    assert marks.keys() == {"321", "322"} and all(len(mark) == 16 for mark in marks.values())
    assert [postings, payments] == [
        {
            "until": 1547074685,
            "told": {"6680": 1547073670, "6679": 1547071289},
            "number": NUMBER,
            "format": {"offset": 0, "read": 1547074805, "known": True},
        },
        {
            "until": 1547074685,
            "told": {"1865 A": 1547074500, "1864 V": 1547074354, "1863 C": 1547074208},
            "number": NUMBER,
            "format": {"offset": 0, "read": 1547074805, "known": True},
        },
    ]


def test_every_notice_says_what_it_is_about(gateway: Gateway) -> None:
    pairs = pairs_of(report(context(gateway)))
    assert [(n.record, n.record_id, n.operation, n.change_key) for n, _ in pairs] == [
        ("gl_posting", RUN_ID, "completed", f"gl_posting|{RUN_ID}|run"),
        ("gl_posting", "6680", "unbalanced", "unbalanced|6680|1547073670"),
        ("payment_batch", "321", "completed", f"payment_batch|321|{NUMBER}0"),
        ("payment_batch", "322", "completed", f"payment_batch|322|{NUMBER}0"),
        ("payment", "1864", "voided", "payment|1864|V"),
        ("vendor", "20003", "failed", "vendor|20003|20190109T230005.000Z"),
    ]
    for notice, record in pairs:
        assert record.version == (NUMBER * 10, "")
        assert (notice.account, notice.raw, notice.problem) == ("ACME-US", "", "")
        assert (notice.record, notice.record_id) == (record.record, record.record_id)
        assert notice.occurred_at is not None


def test_three_requests_at_most_with_small_results(gateway: Gateway) -> None:
    gateway.results["GLBATCH"] = [rows_result("GLBATCH", [BALANCED])]
    gateway.results["GLENTRY"] = [rows_result("GLENTRY", LINES_6679)]
    SOURCE.refresh(context(gateway, with_session=False))
    parts = report(context(gateway))
    assert all(part.failure is None for part in parts)
    assert len(gateway.asked) == 3


def test_a_report_alone_reads_only_its_own(gateway: Gateway) -> None:
    ctx = context(gateway)
    (only,) = report(ctx, {"payment_batches": {}})
    assert only.report == "payment_batches"
    assert gateway.asked == [["APPYMT", "VENDOR", "USERINFO"], ["readUserFormatting"]]
    assert report(ctx, {}) == []


def test_what_was_told_is_not_told_again(gateway: Gateway) -> None:
    ctx = context(gateway)
    cursors = cursors_of(report(ctx))
    for part in report(ctx, cursors, since=SERVER_NOW - dt.timedelta(days=90)):
        assert (part.batch.records, part.failure) == ((), None)
        assert part.batch.cursor == {**cursors[part.report], "number": NUMBER + 1}
    assert gateway.asked[3:] == [["GLBATCH", "APPYMT", "VENDOR"]]
    times = [value.text for value in gateway.requests[3].findall(".//query[1]//value")[:2]]
    assert times == ["10/11/2018 23:00:05", "01/09/2019 23:00:10"]


def test_the_first_window_is_wide_until_the_users_clock_is_known(gateway: Gateway) -> None:
    ctx = context(gateway, settings={"lookback_hours": 2})
    cursors = cursors_of(report(ctx))
    assert _window(gateway, 0) == ["01/09/2019 07:00:05", "01/10/2019 13:00:05"]
    ctx = dataclasses.replace(ctx, now=lambda: SERVER_NOW + dt.timedelta(hours=1))
    report(ctx, cursors)
    assert _window(gateway, 3) == ["01/09/2019 20:58:05", "01/10/2019 00:00:10"]


def _window(gateway: Gateway, number: int) -> list[str | None]:
    return [value.text for value in gateway.requests[number].findall(".//query[1]//value")[:2]]


def test_times_follow_the_users_own_clock(gateway: Gateway) -> None:
    (formatting,) = gateway.results["readUserFormatting"]
    offset = formatting.find(".//gmtoffset")
    assert offset is not None
    offset.text = "-08:00"
    ctx = context(gateway, now=SERVER_NOW + dt.timedelta(hours=8))
    gateway.now = SERVER_NOW + dt.timedelta(hours=8)
    parts = report(ctx)
    told = [dict(part.batch.cursor or {})["told"] for part in parts]
    assert told[0] == {"6679": 1547071289 + 8 * 3600, "6680": 1547073670 + 8 * 3600}
    report(ctx, cursors_of(parts))
    assert _window(gateway, 3) == ["01/09/2019 20:58:05", "01/09/2019 23:00:10"]


@pytest.mark.parametrize(("field", "value"), [("dateformat", "/dmY"), ("clock", "12"), ("gmtoffset", "west")])
def test_an_unusable_clock_is_refused(gateway: Gateway, field: str, value: str) -> None:
    found = gateway.results["readUserFormatting"][0].find(f".//{field}")
    assert found is not None
    found.text = value
    with pytest.raises(Misconfigured, match="preferences"):
        report(context(gateway))


def test_without_the_right_to_read_it_utc_is_assumed_and_noted(gateway: Gateway) -> None:
    gateway.results["USERINFO"] = [failed_result("PL04000005", "You do not have permission")]
    parts = report(context(gateway))
    assert len(pairs_of(parts)) == 6
    for part in parts:
        assert dict(part.batch.cursor or {})["format"] == {"offset": 0, "read": 1547074805, "known": False}
    report(context(gateway), cursors_of(parts))
    assert gateway.asked[3] == ["GLBATCH", "APPYMT", "VENDOR"]


def test_it_is_read_again_after_a_day(gateway: Gateway) -> None:
    cursors = cursors_of(report(context(gateway)))
    later = context(gateway, now=SERVER_NOW + dt.timedelta(days=2))
    report(later, cursors)
    assert gateway.asked[3] == ["GLBATCH", "APPYMT", "VENDOR", "USERINFO"]


def test_a_part_that_failed_is_said_and_keeps_its_cursor(gateway: Gateway) -> None:
    gateway.results["GLBATCH"] = [result_of("07", "glbatch")]
    gateway.results["APPYMT"] = [result_of("07", "appymt")]
    gateway.results["VENDOR"] = [result_of("07", "vendor")]
    ctx = dallas(gateway)
    postings, payments = report(ctx)
    assert events_of(ctx, [postings]) == [RUN, UNBALANCED] and postings.batch.cursor is not None
    assert isinstance(payments.failure, Reject) and payments.failure.code == "DL02000001"
    assert (payments.batch.records, payments.batch.cursor) == ((), None)


def test_vendors_that_can_be_read_a_little_later_are_waited_for(gateway: Gateway) -> None:
    gateway.results["VENDOR"].insert(0, failed_result("PL04000050", "Please Try Again Later"))
    ctx = dallas(gateway)
    (part,) = report(ctx, {"payment_batches": {}})
    assert isinstance(part.failure, Retry) and (part.batch.records, part.batch.cursor) == ((), None)
    assert events_of(ctx, report(ctx, {"payment_batches": {}})) == [BATCH_321, BATCH_322, VOIDED, BARRED]


def test_vendors_that_could_not_be_read_hold_up_no_payment(gateway: Gateway) -> None:
    gateway.results["VENDOR"] = [failed_result("PL04000005", "You do not have permission")]
    ctx = context(gateway)
    told, failed = report(ctx, {"payment_batches": {}})
    assert told.batch.cursor is not None and isinstance(failed.failure, Misconfigured)
    reason = (
        "the role of the Intacct user may not read VENDOR: give it List and View of Accounts Payable > Vendors "
        "(code PL04000005)"
    )
    part = "the vendors were not checked for being on hold, inactive, declined or not to be paid"
    assert (failed.report, failed.batch.cursor) == ("payment_batches", None)
    assert (failed.failure.text, failed.failure.code) == (f"{part}: {reason}", "PL04000005")
    batches = [event for event in events_of(ctx, [told]) if event.record == "payment_batch"]
    assert len(batches) == 2 and all(Fact("Vendors not checked", reason) in event.facts for event in batches)
    assert not [event for event in events_of(ctx, [told]) if event.record == "vendor"]


@pytest.mark.parametrize(
    ("rows", "total"),
    [(4, 5), (0, 3)],
)
def test_lines_that_are_not_whole_are_not_summed(gateway: Gateway, rows: int, total: int) -> None:
    gateway.results["GLENTRY"] = [
        rows_result("GLENTRY", (LINES_6679 + LINES_6680)[:rows], total=total),
        rows_result("GLENTRY", [], total=total),
    ]
    postings, payments = report(context(gateway))
    assert isinstance(postings.failure, Retry) and postings.failure.code == "incomplete"
    assert postings.batch.cursor is None and payments.batch.cursor is not None


def test_a_second_request_that_fails_fails_its_own_part_alone(gateway: Gateway) -> None:
    cursors = {name: {"format": FORMAT} for name in SOURCE.reports}
    gateway.at[2] = Answer(503, b"<html>busy</html>", {"Retry-After": "9"})
    postings, payments = report(context(gateway), cursors)
    assert isinstance(postings.failure, Retry) and (postings.failure.status, postings.failure.after) == (503, 9.0)
    assert (postings.batch.records, postings.batch.cursor) == ((), None)
    assert len(payments.batch.records) == 4 and payments.batch.cursor is not None


def test_without_the_clock_a_failed_second_request_fails_all(gateway: Gateway) -> None:
    gateway.at[2] = Answer(503, b"")
    with pytest.raises(Retry):
        report(context(gateway))


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_session_that_ends_on_the_way_tells_nothing_yet(gateway: Gateway, number: int) -> None:
    gateway.at[number] = Answer(200, response("04").replace(b"1700000000-0001", b"[control]"))
    with pytest.raises(Refresh):
        report(context(gateway))
    assert len(pairs_of(report(context(gateway)))) == 6


def test_pages_are_read_to_the_end(gateway: Gateway) -> None:
    lines = LINES_6679 + LINES_6680
    first = rows_result("GLENTRY", lines[:3], total=4)
    gateway.results["GLENTRY"] = [first, rows_result("GLENTRY", lines[3:], total=4), rows_result("GLENTRY", LINES_6680)]
    last = gateway.results["GLENTRY"][1].find("data")
    assert last is not None
    last.set("numremaining", "0")
    ctx = dallas(gateway)
    assert events_of(ctx, report(ctx, {"gl_postings": {}})) == [RUN, UNBALANCED]
    assert [request.findtext(".//query/offset") for request in gateway.requests] == ["0", "0", "3", "0"]


def test_an_object_that_takes_no_query_is_read_in_the_old_way(gateway: Gateway) -> None:
    pages = [result_of("08", "appymt-legacy"), result_of("09", "appymt-legacy-2")]
    gateway.results["APPYMT"] = [failed_result("Query Failed", "The query function is not supported here"), pages[0]]
    gateway.results["readMore"] = [pages[1]]
    for page in pages:
        for row in page.findall("data/appymt"):
            for name, value in (("TOTALENTERED", "1"), ("BASECURR", "USD")):
                row.append(copy.deepcopy(row[0]))
                row[-1].tag, row[-1].text = name, value
    ctx = context(gateway)
    (part,) = report(ctx, {"payment_batches": {}})
    (batch, voided, barred) = events_of(ctx, [part])
    assert (batch.number, batch.amount) == ("of 3 single payments", usd("1475.00"))
    assert (voided.number, voided.amount, barred.party) == ("", cad("500.00"), BURLINGTON)
    assert gateway.asked == [["APPYMT", "VENDOR", "USERINFO"], ["APPYMT"], ["readMore"], ["readUserFormatting"]]
    verb = gateway.requests[1].find(".//readByQuery")
    assert verb is not None and [child.tag for child in verb] == [
        "object",
        "fields",
        "query",
        "pagesize",
        "returnFormat",
    ]
    assert gateway.requests[2].findtext(".//resultId") == "7765623332WU1hh8CoA4QAAHxI9i8AAAAA5"


def test_nothing_found_says_nothing_unless_asked(gateway: Gateway) -> None:
    empty = result_of("10", "appymt-legacy")
    gateway.results = {"USERINFO": gateway.results["USERINFO"], "APPYMT": [empty]}
    parts = report(context(gateway))
    assert pairs_of(parts) == [] and cursors_of(parts).keys() == {"gl_postings", "payment_batches"}
    assert len(gateway.asked) == 1  # no time came, so nobody asked how times look
    ctx = context(gateway, settings={"tell_empty_runs": "yes"})
    postings, payments = events_of(ctx, report(ctx))
    covers = (Fact("Covers", "2019-01-08 23:00 to 2019-01-09 23:00"),)
    assert (postings.number, postings.memo, postings.facts) == ("of no new batches", "", covers)
    assert (payments.number, payments.memo, payments.facts) == ("of no new payments", "", covers)


FORMAT = {"offset": 0, "read": int(SERVER_NOW.timestamp()), "known": True}
BALANCED = {
    "RECORDNO": "6679", "BATCHNO": "249", "BATCH_TITLE": "Paying some folks", "JOURNAL": "GJ",
    "BATCH_DATE": "01/09/2019", "STATE": "Posted", "WHENMODIFIED": "01/09/2019 22:01:29",
    "RECORD_URL": "https://www.intacct.com/ur?r=6679",
}  # fmt: skip


def line(record: str, batch: str, side: str, amount: str, **more: str) -> dict[str, str]:
    return {
        "RECORDNO": record, "BATCHNO": batch, "TR_TYPE": side, "AMOUNT": amount, "ACCOUNTNO": "6100",
        "ACCOUNTTITLE": "Salaries", "STATISTICAL": "F", "LOCATION": "100", "BASECURR": "USD",
    } | more  # fmt: skip


def account(number: str, title: str) -> dict[str, str]:
    return {"ACCOUNTNO": number, "ACCOUNTTITLE": title}


LINES_6679 = [
    line("99612", "6679", "1", "50000"),
    line("99613", "6679", "-1", "50000", **account("2010", "Inter Entity Payable")),
]
LINES_6680 = [
    line("99620", "6680", "1", "1200", **account("6300", "Rent")),
    line("99621", "6680", "-1", "1000", **account("1110", "Prepaid rent")),
]


def posted(gateway: Gateway, *batches: dict[str, str], lines: list[dict[str, str]] | None = None) -> None:
    gateway.results["GLBATCH"] = [rows_result("GLBATCH", batches)]
    gateway.results["GLENTRY"] = [rows_result("GLENTRY", LINES_6679 if lines is None else lines)]


def told_postings(gateway: Gateway, cursor: dict[str, Any] | None = None) -> list[FinancialEvent]:
    ctx = context(gateway)
    return events_of(ctx, report(ctx, {"gl_postings": cursor or {}}))


def fact(event: FinancialEvent, label: str) -> str:
    return next((fact.text for fact in event.facts if fact.label == label), "")


def test_a_late_change_is_told_as_one(gateway: Gateway) -> None:
    posted(gateway, BALANCED)
    (part,) = report(context(gateway), {"gl_postings": {}})
    cursor = cursors_of([part])["gl_postings"]
    posted(gateway, BALANCED | {"WHENMODIFIED": "01/09/2019 22:30:00"})
    (changed,) = told_postings(gateway, cursor)
    assert (changed.number, changed.amount, changed.accounts) == ("of changes to 1 batch", None, ())
    assert [fact.label for fact in changed.facts] == ["Changed since told", "GJ 249", "Covers"]
    posted(gateway, BALANCED | {"WHENMODIFIED": "01/09/2019 22:30:00", "STATE": "Reversed"}, lines=[])
    (gone,) = told_postings(gateway, cursor)
    assert gone.number == "of changes to 1 batch"
    assert fact(gone, "Changed since told") == "GJ 249 Reversed"


def test_drafts_and_statistical_journals_stand_apart(gateway: Gateway) -> None:
    posted(
        gateway,
        BALANCED,
        BALANCED | {"RECORDNO": "1", "STATE": "Draft"},
        BALANCED | {"RECORDNO": "2", "STATE": "Draft"},
        BALANCED | {"RECORDNO": "3", "STATE": "Submitted"},
        BALANCED | {"RECORDNO": "4", "STATISTICAL": "T"},
    )
    (event,) = told_postings(gateway)
    assert (event.number, event.amount) == ("of 1 batch", usd("50000"))
    assert (fact(event, "Not posted"), fact(event, "Statistical")) == ("2 Draft, 1 Submitted", "1 batch")
    assert gateway.requests[1].xpath("//query[object='GLENTRY']//value/text()") == ["6679", "1", "2", "3", "4"]


def test_statistical_lines_and_transaction_amounts_raise_no_alarm(gateway: Gateway) -> None:
    lines = [
        line("1", "6679", "1", "100", TRX_AMOUNT="90", CURRENCY="EUR"),
        line("2", "6679", "-1", "100", TRX_AMOUNT="110", CURRENCY="USD"),
        line("3", "6679", "1", "7", STATISTICAL="T"),
        line("4", "6679", "1", "5", BASECURR="GBP"),
        line("5", "6679", "-1", "5", BASECURR="GBP"),
    ]
    posted(gateway, BALANCED, lines=lines)
    (event,) = told_postings(gateway)
    assert event.amount is None
    assert event.facts[:2] == (
        Fact("Debits and credits GBP", money=Money(Decimal(5), "GBP")),
        Fact("Debits and credits USD", money=usd("100")),
    )


def test_an_alarm_is_looked_at_twice(gateway: Gateway) -> None:
    posted(gateway, BALANCED)
    gateway.results["GLENTRY"].insert(0, rows_result("GLENTRY", LINES_6679[:1]))
    (event,) = told_postings(gateway)
    assert (event.operation, fact(event, "Out of balance"), fact(event, "Lines")) == ("completed", "", "2")
    gateway.results["GLENTRY"] = [rows_result("GLENTRY", LINES_6679[:1]), rows_result("GLENTRY", [])]
    (event,) = told_postings(gateway)
    assert (event.operation, fact(event, "No line visible")[:6]) == ("completed", "GJ 249")
    gateway.results["GLENTRY"] = [rows_result("GLENTRY", LINES_6679[:1]), failed_result("PL04000050", "")]
    (part,) = report(context(gateway), {"gl_postings": {}})
    assert isinstance(part.failure, Retry) and part.batch.records == ()


def test_a_tolerance_may_be_set_and_an_entity_is_named(gateway: Gateway) -> None:
    for tolerance, count in (("199.99", 2), ("200", 1)):
        ctx = context(gateway, settings={"balance_tolerance": tolerance, "entity": "200"})
        found = events_of(ctx, report(ctx, {"gl_postings": {}}))
        assert len(found) == count
        assert all("signs in to the entity 200" in event.memo for event in found[1:])
    with pytest.raises(Misconfigured, match="balance_tolerance"):
        report(context(gateway, settings={"balance_tolerance": "-1"}))


def test_a_batch_without_visible_lines_is_said(gateway: Gateway) -> None:
    posted(gateway, BALANCED, lines=[])
    (event,) = told_postings(gateway)
    assert fact(event, "No line visible") == "GJ 249: check what the API user may see"


def test_times_that_are_none(gateway: Gateway) -> None:
    posted(
        gateway,
        BALANCED | {"RECORDNO": "1", "WHENMODIFIED": "", "WHENCREATED": "01/09/2019 22:00:00"},
        BALANCED | {"RECORDNO": "2", "WHENMODIFIED": "01/01/1970 00:00:00", "MODIFIED": "01/09/2019 22:10:00"},
        BALANCED | {"RECORDNO": "3", "WHENMODIFIED": "01/09/2019 22:59:00"},  # within the lag
        BALANCED | {"RECORDNO": "4", "WHENMODIFIED": "01/08/2019 22:00:00"},  # before the window
        lines=[],
    )
    (part,) = report(context(gateway), {"gl_postings": {}})
    assert dict(part.batch.cursor or {})["told"] == {"2": 1547071800, "1": 1547071200}


def test_more_than_fits_has_its_details_in_the_thread(gateway: Gateway) -> None:
    batches = [BALANCED | {"RECORDNO": str(number), "BATCHNO": str(number)} for number in range(1, 8)]
    lines = [
        line(f"{number}{side}", str(number), side, f"{number}", **account(f"{number}", f"Account {number}"))
        for number in range(1, 8)
        for side in ("1", "-1")
    ]
    posted(gateway, *batches, lines=lines)
    ctx = context(gateway)
    (part,) = report(ctx, {"gl_postings": {}})
    (first, run_record), (second, details_record) = part.batch.records
    assert first.record_id == second.record_id == RUN_ID and first.change_key != second.change_key
    assert run_record.version < details_record.version
    run, details = events_of(ctx, [part])
    assert (run.part, details.part, run.number, details.number) == ("", "details", "of 7 batches", "of 7 batches")
    assert (len(run.lines), len(run.accounts), run.amount) == (14, 7, usd("28"))
    assert details.lines[0] == Line("GJ 1 Paying some folks, 2 lines", usd("1"))
    assert (len(details.lines), details.facts[0]) == (
        7,
        Fact("7 Account 7", "debits 7.00 USD, credits 7.00 USD, 2 lines"),
    )


def test_names_that_people_gave_are_used(gateway: Gateway) -> None:
    ctx = context(gateway)
    found = events_of(ctx, report(ctx), names=lambda kind, id_, name: f"{kind} {id_}!")
    assert found[0].accounts[0] == Ref("account", "2010", "account 2010!")
    assert found[4].party == Ref("vendor", "20003", "vendor 20003!")


def payment(record: str, **more: str) -> dict[str, str]:
    return {
        "RECORDNO": record, "PRBATCHKEY": "321", "PRBATCH": "Bank", "STATE": "C", "PAYMENTMETHOD": "ACH",
        "VENDORID": "20001", "VENDORNAME": "Regal Services", "DOCNUMBER": record, "WHENPAID": "01/09/2019",
        "BASECURR": "USD", "CURRENCY": "USD", "TOTALENTERED": "10", "TRX_TOTALENTERED": "10",
        "WHENMODIFIED": "01/09/2019 22:00:00",
    } | more  # fmt: skip


def paid(gateway: Gateway, *rows: dict[str, str]) -> None:
    gateway.results["APPYMT"] = [rows_result("APPYMT", rows)]


def test_a_batch_that_grew_is_read_whole_and_told_as_an_update(gateway: Gateway) -> None:
    ctx = context(gateway)
    paid(gateway, payment("1"))
    cursors = cursors_of(report(ctx, {"payment_batches": {}}))
    later = payment("2", WHENMODIFIED="01/09/2019 23:30:00")
    gateway.now = SERVER_NOW + dt.timedelta(hours=4)
    ctx = context(gateway, now=gateway.now)
    gateway.results["APPYMT"] = [rows_result("APPYMT", [later]), rows_result("APPYMT", [payment("1"), later])]
    gateway.asked.clear()
    (part,) = report(ctx, cursors)
    ((_, record),) = part.batch.records
    (event,) = events_of(ctx, [part])
    assert (event.part, event.record_id, event.amount) == ("update", "321", usd("20"))
    assert fact(event, "Payments") == "2 to 1 vendor"
    assert record.version == ((NUMBER + 4 * 3600 * 1000) * 10, "")
    assert gateway.asked == [["APPYMT", "VENDOR"], ["APPYMT"]]
    assert gateway.requests[-1].xpath("//query/filter/in/*/text()") == ["PRBATCHKEY", "321"]


def test_two_readings_within_a_second_are_two_readings(gateway: Gateway) -> None:
    """The vendor's times are of whole seconds, and its clock may be set back between two log-ins."""
    ctx = context(gateway)
    posted(gateway, BALANCED)
    paid(gateway, payment("1"))
    parts = report(ctx)
    more = BALANCED | {"RECORDNO": "7000", "BATCHNO": "300", "WHENMODIFIED": "01/09/2019 23:00:00"}
    posted(gateway, BALANCED, more, lines=[line("1", "7000", "1", "5"), line("2", "7000", "-1", "5")])
    voided = payment("1", STATE="V")
    gateway.results["APPYMT"] = [rows_result("APPYMT", [voided])]
    for skew in (0, -2):
        later = dataclasses.replace(ctx, now=lambda skew=skew: SERVER_NOW + dt.timedelta(seconds=skew))
        again = report(later, cursors_of(parts))
        assert [event.type for event in events_of(ctx, again)] == [
            "gl_posting.completed", "payment_batch.completed", "payment.voided",
        ]  # fmt: skip
        (run, record), (batch, grown), _ = pairs_of(again)
        assert run.change_key not in {notice.change_key for notice, _ in pairs_of(parts)}
        assert batch.change_key not in {notice.change_key for notice, _ in pairs_of(parts)}
        assert min(record.version, grown.version) > max(each.version for _, each in pairs_of(parts))


def test_a_change_that_nobody_sees_is_not_told(gateway: Gateway) -> None:
    ctx = context(gateway)
    rows = [payment("1"), payment("2", PRBATCHKEY="", PRBATCH="")]
    paid(gateway, *rows)
    (first,) = report(ctx, {"payment_batches": {}})
    assert [event.number for event in events_of(ctx, [first])] == ["321", "of 1 single payment"]
    touched = [row | {"WHENMODIFIED": "01/09/2019 22:30:00"} for row in rows]  # it was cleared at the bank, say
    gateway.results["APPYMT"] = [rows_result("APPYMT", touched), rows_result("APPYMT", touched[:1])]
    (second,) = report(ctx, cursors_of([first]))
    assert (second.batch.records, second.failure) == ((), None)


@pytest.mark.parametrize(
    ("state", "operation", "label"),
    [
        ("C", "", "Confirmed"),
        ("P", "", "Printed"),
        ("V", "voided", "Voided"),
        ("VP", "voided", "Void printed"),
        ("U", "rejected", "Declined"),
        ("R", "rejected", "Rejected"),
        ("D", "", "Draft"),
        ("X", "", "Deleted"),
        ("ZZ", "", "state ZZ"),
        ("", "", "state unknown"),
    ],
)
def test_the_states_of_a_payment(gateway: Gateway, state: str, operation: str, label: str) -> None:
    paid(gateway, payment("1", STATE=state))
    ctx = context(gateway)
    batch, *others = events_of(ctx, report(ctx, {"payment_batches": {}}))
    assert [(event.type, event.status) for event in others] == ([(f"payment.{operation}", label)] if operation else [])
    is_processed = state in ("C", "P")
    assert (batch.amount is not None) == is_processed
    assert batch.lines[0].description == ("ACH 1" if is_processed else f"ACH 1, {label}")


@pytest.mark.parametrize(
    ("fields", "flags"),
    [
        ({"ONHOLD": "true"}, "on hold"),
        ({"DONOTCUTCHECK": "T"}, "do not pay"),
        ({"STATUS": "inactive"}, "inactive"),
        ({"STATE": "Declined"}, "declined"),
        ({"STATUS": "F", "ONHOLD": "T"}, "on hold, inactive"),
        ({"STATUS": "active", "ONHOLD": "false", "STATE": "Approved"}, ""),
    ],
)
def test_vendors_that_should_not_be_paid(gateway: Gateway, fields: dict[str, str], flags: str) -> None:
    paid(gateway, payment("1"), payment("2", VENDORID="other"))
    gateway.results["VENDOR"] = [rows_result("VENDOR", [{"VENDORID": "20001", "NAME": "Regal Services"} | fields])]
    ctx = context(gateway)
    found = [event for event in events_of(ctx, report(ctx, {"payment_batches": {}})) if event.record == "vendor"]
    assert [(event.status, event.party) for event in found] == ([(flags, REGAL)] if flags else [])


def test_a_row_that_cannot_be_read_fails_its_report_alone(gateway: Gateway) -> None:
    posted(gateway, BALANCED, lines=[line("1", "6679", "0", "1")])
    postings, payments = report(context(gateway))
    assert isinstance(postings.failure, Reject) and postings.failure.code == "bad_row"
    assert postings.failure.text.endswith("TR_TYPE is neither debit nor credit") and payments.failure is None
    paid(gateway, payment("1", TOTALENTERED="secret"))
    _, payments = report(context(gateway))
    assert isinstance(payments.failure, Reject) and "secret" not in payments.failure.text


def test_many_payments_have_their_details_in_the_thread(gateway: Gateway) -> None:
    paid(gateway, *(payment(str(number)) for number in range(1, 13)))
    ctx = context(gateway)
    batch, details = events_of(ctx, report(ctx, {"payment_batches": {}}))
    assert batch.lines == (
        Line("12 payments: ACH 1, ACH 2, ACH 3, ACH 4, ACH 5, ACH 6 and 6 more", usd("120"), entity=REGAL),
    )
    assert (details.part, len(details.lines), details.lines[11]) == (
        "details",
        12,
        Line("ACH 12", usd("10"), entity=REGAL),
    )


def test_only_records_of_reports_have_events(gateway: Gateway) -> None:
    ctx = context(gateway)
    notice, record = pairs_of(report(ctx))[0]
    with pytest.raises(BadValue):
        SOURCE.to_event(ctx, notice, dataclasses.replace(record, body={"kind": "x"}), lambda *names: "")
