"""The meter of calls: warned of before it runs out, once for each mark and month."""

from __future__ import annotations

import pytest
import time_machine

from connector.models import Connection, InboxEvent, Organization, Payload, PayloadKind, VendorCalls
from connector.pipeline import allowance, clock


@pytest.fixture
def connection(db: None) -> Connection:
    organization = Organization.objects.create(slug="acme", name="Acme")
    return Connection.objects.create(
        organization=organization, slug="acme-intacct", system="sage_intacct", account="ACME-COMPANY"
    )


def use(connection: Connection, count: int, outcome: str = "transactions") -> None:
    month = clock.now().date().replace(day=1)
    row, _ = VendorCalls.objects.get_or_create(connection=connection, month=month, outcome=outcome)
    row.count += count
    row.save()
    allowance.warn(connection)


def told() -> list[str]:
    return [Payload.read(event, PayloadKind.EVENT)["memo"] for event in InboxEvent.objects.order_by("pk")]


def test_each_mark_is_told_once_a_month(connection: Connection) -> None:
    with time_machine.travel("2026-11-20T12:00:00Z") as now:
        use(connection, 79_999)
        use(connection, 500_000, "200")  # calls, which nobody bills
        assert told() == []
        use(connection, 1)
        use(connection, 1)
        assert told() == [
            "acme-intacct has used 80,000 of the 100,000 transactions that Sage Intacct includes this month (80 %): "
            "read less often, or raise the allowance at Sage Intacct."
        ]
        use(connection, 30_000)
        assert len(told()) == 2 and "(100 %)" in told()[1]
        now.move_to("2026-12-01T00:00:00Z")
        use(connection, 80_000)
        assert len(told()) == 3


def test_an_allowance_of_its_own_or_none(connection: Connection) -> None:
    connection.settings = {"monthly_allowance": 0}
    use(connection, 10**7)
    assert told() == []
    connection.settings = {"monthly_allowance": 10**8}
    assert allowance.usage(connection).percent == 10
