"""OAuth 2.0 with Intuit: consent, code exchange, renewal, revocation.

Source: developer.intuit.com, "OAuth 2.0"; the hard expiry of refresh tokens is that of the policy of November 2025.
"""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from connector.kernel.contracts import Account, Context, Grant, Secrets
from connector.kernel.errors import Misconfigured, Reauthorize, Reject, Retry, Unknown, VendorError
from connector.kernel.http import Answer
from connector.kernel.values import BadValue, amount, parse_json, text
from sources.quickbooks_online.client import Client
from sources.quickbooks_online.errors import retry_after

AUTHORIZE_URL = "https://appcenter.intuit.com/connect/oauth2"
OAUTH_HOST = "https://oauth.platform.intuit.com"
REVOKE_HOST = "https://developer.api.intuit.com"
#: Reads and writes both; there is no read-only accounting scope.
SCOPE = "com.intuit.quickbooks.accounting"
ACCESS_SECONDS = 3600

#: The token endpoint's `error` -> verdict and what to do. Unlisted words are `Misconfigured`.
VERDICTS: dict[str, tuple[type[VendorError], str]] = {
    "invalid_grant": (Reauthorize, "Intuit refuses the refresh token: connect QuickBooks Online again"),
    "invalid_client": (
        Misconfigured,
        "Intuit does not know these keys: check QUICKBOOKS_ONLINE_CLIENT_ID and QUICKBOOKS_ONLINE_CLIENT_SECRET",
    ),
    "temporarily_unavailable": (Retry, "Intuit's log-in service is unavailable"),
    "server_error": (Retry, "Intuit's log-in service had an error of its own"),
}


def authorize_url(ctx: Context, *, state: str, redirect_uri: str) -> str:
    """Where the browser asks for consent."""
    query = {
        "client_id": _keys(ctx)[0],
        "response_type": "code",
        "scope": SCOPE,
        "redirect_uri": redirect_uri,
        "state": state,
    }
    return f"{ctx.app.get('authorize_url') or AUTHORIZE_URL}?{urlencode(query)}"


def exchange(ctx: Context, *, query: Mapping[str, str], redirect_uri: str) -> Grant:
    """The callback's query as secrets and the company they open. A code can be exchanged once."""
    if refusal := query.get("error"):
        if refusal == "access_denied":
            raise Reject("Access was refused at Intuit, so nothing was connected.", code="access_denied")
        raise Reject("Intuit did not grant access. Start again.", code="refused", detail=refusal)
    code, realm = query.get("code", ""), query.get("realmId", "")
    if not code or not realm.isdecimal() or len(realm) > 32:
        raise Reject("Intuit did not say which company was chosen. Start again.", code="no_company")
    asked = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri}
    try:
        secrets = _tokens(ctx, asked, Secrets({}))
    except Reauthorize as error:
        raise Reject("The authorization code was used or has expired. Start again.", code=error.code) from None
    return Grant(secrets, (Account(realm, _company_name(ctx, realm, secrets)),))


def refresh(ctx: Context) -> Secrets:
    """New secrets. The refresh token may or may not be another one: always store what comes back.

    Raises `Unknown` when it cannot be told whether Intuit has rotated the token.
    """
    token = ctx.secrets.get("refresh_token")
    if not token:
        raise Reauthorize("there is no refresh token: connect QuickBooks Online again")
    return _tokens(ctx, {"grant_type": "refresh_token", "refresh_token": token}, ctx.secrets)


def revoke(ctx: Context) -> None:
    """Ends the authorization at Intuit."""
    token = ctx.secrets.get("refresh_token") or ctx.secrets.get("access_token")
    if not token:
        raise Reject("there is no token to revoke")
    url = f"{(ctx.app.get('oauth_url') or REVOKE_HOST).rstrip('/')}/v2/oauth2/tokens/revoke"
    headers = {**_headers(ctx), "Content-Type": "application/json"}
    answer = ctx.http.call("POST", url, headers=headers, body=json.dumps({"token": token}).encode())
    if answer.status == 400:
        raise Reject("Intuit does not know the token; it has probably ended already", code="400", status=400)
    if not 200 <= answer.status < 300:
        raise _verdict(answer, ctx.now())


