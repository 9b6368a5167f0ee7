"""The form of a route: patterns and conditions in inputs of their own, validated as the configuration file is."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.html import escape

from connector import registry
from connector.admin.base import label_of, system_named
from connector.admin.connection_form import Lines, merged_settings, setting_input, setting_name
from connector.kernel.contracts import Sink
from connector.models import Connection, Route
from connector.pipeline import conditions

_AMOUNTS = {
    "min_amount": ("At least", "Including this amount. Refunds count by their absolute value."),
    "max_amount": ("At most", "Including this amount."),
    "above_amount": ("More than", 'Without this amount: "invoices over 5000" is 5000 here.'),
}
_LISTS = {
    "parties": ("Parties", "Vendors or customers"),
    "accounts": ("Accounts", "Accounts"),
    "departments": ("Departments", "Departments"),
    "classes": ("Classes", "Classes"),
    "statuses": ("Statuses", "Statuses"),
}


def sinks_with_settings() -> list[Sink]:
    """The destinations whose routes have settings of their own."""
    return [found for name in registry.sink_names() if (found := registry.sink(name)).route_fields]


def condition_inputs() -> dict[str, forms.Field]:
    """One input for each condition, named as in the configuration file."""
    inputs: dict[str, forms.Field] = {
        name: forms.CharField(label=label, help_text=text, required=False, max_length=30)
        for name, (label, text) in _AMOUNTS.items()
    }
    inputs["currency"] = forms.CharField(
        label="Currency", required=False, max_length=3, help_text="Three letters; empty: whatever the record's own is."
    )
    for name, (label, what) in _LISTS.items():
        text = f"{what} by ID or by the name shown, one a line; empty: all."
        inputs[name] = Lines(label=label, help_text=text, required=False)
    inputs["exclude_internal"] = forms.BooleanField(label="Leave out internal records", required=False)
    return inputs


class RouteForm(forms.ModelForm):  # type: ignore[type-arg]
    """A route. `form_class` adds the inputs of its conditions and of its destination's settings."""

    events = Lines(
        label="Events",
        help_text="One pattern a line: bill.created, bill.*, *.deleted, or * for all.",
    )

    class Meta:
        model = Route
        fields = (
            "name", "source", "sink", "target", "events", "thread_updates", "mention", "digest_after", "is_active",
        )  # fmt: skip
        labels = {"source": "From", "sink": "To", "target": "Channel"}
        help_texts = {
            "target": "The channel's ID, for example C0AP00001. Empty where the destination has no channels.",
            "thread_updates": "Later changes of a record go into the thread of its first message.",
            "mention": escape("Who is called in every message: <!here>, <!channel>, <@U…> or <!subteam^S…>."),
            "digest_after": "So many waiting messages are folded into a digest; 0: never.",
            "is_active": "Off: nothing new is told by this route.",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance._state.adding:
            return
        self.initial["events"] = list(self.instance.events)
        known = self.instance.conditions or {}
        self.initial.update({name: known[name] for name in conditions.KEYS if name in known})

    def clean_events(self) -> list[str]:
        """Patterns that can match something."""
        patterns: list[str] = self.cleaned_data["events"]
        mistakes = [text for text in map(conditions.bad_pattern, patterns) if text]
        if mistakes:
            raise forms.ValidationError(mistakes)
        return patterns

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        for key, text in conditions.problems(self.where()):
            self.add_error(key, text)
        source, sink = cleaned.get("source"), cleaned.get("sink")
        if source is not None:
            self.instance.organization = source.organization
            self._check_name(source, cleaned.get("name"))
        if source is not None and sink is not None and source.organization_id != sink.organization_id:
            self.add_error("sink", "This connection belongs to another organization than the source.")
        if source is not None and source.system not in registry.source_names():
            self._check_talk_of_itself(source, cleaned.get("events") or [])
        if sink is not None:
            self._check_sink(sink, cleaned)
        return cleaned

    def _check_name(self, source: Connection, name: str | None) -> None:
        same = Route.objects.filter(organization=source.organization_id, name=name)
        if same.exclude(pk=self.instance.pk).exists():
            self.add_error("name", "Another route of this organization has this name.")

    def _check_talk_of_itself(self, source: Connection, patterns: list[str]) -> None:
        """A system that is no source says something only about its connection."""
        if any(pattern.partition(".")[0] not in ("*", "connection") for pattern in patterns):
            self.add_error(
                "events", f"{source.slug} can only say connection.*: {label_of(source.system)} has no records."
            )

    def _check_sink(self, sink: Connection, cleaned: dict[str, Any]) -> None:
        system = registry.sink(sink.system)
        # Only where messages are paced are there channels.
        if system.has_targets and not cleaned.get("target"):
            self.add_error("target", f"Say which {system.label} channel.")
        elif cleaned.get("target") and not system.has_targets:
            self.add_error("target", f"{system.label} has no channels: leave this empty.")
        for field in system.route_fields:
            name = setting_name(field, system.name)
            if field.is_required and name in self.fields and not cleaned.get(name):
                self.add_error(name, "This field is required.")
        wanted = merged_settings(system.route_fields, cleaned, {}, system.name)
        for key, text in conditions.route_problems(system, cleaned.get("events") or [], wanted):
            names = {field.name: setting_name(field, system.name) for field in system.route_fields}
            self.add_error("events" if key == "events" else names.get(key), text)

    def where(self) -> dict[str, Any]:
        """The conditions as in the configuration file, those that restrict nothing included."""
        return {name: self.cleaned_data[name] for name in conditions.KEYS if name in self.cleaned_data}

    def save(self, commit: bool = True) -> Any:
        self.instance.conditions = conditions.normal(self.where()) or None
        system = registry.sink(self.instance.sink.system)
        self.instance.settings = merged_settings(
            system.route_fields, self.cleaned_data, self.instance.settings, system.name
        )
        return super().save(commit)


def form_class(route: Route | None) -> type[RouteForm]:
    """The form with an input for each condition, and for the settings of each destination that has any."""
    inputs: dict[str, Any] = dict(condition_inputs())
    for sink in sinks_with_settings():
        is_own = route is not None and system_named(route.sink.system) is sink
        known = route.settings if route is not None and is_own else {}
        for field in sink.route_fields:
            inputs[setting_name(field, sink.name)] = setting_input(field, known.get(field.name, field.default))
    return type("RouteForm", (RouteForm,), inputs)
