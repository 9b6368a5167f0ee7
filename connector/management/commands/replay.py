"""`manage.py replay`"""

from __future__ import annotations

import threading
import uuid
from argparse import ArgumentParser
from typing import Any
from uuid import UUID

from connector.management.commands import _command
from connector.models import DeliveryState
from connector.pipeline import replay


class Command(_command.Command):
    help = "Redelivers what is parked or failed; never what was delivered, unless --again."

    def add_arguments(self, parser: ArgumentParser) -> None:
        for name in ("delivery", "event", "organization", "connection", "route", "channel", "since", "until"):
            parser.add_argument(f"--{name}", default="")
        parser.add_argument("--status", default="")
        parser.add_argument("--dry-run", action="store_true")
        parser.add_argument("--again", action="store_true", help="also what was delivered, as a new message")
        parser.add_argument("--watch", action="store_true", help="show how far they have come, until none waits")

    def handle(self, *args: Any, as_json: bool, dry_run: bool, again: bool, watch: bool, **options: Any) -> None:
        selection = self._selection(options)
        if selection.is_empty():
            raise _command.Bad("say what to replay: --status parked, --connection, --route, --channel, --delivery, …")
        result = replay.replay(selection, actor="command", is_dry=dry_run, again=again)
        if watch:
            self._watch(result.freed)
        verb = "would be released" if dry_run else "released"
        line = f"{result.matched} matched, {result.released} {verb}, {result.skipped} skipped"
        document = {"matched": result.matched, "released": result.released, "skipped": result.skipped}
        self.answer(document, line, as_json=as_json)

    def _watch(self, freed: list[UUID]) -> None:
        """Says on standard error what the released deliveries have come to, whenever that changes."""
        told: dict[str, int] = {}
        while freed:
            found = replay.progress(freed)
            if found != told:
                parts = ", ".join(f"{count} {state}" for state, count in sorted(found.items()))
                self.stderr.write(f"of {len(freed)}: {parts}")
                told = found
            if not found.keys() & {DeliveryState.WAITING, DeliveryState.SENDING}:
                return
            threading.Event().wait(1.0)

    def _selection(self, options: dict[str, Any]) -> replay.Selection:
        if options["status"] and options["status"] not in ("parked", "failed", *DeliveryState.values):
            raise _command.Bad(f"there is no state {options['status']!r}; replay knows parked and failed")
        for name in ("delivery", "event"):
            self._check_id(name, options[name])
        if options["connection"]:
            _command.connection_named(options["connection"])
        names = ("delivery", "event", "status", "organization", "connection", "route", "channel")
        since, until = (_command.moment(options[name]) if options[name] else None for name in ("since", "until"))
        return replay.Selection(**{name: options[name] for name in names}, since=since, until=until)

    def _check_id(self, name: str, value: str) -> None:
        try:
            uuid.UUID(value or "0" * 32)
        except ValueError:
            raise _command.Bad(f"--{name} wants an ID such as {uuid.UUID(int=7)}, not {value!r}") from None
