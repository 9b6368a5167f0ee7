"""The stand-in's values as texts: in the user's own formats on the wire, plain Python within.

Within, a code is its stored letter, an amount a `Decimal`, a day a `date`, a moment an aware UTC `datetime`.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import re
from decimal import Decimal, InvalidOperation
from typing import Any

from sources.sage_intacct.standin_layouts import Field

_OFFSET = re.compile(r"([+-])(\d\d):(\d\d)")
_PATTERNS = {"m": r"\d\d", "d": r"\d\d", "Y": r"\d{4}"}


@dataclasses.dataclass(slots=True)
class Formatting:
    """A user's formats, as `readUserFormatting` tells them: `dateformat` is the separator and then the order."""

    locale: str = "en_US"
    dateformat: str = "/mdY"
    gmtoffset: str = "+00:00"
    clock: str = "24"

    def zone(self) -> dt.timezone:
        """The user's fixed offset from UTC."""
        match = _OFFSET.fullmatch(self.gmtoffset)
        if match is None:
            raise ValueError(f"{self.gmtoffset} is no offset such as -06:00")
        ahead = dt.timedelta(hours=int(match[2]), minutes=int(match[3]))
        return dt.timezone(ahead if match[1] == "+" else -ahead)

    def show(self, field: Field, value: Any, *, drops_zeros: bool) -> str:
        """The value as an answer holds it; with `drops_zeros` amounts lose the zeros at their end."""
        if value is None:
            return ""
        if isinstance(value, dt.datetime):
            hours = "%H:%M:%S" if self.clock == "24" else "%I:%M:%S %p"
            return value.astimezone(self.zone()).strftime(f"{self._day()} {hours}")
        if isinstance(value, dt.date):
            return value.strftime(self._day())
        if isinstance(value, Decimal):
            text = f"{value:f}"
            return (text.rstrip("0").rstrip(".") if "." in text else text) if drops_zeros else text
        return field.codes.get(str(value), str(value))

    def read(self, field: Field, text: str, *, by_label: bool) -> Any:
        """The value that a filter names. Raises `ValueError` for what is not written as this kind must be."""
        if field.codes and by_label:
            stored = {label: code for code, label in field.codes.items()}
            return stored.get(text, f"no label {text}")
        if field.kind == "timestamp":
            return self._moment(text)
        if field.kind == "date":
            return dt.datetime.strptime(self._checked(text, ""), self._day()).date()  # noqa: DTZ007 - a day
        if field.kind == "integer":
            return int(text)
        try:
            return Decimal(text) if field.kind == "amount" else text
        except InvalidOperation:
            raise ValueError(f"{text} is no number") from None

    def _moment(self, text: str) -> dt.datetime:
        """A day alone is its midnight."""
        if " " not in text:
            text = f"{text} 00:00:00"
        naive = dt.datetime.strptime(  # noqa: DTZ007 - the zone follows
            self._checked(text, r" \d\d:\d\d:\d\d"), f"{self._day()} %H:%M:%S"
        )
        return naive.replace(tzinfo=self.zone()).astimezone(dt.UTC)

    def _checked(self, text: str, rest: str) -> str:
        pattern = re.escape(self.dateformat[0]).join(_PATTERNS[letter] for letter in self.dateformat[1:])
        if re.fullmatch(pattern + rest, text) is None:
            raise ValueError(f"{text} is not in the format {self.dateformat}")
        return text

    def _day(self) -> str:
        return self.dateformat[0].join(f"%{letter}" for letter in self.dateformat[1:])
