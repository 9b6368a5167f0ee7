"""What every request meets first: the size limits of the doors, a content policy, and the second factor."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django_otp import user_has_device

MIB = 1024 * 1024
#: Path prefix -> the largest body taken there, in bytes.
LIMITS = {"/soap/": 32 * MIB, "/webhooks/": MIB}
GetResponse = Callable[[HttpRequest], HttpResponse]


class BodyLimit:
    """Refuses a body too large for its door (413), and one whose size is not said (411), before reading it."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        limit = next((size for prefix, size in LIMITS.items() if request.path.startswith(prefix)), None)
        if limit is not None and request.method == "POST":
            length = request.META.get("CONTENT_LENGTH") or ""
            if not length.isdecimal():
                return HttpResponse("a Content-Length is needed\n", status=411, content_type="text/plain")
            if int(length) > limit:
                return HttpResponse(f"the limit is {limit} bytes\n", status=413, content_type="text/plain")
        return self.get_response(request)


class ContentSecurity:
    """Pages run no inline scripts and load nothing from elsewhere."""

    POLICY = (
        "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; frame-ancestors 'none'; "
        "form-action 'self'"
    )

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        response.headers.setdefault("Content-Security-Policy", self.POLICY)
        return response


class SecondFactor:
    """A user who has set up a second factor must give it before anything behind the log-in."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path.startswith(("/admin/", "/oauth/")) and self._is_due(request):
            query = urlencode({"next": request.get_full_path()})
            return redirect(f"{reverse('admin:second-factor')}?{query}")
        return self.get_response(request)

    def _is_due(self, request: HttpRequest) -> bool:
        if request.path in (reverse("admin:second-factor"), reverse("admin:logout"), reverse("admin:login")):
            return False
        user = request.user
        return bool(
            user.is_authenticated and not getattr(user, "is_verified", bool)() and user_has_device(user, confirmed=True)
        )
