"""`manage.py poll`"""

from __future__ import annotations

import dataclasses
from argparse import ArgumentParser
from typing import Any

from connector.kernel.errors import Unsupported, VendorError
from connector.management.commands import _command
from connector.pipeline import polling


class Command(_command.Command):
    help = "Runs a source's scheduled read now, in this process."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("connection")
        parser.add_argument("--report", default="", help="one of the source's reports; all when left out")

    def handle(self, *args: Any, connection: str, report: str, as_json: bool, **options: Any) -> None:
        chosen = _command.connection_named(connection)
        if report:
            raise _command.Bad(f"{chosen.system} has no reports to choose from")
        try:
            reading = polling.read(chosen, origin="poll")
        except Unsupported as error:
            raise _command.Bad(str(error)) from None
        except VendorError as error:
            _command.failed(error.text)
        self.answer(dataclasses.asdict(reading), f"{reading.seen} changes read, {reading.new} new", as_json=as_json)
