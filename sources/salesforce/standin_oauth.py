"""The stand-in's token endpoint: client credentials on the My Domain host, sessions that end by inactivity."""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import itertools
import secrets
from collections.abc import Callable
from typing import Any, ClassVar

from connector.kernel.standin import Answer, Call, StandIn, json_answer
from sources.salesforce.standin_faults import oauth_refusal
from sources.salesforce.standin_types import case_marks

_SHORT_ORG = "00D000000000001"
ORG_ID = _SHORT_ORG + case_marks(_SHORT_ORG)
#: The run-as user of the app, and the people and the process of the org.
RUN_AS, PERSON, AUTOMATED = (
    short + case_marks(short) for short in ("005Sm000000Int1", "005Sm000000Rep1", "005Sm000000Aut1")
)
#: How long a session lasts without a call.
SESSION_SECONDS = 7200


class AuthorizationServer(StandIn):
    """The OAuth half of the stand-in. `now` is the clock of every session, and of the records."""

    routes: ClassVar[tuple[tuple[str, str, str], ...]] = (
        ("POST", r"/services/oauth2/token", "_token"),
        ("POST", r"/services/oauth2/revoke", "_revoke"),
        ("GET", r"/services/oauth2/userinfo", "_userinfo"),
        ("POST", r"/services/oauth2/userinfo", "_userinfo"),
    )

    def __init__(self, client_id: str, client_secret: str, *, host: str, port: int) -> None:
        super().__init__(host=host, port=port)
        self.now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC)
        self.org_id = ORG_ID
        self.run_as = RUN_AS
        self.session_seconds = SESSION_SECONDS
        #: Why the token endpoint refuses everybody: a cause from `OAUTH_REFUSALS`; empty when it works.
        self.oauth_problem = ""
        #: The HTTP status of refusals, which the vendor does not fix.
        self.refusal_status = 400
        #: Keys that the token answer leaves out, as older orgs do.
        self.token_omits: set[str] = set()
        self._client = (client_id, client_secret)
        self._sessions: dict[str, dt.datetime] = {}
        self._serial = itertools.count(1)

    @property
    def token_requests(self) -> int:
        """How many times a token was asked for."""
        return self.count(r"^POST /services/oauth2/token$")

    def issue_token(self) -> str:
        """An access token as if the app had just asked for one."""
        with self.lock:
            token = f"{_SHORT_ORG}!FAKE.{next(self._serial):04d}.{secrets.token_hex(16)}"
            self._sessions[token] = self.now()
            return token

    def revoke_tokens(self) -> None:
        """Ends all sessions, as an administrator or a policy does; open streams end with their next event."""
        with self.lock:
            self._sessions.clear()

    def rotate_secret(self, client_secret: str) -> None:
        """The administrator makes a new secret; sessions live on."""
        self._client = (self._client[0], client_secret)

    def is_session(self, token: str) -> bool:
        """Whether the token opens anything now; that it was asked keeps the session alive."""
        with self.lock:
            used = self._sessions.get(token)
            if used is None or self.now() - used > dt.timedelta(seconds=self.session_seconds):
                self._sessions.pop(token, None)
                return False
            self._sessions[token] = self.now()
            return True

    def bearer(self, call: Call) -> bool:
        """Whether the call carries the token of a living session."""
        kind, _, token = call.headers.get("authorization", "").partition(" ")
        return kind in ("Bearer", "OAuth") and self.is_session(token)

    def authorize_rpc(self, token: str, instance_url: str, tenant_id: str) -> str:
        """The Pub/Sub error code for these headers; empty when they are right."""
        if not self.is_session(token):
            return "service.auth.error"
        is_right = instance_url.rstrip("/") == self.url and tenant_id == self.org_id
        return "" if is_right else "service.auth.headers.invalid"

    def _token(self, call: Call, match: object) -> Answer:
        if "client_secret" in call.query:
            self.violations.append("token: the secret stands in the query string, which is logged")
        if call.headers.get("content-type", "").partition(";")[0] != "application/x-www-form-urlencoded":
            return json_answer({"error": "invalid_request", "error_description": "must be form-encoded"}, status=400)
        form = call.form()
        if form.get("grant_type") != "client_credentials":
            return oauth_refusal("flow_off", self.refusal_status)
        client_id, client_secret = _client_of(call, form)
        if client_id != self._client[0]:
            return oauth_refusal("client_id", self.refusal_status)
        if client_secret != self._client[1]:
            return oauth_refusal("client_secret", self.refusal_status)
        if self.oauth_problem:
            return oauth_refusal(self.oauth_problem, self.refusal_status)
        return json_answer(self._granted(), Cache_Control="no-store")

    def _granted(self) -> dict[str, Any]:
        answer = {
            "access_token": self.issue_token(),
            "signature": base64.b64encode(secrets.token_bytes(32)).decode(),
            "token_format": "opaque",
            "scope": "api",
            "instance_url": self.url,
            "id": f"https://login.salesforce.com/id/{self.org_id}/{self.run_as}",
            "token_type": "Bearer",
            "issued_at": str(int(self.now().timestamp() * 1000)),
            "api_instance_url": "https://api.salesforce.com",
        }
        return {name: value for name, value in answer.items() if name not in self.token_omits}

    def _revoke(self, call: Call, match: object) -> Answer:
        token = call.form().get("token", "")
        with self.lock:
            if self._sessions.pop(token, None) is None:
                return json_answer({"error": "unsupported_token_type", "error_description": "unknown"}, status=400)
        return Answer(200, content_type="text/html")

    def _userinfo(self, call: Call, match: object) -> Answer:
        if not self.bearer(call):
            return Answer(403, b"Bad_OAuth_Token", content_type="text/html;charset=utf-8")
        document = {
            "sub": f"https://login.salesforce.com/id/{self.org_id}/{self.run_as}",
            "user_id": self.run_as,
            "organization_id": self.org_id,
            "preferred_username": "ml-connector@acme.example",
            "name": "ML Connector",
            "email": "ml-connector@acme.example",
            "active": True,
        }
        return json_answer(document)


def _client_of(call: Call, form: dict[str, str]) -> tuple[str, str]:
    kind, _, value = call.headers.get("authorization", "").partition(" ")
    if kind != "Basic":
        return form.get("client_id", ""), form.get("client_secret", "")
    try:
        key, _, secret = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return key, secret
