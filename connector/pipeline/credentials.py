"""Opening, using and renewing credentials.

A refresh is claimed in the database (a lease and a generation), so that concurrent workers never refresh twice, and the
answer is stored before anyone uses it. No transaction is open while a vendor is called.
"""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, TypeVar

from django.conf import settings
from django.db import models, transaction
from django.db.models import F, Q

from connector import locks, logs, registry
from connector.kernel.contracts import Context, Secrets, System
from connector.kernel.errors import Reauthorize, Refresh, Retry, Unknown, VendorError
from connector.kernel.http import Http
from connector.models import Connection, Credential, Route, VendorCalls
from connector.pipeline import audit, clock, keeping, pacing, retry, turns
from connector.pipeline.hashing import keyed_hash

T = TypeVar("T")
#: So often one call has its token renewed: another worker's fresh one may have run out while we waited for it.
RENEWALS = 2
#: Seconds for which a refused renewal is repeated by nobody. Who comes later finds it in the connection's state.
REFUSAL_PAUSE = 2.0
_stop = threading.Event()


def opened(credential: Credential | None) -> Secrets:
    """The secrets of a credential; a connection without one has none."""
    if credential is None:
        return Secrets({})
    values: Mapping[str, str] = credential.secrets or {}
    logs.hide(*values.values())
    return Secrets(values, credential.expires_at, credential.refresh_expires_at, credential.hard_expires_at)


def fill(credential: Credential, secrets: Secrets) -> None:
    """Puts secrets into the (unsaved) row."""
    credential.secrets = dict(secrets.values)
    credential.expires_at = secrets.expires_at
    credential.refresh_expires_at = secrets.refresh_expires_at or credential.refresh_expires_at
    credential.hard_expires_at = secrets.hard_expires_at or credential.hard_expires_at
    token = secrets.get("refresh_token")
    credential.token_hash = keyed_hash("token", token) if token else ""


class Use:
    """One stretch of work with a connection's credentials: its context, and the count of the calls it made."""

    def __init__(
        self,
        connection: Connection,
        *,
        seconds: float | None = None,
        keep_alive: bool = True,
        answers: list[str] | None = None,
    ) -> None:
        self._connection = connection
        #: Collects the outcomes of the calls made, for a caller who wants to know whether there were any.
        self._answers = answers if answers is not None else []
        self._system: System = registry.system(connection.system)
        self._calls: dict[str, int] = {}
        self._seconds = seconds or float(settings.HTTP_TIMEOUT_SECONDS) * self._system.patience
        self._http = Http(seconds=self._seconds, keep_alive=keep_alive, on_call=self._count)

    def _count(self, outcome: str) -> None:
        self._answers.append(outcome)
        self._calls[outcome] = self._calls.get(outcome, 0) + 1

    def context(self, secrets: Secrets) -> Context:
        connection = self._connection
        defaults = {field.name: field.default for field in self._system.settings_fields}
        return Context(
            connection=connection.slug,
            account=connection.account,
            settings=defaults | connection.settings | self._from_routes(),
            app=registry.app_settings(connection.system),
            secrets=secrets,
            http=self._http,
            now=clock.now,
            timezone=connection.organization.timezone,
            redirect_uri=f"{settings.PUBLIC_URL}/oauth/{connection.system.replace('_', '-')}/callback/",
            spend=self._spend,
            meter=self._meter,
            turn=self._turn,
        )

    def _from_routes(self) -> dict[str, Any]:
        """What the oldest route that says anything of it sets in the connection's place."""
        names = self._system.route_settings
        found: dict[str, Any] = {}
        if names:
            mine = Q(source=self._connection) | Q(sink=self._connection)
            for row in Route.objects.filter(mine, is_active=True).order_by("-created_at"):
                found |= {name: value for name, value in row.settings.items() if name in names and value}
        return found

    def _turn(self) -> AbstractContextManager[None]:
        connection = self._connection
        return turns.turn(f"{connection.system}:{connection.account}", patience=self._seconds)

    def _meter(self, unit: str, count: int) -> None:
        self._calls[unit] = self._calls.get(unit, 0) + count

    def _spend(self, kind: str) -> None:
        """Takes a call from the allowance, waiting a moment for it at most. Without Redis the vendor's 429 decides."""
        limits = [row for row in self._system.limits if row[0] == kind]
        waited = 0.0
        while limits:
            try:
                wait = pacing.spend(self._connection.account, limits)
            except locks.RedisAway:
                return
            if wait <= 0:
                return
            if waited + wait > 5:
                raise Retry("the vendor's call allowance is used up for the moment", code="allowance", after=wait)
            waited += wait
            _stop.wait(wait)

    def close(self) -> None:
        self._http.close()
        month = clock.now().date().replace(day=1)
        for outcome, count in self._calls.items():
            keys: dict[str, Any] = {"connection": self._connection, "month": month, "outcome": outcome[:20]}
            VendorCalls.objects.bulk_create([VendorCalls(**keys)], ignore_conflicts=True)
            VendorCalls.objects.filter(**keys).update(count=F("count") + count)
        self._calls.clear()


