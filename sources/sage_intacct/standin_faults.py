"""The stand-in's refusals by level, and ready-made bad answers for scripted faults."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from connector.kernel.standin import Answer

#: How the live gateway writes it.
CONTENT_TYPE = 'text/xml; encoding="UTF-8";charset=UTF-8'
#: As the front writes it, URL-encoded.
SUPPORT_ID = "FAKE%7EEBXMLGW-AG%7EaaaaAAAA"
PROCESSING = "There was an error processing the request."


@dataclasses.dataclass(frozen=True, slots=True)
class Error:
    """One `error` of an `errormessage`. `errorno` may be a sentence."""

    errorno: str
    description2: str
    description: str = ""
    correction: str = ""


ROLLED_BACK = Error(
    "XL03000009", "The entire transaction in this operation has been rolled back due to an error."
)  # fmt: skip
#: What a function can be made to fail with, by name.
ERRORS: dict[str, tuple[Error, ...]] = {
    "processing": (Error("DL02000001", PROCESSING),),
    "permission": (
        Error("PL04000005", f"You do not have permission for API operation QUERY [Support ID: {SUPPORT_ID}]"),
    ),
    "offline": (
        Error("PL04000050", "The Service is Temporarily Off-line", correction="Please Try Again Later"),
    ),
    "rate": (Error("GW-0010", "API rate limit exceeded"),),
    "business": (
        Error("BL03000018", "Currently, the period is being closed.", "Period closing"),
        Error("BL01001973", "Could not read the record."),
    ),
    "entity_only": (Error("BL01001973", "This operation can be performed from an entity only."),),
    "expired_in_result": (Error("XL03000006", "Invalid session"),),
}  # fmt: skip


class ControlError(Exception):
    """Level 1: the request as a whole is refused."""

    def __init__(self, *errors: Error) -> None:
        super().__init__("; ".join(error.description2 for error in errors))
        self.errors = errors


class SignInError(Exception):
    """Level 2: the sign-in is refused. What `authentication` echoes is empty for a bad session."""

    def __init__(self, error: Error, *, user: str = "", company: str = "") -> None:
        super().__init__(error.description2)
        self.error = error
        self.user = user
        self.company = company


class FunctionError(Exception):
    """Level 3: one function is refused."""

    def __init__(self, *errors: Error) -> None:
        super().__init__("; ".join(f"{error.errorno} {error.description2}" for error in errors))
        self.errors = errors


def unprocessed() -> FunctionError:
    """What the gateway says of unknown fields, ISO dates, and more that it will not explain."""
    return FunctionError(Error("DL02000001", PROCESSING))


def front(status: int, errorno: str, description: str, **headers: str) -> Answer:
    """A refusal of the gateway's front: XML with a nearly empty control."""
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>\n<response><control><status>failure</status></control><errormessage>'
        f"<error><errorno>{errorno}</errorno><description>{description}</description></error>"
        "</errormessage></response>"
    )
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, body.encode(), named, CONTENT_TYPE)


def throttle(retry_after: int | None = 1) -> Answer:
    """Too many requests; without `retry_after` the header is missing."""
    headers = {} if retry_after is None else {"Retry_After": str(retry_after)}
    return front(429, "GW-0010", "API rate limit exceeded", **headers)


def invalid_request() -> Answer:
    return front(400, "GW-0011", "Invalid Request [Request ID: FAKE0000:0000_00000000.00]")


def page(status: int, title: str, *, is_cloudflare: bool = False) -> Answer:
    """A page of a proxy in front of the gateway."""
    inner = '<div id="cf-error-details">Error code 524</div>' if is_cloudflare else f"<center><h1>{title}</h1></center>"
    lines = ("<html>", f"<head><title>{title}</title></head>", "<body>", inner, "</body>", "</html>", "")
    return Answer(status, "\r\n".join(lines).encode(), content_type="text/html")


def doctype() -> Answer:
    """A well-formed answer that begins with a document type."""
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE response [<!ENTITY a "fake">]>\n'
        "<response><control><status>success</status><senderid>&a;</senderid></control></response>"
    )
    return Answer(200, body.encode(), content_type=CONTENT_TYPE)


#: Name -> a bad answer for a scripted fault.
ANSWERS: dict[str, Callable[[], Answer]] = {
    "unauthorized": lambda: front(
        401, "XMLGW_JPP0002", "Sign-in information is incorrect. Please check your request."
    ),
    "invalid_request": invalid_request,
    "throttle": throttle,
    "throttle_bare": lambda: throttle(None),
    "bad_gateway": lambda: page(502, "502 Bad Gateway"),
    "outage": lambda: page(503, "503 Service Temporarily Unavailable"),
    "timeout": lambda: page(524, "524: A timeout occurred", is_cloudflare=True),
    "html": lambda: page(200, "Maintenance"),
    "empty": lambda: Answer(200, b"", content_type=CONTENT_TYPE),
    "not_xml": lambda: Answer(200, b"upstream connect error", content_type="text/plain"),
    "doctype": doctype,
    "company_expired": lambda: front(200, "PL04000055", "This company has expired."),
}  # fmt: skip
