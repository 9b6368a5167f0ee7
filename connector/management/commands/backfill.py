"""`manage.py backfill`"""

from __future__ import annotations

import dataclasses
from argparse import ArgumentParser
from typing import Any

from connector.kernel.errors import Unsupported, VendorError
from connector.management.commands import _command
from connector.pipeline import polling


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
        try:
            reading = polling.read(
                chosen,
                origin="backfill",
                since=_command.moment(since),
                until=_command.moment(until) if until else None,
                is_dry=dry_run,
            )
        except Unsupported as error:
            raise _command.Bad(str(error)) from None
        except VendorError as error:
            _command.failed(error.text)
        self.answer(dataclasses.asdict(reading), f"{reading.seen} changes read, {reading.new} new", as_json=as_json)
