"""Organizations: whose books they are, in which time zone and language, and what can be connected."""

from __future__ import annotations

import zoneinfo
from typing import Any

from babel import Locale, UnknownLocaleError
from django import forms
from django.contrib import admin
from django.db import transaction
from django.http import HttpRequest

from connector import oauth_views
from connector.admin.base import Page
from connector.models import Connection, Organization
from connector.pipeline import schedules


class OrganizationForm(forms.ModelForm):  # type: ignore[type-arg]
    timezone = forms.ChoiceField(
        label="Time zone",
        help_text="For dates in messages and for schedules.",
        initial="UTC",
    )
    locale = forms.CharField(
        label="Language and country",
        help_text="How amounts and dates are written, for example en_US or de_DE.",
        initial="en_US",
        max_length=20,
    )

    class Meta:
        model = Organization
        fields = ("name", "slug", "timezone", "locale")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        zones = sorted(zoneinfo.available_timezones())
        if "timezone" in self.fields:
            self.fields["timezone"].choices = [(zone, zone) for zone in zones]  # type: ignore[attr-defined]

    def clean_locale(self) -> str:
        """A locale that amounts can be written in."""
        value: str = self.cleaned_data["locale"]
        try:
            return str(Locale.parse(value))
        except (ValueError, UnknownLocaleError):
            raise forms.ValidationError("There is no such language and country; write it like en_US.") from None


@admin.register(Organization)
class OrganizationPage(Page):
    form = OrganizationForm
    list_display = ("name", "slug", "timezone", "locale")
    search_fields = ("slug", "name")
    prepopulated_fields = {"slug": ("name",)}
    change_form_template = "admin/organization_form.html"

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        # The audit chain bears the slug's name.
        return ("slug",) if obj else ()

    def get_prepopulated_fields(self, request: HttpRequest, obj: Any = None) -> dict[str, Any]:
        return {} if obj else super().get_prepopulated_fields(request, obj)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        with transaction.atomic():
            super().save_model(request, obj, form, change)
            for connection in Connection.objects.filter(organization=obj).select_related("organization"):
                schedules.sync(connection)

    def about(self, request: HttpRequest, row: Organization | None) -> dict[str, Any]:
        return {"buttons": oauth_views.buttons(row) if row else []}
