"""Callbacks registered on the customer's behalf: made, proven, looked after daily, and taken back.

A row stands before its registration, because the vendor's handshake may come before the registration's own answer. A
handshake proves nothing: its secret is used only after the vendor has confirmed it. No transaction is open while a
vendor is called; two workers at once do no harm (a row is claimed by moving its `check_at`).
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F, Q

from connector import registry
from connector.kernel.contracts import Callback, Context, Handshake, Secrets, Subscriber
from connector.kernel.errors import Misconfigured, Reauthorize, Refresh, Reject, Retry, Unknown, VendorError
from connector.models import BLOCKED, Connection, Subscription, SubscriptionState
from connector.models.base import uuid7
from connector.models.subscriptions import base_uri
from connector.pipeline import audit, clock, connections, credentials, hints

log = logging.getLogger(__name__)

DAY = 86400.0
#: How long a claim holds, and a handshake is waited for.
PATIENCE = 60.0
LONGEST_WAIT = 3600.0
#: After this the sweep looks at an offer whose hint was lost.
SOON = 8.0
#: Unproven secrets kept for one address: strangers may send some, too.
MAX_OFFERS = 5


# --- the web's side --------------------------------------------------------------------------------------------------


def secrets_of(connection: Connection | None, subscription: str, held: Secrets) -> tuple[Secrets, bool]:
    """The verifiers for an address of the connection, and whether there is such an address."""
    if connection is None:
        return Secrets({}), False
    row = _row_at(connection, subscription)
    proven = list((row.verifiers or {}).values()) if row else []
    if subscription:
        return Secrets({"webhook_verifier": "\n".join(proven)}), row is not None
    own = held.get("webhook_verifier")
    return Secrets({"webhook_verifier": "\n".join([own, *proven] if own else proven)}), True


def is_confirming(connection: Connection | None, subscription: str) -> bool:
    """Whether the vendor is just being told the secret of this address, and may believe it before we know."""
    row = _row_at(connection, subscription) if connection is not None and subscription else None
    return bool(row and row.offers)


def _row_at(connection: Connection, subscription: str) -> Subscription | None:
    rows = Subscription.objects.filter(connection=connection)
    if not subscription:
        return rows.filter(event="").first()
    key = _key(subscription)
    return rows.filter(pk=key).exclude(event="").first() if key else None


def _key(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def offer(subscription: str, found: Sequence[Connection], handshake: Handshake) -> None:
    """Keeps a handshake's secret until the vendor confirms it, in the caller's transaction."""
    for connection in found:
        row = _row_at(connection, subscription)
        if row is None:
            row = _new_row(connection, "")
            row.save(force_insert=True)
        if row.state == SubscriptionState.ACTIVE and (row.verifiers or {}).get(handshake.id) == handshake.secret:
            continue
        if row.event and row.callback_id and row.callback_id != handshake.id:
            continue  # another callback than the one that was registered for this address
        pair = [handshake.id, handshake.secret]
        row.offers = [*(item for item in row.offers or [] if item != pair), pair][-MAX_OFFERS:]
        row.save(update_fields=["offers_sealed"])
        Subscription.objects.filter(pk=row.pk, check_at__gt=clock.after(SOON)).update(check_at=clock.after(SOON))
        if row.event:
            hints.run("confirm_subscription", str(row.pk))
        # The connection's own address is easily guessed: there the sweep's pace keeps strangers from costing calls.


def _new_row(connection: Connection, event: str) -> Subscription:
    now = clock.now()
    return Subscription(id=uuid7(), connection=connection, event=event, state_at=now, check_at=now)


# --- the workers' side -----------------------------------------------------------------------------------------------


def sweep() -> None:
    """Hints every connection whose callbacks are not as they should be, or are due for a look."""
    now = clock.now()
    for connection in Connection.objects.filter(system__in=_systems()).select_related("credential"):
        rows = Subscription.objects.filter(connection=connection).exclude(event="", offers_sealed="")
        if not connection.is_active:
            if rows.filter(Q(failures=0) | Q(check_at__lte=now)).exists():
                hints.run("tend_subscriptions", str(connection.pk))
            continue
        if connection.credential is None or connection.state in BLOCKED:
            continue
        moved = rows.exclude(address="").exclude(address__startswith=base_uri(connection))
        moved.update(check_at=now, address="")
        known = set(rows.exclude(event="").values_list("event", flat=True))
        if known != set(_wanted(connection)) or rows.filter(check_at__lte=now).exists():
            hints.run("tend_subscriptions", str(connection.pk))


def _systems() -> list[str]:
    """Of the systems that are connected: no other source is loaded."""
    names = Connection.objects.filter(system__in=registry.source_names()).order_by().values_list("system", flat=True)
    return [name for name in names.distinct() if isinstance(registry.source(name), Subscriber)]


def _source(connection: Connection) -> Subscriber:
    source = registry.source(connection.system)
    assert isinstance(source, Subscriber)
    return source


def _wanted(connection: Connection) -> tuple[str, ...]:
    source = _source(connection)
    defaults = {field.name: field.default for field in source.settings_fields}
    return source.wanted_events({**defaults, **connection.settings})


def confirm(subscription_id: str) -> None:
    """Sends the secrets that were offered for an address back to the vendor; those it confirms are used from now on."""
    rows = Subscription.objects.select_related("connection__organization", "connection__credential")
    row = rows.filter(pk=subscription_id).first()
    if row is None or not row.offers or row.connection.state in BLOCKED:
        return
    source = _source(row.connection)
    for callback_id, secret in row.offers:
        handshake = Handshake(callback_id, secret)
        try:
            callback = connections.call(row.connection, functools.partial(source.confirm, handshake=handshake))
        except Reject as error:
            _settle(row, handshake, None)
            log.warning("a handshake for %s was not confirmed (%s)", row.connection.slug, error.code)
        except VendorError as error:
            _note(row, error)
            return
        else:
            is_ours = callback.uri in ("", row.uri) and callback.event in ("", row.event or callback.event)
            _settle(row, handshake, callback if is_ours else None)


def _settle(row: Subscription, handshake: Handshake, callback: Callback | None) -> None:
    """Takes the offer off the list; with the vendor's yes its secret is on file from now on."""
    with transaction.atomic():
        fresh = Subscription.objects.select_for_update().filter(pk=row.pk).first()
        if fresh is None:
            return
        fresh.offers = [item for item in fresh.offers or [] if item != [handshake.id, handshake.secret]] or None
        if callback is not None:
            others = {} if row.event else (fresh.verifiers or {})
            fresh.verifiers = {**others, handshake.id: handshake.secret}
            fresh.callback_id, fresh.address = handshake.id, row.uri
            fresh.state, fresh.reason, fresh.failures = SubscriptionState.ACTIVE, "", 0
            fresh.state_at, fresh.check_at = clock.now(), clock.after(DAY)
            entry = audit.Entry("subscription.verified", connection=row.connection.slug, reason=row.event)
            audit.append(row.connection.organization, entry)
        fresh.save()


