"""QuickBooks Desktop as a source: the Web Connector calls us, and what changed becomes financial events."""

from __future__ import annotations

from connector.kernel.contracts import Context, Field, Names, Notice, Record, Source
from connector.kernel.events import FinancialEvent
from sources.quickbooks_desktop import dates, mapping
from sources.quickbooks_desktop.entities import RECORDS


class QuickBooksDesktop(Source):
    """One company file per connection; its account is the FileID, its slug the Web Connector's user name."""

    name = "quickbooks_desktop"
    label = "QuickBooks Desktop"
    env_prefix = "QUICKBOOKS_DESKTOP"
    caller = "Web Connector"
    credential_fields = (
        Field(
            "password",
            "Password",
            is_secret=True,
            is_required=True,
            help="Choose one, and type it into the Web Connector too.",
        ),
    )
    settings_fields = (
        Field("poll_minutes", "Minutes between polls", default=5, help="At least 1."),
        Field(
            "company_file",
            "Company file",
            help="Full path on that PC, to work with QuickBooks closed; empty: the file that is open.",
        ),
        Field("timezone", "Time zone of the PC", help="Such as America/Chicago; empty: the organization's."),
        Field("home_currency", "Home currency", default="USD", help="QuickBooks does not name it; an ISO code."),
    )
    records = RECORDS

    def to_event(self, ctx: Context, notice: Notice, record: Record, names: Names) -> FinancialEvent:
        today = ctx.now().astimezone(dates.zone_of(ctx)).date()
        home = str(ctx.settings.get("home_currency") or "USD")
        return mapping.to_event(record, notice, names, home_currency=home, today=today)
