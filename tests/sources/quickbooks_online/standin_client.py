"""A bare HTTP client of the QuickBooks Online stand-in, and the vendor's samples to compare with."""

from __future__ import annotations

import base64
import datetime as dt
import http.client
import json
import urllib.parse
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from sources.quickbooks_online.standin import IntuitStandIn

REALM = "9130350000000001"
OTHER = "9130350000000002"
NOON = dt.datetime(2026, 11, 5, 20, 0, 0, 123000, tzinfo=dt.UTC)
FIXTURES = Path(__file__).parent / "fixtures"
REDIRECT = "https://connector.example/oauth/quickbooks-online/callback/"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
BASIC = {"Authorization": "Basic " + base64.b64encode(b"fake-client-id:fake-client-secret").decode()}


class Reply(NamedTuple):
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body, parse_float=Decimal)

    @property
    def codes(self) -> tuple[int, list[str]]:
        return self.status, [error["code"] for error in self.document["Fault"]["Error"]]


class Client:
    """A bare HTTP client for one company."""

    def __init__(self, intuit: IntuitStandIn, realm: str = REALM) -> None:
        self.intuit = intuit
        self.realm = realm
        self.token = intuit.issue_tokens(realm)["access_token"]

    def send(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Reply:
        connection = http.client.HTTPConnection(self.intuit.url.removeprefix("http://"), timeout=5)
        raw = body if isinstance(body, bytes | str | None) else json.dumps(body, default=float)
        connection.request(method, path, raw, headers or {})
        response = connection.getresponse()
        reply = Reply(response.status, response.headers, response.read())
        connection.close()
        return reply

    def api(self, method: str, path: str, body: Any = None, **headers: str | None) -> Reply:
        wanted = {"Authorization": f"Bearer {self.token}", "Accept": "application/json"}
        if body is not None:
            wanted["Content-Type"] = "application/json"
        wanted |= {name.replace("_", "-"): value or "" for name, value in headers.items()}
        return self.send(method, f"/v3/company/{self.realm}/{path}", body, wanted)

    def get(self, path: str) -> Reply:
        return self.api("GET", path)

    def post(self, path: str, body: Any) -> Reply:
        return self.api("POST", path, body)

    def query(self, statement: str) -> Reply:
        return self.get("query?query=" + urllib.parse.quote(statement))

    def ids(self, statement: str) -> list[str]:
        found: dict[str, Any] = self.query(statement).document["QueryResponse"]
        return [row["Id"] for rows in found.values() if isinstance(rows, list) for row in rows]

    def bearer(self, basic: dict[str, str] = BASIC, hard: str = "", **form: str) -> Reply:
        headers = {**FORM, **basic, **({"x-include-refresh-token-hard-expires-in": hard} if hard else {})}
        return self.send("POST", "/oauth2/v1/tokens/bearer", urllib.parse.urlencode(form), headers)

    def refresh(self, token: str, **more: Any) -> Reply:
        return self.bearer(grant_type="refresh_token", refresh_token=token, **more)

    def authorize(self, **changes: str) -> Reply:
        query = {
            "client_id": "fake-client-id",
            "response_type": "code",
            "scope": "com.intuit.quickbooks.accounting",
            "redirect_uri": REDIRECT,
            "state": "fake-state-0001",
        }
        return self.send("GET", "/connect/oauth2?" + urllib.parse.urlencode(query | changes))


def sample(path: str) -> Any:
    return json.loads((FIXTURES / path).read_bytes(), parse_float=Decimal)


def entity_of(document: dict[str, Any]) -> str:
    return next(name for name in document if name != "time")


def fault(name: str) -> Any:
    return sample(f"faults/{name}.json")["Fault"]


def without(document: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name not in names}