def tend(connection_id: str) -> None:
    """Brings the vendor's callbacks and ours together: registers, reminds, repairs, and removes what is not wanted."""
    found = Connection.objects.select_related("organization", "credential").filter(pk=connection_id).first()
    if found is None:
        return
    if not found.is_active:
        remove(found, is_final=False)
        return
    _ensure_rows(found)
    due = _claim_due(found)
    if not due:
        return
    for row in due:
        if row.offers:
            confirm(str(row.pk))
    try:
        connections.call(found, lambda ctx: _Tending(found, ctx).run(due))
    except VendorError as error:
        for row in due:
            _note(row, error)


def _ensure_rows(connection: Connection) -> None:
    """A row for each wanted event, before anything is registered."""
    wanted = set(_wanted(connection))
    rows = Subscription.objects.filter(connection=connection).exclude(event="")
    known = set(rows.values_list("event", flat=True))
    fresh = [_new_row(connection, event) for event in _wanted(connection) if event not in known]
    Subscription.objects.bulk_create(fresh, ignore_conflicts=True)
    rows.exclude(event__in=wanted).update(check_at=clock.now())


def _claim_due(connection: Connection) -> list[Subscription]:
    """The rows that are due, ours for a while."""
    mine = []
    now = clock.now()
    for row in Subscription.objects.filter(connection=connection, check_at__lte=now).select_related("connection"):
        claim = Subscription.objects.filter(pk=row.pk, check_at=row.check_at)
        if claim.update(check_at=clock.after(PATIENCE)):
            mine.append(row)
    return mine


