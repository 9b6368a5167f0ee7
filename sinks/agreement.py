"""What two systems agree on about one customer: whose value of a field wins, and what is remembered of it. Pure.

Both directions between two connections share one state (JSON), the `state` of the customer's `Link`:

`born`     the system in which the customer was first; it wins where both sides changed the same field
`base`     {system: {field: value}}: the last values that both sides agreed on, each as its system shows it (one may
           cut, another reformat), so that "changed since" needs no knowledge of the other system's habits
`written`  {system: {field: instant}}: when a field was last written there for the other side's sake. What was asked
           for before may show what was overwritten, and must not undo that
`lost`     {system: {field: value}}: what it told and what gave way to a change of the other side, which is still to be
           told; where that was undone before it was read, the other side's value counts all the same
`told`     {system: instant}: when the newest of what it told was asked for; anything older has nothing to add
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

from connector.kernel.errors import Outdated
from connector.kernel.events import Profile

#: The fields of `Profile` that are kept in step.
FIELDS = (
    "name", "given_name", "family_name", "email", "phone", "street", "city", "region", "postal_code", "country",
)  # fmt: skip

Values = Mapping[str, str]
State = Mapping[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Meeting:
    """One event of a customer at the other system: what the `source` told, what the `sink` shows.

    A field that either side does not know is left out of its values. `state` is that of the link, empty for none.
    `asked_at` is when the source was asked for what it told; where that is not known, and it may be older than what was
    written there since, it changes nothing.
    """

    source: str
    sink: str
    told: Values
    found: Values
    state: State
    asked_at: dt.datetime | None = None

    def writes(self) -> dict[str, str]:
        """The fields to write at the sink, with their values; none when nothing has to change.

        Raises `Outdated` when one was told as it may have been before it was overwritten at the source.
        """
        wanted = [] if self._is_old() else [field for field in self._common() if self._is_wanted(field)]
        late = [field for field in wanted if self._is_late(field)]
        if late and self.asked_at is not None:
            raise Outdated(f"the {late[0].replace('_', ' ')} was read before it was overwritten", code="outdated")
        return {field: self.told[field] for field in wanted if field not in late}

    def agreed(self, shown: Values, now: dt.datetime) -> dict[str, Any]:
        """The state from now on; `shown` is what the sink shows after the writes."""
        if self._is_old():
            return dict(self.state)
        source, sink, writes = self.source, self.sink, self.writes()
        base, written, lost = (self._copy(name) for name in ("base", "written", "lost"))
        for field in self._common():
            told, found = self.told[field], self.found[field]
            if field not in writes and (self._is_late(field) or not is_same(field, told, found)):
                if self._gives_way(field):
                    lost[source][field] = told
                continue
            if field in writes or not is_same(field, found, base[sink].get(field, found)):
                # Also what stands there already was perhaps written by us, and the answer to that lost.
                written[sink][field] = now.isoformat()
            base[source][field], base[sink][field] = told, shown.get(field, told) if field in writes else found
            for values in lost.values():
                values.pop(field, None)
        told_at = dict(self.state.get("told", {}))
        if self.asked_at is not None:
            told_at[source] = self.asked_at.isoformat()
        state = {"base": base, "written": _filled(written), "lost": _filled(lost), "told": told_at}
        return {"born": self.state.get("born") or source, **_filled(state)}

    def _common(self) -> list[str]:
        return [field for field in FIELDS if field in self.told and field in self.found]

    def _is_wanted(self, field: str) -> bool:
        told, found = self.told[field], self.found[field]
        if is_same(field, told, found):
            return False
        if field not in self._fields("base", self.source) or field not in self._fields("base", self.sink):
            # Nothing was agreed on yet: an empty value says nothing, and is no match for one that does.
            return bool(told) and (not found or self._is_born_at_source())
        if is_same(field, told, self._fields("base", self.source)[field]):
            lost = self._fields("lost", self.sink).get(field)
            return lost is not None and is_same(field, found, lost)
        return is_same(field, found, self._fields("base", self.sink)[field]) or self._is_born_at_source()

    def _gives_way(self, field: str) -> bool:
        """Whether both sides changed the field, and the sink's value stands."""
        base = self._fields("base", self.source).get(field)
        is_changed = base is not None and not is_same(field, self.told[field], base)
        return is_changed and not self._is_late(field) and not self._is_wanted(field)

    def _is_old(self) -> bool:
        """Whether the source told something newer before: this was read earlier, and only comes later."""
        newest = self.state.get("told", {}).get(self.source)
        return bool(newest and self.asked_at and self.asked_at < dt.datetime.fromisoformat(newest))

    def _is_late(self, field: str) -> bool:
        """Whether the source may have shown this value before it was overwritten there, rather than since."""
        at = self._fields("written", self.source).get(field)
        return at is not None and (self.asked_at is None or self.asked_at <= dt.datetime.fromisoformat(at))

    def _is_born_at_source(self) -> bool:
        return bool(self.state.get("born", self.source) == self.source)

    def _fields(self, name: str, system: str) -> dict[str, str]:
        return dict(self.state.get(name, {}).get(system, {}))

    def _copy(self, name: str) -> dict[str, dict[str, str]]:
        return {system: self._fields(name, system) for system in (self.source, self.sink)}


def _filled(values: Mapping[str, Any]) -> dict[str, Any]:
    """Without what is empty."""
    return {name: value for name, value in values.items() if value}


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
