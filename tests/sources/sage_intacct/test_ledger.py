"""Sums over random books, against a computation that shares nothing with the product: whole cents in integers."""

from __future__ import annotations

import collections
import dataclasses
import functools
from decimal import Decimal

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connector.kernel.events import FinancialEvent
from sources.sage_intacct import ledger
from sources.sage_intacct.rows import Entry
from tests.sources.sage_intacct.test_reports import BALANCED, line, told_postings
from tests.sources.sage_intacct.wire import Gateway, rows_result


@dataclasses.dataclass(frozen=True)
class Drawn:
    """A line as drawn: which batch, side, cents, currency, account, and whether it is statistical."""

    batch: int
    side: str
    cents: int
    currency: str
    account: str
    is_statistical: bool


DRAWN = st.builds(
    Drawn,
    batch=st.integers(0, 3),
    side=st.sampled_from(["1", "-1"]),
    cents=st.integers(-10, 10**15),
    currency=st.sampled_from(["USD", "EUR", "JPY"]),
    account=st.sampled_from(["6100", "2010", "1110"]),
    is_statistical=st.booleans(),
)


def written(cents: int) -> str:
    """As the gateway writes it: trailing zeros dropped."""
    sign, (whole, rest) = "-" if cents < 0 else "", divmod(abs(cents), 100)
    return f"{sign}{whole}.{rest:02d}".rstrip("0").rstrip(".")


@functools.cache
def server() -> Gateway:
    found = Gateway()
    found.start()
    return found


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(DRAWN, max_size=25), st.sets(st.integers(0, 3)))
def test_totals_equal_an_independent_computation(drawn: list[Drawn], statistical: set[int]) -> None:
    gateway = server()
    gateway.load_samples()
    heads = [
        BALANCED | {"RECORDNO": f"{700 + batch}", "BATCHNO": f"{batch}", "STATISTICAL": "TF"[batch not in statistical]}
        for batch in range(4)
    ]
    rows = [
        line(
            f"{number}", f"{700 + each.batch}", each.side, written(each.cents), BASECURR=each.currency,
            ACCOUNTNO=each.account, STATISTICAL="TF"[not each.is_statistical],
        )
        for number, each in enumerate(drawn, start=1)
    ]  # fmt: skip
    gateway.results |= {"GLBATCH": [rows_result("GLBATCH", heads)], "GLENTRY": [rows_result("GLENTRY", rows)]}
    events = told_postings(gateway)
    counted = [each for each in drawn if not each.is_statistical and each.batch not in statistical]

    assert _facts(events[:1], "Debits") == _cents(counted, "1")
    assert _facts(events[:1], "Credits") == _cents(counted, "-1")
    out = {
        f"GJ {batch}"
        for batch in range(4)
        if len({tuple(sorted(_balance([each for each in counted if each.batch == batch]).items())), ()}) > 1
    }
    assert {event.number for event in events if event.operation == "unbalanced"} == out


def _balance(drawn: list[Drawn]) -> dict[str, int]:
    found: collections.Counter[str] = collections.Counter()
    for each in drawn:
        found[each.currency] += each.cents * int(each.side)
    return {code: cents for code, cents in found.items() if cents}


def _cents(drawn: list[Drawn], side: str) -> dict[str, int]:
    """Cents by currency on one side, of every currency that has a line at all."""
    found = {each.currency: 0 for each in drawn}
    for each in drawn:
        found[each.currency] += each.cents if each.side == side else 0
    return found


def _facts(events: list[FinancialEvent], label: str) -> dict[str, int]:
    return {
        fact.money.currency: int(fact.money.amount * 100)
        for event in events
        for fact in event.facts
        if fact.money and label.lower() in fact.label.lower() and fact.label.startswith(("Debits", "Credits"))
    }


def test_sums_are_exact_beyond_the_usual_digits() -> None:
    big = Decimal("123456789012345678901234567890.01")
    entries = [
        Entry(str(n), "1", True, amount, "USD", "1", "", "", "", False)
        for n, amount in enumerate([big, Decimal("0.005")])
    ]
    assert ledger.totals(entries)["USD"].debit == Decimal("123456789012345678901234567890.015")
    assert ledger.differences(ledger.totals(entries[:1]), Decimal(0)) == {"USD": big}


@given(st.lists(st.tuples(DRAWN, st.sampled_from(["", "100", "200"]))))
def test_each_location_is_summed_by_itself(drawn: list[tuple[Drawn, str]]) -> None:
    entries = [
        Entry(str(n), "1", each.side == "1", Decimal(each.cents), each.currency, "1", "", place, f"At {place}", False)
        for n, (each, place) in enumerate(drawn)
    ]
    found = {place.id: (place.name, place.sums) for place in ledger.places(entries)}
    assert found.keys() == {place for _, place in drawn if place}
    for place, (name, sums) in found.items():
        here = [each for each, its in drawn if its == place]
        assert name == f"At {place}"
        assert {code: int(each.debit) for code, each in sums.items()} == _cents(here, "1")
        assert {code: int(each.credit) for code, each in sums.items()} == _cents(here, "-1")
