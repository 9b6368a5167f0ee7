"""Records kept in step between two systems: what belongs together, what is noted at the source, what is watched."""

from __future__ import annotations

from django.contrib import admin

from connector.admin.base import ReadOnlyPage, VisibleFilter, badge
from connector.models import Feedback, Link, Report, Watched


@admin.register(Link)
class LinkPage(ReadOnlyPage):
    list_display = ("record", "left", "left_record_id", "right", "right_record_id", "changed_at")
    list_filter = (("left", VisibleFilter), ("right", VisibleFilter), "record")
    list_select_related = ("left", "right")
    search_fields = ("=left_record_id", "=right_record_id")
    fields = ("record", "left", "left_record_id", "right", "right_record_id", "changed_at")


@admin.register(Feedback)
class FeedbackPage(ReadOnlyPage):
    list_display = ("record", "record_id", "connection", "status", "state_shown", "reason", "created_at", "ended_at")
    list_filter = ("state", ("connection", VisibleFilter), "record")
    list_select_related = ("connection",)
    search_fields = ("=record_id",)
    fields = (
        "connection", "record", "record_id", "status", "state", "reason", "attempts", "created_at", "next_attempt_at",
        "ended_at",
    )  # fmt: skip

    @admin.display(description="State", ordering="state")
    def state_shown(self, row: Feedback) -> str:
        return badge(row.state)


@admin.register(Watched)
class WatchedPage(ReadOnlyPage):
    list_display = ("record", "record_id", "number", "connection", "origin", "changed_at")
    list_filter = (("connection", VisibleFilter), "record")
    list_select_related = ("connection",)
    search_fields = ("=record_id", "=number")
    fields = ("connection", "record", "record_id", "number", "origin", "version", "changed_at")


@admin.register(Report)
class ReportPage(ReadOnlyPage):
    list_display = ("name", "connection", "outcome_shown", "found", "ended_at", "due_at", "reason")
    list_filter = (("connection", VisibleFilter), "name", "outcome")
    list_select_related = ("connection",)
    fields = (
        "connection", "name", "outcome", "code", "reason", "found", "started_at", "ended_at", "asked_at", "due_at",
        "attempts", "told_at",
    )  # fmt: skip

    @admin.display(description="Outcome", empty_value="-")
    def outcome_shown(self, row: Report) -> str:
        return badge(row.outcome) if row.outcome else ""
