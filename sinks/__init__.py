"""The systems that events can be told to: each name with the dotted path of its class, loaded when first needed."""

from __future__ import annotations

SYSTEMS: dict[str, str] = {"slack": "sinks.slack.sink.Slack"}
