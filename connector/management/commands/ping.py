"""`manage.py ping`"""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from connector.kernel.errors import VendorError
from connector.management.commands import _command
from connector.models import Connection
from connector.pipeline import connections


class Command(_command.Command):
    help = "Calls the real systems with the stored credentials."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("connection", nargs="?", help="its slug; all when left out")

    def handle(self, *args: Any, connection: str | None, as_json: bool, **options: Any) -> None:
        chosen = (
            [_command.connection_named(connection)] if connection else list(Connection.objects.filter(is_active=True))
        )
        results = [self._ping(each) for each in chosen]
        self.answer(results, *(f"{row['slug']}: {row['state']} {row['detail']}" for row in results), as_json=as_json)
        if any(row["state"] != "ok" for row in results):
            _command.failed("not every connection answers")

    def _ping(self, connection: Connection) -> dict[str, str]:
        try:
            connections.check(str(connection.pk))
        except VendorError as error:
            detail = error.text
        else:
            detail = ""
        connection.refresh_from_db()
        return {"slug": connection.slug, "state": connection.state, "detail": detail or connection.detail or ""}
