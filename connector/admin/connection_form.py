"""The form of a connection, built from what its system says of its credentials and settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from django import forms
from django.utils.html import escape

from connector.kernel.contracts import Field, System
from connector.models import Connection
from connector.oauth_views import is_offered
from connector.pipeline import credentials

_WIDE = {"class": "vTextField"}


def setting_name(field: Field, prefix: str = "setting") -> str:
    """The input of a setting; credentials alone are named by their bare name."""
    return f"{prefix}_{field.name}"


def setting_input(field: Field, value: Any, *, is_required: bool = False) -> forms.Field:
    """An input for one setting, of the kind of its default."""
    common: dict[str, Any] = {
        "label": field.label,
        "help_text": escape(field.help),
        "initial": value,
        "required": is_required,
    }
    is_list = isinstance(field.default, list | tuple)
    choices = [(choice, choice) for choice in field.choices]
    if choices and is_list:
        return forms.MultipleChoiceField(choices=choices, widget=forms.CheckboxSelectMultiple, **common)
    if choices:
        none = [] if field.default in field.choices else [(field.default, "-")]
        return forms.ChoiceField(choices=[*none, *choices], **common)
    if isinstance(field.default, bool):
        return forms.BooleanField(**common | {"required": False})
    if isinstance(field.default, int):
        return forms.IntegerField(**common)
    if is_list:
        return Lines(**common)
    return forms.CharField(widget=forms.TextInput(attrs=_WIDE), **common)


def is_editable(field: Field, value: Any) -> bool:
    """Whether a setting's value fits an input; what does not (a nested one) is left to the configuration file."""
    return not isinstance(value, dict) and not (isinstance(value, list) and any(isinstance(i, dict) for i in value))


class Lines(forms.CharField):
    """A list of texts, one a line."""

    widget = forms.Textarea(attrs={"rows": 3, "class": "vLargeTextField"})

    def prepare_value(self, value: Any) -> Any:
        """A list as its lines."""
        return "\n".join(str(item) for item in value) if isinstance(value, list | tuple) else value

    def to_python(self, value: Any) -> Any:
        """The lines that are not blank."""
        if isinstance(value, list):
            return value
        return [line.strip() for line in str(value or "").splitlines() if line.strip()]

    def has_changed(self, initial: Any, data: Any) -> bool:
        return bool(self.to_python(initial) != self.to_python(data))


def merged_settings(
    fields: tuple[Field, ...], cleaned: Mapping[str, Any], known: Mapping[str, Any], prefix: str = "setting"
) -> dict[str, Any]:
    """The settings with the form's values in them; what equals the default is left out."""
    merged = dict(known)
    for field in fields:
        name = setting_name(field, prefix)
        if name not in cleaned:
            continue
        value = cleaned[name]
        default = list(field.default) if isinstance(field.default, tuple) else field.default
        if value in (None, default):
            merged.pop(field.name, None)
        else:
            merged[field.name] = value
    return merged


class ConnectionForm(forms.ModelForm):  # type: ignore[type-arg]
    """Identity, credentials and settings of one connection. Credentials are written only, never shown."""

    system: ClassVar[System]

    class Meta:
        model = Connection
        fields = ("organization", "slug", "account", "is_active")
        help_texts = {
            "slug": "A short name, unique in this installation; it stands in URLs and commands and cannot be changed.",
            "account": "The vendor's own ID of the company, business or workspace.",
            "is_active": "Off: its events are not taken and nothing is polled.",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance._state.adding:
            self.instance.system = self.system.name

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        organization, account = cleaned.get("organization"), cleaned.get("account")
        if organization and account:
            same = Connection.objects.filter(organization=organization, system=self.system.name, account=account)
            if known := same.exclude(pk=self.instance.pk).first():
                self.add_error("account", f"This account is connected already: {known.slug}.")
        return cleaned

    def given_secrets(self) -> dict[str, str]:
        """The credentials that were filled in; an empty input keeps what is stored."""
        given = ((field.name, self.cleaned_data.get(field.name)) for field in self.system.credential_fields)
        return {name: value for name, value in given if value}

    def save(self, commit: bool = True) -> Any:
        self.instance.settings = merged_settings(self.system.settings_fields, self.cleaned_data, self.instance.settings)
        return super().save(commit)


def form_for(system: System, connection: Connection | None) -> type[ConnectionForm]:
    """The form class of a system's connection, with its own inputs."""
    stored = credentials.opened(connection.credential if connection else None)
    inputs: dict[str, Any] = {
        field.name: _secret_input(field, is_stored=bool(stored.get(field.name)), is_lenient=is_offered(system))
        for field in system.credential_fields
    }
    known = connection.settings if connection else {}
    for field in system.settings_fields:
        value = known.get(field.name, field.default)
        if is_editable(field, value):
            inputs[setting_name(field)] = setting_input(field, value, is_required=field.is_required)
    return type("ConnectionForm", (ConnectionForm,), {**inputs, "system": system})


def _secret_input(field: Field, *, is_stored: bool, is_lenient: bool) -> forms.Field:
    """A write-only input. Where OAuth can bring the credential, it may be missing for now."""
    attributes = {
        "placeholder": "stored \N{EN DASH} leave empty to keep" if is_stored else "not set",
        "autocomplete": "new-password" if field.is_secret else "off",
        **_WIDE,
    }
    kind = forms.PasswordInput if field.is_secret else forms.TextInput
    return forms.CharField(
        label=field.label,
        help_text=escape(field.help),
        required=field.is_required and not is_stored and not is_lenient,
        widget=kind(attrs=attributes),
    )
