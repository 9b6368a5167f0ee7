"""The vendors' stand-ins as the tests want them, and the variables that point a connector at them."""

from __future__ import annotations

from typing import Any

from sinks.slack.standin import SlackStandIn
from sources.quickbooks_online.standin import IntuitStandIn

APP = {
    "QUICKBOOKS_ONLINE_CLIENT_ID": "fake-client-id",
    "QUICKBOOKS_ONLINE_CLIENT_SECRET": "fake-client-secret",
    "QUICKBOOKS_ONLINE_WEBHOOK_TOKEN": "fake-verifier-token-for-tests,another-fake-verifier-token",
    "SLACK_CLIENT_ID": "fake-slack-client",
    "SLACK_CLIENT_SECRET": "fake-slack-secret",
    "SLACK_SIGNING_SECRET": "fake-signing-secret-samples",
}


def new_intuit() -> IntuitStandIn:
    return IntuitStandIn(verifier_token="fake-verifier-token-for-tests")


def new_slack(**options: Any) -> SlackStandIn:
    """The workspace; `options` are further ones of `SlackStandIn`."""
    return SlackStandIn(
        client_id=APP["SLACK_CLIENT_ID"],
        client_secret=APP["SLACK_CLIENT_SECRET"],
        signing_secret=APP["SLACK_SIGNING_SECRET"],
        team="T00000001",
        **options,
    )


def environment(intuit: IntuitStandIn, slack: SlackStandIn) -> dict[str, str]:
    """The variables that point a connector at these stand-ins."""
    return APP | {
        "QUICKBOOKS_ONLINE_API_URL": intuit.url,
        "QUICKBOOKS_ONLINE_OAUTH_URL": intuit.url,
        "QUICKBOOKS_ONLINE_AUTHORIZE_URL": f"{intuit.url}/connect/oauth2",
        "SLACK_API_URL": f"{slack.url}/api/",
        "SLACK_AUTHORIZE_URL": f"{slack.url}/oauth/v2/authorize",
    }
