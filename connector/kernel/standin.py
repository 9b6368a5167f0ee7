"""The ground that every vendor stand-in stands on: a small threaded HTTP server with scripted faults.

Stand-ins are part of the product (`manage.py sandbox`, the demo and the tests run on them). They share no code with
the clients they answer, or they would agree with the clients' mistakes.
"""

from __future__ import annotations

import collections
import dataclasses
import json
import re
import sys
import threading
import time
from collections.abc import Callable, Mapping
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar, Self
from urllib.parse import parse_qs, urlsplit


@dataclasses.dataclass(frozen=True, slots=True)
class Call:
    """One request as the stand-in received it. In `query`, the values of a list (`ids[]`) stand joined by commas."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    at: float

    def form(self) -> dict[str, str]:
        return {key: values[-1] for key, values in parse_qs(self.body.decode(), keep_blank_values=True).items()}

    def json(self) -> Any:
        return json.loads(self.body)


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    content_type: str = "application/json; charset=utf-8"


def json_answer(document: Any, *, status: int = 200, **headers: str) -> Answer:
    """A JSON answer; keyword names become header names with hyphens."""
    body = json.dumps(document, default=_plain).encode()
    return Answer(status, body, {name.replace("_", "-"): value for name, value in headers.items()})


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(str(value))
    raise TypeError(type(value).__name__)


@dataclasses.dataclass(slots=True)
class Fault:
    """A scripted misbehaviour for the next `times` calls whose "METHOD path" the pattern finds.

    `kind`: "answer" gives `answer` instead of working; "cut_before" closes the connection without working;
    "cut_after" works and then closes the connection; "truncate" works and sends half the body under the full
    Content-Length; "slow" waits `seconds` before working; "slow_after" works and waits before it answers.
    """

    pattern: str
    kind: str
    times: int = 1
    answer: Answer | None = None
    seconds: float = 0.0


Handler = Callable[[Call, re.Match[str]], Answer]


class StandIn:
    """A stand-in server. Subclasses fill `routes` with (method, path pattern, method name)."""

    routes: ClassVar[tuple[tuple[str, str, str], ...]] = ()

    def __init__(self, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self.lock = threading.RLock()
        self.calls: collections.deque[Call] = collections.deque(maxlen=20000)
        self.faults: list[Fault] = []
        #: What a client did that the real system would refuse or be harmed by.
        self.violations: list[str] = []
        self._server = _Server((host, port), _Handler)
        self._server.standin = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}"

    def start(self) -> Self:
        self._thread.start()
        return self

    def stop(self) -> None:
        if self._thread.is_alive():
            self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def fail(
        self, pattern: str, kind: str, *, times: int = 1, answer: Answer | None = None, seconds: float = 0
    ) -> None:
        """Scripts a fault (see `Fault`)."""
        with self.lock:
            self.faults.append(Fault(pattern, kind, times, answer, seconds))

    def count(self, pattern: str) -> int:
        """How many received calls have a "METHOD path" that the pattern finds."""
        with self.lock:
            return sum(1 for call in self.calls if re.search(pattern, f"{call.method} {call.path}"))

    def clear(self) -> None:
        """Forgets the received calls and the scripted faults; the vendor's own records stay."""
        with self.lock:
            self.calls.clear()
            self.faults.clear()
            self.violations.clear()

    def take_fault(self, call: Call) -> Fault | None:
        with self.lock:
            for fault in self.faults:
                if fault.times > 0 and re.search(fault.pattern, f"{call.method} {call.path}"):
                    fault.times -= 1
                    return fault
        return None

    def handle(self, call: Call) -> Answer:
        """Finds the route and runs it."""
        with self.lock:
            self.calls.append(call)
        known = False
        for method, pattern, name in self.routes:
            match = re.fullmatch(pattern, call.path)
            known = known or match is not None
            if match and method == call.method:
                handler: Handler = getattr(self, name)
                return handler(call, match)
        return self.missing(call, known)

    def missing(self, call: Call, is_known_path: bool) -> Answer:
        return Answer(405 if is_known_path else 404, b"", content_type="text/plain")


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256
    standin: StandIn

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Silent about clients that hang up, which scripted faults make them do."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    #: One packet per answer: with head and body apart, a kept connection waits 40 ms for an acknowledgement.
    wbufsize = -1
    server: _Server

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        found = parse_qs(parts.query, keep_blank_values=True)
        query = {key: ",".join(values) if key.endswith("[]") else values[-1] for key, values in found.items()}
        length = int(self.headers.get("Content-Length") or 0)
        headers = {key.lower(): value for key, value in self.headers.items()}
        body = self.rfile.read(length)
        call = Call(self.command, parts.path, query, headers, body, time.time())
        standin = self.server.standin
        fault = standin.take_fault(call)
        kind = fault.kind if fault else ""
        if fault and kind in ("answer", "cut_before"):
            with standin.lock:
                standin.calls.append(call)
        if fault and kind == "answer" and fault.answer is not None:
            self._send(fault.answer)
        elif kind == "cut_before":
            self.close_connection = True
        else:
            if fault and kind == "slow":
                time.sleep(fault.seconds)
            answer = standin.handle(call)
            if fault and kind == "slow_after":
                time.sleep(fault.seconds)
            if kind == "cut_after":
                self.close_connection = True
            else:
                self._send(answer, is_cut=kind == "truncate")

    def _send(self, answer: Answer, *, is_cut: bool = False) -> None:
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer.body[: len(answer.body) // 2] if is_cut else answer.body)
        if is_cut:
            self.close_connection = True

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = _serve

    def log_message(self, *args: Any) -> None:
        """Silent: stand-ins tell what they saw through `calls`."""
