"""The stand-in's Pub/Sub server: who may subscribe, how credit flows, and how streams end."""

from __future__ import annotations

import dataclasses
import errno
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any, NoReturn

import grpc

from sources.salesforce.standin_bus import EventBus
from sources.salesforce.standin_pubsub import SERVICE, message

PREFIX = "sfdc.platform.eventbus.grpc."
#: Error code without its prefix -> the gRPC status beside it. The vendor documents the codes, not the statuses.
ERROR_STATUSES = {
    "service.auth.error": grpc.StatusCode.UNAUTHENTICATED,
    "service.auth.headers.invalid": grpc.StatusCode.UNAUTHENTICATED,
    "service.unavailable": grpc.StatusCode.UNAVAILABLE,
    "service.tenant.license": grpc.StatusCode.PERMISSION_DENIED,
    "service.protection.limit.exceeded": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "concurrent.client.limit.exceeded": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "topic.not.found": grpc.StatusCode.NOT_FOUND,
    "topic.meta.permission": grpc.StatusCode.PERMISSION_DENIED,
    "topic.api.unavailable": grpc.StatusCode.UNAVAILABLE,
    "schema.not.found": grpc.StatusCode.NOT_FOUND,
    "schema.api.unavailable": grpc.StatusCode.UNAVAILABLE,
    "subscription.internal.error": grpc.StatusCode.INTERNAL,
    "subscription.limit.exceeded": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "subscription.topic.cannot.subscribe": grpc.StatusCode.PERMISSION_DENIED,
    "subscription.fetch.replayid.corrupted": grpc.StatusCode.INVALID_ARGUMENT,
    "subscription.fetch.replayid.validation.failed": grpc.StatusCode.INVALID_ARGUMENT,
    "subscription.fetch.replay.repeated": grpc.StatusCode.INTERNAL,
    "subscription.fetch.requested.events.invalid": grpc.StatusCode.INVALID_ARGUMENT,
    "subscription.fetch.topic.mismatch": grpc.StatusCode.INVALID_ARGUMENT,
    "subscription.fetch.overflow": grpc.StatusCode.INVALID_ARGUMENT,
}
MOST_CREDIT = 100
_LATEST, _EARLIEST, _CUSTOM = range(3)
Context = grpc.ServicerContext