class _Tending:
    """One look at the vendor's callbacks of a connection."""

    def __init__(self, connection: Connection, ctx: Context) -> None:
        self._connection = connection
        self._ctx = ctx
        self._source = _source(connection)
        self._base = base_uri(connection)
        self._wanted = frozenset(_wanted(connection))

    def run(self, due: Iterable[Subscription]) -> None:
        """Tends the rows. What concerns callbacks alone is noted with them, and leaves the connection's state alone."""
        try:
            registered = self._source.callbacks(self._ctx)
        except (Misconfigured, Reject) as error:
            for row in due:
                _note(row, error)
            return
        for row in due:
            mine = [callback for callback in registered if row.event and self._is_of(callback, row)]
            try:
                self._tend(row, mine)
            except (Refresh, Reauthorize):
                raise
            except VendorError as error:
                _note(row, error)
        self._remove_strays(registered)

    def _is_of(self, callback: Callback, row: Subscription) -> bool:
        return callback.uri == row.uri or bool(row.callback_id and callback.id == row.callback_id)

    def _tend(self, row: Subscription, mine: list[Callback]) -> None:
        if not row.event:
            _after(row, DAY)
            return
        if row.event not in self._wanted:
            self._end(mine)
            Subscription.objects.filter(pk=row.pk).delete()
            return
        fresh = Subscription.objects.filter(pk=row.pk).select_related("connection").first()
        if fresh is None or _is_young(fresh):
            return
        good = [callback for callback in mine if callback.uri == row.uri and callback.event == row.event]
        # A verified callback whose secret nobody has here can never be believed.
        secrets = {*(fresh.verifiers or {}), *(callback_id for callback_id, _ in fresh.offers or [])}
        kept = next((item for item in good if item.is_verified and item.id in secrets), None)
        kept = kept or next((item for item in good if not item.is_verified), None)
        self._end(item for item in mine if item != kept)
        if kept is None:
            self._register(fresh)
        elif kept.is_verified and kept.id in (fresh.verifiers or {}):
            _set(row, SubscriptionState.ACTIVE, kept.id)
            _after(row, DAY)
        else:
            _set(row, SubscriptionState.WAITING, kept.id)
            if not kept.is_verified:
                self._source.remind(self._ctx, kept.id)

    def _register(self, row: Subscription) -> None:
        Subscription.objects.filter(pk=row.pk).update(
            state=SubscriptionState.PENDING, state_at=clock.now(), callback_id="", verifiers_sealed=""
        )
        made = self._source.register(self._ctx, row.event, row.uri)
        # The handshake may have been quicker, and has then said everything.
        Subscription.objects.filter(pk=row.pk, state=SubscriptionState.PENDING).update(
            state=SubscriptionState.WAITING, state_at=clock.now(), callback_id=made.id, address=row.uri, reason=""
        )
        entry = audit.Entry("subscription.registered", connection=self._connection.slug, reason=row.event)
        audit.append(self._connection.organization, entry)

    def _end(self, callbacks: Iterable[Callback]) -> None:
        for callback in callbacks:
            self._source.unregister(self._ctx, callback.id)

    def _remove_strays(self, registered: Iterable[Callback]) -> None:
        """Ends callbacks to addresses of this connection that nobody has: they would be refused for ever."""
        for callback in registered:
            if not callback.uri.startswith(self._base):
                continue
            key = _key(callback.uri.removeprefix(self._base).strip("/"))
            if key is not None and not Subscription.objects.filter(pk=key).exists():
                self._end([callback])


def remove(connection: Connection, *, is_final: bool = True) -> None:
    """Ends the connection's callbacks at the vendor and forgets them.

    What cannot be ended just now is forgotten, too, when it `is_final`: it is refused here from then on, and ended when
    the account is connected again. Otherwise it waits for another try.
    """
    if connection.system not in _systems():
        return
    source = _source(connection)
    rows = list(Subscription.objects.filter(connection=connection))
    left: list[Subscription] = []

    def work(ctx: Context) -> None:
        left[:] = rows
        for row in rows:
            if row.event and row.callback_id:
                source.unregister(ctx, row.callback_id)
            left.remove(row)

    try:
        if rows:
            credentials.call(connection, work)
    except VendorError as error:
        log.warning("not every callback of %s could be ended (%s)", connection.slug, error.code)
        if not is_final and isinstance(error, Retry | Unknown):
            keys = [row.pk for row in left or rows]
            kept = Subscription.objects.filter(pk__in=keys)
            kept.update(failures=F("failures") + 1, check_at=clock.after(PATIENCE))
            rows = [row for row in rows if row.pk not in keys]
    Subscription.objects.filter(pk__in=[row.pk for row in rows]).delete()
    if rows:
        entry = audit.Entry("subscription.removed", connection=connection.slug, reason=f"{len(rows)} callbacks")
        audit.append(connection.organization, entry)


def _set(row: Subscription, state: SubscriptionState, callback_id: str) -> None:
    rows = Subscription.objects.filter(pk=row.pk)
    rows.update(callback_id=callback_id, address=row.uri, reason="", failures=0)
    rows.exclude(state=state).update(state=state, state_at=clock.now())


def _is_young(row: Subscription) -> bool:
    """Whether its callback was confirmed a moment ago: what was read of it before that is no news."""
    is_settled = row.state == SubscriptionState.ACTIVE and row.address == row.uri
    return is_settled and (clock.now() - row.state_at).total_seconds() < SOON


def _after(row: Subscription, seconds: float) -> None:
    Subscription.objects.filter(pk=row.pk).update(check_at=clock.after(seconds))


def _note(row: Subscription, error: VendorError) -> None:
    """A row that could not be tended waits, longer each time; a refusal is shown as one."""
    wait = min(PATIENCE * 2**row.failures / 2, LONGEST_WAIT)
    reason = f"{error.code}: {error.text}" if error.code else error.text
    columns: Mapping[str, Any] = {"reason": reason[:200], "failures": row.failures + 1, "check_at": clock.after(wait)}
    if not isinstance(error, Retry | Unknown):
        columns = {**columns, "state": SubscriptionState.FAILED, "state_at": clock.now()}
    Subscription.objects.filter(pk=row.pk).exclude(state=SubscriptionState.ACTIVE).update(**columns)
