"""The stand-in's authorization server: consent, codes, rotating refresh tokens, revocation."""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import itertools
import json
import secrets
import uuid
from collections.abc import Callable
from typing import Any, ClassVar
from urllib.parse import urlencode, urlsplit

from connector.kernel.standin import Answer, Call, StandIn, json_answer

ACCOUNTING = "com.intuit.quickbooks.accounting"
ACCESS_SECONDS = 3600
CODE_SECONDS = 600
#: The rolling life of a refresh token's value (101 days), and of the whole consent (five years).
REFRESH_SECONDS = 8_726_400
HARD_SECONDS = 157_680_000
ROTATE_SECONDS = 24 * 3600

_SCOPES = {ACCOUNTING, "com.intuit.quickbooks.payment", "openid", "profile", "email", "phone", "address"}
_FORM = "application/x-www-form-urlencoded"


@dataclasses.dataclass(slots=True)
class Grant:
    """All that one consent gave. `end` is why it is over: "revoked" (by the app or as theft) or "disconnected"."""

    realm: str
    granted: dt.datetime
    refresh_token: str
    refresh_since: dt.datetime
    superseded: set[str] = dataclasses.field(default_factory=set)
    access_tokens: dict[str, dt.datetime] = dataclasses.field(default_factory=dict)
    end: str = ""


@dataclasses.dataclass(slots=True)
class Code:
    """An authorization code; `grant` is set by its first and only exchange."""

    realm: str
    redirect_uri: str
    expires: dt.datetime
    grant: Grant | None = None


