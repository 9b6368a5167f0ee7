"""The two contracts that every vendor package fulfils, and the values that cross them.

A source turns wire into values, a sink turns values into wire. Neither sees a table, a task or a lock;
what they need of the outside comes in a frozen `Context`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Protocol

from connector.kernel.errors import Unsupported, VendorError
from connector.kernel.events import FinancialEvent, Money, Ref
from connector.kernel.http import Http


@dataclasses.dataclass(frozen=True, slots=True)
class Field:
    """One credential or setting of a connection: builds the admin form and checks the configuration file."""

    name: str
    label: str
    is_secret: bool = False
    is_required: bool = False
    default: Any = ""
    help: str = ""
    choices: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class AppSetting:
    """One environment variable of the whole installation: `{env_prefix}_{NAME}`."""

    name: str
    default: str = ""
    is_secret: bool = False
    is_url: bool = False


@dataclasses.dataclass(frozen=True, slots=True, repr=False)
class Secrets:
    """The opened credentials of a connection. Its repr shows names only."""

    values: Mapping[str, str]
    expires_at: dt.datetime | None = None
    refresh_expires_at: dt.datetime | None = None
    hard_expires_at: dt.datetime | None = None

    def get(self, name: str) -> str:
        return self.values.get(name, "")

    def __repr__(self) -> str:
        return f"Secrets({', '.join(sorted(self.values))})"


@dataclasses.dataclass(frozen=True, slots=True, repr=False)
class Context:
    """What a vendor package may use for one connection."""

    connection: str
    account: str
    settings: Mapping[str, Any]
    #: The installation's own settings for this system, by lower-case name (client_id, api_url, …).
    app: Mapping[str, str]
    secrets: Secrets
    http: Http
    now: Callable[[], dt.datetime]
    #: The organization's time zone (IANA name), for vendors whose times have no offset.
    timezone: str = "UTC"
    #: Where this system sends the browser back to after consent.
    redirect_uri: str = ""
    #: Takes one call out of the vendor's allowance; raises `Retry` when it is used up for longer than a moment.
    spend: Callable[[str], None] = lambda kind: None
    #: Notes units that the vendor bills apart from calls: the unit, and how many.
    meter: Callable[[str, int], None] = lambda unit, count: None
    #: Held around a call to a vendor that takes one at a time for an account: nobody else calls meanwhile, in any
    #: worker. Raises `Retry` when the turn does not come.
    turn: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext

    def __repr__(self) -> str:
        return f"Context({self.connection})"


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """An inbound HTTP request as received. Header names are lower case. `args` come from the URL path."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    received_at: dt.datetime
    args: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class Notice:
    """ "Something changed": one fact from outside, before the record itself was read.

    Two notices with the same `delivery_key` or the same `change_key` are the same notice. A notice that could not be
    understood carries the reason in `problem` and is stored as a failed event; one that no integration knows carries
    it in `unknown` and is stored as ignored. `raw` is the vendor's own text of it, stored sealed.
    """

    account: str
    record: str = ""
    record_id: str = ""
    operation: str = ""
    occurred_at: dt.datetime | None = None
    delivery_key: str = ""
    change_key: str = ""
    raw: str = ""
    problem: str = ""
    unknown: str = ""
    #: Seconds to wait before the record is read, so that a burst of notices about it ends in one state. A connection's
    #: setting of this name goes before.
    settle_seconds: float = 0.0


@dataclasses.dataclass(frozen=True, slots=True)
class Signal:
    """Something that a sink's system says about itself rather than about a record.

    `kind`: "revoked" (the token of the account is dead), "closed" / "opened" (the target cannot / can take messages
    again), "renamed". `key` is the same on a redelivery.
    """

    account: str
    kind: str
    key: str
    at: dt.datetime
    target: str = ""
    text: str = ""
    raw: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Reply:
    """What a handshake must be answered with, instead of the plain 200."""

    body: str = ""
    content_type: str = "text/plain"
    status: int = 200


@dataclasses.dataclass(frozen=True, slots=True, repr=False)
class Handshake:
    """A vendor's first word to a callback: the secret it will sign with. Nothing proves it until the vendor says yes.

    `id` is the callback's ID at the vendor.
    """

    id: str
    secret: str


