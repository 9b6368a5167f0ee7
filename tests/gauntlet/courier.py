"""A sender of FreshBooks' callbacks that nobody would wish for: late, several times, cut short, or not at all."""

from __future__ import annotations

import collections
import contextlib
import http.client
import random
import threading
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from sources.freshbooks.standin_webhooks import Callback, Courier, Delivery, post

LOST, CUT = 0.06, 0.15
COPIES = (1, 1, 1, 2, 3)
#: Seconds by which one delivery may overtake another, and between the tries of one that is not acknowledged.
LATE = 1.5
RETRIES = (0.0, 1.0, 2.0)
HANDSHAKES = (0.5, 1.0, 2.0, 4.0)


class RoughCourier(Courier):
    """Handshakes travel well. Of everything else some never leave, and some are given up after three tries."""

    def __init__(self, is_registered: Callable[[Callback], bool], seed: int) -> None:
        super().__init__(is_registered)
        self.retry_seconds = HANDSHAKES
        self.fates: collections.Counter[str] = collections.Counter()
        self.refused: collections.Counter[int] = collections.Counter()
        self.slowest = 0.0
        self._chance = random.Random(f"courier {seed}")
        self._lock = threading.Lock()
        self._on_the_way = 0

    @property
    def is_settled(self) -> bool:
        return self._on_the_way == 0

    def add(self, delivery: Delivery) -> None:
        if delivery.name == "callback.verify":
            super().add(delivery)
            return
        with self._lock:
            if self._chance.random() < LOST:
                self.fates["never sent"] += 1
                return
            for _ in range(self._chance.choice(COPIES)):
                late, is_cut = self._chance.uniform(0.0, LATE), self._chance.random() < CUT
                self._on_the_way += 1
                timer = threading.Timer(late, self._travel, (delivery, is_cut))
                timer.daemon = True
                timer.start()

    def _travel(self, delivery: Delivery, is_cut: bool) -> None:
        if is_cut:
            _cut_short(delivery)
        fate = "cut, then sent" if is_cut else "sent"
        if not any(self._arrives(delivery, pause) for pause in RETRIES):
            fate = "given up"
        with self._lock:
            self.fates[fate] += 1
            self._on_the_way -= 1

    def _arrives(self, delivery: Delivery, pause: float) -> bool:
        self._stopping.wait(pause)
        began = time.monotonic()
        status = post(delivery.callback.uri, delivery.body, delivery.headers)
        with self._lock:
            if status == 200:
                self.slowest = max(self.slowest, time.monotonic() - began)
            else:
                self.refused[status] += 1
        return status == 200


def _cut_short(delivery: Delivery) -> None:
    """Half of the body, under the length of the whole."""
    parts = urlsplit(delivery.callback.uri)
    connection = http.client.HTTPConnection(parts.netloc, timeout=5)
    with contextlib.suppress(OSError, http.client.HTTPException):
        connection.putrequest("POST", parts.path)
        for name, value in {**delivery.headers, "Content-Length": str(len(delivery.body))}.items():
            connection.putheader(name, value)
        connection.endheaders(delivery.body[: len(delivery.body) // 2])
    connection.close()
