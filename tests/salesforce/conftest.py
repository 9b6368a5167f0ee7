"""A fresh company and org for each test, which may do nothing that either vendor would refuse or be harmed by."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from sinks.slack.standin import SlackStandIn
from sources.quickbooks_online.standin import IntuitStandIn
from tests.salesforce.world import TwoWays, new_org


@pytest.fixture
def world(database: None, redis: str, intuit: IntuitStandIn, slack: SlackStandIn, settings: Any) -> Iterator[TwoWays]:
    settings.SLACK_SPACING_SECONDS = 0.01
    intuit.enforce_limits = False
    org = new_org()
    try:
        yield TwoWays(intuit, slack, org)
        assert [org.violations, intuit.violations] == [[], []]
    finally:
        org.stop()
