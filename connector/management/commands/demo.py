"""`manage.py demo`. `manage.py` goes there directly, without settings; this is for `help` and `call_command`."""

from __future__ import annotations

from typing import Any

from django.core.management import BaseCommand, CommandParser

from connector.demo import main


class Command(BaseCommand):
    help = "Starts everything against stand-ins for all vendors, and plays a working day through it."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        main.add_demo_arguments(parser)

    def handle(self, *args: Any, once: bool, as_json: bool, **options: Any) -> None:
        raise SystemExit(main.main(["demo", *(["--once"] if once else []), *(["--json"] if as_json else [])]))