class Refused(Exception):
    """An RPC ends with this error code, or with a bare status when the code is empty."""

    def __init__(self, code: str, status: grpc.StatusCode | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.status = status or ERROR_STATUSES.get(code, grpc.StatusCode.INTERNAL)


@dataclasses.dataclass(eq=False, slots=True)
class Stream:
    """One open subscription. `position` is how far it has been served; `ends` is how it is told to end."""

    topic: str
    position: int
    credit: int
    idle_since: float
    error: Refused | None = None
    is_over: bool = False


class PubSubServer:
    """The gRPC half of the stand-in. `authorize(token, instance_url, tenant_id)` gives the error code of a refusal."""

    def __init__(self, bus: EventBus, authorize: Callable[[str, str, str], str], *, host: str, port: int = 0) -> None:
        self.bus = bus
        #: How long a stream with open credit stays silent before an empty answer keeps it alive.
        self.keepalive_seconds = 60.0
        #: How long a stream without credit stays open.
        self.credit_seconds = 70.0
        #: Whether streams stay open and say nothing at all.
        self.is_silent = False
        self.max_streams = 1000
        self.denied_topics: set[str] = set()
        #: Deliveries to all subscribers, and how many the org may have in 24 hours.
        self.delivered = 0
        self.delivery_allowance = 25_000
        self.streams: list[Stream] = []
        #: (RPC, replay preset or "", topic or schema ID) of every call.
        self.calls: list[tuple[str, str, str]] = []
        self.violations: list[str] = []
        self._authorize = authorize
        self._failures: list[tuple[str, str, int]] = []
        self._server = grpc.server(
            futures.ThreadPoolExecutor(64, thread_name_prefix="standin-pubsub"), options=[("grpc.so_reuseport", 0)]
        )
        self._server.add_generic_rpc_handlers((self._service(),))
        try:
            self.port = self._server.add_insecure_port(f"{host}:{port}")
        except RuntimeError:
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE)) from None
        self.endpoint = f"{host}:{self.port}"

    def start(self) -> None:
        self._server.start()

    def stop(self) -> None:
        self.end_streams()
        self._server.stop(0.2).wait(2)

    # Scripted faults

    def fail(self, rpc: str, code: str, *, times: int = 1) -> None:
        """The next calls of "Subscribe", "GetTopic" or "GetSchema" end with this error code (without its prefix)."""
        with self.bus.changed:
            self._failures += [(rpc, code, number) for number in range(times)]

    def allow(self) -> None:
        """No scripted error is left."""
        with self.bus.changed:
            self._failures.clear()

    def end_streams(self) -> None:
        """Ends every open stream normally."""
        self._end(None)

    def cut_streams(self, code: str = "", status: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE) -> None:
        """Breaks every open stream: with an error code, or without one as a lost connection does."""
        self._end(Refused(code, None if code else status))

    def _end(self, error: Refused | None) -> None:
        with self.bus.changed:
            for stream in self.streams:
                stream.error = stream.error or error
                stream.is_over = True
            self.bus.changed.notify_all()

    def wait_for_streams(self, count: int, seconds: float) -> bool:
        """Whether so many subscriptions are open before the time is up."""
        with self.bus.changed:
            return self.bus.changed.wait_for(lambda: len(self.streams) >= count, seconds)

    def wake(self) -> None:
        """Lets streams look at settings that have changed."""
        with self.bus.changed:
            self.bus.changed.notify_all()

    # RPCs

    def _service(self) -> grpc.GenericRpcHandler:
        def unary(name: str, work: Callable[[Any], Any], asked: str, answered: str) -> grpc.RpcMethodHandler[Any, Any]:
            def serve(request: Any, context: Context) -> Any:
                return self._guarded(name, context, lambda: work(request))

            return grpc.unary_unary_rpc_method_handler(serve, message(asked).FromString, _serialize(answered))

        handlers = {
            "GetTopic": unary("GetTopic", self._get_topic, "TopicRequest", "TopicInfo"),
            "GetSchema": unary("GetSchema", self._get_schema, "SchemaRequest", "SchemaInfo"),
            "Subscribe": grpc.stream_stream_rpc_method_handler(
                self._subscribe, message("FetchRequest").FromString, _serialize("FetchResponse")
            ),
        }
        return grpc.method_handlers_generic_handler(SERVICE, handlers)

    def _guarded(self, rpc: str, context: Context, work: Callable[[], Any]) -> Any:
        try:
            self._check(rpc, context)
            return work()
        except Refused as refused:
            _abort(context, refused)

    def _check(self, rpc: str, context: Context) -> None:
        """Who calls, and whether a fault is scripted. Raises `Refused`."""
        metadata = {str(name): str(value) for name, value in context.invocation_metadata()}
        names = ("accesstoken", "instanceurl", "tenantid")
        if any(name not in metadata for name in names):
            raise Refused("service.auth.headers.invalid")
        code = self._authorize(*(metadata[name] for name in names))
        if code:
            raise Refused(code)
        with self.bus.changed:
            failure = next((each for each in self._failures if each[0] == rpc), None)
            if failure:
                self._failures.remove(failure)
                raise Refused(failure[1])

    def _objects(self, topic: str) -> set[str]:
        objects = self.bus.topic_objects(topic)
        if not objects:
            raise Refused("topic.not.found")
        return objects

    def _may_subscribe(self, topic: str, objects: set[str]) -> bool:
        return topic not in self.denied_topics and not objects & self.bus.hidden

    def _get_topic(self, request: Any) -> Any:
        self.calls.append(("GetTopic", "", request.topic_name))
        objects = self._objects(request.topic_name)
        schema_id = self.bus.schema(min(objects)).id if len(objects) == 1 else ""
        return message("TopicInfo")(
            topic_name=request.topic_name,
            tenant_guid="CORE/prod/00D000000000001",
            can_publish=False,
            can_subscribe=self._may_subscribe(request.topic_name, objects),
            schema_id=schema_id,
            rpc_id=str(uuid.uuid4()),
        )

    def _get_schema(self, request: Any) -> Any:
        self.calls.append(("GetSchema", "", request.schema_id))
        found = self.bus.schemas.get(request.schema_id)
        if found is None:
            raise Refused("schema.not.found")
        return message("SchemaInfo")(schema_json=found.json, schema_id=found.id, rpc_id=str(uuid.uuid4()))

    # Subscriptions

    def _subscribe(self, requests: Iterator[Any], context: Context) -> Iterator[Any]:
        stream: Stream | None = None
        try:
            self._check("Subscribe", context)
            stream, objects = self._open(next(requests, None), context)
            threading.Thread(target=self._listen, args=(stream, requests), daemon=True).start()
            yield from self._serve(stream, objects, context)
        except Refused as refused:
            _abort(context, refused)
        finally:
            with self.bus.changed:
                if stream in self.streams:
                    self.streams.remove(stream)

    def _open(self, first: Any, context: Context) -> tuple[Stream, set[str]]:
        if first is None:
            raise Refused("subscription.fetch.requested.events.invalid")
        preset = ("LATEST", "EARLIEST", "CUSTOM")[first.replay_preset]
        self.calls.append(("Subscribe", preset, first.topic_name))
        objects = self._objects(first.topic_name)
        if not self._may_subscribe(first.topic_name, objects):
            raise Refused("subscription.topic.cannot.subscribe")
        stream = Stream(first.topic_name, 0, 0, time.monotonic())
        self._add_credit(stream, first)
        with self.bus.changed:
            if len(self.streams) >= self.max_streams:
                raise Refused("concurrent.client.limit.exceeded")
            stream.position = self._start(first)
            self.streams.append(stream)
            self.bus.changed.notify_all()

        def gone() -> None:
            with self.bus.changed:
                stream.is_over = True
                self.bus.changed.notify_all()

        context.add_callback(gone)
        return stream, objects

    def _start(self, first: Any) -> int:
        if first.replay_preset == _CUSTOM:
            if not first.replay_id:
                raise Refused("subscription.fetch.replayid.validation.failed")
            position = self.bus.position_of(first.replay_id)
            if position is None:
                raise Refused("subscription.fetch.replayid.corrupted")
            return position
        if first.replay_id:
            self.violations.append("Subscribe: a replay_id without the preset CUSTOM is ignored")
        return 0 if first.replay_preset == _EARLIEST else self.bus.newest()

    def _add_credit(self, stream: Stream, request: Any) -> None:
        if request.topic_name and request.topic_name != stream.topic:
            raise Refused("subscription.fetch.topic.mismatch")
        if request.num_requested <= 0:
            raise Refused("subscription.fetch.requested.events.invalid")
        if stream.credit + request.num_requested > MOST_CREDIT:
            self.violations.append(f"Subscribe: more than {MOST_CREDIT} events requested")
            raise Refused("subscription.fetch.overflow")
        stream.credit += request.num_requested

    def _listen(self, stream: Stream, requests: Iterator[Any]) -> None:
        """Takes further requests until the client hangs up or closes its side, which ends the stream."""
        try:
            for request in requests:
                with self.bus.changed:
                    try:
                        self._add_credit(stream, request)
                    except Refused as refused:
                        stream.error, stream.is_over = refused, True
                    stream.idle_since = time.monotonic()
                    self.bus.changed.notify_all()
        except grpc.RpcError:
            pass  # the client hung up
        with self.bus.changed:
            stream.is_over = True
            self.bus.changed.notify_all()

    def _serve(self, stream: Stream, objects: set[str], context: Context) -> Iterator[Any]:
        while True:
            answer = self._next(stream, objects)
            if answer is None:
                if stream.error:
                    raise stream.error
                return
            token = dict(context.invocation_metadata())
            code = self._authorize(*(str(token[name]) for name in ("accesstoken", "instanceurl", "tenantid")))
            if code:
                raise Refused(code)
            yield answer

    def _next(self, stream: Stream, objects: set[str]) -> Any:
        """Waits for what the stream says next; None when it is over."""
        with self.bus.changed:
            while not stream.is_over:
                most = 0 if self.is_silent else stream.credit
                events = self.bus.after(stream.position, objects, most) if most else []
                if events:
                    return self._batch(stream, events)
                limit = self.keepalive_seconds if stream.credit else self.credit_seconds
                left = stream.idle_since + limit - time.monotonic()
                if left > 0 or self.is_silent:
                    self.bus.changed.wait(left if left > 0 else 1.0)
                elif stream.credit:
                    return self._keepalive(stream)
                else:
                    return None
        return None

    def _batch(self, stream: Stream, events: list[Any]) -> Any:
        if self.delivered + len(events) > self.delivery_allowance:
            raise Refused("subscription.limit.exceeded")
        self.delivered += len(events)
        stream.credit -= len(events)
        stream.position = events[-1].position
        stream.idle_since = time.monotonic()
        make, inner = message("ConsumerEvent"), message("ProducerEvent")
        listed = [
            make(event=inner(id=event.id, schema_id=event.schema_id, payload=event.payload), replay_id=event.replay_id)
            for event in events
        ]
        return self._answer(stream, events[-1].replay_id, listed)

    def _keepalive(self, stream: Stream) -> Any:
        stream.idle_since = time.monotonic()
        stream.position = max(stream.position, self.bus.newest())
        return self._answer(stream, self.bus.mark(stream.position), [])

    def _answer(self, stream: Stream, latest: bytes, events: list[Any]) -> Any:
        return message("FetchResponse")(
            events=events, latest_replay_id=latest, rpc_id=str(uuid.uuid4()), pending_num_requested=stream.credit
        )


def _serialize(name: str) -> Callable[[Any], bytes]:
    serialize: Callable[[Any], bytes] = message(name).SerializeToString
    return serialize


def _abort(context: Context, refused: Refused) -> NoReturn:
    rpc_id = str(uuid.uuid4())
    trailers = [("rpc-id", rpc_id)]
    if refused.code:
        trailers.insert(0, ("error-code", PREFIX + refused.code))
    context.set_trailing_metadata(tuple(trailers))
    context.abort(refused.status, f"{refused.code or 'RST_STREAM closed stream'}. rpcId: {rpc_id}")
