"""`manage.py sandbox`. `manage.py` goes there directly, without settings; this is for `help` and `call_command`."""

from __future__ import annotations

from typing import Any

from django.core.management import BaseCommand, CommandParser

from connector.demo import main


class Command(BaseCommand):
    help = "Runs the stand-ins of all vendors alone, until it is stopped."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        main.add_sandbox_arguments(parser)

    def handle(self, *args: Any, host: str, port_base: int, as_json: bool, **options: Any) -> None:
        arguments = ["--host", host, "--port-base", str(port_base), *(["--json"] if as_json else [])]
        raise SystemExit(main.main(["sandbox", *arguments]))
