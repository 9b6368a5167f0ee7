"""Events: what came in, what became of it, and why it did or did not post."""

from __future__ import annotations

import json
import uuid
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect
from django.utils.safestring import SafeString

from connector.access import visible_to
from connector.admin.base import ReadOnlyPage, VisibleFilter, badge, label_of, note_viewed, tell_replayed
from connector.admin.connections import SystemFilter
from connector.kernel.events import RECORDS
from connector.models import Attempt, AuditEntry, Delivery, InboxEvent, Payload, PayloadKind, RecordState, SearchTerm
from connector.pipeline import replay
from connector.pipeline.hashing import term_hash

#: What of the neutral event is shown as words: (label, key).
_FACTS = (
    ("Number", "number"), ("Party", "party"), ("Amount", "amount"), ("Balance", "balance"), ("Date", "day"),
    ("Due", "due"), ("Status", "status"), ("Memo", "memo"), ("Happened", "occurred_at"),
)  # fmt: skip


class RecordFilter(admin.SimpleListFilter):
    title = "record"
    parameter_name = "record"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(record, record.replace("_", " ")) for record in sorted(RECORDS)]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        return queryset.filter(record=self.value()) if self.value() else queryset


def pretty(value: Any) -> str:
    """JSON for people; text that is not JSON stays as it is."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return str(value)
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


def key_in(text: str) -> uuid.UUID | None:
    """The key that was typed into a search box, if it is one."""
    try:
        return uuid.UUID(text)
    except ValueError:
        return None


def found_by(text: str) -> Q:
    """Events whose key, record ID, number, party or other indexed word is the text."""
    terms = SearchTerm.objects.filter(term_hash=term_hash(text)).values("event_id")
    wanted = Q(record_id=text) | Q(pk__in=terms)
    return wanted if (key := key_in(text)) is None else wanted | Q(pk=key)


@admin.register(InboxEvent)
class InboxEventPage(ReadOnlyPage):
    list_display = ("received_at", "connection", "type_shown", "record_id", "state_badge", "reason")
    list_display_links = ("received_at", "type_shown")
    list_filter = ("state", RecordFilter, SystemFilter, ("connection", VisibleFilter), "received_at")
    list_select_related = ("connection",)
    ordering = ("-id",)
    search_fields = ("record_id",)
    search_help_text = "A number, a party, a word of it, or an ID, as a whole."
    actions = ("replay_failed",)
    operations = (("replay", "replay_view"),)
    change_form_template = "admin/event_form.html"
    fields = (
        ("system_label", "connection"), ("type_shown", "record_id"), ("state_badge", "reason"),
        ("received_at", "occurred_at"), ("origin", "attempts"),
    )  # fmt: skip

    def title_of(self, row: InboxEvent) -> str:
        return f"{self.type_shown(row)} {row.record_id}"

    @admin.display(description="Type")
    def type_shown(self, row: InboxEvent) -> str:
        return row.type if row.record else "-"

    @admin.display(description="System")
    def system_label(self, row: InboxEvent) -> str:
        return label_of(row.system)

    @admin.display(description="State", ordering="state")
    def state_badge(self, row: InboxEvent) -> SafeString:
        return badge(row.state)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        text = search_term.strip().replace("\0", "")
        return (queryset.filter(found_by(text)) if text else queryset), False

    @admin.action(description="Replay what failed or is parked", permissions=["replay"])
    def replay_failed(self, request: HttpRequest, queryset: QuerySet[InboxEvent]) -> None:
        self._replay(request, queryset)

    def replay_view(self, request: HttpRequest, object_id: Any) -> HttpResponse:
        """Replays one event and what it left parked or failed."""
        row = self.row(request, object_id)
        if not self.has_replay_permission(request):
            raise PermissionDenied
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        self._replay(request, [row])
        return redirect("admin:connector_inboxevent_change", row.pk)

    def _replay(self, request: HttpRequest, rows: Any) -> None:
        released = skipped = 0
        for row in rows:
            selection = replay.Selection(event=str(row.pk))
            result = replay.replay(selection, actor=request.user.get_username())
            released, skipped = released + result.released, skipped + result.skipped
        tell_replayed(request, released, skipped)

    def about(self, request: HttpRequest, row: InboxEvent) -> dict[str, Any]:
        return {"story": self._story(request, row), "can_replay": self.has_replay_permission(request)}

    def _story(self, request: HttpRequest, row: InboxEvent) -> dict[str, Any]:
        """Everything known of the event. Opening its content is written into the audit trail."""
        payloads = {payload.kind: payload.content for payload in Payload.objects.filter(event=row)}
        if payloads:
            note_viewed(request, [row], "event")
        event, notice = payloads.get(PayloadKind.EVENT), payloads.get(PayloadKind.NOTICE)
        deliveries = visible_to(request.user, Delivery.objects.filter(event=row))
        return {
            "facts": facts_of(event),
            "decisions": payloads.get(PayloadKind.DECISIONS),
            "deliveries": [
                {"row": delivery, "attempts": Attempt.objects.filter(message=delivery.message_id).order_by("pk")}
                for delivery in deliveries.select_related("route", "mailbox", "message").order_by("route__name")
            ],
            "contents": [
                (title, pretty(content))
                for title, content in (
                    ("Financial event", event),
                    ("Record, as the vendor gave it", (payloads.get(PayloadKind.RECORD) or {}).get("body")),
                    ("Notice, as it came in", (notice or {}).get("raw") or notice),
                )
                if content
            ],
            "has_expired": not payloads,
            "audit": visible_to(request.user, AuditEntry.objects.filter(event=str(row.pk)).order_by("id")),
        }


def facts_of(event: Any) -> list[tuple[str, str]]:
    """The stored neutral event as labelled words."""
    found = []
    for label, key in _FACTS:
        value = (event or {}).get(key)
        if isinstance(value, dict):
            words = (value.get("name") or value.get("id"), value.get("amount"), value.get("currency"))
            value = " ".join(str(word) for word in words if word)
        if value:
            found.append((label, str(value)))
    return found


@admin.register(RecordState)
class RecordStatePage(ReadOnlyPage):
    list_display = ("record_id", "record", "connection", "version_number", "version_stamp", "is_gone", "seen_at")
    list_filter = (RecordFilter, ("connection", VisibleFilter), "is_gone")
    list_select_related = ("connection",)
    search_fields = ("record_id",)
    fields = (
        "connection", "record", "record_id", "version_number", "version_stamp", "is_gone", "seen_at",
    )  # fmt: skip
