"""`manage.py rotate_keys`"""

from __future__ import annotations

import dataclasses
from typing import Any

from connector.management.commands import _command
from connector.pipeline import rotation


class Command(_command.Command):
    help = "Re-encrypts everything to the first of ENCRYPTION_KEYS. Put the new key first and restart before; then run."

    def handle(self, *args: Any, as_json: bool, **options: Any) -> None:
        result = rotation.rotate()
        lines = [f"cannot be opened: {text}" for text in result.broken]
        lines += [f"{count} values are still under key {name}" for name, count in sorted(result.remaining.items())]
        summary = f"{result.rotated} values re-encrypted, {result.skipped} were under the first key already"
        self.answer(dataclasses.asdict(result), summary, *lines, as_json=as_json)
        if result.broken:
            _command.failed("some values cannot be opened: add the key they are under to ENCRYPTION_KEYS")
        if result.remaining:
            _command.failed("not everything is under the first key: restart every process with it, then run this again")