def call(connection: Connection, work: Callable[[Context], T], **use: Any) -> T:
    """Runs `work` with a live token: renewed before its end, and when the vendor refuses it.

    Raises whatever verdict the work or the renewal ends in; a token refused right after two renewals is `Reauthorize`.
    """
    stretch = Use(connection, **use)
    try:
        credential = connection.credential
        if credential is None:
            return work(stretch.context(Secrets({})))
        credential = _renewed_if_due(connection, credential)
        for _ in range(RENEWALS):
            try:
                return work(stretch.context(opened(credential)))
            except Refresh as refused:
                credential = renew(connection, credential, because=refused)
        try:
            return work(stretch.context(opened(credential)))
        except Refresh as refused:
            raise Reauthorize(
                f"{refused.text}, although the token was just renewed: connect again", code=refused.code
            ) from None
    finally:
        stretch.close()


def _renewed_if_due(connection: Connection, credential: Credential) -> Credential:
    credential = Credential.objects.get(pk=credential.pk)
    system = registry.system(connection.system)
    margin = dt.timedelta(seconds=system.refresh_margin)
    if credential.expires_at is None or credential.expires_at - margin > clock.now():
        return credential
    if not system.can_refresh(opened(credential)):
        return credential
    try:
        return renew(connection, credential)
    except (Retry, Unknown):
        # The old token may still be good for the rest of its margin.
        if credential.expires_at > clock.now():
            return credential
        raise


def renew(connection: Connection, credential: Credential, *, because: VendorError | None = None) -> Credential:
    """The credential with fresh secrets, renewed by us or by whoever was quicker.

    Raises `Reauthorize`, `Misconfigured`, `Retry` or `Unknown` as the vendor answered.
    """
    system = registry.system(connection.system)
    if not system.can_refresh(opened(credential)):
        text = because.text if because else f"{system.label} refuses the stored token"
        raise Reauthorize(f"{text}: it cannot be renewed, so connect again", code=because.code if because else "")
    if not _claim(credential):
        return _await_other(credential)
    stretch = Use(connection)
    row = Credential.objects.filter(pk=credential.pk, generation=credential.generation)

    def keep() -> None:
        row.update(lease_until=clock.after(_lease()))

    try:
        with keeping.kept_row(keep, every=_lease() / 3):
            fresh = system.refresh(stretch.context(opened(credential)))
    except VendorError as error:
        _note_failure(credential, error)
        raise
    finally:
        stretch.close()
    return _store_renewed(connection, credential, fresh)


def _lease() -> float:
    """Seconds for which a renewal is ours; a system that takes longer has it kept."""
    return 2 * float(settings.HTTP_TIMEOUT_SECONDS)


def _claim(credential: Credential) -> bool:
    """Takes the refresh for us, unless another has it, has done it, or it failed a moment ago."""
    now = clock.now()
    free = Q(lease_until__isnull=True) | Q(lease_until__lt=now)
    row = Credential.objects.filter(pk=credential.pk, generation=credential.generation)
    waiting = row.filter(retry_at__gt=now).first()
    if waiting is not None and waiting.retry_at is not None:
        after = (waiting.retry_at - now).total_seconds()
        raise Retry("the last renewal of the token failed a moment ago", code="refresh_waits", after=after)
    return row.filter(free).update(lease_until=clock.after(_lease())) == 1


