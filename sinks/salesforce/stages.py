"""Which stage an invoice's Opportunity is in, and whether the org has it.

Source: object reference, "OpportunityStage". Labels are the org's own and may be renamed or translated.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from connector.kernel.errors import Misconfigured
from connector.kernel.events import FinancialEvent
from connector.kernel.values import flag, text
from sinks.salesforce.fields import STAGE_OPEN, STAGE_PAID, STAGE_VOIDED
from sources.salesforce.client import Client
from sources.salesforce.soql import select


@dataclasses.dataclass(frozen=True, slots=True)
class Stage:
    """One stage of the org."""

    label: str
    is_closed: bool


def read(client: Client) -> list[Stage]:
    """The stages that are in use, in the org's order."""
    shape = client.describe("OpportunityStage")
    fields = ["MasterLabel", *shape.only(("IsActive", "IsClosed", "SortOrder"))]
    rows = client.query(select(fields, "OpportunityStage"))
    listed = [row for row in rows if flag(row, "IsActive") is not False]
    listed.sort(key=lambda row: int(row.get("SortOrder") or 0))
    return [Stage(text(row, "MasterLabel"), flag(row, "IsClosed") is True) for row in listed]


def choose(client: Client, event: FinancialEvent, settings: Mapping[str, Any], current: str) -> str:
    """The stage for the invoice's state. `current` is the Opportunity's, empty for a new one."""
    if event.operation in ("voided", "deleted"):
        return str(settings.get("stage_voided") or STAGE_VOIDED)
    if event.status == "paid":
        return str(settings.get("stage_paid") or STAGE_PAID)
    if chosen := str(settings.get("stage_open") or ""):
        return chosen
    return STAGE_OPEN if current == STAGE_OPEN else _open(read(client))


def _open(stages: Iterable[Stage]) -> str:
    labels = [stage.label for stage in stages if not stage.is_closed]
    return STAGE_OPEN if STAGE_OPEN in labels or not labels else labels[0]


def require(client: Client, label: str) -> None:
    """Raises `Misconfigured` when the org has no such stage."""
    if label not in [stage.label for stage in read(client)]:
        raise Misconfigured(
            f'the Salesforce org has no active opportunity stage "{label}": set stage_open, stage_paid and '
            "stage_voided of the route to stages that it has",
            code="missing_stage",
        )
