"""The HTTP edge for machines: vendors' webhooks, health, metrics. Parse, call one function, answer."""

from __future__ import annotations

import logging
import time

from django.conf import settings
from django.db import DatabaseError, InterfaceError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST

from connector import deadline, health, metrics
from connector.kernel.contracts import Request
from connector.kernel.errors import BadSignature, Unsupported
from connector.pipeline import audit, clock, intake
from connector.registry import NoSuchSystem
from connector.registry import system as find_system

log = logging.getLogger(__name__)


def _as_request(request: HttpRequest, **args: str) -> Request:
    return Request(
        method=request.method or "",
        path=request.path,
        headers={name.lower(): value for name, value in request.headers.items()},
        body=request.body,
        received_at=clock.now(),
        args=args,
    )


@csrf_exempt
@require_POST
def webhook(request: HttpRequest, system: str, connection: str = "", subscription: str = "") -> HttpResponse:
    """One vendor's notices: stored, then 200. See the contract's table of answers."""
    name = system.replace("-", "_")
    try:
        find_system(name)
        received = _as_request(request, connection=connection, subscription=subscription)
        parsed = deadline.within(lambda: intake.receive(name, received))
    except (NoSuchSystem, Unsupported):
        return _plain("there is no such webhook", 404)
    except BadSignature as error:
        _note_refusal(name, connection, str(error))
        return _plain("the signature is missing or wrong", 401)
    except (DatabaseError, InterfaceError, deadline.TooLate) as error:
        log.error("a %s webhook could not be stored (%s)", name, type(error).__name__)
        response = _plain("cannot be stored just now", 503)
        response["Retry-After"] = "10"
        return response
    if parsed.reply is not None:
        return HttpResponse(parsed.reply.body, status=parsed.reply.status, content_type=parsed.reply.content_type)
    return _plain("", 200)


def _plain(text: str, status: int) -> HttpResponse:
    return HttpResponse(f"{text}\n" if text else "", status=status, content_type="text/plain; charset=utf-8")


_refused_at: dict[str, float] = {}


def _note_refusal(name: str, slug: str, reason: str) -> None:
    """One audit line a minute and door, or strangers could fill the table."""
    door = f"{name}/{slug}"[:100]
    now = time.monotonic()
    if now - _refused_at.get(door, -60.0) < 60.0:
        return
    if len(_refused_at) > 1000:
        _refused_at.clear()
    _refused_at[door] = now
    try:
        deadline.within(lambda: audit.append(None, audit.Entry("webhook.refused", reason=f"{name}: {reason}"[:200])))
    except (DatabaseError, InterfaceError, deadline.TooLate):
        log.warning("a refused %s webhook could not be noted", name)


@require_GET
def healthz(request: HttpRequest) -> HttpResponse:
    """The process answers."""
    return _plain("ok", 200)


@require_GET
def readyz(request: HttpRequest) -> HttpResponse:
    """Database, Redis, and a worker seen lately; 503 names what is missing."""
    found = health.readiness()
    return JsonResponse(found, status=200 if all(value == "ok" for value in found.values()) else 503)


@require_GET
def metrics_page(request: HttpRequest) -> HttpResponse:
    """Prometheus text; the gauges are computed from the database now."""
    try:
        body = deadline.within(metrics.render, 10.0)
    except (DatabaseError, InterfaceError, deadline.TooLate):
        return _plain("the database does not answer", 503)
    return HttpResponse(body, content_type=metrics.CONTENT_TYPE)


def home(request: HttpRequest) -> HttpResponse:
    """People are looking for the admin."""
    response = HttpResponse(status=302)
    response["Location"] = f"{settings.PUBLIC_URL}/admin/" if request.get_host() in settings.PUBLIC_URL else "/admin/"
    return response
