"""A stand-in for the QuickBooks Web Connector: the SOAP client on a user's Windows machine, with QuickBooks behind it.

`run_cycle` plays one update as documented in Intuit's Web Connector Programmer's Guide, or goes wrong in one of the
ways of `Faults`; `violations` says what the real Web Connector or QuickBooks would not have put up with.
"""

from __future__ import annotations

import collections
import dataclasses
import threading
import time
from collections.abc import Callable, Mapping
from typing import Self, TypedDict, Unpack

from sources.quickbooks_desktop import standin_soap as soap
from sources.quickbooks_desktop.standin_company import FILE_ID, OWNER_ID, Company
from sources.quickbooks_desktop.standin_grammar import HResult
from sources.quickbooks_desktop.standin_qbxml import QuickBooks
from sources.quickbooks_desktop.standin_qwc import read_qwc

__all__ = ["FILE_ID", "OWNER_ID", "Company", "Cycle", "Faults", "HResult", "QuickBooks", "Step", "WebConnector"]

#: The Web Connector's own error numbers, by the call that failed.
CODES = {
    "authenticate": "QBWC1012",
    "clientVersion": "QBWC1036",
    "sendRequestXML": "QBWC1041",
    "receiveResponseXML": "QBWC1042",
    "getLastError": "QBWC1043",
    "closeConnection": "QBWC1044",
    "connectionError": "QBWC1045",
}
VERSION = "34.0.10008.96"
#: A service that never comes to an end.
_MOST_ROUNDS = 5000
_MOST_PAUSES = 3
_MOST_RETRIES = 2


class Faults(TypedDict, total=False):
    """How a cycle goes wrong. Numbers count from 1 within the cycle.

    `password`: typed in wrongly. `problem`: QuickBooks cannot be opened. `company`: another file is open.
    `stop_after`: nothing more after that call; its answer is not read. `lose_response`: the answer to that
    receiveResponseXML is ignored, and the session dropped. `resend`: that receiveResponseXML is delivered twice.
    `ticket`: used instead of the one that authenticate gave. `receive_first`: receiveResponseXML before any
    sendRequestXML. `close`: False leaves out closeConnection. `fails`: ProcessRequest raises at that request.
    `mangle`: turns an answer of QuickBooks into what arrives. `pause`: seconds between two calls.
    """

    password: str
    problem: HResult
    company: Company
    stop_after: int
    lose_response: int
    resend: int
    ticket: str
    receive_first: bool
    close: bool
    fails: Mapping[int, HResult]
    mangle: Callable[[str], str]
    pause: float


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """One call. `result` is None when no usable answer came or none was read."""

    operation: str
    arguments: Mapping[str, str] = dataclasses.field(repr=False)
    result: soap.Result | None
    seconds: float


@dataclasses.dataclass(frozen=True, slots=True)
class Cycle:
    """What one update came to.

    `outcome`: "done", "none", "nvu", "busy", "error" (the service's own text in `text`), "connection" (QuickBooks
    could not be opened), "failed" (a call got no usable answer), "interrupted" or "lost".
    """

    outcome: str
    text: str
    steps: tuple[Step, ...]
    seconds: float

    @property
    def calls(self) -> tuple[str, ...]:
        return tuple(step.operation for step in self.steps)

    @property
    def requests(self) -> tuple[str, ...]:
        """The qbXML that the service sent, in order."""
        return tuple(str(step.result) for step in self.steps if step.operation == "sendRequestXML" and step.result)

    @property
    def percents(self) -> tuple[int, ...]:
        found = (step.result for step in self.steps if step.operation == "receiveResponseXML")
        return tuple(result for result in found if isinstance(result, int))

    @property
    def ticket(self) -> str:
        found = next((step.result for step in self.steps if step.operation == "authenticate"), None)
        return found[0] if isinstance(found, tuple) and found else ""

    def results(self, operation: str) -> tuple[soap.Result | None, ...]:
        return tuple(step.result for step in self.steps if step.operation == operation)


class _End(Exception):
    """The update is over."""

    def __init__(self, outcome: str, text: str = "") -> None:
        super().__init__(outcome)
        self.outcome = outcome
        self.text = text


