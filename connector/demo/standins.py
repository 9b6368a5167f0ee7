"""Every vendor's stand-in: which there are, where they listen, and what points a connector at them."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
from collections.abc import Callable, Iterator, Mapping

from connector.kernel.standin import StandIn

#: The first stand-in listens here, the next on the next port.
PORT_BASE = 8100


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """One vendor: its stand-in's class, and the environment of a connector that calls it ({0} is the stand-in)."""

    system: str
    path: str
    environment: Mapping[str, str]


#: The secrets are those that the stand-ins have when none are given.
ROWS = (
    Row(
        "quickbooks_online",
        "sources.quickbooks_online.standin.IntuitStandIn",
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
        {
            "SLACK_CLIENT_ID": "fake-client-id",
            "SLACK_CLIENT_SECRET": "fake-client-secret",
            "SLACK_SIGNING_SECRET": "fake-signing-secret",
            "SLACK_API_URL": "{0.url}/api/",
            "SLACK_AUTHORIZE_URL": "{0.url}/oauth/v2/authorize",
        },
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
    module, _, name = row.path.rpartition(".")
    kind: Callable[..., StandIn] = getattr(importlib.import_module(module), name)
    try:
        return kind(host=host, port=port)
    except OSError as error:
        if may_move:
            return kind(host=host, port=0)
        raise PortTaken(
            f"the stand-in for {row.system} cannot listen on {host}:{port} ({error.strerror}): choose other ports with"
            " --port-base"
        ) from None


def environment(standins: StandIns) -> dict[str, str]:
    """The variables that point a connector at the stand-ins."""
    return {
        name: value.format(standins[row.system])
        for row in ROWS
        if row.system in standins
        for name, value in row.environment.items()
    }
