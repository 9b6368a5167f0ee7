"""The stand-in's auth service: consent, codes, and one chain of single-use refresh tokens for each person."""

from __future__ import annotations

import dataclasses
import datetime as dt
import itertools
import json
import secrets
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar
from urllib.parse import urlencode, urlsplit

from connector.kernel.standin import Answer, Call, StandIn, json_answer
from sources.freshbooks.standin_faults import oauth_refusal
from sources.freshbooks.standin_people import Person

#: What the app has ticked on its page for developers.
SCOPES = (
    "user:profile:read",
    "user:invoices:read",
    "user:payments:read",
    "user:bills:read",
    "user:bill_vendors:read",
    "user:bill_payments:read",
    "user:expenses:read",
    "user:clients:read",
)
PROFILE = "user:profile:read"
ACCESS_SECONDS = 43_199
CODE_SECONDS = 300

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_DENIED = "The resource owner or authorization server denied the request."
_INVALID_SCOPE = "The requested scope is invalid, unknown, or malformed."
_INVALID_CLIENT = (
    "Client authentication failed due to unknown client, no client authentication included, or unsupported "
    "authentication method."
)
_INVALID_GRANT = (
    "The provided authorization grant is invalid, expired, revoked, does not match the redirection URI used in the "
    "authorization request, or was issued to another client."
)
_UNAUTHENTICATED = "This action requires authentication to continue."


@dataclasses.dataclass(slots=True)
class Chain:
    """The tokens of one consent. `spent` are its refresh tokens that have been used, the last of them `previous`."""

    person: Person
    scope: tuple[str, ...]
    refresh_token: str = ""
    previous: str = ""
    spent: set[str] = dataclasses.field(default_factory=set)
    access_tokens: dict[str, dt.datetime] = dataclasses.field(default_factory=dict)
    #: Whether the newest tokens have been used, and so are known to have arrived.
    has_arrived: bool = False
    is_over: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Code:
    person: Person
    redirect_uri: str
    scope: tuple[str, ...]
    expires: dt.datetime


