"""FreshBooks as a source: signed callbacks and a daily-filtered sweep in, financial events out."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from connector.kernel.contracts import (
    AppSetting,
    Batch,
    Callback,
    Context,
    Field,
    Grant,
    Handshake,
    Name,
    Names,
    Notice,
    Parsed,
    Record,
    Request,
    Secrets,
    Subscriber,
)
from connector.kernel.errors import Misconfigured
from connector.kernel.events import FinancialEvent, Ref
from sources.freshbooks import callbacks, client, fetch, mapping, names, oauth, poll, webhook
from sources.freshbooks.entities import BY_RECORD

NOUNS = tuple(BY_RECORD)


class FreshBooks(Subscriber):
    """One business of FreshBooks per connection; its account is the accounting account's ID."""

    name = "freshbooks"
    label = "FreshBooks"
    env_prefix = "FRESHBOOKS"
    app_settings = (
        AppSetting("client_id"),
        AppSetting("client_secret", is_secret=True),
        AppSetting("api_url", default=client.API_URL, is_url=True),
        AppSetting("authorize_url", default=oauth.AUTHORIZE_URL, is_url=True),
    )
    credential_fields = (
        Field("access_token", "Access token", is_secret=True, help="Lives twelve hours; renewed by itself."),
        Field("refresh_token", "Refresh token", is_secret=True, help="Good once; always the latest is kept."),
        Field(
            "webhook_verifier",
            "Webhook verifier",
            is_secret=True,
            help="Only for a callback that was registered by hand to the connection's own address.",
        ),
    )
    settings_fields = (
        Field("business_id", "Business ID", help="The number of the business; the account is its accounting ID."),
        Field("subscribe", "Events", default=NOUNS, choices=NOUNS, help="What FreshBooks is asked to tell of."),
        Field(
            "settle_seconds",
            "Settle time",
            default=int(webhook.SETTLE_SECONDS),
            help="Seconds to wait before a record is read, so that a burst of changes becomes one message.",
        ),
        *(
            Field(f"{record}_url", f"Link to {record}s", default=pattern, help="{account} and {id} are filled in.")
            for record, pattern in mapping.LINKS.items()
        ),
    )
    #: FreshBooks publishes none. Two calls a second, with room for all callbacks of a new connection at once.
    limits = (("call", 120, 60.0),)
    refresh_margin = 3600
    records = frozenset(BY_RECORD)

    def check(self, ctx: Context) -> str:
        businesses, _ = oauth.read_businesses(client.Client(ctx).me())
        found = next((business for business in businesses if business.id == ctx.account), None)
        if found is None:
            raise Misconfigured(
                f"this FreshBooks log-in has no business with the account {ctx.account}: connect as somebody who has",
                code="wrong_account",
            )
        if missing := oauth.missing_scopes(ctx.secrets):
            raise Misconfigured(
                f"FreshBooks did not grant {', '.join(missing)}: tick them in the app's settings, then connect again",
                code="missing_scope",
            )
        return f"Connected to {found.name or 'a business without a name'}"

    def can_refresh(self, secrets: Secrets) -> bool:
        return bool(secrets.get("refresh_token"))

    def refresh(self, ctx: Context) -> Secrets:
        return oauth.refresh(ctx)

    def revoke(self, ctx: Context) -> None:
        oauth.revoke(ctx)

    def authorize_url(self, ctx: Context, *, state: str, redirect_uri: str) -> str:
        return oauth.authorize_url(ctx, state=state, redirect_uri=redirect_uri)

    def exchange(self, ctx: Context, *, query: Mapping[str, str], redirect_uri: str) -> Grant:
        return oauth.exchange(ctx, query=query, redirect_uri=redirect_uri)

    def verify(self, request: Request, app: Mapping[str, str], secrets: Secrets | None) -> None:
        webhook.verify(request, secrets)

    def parse(self, request: Request) -> Parsed:
        return webhook.parse(request)

    def wanted_events(self, settings: Mapping[str, Any]) -> tuple[str, ...]:
        return callbacks.wanted(self._nouns(settings))

    def callbacks(self, ctx: Context) -> list[Callback]:
        return callbacks.every(client.Client(ctx))

    def register(self, ctx: Context, event: str, uri: str) -> Callback:
        return callbacks.register(client.Client(ctx), event, uri)

    def confirm(self, ctx: Context, handshake: Handshake) -> Callback:
        return callbacks.confirm(client.Client(ctx), handshake)

    def remind(self, ctx: Context, callback_id: str) -> None:
        callbacks.remind(client.Client(ctx), callback_id)

    def unregister(self, ctx: Context, callback_id: str) -> None:
        callbacks.unregister(client.Client(ctx), callback_id)

    def poll(self, ctx: Context, cursor: Mapping[str, Any], *, since: dt.datetime | None = None) -> Iterator[Batch]:
        return poll.poll(ctx, cursor, since, self._nouns(ctx.settings))

    def fetch(self, ctx: Context, notices: Sequence[Notice]) -> Iterator[tuple[Notice, Record | Exception]]:
        return fetch.fetch(client.Client(ctx), notices)

    def references(self, record: Record) -> Iterable[Ref]:
        return mapping.references(record)

    def load_names(self, ctx: Context, wanted: Iterable[Ref]) -> Iterator[Name]:
        return names.load(client.Client(ctx), wanted)

    def to_event(self, ctx: Context, notice: Notice, record: Record, names: Names) -> FinancialEvent:
        links = {kind: str(ctx.settings.get(f"{kind}_url") or "") for kind in mapping.LINKS}
        return mapping.to_event(record, notice, names, account=ctx.account, links=links)

    def _nouns(self, settings: Mapping[str, Any]) -> list[str]:
        """The subscribed nouns that FreshBooks has."""
        chosen = settings.get("subscribe")
        return [noun for noun in NOUNS if not isinstance(chosen, list | tuple) or noun in chosen]
