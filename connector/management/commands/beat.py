"""`manage.py beat`: Celery's clock, without Celery's command line (see `work`)."""

from __future__ import annotations

from typing import Any

from django.core.management import BaseCommand

from connector.celery import app


class Command(BaseCommand):
    help = "Sends what is due by the clock, until it is told to stop. One for a database."
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        app.Beat(quiet=True).run()