def _await_other(credential: Credential) -> Credential:
    """Waits for the worker that is renewing; its result is ours too."""
    for _ in range(int(float(settings.HTTP_TIMEOUT_SECONDS) * 5)):
        row = Credential.objects.get(pk=credential.pk)
        if row.generation != credential.generation:
            return row
        if row.lease_until is None or row.lease_until < clock.now():
            break
        _stop.wait(0.2)
    raise Retry("another worker is renewing the token", code="refresh_waits", after=2)


def _note_failure(credential: Credential, error: VendorError) -> None:
    """Frees the claim. Transient failures wait longer each time, whoever asks."""
    row = Credential.objects.filter(pk=credential.pk, generation=credential.generation)
    if error.code == turns.CODE:  # nobody was asked
        row.update(lease_until=None)
        return
    wait = REFUSAL_PAUSE
    if isinstance(error, Retry | Unknown):
        wait = retry.wait_seconds(credential.failures + 1, after=getattr(error, "after", None), is_throttle=True)
    row.update(lease_until=None, failures=F("failures") + 1, retry_at=clock.after(min(wait, retry.THROTTLE_CAP)))


def _store_renewed(connection: Connection, credential: Credential, fresh: Secrets) -> Credential:
    """Stores the answer before anyone uses it. A credential that a person replaced meanwhile is left as it is."""
    row = Credential.objects.get(pk=credential.pk)
    if row.generation != credential.generation:
        return row
    is_rotated = fresh.get("refresh_token") != (row.secrets or {}).get("refresh_token")
    fill(row, fresh)
    row.generation += 1
    row.failures, row.retry_at, row.lease_until, row.refreshed_at = 0, None, None, clock.now()
    columns = {
        field.attname: getattr(row, field.attname)
        for field in Credential._meta.concrete_fields
        if not field.primary_key and not isinstance(field, models.ForeignKey)
    }
    with transaction.atomic():
        changed = Credential.objects.filter(pk=row.pk, generation=credential.generation).update(**columns)
        if changed:
            reason = "refresh token rotated" if is_rotated else ""
            entry = audit.Entry("credential.refreshed", connection=connection.slug, reason=reason)
            audit.append(connection.organization, entry)
    return Credential.objects.get(pk=credential.pk)


def store(connection: Connection, secrets: Secrets, *, owner: str = "", actor: str, action: str) -> None:
    """Puts secrets that a person brought (OAuth, form, file) in the place of the connection's credential.

    Connections of the same organization and system with the same log-in (owner, or refresh token) come to share one.
    """
    owner_hash = keyed_hash("owner", owner) if owner else ""
    token = secrets.get("refresh_token")
    token_hash = keyed_hash("token", token) if token else ""
    with transaction.atomic():
        credential = _shared(connection, owner_hash, token_hash) or connection.credential
        if credential is None:
            credential = Credential(organization=connection.organization, system=connection.system)
        else:
            credential = Credential.objects.get(pk=credential.pk)
        fill(credential, secrets)
        credential.refresh_expires_at, credential.hard_expires_at = secrets.refresh_expires_at, secrets.hard_expires_at
        credential.generation += 1
        credential.owner_hash = owner_hash or credential.owner_hash
        credential.granted_at = clock.now()
        credential.refreshed_at = credential.retry_at = credential.lease_until = credential.warned_for = None
        credential.failures, credential.file_hash = 0, ""
        credential.save()
        if connection.credential_id != credential.pk:
            connection.credential = credential
            connection.save(update_fields=["credential"])
        audit.append(connection.organization, audit.Entry(action, actor=actor, connection=connection.slug))


def _shared(connection: Connection, owner_hash: str, token_hash: str) -> Credential | None:
    """The credential of the same log-in that another connection of the organization already has."""
    same = Q()
    if owner_hash:
        same |= Q(owner_hash=owner_hash)
    if token_hash:
        same |= Q(token_hash=token_hash)
    if not same:
        return None
    rows = Credential.objects.filter(same, organization=connection.organization, system=connection.system)
    return rows.exclude(connections=None).order_by("id").first()
