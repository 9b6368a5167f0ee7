"""The outbox: mailboxes, deliveries, messages and every try."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString

from connector.admin.base import ReadOnlyPage, VisibleFilter, badge, link_to, note_viewed, tell_replayed
from connector.admin.inbox import found_by, key_in
from connector.models import Attempt, Delivery, DeliveryState, InboxEvent, Mailbox, Message
from connector.pipeline import audit, parking, replay

_QUEUED = (DeliveryState.WAITING, DeliveryState.SENDING, DeliveryState.PARKED)


@admin.register(Mailbox)
class MailboxPage(ReadOnlyPage):
    list_display = ("target", "title", "connection", "state_badge", "reason", "parked_at", "waiting")
    list_filter = ("hold", ("connection", VisibleFilter))
    list_select_related = ("connection",)
    search_fields = ("target", "title")
    actions = ("release",)
    fields = ("connection", "target", "title", "state_badge", "hold", "reason", "parked_at", "prepare_at", "waiting")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        waiting = Count("deliveries", filter=Q(deliveries__state__in=_QUEUED))
        rows: QuerySet[Any] = super().get_queryset(request).annotate(waiting_count=waiting)
        return rows

    def title_of(self, row: Mailbox) -> str:
        return row.title or row.target or str(row)

    @admin.display(description="State")
    def state_badge(self, row: Mailbox) -> SafeString:
        return badge("parked" if row.hold else "ok")

    @admin.display(description="Waiting")
    def waiting(self, row: Any) -> int:
        return int(row.waiting_count)

    @admin.action(description="Release: set the queue free", permissions=["replay"])
    def release(self, request: HttpRequest, queryset: QuerySet[Mailbox]) -> None:
        freed = 0
        for row in queryset.select_related("connection__organization"):
            entry = audit.Entry(
                "mailbox.release_asked",
                actor=request.user.get_username(),
                connection=row.connection.slug,
                channel=row.target,
            )
            audit.append(row.connection.organization, entry)
            freed += parking.release(row)
        messages.success(request, f"Released; {freed} deliveries go on.")


@admin.register(Delivery)
class DeliveryPage(ReadOnlyPage):
    list_display = ("created_at", "event_type", "route_name", "mailbox_target", "state_badge", "reason", "attempts")
    list_filter = ("state", "hold", ("route", VisibleFilter), ("mailbox__connection", VisibleFilter), "created_at")
    list_select_related = ("event", "route", "mailbox", "message")
    ordering = ("-event",)
    search_fields = ("id",)
    search_help_text = "A number, a party, a word of it, or an ID, as a whole."
    actions = ("release", "tell_again")
    fields = (
        "event_link", "route_name", "mailbox_target", "state_badge", "hold", "reason", "message_link", "attempts",
        "created_at", "next_attempt_at", "delivered_at", "replayed_by",
    )  # fmt: skip

    def title_of(self, row: Delivery) -> str:
        return f"{self.event_type(row)} by {row.route.name}"

    @admin.display(description="Event")
    def event_type(self, row: Delivery) -> str:
        return f"{row.event.type} {row.event.record_id}"

    @admin.display(description="Event")
    def event_link(self, row: Delivery) -> SafeString | str:
        return link_to(row.event, self.event_type(row))

    @admin.display(description="Route", ordering="route__name")
    def route_name(self, row: Delivery) -> str:
        return row.route.name

    @admin.display(description="Channel", ordering="mailbox__target")
    def mailbox_target(self, row: Delivery) -> str:
        return row.mailbox.target

    @admin.display(description="State", ordering="state")
    def state_badge(self, row: Delivery) -> SafeString:
        return badge(row.state)

    @admin.display(description="Message")
    def message_link(self, row: Delivery) -> SafeString | str:
        return link_to(row.message, row.message.ts or "not posted yet") if row.message else "-"

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        text = search_term.strip().replace("\0", "")
        if not text:
            return queryset, False
        found = Q(event__in=InboxEvent.objects.filter(found_by(text)).values("pk")) | Q(message__ts=text)
        if (key := key_in(text)) is not None:
            found |= Q(pk=key)
        return queryset.filter(found), False

    @admin.action(description="Replay: set free what is parked or failed", permissions=["replay"])
    def release(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> None:
        _replay(request, queryset, again=False)

    @admin.action(description="Tell again: posts a new message", permissions=["replay"])
    def tell_again(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> HttpResponse | None:
        """Asks once more: what was delivered would be posted a second time."""
        if request.POST.get("is_sure"):
            _replay(request, queryset, again=True)
            return None
        return self.page(
            request, "admin/delivery_again.html", "Tell again?", rows=queryset.select_related("event", "route")[:200]
        )


def _replay(request: HttpRequest, rows: QuerySet[Delivery], *, again: bool) -> None:
    released = skipped = 0
    for key in list(rows.order_by("event_id").values_list("pk", flat=True)):
        selection = replay.Selection(delivery=str(key))
        result = replay.replay(selection, actor=request.user.get_username(), again=again)
        released, skipped = released + result.released, skipped + result.skipped
    tell_replayed(request, released, skipped)


@admin.register(Message)
class MessagePage(ReadOnlyPage):
    list_display = ("id", "mailbox_target", "ts", "posted_at", "doubt_at")
    list_filter = (("mailbox__connection", VisibleFilter), "posted_at")
    list_select_related = ("mailbox",)
    ordering = ("-id",)
    search_fields = ("ts",)
    fields = (
        "mailbox_target", "ts", "thread", "place", "first_attempt_at", "posted_at", "doubt_at", "looks", "text",
    )  # fmt: skip

    @admin.display(description="Channel")
    def mailbox_target(self, row: Message) -> str:
        return row.mailbox.target

    @admin.display(description="Text", empty_value="not rendered yet")
    def text(self, row: Message) -> str:
        return str((row.content or {}).get("text", ""))

    def about(self, request: HttpRequest, row: Message) -> dict[str, Any]:
        if row.content:
            note_viewed(request, _told_by(row), "message")
        return {}


def _told_by(message: Message) -> QuerySet[InboxEvent]:
    return InboxEvent.objects.filter(deliveries__message=message).select_related("connection__organization")


@admin.register(Attempt)
class AttemptPage(ReadOnlyPage):
    list_display = ("started_at", "message", "number", "outcome", "code", "status", "milliseconds")
    list_filter = ("outcome", "started_at")
    ordering = ("-id",)
    search_fields = ("code",)
    fields = ("message", "number", "started_at", "milliseconds", "outcome", "code", "status", "detail_shown")

    @admin.display(description="What the vendor said", empty_value="-")
    def detail_shown(self, row: Attempt) -> str:
        return str(row.detail or "")

    def about(self, request: HttpRequest, row: Attempt) -> dict[str, Any]:
        if row.detail:
            note_viewed(request, _told_by(row.message), "attempt")
        return {}
