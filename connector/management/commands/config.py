"""`manage.py config apply|check|export FILE`"""

from __future__ import annotations

import dataclasses
import os
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.db import IntegrityError

from connector import configuration
from connector.configuration import Busy, Mistaken, Report
from connector.management.commands import _command

STANDARD = "-"


class Command(_command.Command):
    help = "Checks or applies a configuration file, or writes the present configuration as one."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("action", choices=("apply", "check", "export"))
        parser.add_argument("file", help="its path; - (or nothing, after export) is standard input or output")
        parser.add_argument(
            "--force-credentials", action="store_true", help="apply: the file's credentials replace newer ones, too"
        )
        parser.add_argument("--with-credentials", action="store_true", help="export: with the credentials, encrypted")

    def run_from_argv(self, argv: list[str]) -> None:
        # An optional argument is taken for absent where an option stands before it, on Python up to 3.12.
        words = [word for word in argv[2:] if word == STANDARD or not word.startswith("-")]
        super().run_from_argv([*argv, STANDARD] if words == ["export"] else argv)

    def handle(self, *args: Any, action: str, file: str, as_json: bool, **options: Any) -> None:
        is_forced, with_credentials = options["force_credentials"], options["with_credentials"]
        if is_forced and action != "apply":
            raise _command.Bad("--force-credentials belongs to apply")
        if with_credentials and action != "export":
            raise _command.Bad("--with-credentials belongs to export")
        if action == "export":
            self._export(file, as_json=as_json, with_credentials=with_credentials)
        elif action == "check":
            self._check(file, as_json=as_json)
        else:
            self._apply(file, as_json=as_json, is_forced=is_forced)

    def _check(self, file: str, *, as_json: bool) -> None:
        try:
            configuration.check(self._read(file))
        except Mistaken as error:
            self._refuse(file, error, as_json=as_json)
        self.answer({"mistakes": []}, f"{file}: no mistakes", as_json=as_json)

    def _apply(self, file: str, *, as_json: bool, is_forced: bool) -> None:
        content = self._read(file)
        try:
            report = configuration.apply(configuration.check(content), is_forced=is_forced)
        except Mistaken as error:
            self._refuse(file, error, as_json=as_json)
        except Busy as error:
            _command.failed(str(error))
        except IntegrityError:
            _command.failed("somebody else changed the configuration meanwhile; nothing was applied: try again")
        else:
            self.answer(dataclasses.asdict(report), *_lines(report), as_json=as_json)

    def _refuse(self, file: str, error: Mistaken, *, as_json: bool) -> None:
        lines = [f"{file}:{mistake.line}: {mistake.text}" for mistake in error.mistakes]
        self.answer({"mistakes": [dataclasses.asdict(each) for each in error.mistakes]}, *lines, as_json=as_json)
        _command.failed(f"{file} has {len(lines)} mistake{'s' if len(lines) > 1 else ''}; nothing was changed")

    def _read(self, file: str) -> bytes:
        if not file:
            raise _command.Bad("name the file, or - for standard input")
        try:
            with sys.stdin.buffer if file == STANDARD else Path(file).open("rb") as source:
                return source.read(configuration.MAX_BYTES + 1)
        except OSError as error:
            raise _command.Bad(f"{file} cannot be read: {error.strerror}") from None

    def _export(self, file: str, *, as_json: bool, with_credentials: bool) -> None:
        if file in ("", STANDARD):
            document = configuration.document(with_credentials=with_credentials) if as_json else None
            text = "" if as_json else configuration.export(with_credentials=with_credentials).rstrip("\n")
            self.answer(document, text, as_json=as_json)
            return
        text = configuration.export(with_credentials=with_credentials)
        try:
            # For its owner alone: even without credentials it tells who works with whom.
            with os.fdopen(
                os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8"
            ) as target:
                target.write(text)
        except OSError as error:
            raise _command.Bad(f"{file} cannot be written: {error.strerror}") from None
        self.answer({"file": file, "with_credentials": with_credentials}, f"wrote {file}", as_json=as_json)


def _lines(report: Report) -> list[str]:
    lines = [
        f"{verb} {kind}: {', '.join(names)}"
        for verb, found in (("created", report.created), ("changed", report.changed), ("removed", report.removed))
        for kind, names in found.items()
    ]
    lines += [
        f"{slug}: kept its credentials, which are newer than the file's (--force-credentials replaces them)"
        for slug in report.kept_credentials
    ]
    if not any(report.counts().values()):
        lines.append("nothing changed")
    return [*lines, f"{report.unchanged} as before"]
