"""One change event, decoded."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True, slots=True)
class ChangeEvent:
    """One decoded event. `body` holds the fields beside the header; `changed` and `nulled` are names of fields."""

    entity: str
    change: str
    record_ids: tuple[str, ...]
    transaction: str
    sequence: int
    committed_at: dt.datetime
    user: str
    origin: str
    body: Mapping[str, Any]
    changed: tuple[str, ...]
    nulled: tuple[str, ...]
    header: Mapping[str, Any]

    def raw(self) -> str:
        """The header as JSON."""
        return json.dumps(self.header, separators=(",", ":"))
