"""Imports every module of the product, so that no Python version is supported by hearsay."""

from __future__ import annotations

import importlib
import os
import pkgutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "connector.settings")

import django

django.setup()
names = [
    module.name
    for package in ("connector", "sources", "sinks")
    for module in pkgutil.walk_packages([package], f"{package}.")
]
# As the web process does it: the admin's pages want their site first.
for name in ["connector.urls", *names]:
    importlib.import_module(name)
print(f"imported {len(names)} modules on Python {sys.version.split()[0]}")  # noqa: T201
