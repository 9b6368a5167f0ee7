"""A fresh world for each test, which may do nothing that FreshBooks would refuse or be harmed by."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from sinks.slack.standin import SlackStandIn
from tests.freshbooks.world import FreshWorld


@pytest.fixture
def world(database: None, redis: str, slack: SlackStandIn, settings: Any) -> Iterator[FreshWorld]:
    settings.SLACK_SPACING_SECONDS = 0.01
    made = FreshWorld(slack)
    yield made
    assert made.books.violations == []
    made.books.stop()
