"""Who may see what: one function, asked by every page and view. Today the staff sees every organization."""

from __future__ import annotations

from typing import TypeVar

from django.contrib.auth.models import AnonymousUser, User
from django.db.models import Model, QuerySet

M = TypeVar("M", bound=Model)


def visible_to(user: User | AnonymousUser, rows: QuerySet[M] | type[M]) -> QuerySet[M]:
    """Those of the rows (or all of a model's) that this person may see."""
    found = rows if isinstance(rows, QuerySet) else rows._default_manager.all()
    return found if user.is_active and user.is_staff else found.none()
