"""Connecting an account by OAuth: off to the vendor's consent page, and back with a code.

A started authorization is good once, for ten minutes, and only in the browser session that began it. It is used up
before anything is exchanged.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
import secrets
from urllib.parse import urlencode

from django.conf import settings
from django.contrib import admin, messages
from django.contrib.auth.views import redirect_to_login
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.text import slugify
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods

from connector import registry
from connector.access import visible_to
from connector.kernel.contracts import Account, Grant, Secrets, System
from connector.kernel.errors import Retry, Unknown, VendorError
from connector.kernel.events import from_json, to_json
from connector.models import Connection, OAuthState, Organization
from connector.pipeline import clock, connections, credentials, hints

STATE_SECONDS = 600
_SESSION_KEY = "oauth_browser"
_STALE = (
    "This authorization was not begun in this browser, was used already, or is older than ten minutes. "
    "Nothing was connected."
)


class Problem(Exception):
    """What the person is told instead, with the page's status and where to try again. Nothing was stored."""

    def __init__(self, text: str, *, status: int = 400, again: str = "") -> None:
        super().__init__(text)
        self.text, self.status, self.again = text, status, again


def is_offered(system: System) -> bool:
    """Whether accounts of this system are connected by OAuth."""
    return type(system).authorize_url is not System.authorize_url


def start_url(system: System, organization: Organization, connection: Connection | None = None) -> str:
    """The path that begins an authorization; for a connection, one that must end in its account."""
    query = {"organization": organization.slug} | ({"connection": connection.slug} if connection else {})
    return f"{reverse('oauth-start', args=[_path_name(system)])}?{urlencode(query)}"


def buttons(organization: Organization) -> list[tuple[str, str]]:
    """(label, path) of every system that this organization can connect by OAuth."""
    systems = [registry.system(name) for name in registry.system_names()]
    return [(found.label, start_url(found, organization)) for found in systems if is_offered(found)]


def _path_name(system: System) -> str:
    return system.name.replace("_", "-")


def _redirect_uri(system: System) -> str:
    return f"{settings.PUBLIC_URL}{reverse('oauth-callback', args=[_path_name(system)])}"


@never_cache
@require_GET
def start(request: HttpRequest, system: str) -> HttpResponse:
    """Sends a member of the staff to the vendor's consent page."""
    if not admin.site.has_permission(request):
        return redirect_to_login(request.get_full_path(), reverse("admin:login"))
    try:
        found = _system(system)
        organization, connection = _subject(request, found)
        return redirect(_begin(request, found, organization, connection))
    except Problem as problem:
        return _problem_page(request, problem)


@never_cache
@require_http_methods(["GET", "POST"])
def callback(request: HttpRequest, system: str) -> HttpResponse:
    """Where the vendor sends the browser back to; and, by POST, the choice among several accounts."""
    try:
        found = _system(system)
        if request.method == "POST":
            return _connected(request, found, *_choice(request, found))
        row = _take(request, found)
        again = start_url(found, row.organization, row.connection)
        grant = _exchange(request, found, row, again)
        account = _only_account(found, row, grant, again)
        if account is None:
            return _choice_page(request, found, row, grant)
        return _connected(request, found, row, grant, account)
    except Problem as problem:
        return _problem_page(request, problem)


def _problem_page(request: HttpRequest, problem: Problem) -> HttpResponse:
    text = problem.text[:1].upper() + problem.text[1:]
    context = {"text": text if text.endswith((".", "!", "?")) else f"{text}.", "again": problem.again}
    return render(request, "oauth/problem.html", context, status=problem.status)


def _system(path_name: str) -> System:
    try:
        found = registry.system(path_name.replace("-", "_"))
    except registry.NoSuchSystem:
        raise Problem("There is no such system to connect.", status=404) from None
    if not is_offered(found):
        raise Problem(
            f"{found.label} is not connected by OAuth: add the connection in the admin, with its credentials.",
            status=404,
        )
    return found


