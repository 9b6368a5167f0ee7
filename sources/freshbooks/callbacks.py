"""Callbacks at FreshBooks: one for each noun and verb, since a callback for a whole noun would tell everything twice.

Source: freshbooks.com/api/webhooks. A callback is silent until its verifier was sent back.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from connector.kernel.contracts import Callback, Handshake
from connector.kernel.errors import Reject
from connector.kernel.values import BadValue, flag, text
from sources.freshbooks.client import Client
from sources.freshbooks.errors import Gone, unreadable

VERBS = ("create", "update", "delete")
FURTHER = {"invoice": ("invoice.sendByEmail",)}


def wanted(nouns: Iterable[str]) -> tuple[str, ...]:
    """The event names that the nouns stand for."""
    return tuple(name for noun in nouns for name in (*(f"{noun}.{verb}" for verb in VERBS), *FURTHER.get(noun, ())))


def every(client: Client) -> list[Callback]:
    """All callbacks of the account."""
    return [_callback(row) for row in client.callbacks()]


def register(client: Client, event: str, uri: str) -> Callback:
    """Registers the address for the event; the handshake goes there at once."""
    return _callback(client.change_callback("POST", body={"event": event, "uri": uri}))


def confirm(client: Client, handshake: Handshake) -> Callback:
    """Sends the verifier back. Raises `Reject` when FreshBooks does not take it."""
    found = _callback(client.change_callback("PUT", handshake.id, {"verifier": handshake.secret}))
    if not found.is_verified:
        raise Reject("FreshBooks does not take this verifier", code="not_verified")
    return found


def remind(client: Client, callback_id: str) -> None:
    """Has the handshake sent once more."""
    client.change_callback("PUT", callback_id, {"resend": True})


def unregister(client: Client, callback_id: str) -> None:
    """Ends the callback; one that is gone is as good."""
    try:
        client.change_callback("DELETE", callback_id)
    except Gone:
        return


def _callback(row: Any) -> Callback:
    try:
        callback_id = text(row, "callbackid") or text(row, "id")
        found = Callback(callback_id, text(row, "event"), text(row, "uri"), is_verified=flag(row, "verified") is True)
    except BadValue:
        raise unreadable("a readable callback") from None
    if not found.id:
        raise unreadable("the callback's ID")
    return found
