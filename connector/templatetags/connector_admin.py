"""States as coloured words, and spans of time in words, for the admin's templates."""

from __future__ import annotations

from django import template
from django.utils.safestring import SafeString

from connector.admin import base

register = template.Library()


@register.simple_tag
def badge(state: str) -> SafeString:
    """The badge of a state."""
    return base.badge(state)


@register.filter
def duration(seconds: int) -> str:
    """Seconds as "3 min" or "2 h"."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
