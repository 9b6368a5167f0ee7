"""The stand-in's install flow, token rotation and token checks (vendors/slack.md, section 3)."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import hmac
import secrets
import time
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import urlencode, urlsplit

from connector.kernel.standin import Answer, Call
from sinks.slack.standin_wire import Ask, Method
from sinks.slack.standin_workspace import RefusedError, Token, Workspace

CODE_SECONDS = 600
ACCESS_SECONDS = 43_200
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclasses.dataclass(frozen=True, slots=True)
class _Code:
    redirect_uri: str
    scopes: tuple[str, ...]
    at: float


class Installer:
    """The app's side of OAuth v2: consent, one-time codes and, with `rotation`, expiring tokens with refresh tokens."""

    def __init__(
        self, team: Workspace, *, client_id: str, client_secret: str, redirect_uris: Sequence[str], rotation: bool
    ) -> None:
        self.team = team
        self.client_id = client_id
        self.client_secret = client_secret
        self.redirect_uris = tuple(redirect_uris)
        self.rotation = rotation
        #: What the person at the consent page does next.
        self.is_consenting = True
        self._codes: dict[str, _Code] = {}
        self._refresh: dict[str, tuple[str, ...]] = {}
        self._rotating: list[Token] = []

    def methods(self) -> dict[str, Method]:
        return {
            "oauth.v2.access": Method(self._access, is_open=True, is_form=True),
            "auth.test": Method(check_token, is_read=True),
            "auth.revoke": Method(revoke_token, is_read=True),
            "api.test": Method(echo, is_read=True, is_open=True),
        }

    def issue_code(self, scopes: Iterable[str], *, redirect_uri: str = "", at: float | None = None) -> str:
        """A code as the redirect after consent brings it; good once, for ten minutes."""
        code = f"fake-code-{secrets.token_hex(8)}"
        self._codes[code] = _Code(redirect_uri, tuple(scopes), time.time() if at is None else at)
        return code

    def authorize(self, call: Call) -> Answer:
        """The consent page, with a person who answers at once: back to the redirect with code and state, or an error
        shown here, as Slack shows it, when the request itself is wrong."""
        redirect_uri = call.query.get("redirect_uri") or next(iter(self.redirect_uris), "")
        scopes = [scope for scope in call.query.get("scope", "").split(",") if scope]
        if call.query.get("client_id") != self.client_id:
            return _shown("invalid_client_id")
        if not scopes:
            return _shown("no_scopes")
        if not self._is_registered(redirect_uri):
            return _shown("bad_redirect_uri")
        if call.query.get("team", self.team.id) != self.team.id:
            return _shown("invalid_team_for_non_distributed_app")
        if self.is_consenting:
            code = self.issue_code(scopes, redirect_uri=call.query.get("redirect_uri", ""), at=call.at)
            result = {"code": code, "state": call.query.get("state", "")}
        else:
            result = {"error": "access_denied", "state": call.query.get("state", "")}
        mark = "&" if urlsplit(redirect_uri).query else "?"
        return Answer(302, b"", {"Location": f"{redirect_uri}{mark}{urlencode(result)}"}, "text/plain")

    def _is_registered(self, uri: str) -> bool:
        """Https (or loopback, for a development machine), no fragment, and equal to or under a registered URI."""
        parts = urlsplit(uri)
        is_safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
        if not is_safe or not parts.netloc or "#" in uri:
            return False
        known = self.redirect_uris or (uri,)
        return any(uri == one or uri.startswith(one.rstrip("/") + "/") for one in known)

    def _access(self, ask: Ask) -> dict[str, Any]:
        """oauth.v2.access: exchanges a code, or a refresh token, for a bot token."""
        self._check_client(ask)
        grant = ask.text("grant_type", "authorization_code")
        if grant == "refresh_token":
            scopes = self._refresh.pop(ask.text("refresh_token"), None)
            if scopes is None or not self.rotation:
                raise RefusedError("invalid_refresh_token")
        elif grant == "authorization_code":
            scopes = self._redeem(ask)
        else:
            raise RefusedError("invalid_grant_type")
        return self._installation(scopes, ask.call.at)

    def _check_client(self, ask: Ask) -> None:
        client_id, secret = ask.text("client_id"), ask.text("client_secret")
        scheme, _, value = ask.call.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "basic":
            try:
                client_id, _, secret = base64.b64decode(value, validate=True).decode().partition(":")
            except (binascii.Error, ValueError):
                raise RefusedError("invalid_client_id") from None
        if client_id != self.client_id:
            raise RefusedError("invalid_client_id")
        if not hmac.compare_digest(secret.encode(), self.client_secret.encode()):
            raise RefusedError("bad_client_secret")

    def _redeem(self, ask: Ask) -> tuple[str, ...]:
        code = self._codes.get(ask.text("code"))
        if code is None or ask.call.at - code.at > CODE_SECONDS:
            raise RefusedError("invalid_code")
        if ask.text("redirect_uri") != code.redirect_uri:
            raise RefusedError("bad_redirect_uri")
        del self._codes[ask.text("code")]
        return code.scopes

    def _installation(self, scopes: tuple[str, ...], at: float) -> dict[str, Any]:
        team = self.team
        document: dict[str, Any] = {
            "token_type": "bot",
            "scope": ",".join(scopes),
            "bot_user_id": team.bot_user_id,
            "app_id": team.app_id,
            "team": {"name": team.name, "id": team.id},
            "enterprise": None,
            "authed_user": {"id": team.installer_id},
            "is_enterprise_install": False,
        }
        if not self.rotation:
            return document | {"access_token": team.issue(scopes).value}
        value, refresh_token = (f"{kind}fake-{secrets.token_hex(8)}" for kind in ("xoxe.xoxb-1-", "xoxe-1-"))
        self._refresh[refresh_token] = scopes
        self._rotating.append(team.issue(scopes, value=value, expires_at=at + ACCESS_SECONDS))
        for token in self._rotating[:-2]:
            # At most two access tokens of an installation stay active.
            token.error = token.error or "token_revoked"
        return document | {"access_token": value, "refresh_token": refresh_token, "expires_in": ACCESS_SECONDS}


def check_token(ask: Ask) -> dict[str, Any]:
    """auth.test: whose token this is."""
    team = ask.team
    return {
        "url": team.url,
        "team": team.name,
        "user": team.bot_name,
        "team_id": team.id,
        "user_id": team.bot_user_id,
        "bot_id": team.bot_id,
        "is_enterprise_install": False,
    }


def revoke_token(ask: Ask) -> dict[str, Any]:
    """auth.revoke: the token dies, unless `test` asks for a rehearsal."""
    if ask.truth("test"):
        return {"revoked": False}
    ask.token.error = "token_revoked"
    return {"revoked": True}


def echo(ask: Ask) -> dict[str, Any]:
    """api.test: the arguments back; an `error` argument is answered as that error."""
    if "error" in ask.arguments:
        raise RefusedError(ask.text("error"), args=dict(ask.arguments))
    return {"args": dict(ask.arguments)}


def _shown(code: str) -> Answer:
    return Answer(400, f"Something went wrong when authorizing this app: {code}\n".encode(), content_type="text/plain")
