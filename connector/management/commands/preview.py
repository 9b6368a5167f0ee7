"""`manage.py preview`"""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from connector.management.commands import _command
from connector.models import Route
from connector.pipeline import preview


class Command(_command.Command):
    help = "What a route would have posted over past events; nothing is posted."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--route", required=True)
        parser.add_argument("--organization", default="")
        parser.add_argument("--last", type=int, default=50)

    def handle(self, *args: Any, route: str, organization: str, last: int, as_json: bool, **options: Any) -> None:
        rows = Route.objects.filter(name=route).select_related("organization", "source", "sink")
        if organization:
            rows = rows.filter(organization__slug=organization)
        found = list(rows)
        if len(found) != 1:
            several = (
                "several organizations have a route of that name: add --organization"
                if found
                else "there is no such route"
            )
            raise _command.Bad(f"{route!r}: {several}")
        shown = preview.preview(found[0], last=last)
        lines = [
            f"posts {row.type} {row.event.pk}: {row.text}"
            if row.is_match
            else f"skips {row.type} {row.event.pk}: {row.reason}"
            for row in shown
        ]
        self.answer([row.as_json() for row in shown], *(lines or ["no past events"]), as_json=as_json)
