"""Checking values against the fields that a system declares."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from connector.configuration.reader import Section
from connector.kernel.contracts import Field


def read(
    section: Section | None, fields: Iterable[Field], *, stored: Mapping[str, Any], parent: Section
) -> dict[str, Any]:
    """The settings given, each in the type of its field's default. Required ones must be given, unless stored."""
    by_name = {field.name: field for field in fields}
    found = {}
    if section is not None:
        section.expect(by_name, "setting")
        found = {name: _value(section, field) for name, field in by_name.items() if section.has(name)}
    place = section or parent
    for field in by_name.values():
        if field.is_required and not {**stored, **found}.get(field.name) and not place.is_broken(field.name):
            place.wrong(field.name, f"the setting {field.name} is missing: {field.help or field.label}")
    return found


def _value(section: Section, field: Field) -> Any:
    if isinstance(field.default, bool):
        return section.flag(field.name)
    if isinstance(field.default, int):
        return section.integer(field.name)
    if isinstance(field.default, list | tuple):
        texts = section.texts(field.name) or []
        return [text for text, _ in texts if _is_choice(section, field, text)]
    text = section.text(field.name)
    return text if section.is_broken(field.name) or _is_choice(section, field, text) else field.default


def _is_choice(section: Section, field: Field, text: str) -> bool:
    if not field.choices or text in field.choices or text == field.default:
        return True
    section.wrong(field.name, f"{field.name} must be {' or '.join(field.choices)}, not {text!r}")
    return False