def _tokens(ctx: Context, asked: Mapping[str, str], known: Secrets) -> Secrets:
    url = f"{(ctx.app.get('oauth_url') or OAUTH_HOST).rstrip('/')}/oauth2/v1/tokens/bearer"
    headers = {
        **_headers(ctx),
        "Content-Type": "application/x-www-form-urlencoded",
        # Without it the answer does not tell when the five years of a refresh token end.
        "x-include-refresh-token-hard-expires-in": "true",
    }
    asked_at = ctx.now()
    answer = ctx.http.call("POST", url, headers=headers, body=urlencode(asked).encode())
    if not 200 <= answer.status < 300:
        raise _verdict(answer, ctx.now())
    return _secrets(answer, asked_at, known)


def _secrets(answer: Answer, at: dt.datetime, known: Secrets) -> Secrets:
    """The tokens of a good answer, over what was known where it is silent."""
    document = _document(answer)
    try:
        given = {name: text(document, name) for name in ("access_token", "refresh_token")}
    except BadValue:
        given = {}
    if not given.get("access_token"):
        raise Unknown("Intuit's log-in service answered without a token", code="no_token", status=answer.status)
    return Secrets(
        values={**known.values, **{name: value for name, value in given.items() if value}},
        expires_at=_after(at, document, "expires_in") or at + dt.timedelta(seconds=ACCESS_SECONDS),
        refresh_expires_at=_after(at, document, "x_refresh_token_expires_in") or known.refresh_expires_at,
        hard_expires_at=_after(at, document, "x_refresh_token_hard_expires_in") or known.hard_expires_at,
    )


def _after(at: dt.datetime, document: Any, name: str) -> dt.datetime | None:
    """The instant so many seconds on; numbers may come as text, and nonsense means unknown."""
    try:
        seconds = amount(document, name)
    except BadValue:
        return None
    return at + dt.timedelta(seconds=int(seconds)) if seconds is not None and 0 < seconds < 10**9 else None


def _verdict(answer: Answer, now: dt.datetime) -> VendorError:
    document = _document(answer)
    try:
        word, told = text(document, "error"), text(document, "error_description")
    except BadValue:
        word, told = "", ""
    status, after = answer.status, retry_after(answer, now)
    if status == 429 or status >= 500:
        return Retry(f"Intuit's log-in service cannot answer now (HTTP {status})", status=status, after=after)
    if 300 <= status < 400:
        return Misconfigured("Intuit's log-in service answered with a redirect: check QUICKBOOKS_ONLINE_OAUTH_URL")
    if not word:
        kind, sentence = VERDICTS["invalid_client"] if status == 401 else VERDICTS["temporarily_unavailable"]
    else:
        unlisted = (Misconfigured, "Intuit refuses the request for a token: check the app's settings at Intuit")
        kind, sentence = VERDICTS.get(word, unlisted)
    return kind(f"{sentence} (HTTP {status})", code=word, status=status, detail=told)


def _document(answer: Answer) -> Any:
    try:
        return parse_json(answer.body)
    except BadValue:
        return {}


def _headers(ctx: Context) -> dict[str, str]:
    pair = ":".join(_keys(ctx)).encode()
    return {"Authorization": f"Basic {base64.b64encode(pair).decode()}", "Accept": "application/json"}


def _keys(ctx: Context) -> tuple[str, str]:
    client_id, client_secret = ctx.app.get("client_id", ""), ctx.app.get("client_secret", "")
    if not client_id or not client_secret:
        raise Misconfigured("set QUICKBOOKS_ONLINE_CLIENT_ID and QUICKBOOKS_ONLINE_CLIENT_SECRET")
    return client_id, client_secret


def _company_name(ctx: Context, realm: str, secrets: Secrets) -> str:
    """What the company is called; a connection without a name is still a connection."""
    try:
        company = Client(dataclasses.replace(ctx, account=realm, secrets=secrets)).read("CompanyInfo", realm)
        return text(company, "CompanyName")
    except (VendorError, BadValue):
        return ""
