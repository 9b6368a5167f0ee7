"""The scripted gateway, empty of requests for each test."""

from __future__ import annotations

from tests.sources.sage_intacct.wire import gateway

__all__ = ["gateway"]
