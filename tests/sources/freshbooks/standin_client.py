"""A bare HTTP client of the FreshBooks stand-in, a receiver of its webhooks, and the vendor's samples."""

from __future__ import annotations

import datetime as dt
import http.client
import json
import threading
import urllib.parse
from collections.abc import Callable
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

from sources.freshbooks.standin import FreshBooksStandIn

ACCOUNT, OTHER = "6BApk", "ABC124"
#: 15:04:05 in New York.
NOON = dt.datetime(2026, 11, 20, 20, 4, 5, 123456, tzinfo=dt.UTC)
FIXTURES = Path(__file__).parent / "fixtures"
REDIRECT = "https://connector.example/oauth/freshbooks/callback/"
APP = {"client_id": "fake-client-id", "client_secret": "fake-client-secret"}
FORM = "application/x-www-form-urlencoded"


class Reply(NamedTuple):
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body, parse_float=Decimal)

    @property
    def result(self) -> Any:
        return self.document["response"]["result"]


class Client:
    """A bare HTTP client for one account."""

    def __init__(self, books: FreshBooksStandIn, account: str = ACCOUNT) -> None:
        self.books = books
        self.account = account
        self.token = books.issue_tokens()["access_token"]

    def send(self, method: str, path: str, body: bytes | str | None = None, headers: Any = None) -> Reply:
        connection = http.client.HTTPConnection(self.books.url.removeprefix("http://"), timeout=5)
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        reply = Reply(response.status, response.headers, response.read())
        connection.close()
        return reply

    def get(self, path: str, **headers: str) -> Reply:
        """A read of the accounting API, in which [ and ] may stand as they are."""
        path = path.replace("[", "%5B").replace("]", "%5D").replace(" ", "%20")
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        wanted = {"Authorization": f"Bearer {self.token}", **named}
        return self.send("GET", f"/accounting/account/{self.account}/{path}", None, wanted)

    def ids(self, kind: str, query: str = "") -> list[int]:
        result = self.get(f"{kind}?{query}").result
        return [record["id"] for record in next(rows for rows in result.values() if isinstance(rows, list))]

    def me(self) -> Reply:
        return self.send("GET", "/auth/api/v1/users/me", None, {"Authorization": f"Bearer {self.token}"})

    def tokens(self, **form: str) -> Reply:
        return self.send("POST", "/auth/oauth/token", urllib.parse.urlencode(APP | form), {"Content-Type": FORM})

    def refresh(self, token: str) -> Reply:
        return self.tokens(grant_type="refresh_token", refresh_token=token, redirect_uri=REDIRECT)

    def authorize(self, **changes: str) -> Reply:
        query = {
            "client_id": "fake-client-id",
            "response_type": "code",
            "scope": "user:profile:read user:invoices:read",
            "redirect_uri": REDIRECT,
            "state": "fake-state-0001",
        }
        return self.send("GET", "/oauth/authorize?" + urllib.parse.urlencode(query | changes))

    def callbacks(self, method: str, path: str = "", body: Any = None) -> Reply:
        headers = {"Authorization": f"Bearer {self.token}"} | ({"Content-Type": "application/json"} if body else {})
        raw = json.dumps(body) if body else None
        return self.send(method, f"/events/account/{self.account}/events/callbacks{path}", raw, headers)

    def register(self, event: str, uri: str) -> Reply:
        return self.callbacks("POST", body={"callback": {"event": event, "uri": uri}})

    def verify(self, number: int, verifier: str) -> Reply:
        return self.callbacks("PUT", f"/{number}", {"callback": {"verifier": verifier}})


class Form(NamedTuple):
    path: str
    body: str
    signature: str
    kind: str

    @property
    def fields(self) -> dict[str, str]:
        return dict(urllib.parse.parse_qsl(self.body, keep_blank_values=True))


class Receiver:
    """Takes the forms that are sent to it; `answers` are the statuses to give, the last one for good."""

    def __init__(self) -> None:
        self.forms: list[Form] = []
        self.answers: list[int] = [200]
        #: What happens while a form is being received.
        self.meanwhile: Callable[[Form], object] = lambda form: None
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                signature = self.headers["X-FreshBooks-Hmac-SHA256"]
                form = Form(self.path, body, signature, self.headers["Content-Type"])
                receiver.forms.append(form)
                receiver.meanwhile(form)
                status = receiver.answers.pop(0) if len(receiver.answers) > 1 else receiver.answers[0]
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def names(self) -> list[str]:
        return [form.fields["name"] for form in self.forms]


def raw(name: str) -> bytes:
    return (FIXTURES / name).read_bytes()


def sample(name: str) -> Any:
    return json.loads(raw(name), parse_float=Decimal)


def record(name: str) -> dict[str, Any]:
    """The one record of a sample."""
    return next(iter(sample(name)["response"]["result"].values()))


def dollars(amount: str, code: str = "USD") -> dict[str, str]:
    return {"amount": amount, "code": code}
