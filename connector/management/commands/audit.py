"""`manage.py audit search|verify|export`"""

from __future__ import annotations

import dataclasses
import json
from argparse import ArgumentParser
from typing import Any

from connector.management.commands import _command
from connector.pipeline import audit, search


class Command(_command.Command):
    help = "Finds entries of the audit trail, proves its chains, or writes it as JSON lines."

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        finder = actions.add_parser(
            "search", help="by number, party, code, reason or ID; the latest when no text is given"
        )
        finder.add_argument("text", nargs="?", default="")
        finder.add_argument("--limit", type=int, default=100)
        for sub in (finder, actions.add_parser("verify"), actions.add_parser("export")):
            sub.add_argument("--json", action="store_true", dest="sub_json")

    def handle(self, *args: Any, action: str, as_json: bool, sub_json: bool, **options: Any) -> None:
        is_json = as_json or sub_json
        if action == "search":
            found = [audit.describe(row) for row in search.entries(options["text"], limit=options["limit"])]
            self.answer(found, *(self._line(row) for row in found), as_json=is_json)
        elif action == "verify":
            self._verify(is_json)
        else:
            for line in audit.export():
                self.stdout.write(json.dumps(line, default=str))

    def _line(self, row: dict[str, Any]) -> str:
        parts = (
            row["at"][:19],
            row["action"],
            row["connection"],
            row["channel"],
            row["ts"],
            row["reason"],
            row["event"],
        )
        return "  ".join(part for part in parts if part)

    def _verify(self, is_json: bool) -> None:
        proven, findings = audit.verify()
        document = {"proven": proven, "findings": [dataclasses.asdict(finding) for finding in findings]}
        lines = [f"{finding.chain or '(installation)'}: {finding.text}" for finding in findings]
        self.answer(document, f"{proven} entries proven", *lines, as_json=is_json)
        if findings:
            _command.failed("the audit trail was changed")
