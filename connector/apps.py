"""The one Django application, and its admin site."""

from __future__ import annotations

from django.apps import AppConfig
from django.contrib.admin.apps import SimpleAdminConfig


class ConnectorConfig(AppConfig):
    name = "connector"
    verbose_name = "Connector"

    def ready(self) -> None:
        from connector import celery, checks

        assert celery and checks


class AdminConfig(SimpleAdminConfig):
    """Only the web process loads the admin's pages (see `urls`): workers stay small without them."""

    default_site = "connector.admin.site.Site"
