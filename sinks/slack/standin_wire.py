"""How the stand-in reads a Web API call and answers it: content types, arguments, token, errors (vendors/slack.md)."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs

from connector.kernel.standin import Answer, Call, json_answer
from sinks.slack.standin_workspace import ANONYMOUS, RefusedError, Token, Workspace

SERVER_ERROR_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
	<meta charset="utf-8">
	<title>Server Error | Slack</title>
</head>
<body>
	<div id="page_contents">
		<h1>Server Error</h1>
		<p>It seems like there&rsquo;s a problem connecting to our servers, and we&rsquo;re investigating the issue.</p>
	</div>
</body>
</html>
"""
_ARGUMENT = re.compile(r"[A-Za-z0-9_]{1,100}")


@dataclasses.dataclass(frozen=True, slots=True)
class Ask:
    """One call of a Web API method, as the method sees it."""

    team: Workspace
    call: Call
    token: Token
    arguments: Mapping[str, Any]

    def text(self, name: str, default: str = "") -> str:
        value = self.arguments.get(name)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise invalid_argument(f"must be a string [json-pointer:/{name}]")
        return str(value)

    def need(self, name: str) -> str:
        value = self.text(name)
        if not value:
            raise invalid_argument(f"missing required field: {name}")
        return value

    def truth(self, name: str) -> bool:
        return self.arguments.get(name) in (True, 1, "1", "true", "True")

    def require(self, *scopes: str) -> None:
        """One of `scopes` must be granted."""
        if not set(scopes) & set(self.token.scopes):
            raise RefusedError("missing_scope", needed=",".join(scopes), provided=",".join(self.token.scopes))


@dataclasses.dataclass(frozen=True, slots=True)
class Method:
    """A Web API method: `is_read` may be called with GET, `is_open` needs no token, `is_form` refuses JSON."""

    run: Callable[[Ask], dict[str, Any]]
    is_read: bool = False
    is_open: bool = False
    is_form: bool = False


def invalid_argument(message: str) -> RefusedError:
    return RefusedError("invalid_arguments", response_metadata={"messages": [f"[ERROR] {message}"]})


def refusal(refused: RefusedError) -> Answer:
    """The answer for a refused call; HTTP 200 except for rate limits."""
    answer = json_answer({"ok": False, "error": refused.error, **refused.extra}, status=refused.status)
    if not refused.retry_after:
        return answer
    return dataclasses.replace(answer, headers={"Retry-After": str(refused.retry_after)})


def ratelimited(seconds: int) -> Answer:
    """429 with a Retry-After in whole seconds."""
    return refusal(RefusedError("ratelimited", status=429, retry_after=seconds))


def html_503() -> Answer:
    """Slack's outage page."""
    return Answer(503, SERVER_ERROR_PAGE.encode(), content_type="text/html; charset=utf-8")


def error(code: str, **extra: Any) -> Answer:
    """HTTP 200 with ok:false."""
    return refusal(RefusedError(code, **extra))


def answer_call(team: Workspace, call: Call, name: str, method: Method | None) -> Answer:
    """Runs a Web API method; every answer to a good token carries its scopes."""
    token = ANONYMOUS
    try:
        if method is None:
            raise RefusedError("unknown_method", req_method=name)
        arguments, warnings = _read(team, call, name, method)
        token = ANONYMOUS if method.is_open else authenticate(team, call)
        document = method.run(Ask(team, call, token, arguments))
        answer = json_answer(_warned({"ok": True, **document}, warnings))
    except RefusedError as refused:
        answer = refusal(refused)
    if token is ANONYMOUS:
        return answer
    return dataclasses.replace(answer, headers={**answer.headers, "X-OAuth-Scopes": ",".join(token.scopes)})


def authenticate(team: Workspace, call: Call) -> Token:
    """The token of the Authorization header; raises what Slack answers to none, a strange, a dead or an old one."""
    scheme, _, value = call.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not value.strip():
        raise RefusedError("not_authed")
    token = team.tokens.get(value.strip())
    if token is None:
        raise RefusedError("invalid_auth")
    if token.error:
        raise RefusedError(token.error)
    if token.expires_at is not None and call.at >= token.expires_at:
        raise RefusedError("token_expired")
    return token


def _read(team: Workspace, call: Call, name: str, method: Method) -> tuple[dict[str, Any], list[str]]:
    if call.method != "POST" and not method.is_read:
        team.violations.append(f"{name} was called with {call.method}; it must be sent with POST")
        raise invalid_argument("must be sent with POST")
    arguments, warnings = read_arguments(call, is_form=method.is_form)
    if "token" in arguments:
        team.violations.append(f"{name} got a token in the URL or the body; it belongs in the Authorization header")
        raise RefusedError("not_authed")
    return arguments, warnings


def read_arguments(call: Call, *, is_form: bool = False) -> tuple[dict[str, Any], list[str]]:
    """The arguments of the URL and the body, and the warnings about its content type."""
    arguments: dict[str, Any] = dict(call.query)
    warnings: list[str] = []
    if call.body and call.method == "POST":
        kind, _, parameters = call.headers.get("content-type", "").partition(";")
        kind, charset = kind.strip().lower(), parameters.lower().replace('"', "").strip()
        if charset and charset not in ("charset=utf-8", "charset=iso-8859-1"):
            raise RefusedError("invalid_charset")
        if kind == "application/x-www-form-urlencoded":
            arguments |= _form(call.body)
            warnings = ["superfluous_charset"] if charset else []
        elif kind == "application/json" and not is_form:
            arguments |= _json(call.body)
            warnings = [] if charset else ["missing_charset"]
        else:
            raise RefusedError("invalid_post_type" if kind else "missing_post_type")
    for name in arguments:
        if not _ARGUMENT.fullmatch(name):
            raise RefusedError("invalid_array_arg" if name.endswith("]") else "invalid_arg_name")
    return arguments, warnings


def _form(body: bytes) -> dict[str, str]:
    try:
        pairs = parse_qs(body.decode(), keep_blank_values=True, strict_parsing=True)
    except ValueError:
        raise RefusedError("invalid_form_data") from None
    return {key: values[-1] for key, values in pairs.items()}


def _json(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except ValueError:
        raise RefusedError("invalid_json") from None
    if not isinstance(document, dict):
        raise RefusedError("json_not_object")
    return document


def _warned(document: dict[str, Any], warnings: list[str]) -> dict[str, Any]:
    """Adds warnings to those that the method gave itself."""
    if not warnings:
        return document
    metadata = document.get("response_metadata", {})
    every = [*metadata.get("warnings", []), *warnings]
    return document | {"warning": ",".join(every), "response_metadata": metadata | {"warnings": every}}
