"""The calls about callbacks, against the bodies and answers of the samples."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from connector.kernel.contracts import Callback, Context, Handshake, Secrets
from connector.kernel.errors import Reject
from connector.kernel.http import Http
from connector.kernel.standin import Answer, Call, StandIn, json_answer
from sources.freshbooks.source import FreshBooks

FIXTURES = Path(__file__).parent / "fixtures"
URI = "https://connector.example/webhooks/freshbooks/sub-0001/"
PATH = "/events/account/6BApk/events/callbacks"


def sample(name: str) -> Any:
    return json.loads((FIXTURES / f"{name}.json").read_text())


class Events(StandIn):
    """Answers with one document."""

    routes = tuple((method, rf"{PATH}(/\d+)?", "_any") for method in ("GET", "POST", "PUT", "DELETE"))
    answer = Answer(204)

    def _any(self, call: Call, match: object) -> Answer:
        return self.answer


@pytest.fixture
def events() -> Iterator[Events]:
    with Events() as standin:
        yield standin


@pytest.fixture
def ctx(events: Events) -> Context:
    secrets = Secrets({"access_token": "fake-token"})
    return Context(
        "acme", "6BApk", {}, {"api_url": events.url}, secrets, Http(seconds=5), lambda: dt.datetime.now(dt.UTC)
    )


def seen(events: Events) -> tuple[str, str, Any]:
    (call,) = events.calls
    assert call.headers["authorization"] == "Bearer fake-token"
    return call.method, call.path, call.json() if call.body else None


def test_registering(events: Events, ctx: Context) -> None:
    events.answer = json_answer(sample("callback_create_response"))
    assert FreshBooks().register(ctx, "invoice.create", URI) == Callback(
        "2001", "invoice.create", URI, is_verified=False
    )
    assert seen(events) == ("POST", PATH, sample("callback_create_request"))


def test_confirming(events: Events, ctx: Context) -> None:
    events.answer = json_answer(sample("callback_verified_response"))
    found = FreshBooks().confirm(ctx, Handshake("2001", "fake-verifier-0001-not-a-secret"))
    assert found == Callback("2001", "invoice.create", URI, is_verified=True)
    assert seen(events) == ("PUT", f"{PATH}/2001", sample("callback_verify_request"))
    events.answer = json_answer(sample("callback_create_response"))
    with pytest.raises(Reject, match="does not take this verifier"):
        FreshBooks().confirm(ctx, Handshake("2001", "fake-other"))


def test_reminding_and_ending(events: Events, ctx: Context) -> None:
    events.answer = json_answer(sample("callback_create_response"))
    FreshBooks().remind(ctx, "2001")
    assert seen(events) == ("PUT", f"{PATH}/2001", sample("callback_resend_request"))
    for answer in (Answer(204), json_answer(sample("callback_verified_response")), Answer(404)):
        events.calls.clear()
        events.answer = answer
        FreshBooks().unregister(ctx, "2001")
        assert seen(events) == ("DELETE", f"{PATH}/2001", None)


def test_listing(events: Events, ctx: Context) -> None:
    events.answer = json_answer(sample("callbacks_list"))
    hook = "http://freshbooks.com/hook"
    assert FreshBooks().callbacks(ctx) == [
        Callback("123", "invoice.create", f"{hook}/123", is_verified=True),
        Callback("124", "estimate.create", f"{hook}/124", is_verified=True),
        Callback("125", "estimate.delete", f"{hook}/125", is_verified=False),
    ]


def test_only_explicit_verbs_are_wanted() -> None:
    wanted = FreshBooks().wanted_events({"subscribe": ["invoice", "bill", "unheard"]})
    assert wanted == (
        "invoice.create", "invoice.update", "invoice.delete", "invoice.sendByEmail", "bill.create", "bill.update",
        "bill.delete",
    )  # fmt: skip
