"""`manage.py qwc`"""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from connector import connection_file
from connector.management.commands import _command


class Command(_command.Command):
    help = "Prints the .qwc file of a QuickBooks Desktop connection, for the Web Connector."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("connection")

    def handle(self, *args: Any, connection: str, as_json: bool, **options: Any) -> None:
        chosen = _command.connection_named(connection)
        if chosen.system != connection_file.SYSTEM:
            raise _command.Bad(
                f"{connection} is a connection of {chosen.system}: only QuickBooks Desktop has such a file"
            )
        try:
            text = connection_file.build(chosen).decode()
        except connection_file.BadFileID as error:
            raise _command.Bad(str(error)) from None
        self.answer({"connection": connection, "qwc": text}, text.rstrip("\n"), as_json=as_json)
