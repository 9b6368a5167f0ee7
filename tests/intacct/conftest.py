"""A fresh world for each test, which may do nothing that Intacct would refuse or be harmed by."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from connector.pipeline import hints
from sinks.slack.standin import SlackStandIn
from tests.intacct.world import IntacctWorld


@pytest.fixture
def world(database: None, redis: str, slack: SlackStandIn, settings: Any) -> Iterator[IntacctWorld]:
    settings.SLACK_SPACING_SECONDS = 0.01
    hints._quiet_until = 0.0  # an earlier test may have been without Redis
    made = IntacctWorld(slack)
    yield made
    made.intacct.stop()
    assert made.intacct.violations == []
    assert made.intacct.overlaps == 0
