"""Connections and what belongs to them: credentials, names, cursors, the meter."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Q, Sum
from django.forms import CharField, ChoiceField, ModelForm
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect
from django.utils.safestring import SafeString

from connector import connection_file, registry
from connector.access import visible_to
from connector.admin import connection_actions
from connector.admin.base import (
    Page,
    ReadOnlyPage,
    VisibleFilter,
    badge,
    label_of,
    system_named,
)
from connector.admin.connection_form import form_for, setting_name
from connector.admin.overview import renew_url
from connector.kernel.events import NAME_KINDS
from connector.models import (
    Connection,
    Credential,
    Cursor,
    Delivery,
    DeliveryState,
    DirectoryName,
    Hold,
    InboxEvent,
    Link,
    NameOverride,
    Organization,
    Report,
    Schedule,
    Subscription,
    VendorCalls,
)
from connector.oauth_views import buttons, is_offered
from connector.pipeline import allowance, clock, contacts, credentials, listening, reports, schedules, subscriptions

#: What goes with a connection that is deleted, though nobody may delete it by itself.
_CACHES = {
    "cursor", "directory name", "vendor calls", "record state", "run", "subscription", "schedule", "report",
}  # fmt: skip


class SystemFilter(admin.SimpleListFilter):
    title = "system"
    parameter_name = "system"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, label_of(name)) for name in registry.system_names()]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        return queryset.filter(system=self.value()) if self.value() else queryset


@admin.register(Connection)
class ConnectionPage(Page):
    list_display = ("slug", "system_label", "organization", "state_badge", "detail_shown", "token_ends", "last_contact")
    list_filter = ("state", SystemFilter, ("organization", VisibleFilter), "is_active")
    list_select_related = ("organization", "credential")
    search_fields = ("slug", "account")
    change_form_template = "admin/connection_form.html"
    operations = (
        ("ping", "ping_view"),
        ("disconnect", "disconnect_view"),
        ("qwc", "qwc_view"),
        ("read", "read_view"),
    )

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).prefetch_related("cursors")

    @admin.display(description="System", ordering="system")
    def system_label(self, row: Connection) -> str:
        return label_of(row.system)

    @admin.display(description="State", ordering="state")
    def state_badge(self, row: Connection) -> SafeString:
        return badge(row.state)

    @admin.display(description="Detail", empty_value="-")
    def detail_shown(self, row: Connection) -> str:
        return row.detail or ""

    @admin.display(description="Token ends")
    def token_ends(self, row: Connection) -> Any:
        return row.credential.expires_at if row.credential else None

    @admin.display(description="Last contact")
    def last_contact(self, row: Connection) -> Any:
        """The latest time at which the vendor is known to have answered or refused."""
        if self._is_called(row):
            return contacts.of(row).seen_at
        times = [row.checked_at, row.state_at, *(cursor.moved_at for cursor in row.cursors.all())]
        if row.credential:
            times.append(row.credential.refreshed_at)
        return max((at for at in times if at), default=None)

    # --- the form ----------------------------------------------------------------------------------------------------

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        system = self._system(request, obj)
        if system is not None:
            kwargs["form"] = form_for(system, obj)
        return super().get_form(request, obj, change, **kwargs)

    def _system(self, request: HttpRequest, obj: Any) -> Any:
        return system_named(obj.system if obj else request.GET.get("system", ""))

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("organization", "system_label", "slug", "account") if obj else ("system_label",)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        identity = ("organization", "system_label", "slug", "account") if obj else ("organization", "slug", "account")
        sections: list[Any] = [(None, {"fields": (*identity, "is_active")})]
        system = self._system(request, obj)
        is_allowed = self.has_change_permission(request, obj) if obj else self.has_add_permission(request)
        if system is None or not is_allowed:
            return sections
        secret = [field.name for field in system.credential_fields]
        if secret:
            text = "Stored encrypted and never shown again. An empty field keeps what is stored."
            sections.append(("Credentials", {"fields": secret, "description": text}))
        declared = form_for(system, obj).declared_fields
        names = [setting_name(field) for field in system.settings_fields if setting_name(field) in declared]
        if names:
            sections.append(("Settings", {"fields": names}))
        return sections

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """The system is chosen first: its inputs make the form."""
        if self._system(request, None) is not None:
            return super().add_view(request, form_url, extra_context)
        if not self.has_add_permission(request):
            raise PermissionDenied
        systems = [registry.system(name) for name in registry.system_names()]
        organizations = visible_to(request.user, Organization)[:50]
        return self.page(
            request,
            "admin/connection_systems.html",
            "Add connection",
            systems=[{"row": system, "is_offered": is_offered(system)} for system in systems],
            organizations=[{"row": row, "buttons": buttons(row)} for row in organizations],
        )

    def about(self, request: HttpRequest, row: Connection | None) -> dict[str, Any]:
        if row is not None:
            return {"panel": self._panel(row)}
        system = self._system(request, None)
        return {"title": f"Add {system.label} connection"} if system else {}

    def _panel(self, row: Connection) -> dict[str, Any]:
        """What is known of the connection, above its form."""
        month = clock.now().date().replace(day=1)
        calls = VendorCalls.objects.filter(connection=row, month=month)
        return {
            "state": badge(row.state),
            "renew": renew_url(row),
            "has_credential": bool(credentials.opened(row.credential).values),
            "calls": calls.aggregate(total=Sum("count"))["total"] or 0,
            "usage": allowance.usage(row),
            "outcomes": list(calls.order_by("outcome").values_list("outcome", "count")),
            "last_contact": self.last_contact(row),
            "events": InboxEvent.objects.filter(connection=row).order_by("-pk")[:8],
            "contact": contacts.of(row) if self._is_called(row) else None,
            "has_file": row.system == connection_file.SYSTEM,
            "subscriptions": Subscription.objects.filter(connection=row),
            "refused": Delivery.objects.filter(
                event__connection=row, state=DeliveryState.PARKED, hold=Hold.REFUSED
            ).select_related("event", "route")[:20],
            "streams": listening.topics_of(row),
            "is_silent": listening.is_silent(row),
            "links": Link.objects.filter(Q(left=row) | Q(right=row)).count(),
            "reports": reports.reports_of(row.system),
            "report_rows": Report.objects.filter(connection=row),
            "schedules": Schedule.objects.filter(connection=row),
        }

    def _is_called(self, row: Connection) -> bool:
        system = system_named(row.system)
        return bool(system and system.caller)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        with transaction.atomic():
            super().save_model(request, obj, form, change)
            given = form.given_secrets() if hasattr(form, "given_secrets") else {}
            if change and "is_active" in form.changed_data:
                schedules.sync(obj)
            if given:
                connection_actions.store_given(obj, given, actor=request.user.get_username())

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        listed, counts, forbidden, protected = super().get_deleted_objects(objs, request)
        return listed, counts, {name for name in forbidden if name not in _CACHES}, protected

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        subscriptions.remove(obj)
        with transaction.atomic():
            credential = obj.credential
            Schedule.objects.filter(connection=obj).delete()
            schedules.sync(obj)
            super().delete_model(request, obj)
            if credential is not None and not credential.connections.exists():
                credential.delete()

    # --- operations --------------------------------------------------------------------------------------------------

    def ping_view(self, request: HttpRequest, object_id: Any) -> HttpResponse:
        """Calls the real system with the stored credentials and says what came of it."""
        row = self._changeable(request, object_id)
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        is_good, text = connection_actions.ping(row, actor=request.user.get_username())
        messages.add_message(request, messages.SUCCESS if is_good else messages.ERROR, f"Ping of {row.slug}: {text}")
        if request.POST.get("back") == "overview":
            return redirect("admin:index")
        return redirect("admin:connector_connection_change", row.pk)

    def read_view(self, request: HttpRequest, object_id: Any) -> HttpResponse:
        """Has one report read now, or all of them."""
        row = self._changeable(request, object_id)
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        known = reports.reports_of(row.system)
        wanted = [name for name in known if name == request.POST.get("report")] or known
        connection_actions.read(row, wanted, actor=request.user.get_username())
        messages.success(request, f"{row.slug} is read now: what is new will be told within moments.")
        return redirect("admin:connector_connection_change", row.pk)

    def disconnect_view(self, request: HttpRequest, object_id: Any) -> HttpResponse:
        """Asks once more, then ends the authorization here and at the vendor."""
        row = self._changeable(request, object_id)
        if request.method == "POST":
            text = connection_actions.disconnect(row, actor=request.user.get_username())
            messages.success(request, text)
            return redirect("admin:connector_connection_change", row.pk)
        sharing = connection_actions.sharing(row)
        return self.page(
            request,
            "admin/connection_disconnect.html",
            f"Disconnect {row.slug}?",
            row,
            sharing=sharing,
            label=label_of(row.system),
        )

    def qwc_view(self, request: HttpRequest, object_id: Any) -> HttpResponse:
        """The connection file, as a download."""
        row: Connection = self.row(request, object_id)
        if row.system != connection_file.SYSTEM:
            raise Http404
        try:
            content = connection_file.build(row)
        except connection_file.BadFileID as error:
            messages.error(request, f"No connection file: {error}.")
            return redirect("admin:connector_connection_change", row.pk)
        response = HttpResponse(content, content_type=connection_file.CONTENT_TYPE)
        response["Content-Disposition"] = f'attachment; filename="{row.slug}.qwc"'
        return response

    def _changeable(self, request: HttpRequest, object_id: Any) -> Connection:
        row: Connection = self.row(request, object_id)
        if not self.has_change_permission(request, row):
            raise PermissionDenied
        return row


@admin.register(Credential)
class CredentialPage(ReadOnlyPage):
    list_display = ("id", "system_label", "organization", "used_by", "expires_at", "refresh_expires_at")
    list_filter = (SystemFilter, ("organization", VisibleFilter))
    list_select_related = ("organization",)
    fields = (
        "organization", "system_label", "used_by", "stored", "generation", "granted_at", "refreshed_at", "expires_at",
        "refresh_expires_at", "hard_expires_at", "failures", "retry_at",
    )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).prefetch_related("connections")

    @admin.display(description="System", ordering="system")
    def system_label(self, row: Credential) -> str:
        return label_of(row.system)

    @admin.display(description="Used by", empty_value="-")
    def used_by(self, row: Credential) -> str:
        return ", ".join(connection.slug for connection in row.connections.all())

    @admin.display(description="Stored", empty_value="-")
    def stored(self, row: Credential) -> str:
        """The names of what is stored, never a value."""
        return ", ".join(sorted(name for name, value in credentials.opened(row).values.items() if value))


class NameOverrideForm(ModelForm):  # type: ignore[type-arg]
    kind = ChoiceField(choices=[(kind, kind) for kind in NAME_KINDS])
    record_id = CharField(label="ID", max_length=100, help_text="The ID in the source, for example an account's.")
    name = CharField(label="Name", max_length=200, help_text="What messages call it.")

    class Meta:
        model = NameOverride
        fields = ("connection", "kind", "record_id")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not self.instance._state.adding and "name" in self.fields:
            self.initial["name"] = self.instance.name

    def save(self, commit: bool = True) -> Any:
        self.instance.name = self.cleaned_data["name"]
        return super().save(commit)


@admin.register(NameOverride)
class NameOverridePage(Page):
    form = NameOverrideForm
    fields = ("connection", "kind", "record_id", "name")
    list_display = ("shown", "connection", "kind", "record_id")
    list_filter = (("connection", VisibleFilter), "kind")
    list_select_related = ("connection",)
    search_fields = ("record_id",)

    @admin.display(description="Name")
    def shown(self, row: NameOverride) -> str:
        return str(row.name)


@admin.register(DirectoryName)
class DirectoryNamePage(ReadOnlyPage):
    list_display = ("record_id", "kind", "connection", "is_active", "fetched_at")
    list_filter = (("connection", VisibleFilter), "kind", "is_active")
    list_select_related = ("connection",)
    search_fields = ("record_id",)
    fields = ("connection", "kind", "record_id", "shown", "is_active", "fetched_at")

    @admin.display(description="Name")
    def shown(self, row: DirectoryName) -> str:
        return str((row.entry or {}).get("name", ""))


@admin.register(Cursor)
class CursorPage(ReadOnlyPage):
    list_display = ("connection", "name", "moved_at")
    list_filter = (("connection", VisibleFilter),)
    list_select_related = ("connection",)
    fields = ("connection", "name", "state", "moved_at")


@admin.register(Subscription)
class SubscriptionPage(ReadOnlyPage):
    list_display = ("event_shown", "connection", "state", "reason", "state_at", "check_at")
    list_filter = ("state", ("connection", VisibleFilter))
    list_select_related = ("connection",)
    fields = ("connection", "event_shown", "uri", "callback_id", "state", "reason", "state_at", "check_at", "failures")

    @admin.display(description="Event", ordering="event")
    def event_shown(self, row: Subscription) -> str:
        return row.event or "registered by hand"

    @admin.display(description="Address")
    def uri(self, row: Subscription) -> str:
        return row.uri


@admin.register(VendorCalls)
class VendorCallsPage(ReadOnlyPage):
    list_display = ("connection", "month", "outcome", "count")
    list_filter = (("connection", VisibleFilter), "month")
    list_select_related = ("connection",)
    fields = ("connection", "month", "outcome", "count")
    ordering = ("-month", "connection", "outcome")
