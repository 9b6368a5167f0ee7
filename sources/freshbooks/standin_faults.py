"""The stand-in's refusals: FreshBooks' error shapes, and ready-made bad answers for scripted faults."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from connector.kernel.standin import Answer, json_answer

#: How the accounting API and the events API put their errors. FreshBooks has all of them in use; which one comes
#: depends on its own versions. "old_200" is the old shape under HTTP 200.
SHAPES = ("old", "old_object", "old_200", "new")

NOT_AUTHORIZED = "The server could not verify that you are authorized to access the URL requested."
UNPROCESSABLE = "The request was well-formed but was unable to be followed due to semantic errors."
INVALID_TOKEN = "invalid_token: The request token failed to authenticate or validate."  # noqa: S105 - a message
NO_RESOURCE = "Requested resource could not be found."

_HELP = {
    "@type": "type.googleapis.com/google.rpc.Help",
    "links": [{"description": "API Documentation", "url": "https://www.freshbooks.com/api/webhooks"}],
}
#: HTTP status -> the code of google.rpc that goes with it.
_CODES = {400: 3, 401: 16, 403: 7, 404: 5, 422: 3, 429: 8, 500: 13, 503: 14}


class VendorError(Exception):
    """A refusal of the accounting API: `errno` 1003 is not authorized, 1012 not found."""

    def __init__(
        self, status: int, errno: int, message: str, *, object: str = "", field: str = "", value: str = ""
    ) -> None:
        super().__init__(f"{errno}: {message}")
        self.status = status
        self.errno = errno
        self.metadata = {"object": object, "message": message, "value": value, "field": field}

    def answer(self, shape: str) -> Answer:
        """The refusal in one of the `SHAPES`."""
        if shape == "new":
            reason = {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": str(self.errno),
                "domain": "accounting.api.freshbooks.com",
                "metadata": self.metadata,
            }
            text = f"Request failed with status_code: {self.status}"
            document = {"code": _CODES[self.status], "message": text, "details": [reason]}
            return json_answer(document, status=self.status)
        error = {"errno": self.errno, **self.metadata}
        errors: Any = error if shape == "old_object" else [error]
        return json_answer({"response": {"errors": errors}}, status=200 if shape == "old_200" else self.status)


class EventsError(Exception):
    """A refusal of the events API; `fields` is what is wrong with the request, by field."""

    def __init__(self, status: int, message: str, fields: dict[str, tuple[str, str]] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        #: Field -> its complaint in the old words and in the new ones.
        self.fields = fields or {}

    def answer(self, shape: str) -> Answer:
        """The refusal: "new" is the gRPC shape, any other the one with `errno`."""
        if shape == "new":
            violations = [{"field": name, "description": new} for name, (_, new) in self.fields.items()]
            bad = {"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": violations}
            status = 400 if self.status == 422 else self.status
            message = "Invalid data in this request." if violations else self.message
            details = [bad, _HELP] if violations else []
            return json_answer({"code": _CODES[status], "message": message, "details": details}, status=status)
        document: dict[str, Any] = {"errno": self.status, "message": self.message}
        if self.fields:
            document["details"] = [f"{name}: {old}" for name, (old, _) in self.fields.items()]
        return json_answer(document, status=self.status)


def oauth_refusal(status: int, error: str, description: str, **more: str) -> Answer:
    """A refusal of the auth service, with further fields."""
    document = {"error": error, "error_description": description, **more}
    return json_answer(document, status=status, Cache_Control="no-store")


def throttle(retry_after: int | None = 1) -> Answer:
    """Too many requests; without `retry_after` the header is missing, as its presence is not documented."""
    document = {"message": "Too many requests"}
    if retry_after is None:
        return json_answer(document, status=429)
    return json_answer(document, status=429, Retry_After=str(retry_after))


def outage(status: int = 503) -> Answer:
    """The page of a gateway whose server is away."""
    page = b"<html><head><title>503 Service Temporarily Unavailable</title></head><body>nginx</body></html>"
    return Answer(status, page, content_type="text/html")


def _broken() -> Answer:
    return Answer(200, b'{"response": {"result": {"invoice": {"id": 12')


#: Name -> a bad answer for a scripted fault.
ANSWERS: dict[str, Callable[[], Answer]] = {
    "throttle": throttle,
    "throttle_bare": lambda: throttle(None),
    "outage": outage,
    "html": lambda: outage(200),
    "broken": _broken,
    "unauthorized": lambda: VendorError(401, 1003, NOT_AUTHORIZED).answer("new"),
    "forbidden": lambda: VendorError(403, 1003, NOT_AUTHORIZED).answer("old"),
    "gone": lambda: VendorError(404, 1012, "Object not found.").answer("old"),
    "server_error": lambda: VendorError(500, 1000, "An internal error occurred.").answer("old"),
    "invalid_grant": lambda: oauth_refusal(400, "invalid_grant", "The provided authorization grant is invalid."),
}
