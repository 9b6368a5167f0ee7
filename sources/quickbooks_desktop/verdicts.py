"""QuickBooks' own error codes (SDK status codes, HRESULTs of its request processor), and what to do about each."""

from __future__ import annotations

import dataclasses
import enum

from connector.kernel.errors import Misconfigured, Retry, Unreachable, VendorError


class Action(enum.Enum):
    """What becomes of a query that QuickBooks refused; the other queries of the cycle go on in any case."""

    #: Ask again in the next cycle.
    RETRY = enum.auto()
    #: The iterator is gone: begin the query anew from the same cursor.
    AFRESH = enum.auto()
    #: Ask again in the next cycle, and tell people once.
    TELL = enum.auto()


#: statusCode -> what to do, and what people are told. Codes that are not listed are told by their number.
STATUS: dict[int, tuple[Action, str]] = {
    1000: (Action.RETRY, "QuickBooks had an internal error"),
    3170: (Action.RETRY, "the record is in use in QuickBooks"),
    3175: (Action.RETRY, "the record is in use in QuickBooks"),
    3176: (Action.RETRY, "the record is locked in QuickBooks"),
    3180: (Action.RETRY, "QuickBooks could not lock its list"),
    3250: (Action.TELL, "this feature is not enabled in this edition or company file: enable it, or leave it"),
    3260: (Action.TELL, "the QuickBooks user lacks the permission: let the QuickBooks admin grant it"),
    3261: (Action.TELL, "the application lacks the permission: let the QuickBooks admin grant it in the preferences"),
    3391: (Action.AFRESH, "the iterator is no longer valid"),
}

#: HRESULT -> the verdict on the whole cycle, and what to do.
_UNREACHABLE = {
    "0x80040401": "QuickBooks cannot be reached on that PC: start it and open the company file.",
    "0x80040402": "QuickBooks had an unexpected error: see qbsdklog.txt on that PC.",
    "0x80040403": "The company file could not be opened: open it in QuickBooks, or mend the company_file setting.",
    "0x80040408": "QuickBooks could not be started: start it and open the company file.",
    "0x8004040A": "Another company file is open: open the right one, or close QuickBooks.",
    "0x8004040D": "QuickBooks ended the session: the next cycle begins anew.",
    "0x80040410": "The company file is open in another mode (single or multi user): switch it in QuickBooks.",
    "0x80040414": "A dialog is open in QuickBooks: close it.",
    "0x80040416": "QuickBooks is not running: start it, or set company_file and allow automatic log-in.",
    "0x80040417": "No company file is open: open it, or set company_file and allow automatic log-in.",
    "0x80040422": "The company file is in single-user mode and in use by another application.",
    "0x80040424": "QuickBooks is still starting: the next cycle tries again.",
}
_MISCONFIGURED = {
    "0x80040406": "The company file's name is wrong: mend the company_file setting.",
    "0x80040409": "The company file belongs to another version of QuickBooks: open it in that version.",
    "0x80040418": "The application was never authorized for this file: as Admin in single-user mode, open QuickBooks, "
    "run the Web Connector and allow it.",
    "0x8004041A": "The application has no permission for this file: allow it in Preferences, Integrated Applications.",
    "0x8004041D": "Automatic log-in is not allowed: allow it in Preferences, Integrated Applications.",
    "0x80040420": "Access was denied in QuickBooks: let the QuickBooks admin allow the application.",
}
#: QuickBooks could not read our query: the one HRESULT that concerns a query and not the cycle.
BAD_REQUEST = "0x80040400"


@dataclasses.dataclass(frozen=True, slots=True)
class Ruling:
    """What a refused query comes to."""

    action: Action
    code: str
    text: str


def of_status(status: int) -> Ruling:
    """The ruling for a statusCode of severity Error."""
    action, text = STATUS.get(status, (Action.TELL, f"QuickBooks refuses it with status {status}"))
    return Ruling(action, str(status), text)


def hresult_of(text: str) -> str:
    """An HRESULT in its usual form, whichever way it was written; other text is left alone."""
    try:
        return f"0x{int(text.strip(), 0) & 0xFFFFFFFF:08X}"
    except ValueError:
        return text.strip()[:40]


def of_hresult(text: str, message: str) -> VendorError:
    """The verdict on a cycle that ended in an HRESULT. The vendor's message goes in the detail."""
    code = hresult_of(text)
    if code in _MISCONFIGURED:
        return Misconfigured(_MISCONFIGURED[code], code=code, detail=message[:1000])
    if code in _UNREACHABLE:
        return Unreachable(_UNREACHABLE[code], code=code, detail=message[:1000])
    said = "QuickBooks reported an error that is not in our list: see the Web Connector's log on that PC."
    return Retry(said, code=code, detail=message[:1000])
