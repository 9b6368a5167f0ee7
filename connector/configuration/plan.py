"""What a configuration file asks for, once nothing in it is wrong."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Mapping
from typing import Any

#: When an authorization ends: given beside the credentials, stored apart from them.
TIMES = ("expires_at", "refresh_expires_at", "hard_expires_at")


def is_token(name: str) -> bool:
    """Whether a credential is one that a renewal or an authorization replaces, unlike a password or a secret."""
    return name.endswith("token")


@dataclasses.dataclass(frozen=True, slots=True, repr=False)
class Given:
    """The credentials that the file gives a connection. Its repr shows names only."""

    values: Mapping[str, str]
    times: Mapping[str, dt.datetime]

    @property
    def login(self) -> str:
        """What tells one vendor log-in from another: its refresh token, "" where there is none."""
        return self.values.get("refresh_token", "")

    def __repr__(self) -> str:
        return f"Given({', '.join(sorted(self.values))})"


@dataclasses.dataclass(frozen=True, slots=True)
class WantedSchedule:
    """When a report is made; both windows 0 = always."""

    report: str
    cron: str
    window_last: int = 0
    window_first: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class WantedConnection:
    """`settings` are those that the file gives; others stay as they are. `schedules` are whole, or None = not given."""

    slug: str
    system: str
    account: str
    credentials: Given | None
    settings: Mapping[str, Any]
    schedules: tuple[WantedSchedule, ...] | None
    line: int


@dataclasses.dataclass(frozen=True, slots=True)
class WantedName:
    connection: str
    kind: str
    id: str
    name: str


@dataclasses.dataclass(frozen=True, slots=True)
class WantedRoute:
    """A route as a whole: what the file leaves out is at its default."""

    name: str
    source: str
    sink: str
    target: str
    events: tuple[str, ...]
    conditions: Mapping[str, Any]
    settings: Mapping[str, Any]
    thread_updates: bool
    mention: str
    digest_after: int


@dataclasses.dataclass(frozen=True, slots=True)
class WantedOrganization:
    """`columns` are those of name, timezone and locale that the file gives; None = nothing is said about the list."""

    slug: str
    columns: Mapping[str, str]
    connections: tuple[WantedConnection, ...]
    names: tuple[WantedName, ...] | None
    routes: tuple[WantedRoute, ...] | None
