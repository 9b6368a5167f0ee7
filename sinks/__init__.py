"""The systems that events can be told to: each name with the dotted path of its class, loaded when first needed."""

from __future__ import annotations

SYSTEMS: dict[str, str] = {
    "quickbooks_online": "sinks.quickbooks_online.sink.QuickBooksOnlineSink",
    "salesforce": "sinks.salesforce.sink.SalesforceSink",
    "slack": "sinks.slack.sink.Slack",
}
