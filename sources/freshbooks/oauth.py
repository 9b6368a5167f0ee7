"""OAuth 2.0 with FreshBooks: consent, code exchange, renewal, revocation, and whose businesses they open.

Source: freshbooks.com/api/authentication and the vendor's SDKs. A refresh token is good once, and only the latest one
of a person and an app is good at all.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from connector.kernel.contracts import Account, Context, Grant, Secrets
from connector.kernel.errors import Misconfigured, Reauthorize, Refresh, Reject, Retry, Unknown, VendorError
from connector.kernel.http import Answer
from connector.kernel.values import BadValue, amount, parse_json, rows, text
from sources.freshbooks.client import API_URL, Client
from sources.freshbooks.errors import retry_after

AUTHORIZE_URL = "https://auth.freshbooks.com/oauth/authorize"
ACCESS_SECONDS = 43200
SCOPES = (
    "user:profile:read", "user:invoices:read", "user:payments:read", "user:bills:read", "user:bill_vendors:read",
    "user:bill_payments:read", "user:expenses:read", "user:clients:read",
)  # fmt: skip

#: The token endpoint's `error` -> verdict and what to do. Unlisted words are `Misconfigured`.
VERDICTS: dict[str, tuple[type[VendorError], str]] = {
    "invalid_grant": (Reauthorize, "FreshBooks refuses the refresh token: connect FreshBooks again"),
    "invalid_token": (Reauthorize, "FreshBooks refuses the refresh token: connect FreshBooks again"),
    "invalid_client": (
        Misconfigured,
        "FreshBooks does not know these keys: check FRESHBOOKS_CLIENT_ID and FRESHBOOKS_CLIENT_SECRET",
    ),
    "temporarily_unavailable": (Retry, "FreshBooks' log-in service is unavailable"),
    "server_error": (Retry, "FreshBooks' log-in service had an error of its own"),
}


def authorize_url(ctx: Context, *, state: str, redirect_uri: str) -> str:
    """Where the browser asks for consent, to reading only."""
    query = {
        "client_id": _keys(ctx)[0],
        "response_type": "code",
        "redirect_uri": redirect_uri,
        "scope": " ".join(SCOPES),
        "state": state,
    }
    return f"{ctx.app.get('authorize_url') or AUTHORIZE_URL}?{urlencode(query)}"


def exchange(ctx: Context, *, query: Mapping[str, str], redirect_uri: str) -> Grant:
    """The callback's query as secrets, and the businesses of the person who consented. A code is good once."""
    if refusal := query.get("error"):
        if refusal == "access_denied":
            raise Reject("Access was refused at FreshBooks, so nothing was connected.", code="access_denied")
        raise Reject("FreshBooks did not grant access. Start again.", code="refused", detail=refusal)
    if not query.get("code"):
        raise Reject("FreshBooks sent no authorization code: access was denied. Start again.", code="no_code")
    asked = {"grant_type": "authorization_code", "code": query["code"], "redirect_uri": redirect_uri}
    try:
        secrets = _tokens(ctx, asked, Secrets({}))
    except Reauthorize as error:
        raise Reject("The authorization code was used or has expired. Start again.", code=error.code) from None
    try:
        me = Client(dataclasses.replace(ctx, secrets=secrets)).me()
    except Refresh as error:
        raise Reject(
            "FreshBooks refuses the token that it has just given. Start again.", code=error.code, detail=error.detail
        ) from None
    accounts, owner = read_businesses(me)
    if not accounts:
        raise Reject("This FreshBooks log-in has no business with accounting access, so nothing was connected.")
    return Grant(secrets, accounts, owner=owner)


def read_businesses(me: Mapping[str, Any]) -> tuple[tuple[Account, ...], str]:
    """The businesses with accounting access, and the person's own ID."""
    try:
        owner = text(me, "identity_id") or text(me, "id")
        found = {}
        for membership in rows(me, "business_memberships"):
            account_id, name = text(membership, "business", "account_id"), text(membership, "business", "name")
            if account_id:
                settings = {"business_id": text(membership, "business", "id")}
                found[account_id] = Account(account_id, name, {key: value for key, value in settings.items() if value})
    except BadValue:
        raise Retry("FreshBooks describes the log-in in a way that cannot be read", code="unreadable") from None
    return tuple(found.values()), owner


def missing_scopes(secrets: Secrets) -> list[str]:
    """What the authorization lacks; nothing where it is not known (tokens that were typed in)."""
    granted = set(secrets.get("scope").split())
    return [scope for scope in SCOPES if scope not in granted] if granted else []


