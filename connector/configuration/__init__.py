"""The configuration as a file: `check` says every mistake, `apply` is all-or-nothing, `export` writes what is there."""

from __future__ import annotations

from connector.configuration.applier import Report, apply
from connector.configuration.checker import check
from connector.configuration.exporter import document, export
from connector.configuration.granting import Busy
from connector.configuration.reader import MAX_BYTES, Mistake, Mistaken

__all__ = ["MAX_BYTES", "Busy", "Mistake", "Mistaken", "Report", "apply", "check", "document", "export"]
