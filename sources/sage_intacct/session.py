"""The session of a company, user and entity: opened when it is needed, and kept with the credential.

Its end is kept here and not as the credential's own, which would be renewed around the clock: a company that is read
once a day is signed in to once a day. Source: developer.intacct.com/api/company-console/api-sessions. Further calls go
to the endpoint that came with it.
"""

from __future__ import annotations

import datetime as dt

from connector.kernel.contracts import Context, Secrets
from connector.kernel.errors import Misconfigured, Reauthorize, Refresh
from sources.sage_intacct.answer import Reply
from sources.sage_intacct.client import Client, entity_of, gateway_url, is_own_endpoint, login_of
from sources.sage_intacct.envelope import Function
from sources.sage_intacct.errors import unreadable
from sources.sage_intacct.queries import get_api_session

SESSION_MINUTES = 50
#: A session is given up so long before its end.
MARGIN = dt.timedelta(minutes=5)


def can_open(secrets: Secrets) -> bool:
    """Whether there is somebody to sign in."""
    return bool(secrets.get("user_id") and secrets.get("user_password"))


def current(ctx: Context) -> tuple[str, str]:
    """The session ID and endpoint on file. Raises `Refresh` when a new session must be opened first."""
    secrets = ctx.secrets
    session_id, endpoint = secrets.get("session_id"), secrets.get("endpoint")
    is_mine = secrets.get("session_of") == _owner(ctx) and is_own_endpoint(endpoint, gateway_url(ctx))
    if session_id and is_mine and ctx.now().timestamp() < float(secrets.get("session_ends") or 0):
        return session_id, endpoint
    if not can_open(secrets):
        raise Reauthorize("the connection has no user: set user_id and user_password")
    raise Refresh("the connection has no session yet; one will be opened")


def opened(ctx: Context) -> Secrets:
    """The secrets with a new session, by one sign-in that is never repeated here: wrong ones lock the user out."""
    asked_at = ctx.now()
    function = Function("session-1", get_api_session())
    reply = Client(ctx).call([function], login_of(ctx), gateway_url(ctx))
    result = reply.results[function.name]
    if result.failure is not None:
        raise result.failure
    row = result.rows[0] if result.rows else {}
    session_id, endpoint = row.get("SESSIONID", ""), row.get("ENDPOINT", "")
    if not session_id:
        raise unreadable("a session")
    if not is_own_endpoint(endpoint, gateway_url(ctx)):
        raise Misconfigured(
            "Intacct named an endpoint outside its own domain, which is not called: check INTACCT_GATEWAY_URL",
            code="foreign_endpoint",
        )
    ahead = (reply.at - asked_at).total_seconds() if reply.at else 0.0
    ends = asked_at + good_for(reply, _cap(ctx))
    fresh = {
        "session_id": session_id, "endpoint": endpoint, "session_of": _owner(ctx), "clock_ahead": f"{ahead:.0f}",
        "session_ends": f"{ends.timestamp():.0f}",
    }  # fmt: skip
    return Secrets({**ctx.secrets.values, **fresh})


def server_now(ctx: Context) -> dt.datetime:
    """The present by the server's clock, as it was seen at the sign-in: what changed there is dated by it."""
    ahead = ctx.secrets.get("clock_ahead")
    return ctx.now().astimezone(dt.UTC) + dt.timedelta(seconds=float(ahead or 0))


def good_for(reply: Reply, cap: dt.timedelta) -> dt.timedelta:
    """How long a session is used from the moment it was asked for: till shortly before its end or the cap's.

    The end is by the server's own two times. Only their difference counts, so that clocks may disagree.
    """
    lives = cap
    if reply.at is not None and reply.ends is not None and reply.ends > reply.at:
        lives = min(reply.ends - reply.at, cap)
    return lives - MARGIN if lives > MARGIN else lives / 2


def _cap(ctx: Context) -> dt.timedelta:
    value = ctx.settings.get("session_minutes", SESSION_MINUTES)
    try:
        minutes = int(str(value))
    except ValueError:
        minutes = 0
    if not 1 <= minutes <= 1440:
        raise Misconfigured("the setting session_minutes must be a whole number from 1 to 1440")
    return dt.timedelta(minutes=minutes)


def _owner(ctx: Context) -> str:
    """Whose session it is: a changed company, user or entity needs another."""
    return "\n".join((ctx.account.casefold(), ctx.secrets.get("user_id"), entity_of(ctx)))