@dataclasses.dataclass(frozen=True, slots=True)
class Parsed:
    """All that one inbound request said."""

    notices: tuple[Notice, ...] = ()
    signals: tuple[Signal, ...] = ()
    handshakes: tuple[Handshake, ...] = ()
    reply: Reply | None = None
    #: The vendor asks to be read now, not at the next scheduled time.
    is_wake: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Record:
    """The vendor's full object for one notice.

    `version` orders the states of one record: compared as a tuple, a greater one is newer. A second part that starts
    with `#` orders nothing: it only tells states of one number apart. `body` is JSON.
    `is_gone` means the vendor no longer has it. `created_at` and `updated_at` are the vendor's own times. `asked_at` is
    ours, just before it was asked for; the pipeline fills it in.
    """

    record: str
    record_id: str
    body: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    version: tuple[int, str] = (0, "")
    is_gone: bool = False
    created_at: dt.datetime | None = None
    updated_at: dt.datetime | None = None
    asked_at: dt.datetime | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Batch:
    """Some changes found by a poll, and how far it got: stored together or not at all.

    `records` are full objects that need no further fetch; `notices` those that do.
    """

    notices: tuple[Notice, ...] = ()
    records: tuple[tuple[Notice, Record], ...] = ()
    cursor: Mapping[str, Any] | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Reported:
    """What one report of a reading came to: a batch with the report's own cursor, or why it was not read whole."""

    report: str
    batch: Batch = Batch()
    failure: VendorError | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Ignored:
    """Nothing to tell, for the reason given."""

    reason: str


@dataclasses.dataclass(frozen=True, slots=True)
class Feedback:
    """What became of a record at a destination, for the source to note on the record.

    `status`: "posted", "reversed", "created", "refused". `linked_id` is the other record's ID ("" leaves it alone),
    `settings` are the route's (they name the fields to write).
    """

    record: str
    record_id: str
    status: str
    linked_id: str = ""
    text: str = ""
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class Name:
    """What people call a thing in the source. `extra` is further text a message may need (an item's account)."""

    kind: str
    id: str
    name: str
    is_active: bool = True
    extra: Mapping[str, str] = dataclasses.field(default_factory=dict)


#: Looks a name up: (kind, id, what the vendor's record itself called it) -> what to show.
Names = Callable[[str, str, str], str]


@dataclasses.dataclass(frozen=True, slots=True)
class Account:
    """One company, business or workspace that a log-in owns."""

    id: str
    name: str = ""
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class Grant:
    """What an authorization brought: the secrets, and the account or accounts they open."""

    secrets: Secrets
    accounts: tuple[Account, ...]
    #: Who logged in, when the vendor says: accounts of one person share one credential.
    owner: str = ""


