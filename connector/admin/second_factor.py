"""The second factor: giving its code after the log-in, and setting one up."""

from __future__ import annotations

from base64 import b32encode

import django_otp
from django import forms
from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django_otp.plugins.otp_totp.models import TOTPDevice

from connector.pipeline import audit

DEVICE = "Authenticator app"
ISSUER = "ml-connector"


class CodeForm(forms.Form):
    """The six digits that the app shows."""

    code = forms.CharField(
        label="Code",
        max_length=12,
        widget=forms.TextInput(
            attrs={"autocomplete": "one-time-code", "inputmode": "numeric", "autofocus": True, "class": "code"}
        ),
    )

    def clean_code(self) -> str:
        """Digits alone; apps show them in groups."""
        return "".join(str(self.cleaned_data["code"]).split())


@never_cache
@sensitive_post_parameters()
def verify(request: HttpRequest) -> HttpResponse:
    """Asks for the code of a person who is logged in, and goes on where they wanted to."""
    user = _user(request)
    target = request.POST.get("next", request.GET.get("next", ""))
    if not url_has_allowed_host_and_scheme(target, {request.get_host()}, require_https=request.is_secure()):
        target = reverse("admin:index")
    if not django_otp.user_has_device(user):
        return redirect("admin:second-factor-setup")
    form = CodeForm(request.POST or None)
    if form.is_valid():
        device = django_otp.match_token(user, form.cleaned_data["code"])
        if device is not None:
            django_otp.login(request, device)
            return redirect(target)
        _note(user, "second_factor.refused")
        form.add_error(
            "code", "This code is wrong or was used before. Wait for the next one; after wrong ones there is a pause."
        )
    context = {"form": form, "next": target, "is_nav_sidebar_enabled": False}
    return _page(request, "admin/second_factor.html", "Second factor", **context)


@never_cache
@sensitive_post_parameters()
def setup(request: HttpRequest) -> HttpResponse:
    """Shows a new key until a code proves that the app has it; later offers to remove it."""
    user = _user(request)
    confirmed = TOTPDevice.objects.filter(user=user, confirmed=True).first()
    if confirmed is not None:
        if request.method == "POST" and "remove" in request.POST:
            TOTPDevice.objects.filter(user=user).delete()
            _note(user, "second_factor.removed")
            messages.success(request, "The second factor is removed.")
            return redirect("admin:index")
        return _page(request, "admin/second_factor_setup.html", "Second factor", device=confirmed)
    device, _ = TOTPDevice.objects.get_or_create(user=user, confirmed=False, defaults={"name": DEVICE})
    form = CodeForm(request.POST or None)
    if form.is_valid():
        if device.verify_token(form.cleaned_data["code"]):
            TOTPDevice.objects.filter(pk=device.pk).update(confirmed=True)
            django_otp.login(request, device)
            _note(user, "second_factor.set_up")
            messages.success(request, "The second factor is set up: from now on the log-in asks for its code.")
            return redirect("admin:index")
        form.add_error("code", "This code does not fit. Wait for the next one; after wrong ones there is a pause.")
    secret = b32encode(device.bin_key).decode()
    address = f"{device.config_url}&issuer={ISSUER}" if "issuer=" not in device.config_url else device.config_url
    return _page(
        request, "admin/second_factor_setup.html", "Set up a second factor", form=form, secret=secret, address=address
    )


def _user(request: HttpRequest) -> User:
    user = request.user
    assert isinstance(user, User)  # the site lets nobody else in
    return user


def _note(user: User, action: str) -> None:
    audit.append(None, audit.Entry(action, actor=user.get_username()))


def _page(request: HttpRequest, template: str, title: str, **context: object) -> HttpResponse:
    return render(request, template, {**admin.site.each_context(request), "title": title, **context})
