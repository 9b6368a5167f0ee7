"""The admin site: its overview, its second factor, and the order of its sections."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.urls import URLPattern, URLResolver, path

#: The connector's models in the order of a person's work; others follow by name.
ORDER = (
    "Organization", "Connection", "Credential", "Route", "NameOverride", "DirectoryName",
    "InboxEvent", "RecordState", "Mailbox", "Delivery", "Message", "Attempt",
    "AuditEntry", "Schedule", "Report", "Link", "Feedback", "Watched", "Cursor", "VendorCalls",
)  # fmt: skip


#: What the sections of other packages are called.
SECTIONS = {"otp_totp": "Second factors", "auth": "People", "django_celery_beat": "Beat"}


class Site(admin.AdminSite):
    """Django's admin with an overview on its first page."""

    site_header = site_title = "ml-connector"
    site_url = None
    index_title = "Overview"
    index_template = "admin/overview.html"

    def __init__(self, name: str = "admin") -> None:
        super().__init__(name)
        # Deletions go one by one, where what they take along is shown.
        self.disable_action("delete_selected")

    def get_urls(self) -> list[URLPattern | URLResolver]:
        from connector.admin import second_factor

        mine = [
            path("second-factor/", self.admin_view(second_factor.verify), name="second-factor"),
            path("second-factor/setup/", self.admin_view(second_factor.setup), name="second-factor-setup"),
        ]
        return [*mine, *super().get_urls()]

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        from connector.admin import overview

        return super().index(request, overview.context(request.user) | (extra_context or {}))

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        sections = super().get_app_list(request, app_label)
        for section in sections:
            section["name"] = SECTIONS.get(section["app_label"], section["name"])
            if section["app_label"] == "connector":
                section["models"].sort(key=_place)
        return sorted(sections, key=lambda section: section["app_label"] != "connector")


def _place(model: dict[str, Any]) -> int:
    name = model["object_name"]
    return ORDER.index(name) if name in ORDER else len(ORDER)
