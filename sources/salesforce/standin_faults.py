"""The stand-in's refusals: Salesforce's error bodies, and ready-made bad answers for scripted faults."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from connector.kernel.standin import Answer, json_answer

#: errorCode -> HTTP status, where it is not 400.
_STATUSES = {
    "INVALID_SESSION_ID": 401,
    "REQUEST_LIMIT_EXCEEDED": 403,
    "API_DISABLED_FOR_ORG": 403,
    "NOT_FOUND": 404,
    "ENTITY_IS_DELETED": 404,
    "METHOD_NOT_ALLOWED": 405,
    "UNSUPPORTED_MEDIA_TYPE": 415,
    "UNKNOWN_EXCEPTION": 500,
    "SERVER_UNAVAILABLE": 503,
}
_NO_RESOURCE = "The requested resource does not exist"


class VendorError(Exception):
    """A refusal. `fields` is None where the vendor's body has no such key; `more` are further keys of the body."""

    def __init__(
        self, code: str, message: str, fields: Sequence[str] | None = None, more: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.fields = None if fields is None else list(fields)
        self.more = dict(more or {})

    @property
    def status(self) -> int:
        return _STATUSES.get(self.code, 400)

    def body(self) -> list[dict[str, Any]]:
        """The error list of a resource."""
        fields = {} if self.fields is None else {"fields": self.fields}
        return [{"message": self.message, "errorCode": self.code, **fields, **self.more}]

    def item(self) -> dict[str, Any]:
        """The failed item of a collection, which says `statusCode` where a resource says `errorCode`."""
        error = {"statusCode": self.code, "message": self.message, "fields": self.fields or [], **self.more}
        return {"success": False, "errors": [error]}

    def answer(self) -> Answer:
        return json_answer(self.body(), status=self.status)


def not_found(message: str = _NO_RESOURCE) -> VendorError:
    return VendorError("NOT_FOUND", message)


def no_column(field: str, entity: str) -> VendorError:
    return VendorError("INVALID_FIELD", f"No such column '{field}' on sobject of type {entity}")


def not_writable(fields: Sequence[str]) -> VendorError:
    text = (
        f"Unable to create/update fields: {', '.join(fields)}. Please check the security settings of this field and "
        "verify that it is read/write for your profile or permission set."
    )
    return VendorError("INVALID_FIELD_FOR_INSERT_UPDATE", text, fields)


def duplicates(entity: str, identifier: str, *, may_save: bool = True) -> VendorError:
    """What a duplicate rule says, naming the record that it found."""
    text = "Use one of these records?"
    record = {
        "attributes": {"type": entity, "url": f"/services/data/v68.0/sobjects/{entity}/{identifier}"},
        "Id": identifier,
    }
    found = {"additionalInformation": [], "fieldDiffs": [], "matchConfidence": 95.0, "record": record}
    match = {
        "entityType": entity,
        "errors": [],
        "matchEngine": "FuzzyMatchEngine",
        "matchRecords": [found],
        "rule": f"Standard_{entity}_Match_Rule_v1_0",
        "size": 1,
        "success": True,
    }
    result = {
        "allowSave": may_save,
        "duplicateRule": f"Standard_{entity}_Duplicate_Rule",
        "duplicateRuleEntityType": entity,
        "errorMessage": text,
        "matchResults": [match],
    }
    return VendorError("DUPLICATES_DETECTED", text, [], {"duplicateResult": result})


#: What the token endpoint says, by the cause: (error, error_description).
OAUTH_REFUSALS = {
    "client_id": ("invalid_client_id", "client identifier invalid"),
    "client_secret": ("invalid_client", "invalid client credentials"),
    "no_run_as_user": ("invalid_grant", "no client credentials user enabled"),
    "wrong_domain": ("invalid_grant", "request not supported on this domain"),
    "flow_off": ("unsupported_grant_type", "grant type not supported"),
    "not_approved": ("invalid_app_access", "user is not admin approved to access this app"),
    "inactive_user": ("inactive_user", "user is inactive"),
    "inactive_org": ("inactive_org", "organization is inactive"),
}


def oauth_refusal(cause: str, status: int = 400) -> Answer:
    """A refusal of the token endpoint, by its cause in `OAUTH_REFUSALS`."""
    error, description = OAUTH_REFUSALS[cause]
    return json_answer({"error": error, "error_description": description}, status=status, Cache_Control="no-store")


def page(status: int, title: str) -> Answer:
    """The page of a gateway whose server is away."""
    return Answer(status, f"<html><body>{title}</body></html>".encode(), content_type="text/html")


_LOCKED = "unable to obtain exclusive access to this record or 1 records: 001Sm00000Acct1IAA"
_REFUSALS = {
    "expired_session": VendorError("INVALID_SESSION_ID", "Session expired or invalid"),
    "daily_limit": VendorError("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded."),
    "concurrent_limit": VendorError("REQUEST_LIMIT_EXCEEDED", "ConcurrentPerOrgLongTxn Limit exceeded."),
    "lock_row": VendorError("UNABLE_TO_LOCK_ROW", _LOCKED, []),
    "unavailable": VendorError("SERVER_UNAVAILABLE", "Service is temporarily unavailable"),
    "server_error": VendorError("UNKNOWN_EXCEPTION", "An unexpected error occurred. ErrorId: 123"),
    "query_timeout": VendorError("QUERY_TIMEOUT", "Your query request was running for too long."),
    "api_disabled": VendorError("API_DISABLED_FOR_ORG", "The REST API is not enabled for this Organization."),
    "entity_locked": VendorError("ENTITY_IS_LOCKED", "entity is locked for editing", []),
    "insufficient": VendorError("INSUFFICIENT_ACCESS_OR_READONLY", "insufficient access rights on object id", []),
    "storage_limit": VendorError("STORAGE_LIMIT_EXCEEDED", "storage limit exceeded", []),
    "not_found": not_found(),
}
#: Name -> a bad answer for a scripted fault.
ANSWERS: dict[str, Callable[[], Answer]] = {
    **{name: error.answer for name, error in _REFUSALS.items()},
    **{f"oauth_{cause}": functools.partial(oauth_refusal, cause) for cause in OAUTH_REFUSALS},
    "gateway": lambda: page(502, "Bad Gateway"),
    "outage": lambda: page(503, "Service Unavailable"),
    "html": lambda: page(200, "Sign in to the proxy"),
    "throttle": lambda: Answer(429, b"Too Many Requests", {"Retry-After": "1"}, "text/plain"),
    "broken": lambda: Answer(200, b'{"totalSize": 1, "done": true, "records": [{"Id": "001'),
}