class AuthorizationServer(StandIn):
    """The OAuth half of the stand-in. `now` is the clock of every token's life, and of the books."""

    routes: ClassVar[tuple[tuple[str, str, str], ...]] = (
        ("GET", r"/oauth/authorize", "_authorize"),
        ("GET", r"/service/auth/oauth/authorize", "_authorize"),
        ("POST", r"/auth/oauth/token", "_token"),
        ("POST", r"/auth/oauth/revoke", "_revoke"),
        ("GET", r"/auth/api/v1/users/me", "_me"),
    )

    def __init__(self, client_id: str, client_secret: str, *, host: str, port: int) -> None:
        super().__init__(host=host, port=port)
        self.now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC)
        self.people: dict[int, Person] = {}
        #: Who answers on the consent page, by identity; None declines.
        self.consent: int | None = None
        self.app_scopes: tuple[str, ...] = SCOPES
        #: Registered redirect addresses; when empty, any that FreshBooks would let an app register.
        self.redirect_uris: set[str] = set()
        #: HTTP status of `invalid_grant`, which is not documented.
        self.refusal_status = 400
        #: Whether the refresh token before the newest is taken once more, as long as the newest tokens are unused.
        self.forgives_lost_answer = False
        #: Whether a refresh leaves the access tokens before it alive.
        self.keeps_access_tokens = False
        self._client = (client_id, client_secret)
        self._codes: dict[str, Code] = {}
        self._chains: list[Chain] = []
        self._serial = itertools.count(1)

    def add_person(self, identity_id: int, email: str = "", first_name: str = "", last_name: str = "") -> Person:
        """Somebody with a log-in; the first one is who answers on the consent page."""
        person = Person(identity_id, email or f"person-{identity_id}@freshbooks.example", first_name, last_name)
        self.people[identity_id] = person
        if len(self.people) == 1:
            self.consent = identity_id
        return person

    def issue_tokens(
        self, identity_id: int | None = None, scopes: Iterable[str] = SCOPES, expires_in: int = ACCESS_SECONDS
    ) -> dict[str, Any]:
        """A token answer as if the person had just consented, which ends the person's earlier chain."""
        with self.lock:
            return self._issue(self._new_chain(self._person(identity_id), tuple(scopes)), expires_in)

    def expire_access_tokens(self, identity_id: int | None = None) -> None:
        """Lets the person's access tokens run out now; the refresh token lives on."""
        with self.lock:
            for chain in self._of(self._person(identity_id)):
                chain.access_tokens = dict.fromkeys(chain.access_tokens, self.now())

    def revoke(self, identity_id: int | None = None) -> None:
        """The person disconnects the app inside FreshBooks."""
        with self.lock:
            for chain in self._of(self._person(identity_id)):
                chain.is_over = True

    def bearer(self, call: Call) -> Chain | None:
        """The chain that the call's access token belongs to; None when it opens nothing (any more)."""
        kind, _, token = call.headers.get("authorization", "").partition(" ")
        chain = next((chain for chain in self._chains if token in chain.access_tokens), None)
        if kind != "Bearer" or chain is None or chain.is_over or chain.access_tokens[token] <= self.now():
            return None
        # The newest is the last that was put in.
        chain.has_arrived = chain.has_arrived or token == next(reversed(chain.access_tokens))
        return chain

    # The consent page

    def _authorize(self, call: Call, match: object) -> Answer:
        query = call.query
        redirect_uri = query.get("redirect_uri", "")
        problem = self._request_problem(redirect_uri, query)
        if problem:
            self.violations.append(f"authorize: {problem}")
            page = f"<h1>An error has occurred</h1><p>{problem}</p>"
            return Answer(400, page.encode(), content_type="text/html; charset=utf-8")
        if not query.get("state"):
            self.violations.append("authorize: without a state nobody knows who asked")
        reply = self._decision(redirect_uri, tuple(query.get("scope", "").split()))
        if "state" in query:
            reply["state"] = query["state"]
        return Answer(302, headers={"Location": f"{redirect_uri}?{urlencode(reply)}"})

    def _decision(self, redirect_uri: str, scope: tuple[str, ...]) -> dict[str, str]:
        with self.lock:
            if not set(scope) <= set(self.app_scopes):
                return {"error": "invalid_scope", "error_description": _INVALID_SCOPE}
            if self.consent is None:
                return {"error": "access_denied", "error_description": _DENIED}
            code = self._secret("authorization-code")
            expires = self.now() + dt.timedelta(seconds=CODE_SECONDS)
            self._codes[code] = Code(self._person(None), redirect_uri, scope or self.app_scopes, expires)
            return {"code": code}

    def _request_problem(self, redirect_uri: str, query: Mapping[str, str]) -> str:
        target = urlsplit(redirect_uri)
        is_secure = target.scheme == "https" or (target.scheme == "http" and target.hostname in _LOOPBACK)
        rules = (
            (query.get("client_id") == self._client[0], "The client_id is not a registered app."),
            (query.get("response_type") == "code", "The response_type must be code."),
            (is_secure and bool(target.netloc), "The redirect_uri must be https."),
            (not target.query and not target.fragment, "The redirect_uri must carry no query string."),
            (not self.redirect_uris or redirect_uri in self.redirect_uris, "The redirect_uri is not registered."),
        )
        return next((text for is_kept, text in rules if not is_kept), "")

    # Tokens

    def _token(self, call: Call, match: object) -> Answer:
        form = _fields(call)
        if (form.get("client_id"), form.get("client_secret")) != self._client:
            return oauth_refusal(401, "invalid_client", _INVALID_CLIENT)
        works = {"authorization_code": self._exchange, "refresh_token": self._refresh}
        work = works.get(form.get("grant_type", ""))
        if work is None:
            text = "The authorization grant type is not supported by the authorization server."
            return oauth_refusal(400, "unsupported_grant_type", text)
        with self.lock:
            chain = work(form)
            if chain is None:
                return oauth_refusal(self.refusal_status, "invalid_grant", _INVALID_GRANT)
            return json_answer(self._issue(chain), Cache_Control="no-store")

    def _exchange(self, form: dict[str, str]) -> Chain | None:
        code = self._codes.pop(form.get("code", ""), None)
        if code is None or code.expires <= self.now():
            return None
        if form.get("redirect_uri") != code.redirect_uri:
            self.violations.append("token: the redirect_uri is not the one that the code was given for")
            return None
        return self._new_chain(code.person, code.scope)

    def _refresh(self, form: dict[str, str]) -> Chain | None:
        token = form.get("refresh_token", "")
        chain = next((chain for chain in self._chains if token == chain.refresh_token or token in chain.spent), None)
        if chain is None or chain.is_over:
            return None
        if token in chain.spent:
            if self.forgives_lost_answer and token == chain.previous and not chain.has_arrived:
                return chain
            if chain.has_arrived:
                self.violations.append("a refresh token was used twice, although the answer had arrived")
            chain.is_over = True
            return None
        return chain

    def _revoke(self, call: Call, match: object) -> Answer:
        form = _fields(call)
        if (form.get("client_id"), form.get("client_secret")) != self._client:
            return oauth_refusal(401, "invalid_client", _INVALID_CLIENT)
        token = form.get("token", "")
        with self.lock:
            for chain in self._chains:
                if token == chain.refresh_token or token in chain.access_tokens:
                    chain.is_over = True
        return json_answer({})

    def _me(self, call: Call, match: object) -> Answer:
        if not call.headers.get("authorization"):
            return oauth_refusal(401, "unauthenticated", _UNAUTHENTICATED)
        with self.lock:
            chain = self.bearer(call)
            if chain is None:
                text = "The access token is invalid, expired or revoked."
                return oauth_refusal(401, "invalid_token", text, state="unauthorized")
            if PROFILE not in chain.scope:
                text = f"Access to this resource requires scope {PROFILE}."
                return oauth_refusal(403, "insufficient_scope", text, state="forbidden")
            return json_answer(chain.person.document())

    def _person(self, identity_id: int | None) -> Person:
        if identity_id is None:
            identity_id = self.consent
        return self.people[identity_id if identity_id is not None else next(iter(self.people))]

    def _of(self, person: Person) -> list[Chain]:
        return [chain for chain in self._chains if chain.person is person]

    def _new_chain(self, person: Person, scope: tuple[str, ...]) -> Chain:
        for chain in self._of(person):
            chain.is_over = True
        self._chains.append(Chain(person, scope))
        return self._chains[-1]

    def _issue(self, chain: Chain, expires_in: int = ACCESS_SECONDS) -> dict[str, Any]:
        """The chain's next pair of tokens; the pair before it stops working."""
        if chain.refresh_token:
            chain.spent.add(chain.refresh_token)
            chain.previous = chain.refresh_token
        if not self.keeps_access_tokens:
            chain.access_tokens.clear()
        chain.has_arrived = False
        chain.refresh_token, access = self._secret("refresh-token"), self._secret("access-token")
        chain.access_tokens[access] = self.now() + dt.timedelta(seconds=expires_in)
        return {
            "access_token": access,
            "token_type": "Bearer",
            "expires_in": expires_in,
            "refresh_token": chain.refresh_token,
            "scope": " ".join(chain.scope),
            "created_at": int(self.now().timestamp()),
            "id_token": self._secret("id-token"),
        }

    def _secret(self, kind: str) -> str:
        return f"fake-{kind}-{next(self._serial):04d}-{secrets.token_hex(12)}"


def _fields(call: Call) -> dict[str, str]:
    """The fields of a form or of a JSON object, both of which FreshBooks takes; none of anything else."""
    kind = call.headers.get("content-type", "").partition(";")[0]
    try:
        if kind == "application/x-www-form-urlencoded":
            return call.form()
        found = json.loads(call.body) if kind == "application/json" else {}
    except ValueError:
        return {}
    return {name: str(value) for name, value in found.items()} if isinstance(found, dict) else {}
