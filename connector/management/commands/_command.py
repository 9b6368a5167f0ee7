"""What all commands share: one JSON document with `--json`, and the contract's exit codes."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any, NoReturn

from django.core.management.base import BaseCommand, CommandError, CommandParser

from connector.models import Connection


class Bad(CommandError):
    """Bad usage: exit 2, with what to do."""

    def __init__(self, text: str) -> None:
        super().__init__(text, returncode=2)


class Command(BaseCommand):
    """Base of the connector's commands."""

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        parser.add_argument("--json", action="store_true", dest="as_json", help="one JSON document on standard output")
        return parser

    def print(self, *lines: str) -> None:
        self.stdout.write("\n".join(lines))

    def answer(self, document: Any, *lines: str, as_json: bool) -> None:
        """The document with --json, else the lines."""
        if as_json:
            self.stdout.write(json.dumps(document, default=str, indent=2))
        else:
            self.print(*lines)


def failed(text: str = "") -> NoReturn:
    """The work failed: exit 1."""
    raise CommandError(text or "the work failed", returncode=1)


def connection_named(slug: str) -> Connection:
    found = Connection.objects.select_related("organization", "credential").filter(slug=slug).first()
    if found is None:
        known = ", ".join(Connection.objects.values_list("slug", flat=True)) or "none yet"
        raise Bad(f"there is no connection {slug}; the connections are: {known}")
    return found


def moment(text: str) -> dt.datetime:
    """An instant from the command line; without an offset it is UTC."""
    try:
        value = dt.datetime.fromisoformat(text)
    except ValueError:
        raise Bad(f"{text!r} is not a time; write it like 2026-11-20T12:00:00Z") from None
    return value.replace(tzinfo=dt.UTC) if value.tzinfo is None else value
