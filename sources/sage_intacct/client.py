"""Calls to the gateway: one POST at a time for a company, its answer checked at every level.

Everything asked here only reads, so that a call without a whole answer may simply be made again. Raises
`connector.kernel.errors` alone.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from urllib.parse import urlsplit

from connector.kernel.contracts import Context
from connector.kernel.errors import Misconfigured, Reauthorize, Retry, Unknown
from connector.kernel.http import Answer
from sources.sage_intacct.answer import Asked, Reply, read
from sources.sage_intacct.envelope import Function, Login, Sender, build
from sources.sage_intacct.errors import masker

GATEWAY_URL = "https://api.intacct.com/ia/xml/xmlgw.phtml"
#: A session's endpoint lies under this domain.
DOMAIN = ".intacct.com"
#: Seconds to leave a request alone that was not answered in time: it may still run, and counts as one in flight.
TIMEOUT_WAIT = 60.0
_HOST = re.compile(r"[a-z0-9.-]+")
_HEADERS = {"Content-Type": "application/xml", "Accept": "application/xml, text/xml", "User-Agent": "ml-connector"}


class Client:
    """The gateway for one connection. Requests of one client have one run ID and count up."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._run = uuid.uuid4().hex[:16]
        self._count = 0
        secret_names = ("session_id", "user_password", "sender_password", "trigger_secret")
        shared = ctx.app.get("sender_password", "")
        self.hide = masker([*(ctx.secrets.get(name) for name in secret_names), shared])

    def call(self, functions: Sequence[Function], auth: Login | str, url: str) -> Reply:
        """One request with all the functions. Raises the verdict when it was refused as a whole."""
        ctx = self._ctx
        if not ctx.account:
            raise Misconfigured("the connection has no company ID: set its account")
        self._count += 1
        control_id = f"{self._run}-{self._count:04d}"
        body = build(sender_of(ctx), control_id, auth, functions)
        kind = "login" if isinstance(auth, Login) else "session"
        with ctx.turn():
            ctx.spend("call")
            # Each function counts, whatever it returns.
            ctx.meter("transactions", len(functions))
            answer = self._post(url, body)
        return read(answer, Asked(control_id, ctx.account, kind, functions, self.hide), ctx.now())

    def _post(self, url: str, body: bytes) -> Answer:
        """The answer; a connection that was dropped while it idled is replaced once."""
        for is_last in (False, True):
            try:
                return self._ctx.http.call("POST", url, headers=_HEADERS, body=body)
            except Unknown as error:
                if error.code != "cut":
                    raise Retry(error.text, code=error.code, after=TIMEOUT_WAIT) from None
                if is_last:
                    raise Retry(error.text, code=error.code) from None
        raise AssertionError("unreachable")


def gateway_url(ctx: Context) -> str:
    """Where a session is opened."""
    return ctx.app.get("gateway_url") or GATEWAY_URL


def sender_of(ctx: Context) -> Sender:
    """The connection's own sender, else the installation's."""
    for values in (ctx.secrets, ctx.app):
        sender_id, password = values.get("sender_id") or "", values.get("sender_password") or ""
        if sender_id and password:
            return Sender(sender_id, password)
    raise Misconfigured("set INTACCT_SENDER_ID and INTACCT_SENDER_PASSWORD, or both in the connection's credential")


def login_of(ctx: Context) -> Login:
    """The sign-in of the connection's user, to the entity of its settings."""
    user, password = ctx.secrets.get("user_id"), ctx.secrets.get("user_password")
    if not user or not password:
        raise Reauthorize("the connection has no user: set user_id and user_password")
    return Login(user, ctx.account, password, entity_of(ctx))


def entity_of(ctx: Context) -> str:
    """The entity that the connection signs in to; empty for the top level."""
    return str(ctx.settings.get("entity") or "").strip()


def is_own_endpoint(url: str, gateway: str) -> bool:
    """Whether a session's endpoint may be trusted with the session: the vendor's domain by https, or the gateway."""
    try:
        parts, base = urlsplit(url), urlsplit(gateway)
        port, base_port = parts.port, base.port
    except ValueError:
        return False
    if parts.username or parts.password or not parts.hostname or not url.isascii() or not url.isprintable():
        return False
    if (parts.scheme, parts.hostname, port) == (base.scheme, base.hostname, base_port):
        return True
    # Parsers differ on a host with a backslash or the like, so that such a name is nobody's.
    host = parts.hostname.removesuffix(".") if _HOST.fullmatch(parts.hostname) else ""
    return parts.scheme == "https" and port in (None, 443) and host.endswith(DOMAIN)
