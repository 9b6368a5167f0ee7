"""A company file, its Web Connector, and the service behind a real address."""

from __future__ import annotations

from typing import Any

import pytest

from sinks.slack.standin import SlackStandIn
from tests.desktop import Desk


@pytest.fixture
def desk(database: None, redis: str, slack: SlackStandIn, live_server: Any, settings: Any) -> Desk:
    """A fresh desk whose every event is told in one channel."""
    settings.SLACK_SPACING_SECONDS = 0.01
    found = Desk(slack, live_server.url)
    found.route()
    return found
