"""Puts every page on the site. Only the web process needs them, so only `urls` asks for it: workers stay small."""

from __future__ import annotations

import importlib

from django.contrib import admin

PAGES = ("accounts", "audit", "connections", "deliveries", "inbox", "links", "organizations", "routes", "schedules")


def load() -> None:
    """Registers the pages of other packages, then ours, which change some of theirs."""
    admin.autodiscover()
    for name in PAGES:
        importlib.import_module(f"connector.admin.{name}")
