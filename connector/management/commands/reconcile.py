"""`manage.py reconcile`"""

from __future__ import annotations

import dataclasses
import datetime as dt
from argparse import ArgumentParser
from typing import Any

from connector.kernel.errors import Unsupported, VendorError
from connector.management.commands import _command
from connector.pipeline import reconciling


class Command(_command.Command):
    help = "What webhooks brought on a day against what the source shows; repairs what is missing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("connection")
        parser.add_argument("--day", required=True, help="in the organization's time zone, such as 2026-11-20")

    def handle(self, *args: Any, connection: str, day: str, as_json: bool, **options: Any) -> None:
        chosen = _command.connection_named(connection)
        try:
            report = reconciling.reconcile(chosen, dt.date.fromisoformat(day))
        except ValueError:
            raise _command.Bad(f"{day!r} is not a day; write it like 2026-11-20") from None
        except Unsupported as error:
            raise _command.Bad(str(error)) from None
        except VendorError as error:
            _command.failed(error.text)
        lines = [
            f"{report.day}: {report.changed} records changed at the source, {report.by_webhook} told by webhook, "
            f"{report.polled} by polling, {len(report.missing)} missing, {report.repaired} repaired",
            *(f"  missing: {row['record']} {row['id']} ({row['operation']})" for row in report.missing),
        ]
        self.answer(dataclasses.asdict(report), *lines, as_json=as_json)
