"""The one way out: guarded HTTP with a total time-out, a size limit, no redirects and no private addresses.

Two failures matter to callers: `Unreachable` (the request was never sent) and `Unknown` (it was sent, and no whole
answer came back). Neither text holds a URL's query, a header or a body.
"""

from __future__ import annotations

import contextlib
import dataclasses
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import requests
import requests.adapters
import urllib3
import urllib3.connection
import urllib3.exceptions

from connector.kernel.errors import Misconfigured, Unknown, Unreachable

CONNECT_SECONDS = 5.0
MAX_ANSWER = 32 * 1024 * 1024


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """A whole HTTP answer. Header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class _Call(threading.local):
    """The socket that this thread's current call runs on, so that its deadline can cut it."""

    sock: socket.socket | None = None
    allow_private = False


_call = _Call()


def is_loopback(host: str) -> bool:
    """Whether the host name or address can only mean this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_url(url: str) -> None:
    """Refuses anything but https, and http to this machine. Raises `Misconfigured`."""
    parts = urlsplit(url)
    if not parts.hostname or parts.username or parts.password:
        raise Misconfigured(f"{parts.scheme}://{parts.hostname or ''} is not a URL that can be called")
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname)):
        raise Misconfigured(f"{parts.hostname} must be called by https; plain http is for this machine only")


def _admit(connection: urllib3.connection.HTTPConnection) -> None:
    """Notes a fresh socket, and refuses one that a public name led into a private network."""
    _call.sock = connection.sock
    if _call.allow_private or connection.sock is None:
        return
    address = ipaddress.ip_address(str(connection.sock.getpeername()[0]).split("%")[0])
    if not address.is_global:
        connection.close()
        raise urllib3.exceptions.NewConnectionError(connection, "the name leads to a private address")


class _PlainConnection(urllib3.connection.HTTPConnection):
    def connect(self) -> None:
        super().connect()
        _admit(self)

    def request(self, *args: Any, **kwargs: Any) -> None:
        _call.sock = self.sock
        super().request(*args, **kwargs)


class _TlsConnection(urllib3.connection.HTTPSConnection):
    def connect(self) -> None:
        super().connect()
        _admit(self)

    def request(self, *args: Any, **kwargs: Any) -> None:
        _call.sock = self.sock
        super().request(*args, **kwargs)


class _PlainPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _PlainConnection


class _TlsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class _Adapter(requests.adapters.HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _PlainPool, "https": _TlsPool}


class Http:
    """Calls vendors. `seconds` is the total for one call: connecting, sending and the whole answer.

    `on_call` is told the outcome of every call (a status code, or a word) and never anything else.
    """

    def __init__(
        self,
        *,
        seconds: float = 15.0,
        keep_alive: bool = True,
        on_call: Callable[[str], None] = lambda outcome: None,
        max_answer: int = MAX_ANSWER,
    ) -> None:
        self._seconds = seconds
        self._keep_alive = keep_alive
        self._on_call = on_call
        self._max_answer = max_answer
        self._session = self._new_session()

    def __repr__(self) -> str:
        return "Http()"

    @staticmethod
    def _new_session() -> requests.Session:
        session = requests.Session()
        # The environment's .netrc would replace our Authorization header; its proxies are honoured below.
        session.trust_env = False
        for scheme in ("http://", "https://"):
            session.mount(scheme, _Adapter(max_retries=0))
        return session

    def close(self) -> None:
        self._session.close()

    def call(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Answer:
        """One call, never repeated here. Raises `Unreachable`, `Unknown` or `Misconfigured`; any status is returned."""
        check_url(url)
        host = urlsplit(url).hostname or ""
        session = self._session if self._keep_alive else self._new_session()
        proxies = {} if is_loopback(host) or proxy_bypass(host) else getproxies()
        _call.allow_private = is_loopback(host) or bool(proxies)
        _call.sock = None
        ends = time.monotonic() + self._seconds
        state = _Deadline(self._seconds)
        try:
            with state:
                answer = session.request(
                    method,
                    url,
                    headers=dict(headers or {}),
                    params=dict(params) if params else None,
                    data=body,
                    timeout=(min(CONNECT_SECONDS, self._seconds), self._seconds),
                    allow_redirects=False,
                    stream=True,
                    proxies=proxies,
                )
                with answer:
                    content = self._read(answer, ends)
            if state.has_passed:  # a cut in the headers looks like their end
                raise TimeoutError
        except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            raise self._failure(error, host, state) from None
        finally:
            _call.sock = None
            if not self._keep_alive:
                session.close()
        self._on_call(str(answer.status_code))
        return Answer(answer.status_code, {k.lower(): v for k, v in answer.headers.items()}, content)

    def _read(self, answer: requests.Response, ends: float) -> bytes:
        content = bytearray()
        for chunk in answer.iter_content(65536):
            content += chunk
            if len(content) > self._max_answer:
                raise OSError("answer too large")
            if time.monotonic() > ends:
                raise TimeoutError
        return bytes(content)

    def _failure(self, error: Exception, host: str, state: _Deadline) -> Unreachable | Unknown:
        if isinstance(error, requests.exceptions.ConnectTimeout) or _never_sent(error):
            self._on_call("unreachable")
            return Unreachable(f"{host} could not be reached ({_reason(error)})", code="unreachable")
        if state.has_passed or isinstance(error, requests.exceptions.Timeout | TimeoutError):
            self._on_call("timeout")
            return Unknown(f"{host} did not answer within {self._seconds:g} s", code="timeout")
        self._on_call("cut")
        return Unknown(f"{host} broke off before its whole answer had arrived ({_reason(error)})", code="cut")


class _Deadline:
    """Cuts the thread's current socket when the time is up, so that a dripping answer cannot outlive it."""

    def __init__(self, seconds: float) -> None:
        self.has_passed = False
        self._call = _call.__dict__  # the calling thread's own, readable from the timer's thread
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(self, *exc: object) -> None:
        self._timer.cancel()

    def _cut(self) -> None:
        self.has_passed = True
        sock = self._call.get("sock")
        if sock is not None:
            with contextlib.suppress(OSError):  # already closed: then the call is over
                sock.shutdown(socket.SHUT_RDWR)


def _never_sent(error: BaseException | None) -> bool:
    """Whether the failure came before a byte of the request went out."""
    seen: set[int] = set()
    pending: list[Any] = [error]
    while pending:
        item = pending.pop()
        if not isinstance(item, BaseException) or id(item) in seen:
            continue
        seen.add(id(item))
        if isinstance(item, urllib3.exceptions.NewConnectionError | urllib3.exceptions.ConnectTimeoutError):
            return True
        if isinstance(item, socket.gaierror | ConnectionRefusedError | ssl.SSLCertVerificationError):
            return True
        pending += [item.__cause__, item.__context__, getattr(item, "reason", None), *item.args]
    return False


def _reason(error: BaseException) -> str:
    return type(error).__name__
