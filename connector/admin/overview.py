"""The first page: what works, what waits, and what to press."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import AnonymousUser, User
from django.urls import reverse

from connector import oauth_views, registry
from connector.access import visible_to
from connector.models import Connection, ConnectionState, Mailbox, Organization
from connector.pipeline import status

#: Organizations shown one by one; with more, only those where something is wrong.
SHOWN = 25


def context(user: User | AnonymousUser) -> dict[str, Any]:
    """What `admin/overview.html` shows to this person."""
    connections = visible_to(user, Connection.objects.select_related("organization", "credential"))
    slugs = set(connections.values_list("slug", flat=True))
    parked = visible_to(user, Mailbox.objects.select_related("connection")).exclude(hold="").order_by("parked_at")
    return {
        "counts": _counts(),
        "organizations": _organizations(user),
        "organizations_shown": SHOWN,
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
    total = organizations.count()
    if total > SHOWN:
        troubled = Connection.objects.exclude(state__in=(ConnectionState.OK, ConnectionState.UNKNOWN))
        organizations = organizations.filter(connections__in=troubled).distinct()
    rows = []
    for organization in organizations[:SHOWN]:
        connections = [
            {
                "row": connection,
                "label": registry.system(connection.system).label,
                "renew": _renew_url(connection),
            }
            for connection in organization.connections.select_related("credential").order_by("slug")
        ]
        is_troubled = any(each["renew"] for each in connections)
        rows.append(
            {
                "row": organization,
                "connections": connections,
                "buttons": oauth_views.buttons(organization),
                "troubled": is_troubled,
            }
        )
    return sorted(rows, key=lambda row: not row["troubled"])


def _renew_url(connection: Connection) -> str:
    """Where to authorize a connection anew, when it needs that and can be."""
    system = registry.system(connection.system)
    if connection.state != ConnectionState.NEEDS_REAUTHORIZATION or not oauth_views.is_offered(system):
        return ""
    return oauth_views.start_url(system, connection.organization, connection)
