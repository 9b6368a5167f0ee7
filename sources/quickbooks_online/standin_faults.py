"""The stand-in's refusals: the vendor's fault documents, and ready-made bad answers for scripted faults."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

from connector.kernel.standin import Answer, json_answer

#: Fault code -> its fixed Message. All of them are ValidationFaults with HTTP 400.
_MESSAGES = {
    "500": "Unsupported Operation",
    "610": "Object Not Found",
    "2010": "Request has invalid or unsupported property",
    "2020": "Required param missing, need to supply the required value for the API",
    "2030": "Invalid ID",
    "2050": "String length is either shorter or longer than supported by specification",
    "2080": "Illegal number format",
    "2170": "Invalid Enumeration",
    "2500": "Invalid Reference Id",
    "4000": "Error parsing query",
    "4001": "Invalid query",
    "5010": "Stale Object Error",
    "6000": "A business validation error has occurred while processing your request",
    "6140": "Duplicate Document Number Error",
    "6190": "Invalid Company Status",
    "6210": "Account Period Closed, Cannot Update Through Services API",
    "6240": "Duplicate Name Exists Error",
}
_XML = (
    '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n<IntuitResponse '
    'xmlns="http://schema.intuit.com/finance/v3" time="2026-11-03T09:31:00.000-08:00">{}</IntuitResponse>'
)
_ENVELOPE: dict[str, Any] = {
    "warnings": None,
    "intuitObject": None,
    "report": None,
    "queryResponse": None,
    "batchItemResponse": [],
    "attachableResponse": [],
    "syncErrorResponse": None,
    "requestId": None,
    "status": None,
    "cdcresponse": [],
}
_GATEWAY = {
    "3001": (429, "ThrottleExceeded", "SERVICE"),
    "3100": (403, "ApplicationAuthorizationFailed", "SERVICE"),
    "3200": (401, "AuthenticationFailed", "AUTHENTICATION"),
}
_PACIFIC = ZoneInfo("America/Los_Angeles")
_THROTTLED = "The request limit was reached.  Try again later"


class VendorError(Exception):
    """A refusal in the vendor's words: `detail` is the fault's whole Detail, `element` is left out when None."""

    def __init__(self, code: str, detail: str, element: str | None = "") -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
        self.element = element

    def fault(self) -> dict[str, Any]:
        """The value of the answer's `Fault` key."""
        error: dict[str, str] = {"Message": _MESSAGES[self.code], "Detail": self.detail, "code": self.code}
        if self.element is not None:
            error["element"] = self.element
        return {"Error": [error], "type": "ValidationFault"}


def gateway_fault(code: str, detail: str = "") -> Answer:
    """The gateway's lower-case fault: 3001 throttled, 3100 the app may not, 3200 the token does not count."""
    status, name, kind = _GATEWAY[code]
    error = {
        "message": f"message={name}; errorCode=00{code}; statusCode={status}",
        "detail": detail or None,
        "code": code,
        "element": None,
    }
    milliseconds = int(dt.datetime.now(dt.UTC).timestamp() * 1000)
    document = {**_ENVELOPE, "fault": {"error": [error], "type": kind}, "time": milliseconds}
    return json_answer(document, status=status, Intuit_Tid=str(uuid.uuid4()))


def xml_answer(status: int = 200, content: str = "") -> Answer:
    """The vendor's XML envelope, which is what a client gets that does not ask for JSON."""
    return Answer(status, _XML.format(content).encode(), {"Intuit-Tid": str(uuid.uuid4())}, "application/xml")


def xml_fault(status: int, kind: str, code: str, message: str, detail: str) -> Answer:
    """A fault in XML, which the vendor may send although JSON was asked for."""
    error = f'<Error code="{code}"><Message>{message}</Message><Detail>{detail}</Detail></Error>'
    return xml_answer(status, f'<Fault type="{kind}">{error}</Fault>')


def envelope_time(now: dt.datetime) -> str:
    """The `time` of an answer: Pacific, whatever the company's zone."""
    return now.astimezone(_PACIFIC).isoformat(timespec="milliseconds")


def api_fault(fault: dict[str, Any], status: int = 400) -> Answer:
    """A fault of the API layer in JSON, whatever its status."""
    document = {"Fault": fault, "time": envelope_time(dt.datetime.now(dt.UTC))}
    return json_answer(document, status=status, Intuit_Tid=str(uuid.uuid4()))


def throttle() -> Answer:
    """429/3001 in JSON."""
    return gateway_fault("3001", _THROTTLED)


def throttle_as_xml() -> Answer:
    """429/3001 in XML."""
    return xml_fault(429, "SERVICE", "3001", "message=ThrottleExceeded; errorCode=003001; statusCode=429", _THROTTLED)


def outage() -> Answer:
    """503 with a page instead of a document."""
    return Answer(503, b"<html><body><h1>503 Service Unavailable</h1></body></html>", content_type="text/html")


def system_fault(status: int = 200) -> Answer:
    """10000, by default inside HTTP 200 as seen on the wire."""
    error = {
        "Message": "An application error has occurred while processing your request",
        "Detail": "System Failure Error: java.lang.UnsupportedOperationException",
        "code": "10000",
        "element": "SystemFailureError",
    }
    return api_fault({"Error": [error], "type": "SystemFault"}, status)


def general_authentication() -> Answer:
    """401/100, in XML."""
    detail = "AuthenticationErrorGeneral: SRV-110-Authentication Failure , statusCode: 401"
    return xml_fault(401, "AuthenticationFault", "100", "General Authentication Error", detail)


def wrong_cluster() -> Answer:
    """401/130, in XML: a company of the other environment."""
    detail = (
        "WrongClusterError: -11017-You have accessed the wrong server.  You will now be redirected. , statusCode: 401"
    )
    return xml_fault(401, "AuthenticationFault", "130", "Accessing Wrong Cluster", detail)


def no_access() -> Answer:
    """401/120: the person who connected has no access to the company any more."""
    reason = "-11014-You do not have access to use QuickBooks Online Plus."
    detail = f"AuthorizationFailure: {reason} , statusCode: 401"
    error = {"Message": "Authorization Failure", "Detail": detail, "code": "120"}
    return api_fault({"Error": [error], "type": "AuthorizationFault"}, 401)


def subscription_lapsed() -> Answer:
    """400/6190: nothing can be written until the customer pays."""
    detail = (
        "Subscription period has ended or canceled or there was a billing problem : You can't add data to QuickBooks "
        "Online Plus because your trial or subscription period ended, you canceled your subscription, or there was a "
        "billing problem."
    )
    return api_fault(VendorError("6190", detail).fault())


#: The ready-made answers by name, for the control address.
ANSWERS: dict[str, Callable[[], Answer]] = {
    maker.__name__: maker
    for maker in (
        throttle,
        throttle_as_xml,
        outage,
        system_fault,
        general_authentication,
        wrong_cluster,
        no_access,
        subscription_lapsed,
    )
}
