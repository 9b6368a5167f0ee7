"""`manage.py listen`"""

from __future__ import annotations

import signal
from argparse import ArgumentParser
from typing import Any

from connector.management.commands import _command
from connector.pipeline import listening


class Command(_command.Command):
    help = "Listens to the change streams of all connections, or of one, until it is told to stop."
    # They load every page of the admin, which a listener does not need; `up` has made them.
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("connection", nargs="?", default="")

    def handle(self, *args: Any, connection: str, as_json: bool, **options: Any) -> None:
        if connection and not listening.topics_of(_command.connection_named(connection)):
            raise _command.Bad(f"{connection} has no streams: it is told by webhooks, or polled")
        listener = listening.Listener(connection)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda number, frame: listener.stop())
        listener.run()
        self.answer({"stopped": True}, "stopped", as_json=as_json)
