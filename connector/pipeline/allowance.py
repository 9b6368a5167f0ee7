"""The meter: what a connection has used of the vendor's monthly allowance, and the warning before it runs out."""

from __future__ import annotations

import dataclasses

from django.db import transaction
from django.db.models import Sum

from connector import registry
from connector.models import Connection, Cursor, VendorCalls
from connector.pipeline import alerts, audit, clock, polling

#: Per cent of the allowance at which people are told, once a month each.
MARKS = (80, 100)
CURSOR = "allowance"


@dataclasses.dataclass(frozen=True, slots=True)
class Usage:
    """What was used this month; `allowance` 0 = the vendor names none."""

    used: int
    allowance: int
    unit: str

    @property
    def percent(self) -> float:
        return 100 * self.used / self.allowance if self.allowance else 0.0


def usage(connection: Connection) -> Usage:
    """This month's use so far."""
    system = registry.system(connection.system)
    calls = VendorCalls.objects.filter(connection=connection, month=clock.now().date().replace(day=1))
    if system.metered:
        calls = calls.filter(outcome=system.metered)
    used = calls.aggregate(total=Sum("count"))["total"] or 0
    defaults = {field.name: field.default for field in system.settings_fields}
    allowance = {**defaults, **connection.settings}.get("monthly_allowance") or 0
    return Usage(used, allowance if isinstance(allowance, int) else 0, system.metered or "calls")


def warn(connection: Connection) -> None:
    """Tells once that a mark has been passed this month."""
    found = usage(connection)
    passed = max((mark for mark in MARKS if found.percent >= mark), default=0)
    if not passed:
        return
    month = f"{clock.now():%Y-%m}"
    row = Cursor.objects.filter(connection=connection, name=CURSOR).first()
    told = row.state if row else {}
    if told.get("month") == month and told.get("mark", 0) >= passed:
        return
    label = registry.system(connection.system).label
    what = f"{found.used:,} of the {found.allowance:,} {found.unit} that {label} includes this month"
    text = f"{connection.slug} has used {what} ({passed} %): read less often, or raise the allowance at {label}."
    with transaction.atomic():
        polling.move_cursor(connection, CURSOR, {"month": month, "mark": passed})
        entry = audit.Entry("allowance.passed", connection=connection.slug, reason=f"{passed} % in {month}")
        audit.append(connection.organization, entry)
        alerts.announce(connection, "failed", text, key=f"allowance {month} {passed}")
