"""Re-encrypting everything that is sealed under the first of ENCRYPTION_KEYS, while the connector works on.

Each row is written only if it still holds what was read, so a token that changes meanwhile is never undone. A run that
was broken off goes on where it stopped, since what is under the first key already is passed over. The audit trail's
entries are not touched: only its sealed bodies are.
"""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.db import models, transaction
from django.db.models import Count
from django.db.models.functions import Substr

from connector import crypto
from connector.pipeline import audit

BATCH = 50
#: Rows that changed under our hands are read again, this often.
PASSES = 5


@dataclasses.dataclass(slots=True)
class Rotation:
    """What a run did. `remaining` counts values still under another key, by its fingerprint; `broken` names those
    that none of the keys opens, by table, row and column."""

    rotated: int = 0
    skipped: int = 0
    remaining: dict[str, int] = dataclasses.field(default_factory=dict)
    broken: list[str] = dataclasses.field(default_factory=list)


def rotate() -> Rotation:
    """Re-encrypts every sealed value that is not under the first key. May run at any time, and again."""
    rotation = Rotation()
    remaining: Counter[str] = Counter()
    for model, column in sealed_columns():
        rotation.skipped += _sealed(model, column).filter(_is_current(column)).count()
        for _ in range(PASSES):
            rotated, missed, broken = _pass(model, column)
            rotation.rotated += rotated
            if not missed:
                break
        rotation.broken += broken
        remaining.update(_remaining(model, column))
    rotation.remaining = dict(remaining)
    if rotation.rotated:
        audit.append(None, audit.Entry("keys.rotated", actor="command", reason=f"{rotation.rotated} values"))
    return rotation


def sealed_columns() -> Iterator[tuple[type[models.Model], str]]:
    """Every column that holds sealed values, the lasting keys of search and audit among them."""
    for model in apps.get_app_config("connector").get_models():
        for column in crypto.sealed_columns(model):
            yield model, column


def _is_current(column: str) -> models.Q:
    return models.Q(**{f"{column}__startswith": f"{crypto.current_fingerprint()}:"})


def _sealed(model: type[models.Model], column: str) -> models.QuerySet[Any]:
    return model._default_manager.exclude(**{column: ""}).order_by("pk")


def _pass(model: type[models.Model], column: str) -> tuple[int, int, list[str]]:
    """One walk over a column: how many values were rotated, how many had changed meanwhile, which do not open."""
    rotated, missed, broken = 0, 0, []
    rows, last = _sealed(model, column).exclude(_is_current(column)).values_list("pk", column), None
    while batch := list((rows.filter(pk__gt=last) if last is not None else rows)[:BATCH]):
        last = batch[-1][0]
        fresh = []
        for key, sealed in batch:
            try:
                fresh.append((key, sealed, crypto.reseal(crypto.place(model._meta.db_table, key, column), sealed)))
            except crypto.SealBroken as error:
                broken.append(str(error))
        written = _write(model, column, fresh)
        rotated, missed = rotated + written, missed + len(fresh) - written
    return rotated, missed, broken


def _write(model: type[models.Model], column: str, fresh: list[tuple[Any, str, str]]) -> int:
    with transaction.atomic():
        return sum(
            model._default_manager.filter(**{"pk": key, column: old}).update(**{column: new}) for key, old, new in fresh
        )


def _remaining(model: type[models.Model], column: str) -> dict[str, int]:
    others = _sealed(model, column).exclude(_is_current(column)).order_by()
    found = (
        others.values(fingerprint=Substr(column, 1, 9)).annotate(count=Count("pk")).values_list("fingerprint", "count")
    )
    counts: Counter[str] = Counter()
    for fingerprint, count in found:
        counts[fingerprint[:8] if re.fullmatch(r"[0-9a-f]{8}:", fingerprint) else "damaged"] += count
    return counts
