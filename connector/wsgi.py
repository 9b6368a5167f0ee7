"""The web process's entry."""

from __future__ import annotations

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "connector.settings")
os.environ.setdefault("CONNECTOR_ROLE", "web")

from django.core.wsgi import get_wsgi_application

application = get_wsgi_application()
