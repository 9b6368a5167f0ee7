"""What a person does to a connection: new credentials, a ping, the end of the authorization."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from django.db import transaction

from connector import registry
from connector.crypto import SealBroken
from connector.kernel.contracts import Secrets
from connector.kernel.errors import Reauthorize, Unsupported, VendorError
from connector.models import Connection, ConnectionState, Credential
from connector.pipeline import audit, connections, credentials, hints, reports, subscriptions


def store_given(connection: Connection, given: Mapping[str, str], *, actor: str) -> None:
    """Stores credentials that were typed in, over those stored; the connection is looked at anew with them."""
    held = credentials.opened(connection.credential).values
    # When a typed token ends is not known: the vendor's refusal will tell.
    secrets = Secrets({**held, **given})
    credentials.store(connection, secrets, actor=actor, action="credential.stored")
    sharing_one = Connection.objects.filter(credential=connection.credential)
    sharing_one.exclude(state=ConnectionState.OK).update(state=ConnectionState.UNKNOWN, checked_at=None)
    hints.run("check_connection", str(connection.pk))


def ping(connection: Connection, *, actor: str) -> tuple[bool, str]:
    """Whether the stored credentials work at the real system, and what it said."""
    entry = audit.Entry("connection.pinged", actor=actor, connection=connection.slug)
    audit.append(connection.organization, entry)
    try:
        return True, connections.check(str(connection.pk))
    except VendorError as error:
        return False, error.text
    except (Unsupported, SealBroken) as error:
        return False, str(error)


def read(connection: Connection, names: Sequence[str], *, actor: str) -> None:
    """Has the reports read soon, whatever their schedules say."""
    reports.ask(connection, names, is_person=True)
    entry = audit.Entry("report.asked", actor=actor, connection=connection.slug, reason=", ".join(names))
    audit.append(connection.organization, entry)


def sharing(connection: Connection) -> list[Connection]:
    """The other connections that use the same log-in."""
    if connection.credential_id is None:
        return []
    rows = Connection.objects.filter(credential_id=connection.credential_id)
    return list(rows.exclude(pk=connection.pk).order_by("slug"))


def disconnect(connection: Connection, *, actor: str) -> str:
    """Ends the authorization; what was done, for people. A log-in that others share is left to them."""
    subscriptions.remove(connection)
    others = sharing(connection)
    if others:
        said = f"The log-in itself still serves {', '.join(other.slug for other in others)}."
    else:
        said = _revoke(connection)
    with transaction.atomic():
        if others:
            connection.credential = None
            connection.save(update_fields=["credential"])
        elif connection.credential is not None:
            _empty(connection.credential)
        entry = audit.Entry("connection.disconnected", actor=actor, connection=connection.slug)
        audit.append(connection.organization, entry)
        refusal = Reauthorize(f"disconnected by {actor}: connect again to go on", code="disconnected")
        connections.set_state(connection, ConnectionState.NEEDS_REAUTHORIZATION, refusal)
    return f"Disconnected {connection.slug}. {said}".strip()


def _revoke(connection: Connection) -> str:
    """Asks the vendor to end the authorization, with the token as it is; a sentence when it has to be done there."""
    system = registry.system(connection.system)
    stretch = credentials.Use(connection)
    try:
        system.revoke(stretch.context(credentials.opened(connection.credential)))
    except Unsupported:
        return ""
    except VendorError as error:
        return f"{system.label} was asked to end the authorization and did not confirm it: {error.text.rstrip('.')}."
    finally:
        stretch.close()
    return f"The authorization was ended at {system.label}."


def _empty(credential: Credential) -> None:
    """Forgets the secrets. A renewal that is under way finds another generation and is dropped."""
    row = Credential.objects.get(pk=credential.pk)
    row.expires_at = row.refresh_expires_at = row.hard_expires_at = None
    credentials.fill(row, Secrets({}))
    row.generation += 1
    row.lease_until = row.retry_at = None
    row.save()