class System:
    """What a source and a sink share."""

    name: ClassVar[str]
    label: ClassVar[str]
    env_prefix: ClassVar[str]
    app_settings: ClassVar[tuple[AppSetting, ...]] = ()
    credential_fields: ClassVar[tuple[Field, ...]] = ()
    settings_fields: ClassVar[tuple[Field, ...]] = ()
    #: Fields of a route's `settings` when this system is its destination.
    route_fields: ClassVar[tuple[Field, ...]] = ()
    #: Names of `settings_fields` that a route from or to the connection may set in its place.
    route_settings: ClassVar[frozenset[str]] = frozenset()
    #: Calls allowed per connection, as (kind, calls, seconds) rows of the vendor's own limits.
    limits: ClassVar[tuple[tuple[str, int, float], ...]] = ()
    #: Seconds before its end at which an access token is renewed.
    refresh_margin: ClassVar[int] = 300
    #: Renew at least this often (seconds), used or not; 0 = only when needed.
    refresh_every: ClassVar[int] = 0
    #: The customer's program that calls us, where we cannot call: its last contact is what a ping tells.
    caller: ClassVar[str] = ""
    #: What the vendor meters by the month ("" = calls). The setting `monthly_allowance` says how much it includes.
    metered: ClassVar[str] = ""
    #: How many times `HTTP_TIMEOUT_SECONDS` one call may take.
    patience: ClassVar[int] = 1

    def check(self, ctx: Context) -> str:
        """The ping: one harmless call with the stored credentials; a sentence about what was found."""
        raise Unsupported(f"{self.label} cannot be pinged")

    def can_refresh(self, secrets: Secrets) -> bool:
        """Whether these secrets hold something that `refresh` can renew."""
        return False

    def refresh(self, ctx: Context) -> Secrets:
        """New secrets with their expiry. Raises `Reauthorize` when a person must act."""
        raise Unsupported(f"{self.label} has no token to renew")

    def revoke(self, ctx: Context) -> None:
        """Ends the authorization at the vendor."""
        raise Unsupported(f"{self.label} has no authorization to revoke")

    def authorize_url(self, ctx: Context, *, state: str, redirect_uri: str) -> str:
        """Where to send the browser of the person who connects."""
        raise Unsupported(f"{self.label} is not connected by OAuth")

    def exchange(self, ctx: Context, *, query: Mapping[str, str], redirect_uri: str) -> Grant:
        """Turns the callback's query into secrets. Raises `Reject` with a sentence for the person on refusal."""
        raise Unsupported(f"{self.label} is not connected by OAuth")

    def verify(self, request: Request, app: Mapping[str, str], secrets: Secrets | None) -> None:
        """Raises `BadSignature`. Looks at bytes and headers only. `secrets` belong to the connection in the URL."""
        raise Unsupported(f"{self.label} does not call us")

    def parse(self, request: Request) -> Parsed:
        """Everything the (verified) request says. Never raises for what a vendor or stranger may send."""
        raise Unsupported(f"{self.label} does not call us")


class Source(System):
    """An accounting system that says what happened."""

    records: ClassVar[frozenset[str]] = frozenset()
    #: Whether `fetch` can read a record again; else what was handed over is all there is.
    can_reread: ClassVar[bool] = True
    #: Whether `note` writes what became of a record back to it.
    takes_feedback: ClassVar[bool] = False

    def poll(self, ctx: Context, cursor: Mapping[str, Any], *, since: dt.datetime | None = None) -> Iterator[Batch]:
        """Changes after the cursor (or since the given time), oldest first, in batches that may be stored apart."""
        if self.caller:
            raise Unsupported(f"{self.label} cannot be polled from here: its {self.caller} calls when it is due")
        raise Unsupported(f"{self.label} cannot be polled")

    def fetch(self, ctx: Context, notices: Sequence[Notice]) -> Iterator[tuple[Notice, Record | Exception]]:
        """The full record of every notice, in as few calls as the vendor's batching allows.

        A failure of one record is yielded in its place; a failure of all is raised.
        """
        raise Unsupported(f"{self.label} has no records")

    def references(self, record: Record) -> Iterable[Ref]:
        """The things this record names by ID, so that their names can be looked up before mapping."""
        return ()

    def load_names(self, ctx: Context, wanted: Iterable[Ref]) -> Iterator[Name]:
        """Names for the wanted references, and any others that came with the same calls."""
        return iter(())

    def to_event(self, ctx: Context, notice: Notice, record: Record, names: Names) -> FinancialEvent:
        """The neutral form. Pure: no call leaves here. Raises `values.BadValue` for a record that cannot be read.

        It decides the operation too: a gone record is `deleted`, an inactive one `deleted`, a voided one `voided`.
        """
        raise Unsupported(f"{self.label} has no records")

    def follow(self, event: FinancialEvent, before: FinancialEvent | None) -> FinancialEvent | Ignored:
        """The event in the light of what was last told of its record. Pure."""
        return event

    def note(self, ctx: Context, feedback: Feedback) -> None:
        """Writes feedback on the record; the same feedback twice leaves one mark."""
        raise Unsupported(f"{self.label} takes no feedback")


class Reporter(Source):
    """A source that is read by schedule: each report sums up what happened since its own cursor."""

    reports: ClassVar[tuple[str, ...]]

    def report(
        self, ctx: Context, cursors: Mapping[str, Mapping[str, Any]], *, since: dt.datetime | None = None
    ) -> Iterator[Reported]:
        """The reports named by `cursors` (an empty cursor: never read), in as few calls as possible.

        With `since` they go back to that time at least; what the cursor says was told is not told again. One report
        may be yielded in several parts, in the order in which they are to be stored.
        """
        raise NotImplementedError


