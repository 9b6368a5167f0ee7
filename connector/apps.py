"""The one Django application, and its admin site."""

from __future__ import annotations

from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig as DjangoAdminConfig


class ConnectorConfig(AppConfig):
    name = "connector"
    verbose_name = "Connector"

    def ready(self) -> None:
        from connector import celery, checks

        assert celery and checks


class AdminConfig(DjangoAdminConfig):
    default_site = "connector.admin.site.Site"

    def ready(self) -> None:
        super().ready()
        # Not by discovery, which imports our package while the site is still being made.
        from connector.admin import pages

        assert pages