def _subject(request: HttpRequest, system: System) -> tuple[Organization, Connection | None]:
    """The organization, and the connection that is to be authorized anew, if one is named."""
    slug, connection = _slug(request, "organization"), None
    if "connection" in request.GET:
        rows = visible_to(request.user, Connection.objects.select_related("organization")).filter(system=system.name)
        connection = rows.filter(slug=_slug(request, "connection")).first()
        if connection is None or slug not in ("", connection.organization.slug):
            raise Problem(f"There is no such {system.label} connection.", status=404)
        return connection.organization, connection
    organization = visible_to(request.user, Organization).filter(slug=slug).first()
    if organization is None:
        raise Problem(
            "Say for which organization to connect: press Connect on the admin's overview.",
            status=404 if slug else 400,
        )
    return organization, None


def _slug(request: HttpRequest, name: str) -> str:
    value = request.GET.get(name, "")
    return value if re.fullmatch(r"[-\w]{1,64}", value) else ""


def _begin(request: HttpRequest, system: System, organization: Organization, connection: Connection | None) -> str:
    """Notes the authorization and gives the consent page's URL."""
    state = secrets.token_urlsafe(32)
    ctx = _use(system, organization, connection).context(Secrets({}))
    try:
        url = system.authorize_url(ctx, state=state, redirect_uri=_redirect_uri(system))
    except VendorError as error:
        raise Problem(error.text) from None
    request.session.setdefault(_SESSION_KEY, secrets.token_urlsafe(32))
    OAuthState.objects.create(
        state_hash=_hash(state),
        session_hash=_hash(request.session[_SESSION_KEY]),
        organization=organization,
        connection=connection,
        system=system.name,
        actor=request.user.get_username(),
        expires_at=clock.after(STATE_SECONDS),
    )
    return url


def _use(system: System, organization: Organization, connection: Connection | None) -> credentials.Use:
    """For calls before there is a connection: they are not metered, and keep no socket that would want closing."""
    subject = connection or Connection(organization=organization, system=system.name, slug="new", account="")
    return credentials.Use(subject, keep_alive=False)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()


def _started(request: HttpRequest, system: System, state: str) -> QuerySet[OAuthState]:
    """The authorization with that state, when this browser session began it and its time is not over."""
    browser = request.session.get(_SESSION_KEY)
    if not browser or not admin.site.has_permission(request):
        return OAuthState.objects.none()
    return OAuthState.objects.filter(
        state_hash=_hash(state),
        session_hash=_hash(browser),
        system=system.name,
        actor=request.user.get_username(),
        organization__in=visible_to(request.user, Organization),
        expires_at__gt=clock.now(),
    )


def _take(request: HttpRequest, system: System) -> OAuthState:
    """Uses the state up; only one request can."""
    rows = _started(request, system, request.GET.get("state", ""))
    if not rows.filter(used_at=None).update(used_at=clock.now()):
        raise Problem(_STALE)
    return rows.select_related("organization", "connection").get()


def _exchange(request: HttpRequest, system: System, row: OAuthState, again: str) -> Grant:
    query = request.GET.dict()
    if query.get("error") == "access_denied":
        raise Problem(f"Access was denied at {system.label}, so nothing was connected.", again=again)
    ctx = _use(system, row.organization, row.connection).context(Secrets({}))
    try:
        return system.exchange(ctx, query=query, redirect_uri=_redirect_uri(system))
    except (Retry, Unknown) as error:
        raise Problem(error.text, status=502, again=again) from None
    except VendorError as error:
        raise Problem(error.text, again=again) from None


