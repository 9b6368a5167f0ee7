"""What went wrong, named after what to do next.

Vendor packages raise these and nothing else; the pipeline has one branch for each. The text of an
error is for people: it says what to do and never holds a secret or the content of a record.
"""

from __future__ import annotations

from collections.abc import Sequence


class VendorError(Exception):
    """Base of every verdict. `code` is the vendor's own code, kept for search and support."""

    def __init__(self, text: str, *, code: str = "", status: int = 0, detail: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.code = code
        self.status = status
        #: Vendor wording that may quote a record; stored sealed, never logged.
        self.detail = detail


class Retry(VendorError):
    """Definitely refused, and trying again later may help. `after` is in seconds, when the vendor said so.

    With `pause_connection` the vendor asked everyone who uses this connection to wait, not only this caller.
    """

    def __init__(
        self,
        text: str,
        *,
        code: str = "",
        status: int = 0,
        detail: str = "",
        after: float | None = None,
        pause_connection: bool = False,
    ) -> None:
        super().__init__(text, code=code, status=status, detail=detail)
        self.after = after
        self.pause_connection = pause_connection


class Unreachable(Retry):
    """The request was never sent: no name, no route, no TLS, or the connection was refused."""


class Refresh(VendorError):
    """The access token was refused: renew it once and try again."""


class Reauthorize(VendorError):
    """The vendor refuses the stored token, password or secret: a person must connect again."""


class Misconfigured(VendorError):
    """A right, scope, field, edition or setting is missing for the whole connection."""


class ParkTarget(VendorError):
    """This channel (or other target) cannot take messages until somebody mends it."""


class Reject(VendorError):
    """The other side refuses this very record or message for good."""


class Refuse(VendorError):
    """This record cannot be taken until somebody changes something here or there. `reasons` are all there are."""

    def __init__(self, reasons: Sequence[str], *, code: str = "", status: int = 0, detail: str = "") -> None:
        super().__init__("; ".join(reasons), code=code, status=status, detail=detail)
        self.reasons = tuple(reasons)


class NotYet(Retry):
    """Something else must be told to the destination first: the customer of an invoice, say.

    `needs` names it as the source does (record, ID): it is read and told, if it never was.
    """

    needs: tuple[str, str] | None = None


class Outdated(Retry):
    """What is told may have been read before it was overwritten at its source: that is to be asked once more."""


class Unknown(VendorError):
    """The request was sent and no usable answer came: it may or may not have happened."""


class Unreadable(VendorError):
    """An uncertain outcome cannot be looked up, for the reason given in the text."""


class BadSignature(Exception):
    """An inbound request whose signature is missing, wrong or too old."""


class Unsupported(Exception):
    """A system was asked for something that it cannot do."""
