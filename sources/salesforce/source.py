"""Salesforce as a source: change events and scheduled readings in, customers and orders out, and marks back on them."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from connector.kernel.contracts import (
    AppSetting,
    Batch,
    Context,
    Feedback,
    Field,
    Ignored,
    Names,
    Notice,
    Record,
    Secrets,
    Streamer,
)
from connector.kernel.events import FinancialEvent
from sources.salesforce import check, client, fetch, follow, layout, mapping, marks, oauth, poll

PUBSUB, POLLING = "pubsub", "polling"
_LABELS = {
    "department_field": "Field for the department",
    "class_field": "Field for the class",
    "customer_id_field": "Field for the customer's ID",
    "journal_entry_id_field": "Field for the journal entry's ID",
}


class Salesforce(Streamer):
    """One org per connection; its account is the org's ID."""

    name = "salesforce"
    label = "Salesforce"
    env_prefix = "SALESFORCE"
    app_settings = (
        AppSetting("api_version", default=client.API_VERSION),
        AppSetting("pubsub_endpoint", default="api.pubsub.salesforce.com:7443"),
        AppSetting("pubsub_plaintext", default="false"),
    )
    credential_fields = (
        Field("client_id", "Consumer key", is_required=True, help="Of the External Client App in Setup."),
        Field("client_secret", "Consumer secret", is_secret=True, is_required=True),
    )
    settings_fields = (
        Field(
            "instance_url",
            "My Domain address",
            is_required=True,
            help="Such as https://acme.my.salesforce.com (Setup > My Domain).",
        ),
        Field(
            "stream",
            "Changes",
            default=PUBSUB,
            choices=(PUBSUB, POLLING),
            help="polling is for editions without the Pub/Sub API.",
        ),
        Field("silence_seconds", "Longest silence", default=300, help="Seconds until a silent stream is opened again."),
        Field("currency", "Currency", help="ISO code of an org with a single currency; Salesforce does not tell it."),
        *(Field(key, _LABELS[key], default=default) for key, default in layout.CUSTOM.items()),
    )
    #: Salesforce counts by 24 hours (100,000 and more); calls are slowed down when four fifths of that are used.
    limits = (("call", 1500, 60.0), ("slow", 30, 60.0))
    refresh_every = 5400
    records = frozenset(layout.OBJECTS)
    route_settings = frozenset({"department_field", "class_field", "customer_id_field", "journal_entry_id_field"})
    takes_feedback = True

    def check(self, ctx: Context) -> str:
        return check.check(ctx)

    def can_refresh(self, secrets: Secrets) -> bool:
        return bool(secrets.get("client_id") and secrets.get("client_secret"))

    def refresh(self, ctx: Context) -> Secrets:
        return oauth.refresh(ctx)

    def revoke(self, ctx: Context) -> None:
        oauth.revoke(ctx)

    def topics(self, settings: Mapping[str, Any]) -> tuple[str, ...]:
        if settings.get("stream") == POLLING:
            return ()
        return tuple(f"/data/{obj}ChangeEvent" for obj in layout.RECORDS)

    def stream(self, ctx: Context, topic: str, position: Mapping[str, Any], stop: threading.Event) -> Iterator[Batch]:
        # grpcio starts threads of its own: only the process that listens may load it.
        from sources.salesforce import stream

        return stream.stream(ctx, topic, position, stop)

    def poll(self, ctx: Context, cursor: Mapping[str, Any], *, since: dt.datetime | None = None) -> Iterator[Batch]:
        return poll.poll(ctx, cursor, since)

    def fetch(self, ctx: Context, notices: Sequence[Notice]) -> Iterator[tuple[Notice, Record | Exception]]:
        return fetch.fetch(client.Client(ctx), notices, layout.names_in(ctx.settings))

    def to_event(self, ctx: Context, notice: Notice, record: Record, names: Names) -> FinancialEvent:
        return mapping.to_event(
            notice,
            record,
            layout.names_in(ctx.settings),
            base=str(ctx.settings.get("instance_url") or "").rstrip("/"),
            currency=str(ctx.settings.get("currency") or ""),
        )

    def follow(self, event: FinancialEvent, before: FinancialEvent | None) -> FinancialEvent | Ignored:
        return follow.follow(event, before)

    def note(self, ctx: Context, feedback: Feedback) -> None:
        marks.note(ctx, feedback)
