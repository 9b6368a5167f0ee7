"""What two systems agree on about one customer: whose value of a field wins, and what is remembered of it. Pure.

Both directions between two connections share one state (JSON), the `state` of the customer's `Link`:

`born`      the system in which the customer was first; it wins where both sides changed the same field
`base`      {system: {field: value}}: the last values that both sides agreed on, each as its system shows it (one may
            cut, another reformat), so that "changed since" needs no knowledge of the other system's habits
`replaced`  {system: {"at": instant, "values": {field: [value, ...]}}}: what was overwritten there lately. An event
            that was read before the overwriting still shows such a value, and must not undo it
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import functools
import re
from collections.abc import Mapping
from typing import Any

from babel import Locale
from babel.core import get_global

from connector.kernel.events import Profile

#: The fields of `Profile` that are kept in step.
FIELDS = (
    "name", "given_name", "family_name", "email", "phone", "street", "city", "region", "postal_code", "country",
)  # fmt: skip
#: An event that happened later than this after an overwriting was not read before it.
SKEW = dt.timedelta(seconds=5)
#: Replaced values remembered for each field.
_REMEMBERED = 3

Values = Mapping[str, str]
State = Mapping[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Meeting:
    """One event of a customer at the other system: what the `source` told (`at` that time), what the `sink` shows.

    A field that either side does not know is left out of its values. `state` is that of the link, empty for none.
    """

    source: str
    sink: str
    told: Values
    found: Values
    state: State
    at: dt.datetime | None = None

    def writes(self) -> dict[str, str]:
        """The fields to write at the sink, with their values; none when nothing has to change."""
        return {field: self.told[field] for field in self._common() if self._is_written(field)}

    def agreed(self, shown: Values, now: dt.datetime) -> dict[str, Any]:
        """The state from now on; `shown` is what the sink shows after the writes."""
        base = {system: dict(self._base(system)) for system in (self.source, self.sink)}
        replaced = {system: self._replaced(system) for system in (self.source, self.sink)}
        for field in self._common():
            told, found, is_stale = self.told[field], self.found[field], self._is_stale(field)
            if self._is_written(field):
                older = [value for value in replaced[self.sink].get(field, []) if value != found]
                replaced[self.sink][field] = [*older, found][-_REMEMBERED:]
                base[self.source][field], base[self.sink][field] = told, shown.get(field, told)
            elif not is_stale and is_same(field, told, found):
                base[self.source][field], base[self.sink][field] = told, found
            if not is_stale and is_same(field, told, base[self.source].get(field, "")):
                replaced[self.source].pop(field, None)  # the overwriting has been seen there
        born = self.state.get("born") or self.source
        marks = {
            system: {"at": self._marked_at(system, now), "values": values}
            for system, values in replaced.items()
            if values
        }
        return {"born": born, "base": base, **({"replaced": marks} if marks else {})}

    def _common(self) -> list[str]:
        return [field for field in FIELDS if field in self.told and field in self.found]

    def _is_written(self, field: str) -> bool:
        told, found = self.told[field], self.found[field]
        if is_same(field, told, found) or self._is_stale(field):
            return False
        if field not in self._base(self.source) or field not in self._base(self.sink):
            # Nothing was agreed on yet: an empty value says nothing, and is no match for one that does.
            return bool(told) and (not found or self._is_born_at_source())
        if is_same(field, told, self._base(self.source)[field]):
            return False
        return is_same(field, found, self._base(self.sink)[field]) or self._is_born_at_source()

    def _is_stale(self, field: str) -> bool:
        """Whether the source showed this value before it was overwritten there, rather than since."""
        values = self._replaced(self.source).get(field, ())
        if not any(is_same(field, self.told[field], value) for value in values):
            return False
        marked_at = dt.datetime.fromisoformat(self.state["replaced"][self.source]["at"])
        return self.at is None or self.at <= marked_at + SKEW

    def _is_born_at_source(self) -> bool:
        return bool(self.state.get("born", self.source) == self.source)

    def _base(self, system: str) -> Values:
        found: Values = self.state.get("base", {}).get(system, {})
        return found

    def _replaced(self, system: str) -> dict[str, list[str]]:
        return dict(self.state.get("replaced", {}).get(system, {}).get("values", {}))

    def _marked_at(self, system: str, now: dt.datetime) -> str:
        """When something was last overwritten there: now, if this meeting did."""
        before = self.state.get("replaced", {}).get(system, {}).get("at")
        is_new = not before or (system == self.sink and bool(self.writes()))
        return now.isoformat() if is_new else str(before)


def first(source: str, sink: str, told: Values, shown: Values) -> dict[str, Any]:
    """The state of a customer that was just made at the sink from what the source told."""
    fields = [field for field in FIELDS if field in told and field in shown]
    sides = ((source, told), (sink, shown))
    return {"born": source, "base": {system: {field: values[field] for field in fields} for system, values in sides}}


def values_of(profile: Profile) -> dict[str, str]:
    """Every field that is kept in step."""
    return {field: getattr(profile, field) for field in FIELDS}


def is_same(field: str, one: str, other: str) -> bool:
    """Whether two systems mean the same by two values, however each writes it."""
    return one == other or _plain(field, one) == _plain(field, other)


def _plain(field: str, value: str) -> str:
    value = " ".join(value.split())
    if field == "email":
        return value.casefold()
    if field == "phone":
        return re.sub(r"\D", "", value) or value
    return country_code(value) or value if field == "country" else value


def country_code(value: str) -> str:
    """The ISO 3166 code of two letters of a country given as such, as one of three, or by its English name, or ""."""
    return _countries().get(value.strip().casefold(), "")


@functools.cache
def _countries() -> Mapping[str, str]:
    codes = {code: name for code, name in Locale("en").territories.items() if re.fullmatch("[A-Z]{2}", code)}
    aliases = get_global("territory_aliases")
    longer = {alias: codes_[0] for alias, codes_ in aliases.items() if re.fullmatch("[A-Z]{3}", alias)}
    found = {**longer, **{name: code for code, name in codes.items()}, **{code: code for code in codes}}
    return {spelling.casefold(): code for spelling, code in found.items()}
