"""The Pub/Sub API over gRPC: one channel with one subscription, and the schemas of its events.

grpcio must not have a channel open when a process forks: only a listener's own process may use this module.
"""

from __future__ import annotations

import queue
import re
import threading
import time
from collections.abc import Iterator
from typing import Any, Self

import grpc

from connector.kernel.contracts import Context
from connector.kernel.errors import Misconfigured, Reauthorize, Refresh
from connector.kernel.http import is_loopback
from connector.kernel.values import BadValue
from sources.salesforce import protocol, refusals
from sources.salesforce.decode import Schema, read_schema

ENDPOINT = "api.pubsub.salesforce.com:7443"
#: Events asked for at once; Salesforce allows 100 to be outstanding.
CREDIT = 50
#: Seconds for an answer that is no stream.
ANSWER_SECONDS = 30.0
#: How often (seconds) the watchdog looks.
_TICK = 0.25
#: Seconds for a connection to be made, and then for the stream to be refused on it.
_CONNECT, _REFUSE = 10.0, 0.5
_OPTIONS = (
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.max_receive_message_length", 32 * 1024 * 1024),
    ("grpc.use_local_subchannel_pool", 1),
)


class Channel:
    """One connection to the Pub/Sub API, for one stream. A context manager: leaving it ends the stream."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._metadata = _metadata(ctx)
        self._channel = _open(ctx)
        self._schemas: dict[str, Schema] = {}
        self._get_schema = self._channel.unary_unary(
            f"{protocol.SERVICE}/GetSchema",
            request_serializer=protocol.SchemaRequest.SerializeToString,
            response_deserializer=protocol.SchemaInfo.FromString,
        )
        self._subscribe = self._channel.stream_stream(
            f"{protocol.SERVICE}/Subscribe",
            request_serializer=protocol.FetchRequest.SerializeToString,
            response_deserializer=protocol.FetchResponse.FromString,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._channel.close()

    def schema(self, schema_id: str) -> Schema:
        """The layout of that ID, asked for once. Raises a verdict; `BadValue` when it cannot be read."""
        known = self._schemas.get(schema_id)
        if known is None:
            request = protocol.SchemaRequest(schema_id=schema_id)
            try:
                answer: Any = self._get_schema(request, timeout=ANSWER_SECONDS, metadata=self._metadata)
            except grpc.RpcError as error:
                raise refusals.verdict(error, self._ctx) from None
            if answer.schema_id not in ("", schema_id):
                raise BadValue("another schema was answered than was asked for")
            known = self._schemas[schema_id] = read_schema(answer.schema_json)
        return known

    def subscribe(self, topic: str, replay_id: bytes, *, silence: float, stop: threading.Event) -> Subscription:
        """Opens the topic after that replay ID; at its end when there is none."""
        first = protocol.FetchRequest(topic_name=topic, replay_preset=protocol.LATEST, num_requested=CREDIT)
        if replay_id:
            first.replay_preset, first.replay_id = protocol.CUSTOM, replay_id
        credit: queue.SimpleQueue[Any] = queue.SimpleQueue()
        credit.put(first)
        call = self._subscribe(iter(credit.get, None), metadata=self._metadata)
        return Subscription(self._ctx, call, credit, silence=silence, stop=stop)

    def has_opened(self, opened: Subscription, stop: threading.Event) -> bool:
        """Waits a moment, whether Salesforce lets the stream open; it says nothing until there is something to tell."""
        ready = grpc.channel_ready_future(self._channel)
        ends, quiet_from = time.monotonic() + _CONNECT, 0.0
        try:
            while opened.is_active() and time.monotonic() < ends:
                if ready.done():
                    quiet_from = quiet_from or time.monotonic()
                    if time.monotonic() - quiet_from > _REFUSE:
                        return True
                if stop.wait(0.02):
                    break
        finally:
            ready.cancel()
        return False


class Subscription:
    """The responses of one open stream, the empty ones that keep it alive included.

    It ends when Salesforce closes the stream, when nothing at all came for `silence` seconds, or when `stop` is set.
    Raises a verdict when it breaks. More events are asked for when a response has been dealt with.
    """

    def __init__(
        self, ctx: Context, call: Any, credit: queue.SimpleQueue[Any], *, silence: float, stop: threading.Event
    ) -> None:
        self._ctx, self._call, self._credit = ctx, call, credit
        self._silence, self._stop = silence, stop
        self._outstanding = CREDIT
        self._heard = time.monotonic()
        self._is_over = threading.Event()

    def __iter__(self) -> Iterator[Any]:
        self._heard = time.monotonic()
        threading.Thread(target=self._watch, name="salesforce-watchdog", daemon=True).start()
        try:
            for response in self._call:
                self._heard = time.monotonic()
                yield response
                self._heard = time.monotonic()
                self._ask_for_more(response)
        except grpc.RpcError as error:
            if not self._is_over.is_set():
                raise refusals.verdict(error, self._ctx) from None
        finally:
            self.close()

    def is_active(self) -> bool:
        """Whether the stream has neither ended nor broken."""
        return bool(self._call.is_active())

    def close(self) -> None:
        """Ends the stream, from any thread."""
        self._is_over.set()
        self._credit.put(None)
        self._call.cancel()

    def _ask_for_more(self, response: Any) -> None:
        """Counted here: what a response says is pending was true before our last request arrived, and too many
        outstanding events end the stream. An empty response tells of a count that went astray."""
        self._outstanding -= len(response.events)
        if not response.events:
            self._outstanding = min(self._outstanding, response.pending_num_requested)
        if self._outstanding <= CREDIT // 2:
            self._credit.put(protocol.FetchRequest(num_requested=CREDIT - max(0, self._outstanding)))
            self._outstanding = CREDIT

    def _watch(self) -> None:
        """A stream can die without a word, and reading it cannot be interrupted otherwise."""
        while not self._is_over.is_set():
            if self._stop.wait(_TICK) or time.monotonic() - self._heard > self._silence:
                self.close()


def _metadata(ctx: Context) -> tuple[tuple[str, str], ...]:
    """What every call carries. Raises `Refresh` when there is no token to carry."""
    secrets = ctx.secrets
    values = {
        "accesstoken": secrets.get("access_token"),
        "instanceurl": secrets.get("instance_url"),
        "tenantid": secrets.get("org_id"),
    }
    if all(value and value.isascii() and value.isprintable() for value in values.values()):
        return tuple(values.items())
    if secrets.get("client_id") and secrets.get("client_secret"):
        raise Refresh("the connection has no usable access token yet; it will be renewed")
    raise Reauthorize("the connection has no client ID or client secret: enter both")


def _open(ctx: Context) -> grpc.Channel:
    endpoint = str(ctx.app.get("pubsub_endpoint") or ENDPOINT)
    match = re.fullmatch(r"(?:\[([0-9a-fA-F:]+)\]|([A-Za-z0-9.-]+)):(\d{1,5})", endpoint)
    if match is None:
        raise Misconfigured(f"SALESFORCE_PUBSUB_ENDPOINT must look like {ENDPOINT}", code="pubsub_endpoint")
    if str(ctx.app.get("pubsub_plaintext") or "").lower() != "true":
        return grpc.secure_channel(endpoint, grpc.ssl_channel_credentials(), options=_OPTIONS)
    if not is_loopback(match[1] or match[2]):
        raise Misconfigured("SALESFORCE_PUBSUB_PLAINTEXT is for this machine only: unset it", code="pubsub_plaintext")
    return grpc.insecure_channel(endpoint, options=(*_OPTIONS, ("grpc.enable_http_proxy", 0)))
