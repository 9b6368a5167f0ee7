"""What all pages share: only what the person may see, nothing sealed, and an audit line for every change."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.db.models import ForeignKey, Model, QuerySet
from django.forms import ModelChoiceField
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from connector import registry
from connector.access import visible_to
from connector.kernel.contracts import System
from connector.models import Connection, InboxEvent, Organization
from connector.pipeline import audit

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
    RelatedFilter = admin.RelatedFieldListFilter
else:
    ModelAdmin = admin.ModelAdmin
    RelatedFilter = admin.RelatedFieldListFilter

#: State -> (tone of its badge, words for people).
STATES = {
    "ok": ("good", "OK"),
    "needs_reauthorization": ("bad", "Needs re-authorization"),
    "misconfigured": ("bad", "Misconfigured"),
    "unreachable": ("warn", "Unreachable"),
    "unknown": ("calm", "Not checked yet"),
    "received": ("calm", "Received"),
    "fetched": ("calm", "Fetched"),
    "mapped": ("calm", "Mapped"),
    "routed": ("good", "Routed"),
    "ignored": ("calm", "Ignored"),
    "failed": ("bad", "Failed"),
    "waiting": ("calm", "Waiting"),
    "sending": ("calm", "Sending"),
    "delivered": ("good", "Delivered"),
    "parked": ("warn", "Parked"),
    "pending": ("calm", "Not registered yet"),
    "active": ("good", "Verified"),
    "done": ("good", "Done"),
}


def badge(state: str) -> SafeString:
    """A state as a coloured word."""
    tone, words = STATES.get(state, ("calm", state))
    return format_html('<span class="badge badge-{}">{}</span>', tone, words)


def link_to(row: Model | None, text: str = "") -> SafeString | str:
    """A link to the row's page."""
    if row is None:
        return "-"
    url = reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])
    return format_html('<a href="{}">{}</a>', url, text or str(row))


def system_named(name: str) -> System | None:
    """The system; None for one that this installation no longer has."""
    return registry.system(name) if name in registry.system_names() else None


def label_of(name: str) -> str:
    """What people call the system."""
    system = system_named(name)
    return system.label if system else name


def organization_of(row: Model) -> Organization | None:
    """Whose row it is; None for what belongs to nobody."""
    if isinstance(row, Organization):
        return row
    found = getattr(row, "organization", None)
    if found is None and getattr(row, "connection", None) is not None:
        found = row.connection.organization  # type: ignore[attr-defined]
    return found


class VisibleFilter(RelatedFilter):
    """Filters by a related row, offering only what the person may see."""

    def field_choices(self, field: Any, request: HttpRequest, model_admin: Any) -> list[Any]:
        rows = visible_to(request.user, field.remote_field.model)
        return [(row.pk, getattr(row, "name", None) or str(row)) for row in rows[:500]]


class Page(ModelAdmin):
    """Base of every page of ours. `operations` are further views of one row: (name, method name)."""

    list_per_page = 50
    show_full_result_count = False
    change_form_template = "admin/row_form.html"
    operations: tuple[tuple[str, str], ...] = ()

    def title_of(self, row: Any) -> str:
        """What the row's page is headed with; the row's own text is its ID."""
        return str(row)

    def about(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        """What the row's page shows besides Django's own; `row` is None while it is being added."""
        return {}

    def render_change_form(  # noqa: PLR0917 - Django's own signature
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: Any = None,
    ) -> HttpResponse:
        if obj is not None:
            context["subtitle"] = self.title_of(obj)
        context.update(self.about(request, obj))
        return super().render_change_form(request, context, add, change, form_url, obj)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return visible_to(request.user, super().get_queryset(request))

    def get_exclude(self, request: HttpRequest, obj: Any = None) -> list[str]:
        sealed = [field.name for field in self.opts.get_fields() if field.name.endswith("_sealed")]
        return [*(super().get_exclude(request, obj) or ()), *sealed]

    def formfield_for_foreignkey(
        self, db_field: ForeignKey[Any, Any], request: HttpRequest, **kwargs: Any
    ) -> ModelChoiceField[Any] | None:
        rows = kwargs.get("queryset")
        kwargs["queryset"] = visible_to(request.user, db_field.remote_field.model if rows is None else rows)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def get_urls(self) -> list[URLPattern]:
        mine = [
            path(
                f"<uuid:object_id>/{name}/",
                self.admin_site.admin_view(getattr(self, method)),
                name=f"{self.opts.app_label}_{self.opts.model_name}_{name}",
            )
            for name, method in self.operations
        ]
        return [*mine, *super().get_urls()]

    def row(self, request: HttpRequest, object_id: Any) -> Any:
        """The visible row with that key. Raises `Http404`."""
        found = self.get_object(request, str(object_id))
        if found is None:
            raise Http404
        return found

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        self.note(request, obj, "changed" if change else "created", reason=", ".join(form.changed_data))

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        self.note(request, obj, "deleted")
        super().delete_model(request, obj)

    def note(self, request: HttpRequest, obj: Any, what: str, *, reason: str = "") -> None:
        """An audit line about this row, with names of fields at most."""
        connection = obj if isinstance(obj, Connection) else getattr(obj, "connection", None)
        entry = audit.Entry(
            f"{self.opts.model_name}.{what}",
            actor=request.user.get_username(),
            connection=connection.slug if connection else "",
            reason=reason or str(obj),
        )
        audit.append(organization_of(obj), entry)

    def page(self, request: HttpRequest, template: str, title: str, obj: Any = None, **context: Any) -> HttpResponse:
        """A page of this model besides Django's own."""
        base = {**self.admin_site.each_context(request), "opts": self.opts, "title": title, "original": obj}
        return TemplateResponse(request, template, base | context)


class ReadOnlyPage(Page):
    """For what the pipeline writes: shown, never edited."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_replay_permission(self, request: HttpRequest) -> bool:
        """Whether the person may set free what waits: Django's right to change this model, used for nothing else."""
        return request.user.has_perm(f"{self.opts.app_label}.change_{self.opts.model_name}")


def note_viewed(request: HttpRequest, events: Iterable[InboxEvent], what: str) -> None:
    """An audit line for each event whose content a person has just opened."""
    for event in events:
        connection = event.connection
        entry = audit.Entry(
            "payload.viewed",
            actor=request.user.get_username(),
            connection=connection.slug if connection else "",
            event=str(event.pk),
            reason=what,
        )
        audit.append(connection.organization if connection else None, entry)


def tell_replayed(request: HttpRequest, released: int, skipped: int) -> None:
    """What a replay came to."""
    text = f"{released} set free"
    if skipped:
        text += f", {skipped} left alone (delivered before, or on their way)"
    messages.add_message(request, messages.SUCCESS if released else messages.WARNING, f"{text}.")
