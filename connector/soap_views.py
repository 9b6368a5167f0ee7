"""The door of the QuickBooks Web Connector, and the public support page that it asks for on the same host."""

from __future__ import annotations

import functools
import ipaddress
import threading

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET

from connector.pipeline.runs import Runs
from sources.quickbooks_desktop import qwc
from sources.quickbooks_desktop.service import CONTENT_TYPE, Service, fault
from sources.quickbooks_desktop.source import QuickBooksDesktop

_building = threading.Lock()


@functools.cache
def _built() -> Service:
    return Service(Runs(QuickBooksDesktop.name))


def _service() -> Service:
    """The one service of the process, made when first needed: commands that load the URLs need none."""
    with _building:
        return _built()


@csrf_exempt
def quickbooks_desktop(request: HttpRequest) -> HttpResponse:
    """GET: the service's description. POST: a call. The answer is SOAP whatever comes in."""
    if request.method in ("GET", "HEAD"):
        return HttpResponse(_service().wsdl(settings.PUBLIC_URL + qwc.PATH), content_type=CONTENT_TYPE)
    if request.method != "POST":
        response = HttpResponse(fault("POST a SOAP call here")[1], status=405, content_type=CONTENT_TYPE)
        response["Allow"] = "GET, HEAD, POST"
        return response
    try:
        body = request.body
    except OSError:
        status, answer = fault("the body broke off", status=400)
    else:
        status, answer = _service().answer(body, _address(request))
    return HttpResponse(answer, status=status, content_type=CONTENT_TYPE)


def _address(request: HttpRequest) -> str:
    """Where the call comes from: what the proxy says, when it came through one of our own network."""
    direct = request.META.get("REMOTE_ADDR", "")
    forwarded = request.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip()
    try:
        is_ours = ipaddress.ip_address(direct).is_private
    except ValueError:
        is_ours = True  # a Unix socket has no address
    return (forwarded if is_ours and forwarded else direct)[:64]


@require_GET
def quickbooks_desktop_support(request: HttpRequest) -> HttpResponse:
    """What the Web Connector shows its user as our support page; anybody may read it."""
    return render(request, "pages/quickbooks_desktop.html")
