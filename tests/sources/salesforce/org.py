"""A connection to the stand-in org, and a service that answers what it is told to."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import secrets
from pathlib import Path
from typing import Any

from connector.kernel.contracts import Context, Secrets
from connector.kernel.http import Http
from connector.kernel.standin import Answer, Call, StandIn, json_answer
from sources.salesforce.source import Salesforce
from sources.salesforce.standin import SalesforceStandIn

FIXTURES = Path(__file__).parent / "fixtures"
KEYS = {"client_id": "fake-client-id", "client_secret": "fake-client-secret"}
NOW = dt.datetime(2026, 11, 20, 12, 0, 30, tzinfo=dt.UTC)
SALESFORCE = Salesforce()


def sample(name: str) -> Any:
    return json.loads((FIXTURES / "http" / f"{name}.json").read_text())


def sent(case: Any) -> Answer:
    """The answer in a sample's envelope: text as it is, anything else as JSON, nothing as nothing."""
    body, status = case["body"], case["status"]
    if body is None:
        return Answer(status)
    if isinstance(body, str):
        return Answer(status, body.encode(), content_type="text/html")
    return json_answer(body, status=status)


class Service(StandIn):
    """Gives the scripted answers in turn, and the last one from then on."""

    routes = tuple((method, r"/services/.*", "_answer") for method in ("GET", "POST", "PATCH"))

    def __init__(self) -> None:
        super().__init__()
        #: Of no other service: what a client remembers of an org goes by these.
        self.token = f"fake-token-{secrets.token_hex(8)}"
        self.answers: list[Answer] = [Answer(500)]

    def _answer(self, call: Call, match: object) -> Answer:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def service_context(service: Service, **values: str) -> Context:
    """A connection whose token is known."""
    known = {
        **KEYS,
        "access_token": service.token,
        "instance_url": service.url,
        "org_id": service.token,
        **values,
    }
    return Context("acme", "", {"instance_url": service.url}, {}, Secrets(known), Http(seconds=5), lambda: NOW)


def context(org: SalesforceStandIn, **settings: Any) -> Context:
    """A connection to the stand-in with a token of its own, on the stand-in's clock."""
    app = {"api_version": "67.0", "pubsub_endpoint": org.pubsub_endpoint, "pubsub_plaintext": "true"}
    given = {"instance_url": org.url, **settings}

    def now() -> dt.datetime:  # a test may put the stand-in's clock forward
        return org.now()

    ctx = Context("acme", "00D000000000001", given, app, Secrets(KEYS), Http(seconds=5), now)
    return dataclasses.replace(ctx, secrets=SALESFORCE.refresh(ctx))
