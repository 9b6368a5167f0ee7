"""Key rotation: everything moves to the first key, nothing newer is undone, and the old key can go."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.apps import apps
from django.core.management import CommandError, call_command
from django.db import connection

from connector import crypto
from connector.kernel.contracts import Secrets
from connector.models import AuditBody, AuditEntry, Connection, Credential, LastingKey, Organization, Route
from connector.pipeline import alerts, audit, credentials, hashing, rotation

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()


@pytest.fixture
def sealed(database: None, redis: str, settings: Any) -> Any:
    """An installation whose every kind of row is sealed under the old key."""
    settings.ENCRYPTION_KEYS = [OLD]
    hashing._lasting_key.cache_clear()
    organization = Organization.objects.create(slug="acme", name="Acme")
    for number in range(3):
        books = Connection.objects.create(
            organization=organization, slug=f"books-{number}", system="quickbooks_online", account=str(number)
        )
        secrets = Secrets({"access_token": f"fake-access-{number}", "refresh_token": f"fake-refresh-{number}"})
        credentials.store(books, secrets, actor="test", action="credential.stored")
    alerts.announce(books, "failed", "something")
    route = Route(organization=organization, name="r", source=books, sink=books, target="C1")
    route.conditions = {"parties": ["Acme"]}
    route.save()
    audit.append(organization, audit.Entry("test.sealed", body={"text": "told"}))
    yield settings
    hashing._lasting_key.cache_clear()


def rotate() -> tuple[int, dict[str, Any]]:
    output = io.StringIO()
    try:
        call_command("rotate_keys", "--json", stdout=output)
    except CommandError as error:
        return error.returncode, json.loads(output.getvalue())
    return 0, json.loads(output.getvalue())


def fingerprint(key: str) -> str:
    return next(iter(crypto._keyring((key,))))


def test_every_sealed_column_is_known() -> None:
    found = {f"{model.__name__}.{column}" for model, column in rotation.sealed_columns()}
    named = {
        f"{model.__name__}.{field.name}"
        for model in apps.get_app_config("connector").get_models()
        for field in model._meta.fields
        if field.name.endswith("_sealed")
    }
    assert found == named and "LastingKey.key_sealed" in found and "AuditBody.content_sealed" in found


def test_everything_moves_to_the_new_key_and_the_old_one_can_go(sealed: Any) -> None:
    entries = list(AuditEntry.objects.order_by("pk").values())
    count = sum(model.objects.exclude(**{column: ""}).count() for model, column in rotation.sealed_columns())  # type: ignore[attr-defined]
    sealed.ENCRYPTION_KEYS = [NEW, OLD]
    assert rotate() == (0, {"rotated": count, "skipped": 0, "remaining": {}, "broken": []})
    assert rotate() == (0, {"rotated": 0, "skipped": count, "remaining": {}, "broken": []})
    sealed.ENCRYPTION_KEYS = [NEW]
    hashing._lasting_key.cache_clear()
    assert [row.secrets["access_token"] for row in Credential.objects.order_by("pk")] == [
        "fake-access-0",
        "fake-access-1",
        "fake-access-2",
    ]
    assert Route.objects.get().conditions == {"parties": ["Acme"]}
    assert AuditBody.objects.order_by("-pk")[0].content == {"text": "told"}
    assert set(LastingKey.objects.values_list("name", flat=True)) == {"audit", "search"}
    assert list(AuditEntry.objects.order_by("pk").values())[: len(entries)] == entries
    proven, findings = audit.verify()
    assert (proven, findings) == (len(entries) + 1, [])


class Meanwhile:
    """Another worker that stores something right before our first write to a credential."""

    def __init__(self, act: Callable[[], None]) -> None:
        self._act: Callable[[], None] | None = act

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        act = self._act
        if act is not None and sql.startswith('UPDATE "connector_credential"'):
            self._act = None
            act()
        return execute(sql, params, many, context)


def _renew_first(keys: list[str], settings: Any) -> None:
    """A renewal by a process with those keys."""
    ours, settings.ENCRYPTION_KEYS = settings.ENCRYPTION_KEYS, keys
    row = Credential.objects.order_by("pk")[0]
    row.secrets = {"access_token": "fake-access-new"}
    Credential.objects.filter(pk=row.pk).update(secrets_sealed=row.secrets_sealed, generation=row.generation + 1)
    settings.ENCRYPTION_KEYS = ours


@pytest.mark.parametrize("keys", [[OLD, NEW], [NEW, OLD]], ids=["under the old key", "under the new key"])
def test_a_token_that_changes_meanwhile_is_never_undone(sealed: Any, keys: list[str]) -> None:
    sealed.ENCRYPTION_KEYS = [NEW, OLD]
    with connection.execute_wrapper(Meanwhile(lambda: _renew_first(keys, sealed))):
        code, result = rotate()
    assert (code, result["remaining"], result["broken"]) == (0, {}, [])
    sealed.ENCRYPTION_KEYS = [NEW]
    assert [row.secrets["access_token"] for row in Credential.objects.order_by("pk")] == [
        "fake-access-new",
        "fake-access-1",
        "fake-access-2",
    ]


def test_what_no_key_opens_is_named_without_its_value_and_the_rest_moves_on(sealed: Any) -> None:
    lost, stranger = Credential.objects.order_by("pk")[:2]
    Credential.objects.filter(pk=lost.pk).update(secrets_sealed=stranger.secrets_sealed)
    other = Fernet.generate_key().decode()
    sealed.ENCRYPTION_KEYS = [other]
    stranger.secrets = {"access_token": "fake"}
    stranger.save()
    sealed.ENCRYPTION_KEYS = [NEW, OLD]
    code, result = rotate()
    assert code == 1
    assert result["remaining"] == {fingerprint(OLD): 1, fingerprint(other): 1}
    place = "connector_credential|{}|secrets_sealed"
    assert result["broken"] == [
        f"{place.format(lost.pk)} cannot be opened: it was sealed for another place",
        f"{place.format(stranger.pk)} was sealed with key {fingerprint(other)}, which ENCRYPTION_KEYS does not hold",
    ]
