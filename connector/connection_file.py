"""The connection file that the Web Connector's user downloads."""

from __future__ import annotations

from django.conf import settings

from connector.models import Connection
from sources.quickbooks_desktop import qwc
from sources.quickbooks_desktop.qwc import CONTENT_TYPE, BadFileID
from sources.quickbooks_desktop.source import QuickBooksDesktop

__all__ = ["CONTENT_TYPE", "SYSTEM", "BadFileID", "build"]

#: The only system with such a file.
SYSTEM = QuickBooksDesktop.name


def build(connection: Connection) -> bytes:
    """The `.qwc` file of the connection, for PUBLIC_URL. Raises `BadFileID`."""
    minutes = connection.settings.get("poll_minutes", 5)
    return qwc.build(
        slug=connection.slug,
        name=connection.organization.name,
        account=connection.account,
        public_url=settings.PUBLIC_URL,
        poll_minutes=minutes if isinstance(minutes, int) else 5,
        is_unattended=bool(connection.settings.get("company_file")),
    )
