"""The eight calls of a conversation with the Web Connector (Programmer's Guide 2.0, chapter "Web service").

Every call answers in the protocol's own terms: a fault ends the update without a word to the user.
"""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import logging
import threading
import time
import uuid
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from typing import TypeVar

from connector.kernel.contracts import Batch, Caller, Intake, Overtaken, RunState, RunStep
from connector.kernel.errors import Misconfigured, Retry, VendorError
from connector.kernel.values import BadValue, rows, text
from sources.quickbooks_desktop import cycle, qbxml, verdicts
from sources.quickbooks_desktop.cycle import Position
from sources.quickbooks_desktop.qwc import OWNER_ID

log = logging.getLogger(__name__)
T = TypeVar("T")

VERSION = "1.0"
#: Seconds by which a call may be early: schedules are not that exact.
EARLY = 15
#: Wrong passwords of one user name and address, and of one user name, within these seconds.
FAILURES = 10
FAILURES_OF_NAME = 100
FAILURE_SECONDS = 300.0
FAILED = -1

_UNKNOWN = "This session is over or unknown: the next update begins a new one."
_TROUBLE = "The connector has trouble of its own just now: the next update tries again."
_NOT_A_PASSWORD = uuid.uuid4().hex


class Throttle:
    """Counts failures by key, in this process's memory, and forgets them with time."""

    def __init__(self, seconds: float = FAILURE_SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds, self._clock = seconds, clock
        self._lock = threading.Lock()
        self._failures: OrderedDict[tuple[str, ...], deque[float]] = OrderedDict()

    def count(self, *key: str) -> int:
        """How many failures of the key are recent."""
        with self._lock:
            times = self._failures.get(key, deque())
            while times and times[0] < self._clock() - self._seconds:
                times.popleft()
            return len(times)

    def note(self, *key: str) -> None:
        """One more failure of the key."""
        with self._lock:
            self._failures.setdefault(key, deque(maxlen=2 * FAILURES_OF_NAME)).append(self._clock())
            self._failures.move_to_end(key)
            while len(self._failures) > 10000:
                self._failures.popitem(last=False)


class Sessions:
    """The conversations of all connections. It keeps nothing of them itself but failures and client versions."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._throttle = Throttle()
        self._lock = threading.Lock()
        self._versions: OrderedDict[str, str] = OrderedDict()

    # --- before there is a ticket ------------------------------------------------------------------------------------

    def server_version(self) -> str:
        return VERSION

    def client_version(self, address: str, version: str) -> str:
        """Every version is welcome; it is remembered for the status page."""
        with self._lock:
            self._versions[address] = version[:40]
            while len(self._versions) > 1000:
                self._versions.popitem(last=False)
        return ""

    def authenticate(self, address: str, user: str, password: str) -> list[str]:
        """A ticket, and the company file to open; or `nvu`, `none`, `busy`."""
        try:
            return self._authenticate(address, user, password)
        except Exception:
            log.exception("a call of the Web Connector could not be let in")
            return [_new_ticket(), "busy"]

    def _authenticate(self, address: str, user: str, password: str) -> list[str]:
        caller = self._let_in(address, user, password)
        if caller is None:
            return ["", "nvu"]
        ticket = _new_ticket()
        if not caller.is_active or _is_early(caller):
            self._intake.note_call(user, "early")
            return [ticket, "none"]
        version = self._versions.get(address, "")
        client = f"Web Connector {version}" if version else ""
        position = dataclasses.replace(cycle.begin(caller), client=client)
        self._intake.open_run(user, ticket, position.as_json(), client)
        return [ticket, str(caller.ctx.settings.get("company_file") or "")]

    def _let_in(self, address: str, user: str, password: str) -> Caller | None:
        """The caller whose password this is. Unknown names take as long as known ones."""
        is_shut = self._throttle.count(user, address) >= FAILURES or self._throttle.count(user) >= FAILURES_OF_NAME
        if is_shut:
            log.warning("too many wrong passwords: the Web Connector is not let in for a while")
            return None
        caller = self._intake.caller(user)
        stored = caller.ctx.secrets.get("password") if caller else ""
        is_right = hmac.compare_digest(_digest(stored or _NOT_A_PASSWORD), _digest(password)) and bool(stored)
        if is_right:
            return caller
        self._throttle.note(user, address)
        self._throttle.note(user)
        if caller is not None:
            self._intake.note_call(user, "refused")
        return None

    # --- with a ticket -----------------------------------------------------------------------------------------------

    def send_request(self, ticket: str, company: str, major: str, minor: str) -> str:
        """The next request, or nothing, with the reason in `get_last_error`."""
        return self._settled(lambda: self._send(ticket, company, major, minor), "")

    def _send(self, ticket: str, company: str, major: str, minor: str) -> str:
        run = self._live(ticket)
        if run is None:
            return ""
        position = cycle.position_of(run)
        if position.is_finished:
            return ""
        client = ""
        if company.strip():
            product, wrong = _inspect(company, run.caller)
            client = ", ".join(filter(None, (position.client, product)))
            if wrong is not None:
                self._break(run, position, wrong)
                return ""
        version = qbxml.version_of(major, minor)
        if version is None:
            old = "This QuickBooks is too old: the connector needs qbXML 8.0 (QuickBooks 2009) or later."
            self._break(run, position, Misconfigured(old, code="too_old"))
            return ""
        position, document = cycle.request(
            dataclasses.replace(position, version=version, error=""), run.caller, run.caller.ctx.now()
        )
        self._intake.advance(run, RunStep(position.as_json(), client=client))
        return document

    def receive_response(self, ticket: str, response: str, hresult: str, message: str) -> int:
        """The percentage done, 100 at the end, or a negative number with the reason in `get_last_error`."""
        return self._settled(lambda: self._receive(ticket, response, hresult, message), FAILED)

    def _receive(self, ticket: str, response: str, hresult: str, message: str) -> int:
        run = self._intake.run(ticket)
        if run is None:
            return FAILED
        position = cycle.position_of(run)
        digest = hashlib.sha256("\x1f".join((response, hresult, message)).encode("utf-8", "replace")).hexdigest()
        # Two requests may fail in the same words; two answers with content are one answer delivered twice.
        if digest == position.digest and (response.strip() or not position.is_sent):
            return position.number
        if run.is_ended:
            return FAILED
        if not position.is_sent:
            said = "An answer came although nothing was asked: the next update begins anew."
            self._intake.advance(run, RunStep(dataclasses.replace(position, error=said).as_json()))
            return FAILED
        if hresult.strip():
            return self._failed(run, position, digest, hresult, message)
        try:
            answers = qbxml.parse(response)
            if not answers:
                raise BadValue("the answer holds no query of ours")
        except BadValue as error:
            return self._unreadable(run, position, digest, error)
        batch, newest = cycle.read(answers, run, position, lambda wanted: self._intake.known(run, wanted))
        outcome = cycle.absorb(run, position, answers, newest, run.caller.ctx.now())
        return self._advance(run, position.number, outcome, digest, batch)

    def _failed(self, run: RunState, position: Position, digest: str, hresult: str, message: str) -> int:
        """An HRESULT: our own query was bad, or the cycle is over."""
        if verdicts.hresult_of(hresult) == verdicts.BAD_REQUEST:
            text = "QuickBooks could not read our query: report it, with the versions of both programs"
            ruling = verdicts.Ruling(verdicts.Action.TELL, verdicts.BAD_REQUEST, text)
            outcome = cycle.refuse(run, position, ruling, run.caller.ctx.now())
            return self._advance(run, position.number, outcome, digest)
        return self._break(run, position, verdicts.of_hresult(hresult, message), digest)

    def _unreadable(self, run: RunState, position: Position, digest: str, error: BadValue) -> int:
        """A cut-off or broken answer ends the cycle; the next one asks for this last."""
        name = position.entity.name
        verdict = Retry(
            f"The answer to the {name} query cannot be read ({error}): the next update asks again.", code="unreadable"
        )
        late = {name: {**run.caller.cursors.get(name, {}), "is_late": True}}
        return self._break(run, position, verdict, digest, cursors=late)

    def _advance(
        self, run: RunState, shown: int, outcome: cycle.Outcome, digest: str, batch: Batch | None = None
    ) -> int:
        # A query that begins anew takes nothing back from what the user was shown.
        number = max(outcome.position.percent, shown)
        position = dataclasses.replace(outcome.position, digest=digest, number=number)
        step = RunStep(
            position.as_json(),
            batch=batch or Batch(),
            cursors=outcome.cursors,
            is_done=position.is_finished,
            alerts=outcome.alerts,
        )
        self._intake.advance(run, step)
        return number

    def _break(
        self,
        run: RunState,
        position: Position,
        error: VendorError,
        digest: str = "",
        cursors: Mapping[str, Mapping[str, object]] | None = None,
    ) -> int:
        """Ends the cycle with what people are told; nothing of the query at hand counts as read."""
        ended = dataclasses.replace(position, is_sent=False, digest=digest, number=FAILED, error=error.text)
        self._intake.advance(run, RunStep(ended.as_json(), cursors=cursors or {}, broken=error))
        return FAILED

    def connection_error(self, ticket: str, hresult: str, message: str) -> str:
        """QuickBooks could not be opened. Always `done`: anything else would make the Web Connector try for ever."""

        def work() -> str:
            run = self._live(ticket)
            if run is not None:
                self._break(run, cycle.position_of(run), verdicts.of_hresult(hresult, message))
            return "done"

        return self._settled(work, "done")

    def get_last_error(self, ticket: str) -> str:
        """A sentence for the Web Connector's status column and log."""

        def work() -> str:
            run = self._intake.run(ticket)
            if run is None:
                return _UNKNOWN
            position = cycle.position_of(run)
            if position.error:
                return position.error
            if position.is_finished:
                return "Nothing is left to ask for."
            return _UNKNOWN if run.is_ended else "No error."

        return self._settled(work, _TROUBLE)

    def close_connection(self, ticket: str) -> str:
        """The end of the session, also of one that ended before."""

        def work() -> str:
            run = self._intake.run(ticket)
            if run is None:
                return "OK"
            position = cycle.position_of(run)
            if not run.is_ended:
                said = "The session was closed before its end: the next update begins anew."
                self._break(run, position, Retry(said, code="interrupted"), position.digest)
            if position.problems:
                return f"Finished, but not all was read. {'; '.join(position.problems)}"
            return position.error or "OK"

        return self._settled(work, "OK")

    def _live(self, ticket: str) -> RunState | None:
        run = self._intake.run(ticket)
        return run if run is not None and not run.is_ended else None

    def _settled(self, work: Callable[[], T], otherwise: T) -> T:
        """The work's answer; read anew when another call of the session was quicker."""
        try:
            for _ in range(3):
                try:
                    return work()
                except Overtaken:
                    continue
        except Exception:
            log.exception("a call of the Web Connector could not be served")
        return otherwise


def _new_ticket() -> str:
    return f"{{{str(uuid.uuid4()).upper()}}}"


def _digest(value: str) -> bytes:
    return hashlib.sha256(value.encode("utf-8", "replace")).digest()


def _is_early(caller: Caller) -> bool:
    """Whether the last good cycle began less than `poll_minutes` ago."""
    if caller.pace_from is None:
        return False
    minutes = caller.ctx.settings.get("poll_minutes")
    wait = (minutes if isinstance(minutes, int) else 0) * 60 - EARLY
    return (caller.ctx.now() - caller.pace_from).total_seconds() < wait


def _inspect(company: str, caller: Caller) -> tuple[str, VendorError | None]:
    """Which QuickBooks this is, and what is wrong with its company file. A description in odd form is let pass."""
    try:
        found = qbxml.company_of(company)
        product = text(found, "HostRet", "ProductName")
        marks = [row for row in rows(found, "CompanyRet", "DataExtRet") if text(row, "DataExtName") == "FileID"]
        files = {_guid(row, "DataExtValue") for row in marks if _guid(row, "OwnerID") == OWNER_ID.strip("{}").upper()}
    except BadValue:
        log.warning("the Web Connector describes QuickBooks in a way that cannot be read")
        return "", None
    if files and caller.ctx.account.strip("{} ").upper() not in files:
        said = "A wrong company file is open: it belongs to another connection. Open the right one in QuickBooks."
        return product, Misconfigured(said, code="wrong_file")
    return product, None


def _guid(row: Mapping[str, object], name: str) -> str:
    return text(row, name).strip("{} ").upper()
