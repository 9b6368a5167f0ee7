"""Putting a file's credentials into their place without undoing what is newer than the file.

Tokens that the connector has renewed, and whatever a person brought by OAuth or in the admin, are newer.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Mapping
from uuid import UUID

from django.db.models import Q

from connector.configuration.plan import TIMES, Given, is_token
from connector.kernel.contracts import Secrets
from connector.models import BLOCKED, Connection, ConnectionState, Credential
from connector.pipeline import clock, connections, credentials, hints
from connector.pipeline.hashing import keyed_hash


class Busy(Exception):
    """A token is being renewed at this very moment: applying must be tried again."""


@dataclasses.dataclass(frozen=True, slots=True)
class Granted:
    """What became of the credentials given: stored, or kept as they were because what is stored is newer."""

    is_stored: bool = False
    is_kept: bool = False


class Granting:
    """One run over a file: remembers which log-in each credential was given for."""

    def __init__(self, *, is_forced: bool) -> None:
        self._is_forced = is_forced
        self._logins: dict[UUID, str] = {}

    def grant(self, connection: Connection, given: Given) -> Granted:
        """Stores those of the given credentials that differ and may take the place of what is stored.

        Runs in the caller's transaction. Raises `Busy`.
        """
        login = keyed_hash("token", given.login) if given.login else ""
        if self._is_forced or not _is_newer(connection.credential):
            _join(connection, login)
        if connection.credential_id is None:
            return self._store(connection, given.values, given.times, login)
        credential = Credential.objects.select_for_update().get(pk=connection.credential_id)
        values = {name: value for name, value in given.values.items() if (credential.secrets or {}).get(name) != value}
        times = {name: moment for name, moment in given.times.items() if getattr(credential, name) != moment}
        if login and self._logins.get(credential.pk) == login:
            # Another connection of this log-in has given the tokens already.
            values, times = _without_tokens(values), {}
        if not values and not times:
            self._note(credential, login)
            return self._unchanged(connection)
        if self._is_forced or not _is_newer(credential):
            return self._replace(connection, credential, Given(values, times), given)
        if not credential.file_hash:
            return Granted(is_kept=True)
        is_kept = bool(times) or _has_token(values)
        return self._add(connection, credential, _without_tokens(values), is_kept=is_kept)

    def _note(self, credential: Credential, login: str) -> None:
        if login:
            self._logins[credential.pk] = login

    def _unchanged(self, connection: Connection) -> Granted:
        """With --force-credentials even the same secrets are tried again where they did not work."""
        if self._is_forced and connection.state in (*BLOCKED, ConnectionState.UNREACHABLE):
            _restart(connection)
        return Granted()

    def _replace(self, connection: Connection, credential: Credential, differing: Given, given: Given) -> Granted:
        """Stores what differs beside what does not; the times of old tokens say nothing of new ones."""
        login = keyed_hash("token", given.login) if given.login else ""
        if login and self._logins.get(credential.pk, login) != login:
            # Shared until now, but the file gives its other connection another log-in.
            connection.credential = None
            return self._store(connection, given.values, given.times, login)
        values = {**(credential.secrets or {}), **differing.values}
        if _has_token(differing.values):
            return self._store(connection, values, given.times, login)
        return self._store(connection, values, {**_times(credential), **differing.times}, login)

    def _add(
        self, connection: Connection, credential: Credential, values: Mapping[str, str], *, is_kept: bool
    ) -> Granted:
        """Stores secrets beside tokens that stay as they are, and as old as they are."""
        if not values:
            return Granted(is_kept=is_kept)
        if credential.lease_until is not None and credential.lease_until > clock.now():
            raise Busy(f"the token of {connection.slug} is being renewed just now: try again in a moment")
        self._store(connection, {**(credential.secrets or {}), **values}, _times(credential), "")
        Credential.objects.filter(pk=credential.pk).update(
            refreshed_at=credential.refreshed_at, granted_at=credential.granted_at, file_hash=credential.file_hash
        )
        return Granted(is_stored=True, is_kept=is_kept)

    def _store(
        self, connection: Connection, values: Mapping[str, str], times: Mapping[str, dt.datetime | None], login: str
    ) -> Granted:
        credentials.store(connection, Secrets(dict(values), **times), actor="config", action="credential.stored")
        credential = connection.credential
        assert credential is not None
        Credential.objects.filter(pk=credential.pk).update(file_hash=login or keyed_hash("token", ""))
        self._note(credential, login)
        _restart(connection)
        return Granted(is_stored=True)


def _is_newer(credential: Credential | None) -> bool:
    """Whether the connector, or a person by other ways, has changed the credential since a file gave it."""
    return credential is not None and (not credential.file_hash or credential.refreshed_at is not None)


def _join(connection: Connection, login: str) -> None:
    """Has the connection use the credential of the same log-in that another one of its organization has.

    The log-in is known by its present refresh token, or by the one that a file gave before it was renewed.
    """
    own = connection.credential
    if not login or (own is not None and login in (own.token_hash, own.file_hash)):
        return
    rows = Credential.objects.filter(
        Q(token_hash=login) | Q(file_hash=login), organization=connection.organization, system=connection.system
    )
    shared = rows.exclude(connections=None).order_by("id").first()
    if shared is not None:
        connection.credential = shared
        connection.save(update_fields=["credential"])
        if own is not None:
            Credential.objects.filter(pk=own.pk, connections=None).delete()


def _times(credential: Credential) -> dict[str, dt.datetime | None]:
    return {name: getattr(credential, name) for name in TIMES}


def _has_token(values: Mapping[str, str]) -> bool:
    return any(is_token(name) for name in values)


def _without_tokens(values: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in values.items() if not is_token(name)}


def _restart(connection: Connection) -> None:
    """Nothing is known of the log-in any more: what waited for it goes on, and its connections are pinged."""
    for each in Connection.objects.filter(credential=connection.credential).select_related("organization"):
        Connection.objects.filter(pk=each.pk).update(
            state=ConnectionState.UNKNOWN,
            detail_sealed="",
            state_at=clock.now(),
            checked_at=None,
            check_due_at=clock.now(),
        )
        connections.release(each)
        hints.run("check_connection", str(each.pk))
