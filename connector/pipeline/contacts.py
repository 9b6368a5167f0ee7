"""What is known of a program that calls us: when it last did, how that went, and whether it has gone quiet."""

from __future__ import annotations

import dataclasses
import datetime as dt

from django.db import transaction

from connector import registry
from connector.kernel.errors import Retry, Unreachable
from connector.models import Connection, Run, RunOutcome
from connector.pipeline import alerts, audit, clock

#: A caller is quiet when no run ended well for so many of its own intervals, and for so long at the least.
INTERVALS = 3
LEAST_QUIET = dt.timedelta(minutes=30)
_OPENED = (RunOutcome.LIVE, RunOutcome.DONE, RunOutcome.BROKEN, RunOutcome.REPLACED, RunOutcome.EXPIRED)


@dataclasses.dataclass(frozen=True, slots=True)
class Contact:
    """The last runs of a connection, by what came of them."""

    last: Run | None
    good: Run | None
    refused: Run | None
    early: Run | None

    @property
    def seen_at(self) -> dt.datetime | None:
        """The last call with the right password."""
        return max((row.seen_at for row in (self.last, self.early) if row), default=None)


def of(connection: Connection) -> Contact:
    """What is known of the connection's caller."""
    rows = Run.objects.filter(connection=connection).order_by("-started_at", "-pk")
    return Contact(
        last=rows.filter(outcome__in=_OPENED).first(),
        good=rows.filter(outcome=RunOutcome.DONE).first(),
        refused=rows.filter(outcome=RunOutcome.REFUSED).first(),
        early=rows.filter(outcome=RunOutcome.EARLY).first(),
    )


def sentence(connection: Connection, caller: str) -> str:
    """When it last called and that it went well. Raises `Unreachable` or `Retry` with what to do otherwise."""
    contact = of(connection)
    if contact.seen_at is None:
        refused = f" A call {_ago(contact.refused.seen_at)} gave a wrong password." if contact.refused else ""
        raise Unreachable(
            f"The {caller} has never called yet.{refused} Add the connection file to it, type the password, "
            "tick the connection and press Update Selected.",
            code="never_called",
        )
    if is_quiet(connection, contact):
        raise Unreachable(likely_cause(contact, caller), code="quiet")
    assert contact.last is not None
    said = f"Last called {_ago(contact.seen_at)}"
    if contact.last.outcome in (RunOutcome.DONE, RunOutcome.LIVE):
        records = contact.last.records
        ended = "the cycle ended well" if contact.last.outcome == RunOutcome.DONE else "a cycle is running"
        return f"{said}, {ended} ({records} record{'' if records == 1 else 's'} read)"
    raise Retry(f"{said}; {_went_wrong(contact.last)}", code=contact.last.code)


def quiet_after(connection: Connection) -> dt.timedelta:
    """How long a caller may be silent before somebody should look."""
    defaults = {field.name: field.default for field in registry.system(connection.system).settings_fields}
    minutes = (defaults | connection.settings).get("poll_minutes") or 0
    return max(INTERVALS * dt.timedelta(minutes=int(minutes)), LEAST_QUIET)


def is_quiet(connection: Connection, contact: Contact) -> bool:
    """Whether it used to call, and no run has ended well (or is under way) for too long."""
    if contact.good is None:
        return False
    times = [contact.good.ended_at or contact.good.seen_at]
    if contact.last is not None and contact.last.outcome == RunOutcome.LIVE:
        times.append(contact.last.seen_at)
    return clock.now() - max(times) > quiet_after(connection)


def tell_silence(connection: Connection, caller: str) -> Unreachable | None:
    """Announces, once for each silence, that a caller which used to call does not; the verdict when it just did."""
    contact = of(connection)
    if contact.good is None or contact.good.told_at is not None or not is_quiet(connection, contact):
        return None
    cause = likely_cause(contact, caller)
    with transaction.atomic():
        if not Run.objects.filter(pk=contact.good.pk, told_at=None).update(told_at=clock.now()):
            return None
        entry = audit.Entry("connection.quiet", connection=connection.slug, reason="no cycle ended well")
        audit.append(connection.organization, entry)
        alerts.announce(connection, "failed", cause, key=f"quiet {contact.good.pk.hex}")
    return Unreachable(cause, code="quiet")


def likely_cause(contact: Contact, caller: str) -> str:
    """What has gone wrong, as far as the last calls tell, and what to do."""
    assert contact.good is not None
    ended = contact.good.ended_at or contact.good.seen_at
    head = f"Nothing has been read since {ended:%d %b %Y %H:%M} UTC."
    if contact.refused is not None and contact.refused.seen_at > max(ended, contact.seen_at or ended):
        return f"{head} The {caller} gives a wrong password: type the connection's password into it again."
    if contact.last is not None and contact.last.pk != contact.good.pk and contact.last.outcome != RunOutcome.LIVE:
        return f"{head} The {caller} calls, but {_went_wrong(contact.last)}"
    return (
        f"{head} The {caller} does not call: the PC may be off or asleep, the {caller} not running, "
        "or Auto-Run not ticked."
    )


def _went_wrong(run: Run) -> str:
    return f"the cycle did not end well: {run.reason or 'it was interrupted.'}"


def _ago(at: dt.datetime) -> str:
    minutes = int((clock.now() - at).total_seconds() // 60)
    if minutes < 1:
        return "less than a minute ago"
    if minutes < 120:
        return f"{minutes} min ago"
    hours = minutes // 60
    return f"{hours} h ago" if hours < 48 else f"{hours // 24} days ago"
