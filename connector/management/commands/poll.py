"""`manage.py poll`"""

from __future__ import annotations

import dataclasses
from argparse import ArgumentParser
from typing import Any

from connector.kernel.errors import Unsupported, VendorError
from connector.management.commands import _command
from connector.pipeline import polling, reporting, reports


class Command(_command.Command):
    help = "Runs a source's scheduled read now, in this process."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("connection")
        parser.add_argument("--report", default="", help="one of the source's reports; all when left out")

    def handle(self, *args: Any, connection: str, report: str, as_json: bool, **options: Any) -> None:
        chosen = _command.connection_named(connection)
        known = reports.reports_of(chosen.system)
        if report and report not in known:
            there = f"there are {', '.join(known)}" if known else f"{chosen.system} has none"
            raise _command.Bad(f"there is no report {report!r}: {there}")
        try:
            if known:
                reading = reporting.read(chosen, [report] if report else known, origin="poll")
            else:
                reading = polling.read(chosen, origin="poll")
        except Unsupported as error:
            raise _command.Bad(str(error)) from None
        except reporting.Overtaken:
            _command.failed("a worker has read the same reports meanwhile: nothing is left to read")
        except VendorError as error:
            _command.failed(error.text)
        self.answer(dataclasses.asdict(reading), f"{reading.seen} changes read, {reading.new} new", as_json=as_json)
