"""A strict stand-in for the Sage Intacct XML gateway: one company, its ledger, its payments, and its one user.

It refuses what the gateway refuses, at the level where the gateway refuses it: nearly always under HTTP 200. What a
client did that would go wrong without a word, or harm the company, is noted in `violations`. Written from the
vendor's documents, the SDKs' own fixtures and public recordings; it shares no code with the client.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import re
import time
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

from lxml import etree

from connector.kernel.standin import Answer, Call, Fault, json_answer
from sources.sage_intacct import standin_schema
from sources.sage_intacct.standin_envelope import Envelope, Result
from sources.sage_intacct.standin_faults import (
    ANSWERS,
    CONTENT_TYPE,
    ERRORS,
    ROLLED_BACK,
    ControlError,
    Error,
    FunctionError,
    SignInError,
    invalid_request,
    throttle,
)
from sources.sage_intacct.standin_functions import Functions
from sources.sage_intacct.standin_ledger import Entry, credit, debit
from sources.sage_intacct.standin_sessions import SessionServer, SignedIn

__all__ = ["PATH", "Entry", "IntacctStandIn", "Seen", "credit", "debit"]

PATH = "/ia/xml/xmlgw.phtml"
_TYPES = ("application/xml", "text/xml")
#: The faults whose work happens between receiving a request and answering it: they count as in flight.
_WITHIN = ("slow", "slow_after", "halve")
_FUNCTION = re.compile(rb"<function\b[^>]*>\s*<(\w+)\s*(?:/>|>(.*?)</function>)", re.DOTALL)
_OBJECT = re.compile(rb"<object>\s*(\w+)")
_CONTROL = r"/_control/"


@dataclasses.dataclass(frozen=True, slots=True)
class Seen:
    """One request that reached the gateway: its functions ("query:GLBATCH"), and how it signed in."""

    functions: tuple[str, ...]
    signed_in_by: str
    at: float


@dataclasses.dataclass(slots=True)
class FunctionFault:
    """The next `times` functions that the pattern finds ("query:APPYMT") end so. Status "" leaves the result out."""

    pattern: str
    errors: tuple[Error, ...]
    times: int
    status: str
    with_rows: bool


class IntacctStandIn(SessionServer):
    """The gateway for tests, the sandbox and the demo.

    Patterns of `fail` and `count` look at "POST /ia/xml/xmlgw.phtml query:GLBATCH query:APPYMT". Besides the kinds of
    `Fault` there is "halve": it works and sends half the answer as if that were all.
    """

    routes: ClassVar[tuple[tuple[str, str, str], ...]] = (
        ("POST", re.escape(PATH), "_gateway"),
        ("GET", r"/_control/seen", "_control_seen"),
        ("POST", r"/_control/(\w+)", "_control"),
    )

    def __init__(
        self,
        sender_id: str = "fake-sender",
        sender_password: str = "fake-sender-password",
        company_id: str = "ACME-COMPANY",
        user_id: str = "fake-user",
        user_password: str = "fake-user-password",
        *,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        super().__init__(sender_id, sender_password, company_id, user_id, user_password, host=host, port=port)
        #: All requests that reached the gateway, those with a scripted answer included.
        self.requests: collections.deque[Seen] = collections.deque(maxlen=20000)
        #: How often a request came while another was in flight, and how many there were at most.
        self.overlaps = self.most_in_flight = 0
        #: A request beyond so many at a time is refused with 429.
        self.most_at_once = 2
        self.functions = Functions(self)
        self._in_flight = 0
        self._delays: dict[int, Fault] = {}
        self._function_faults: list[FunctionFault] = []
        #: Function controlids of completed functions that were sent with uniqueid true.
        self._completed: set[str] = set()

    @property
    def gateway_url(self) -> str:
        """The whole URL of the gateway, for a client's settings."""
        return f"{self.url}{PATH}"

    # Faults and measures

    def fail_function(
        self,
        pattern: str,
        error: str = "processing",
        *,
        times: int = 1,
        status: str = "failure",
        with_rows: bool = False,
    ) -> None:
        """Makes the functions that the pattern finds ("query:APPYMT") end with an error of `ERRORS`.

        `with_rows` leaves their rows beside the error; status "success" is an error beside a success, and "" no result.
        """
        with self.lock:
            self._function_faults.append(FunctionFault(pattern, ERRORS[error], times, status, with_rows))

    def answer_badly(self, answer: str, pattern: str = "xmlgw", *, times: int = 1) -> None:
        """The next requests that the pattern finds get an answer of `ANSWERS` instead of work."""
        self.fail(pattern, "answer", times=times, answer=ANSWERS[answer]())

    def count(self, pattern: str) -> int:
        with self.lock:
            return sum(1 for call in self.calls if re.search(pattern, _described(call)))

    def clear(self) -> None:
        """Forgets requests, measures and faults; sessions and the ledger stay."""
        with self.lock:
            super().clear()
            self.requests.clear()
            self._function_faults.clear()
            self.overlaps = self.most_in_flight = 0
            self.logins = self.refused_logins = 0

    def take_fault(self, call: Call) -> Fault | None:
        if call.path.startswith(_CONTROL):
            return None
        with self.lock:
            described = _described(call)
            fault = next((one for one in self.faults if one.times > 0 and re.search(one.pattern, described)), None)
            if fault is None:
                return None
            fault.times -= 1
            if fault.kind in _WITHIN and (call.method, call.path) == ("POST", PATH):
                self._delays[id(call)] = fault
                return None
            if fault.kind in ("answer", "cut_before") and call.path == PATH:
                self.requests.append(_seen(call))
            return fault

    @contextlib.contextmanager
    def _flight(self) -> Iterator[bool]:
        """Counts a request as in flight; whether it may be."""
        with self.lock:
            self._in_flight += 1
            self.overlaps += self._in_flight > 1
            self.most_in_flight = max(self.most_in_flight, self._in_flight)
            is_allowed = self._in_flight <= self.most_at_once
        try:
            yield is_allowed
        finally:
            with self.lock:
                self._in_flight -= 1

    # The gateway

    def _gateway(self, call: Call, match: object) -> Answer:
        fault = self._delays.pop(id(call), None)
        kind = fault.kind if fault else ""
        with self._flight() as is_allowed:
            if fault and kind == "slow":
                time.sleep(fault.seconds)
            with self.lock:
                self.requests.append(_seen(call))
                answer = self._answer(call) if is_allowed else throttle()
            if fault and kind == "slow_after":
                time.sleep(fault.seconds)
        if kind == "halve":
            return dataclasses.replace(answer, body=answer.body[: len(answer.body) // 2])
        return answer

    def _answer(self, call: Call) -> Answer:
        """The request is validated before anything else; then come its sender, its sign-in and its functions."""
        if call.headers.get("content-type", "").partition(";")[0].strip().lower() not in _TYPES:
            return invalid_request()
        envelope = Envelope.begin(call.body)
        try:
            request = standin_schema.parse(call.body)
            self.check_sender(request)
            envelope.control()
            who = self.sign_in(request, call.headers.get("host", ""))
            envelope.results(who, self._run(request, who))
        except ControlError as error:
            envelope.control(error.errors)
        except SignInError as refused:
            envelope.refuse(refused.user, refused.company, refused.error)
        return Answer(200, envelope.encode(), content_type=CONTENT_TYPE)

    def _run(self, request: etree._Element, who: SignedIn) -> list[Result]:
        is_unique = request.findtext("control/uniqueid") != "false"
        functions = request.findall("operation/content/function")
        results = [self._one(function, who, is_unique=is_unique, count=len(functions)) for function in functions]
        if request.find("operation[@transaction='true']") is not None and any(
            result.status == "failure" for result in results
        ):
            for result in results:
                result.errors += (ROLLED_BACK,)
                if result.status == "success":
                    result.status, result.payload = "aborted", None
        return results

    def _one(self, function: etree._Element, who: SignedIn, *, is_unique: bool, count: int) -> Result:
        """One function and its result."""
        element, controlid = next(function.iterchildren("*")), function.get("controlid", "")
        result = Result(str(element.tag), controlid)
        try:
            if is_unique and controlid in self._completed:
                self.violations.append("a function was repeated without uniqueid false")
                raise FunctionError(
                    Error("XL03000004", f"The function with controlid {controlid} was already completed.")
                )
            result.payload = self._payload(element, who, count)
        except FunctionError as error:
            result.status, result.errors = "failure", error.errors
        fault = self._function_fault(element)
        if fault:
            result.status, result.errors = fault.status, fault.errors
            result.payload = result.payload if fault.with_rows or fault.status == "success" else None
        if is_unique and result.status == "success":
            self._completed.add(controlid)
        return result

    def _payload(self, element: etree._Element, who: SignedIn, count: int) -> etree._Element:
        if element.tag != "getAPISession":
            return self.functions.run(element, who)
        if count > 1:
            self.violations.append("getAPISession was not alone in its request")
            raise FunctionError(Error("Get API Session Failed", "getAPISession must be the only function."))
        endpoint = self.endpoint or self.gateway_url
        return self.functions.session(element, who, endpoint.split("/")[2], endpoint)

    def _function_fault(self, element: etree._Element) -> FunctionFault | None:
        name = f"{element.tag}:{element.findtext('object', '')}"
        fault = next((one for one in self._function_faults if one.times > 0 and re.search(one.pattern, name)), None)
        if fault:
            fault.times -= 1
        return fault

    # Control from another process

    def _control_seen(self, call: Call, match: object) -> Answer:
        with self.lock:
            requests = [dataclasses.asdict(seen) for seen in self.requests]
            measures = {
                name: getattr(self, name) for name in ("overlaps", "most_in_flight", "logins", "refused_logins")
            }
            return json_answer({"requests": requests, "violations": self.violations, **measures})

    def _control(self, call: Call, match: re.Match[str]) -> Answer:
        asked = call.json() if call.body else {}
        lines = [(debit if line.pop("side") == 1 else credit)(**line) for line in asked.pop("lines", [])]
        actions: dict[str, Callable[[], Any]] = {
            "batch": lambda: self.post_batch(lines=lines, **asked),
            "vendor": lambda: self.add_vendor(**asked),
            "set_vendor": lambda: self.set_vendor(**asked),
            "payment": lambda: self.add_payment(**asked),
            "payment_state": lambda: self.set_payment_state(**asked),
            "touch": lambda: self.touch(**asked),
            "expire_sessions": lambda: self.expire_sessions(**asked),
            "fail_function": lambda: self.fail_function(**asked),
            "fault": lambda: self.answer_badly(**asked) if "answer" in asked else self.fail(**asked),
        }
        if match[1] not in actions:
            return Answer(404)
        try:
            return json_answer({"result": actions[match[1]]()})
        except (LookupError, TypeError, ValueError) as error:
            return json_answer({"error": f"{type(error).__name__}: {error}"}, status=400)


def _described(call: Call) -> str:
    return " ".join([call.method, call.path, *_named(call.body)])


def _named(body: bytes) -> list[str]:
    """The functions of a request as texts, out of its bytes, which may be anything."""
    found = []
    for match in _FUNCTION.finditer(body):
        target = _OBJECT.search(match[2] or b"")
        found.append(match[1].decode() + (f":{target[1].decode()}" if target else ""))
    return found


def _seen(call: Call) -> Seen:
    how = next((name for name in ("login", "sessionid") if f"<{name}>".encode() in call.body), "")
    return Seen(tuple(_named(call.body)), how, call.at)
