"""What the Pub/Sub API says when it refuses, and what to do about each.

The trailing metadata key `error-code` decides, not the gRPC status ("Handle Errors" of the Pub/Sub API guide).
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import grpc

from connector.kernel.contracts import Context
from connector.kernel.errors import Misconfigured, Refresh, Retry, VendorError
from connector.kernel.values import BadValue, parse_moment

PREFIX = "sfdc.platform.eventbus.grpc."


class PositionLost(Retry):
    """The replay ID is unknown or too old: the stream begins anew, and what lies between is read in another way."""


Verdict = tuple[type[VendorError], str]
_RENEW = "the Pub/Sub API refused the access token; it will be renewed"
_REFUSED = (
    "the Pub/Sub API refuses a token that was just renewed: sessions may be locked to an IP address, or the run-as "
    "user is inactive; changes are polled meanwhile"
)
_BUSY = "the Pub/Sub API is unavailable"
_SLOWER = "too many streams are open in the Salesforce org: let one listener run"
_OURS = "the Pub/Sub API does not accept how the connector asks: report this, with the code"
_TOPIC = "Salesforce tells no changes of this object: select it under Setup > Change Data Capture"
_RIGHT = "the run-as user may not listen to this object: give them View All Records on it"
_LICENCE = "this Salesforce edition has no Pub/Sub API: set stream to polling"
_SPENT = "the Salesforce org's deliveries of change events for 24 hours are used up: changes are polled meanwhile"
_LOST = "the stream's position is too old or unknown to Salesforce"

#: The code after `PREFIX` -> verdict and what to do. A key may be the end of a code.
VERDICTS: dict[str, Verdict] = {
    "service.auth.error": (Refresh, _RENEW),
    "service.auth.headers.invalid": (
        Misconfigured,
        "the Pub/Sub API does not accept the org of the token: renew the token, and check instance_url",
    ),
    "service.unavailable": (Retry, _BUSY),
    "subscription.internal.error": (Retry, _BUSY),
    "topic.api.unavailable": (Retry, _BUSY),
    "schema.api.unavailable": (Retry, _BUSY),
    "schema.not.found": (Retry, "the Pub/Sub API does not know the layout of an event that it sent"),
    "subscription.fetch.replayid.corrupted": (PositionLost, _LOST),
    "subscription.fetch.replayid.validation.failed": (Misconfigured, _OURS),
    "subscription.fetch.requested.events.invalid": (Misconfigured, _OURS),
    "topic.mismatch": (Misconfigured, _OURS),
    "overflow": (Misconfigured, _OURS),
    "subscription.fetch.replay.repeated": (Retry, "the Pub/Sub API wants the stream to be opened again"),
    "subscription.limit.exceeded": (Misconfigured, _SPENT),
    "concurrent.client.limit.exceeded": (Retry, _SLOWER),
    "topic.not.found": (Misconfigured, _TOPIC),
    "topic.meta.permission": (Misconfigured, _RIGHT),
    "subscription.topic.cannot.subscribe": (Misconfigured, _RIGHT),
    "service.tenant.license": (Misconfigured, _LICENCE),
}
#: The beginning of a code -> the same.
FAMILIES: dict[str, Verdict] = {"service.protection.": (Retry, _SLOWER)}
#: gRPC status -> the same, where no code is given or none of the listed ones. Others are `Retry`.
STATUSES: dict[grpc.StatusCode, Verdict] = {
    grpc.StatusCode.UNAUTHENTICATED: (Refresh, _RENEW),
    grpc.StatusCode.PERMISSION_DENIED: (Misconfigured, _RIGHT),
    grpc.StatusCode.NOT_FOUND: (Misconfigured, _TOPIC),
    grpc.StatusCode.UNIMPLEMENTED: (
        Misconfigured,
        "no Pub/Sub API is at this address: check SALESFORCE_PUBSUB_ENDPOINT",
    ),
    grpc.StatusCode.INVALID_ARGUMENT: (Misconfigured, _OURS),
}
#: Seconds to wait where too many streams are open.
SLOWER_AFTER = 60.0
#: A token that is refused within so many seconds of its making was refused for itself: nobody was as quick to end it.
JUST_RENEWED = 5.0


def verdict(error: grpc.RpcError, ctx: Context) -> VendorError:
    """The error for a broken call."""
    status, told, code = read(error)
    kind, sentence = _judge(code.removeprefix(PREFIX), status)
    if kind is Refresh and _is_fresh(ctx):
        kind, sentence = Misconfigured, _REFUSED
    sentence += f" ({', '.join(filter(None, (f'gRPC {status.name}', code.removeprefix(PREFIX))))})"
    if issubclass(kind, Retry):
        after = SLOWER_AFTER if _SLOWER in sentence else None
        return kind(sentence, code=code or status.name, detail=told, after=after)
    return kind(sentence, code=code or status.name, detail=told)


def read(error: grpc.RpcError) -> tuple[grpc.StatusCode, str, str]:
    """Status, wording and `error-code` of a broken call."""
    call: Any = error  # every error of a call is the call as well
    metadata = {str(key).lower(): value for key, value in call.trailing_metadata() or ()}
    code = metadata.get("error-code", "")
    return call.code(), str(call.details() or ""), code if isinstance(code, str) else ""


def _judge(code: str, status: grpc.StatusCode) -> Verdict:
    if code in VERDICTS:
        return VERDICTS[code]
    for start, judged in FAMILIES.items():
        if code.startswith(start):
            return judged
    for end, judged in VERDICTS.items():
        if code.endswith(f".{end}"):
            return judged
    return STATUSES.get(status, (Retry, _BUSY))


def _is_fresh(ctx: Context) -> bool:
    """Whether the refused token was made just now: then a newer one will not help."""
    try:
        made = parse_moment(ctx.secrets.get("renewed_at"))
    except BadValue:
        return False
    return ctx.now() - made < dt.timedelta(seconds=JUST_RENEWED)
