"""The stand-in's doors: sender, company, user, entity, and the sessions that getAPISession opens."""

from __future__ import annotations

import dataclasses
import datetime as dt
import itertools
import secrets

from lxml import etree

from sources.sage_intacct.standin_faults import ControlError, Error, FunctionError, SignInError
from sources.sage_intacct.standin_ledger import LedgerServer
from sources.sage_intacct.standin_values import Formatting

SESSION_LIFE = dt.timedelta(hours=2, minutes=10)
_WRONG_SENDER = Error("XL03000006", "Incorrect Intacct XML Partner ID or password.")
_WRONG_LOGIN = Error("XL03000006", "Sign-in information is incorrect")


@dataclasses.dataclass(slots=True)
class Session:
    """One session; `location` is its entity, empty at the top level, and `host` where its calls must go."""

    id: str
    location: str
    host: str
    ends: dt.datetime


@dataclasses.dataclass(frozen=True, slots=True)
class SignedIn:
    """Who a request's functions run for. `session` is empty under a login."""

    user: str
    company: str
    location: str
    session: str
    at: dt.datetime
    ends: dt.datetime


class SessionServer(LedgerServer):
    """The sign-in half of the stand-in, for one sender, one company and one user."""

    def __init__(
        self,
        sender_id: str,
        sender_password: str,
        company_id: str,
        user_id: str,
        user_password: str,
        *,
        host: str,
        port: int,
    ) -> None:
        super().__init__(host=host, port=port)
        self.sender = (sender_id, sender_password)
        self.company_id = company_id
        self.user = (user_id, user_password)
        #: The senders that the company lets in.
        self.authorized_senders = {sender_id}
        #: How long a session lives after its last call.
        self.session_life = SESSION_LIFE
        #: So many wrong log-ins in a row lock the user out, whatever the password then is.
        self.lockout_after = 5
        #: The endpoint that getAPISession tells; the stand-in's own when empty.
        self.endpoint = ""
        #: The user's own formats.
        self.formatting = Formatting()
        #: The objects that the user's role may not read.
        self.denied: set[str] = set()
        #: All log-ins, and those that were refused.
        self.logins = self.refused_logins = 0
        self.user_recordno = self.add_user(user_id)
        self._wrong_in_a_row = 0
        self._sessions: dict[str, Session] = {}
        self._requests_left: int | None = None
        self._serial = itertools.count(1)

    def deny(self, *names: str) -> None:
        """Takes the permission for these objects out of the user's role."""
        self.denied |= set(names)

    def permit(self, *names: str) -> None:
        """Gives the user's role back what `deny` took."""
        self.denied -= set(names)

    @property
    def is_locked_out(self) -> bool:
        return self._wrong_in_a_row >= self.lockout_after

    def unlock(self) -> None:
        """An administrator lets the user in again."""
        self._wrong_in_a_row = 0

    @property
    def sessions(self) -> list[str]:
        """The IDs of the living sessions."""
        with self.lock:
            return [session.id for session in self._sessions.values() if session.ends > self.now()]

    def expire_sessions(self, *, after: int = 0) -> None:
        """Ends all sessions, now or once so many further requests have been let in under one."""
        with self.lock:
            if after:
                self._requests_left = after
            else:
                self._sessions.clear()

    def open_session(self, location: str, host: str) -> Session:
        """A new session in this entity ("" is the top level). Raises `FunctionError` for an unknown one."""
        if location and not self._is_entity(location):
            text = f"{location} is not an entity of company {self.company_id}"
            raise FunctionError(Error("Get API Session Failed", text))
        # Sixty characters, as live ones have.
        id = f"fAkE{next(self._serial):04d}{secrets.token_hex(25)}.."
        self._sessions[id] = Session(id, location, host, self.now() + self.session_life)
        return self._sessions[id]

    def check_sender(self, request: etree._Element) -> None:
        """Raises `ControlError`."""
        if (request.findtext("control/senderid"), request.findtext("control/password")) != self.sender:
            raise ControlError(_WRONG_SENDER)
        policy = request.findtext("control/policyid")
        if policy:
            raise ControlError(Error("XL03000006", f"{policy} is not a valid transport policy."))

    def sign_in(self, request: etree._Element, host: str) -> SignedIn:
        """Who the request is from, by its login or its session. Raises `SignInError`."""
        sender = request.findtext("control/senderid", "")
        login = request.find("operation/authentication/login")
        if login is None:
            return self._resume(request.findtext("operation/authentication/sessionid", ""), sender, host)
        self.logins += 1
        user, company = login.findtext("userid") or "", login.findtext("companyid") or ""
        location = login.findtext("locationid") or ""
        if self.is_locked_out:
            self.violations.append("a log-in was tried for a user who is locked out")
        is_right = (
            (user, login.findtext("password")) == self.user
            and company == self.company_id
            and not login.findtext("clientid")
            and (not location or self._is_entity(location))
        )
        if not is_right or self.is_locked_out:
            self.refused_logins += 1
            self._wrong_in_a_row += 1
            raise SignInError(_WRONG_LOGIN, user=user, company=company)
        self._wrong_in_a_row = 0
        self._check_authorized(sender, user)
        return self._signed_in(location, "")

    def _resume(self, id: str, sender: str, host: str) -> SignedIn:
        session = self._sessions.get(id)
        if session is None or session.ends <= self.now():
            self._sessions.pop(id, None)
            raise SignInError(Error("XL03000006", f"Invalid session {id}"))
        if session.host != host:
            self.violations.append(f"a session of {session.host} was used at {host}")
        self._check_authorized(sender, self.user[0])
        session.ends = self.now() + self.session_life
        if self._requests_left is not None:
            self._requests_left -= 1
            if not self._requests_left:
                self._requests_left = None
                self._sessions.clear()
        return self._signed_in(session.location, id)

    def _signed_in(self, location: str, session: str) -> SignedIn:
        return SignedIn(
            self.user[0], self.company_id, location, session, self.now(), self.now() + self.session_life
        )  # fmt: skip

    def _check_authorized(self, sender: str, user: str) -> None:
        if sender in self.authorized_senders:
            return
        text = (
            f"The sender ID '{sender}' is not authorized to make Web Services requests to company ID"
            f" '{self.company_id}'."
        )
        error = Error(
            "XL03000006",
            text,
            "Invalid Web Services Authorization",
            "Contact the company administrator to grant Web Services authorization to this sender ID.",
        )
        raise SignInError(error, user=user, company=self.company_id)

    def _is_entity(self, location: str) -> bool:
        row = next((row for row in self.tables["LOCATION"].values() if row["LOCATIONID"] == location), None)
        return row is not None and bool(row["CURRENCY"])
