"""Every vendor's stand-in: which there are, where they listen, and what points a connector at them."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from connector.kernel.standin import StandIn

#: The first stand-in listens here, the next on the next port.
PORT_BASE = 8100


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """One vendor. Each of `opens` fills its stand-in and gives variables for a configuration file.

    In the values of `environment` {0} is the stand-in.
    """

    system: str
    path: str
    opens: tuple[str, ...]
    environment: Mapping[str, str]
    arguments: Mapping[str, Any] = dataclasses.field(default_factory=dict)


#: The secrets are those that the stand-ins have when none are given.
ROWS = (
    Row(
        "quickbooks_online",
        "sources.quickbooks_online.standin.IntuitStandIn",
        ("connector.demo.quickbooks_books.open_company", "connector.demo.salesforce_books.open_ledger"),
        {
            "QUICKBOOKS_ONLINE_CLIENT_ID": "fake-client-id",
            "QUICKBOOKS_ONLINE_CLIENT_SECRET": "fake-client-secret",
            "QUICKBOOKS_ONLINE_WEBHOOK_TOKEN": "fake-verifier-token",
            "QUICKBOOKS_ONLINE_API_URL": "{0.url}",
            "QUICKBOOKS_ONLINE_OAUTH_URL": "{0.url}",
            "QUICKBOOKS_ONLINE_AUTHORIZE_URL": "{0.url}/connect/oauth2",
        },
    ),
    Row(
        "slack",
        "sinks.slack.standin.SlackStandIn",
        ("connector.demo.slack.open_workspace",),
        {
            "SLACK_CLIENT_ID": "fake-client-id",
            "SLACK_CLIENT_SECRET": "fake-client-secret",
            "SLACK_SIGNING_SECRET": "fake-signing-secret",
            "SLACK_API_URL": "{0.url}/api/",
            "SLACK_AUTHORIZE_URL": "{0.url}/oauth/v2/authorize",
        },
        # Posts to other channels that are on their way when Slack asks for a pause are nobody's fault.
        {"pause_grace": 0.5},
    ),
    Row(
        "freshbooks",
        "sources.freshbooks.standin.FreshBooksStandIn",
        ("connector.demo.freshbooks.open_books",),
        {
            "FRESHBOOKS_CLIENT_ID": "fake-client-id",
            "FRESHBOOKS_CLIENT_SECRET": "fake-client-secret",
            "FRESHBOOKS_API_URL": "{0.url}",
            "FRESHBOOKS_AUTHORIZE_URL": "{0.url}/oauth/authorize",
        },
    ),
    Row(
        "sage_intacct",
        "sources.sage_intacct.standin.IntacctStandIn",
        ("connector.demo.sage_intacct.open_company",),
        {
            "INTACCT_SENDER_ID": "fake-sender",
            "INTACCT_SENDER_PASSWORD": "fake-sender-password",
            "INTACCT_GATEWAY_URL": "{0.gateway_url}",
        },
    ),
    Row(
        "salesforce",
        "sources.salesforce.standin.SalesforceStandIn",
        ("connector.demo.salesforce_books.open_org",),
        {"SALESFORCE_PUBSUB_ENDPOINT": "{0.pubsub_endpoint}", "SALESFORCE_PUBSUB_PLAINTEXT": "true"},
    ),
)

StandIns = Mapping[str, StandIn]


class PortTaken(Exception):
    """Somebody else listens where a stand-in should; the text says what to do."""


@contextlib.contextmanager
def bound(host: str, port_base: int, *, may_move: bool) -> Iterator[StandIns]:
    """All stand-ins, by system: their ports are taken, and they answer once `start` has been called on each.

    With `may_move` one whose port is taken goes to a free one. Raises `PortTaken`.
    """
    with contextlib.ExitStack() as stack:
        found: dict[str, StandIn] = {}
        for position, row in enumerate(ROWS):
            found[row.system] = _bind(row, host, port_base + position, may_move=may_move)
            stack.callback(found[row.system].stop)
        yield found


def _bind(row: Row, host: str, port: int, *, may_move: bool) -> StandIn:
    kind: Callable[..., StandIn] = _load(row.path)
    try:
        return kind(host=host, port=port, **row.arguments)
    except OSError as error:
        if may_move:
            return kind(host=host, port=0, **row.arguments)
        raise PortTaken(
            f"the stand-in for {row.system} cannot listen on {host}:{port} ({error.strerror}): choose other ports with"
            " --port-base"
        ) from None


def _load(path: str) -> Any:
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


def environment(standins: StandIns) -> dict[str, str]:
    """The variables that point a connector at the stand-ins."""
    return {name: value.format(standins[row.system]) for row in ROWS for name, value in row.environment.items()}


def furnish(standins: StandIns) -> dict[str, str]:
    """Opens a company or workspace in each; the variables with their tokens, for `env:` in a configuration file."""
    opened = (_load(path)(standins[row.system]) for row in ROWS for path in row.opens)
    return {name: value for variables in opened for name, value in variables.items()}
