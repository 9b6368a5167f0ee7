"""Every error of the Pub/Sub API with its verdict."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from pathlib import Path
from typing import Any

import grpc
import pytest

from connector.kernel.contracts import Context, Secrets
from connector.kernel.errors import Misconfigured, Refresh, Retry, VendorError
from connector.kernel.http import Http
from sources.salesforce import refusals
from sources.salesforce.refusals import PREFIX, PositionLost

SAMPLES = json.loads((Path(__file__).parent / "fixtures" / "grpc_errors.json").read_text())
NOW = dt.datetime(2026, 11, 20, 12, tzinfo=dt.UTC)
CTX = Context(
    "acme", "", {}, {}, Secrets({"renewed_at": (NOW - dt.timedelta(hours=1)).isoformat()}), Http(), lambda: NOW
)


class Broken(grpc.RpcError):
    """A call that broke, as grpcio raises it."""

    def __init__(self, status: grpc.StatusCode, *metadata: tuple[str, Any]) -> None:
        super().__init__("broken")
        self._status, self._metadata = status, metadata

    def code(self) -> grpc.StatusCode:
        return self._status

    def details(self) -> str:
        return "vendor wording"

    def trailing_metadata(self) -> tuple[tuple[str, Any], ...]:
        return self._metadata


def judged(status: grpc.StatusCode, code: str = "", ctx: Context = CTX) -> VendorError:
    metadata = (("rpc-id", "1"), ("error-code", code)) if code else ()
    return refusals.verdict(Broken(status, *metadata), ctx)


#: Code without its prefix -> verdict, and the seconds to wait where they are given.
WANTED: dict[str, tuple[type[VendorError], float | None]] = {
    "service.auth.error": (Refresh, None),
    "service.auth.headers.invalid": (Misconfigured, None),
    "service.unavailable": (Retry, None),
    "subscription.internal.error": (Retry, None),
    "topic.api.unavailable": (Retry, None),
    "schema.api.unavailable": (Retry, None),
    "schema.not.found": (Retry, None),
    "subscription.fetch.replayid.corrupted": (PositionLost, None),
    "subscription.fetch.replayid.validation.failed": (Misconfigured, None),
    "subscription.fetch.requested.events.invalid": (Misconfigured, None),
    "subscription.fetch.topic.mismatch": (Misconfigured, None),
    "subscription.fetch.requested.events.overflow": (Misconfigured, None),
    "subscription.fetch.replay.repeated": (Retry, None),
    "subscription.limit.exceeded": (Misconfigured, None),
    "concurrent.client.limit.exceeded": (Retry, 60.0),
    "service.protection.rate.limited": (Retry, 60.0),
    "topic.not.found": (Misconfigured, None),
    "topic.meta.permission": (Misconfigured, None),
    "subscription.topic.cannot.subscribe": (Misconfigured, None),
    "service.tenant.license": (Misconfigured, None),
}


@pytest.mark.parametrize("code", WANTED)
@pytest.mark.parametrize("status", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNAUTHENTICATED])
def test_the_code_decides_and_not_the_status(code: str, status: grpc.StatusCode) -> None:
    error = judged(status, PREFIX + code)
    assert (type(error), getattr(error, "after", None)) == WANTED[code]
    assert (error.code, error.detail) == (PREFIX + code, "vendor wording")
    assert error.text.endswith(f"(gRPC {status.name}, {code})")


@pytest.mark.parametrize("case", SAMPLES, ids=lambda case: case["error_code"])
def test_every_documented_code_is_listed(case: dict[str, str]) -> None:
    code = case["error_code"].removeprefix(PREFIX)
    assert type(judged(grpc.StatusCode[case["grpc"]], case["error_code"])) is WANTED[code][0]


@pytest.mark.parametrize("status", list(grpc.StatusCode))
def test_without_a_code_the_status_decides(status: grpc.StatusCode) -> None:
    wanted = {
        "UNAUTHENTICATED": Refresh, "PERMISSION_DENIED": Misconfigured, "NOT_FOUND": Misconfigured,
        "UNIMPLEMENTED": Misconfigured, "INVALID_ARGUMENT": Misconfigured,
    }.get(status.name, Retry)  # fmt: skip
    assert type(judged(status)) is wanted
    assert type(judged(status, PREFIX + "never.heard.of")) is wanted
    assert judged(status).code == status.name


def test_a_token_that_was_just_renewed_is_not_renewed_again() -> None:
    fresh = dataclasses.replace(CTX, secrets=Secrets({"renewed_at": (NOW - dt.timedelta(seconds=3)).isoformat()}))
    error = judged(grpc.StatusCode.UNAUTHENTICATED, PREFIX + "service.auth.error", fresh)
    assert type(error) is Misconfigured
    assert "locked to an IP address" in error.text


def test_metadata_that_is_not_text_is_no_code() -> None:
    error = refusals.verdict(Broken(grpc.StatusCode.INTERNAL, ("error-code", b"\xff")), CTX)
    assert (type(error), error.code) == (Retry, "INTERNAL")
