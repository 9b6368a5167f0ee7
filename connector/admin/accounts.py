"""People's second factors, and the schedules: pages of other packages' models that need to be our way."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django_celery_beat.admin import PeriodicTaskAdmin
from django_celery_beat.models import PeriodicTask
from django_otp.plugins.otp_totp.models import TOTPDevice

from connector.admin.base import ReadOnlyPage


class DevicePage(ReadOnlyPage):
    """Second factors: seen, and removed for somebody who has lost theirs. The key is shown to nobody."""

    list_display = ("user", "name", "confirmed", "created_at", "last_used_at")
    list_select_related = ("user",)
    search_fields = ("user__username",)
    fields = ("user", "name", "confirmed", "created_at", "last_used_at", "throttling_failure_count")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return admin.ModelAdmin.has_delete_permission(self, request, obj)


class SchedulePage(PeriodicTaskAdmin):  # type: ignore[misc]
    """The package's page without its inline script, which our content policy would stop."""

    change_form_template = None


# Their own packages have registered these two by now.
for model, page in ((TOTPDevice, DevicePage), (PeriodicTask, SchedulePage)):
    admin.site.unregister(model)
    admin.site.register(model, page)
