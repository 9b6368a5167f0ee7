"""`manage.py up`: migrates, then becomes the supervisor of web, workers and beat."""

from __future__ import annotations

import os
import sys
from typing import Any

from django.conf import settings
from django.core.management import BaseCommand, CommandParser, call_command
from django.db import connections

from connector.environment import BASE_DIR


class Command(BaseCommand):
    help = "Migrates, then runs web, workers, beat and (without REDIS_URL) Redis until it is told to stop."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="where the web process listens (%(default)s)")
        parser.add_argument("--port", type=int, default=8000, help="and its port (%(default)s)")

    def handle(self, *args: Any, **options: Any) -> None:
        call_command("migrate", interactive=False, verbosity=options["verbosity"])
        connections.close_all()
        # The children may stand in any folder: they must find our code, and agree on where VAR_DIR is.
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(BASE_DIR), os.environ.get("PYTHONPATH"))))
        os.environ["VAR_DIR"] = str(settings.VAR_DIR)
        sys.stdout.flush()
        sys.stderr.flush()
        # In place of this process: signals reach the supervisor directly, and Django's memory is given back.
        supervisor = [sys.executable, "-m", "connector.supervisor", options["host"], str(options["port"])]
        os.execv(sys.executable, supervisor)  # noqa: S606
