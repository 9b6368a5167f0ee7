"""Finding audit entries: by what stands in their columns, and by the keyed hashes of their events' words."""

from __future__ import annotations

import re
from itertools import islice

from django.db.models import Q

from connector.models import AuditEntry, SearchTerm
from connector.pipeline.hashing import term_hash

COLUMNS = ("connection", "event", "delivery", "action", "reason", "channel", "ts", "actor")


def entries(text: str, *, limit: int = 100) -> list[AuditEntry]:
    """The latest entries that the text finds: a whole value or single words, without regard to case."""
    rows = AuditEntry.objects.order_by("-id")
    wanted = text.strip()
    if not wanted:
        return list(rows[:limit])
    events = SearchTerm.objects.filter(term_hash=term_hash(wanted)).values_list("event_id", flat=True)
    by_event = Q(event__in=[str(event_id) for event_id in events[:1000]])
    by_column = Q()
    for column in COLUMNS:
        by_column |= Q(**{f"{column}__icontains": wanted})
    # The database finds the letters; whole words are told apart here.
    word = re.compile(rf"(?<!\w){re.escape(wanted)}(?!\w)", re.IGNORECASE)
    found = rows.filter(by_event).values_list("pk", flat=True)
    matching = {*found[:limit]}
    candidates = rows.filter(by_column).iterator(chunk_size=500)
    spelled = (row.pk for row in candidates if any(word.search(str(getattr(row, column))) for column in COLUMNS))
    matching |= set(islice(spelled, limit))
    return list(rows.filter(pk__in=matching)[:limit])