def _only_account(system: System, row: OAuthState, grant: Grant, again: str) -> Account | None:
    """The account to connect: the one of the connection authorized anew, else the only one; None = ask."""
    if row.connection is not None:
        expected = row.connection.account
        for account in grant.accounts:
            if account.id == expected:
                return account
        raise Problem(
            f"The connection {row.connection.slug} belongs to the {system.label} account {expected}, but another one "
            f"was chosen there. Nothing was changed: try again and choose {expected}.",
            again=again,
        )
    if not grant.accounts:
        raise Problem(f"This {system.label} log-in has no account that could be connected.", again=again)
    return grant.accounts[0] if len(grant.accounts) == 1 else None


def _choice_page(request: HttpRequest, system: System, row: OAuthState, grant: Grant) -> HttpResponse:
    """Keeps the grant sealed for ten minutes, and asks which account it is for."""
    row.grant, row.expires_at = to_json(grant), clock.after(STATE_SECONDS)
    row.save(update_fields=["grant_sealed", "expires_at"])
    known = Connection.objects.filter(organization=row.organization, system=system.name)
    context = {
        "system": system,
        "organization": row.organization,
        "accounts": grant.accounts,
        "known": set(known.values_list("account", flat=True)),
        "state": request.GET["state"],
    }
    return render(request, "oauth/choose.html", context)


def _choice(request: HttpRequest, system: System) -> tuple[OAuthState, Grant, Account]:
    rows = _started(request, system, request.POST.get("state", "")).exclude(grant_sealed="")
    row = rows.select_related("organization", "connection").first()
    if row is None:
        raise Problem(_STALE)
    grant = from_json(Grant, row.grant)
    account = next((one for one in grant.accounts if one.id == request.POST.get("account")), None)
    if account is None:
        raise Problem("Choose one of the accounts listed: go back a page.", again=start_url(system, row.organization))
    if not rows.filter(grant_sealed=row.grant_sealed).update(grant_sealed=""):
        raise Problem(_STALE)
    return row, grant, account


def _connected(request: HttpRequest, system: System, row: OAuthState, grant: Grant, account: Account) -> HttpResponse:
    connection = connect(system, row.organization, grant, account, actor=row.actor)
    messages.success(request, f"Connected to {system.label} as {connection.slug}.")
    return redirect("admin:connector_connection_change", connection.pk)


def connect(system: System, organization: Organization, grant: Grant, account: Account, *, actor: str) -> Connection:
    """Stores the grant: the organization's connection of that account is renewed, or a new one made.

    What waited for the authorization goes on, for every connection that shares it.
    """
    with transaction.atomic():
        connection = _connection_of(system, organization, account)
        # Secrets that did not come by OAuth, such as a signing secret, stay.
        held = credentials.opened(connection.credential).values
        brought = dataclasses.replace(grant.secrets, values={**held, **grant.secrets.values})
        credentials.store(connection, brought, owner=grant.owner, actor=actor, action="connection.authorized")
        shared = Connection.objects.filter(credential=connection.credential)
        for each in shared.select_related("organization"):
            connections.mend(each, "Authorized")
        hints.run("check_connection", str(connection.pk))
    return connection


def _connection_of(system: System, organization: Organization, account: Account) -> Connection:
    """The organization's connection of that account, made when it is new; switched on either way."""
    rows = Connection.objects.filter(organization=organization, system=system.name, account=account.id)
    base = slugify(f"{account.name} {system.label}")[:56].strip("-")
    for number in range(1, 1000):
        connection = rows.select_related("organization", "credential").first()
        if connection is not None:
            connection.settings = {**account.settings, **connection.settings}
            connection.is_active = True
            connection.save(update_fields=["settings", "is_active"])
            return connection
        slug = base if number == 1 else f"{base}-{number}"
        try:
            with transaction.atomic():
                return Connection.objects.create(
                    organization=organization,
                    system=system.name,
                    account=account.id,
                    slug=slug,
                    settings=dict(account.settings),
                )
        except IntegrityError:
            # The slug is taken, or another request was quicker with this account: look again.
            continue
    raise Problem("There are too many connections of that name: rename the company at the vendor, or add it by hand.")
