"""The audit trail: read and searched, never written here."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from connector.access import visible_to
from connector.admin.base import ReadOnlyPage, link_to
from connector.admin.inbox import key_in
from connector.models import AuditEntry, Delivery, InboxEvent, Organization
from connector.pipeline import search


class ChainFilter(admin.SimpleListFilter):
    title = "organization"
    parameter_name = "chain"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(slug, slug) for slug in visible_to(request.user, Organization).values_list("slug", flat=True)[:500]]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        return queryset.filter(chain=self.value()) if self.value() else queryset


@admin.register(AuditEntry)
class AuditEntryPage(ReadOnlyPage):
    list_display = ("at", "actor", "action", "connection", "event_link", "reason", "channel", "ts", "attempts")
    list_display_links = ("at",)
    list_filter = (ChainFilter, "at")
    ordering = ("-id",)
    search_fields = ("action",)
    search_help_text = "A number, a party, a code, a reason or an ID: a whole value or a single word."
    fields = (
        "chain", "number", "at", "actor", "action", "connection", "event_link", "delivery_link", "reason", "channel",
        "ts", "attempts", "digest", "mac",
    )  # fmt: skip

    @admin.display(description="Event")
    def event_link(self, row: AuditEntry) -> SafeString | str:
        return link_to(InboxEvent(pk=key), row.event[:8]) if (key := key_in(row.event)) else "-"

    @admin.display(description="Delivery")
    def delivery_link(self, row: AuditEntry) -> SafeString | str:
        return link_to(Delivery(pk=key), row.delivery) if (key := key_in(row.delivery)) else "-"

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        text = search_term.strip().replace("\0", "")
        if not text:
            return queryset, False
        return queryset.filter(pk__in=[entry.pk for entry in search.entries(text, limit=500)]), False