class Streamer(Source):
    """A source that tells of changes on streams, one a topic."""

    def topics(self, settings: Mapping[str, Any]) -> tuple[str, ...]:
        """The streams to listen to; none where the account is only polled."""
        raise NotImplementedError

    def stream(self, ctx: Context, topic: str, position: Mapping[str, Any], stop: threading.Event) -> Iterator[Batch]:
        """Changes after the position, as they come. Each batch's cursor is the position after it; a batch may be empty.

        What was missed (a position that is lost or too old) is read in another way first. Ends when the vendor closes
        the stream or `stop` is set. Raises a verdict when it breaks.
        """
        raise NotImplementedError


@dataclasses.dataclass(frozen=True, slots=True)
class Callback:
    """One registration at a vendor: which event is told to which address, and whether the vendor trusts it yet."""

    id: str
    event: str
    uri: str
    is_verified: bool


class Subscriber(Source):
    """A source that tells of changes only to callbacks registered there, one address and one secret each.

    A request to a callback's address is verified with the secrets `webhook_verifier`: all that may be meant, a line
    each.
    """

    def wanted_events(self, settings: Mapping[str, Any]) -> tuple[str, ...]:
        """The vendor's names of the events that this connection should be told of."""
        raise NotImplementedError

    def callbacks(self, ctx: Context) -> list[Callback]:
        """Every callback registered for the account, whoever did it."""
        raise NotImplementedError

    def register(self, ctx: Context, event: str, uri: str) -> Callback:
        """Registers one. The vendor's handshake may come before this returns."""
        raise NotImplementedError

    def confirm(self, ctx: Context, handshake: Handshake) -> Callback:
        """Sends a handshake's secret back; the callback as the vendor then sees it. Raises `Reject` for a wrong one."""
        raise NotImplementedError

    def remind(self, ctx: Context, callback_id: str) -> None:
        """Asks for the handshake once more."""
        raise NotImplementedError

    def unregister(self, ctx: Context, callback_id: str) -> None:
        """Ends one; it may be gone already."""
        raise NotImplementedError


@dataclasses.dataclass(frozen=True, slots=True)
class Caller:
    """A connection as the service sees it that the customer's program calls.

    `wanted` are the record types that its routes ask for, `cursors` how far each of its queries got. `pace_from` is
    the start of its last run, if that one ended well.
    """

    ctx: Context
    created_at: dt.datetime
    is_active: bool = True
    wanted: frozenset[str] = frozenset()
    cursors: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    pace_from: dt.datetime | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class RunState:
    """One conversation with that program. `position` is the service's own, as JSON; `step` counts its changes."""

    id: str
    caller: Caller
    started_at: dt.datetime
    position: Mapping[str, Any]
    step: int = 0
    is_ended: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class RunStep:
    """What one call of a conversation changed; stored as a whole or not at all.

    `cursors` replaces those named. `is_done` and `broken` end the run, well or not. `alerts` are sentences for people.
    """

    position: Mapping[str, Any]
    batch: Batch = Batch()
    cursors: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    client: str = ""
    is_done: bool = False
    broken: VendorError | None = None
    alerts: tuple[str, ...] = ()


class Overtaken(Exception):
    """Another call of the same conversation was quicker: read the run again."""


class Intake(Protocol):
    """What the pipeline offers to a service that customers' programs call in conversations."""

    def caller(self, name: str) -> Caller | None:
        """The connection of that name, also one that is switched off; None for an unknown one."""

    def note_call(self, name: str, kind: str) -> None:
        """A call that opened no run: "refused" (the password is wrong) or "early" (nothing to do yet)."""

    def open_run(self, name: str, ticket: str, position: Mapping[str, Any], client: str) -> None:
        """Begins the connection's one live run; an older one is over."""

    def run(self, ticket: str) -> RunState | None:
        """The run of the ticket, also an ended one; None for an unknown ticket."""

    def known(self, run: RunState, records: Iterable[tuple[str, str]]) -> frozenset[tuple[str, str]]:
        """Those of the records (type, ID) that earlier events told of."""

    def advance(self, run: RunState, step: RunStep) -> None:
        """Stores the step. Raises `Overtaken`, with nothing stored, when the run has moved on since it was read."""


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """What became of one thing a reader sees: `before` and `after` are text, money, a date, or None for nothing."""

    label: str
    before: str | Money | dt.date | None
    after: str | Money | dt.date | None


