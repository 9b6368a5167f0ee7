"""Routes, and trying one out over past events before or after it is saved."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from connector import registry
from connector.admin.base import Page, VisibleFilter, label_of
from connector.admin.connection_form import setting_name
from connector.admin.route_form import form_class, sinks_with_settings
from connector.kernel.errors import Unsupported
from connector.kernel.values import BadValue
from connector.models import Route
from connector.pipeline import conditions, hints, routing
from connector.pipeline.preview import preview

LAST = 50


@admin.register(Route)
class RoutePage(Page):
    list_display = ("name", "organization", "source", "sink", "target", "patterns", "is_active")
    list_filter = (("organization", VisibleFilter), ("source", VisibleFilter), ("sink", VisibleFilter), "is_active")
    list_select_related = ("organization", "source", "sink")
    search_fields = ("name", "target")
    change_form_template = "admin/route_form.html"
    operations = (("preview", "preview_view"),)

    def title_of(self, row: Route) -> str:
        return row.name

    @admin.display(description="Events")
    def patterns(self, row: Route) -> str:
        return ", ".join(row.events)

    # --- the form ----------------------------------------------------------------------------------------------------

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        kwargs["form"] = form_class(obj)
        return super().get_form(request, obj, change, **kwargs)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        if not (self.has_change_permission(request, obj) if obj else self.has_add_permission(request)):
            return [(None, {"fields": ("name", "source", "sink", "target", "events", "is_active")})]
        amounts = (*conditions.AMOUNTS, "currency")
        sections: list[Any] = [
            (None, {"fields": ("name", "source", "sink", "target", "events", "is_active")}),
            (
                "Conditions",
                {
                    "fields": (amounts, *conditions.LISTS, "exclude_internal"),
                    "description": "All of them must hold. An empty one does not restrict.",
                },
            ),
            ("Messages", {"fields": ("thread_updates", "mention", "digest_after")}),
        ]
        for sink in sinks_with_settings():
            names = [setting_name(field, sink.name) for field in sink.route_fields]
            sections.append((f"Settings for {sink.label}", {"fields": names, "classes": ("collapse",)}))
        return sections

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Where an event can come from (every connection speaks of itself, too), and where it can go."""
        rows = db_field.remote_field.model.objects.select_related("organization")
        if db_field.name == "sink":
            rows = rows.filter(system__in=registry.sink_names())
        kwargs["queryset"] = rows
        field = super().formfield_for_foreignkey(db_field, request, **kwargs)
        if field is not None:
            field.label_from_instance = _label  # type: ignore[assignment,method-assign]
        return field

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if obj.is_active:
            hints.run("prepare_mailbox", str(routing.mailbox_at(obj.sink_id, obj.target).pk))

    # --- trying it out -----------------------------------------------------------------------------------------------

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """With the button Preview, the form as it stands is tried and nothing is saved."""
        if request.method == "POST" and "_preview" in request.POST:
            row = self.row(request, object_id) if object_id else None
            if not (self.has_change_permission(request, row) if row else self.has_add_permission(request)):
                raise PermissionDenied
            form = self.get_form(request, row, change=row is not None)(request.POST, instance=row)
            if form.is_valid():
                return self._preview_page(request, form.save(commit=False), is_saved=False)
        return super().changeform_view(request, object_id, form_url, extra_context)

    def preview_view(self, request: HttpRequest, object_id: Any) -> HttpResponse:
        """The saved route over the latest events of its source."""
        return self._preview_page(request, self.row(request, object_id), is_saved=True)

    def _preview_page(self, request: HttpRequest, route: Route, *, is_saved: bool) -> HttpResponse:
        problem, shown = "", []
        try:
            shown = preview(route, last=LAST)
        except (Unsupported, BadValue, registry.NoSuchSystem) as error:
            problem = str(error)
        self.note(request, route, "previewed")
        is_new = route._state.adding
        address = (
            reverse("admin:connector_route_add") if is_new else reverse("admin:connector_route_change", args=[route.pk])
        )
        kept = [(key, value) for key in request.POST for value in request.POST.getlist(key)]
        return self.page(
            request,
            "admin/route_preview.html",
            f"Preview of {route.name}",
            route,
            shown=shown,
            matched=sum(each.is_match for each in shown),
            problem=problem,
            is_saved=is_saved,
            is_new=is_new,
            address=address,
            kept=[] if is_saved else [pair for pair in kept if pair[0] not in ("_preview", "csrfmiddlewaretoken")],
        )


def _label(connection: Any) -> str:
    return f"{connection.slug} ({label_of(connection.system)}, {connection.organization.slug})"
