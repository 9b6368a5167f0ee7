"""`.env.example` names every setting with the default that the code has."""

from __future__ import annotations

import re
from pathlib import Path

from connector import registry

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = dict(re.findall(r"^#([A-Z_]+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE))


def test_every_vendor_setting_is_documented_with_its_default() -> None:
    wanted = {
        f"{system.env_prefix}_{setting.name.upper()}": setting.default
        for system in map(registry.system, registry.system_names())
        for setting in system.app_settings
    }
    assert {name: EXAMPLE.get(name) for name in wanted} == wanted


def test_every_setting_of_the_installation_is_documented() -> None:
    source = (ROOT / "connector" / "settings.py").read_text()
    named = set(re.findall(r"(?:env\.\w+|_required)\(\s*\"([A-Z_]+)\"", source))
    assert named - EXAMPLE.keys() == set()
    assert len(named) > 15
