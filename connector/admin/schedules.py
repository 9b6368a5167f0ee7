"""When reports are read."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db import transaction
from django.http import HttpRequest

from connector.admin.base import Page, VisibleFilter
from connector.models import Schedule
from connector.pipeline import clock, reports, schedules


class ScheduleForm(forms.ModelForm):  # type: ignore[type-arg]
    """Checks the report against the connection's system, and the cron line."""

    window_last = forms.IntegerField(
        label="Last business days",
        min_value=0,
        max_value=schedules.MOST_DAYS,
        initial=0,
        help_text="Only in so many last business days of a month; 0 in both windows = always.",
    )
    window_first = forms.IntegerField(
        label="First business days",
        min_value=0,
        max_value=schedules.MOST_DAYS,
        initial=0,
        help_text="And in so many first business days of a month.",
    )

    class Meta:
        model = Schedule
        fields = ("connection", "report", "cron", "window_last", "window_first", "is_active")
        help_texts = {
            "report": "Such as gl_postings.",
            "cron": "Minute, hour, day of month, month, day of week, in the organization's time zone: 0 7 * * 1-5",
        }

    def clean_cron(self) -> str:
        """A line that can be read."""
        cron = " ".join(str(self.cleaned_data["cron"]).split())
        if problem := schedules.problem(cron):
            raise forms.ValidationError(problem)
        return cron

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        connection, report = given.get("connection"), given.get("report")
        if connection is not None and report:
            known = reports.reports_of(connection.system)
            if report not in known:
                there = f"There are {', '.join(known)}." if known else f"{connection.slug} has no reports."
                self.add_error("report", there)
        return given


@admin.register(Schedule)
class SchedulePage(Page):
    form = ScheduleForm
    list_display = ("report", "connection", "cron", "window", "is_active", "fired_at")
    list_filter = (("connection", VisibleFilter), "report", "is_active")
    list_select_related = ("connection",)

    @admin.display(description="Only in", empty_value="-")
    def window(self, row: Schedule) -> str:
        """The close window in words."""
        parts = [(row.window_last, "last"), (row.window_first, "first")]
        said = " and ".join(f"{days} {word}" for days, word in parts if days)
        return f"the {said} business days" if said else ""

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        # Its first time is the next one to come.
        obj.fired_at = clock.now()
        with transaction.atomic():
            super().save_model(request, obj, form, change)
            schedules.sync(obj.connection)

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        connection = obj.connection
        with transaction.atomic():
            super().delete_model(request, obj)
            schedules.sync(connection)