class WebConnector:
    """One application of one Web Connector: `url`, `username` and the IDs come from the .qwc file."""

    def __init__(
        self,
        url: str,
        username: str,
        password: str,
        company: Company,
        *,
        file_id: str = FILE_ID,
        owner_id: str = OWNER_ID,
    ) -> None:
        self.url = url
        self.username = username
        self.password = password
        self.quickbooks = QuickBooks(company)
        self.file_id = file_id
        self.owner_id = owner_id
        self.timeout = soap.TIMEOUT_SECONDS
        #: Told the operation before each call; for those who pull plugs.
        self.before_call: Callable[[str], None] = lambda operation: None
        self.cycles: collections.deque[Cycle] = collections.deque(maxlen=1000)
        #: What the coming cycles of `poll_every` suffer, one each.
        self.coming: collections.deque[Faults] = collections.deque()
        self._violations: list[str] = []
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @classmethod
    def from_qwc(cls, text: str, password: str, company: Company, *, url: str = "") -> Self:
        """As the user adds a .qwc file and types the password; `url` replaces its AppURL. Raises `QwcError`."""
        qwc = read_qwc(text)
        url = url or qwc["AppURL"]
        return cls(url, qwc["UserName"], password, company, file_id=qwc["FileID"], owner_id=qwc["OwnerID"])

    @property
    def violations(self) -> list[str]:
        """Everything that the service did wrong so far, towards the Web Connector or QuickBooks."""
        return [*self._violations, *self.quickbooks.violations]

    def note(self, violation: str) -> None:
        """Adds a violation."""
        self._violations.append(violation)

    def run_cycle(self, **faults: Unpack[Faults]) -> Cycle:
        """Plays one update; never raises for what the service does. One at a time, as in the Web Connector."""
        with self._lock:
            own = self.quickbooks.company
            self.quickbooks.company = faults.get("company", own)
            try:
                cycle = _Update(self, faults).run()
            finally:
                self.quickbooks.company = own
            self.cycles.append(cycle)
            return cycle

    def poll_every(self, seconds: float) -> None:
        """Updates now and then every so many seconds, in a thread of its own, until `stop`."""
        self._stop.clear()
        self._thread = threading.Thread(target=self._poll, args=(seconds,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends the polling once the running update is over."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(self.timeout)

    def _poll(self, seconds: float) -> None:
        while not self._stop.is_set():
            began = time.monotonic()
            self.run_cycle(**(self.coming.popleft() if self.coming else {}))
            self._stop.wait(max(0.0, began + seconds - time.monotonic()))


class _Update:
    """One update: the calls, in the order that the guide prescribes."""

    def __init__(self, connector: WebConnector, faults: Faults) -> None:
        self.connector = connector
        self.quickbooks = connector.quickbooks
        self.faults = faults
        self.steps: list[Step] = []
        self.ticket = ""
        self.processed = 0
        self.percent = 0

    def run(self) -> Cycle:
        began = time.monotonic()
        try:
            self._play()
        except _End as end:
            outcome, text = end.outcome, end.text
        finally:
            self.quickbooks.end()
        return Cycle(outcome, text, tuple(self.steps), time.monotonic() - began)

    def _play(self) -> None:
        self._ask("serverVersion", {}, is_needed=False)
        warning = str(self._ask("clientVersion", {"strVersion": VERSION}))
        if warning[:2] in ("E:", "O:"):
            raise _End("error", warning)
        if warning and not warning.startswith("W:"):
            self._wrong(f"QBWC1046 clientVersion: wrong syntax {warning!r}")
        self._open(self._authenticate())
        if self.faults.get("receive_first"):
            self._receive("", HResult("", ""))
        hcp = self._questions()
        for _ in range(_MOST_ROUNDS):
            if self._round(hcp) == 100:
                self._close("done")
            hcp = ""
        self._wrong(f"the service found no end after {_MOST_ROUNDS} requests")
        self._close("error", "no end")

    def _authenticate(self) -> str:
        """The company file to open."""
        password = self.faults.get("password", self.connector.password)
        found = self._ask("authenticate", {"strUserName": self.connector.username, "strPassword": password})
        strings = found if isinstance(found, tuple) else ()
        if not 2 <= len(strings) <= 4:
            self._wrong(f"authenticate returned {len(strings)} strings")
            raise _End("failed", "QBWC1012 Index Out Of Range")
        self.ticket = self.faults.get("ticket", strings[0])
        if not all(text == "" or text.isdecimal() for text in strings[2:]):
            self._wrong(f"authenticate: {strings[2:]} are not seconds")
        word = strings[1].lower()
        if word in ("none", "nvu", "busy"):
            self._close(word)
        if not strings[0]:
            self._wrong("authenticate gave work without a ticket")
        return strings[1]

    def _open(self, path: str) -> None:
        """BeginSession, which the service may let us try again. Ends the update when QuickBooks cannot be opened."""
        for _ in range(_MOST_RETRIES + 1):
            try:
                if "problem" in self.faults:
                    raise self.faults["problem"]
                self.quickbooks.begin(path)
            except HResult as problem:
                asked = {"ticket": self.ticket, "hresult": problem.code, "message": problem.message}
                path = str(self._ask("connectionError", asked))
                if path.lower() == "done":
                    raise _End("connection", problem.message) from None
                continue
            return
        self._wrong("connectionError was answered with another try more than twice")
        raise _End("connection", "retried in vain")

    def _questions(self) -> str:
        """Writes our FileID into the company file, which knows none yet, and asks what the first request tells."""
        company = self.quickbooks.company
        company.extensions.setdefault((self.connector.owner_id, "FileID"), self.connector.file_id)
        return self.quickbooks.process(
            '<?xml version="1.0"?><?qbxml version="6.0"?><QBXML><QBXMLMsgsRq onError="continueOnError">'
            '<HostQueryRq requestID="0" /><CompanyQueryRq requestID="1"><OwnerID>'
            f'{self.connector.owner_id}</OwnerID></CompanyQueryRq><PreferencesQueryRq requestID="2" />'
            "</QBXMLMsgsRq></QBXML>"
        )

    def _round(self, hcp: str) -> int:
        """One request and its answer; the percentage."""
        for _ in range(_MOST_PAUSES):
            request = self._send(hcp)
            if request not in ("", "NoOp"):
                return self._receive(*self._process(request))
            self._last_error()
        self._wrong("getLastError said NoOp again and again")
        self._close("error", "NoOp")
        return 100

    def _send(self, hcp: str) -> str:
        major, _, minor = self.quickbooks.versions[-1].partition(".")
        asked = {
            "ticket": self.ticket,
            "strHCPResponse": hcp,
            "strCompanyFileName": self.quickbooks.company.path,
            "qbXMLCountry": self.quickbooks.country,
            "qbXMLMajorVers": major,
            "qbXMLMinorVers": minor,
        }
        return str(self._ask("sendRequestXML", asked))

    def _process(self, request: str) -> tuple[str, HResult]:
        self.processed += 1
        try:
            if self.processed in self.faults.get("fails", {}):
                raise self.faults["fails"][self.processed]
            answer = self.quickbooks.process(request)
        except HResult as problem:
            return "", problem
        return self.faults.get("mangle", str)(answer), HResult("", "")

    def _receive(self, answer: str, problem: HResult) -> int:
        message = problem.message if problem.code else ""
        asked = {"ticket": self.ticket, "response": answer, "hresult": problem.code, "message": message}
        number = self._ask("receiveResponseXML", asked)
        if self.processed and self.processed == self.faults.get("lose_response"):
            raise _End("lost")
        if self.processed and self.processed == self.faults.get("resend"):
            again = self._ask("receiveResponseXML", asked)
            if again != number:
                self._wrong(f"a repeated receiveResponseXML was answered {again} instead of {number}")
        percent = number if isinstance(number, int) else -1
        if percent < 0:
            self._last_error(is_final=True)
        if percent > 100 or percent < self.percent:
            self._wrong(f"receiveResponseXML: {percent} percent after {self.percent}")
        self.percent = percent
        return min(percent, 100)

    def _last_error(self, *, is_final: bool = False) -> None:
        """Ends the update with the service's text; "NoOp" goes on after a pause that is left out here."""
        text = str(self._ask("getLastError", {"ticket": self.ticket}))
        if text == "NoOp" and not is_final:
            return
        if text in ("", "Interactive mode"):
            self._wrong(f"getLastError: {text!r}")
        self._close("error", text)

    def _close(self, outcome: str, text: str = "") -> None:
        if self.faults.get("close", True):
            told = str(self._ask("closeConnection", {"ticket": self.ticket}))
            text = text or told
        raise _End(outcome, text)

    def _ask(self, operation: str, arguments: Mapping[str, str], *, is_needed: bool = True) -> soap.Result:
        """One call. Ends the update when there is no usable answer and the call is needed."""
        if self.steps and self.faults.get("pause"):
            time.sleep(self.faults["pause"])
        self.connector.before_call(operation)
        began = time.monotonic()
        result, failure = None, ""
        try:
            result = soap.call(self.connector.url, operation, arguments, timeout=self.connector.timeout)
        except soap.Unreachable as error:
            failure = str(error)
        except soap.BadReply as error:
            failure = str(error)
            self._wrong(f"{operation}: {failure}")
        is_last = len(self.steps) + 1 == self.faults.get("stop_after")
        self.steps.append(Step(operation, arguments, None if is_last else result, time.monotonic() - began))
        if is_last:
            raise _End("interrupted")
        if result is None and is_needed:
            raise _End("failed", f"{CODES[operation]} {operation}: {failure}")
        return "" if result is None else result

    def _wrong(self, violation: str) -> None:
        self.connector.note(violation)