def refresh(ctx: Context) -> Secrets:
    """The next pair of tokens; the old ones are dead from then on.

    Raises `Unknown` when it cannot be told whether FreshBooks has given it out. The old refresh token then tells: it
    works once more, or it is refused and a person must connect again.
    """
    token = ctx.secrets.get("refresh_token")
    if not token:
        raise Reauthorize("there is no refresh token: connect FreshBooks again")
    asked = {"grant_type": "refresh_token", "refresh_token": token}
    if ctx.redirect_uri:
        asked["redirect_uri"] = ctx.redirect_uri
    return _tokens(ctx, asked, ctx.secrets)


def revoke(ctx: Context) -> None:
    """Ends the authorization at FreshBooks."""
    token = ctx.secrets.get("access_token") or ctx.secrets.get("refresh_token")
    if not token:
        raise Reject("there is no token to revoke")
    answer = _post(ctx, "revoke", {"token": token})
    if not 200 <= answer.status < 300:
        raise _verdict(answer, ctx.now())


def _tokens(ctx: Context, asked: Mapping[str, str], known: Secrets) -> Secrets:
    asked_at = ctx.now()
    answer = _post(ctx, "token", asked)
    if not 200 <= answer.status < 300:
        raise _verdict(answer, ctx.now())
    document = _document(answer)
    try:
        given = {name: text(document, name) for name in ("access_token", "refresh_token", "scope")}
    except BadValue:
        given = {}
    if not given.get("access_token"):
        raise Unknown("FreshBooks' log-in service answered without a token", code="no_token", status=answer.status)
    values = {**known.values, **{name: value for name, value in given.items() if value}}
    return Secrets(values=values, expires_at=_ends(document, asked_at))


def _post(ctx: Context, path: str, asked: Mapping[str, str]) -> Answer:
    client_id, client_secret = _keys(ctx)
    url = f"{(ctx.app.get('api_url') or API_URL).rstrip('/')}/auth/oauth/{path}"
    headers = {
        "Accept": "application/json",
        "Content-Type": "application/x-www-form-urlencoded",
        "User-Agent": "ml-connector",
    }
    body = urlencode({**asked, "client_id": client_id, "client_secret": client_secret}).encode()
    return ctx.http.call("POST", url, headers=headers, body=body)


def _ends(document: Any, asked_at: dt.datetime) -> dt.datetime:
    """When the access token ends: counted from its making, where the vendor's clock agrees with ours."""
    try:
        lives, made = amount(document, "expires_in"), amount(document, "created_at")
    except BadValue:
        lives = made = None
    seconds = int(lives) if lives is not None and 0 < lives < 10**9 else ACCESS_SECONDS
    skew = float(made) - asked_at.timestamp() if made is not None and 0 < made < 10**11 else 0.0
    begins = asked_at + dt.timedelta(seconds=min(skew, 0.0)) if abs(skew) < 3600 else asked_at
    return begins + dt.timedelta(seconds=seconds)


def _verdict(answer: Answer, now: dt.datetime) -> VendorError:
    document = _document(answer)
    try:
        word, told = text(document, "error"), text(document, "error_description")
    except BadValue:
        word, told = "", ""
    status, after = answer.status, retry_after(answer, now)
    if status == 429 or status >= 500 or answer.body.lstrip()[:1] == b"<":
        return Retry(f"FreshBooks' log-in service cannot answer now (HTTP {status})", status=status, after=after)
    if 300 <= status < 400:
        return Misconfigured("FreshBooks' log-in service answered with a redirect: check FRESHBOOKS_API_URL")
    if not word:
        kind, sentence = VERDICTS["invalid_client" if status == 401 else "temporarily_unavailable"]
    else:
        unlisted = (Misconfigured, "FreshBooks refuses the request for a token: check the app's settings there")
        kind, sentence = VERDICTS.get(word, unlisted)
    return kind(f"{sentence} (HTTP {status})", code=word, status=status, detail=told)


def _document(answer: Answer) -> Any:
    try:
        return parse_json(answer.body)
    except BadValue:
        return {}


def _keys(ctx: Context) -> tuple[str, str]:
    client_id, client_secret = ctx.app.get("client_id", ""), ctx.app.get("client_secret", "")
    if not client_id or not client_secret:
        raise Misconfigured("set FRESHBOOKS_CLIENT_ID and FRESHBOOKS_CLIENT_SECRET")
    return client_id, client_secret