@dataclasses.dataclass(frozen=True, slots=True)
class Style:
    """How a destination wants its messages: everything that rendering depends on besides the event."""

    organization: str = ""
    source: str = ""
    locale: str = "en_US"
    timezone: str = "UTC"
    mention: str = ""
    #: Sentences to add, such as "Late: …" or "Possible repeat".
    notes: tuple[str, ...] = ()
    #: What an update changed since the version last posted.
    changes: tuple[Change, ...] = ()
    #: The route's own settings for this destination, defaults filled in.
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class Message:
    """A rendered message: `text` is complete by itself, `body` is the sink's own richer form (JSON)."""

    text: str
    body: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class Link:
    """A record of the source and its counterpart at the destination.

    The row is shared by both directions between two connections; `state` (JSON) is agreed on between their sinks.
    """

    record: str
    source_id: str
    sink_id: str
    state: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class Watched:
    """A record at the destination that only the connector may change, in the version in which it left it."""

    record: str
    record_id: str
    number: str = ""
    version: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Posting:
    """One message on its way to one target. `key` is the ID by which it can be found again there."""

    key: str
    target: str
    message: Message
    thread: str = ""
    #: The record's counterpart at the destination, where the two are kept in step.
    link: Link | None = None
    #: When what the message tells was asked for at its source; None where that is not known.
    asked_at: dt.datetime | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Receipt:
    """What the vendor said of a message that arrived: its ID there (Slack's `ts`) and its place."""

    id: str
    target: str = ""
    #: Warnings of the vendor that came with its yes.
    warnings: tuple[str, ...] = ()
    #: More than one copy was found; `id` is the oldest.
    is_repeated: bool = False
    #: The counterpart as it is from now on; stored with the delivery.
    link: Link | None = None
    #: What the source is to note on its records.
    feedback: tuple[Feedback, ...] = ()
    #: What it wrote and nobody else may change: an edit there is told.
    watched: tuple[Watched, ...] = ()


class Sink(System):
    """Where events are told."""

    #: Whether messages to one target are held to `SLACK_SPACING_SECONDS`.
    is_paced: ClassVar[bool] = False
    #: Whether a route names the target (a channel); else `target_of` does.
    has_targets: ClassVar[bool] = True
    #: How many looks must miss an uncertain post before it is surely absent.
    looks: ClassVar[int] = 2
    #: The events it can be told; None = all.
    takes: ClassVar[frozenset[str] | None] = None

    def route_problems(self, events: frozenset[str], settings: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
        """What is wrong with a route's settings, by setting, for those of `takes` that the route asks for."""
        return ()

    def target_of(self, event: FinancialEvent) -> str:
        """Where the event goes when the route does not say. Events of one target are told in their order."""
        return f"{event.record}:{event.record_id}"

    def render(self, event: FinancialEvent, style: Style) -> Message:
        """The message for an event. Pure: preview and replay depend on it."""
        raise Unsupported(f"{self.label} takes no messages")

    def render_digest(self, events: Sequence[tuple[FinancialEvent, Style]]) -> Message:
        """One message that names every event. Pure."""
        raise Unsupported(f"{self.label} takes no digests")

    def post(self, ctx: Context, posting: Posting) -> Receipt:
        """One try. Raises `errors.*` only; `Unknown` when it may have arrived all the same."""
        raise Unsupported(f"{self.label} takes no messages")

    def reconcile(self, ctx: Context, posting: Posting, since: dt.datetime) -> Receipt | None:
        """Did that uncertain post land? None when it surely did not; raises `Unreadable` when it cannot be seen."""
        raise Unsupported(f"{self.label} cannot be read back")

    def prepare(self, ctx: Context, target: str) -> str:
        """Gets a target ready for messages (joins the channel); what it found, for people."""
        return ""
