"""`manage.py backfill`"""

from __future__ import annotations

import dataclasses
from argparse import ArgumentParser
from typing import Any

from connector import registry
from connector.kernel.errors import Unsupported, VendorError
from connector.management.commands import _command
from connector.models import Connection
from connector.pipeline import polling, reporting, reports, runs


class Command(_command.Command):
    help = "Reads changes that were missed, since a time. What was told before is not told again."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("connection")
        parser.add_argument("--since", required=True)
        parser.add_argument("--until", default="")
        parser.add_argument("--dry-run", action="store_true")

    def handle(
        self, *args: Any, connection: str, since: str, until: str, dry_run: bool, as_json: bool, **options: Any
    ) -> None:
        chosen = _command.connection_named(connection)
        if caller := registry.system(chosen.system).caller:
            self._start_from(chosen, since, caller, is_odd=bool(until or dry_run), as_json=as_json)
            return
        known = reports.reports_of(chosen.system)
        if known and until:
            raise _command.Bad("reports are read up to now: leave --until out")
        try:
            if known:
                reading = reporting.read(chosen, known, origin="backfill", since=_command.moment(since), is_dry=dry_run)
            else:
                reading = polling.read(
                    chosen,
                    origin="backfill",
                    since=_command.moment(since),
                    until=_command.moment(until) if until else None,
                    is_dry=dry_run,
                )
        except reporting.Overtaken:
            _command.failed("a worker has read the same reports meanwhile: try again")
        except Unsupported as error:
            raise _command.Bad(str(error)) from None
        except VendorError as error:
            _command.failed(error.text)
        self.answer(dataclasses.asdict(reading), f"{reading.seen} changes read, {reading.new} new", as_json=as_json)

    def _start_from(self, chosen: Connection, since: str, caller: str, *, is_odd: bool, as_json: bool) -> None:
        """Where the other side calls us: its next call is asked for changes since then."""
        if is_odd:
            raise _command.Bad(f"the {caller} brings what changed when it calls next: leave --until and --dry-run out")
        runs.start_from(chosen, _command.moment(since))
        reading = polling.Reading()
        self.answer(
            dataclasses.asdict(reading), f"the next cycle of the {caller} reads changes since {since}", as_json=as_json
        )
