"""One reading: both reports in the same requests, each with its own cursor.

Request A asks for all that changed; request B for the lines of it, and once a day for the user's time format; a third
only for what seems out of balance. A report whose part failed is not told and keeps its cursor; the other is told.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from connector.kernel.contracts import Batch, Context, Reported
from connector.kernel.errors import Misconfigured, Reject, Retry
from sources.sage_intacct import formatting as formats
from sources.sage_intacct import payments, postings, session
from sources.sage_intacct.cursor import Progress
from sources.sage_intacct.formatting import Formatting
from sources.sage_intacct.payments import Payments
from sources.sage_intacct.postings import Postings
from sources.sage_intacct.queries import read_by_name, read_user_formatting
from sources.sage_intacct.reading import Gateway, Read

REPORTS = (postings.REPORT, payments.REPORT)
#: The furthest that a first reading looks back: a year.
MOST_HOURS = 8784
Stream = Postings | Payments
Cursors = Mapping[str, Mapping[str, Any]]


def report(ctx: Context, cursors: Cursors, since: dt.datetime | None) -> Iterator[Reported]:
    """The wanted reports, read to their ends before the first is yielded. See `Reporter.report`."""
    session.current(ctx)  # a session that is missing is opened first: it tells the server's time
    now = session.server_now(ctx)
    streams = {name: _stream(ctx, name, Progress.of(cursors[name]), since, now) for name in REPORTS if name in cursors}
    if not streams:
        return
    held = formats.from_states(cursors.values())
    gateway = Gateway(ctx)
    formatting = _read(ctx, gateway, streams, held, now)
    for name, stream in streams.items():
        yield from _reported(ctx, name, stream, formatting, now)


def _stream(ctx: Context, name: str, progress: Progress, since: dt.datetime | None, now: dt.datetime) -> Stream:
    lookback, tolerance = settings_of(ctx)
    window = progress.window(now, lookback, since)
    if name == payments.REPORT:
        return Payments(ctx.account, progress, window)
    return Postings(ctx.account, progress, window, tolerance)


def settings_of(ctx: Context) -> tuple[dt.timedelta, Decimal]:
    """How far the first reading looks back, and what difference is no alarm. Raises `Misconfigured`."""
    hours, tolerance = _number(ctx, "lookback_hours", "24"), _number(ctx, "balance_tolerance", "0")
    if hours > MOST_HOURS:
        raise Misconfigured(f"the setting lookback_hours must be a number from 0 to {MOST_HOURS}")
    return dt.timedelta(hours=float(hours)), tolerance


def _number(ctx: Context, name: str, default: str) -> Decimal:
    try:
        found = Decimal(str(ctx.settings.get(name, default) or "0"))
    except InvalidOperation:
        found = Decimal(-1)
    if not found.is_finite() or not 0 <= found < 10**6:
        raise Misconfigured(f"the setting {name} must be a number that is not negative")
    return found


def _read(
    ctx: Context, gateway: Gateway, streams: Mapping[str, Stream], held: Formatting | None, now: dt.datetime
) -> Formatting | None:
    """Makes the requests; how times are to be read, None where none came and it is not known."""
    user = user_read(ctx) if held is None or held.is_due(now) else None
    firsts = [read for stream in streams.values() for read in stream.first(held)]
    gateway.read([*firsts, *([user] if user else [])])
    seconds = [read for stream in streams.values() for read in _followers(stream, held)]
    # Without a row there is no time to be read, and the question can wait for one.
    is_needed = bool(seconds) or (held is None and any(read.rows for read in firsts))
    wanted = formatting_read(user) if is_needed else None
    gateway.read([*([wanted] if wanted else []), *seconds])
    formatting = _formatting(user, wanted, held, now, is_needed=is_needed)
    gateway.read([read for stream in streams.values() for read in _doubts(stream, formatting or formats.assumed(now))])
    return formatting


def _followers(stream: Stream, held: Formatting | None) -> list[Read]:
    try:
        return stream.second(held)
    except Reject as error:  # a row that cannot be read
        stream.heads.fail(error)
        return []


def _doubts(stream: Stream, formatting: Formatting) -> list[Read]:
    try:
        return stream.third(formatting) if isinstance(stream, Postings) else []
    except Reject as error:
        stream.heads.fail(error)
        return []


def _reported(
    ctx: Context, name: str, stream: Stream, formatting: Formatting | None, now: dt.datetime
) -> Iterator[Reported]:
    """What one report came to. Its cursor goes with what it tells, and only when all of it was read."""
    tells_nothing = ctx.settings.get("tell_empty_runs") == "yes"
    failure = stream.failure()
    if failure is None:
        try:
            found = tuple(stream.records(formatting or formats.assumed(now), tells_nothing=tells_nothing))
        except Reject as error:
            failure = error
    if failure is not None:
        yield Reported(name, failure=failure)
        return
    yield Reported(name, Batch(records=found, cursor=stream.progress.state(stream.window, formatting)))
    if isinstance(stream, Payments) and (missing := stream.unchecked()):
        yield Reported(name, failure=missing)


def user_read(ctx: Context) -> Read:
    """Which number the user has."""
    verb = read_by_name("USERINFO", ctx.secrets.get("user_id"), ("RECORDNO",))
    return Read("user", "USERINFO", verb=verb)


def formatting_read(user: Read | None) -> Read | None:
    """How times look to that user; None where the number is not known."""
    key = user.rows[0].get("RECORDNO", "") if user is not None and user.rows else ""
    return Read("fmt", "USERINFO", verb=read_user_formatting(key)) if key else None


def _formatting(
    user: Read | None, wanted: Read | None, held: Formatting | None, now: dt.datetime, *, is_needed: bool
) -> Formatting | None:
    """The user's formatting as just read, else as held, else assumed. Raises `Misconfigured` for an unusable one."""
    if user is None or not is_needed:
        return held
    if wanted is not None and wanted.rows:
        return formats.from_row(wanted.rows[0], now)
    failure = wanted.failure if wanted else user.failure
    if isinstance(failure, Retry):
        if held is None:
            raise failure
        return held
    return formats.assumed(now)
