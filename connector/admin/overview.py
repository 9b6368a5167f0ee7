"""The first page: what works, what waits, and what to press."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import AnonymousUser, User
from django.urls import reverse

from connector import oauth_views
from connector.access import visible_to
from connector.admin.base import label_of, system_named
from connector.models import Connection, ConnectionState, Mailbox, Organization
from connector.pipeline import status

#: Organizations shown one by one; with more, only those where something is wrong.
SHOWN = 25
TROUBLED = (ConnectionState.NEEDS_REAUTHORIZATION, ConnectionState.MISCONFIGURED, ConnectionState.UNREACHABLE)


def context(user: User | AnonymousUser) -> dict[str, Any]:
    """What `admin/overview.html` shows to this person."""
    connections = visible_to(user, Connection.objects.select_related("organization", "credential"))
    slugs = set(connections.values_list("slug", flat=True))
    parked = visible_to(user, Mailbox.objects.select_related("connection")).exclude(hold="").order_by("parked_at")
    return {
        "counts": _counts(),
        "organizations": _organizations(user),
        "has_organizations": visible_to(user, Organization).exists(),
        "parked": list(parked[:SHOWN]),
        "backlog": [row for row in status.mailboxes() if row["connection"] in slugs][:SHOWN],
    }


def _counts() -> list[dict[str, Any]]:
    """Events and deliveries by state, each with the list behind it."""
    pages = {"events": "inboxevent", "deliveries": "delivery"}
    found = []
    for kind, by_state in status.counts().items():
        url = reverse(f"admin:connector_{pages[kind]}_changelist")
        states = [
            {"state": state, "count": count, "url": f"{url}?state__exact={state}"} for state, count in by_state.items()
        ]
        found.append({"name": kind, "states": states})
    return found


def _organizations(user: User | AnonymousUser) -> list[dict[str, Any]]:
    """Each organization with its connections and its Connect buttons, troubles first."""
    organizations = visible_to(user, Organization)
    if organizations.count() > SHOWN:
        organizations = organizations.filter(connections__state__in=TROUBLED).distinct()
    rows = [_organization(user, organization) for organization in organizations[:SHOWN]]
    return sorted(rows, key=lambda row: not row["is_troubled"])


def _organization(user: User | AnonymousUser, organization: Organization) -> dict[str, Any]:
    rows = visible_to(user, Connection.objects.select_related("organization", "credential"))
    rows = rows.filter(organization=organization).order_by("slug")
    connections = [{"row": row, "label": label_of(row.system), "renew": renew_url(row)} for row in rows]
    return {
        "row": organization,
        "connections": connections,
        "buttons": oauth_views.buttons(organization),
        "is_troubled": any(row.state in TROUBLED for row in rows),
    }


def renew_url(connection: Connection) -> str:
    """Where to authorize a connection anew; empty when its system is not connected by OAuth."""
    system = system_named(connection.system)
    if system is None or not oauth_views.is_offered(system):
        return ""
    return oauth_views.start_url(system, connection.organization, connection)
