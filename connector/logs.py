"""Structured logs without secrets."""

from __future__ import annotations

import datetime as dt
import json
import logging
import re
from typing import Any

from django.views.debug import SafeExceptionReporterFilter

HIDDEN = "[hidden]"
_SHAPES = re.compile(
    r"xox[a-z]-[\w-]+|xoxe\.xox[a-z]-[\w-]+|xapp-[\w-]+"  # Slack
    r"|gAAAAA[\w-]{20,}=*"  # sealed values
    r"|eyJ[\w-]{10,}\.[\w.-]{10,}"  # JSON web tokens
    r"|(?i:bearer|basic)\s+[\w.~+/=-]{8,}"
    r"|(?i:(?:access_token|refresh_token|client_secret|password|passwd|secret|token|code|state|authorization)"
    r"(?:[\"']\s*[=:]\s*[\"']?|\s*=\s*[\"']?|\s*:\s*[\"']))[^\s\"'&,;}<]{4,}"
    r"|(?i:(?:password|passwd|authorization)\s*:\s*)\S{4,}"
    r"|(?i:<(?:strPassword|password|sessionid)>)[^<]*"
    r"|(?<=://)[^/\s:@]+:[^/\s@]+(?=@)"
)
#: Values that this process has opened or been configured with, hidden wherever they appear.
_known: set[str] = set()


def hide(*values: str) -> None:
    """Registers secrets of this process. Short ones are left to the shapes, or ordinary words would vanish."""
    _known.update(value for value in values if len(value) >= 8)
    if len(_known) > 5000:
        _known.clear()


def redact(text: str) -> str:
    """The text without anything that looks like, or is known to be, a secret."""
    text = _SHAPES.sub(HIDDEN, text)
    for value in tuple(_known):
        if value in text:
            text = text.replace(value, HIDDEN)
    return text


class Redact(logging.Filter):
    """Formats the record early, so that no handler sees an unredacted argument or traceback."""

    def filter(self, record: logging.LogRecord) -> bool:
        try:
            message = record.getMessage()
        except (TypeError, ValueError):
            message = str(record.msg)
        record.msg, record.args = redact(message), ()
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = redact(record.exc_text)
        record.exc_info = None
        return True


class NoProbes(logging.Filter):
    """Leaves out the probes of readiness: that the stack is not ready yet is their answer, not an error."""

    def filter(self, record: logging.LogRecord) -> bool:
        return getattr(getattr(record, "request", None), "path", "") != "/readyz"


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "at": dt.datetime.fromtimestamp(record.created, dt.UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line.update(getattr(record, "fields", {}))
        if record.exc_text:
            line["exception"] = record.exc_text
        return json.dumps(line, default=str)


class ConsoleFormatter(logging.Formatter):
    """For a person at a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        at = dt.datetime.fromtimestamp(record.created, dt.UTC).strftime("%H:%M:%S")
        fields = " ".join(f"{name}={value}" for name, value in getattr(record, "fields", {}).items())
        line = f"{at} {record.levelname.lower():7} {record.name}: {record.getMessage()} {fields}".rstrip()
        return f"{line}\n{record.exc_text}" if record.exc_text else line


class ExceptionReporterFilter(SafeExceptionReporterFilter):
    """Django's own, with the words that our settings and forms use."""

    hidden_settings = re.compile(
        r"API|AUTH|TOKEN|KEY|SECRET|PASS|SIGNATURE|CREDENTIAL|DATABASE|REDIS|COOKIE", re.IGNORECASE
    )

    def get_post_parameters(self, request: Any) -> dict[str, Any]:
        parameters = super().get_post_parameters(request) if request is not None else {}
        return dict.fromkeys(parameters, self.cleansed_substitute)

    def get_traceback_frame_variables(self, request: Any, tb_frame: Any) -> Any:
        return []
