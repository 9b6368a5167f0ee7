"""Keyed hashes: equality and search without opening what is sealed."""

from __future__ import annotations

import functools
import hashlib
import hmac
import re
import secrets

from connector.models import LastingKey

SEARCH = "search"
AUDIT = "audit"


def lasting_key(name: str) -> bytes:
    """The installation's key of that name, made on first use. It outlives every rotation of ENCRYPTION_KEYS."""
    return bytes.fromhex(_lasting_key(name))


@functools.cache
def _lasting_key(name: str) -> str:
    fresh = LastingKey(name=name)
    fresh.key = secrets.token_hex(32)
    LastingKey.objects.bulk_create([fresh], ignore_conflicts=True)
    return str(LastingKey.objects.get(name=name).key)


def keyed_hash(*parts: str) -> str:
    """32 hex digits that only this installation can make; parts cannot run into each other."""
    text = "\x1f".join(part.replace("\x1f", " ") for part in parts)
    return hmac.new(lasting_key(SEARCH), text.encode(), hashlib.sha256).hexdigest()[:32]


def terms_of(value: str) -> set[str]:
    """The whole value and each of its words, without regard to case."""
    whole = " ".join(value.casefold().split())
    words = {word for word in re.split(r"[^\w.@&'-]+", whole) if len(word) > 1}
    return {term for term in {whole, *words} if term}


def term_hash(term: str) -> str:
    return keyed_hash("term", " ".join(term.casefold().split()))
