"""Writing, proving and searching the audit trail.

Each entry's MAC covers its columns, the digest of its sealed body and the MAC before it, so a changed, removed or
inserted entry shows. One chain an organization keeps writers of different organizations out of each other's way.
"""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import json
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection as database
from django.db import transaction

from connector.models import AuditBody, AuditEntry, AuditHead, Organization
from connector.models.base import uuid7
from connector.pipeline import clock
from connector.pipeline.hashing import AUDIT, lasting_key

log = logging.getLogger(__name__)

CONNECTOR = "connector"


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """What one line says. `body` may quote records: it is sealed and searchable only by its event."""

    action: str
    actor: str = CONNECTOR
    connection: str = ""
    event: str = ""
    delivery: str = ""
    reason: str = ""
    channel: str = ""
    ts: str = ""
    attempts: int = 0
    body: dict[str, Any] | None = None


def append(organization: Organization | None, *entries: Entry) -> None:
    """Adds entries to the organization's chain, in the caller's transaction (or one of its own)."""
    if not entries:
        return
    chain = organization.slug if organization else ""
    with transaction.atomic():
        head = _locked_head(chain)
        rows, bodies = [], []
        for entry in entries:
            row, body = _row(chain, head, entry)
            rows.append(row)
            bodies += [body] if body else []
        AuditEntry.objects.bulk_create(rows)
        AuditBody.objects.bulk_create(bodies)
        head.save(update_fields=["number", "mac"])


def _locked_head(chain: str) -> AuditHead:
    heads = AuditHead.objects.all()
    if database.features.has_select_for_update:
        heads = heads.select_for_update()
    head = heads.filter(chain=chain).first()
    if head is None:
        AuditHead.objects.bulk_create([AuditHead(chain=chain)], ignore_conflicts=True)
        head = heads.get(chain=chain)
    return head


def _row(chain: str, head: AuditHead, entry: Entry) -> tuple[AuditEntry, AuditBody | None]:
    columns = {field.name: getattr(entry, field.name) for field in dataclasses.fields(entry) if field.name != "body"}
    columns["reason"] = columns["reason"][:200]
    row = AuditEntry(id=uuid7(), chain=chain, number=head.number + 1, at=clock.now(), **columns)
    body = None
    if entry.body:
        body = AuditBody(entry=row)
        body.content = entry.body
        row.digest = _digest(entry.body)
    row.mac = _mac(row, head.mac)
    head.number, head.mac = row.number, row.mac
    return row, body


def _digest(body: dict[str, Any]) -> str:
    text = json.dumps(body, sort_keys=True, default=str)
    return hmac.new(lasting_key(AUDIT), text.encode(), hashlib.sha256).hexdigest()


def _mac(row: AuditEntry, previous: str) -> str:
    text = json.dumps(
        [
            previous, str(row.id), row.chain, row.number, row.at.isoformat(), row.actor, row.action, row.connection,
            row.event, row.delivery, row.reason, row.channel, row.ts, row.attempts, row.digest,
        ]
    )  # fmt: skip
    return hmac.new(lasting_key(AUDIT), text.encode(), hashlib.sha256).hexdigest()


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """The first place where a chain does not hold."""

    chain: str
    number: int
    text: str


def verify() -> tuple[int, list[Finding]]:
    """Walks every chain: how many entries were proven, and the first finding of each broken chain."""
    proven, findings = 0, []
    chains = set(AuditHead.objects.values_list("chain", flat=True))
    chains |= set(AuditEntry.objects.values_list("chain", flat=True).distinct())
    for chain in sorted(chains):
        count, finding = _verify_chain(chain)
        proven += count
        findings += [finding] if finding else []
    broken = {finding.chain for finding in findings}
    return proven, findings + [finding for finding in _against_marks() if finding.chain not in broken]


def _verify_chain(chain: str) -> tuple[int, Finding | None]:
    previous, expected = "", 1
    rows = AuditEntry.objects.filter(chain=chain).select_related("body").order_by("number")
    for row in rows.iterator(chunk_size=1000):
        if row.number != expected:
            return expected - 1, Finding(chain, expected, f"entry {expected} is missing")
        if not hmac.compare_digest(row.mac, _mac(row, previous)):
            return expected - 1, Finding(chain, expected, f"entry {expected} ({row.pk}) was changed")
        if (body := getattr(row, "body", None)) is not None and _digest(body.content) != row.digest:
            return expected - 1, Finding(chain, expected, f"the body of entry {expected} ({row.pk}) was changed")
        previous, expected = row.mac, expected + 1
    head = AuditHead.objects.filter(chain=chain).first()
    if head is None or (head.number, head.mac) != (expected - 1, previous):
        return expected - 1, Finding(chain, expected, f"the chain ends at {expected - 1}, its head says otherwise")
    return expected - 1, None


def _marks_file() -> Path:
    return Path(settings.VAR_DIR) / "audit-marks.jsonl"


def mark() -> None:
    """Writes the end of every chain to the log and to a file outside the database, where `verify` looks for it.

    A chain whose tail was cut off, and its head with it, still shows against an older mark.
    """
    lines = [
        {"at": clock.now().isoformat(), "chain": head.chain, "number": head.number, "mac": head.mac}
        for head in AuditHead.objects.order_by("chain")
    ]
    for line in lines:
        log.info("audit chain %s ends at %s (%s)", line["chain"] or "(installation)", line["number"], line["mac"])
    with _marks_file().open("a") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)


def _against_marks() -> list[Finding]:
    """The first mark of each chain that the chain no longer bears out."""
    try:
        lines = [json.loads(line) for line in _marks_file().read_text().splitlines()]
    except FileNotFoundError:
        return []
    except ValueError:
        return [Finding("", 0, f"{_marks_file()} cannot be read")]
    findings: dict[str, Finding] = {}
    for line in lines:
        held = AuditEntry.objects.filter(chain=line["chain"], number=line["number"], mac=line["mac"]).exists()
        if line["number"] and not held:
            text = f"entry {line['number']} is not the one marked at {line['at']}"
            findings.setdefault(line["chain"], Finding(line["chain"], line["number"], text))
    return list(findings.values())


def export(organizations: Iterable[str] | None = None) -> Iterator[dict[str, Any]]:
    """Every entry, oldest first, with its body opened."""
    rows = AuditEntry.objects.select_related("body").order_by("id")
    if organizations is not None:
        rows = rows.filter(chain__in=list(organizations))
    for row in rows.iterator(chunk_size=1000):
        body = getattr(row, "body", None)
        yield (
            describe(row)
            | {"organization": row.chain, "number": row.number, "actor": row.actor, "mac": row.mac}
            | ({"body": body.content} if body is not None else {})
        )


def describe(row: AuditEntry) -> dict[str, Any]:
    """The public form of an entry (contract: `audit search`)."""
    return {
        "id": str(row.pk), "at": row.at.isoformat(), "connection": row.connection, "event": row.event,
        "delivery": row.delivery, "action": row.action, "reason": row.reason, "channel": row.channel, "ts": row.ts,
        "attempts": row.attempts,
    }  # fmt: skip