class AuthorizationServer(StandIn):
    """The OAuth half of the stand-in. `now` is the clock of every token's life."""

    routes: ClassVar[tuple[tuple[str, str, str], ...]] = (
        ("GET", r"/connect/oauth2", "_authorize"),
        ("POST", r"/oauth2/v1/tokens/bearer", "_bearer"),
        ("POST", r"/v2/oauth2/tokens/revoke", "_revoke"),
    )

    def __init__(self, client_id: str, client_secret: str, *, host: str, port: int) -> None:
        super().__init__(host=host, port=port)
        self.now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC)
        #: The company that the person on the consent page picks; None declines.
        self.consent: str | None = None
        #: Registered redirect addresses; when empty, any https address (http only on this machine) is accepted.
        self.redirect_uris: set[str] = set()
        #: The first refresh this many seconds after the last new value returns a new value again.
        self.rotate_after: float = ROTATE_SECONDS
        #: Whether a superseded refresh token, or a code exchanged twice, ends the whole grant.
        self.revokes_on_reuse = True
        self._client_id = client_id
        self._basic = "Basic " + base64.b64encode(f"{client_id}:{client_secret}".encode()).decode()
        self._codes: dict[str, Code] = {}
        self._grants: list[Grant] = []
        self._serial = itertools.count(1)

    def issue_tokens(self, realm_id: str, expires_in: int = ACCESS_SECONDS) -> dict[str, Any]:
        """A token response for the company, as if its owner had just consented."""
        with self.lock:
            return self._tokens(self._new_grant(realm_id), expires_in=expires_in)

    def expire_access_tokens(self, realm_id: str) -> None:
        """Lets every access token of the company run out now; its refresh tokens live on."""
        with self.lock:
            for grant in self._of(realm_id):
                grant.access_tokens = dict.fromkeys(grant.access_tokens, self.now())

    def revoke(self, realm_id: str) -> None:
        """The customer disconnects the app inside the product: 3100 on calls, `invalid_grant` on refresh."""
        with self.lock:
            for grant in self._of(realm_id):
                grant.end = grant.end or "disconnected"

    def token_problem(self, call: Call, realm_id: str) -> tuple[str, str] | None:
        """Why the call's bearer token does not open the company: the fault's code and detail; None when it does."""
        kind, _, token = call.headers.get("authorization", "").partition(" ")
        grant = next((grant for grant in self._grants if token in grant.access_tokens), None)
        if kind != "Bearer" or grant is None:
            return "3200", "Malformed bearer token: too short or too long"
        if grant.end == "revoked":
            return "3200", f"Token revoked: {token[:24]}"
        if grant.end or grant.realm != realm_id:
            return "3100", ""
        if grant.access_tokens[token] <= self.now():
            return "3200", f"Token expired: {token[:24]}"
        return None

    def _authorize(self, call: Call, match: object) -> Answer:
        query = call.query
        problem = self._request_problem(query.get("redirect_uri", ""), query)
        if problem:
            self.violations.append(f"authorize: {problem}")
            page = f"<h1>Sorry, but the app didn't connect</h1><p>{problem}</p>"
            return Answer(400, page.encode(), content_type="text/html; charset=utf-8")
        reply = {"error": "access_denied", "state": query["state"]}
        with self.lock:
            if self.consent is not None:
                code = self._secret("authorization-code")
                expires = self.now() + dt.timedelta(seconds=CODE_SECONDS)
                self._codes[code] = Code(self.consent, query["redirect_uri"], expires)
                reply = {"code": code, "state": query["state"]}
                if ACCOUNTING in query["scope"].split():
                    reply["realmId"] = self.consent
        separator = "&" if urlsplit(query["redirect_uri"]).query else "?"
        return Answer(302, headers={"Location": query["redirect_uri"] + separator + urlencode(reply)})

    def _request_problem(self, redirect_uri: str, query: Any) -> str:
        target = urlsplit(redirect_uri)
        is_secure = target.scheme == "https" or (
            target.scheme == "http" and target.hostname in ("localhost", "127.0.0.1")
        )
        scopes = set(query.get("scope", "").split())
        rules = (
            (query.get("client_id") == self._client_id, "The client_id is not a registered app."),
            (query.get("response_type") == "code", "The response_type must be code."),
            (scopes and scopes <= _SCOPES, "The scope is missing or unknown."),
            (bool(query.get("state")), "The state is missing."),
            (is_secure and not target.fragment, "The redirect_uri must be https."),
            (not self.redirect_uris or redirect_uri in self.redirect_uris, "The redirect_uri is not registered."),
        )
        return next((text for is_kept, text in rules if not is_kept), "")

    def _bearer(self, call: Call, match: object) -> Answer:
        if call.headers.get("authorization") != self._basic:
            return _refusal(401, "invalid_client")
        if not call.headers.get("content-type", "").startswith(_FORM):
            return _refusal(400, "invalid_request", "The body must be a form")
        form = call.form()
        grant_type = form.get("grant_type")
        if grant_type not in ("authorization_code", "refresh_token"):
            return _refusal(400, "unsupported_grant_type")
        with self.lock:
            if grant_type == "refresh_token":
                found = self._refresh(form.get("refresh_token", ""))
            else:
                found = self._exchange(form.get("code", ""), form.get("redirect_uri", ""))
            if isinstance(found, Answer):
                return found
            wants_hard = call.headers.get("x-include-refresh-token-hard-expires-in", "").lower() == "true"
            return json_answer(self._tokens(found, wants_hard=wants_hard))

    def _exchange(self, text: str, redirect_uri: str) -> Grant | Answer:
        refused = _refusal(400, "invalid_grant", "Invalid authorization code")
        code = self._codes.get(text)
        if code is None:
            return refused
        if code.grant is not None:
            self._reused(code.grant, "an authorization code was exchanged twice")
            return refused
        if code.redirect_uri != redirect_uri:
            self.violations.append("exchange: the redirect_uri is not the one the code was given for")
            return refused
        if code.expires <= self.now():
            return refused
        code.grant = self._new_grant(code.realm)
        return code.grant

    def _refresh(self, token: str) -> Grant | Answer:
        grant = next((g for g in self._grants if token == g.refresh_token or token in g.superseded), None)
        if grant is None:
            return _refusal(400, "invalid_grant", "Incorrect or invalid refresh token")
        if token in grant.superseded:
            self._reused(grant, "a superseded refresh token was used")
            return _refusal(400, "invalid_grant", "Incorrect or invalid refresh token")
        if grant.end or self._refresh_seconds(grant) <= 0:
            return _refusal(400, "invalid_grant", "Token has been expired or revoked.")
        if (self.now() - grant.refresh_since).total_seconds() >= self.rotate_after:
            grant.superseded.add(token)
            grant.refresh_token, grant.refresh_since = self._secret("refresh-token"), self.now()
        return grant

    def _revoke(self, call: Call, match: object) -> Answer:
        if call.headers.get("authorization") != self._basic:
            return _refusal(401, "invalid_client")
        try:
            token = call.json()["token"]
        except (ValueError, TypeError, KeyError):
            return _refusal(400, "invalid_request")
        with self.lock:
            for grant in self._grants:
                if token == grant.refresh_token or token in grant.access_tokens:
                    grant.end = "revoked"
                    return Answer(200)
        return _refusal(400, "invalid_request", "Token invalid")

    def _reused(self, grant: Grant, text: str) -> None:
        self.violations.append(text)
        if self.revokes_on_reuse:
            grant.end = "revoked"

    def _new_grant(self, realm: str) -> Grant:
        grant = Grant(realm, self.now(), self._secret("refresh-token"), self.now())
        self._grants.append(grant)
        return grant

    def _tokens(self, grant: Grant, *, expires_in: int = ACCESS_SECONDS, wants_hard: bool = False) -> dict[str, Any]:
        access = self._secret("access-token")
        grant.access_tokens[access] = self.now() + dt.timedelta(seconds=expires_in)
        document = {
            "token_type": "bearer",
            "expires_in": expires_in,
            "refresh_token": grant.refresh_token,
            "x_refresh_token_expires_in": self._refresh_seconds(grant),
            "access_token": access,
        }
        if wants_hard:
            document["x_refresh_token_hard_expires_in"] = self._hard_seconds(grant)
        return document

    def _refresh_seconds(self, grant: Grant) -> int:
        rolling = REFRESH_SECONDS - int((self.now() - grant.refresh_since).total_seconds())
        return min(rolling, self._hard_seconds(grant))

    def _hard_seconds(self, grant: Grant) -> int:
        return HARD_SECONDS - int((self.now() - grant.granted).total_seconds())

    def _of(self, realm: str) -> list[Grant]:
        return [grant for grant in self._grants if grant.realm == realm]

    def _secret(self, kind: str) -> str:
        return f"fake-{kind}-{next(self._serial):04d}-{secrets.token_hex(12)}"


def _refusal(status: int, error: str, description: str = "") -> Answer:
    document = {"error": error, "error_description": description} if description else {"error": error}
    headers = {"intuit_tid": str(uuid.uuid4()), "Cache-Control": "no-store"}
    return Answer(status, json.dumps(document).encode(), headers)
