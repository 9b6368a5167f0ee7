"""Installing the app (OAuth v2), renewing rotating tokens, and ending the installation.

See https://docs.slack.dev/authentication/installing-with-oauth and …/using-token-rotation. Bot tokens live for ever
unless rotation is switched on for the app; then the answer carries `expires_in` and a single-use `refresh_token`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from urllib.parse import urlencode

from connector.kernel.contracts import Account, Context, Grant, Secrets
from connector.kernel.errors import Misconfigured, Reauthorize, Reject, Unknown, VendorError
from connector.kernel.values import BadValue, amount, text
from sinks.slack import client, errors
from sinks.slack.client import Said

AUTHORIZE_URL = "https://slack.com/oauth/v2/authorize"
#: What the bot asks for; the manifest in the README names the same.
SCOPES = (
    "chat:write",
    "chat:write.public",
    "channels:read",
    "groups:read",
    "channels:join",
    "channels:history",
    "groups:history",
)
_APP_SECRET = "Slack does not know this client ID and secret ({code}): check SLACK_CLIENT_ID and SLACK_CLIENT_SECRET"  # noqa: S105 - a sentence
_STALE_CODE = "Slack no longer takes this authorization code ({code}): start again with Connect"
#: What to tell the person whose installation was refused.
_REFUSALS: Mapping[str, str] = {
    "access_denied": "The installation was declined in Slack: press Connect again and choose Allow",
    "invalid_code": _STALE_CODE,
    "invalid_grant_type": _STALE_CODE,
    "invalid_code_verifier": _STALE_CODE,
    "bad_client_secret": _APP_SECRET,
    "invalid_client_id": _APP_SECRET,
    "bad_redirect_uri": "Slack refuses the address to come back to ({code}): add it under OAuth & Permissions, Redirect"
    " URLs, in the app's settings; it must be https",
    "oauth_authorization_url_mismatch": "The installation was started at another address than Slack expects ({code}):"
    " check SLACK_AUTHORIZE_URL",
    "no_scopes": "The Slack app asks for no scopes ({code}): create it from the manifest",
    "pkce_not_allowed": "The Slack app does not allow this way of installing ({code}): create it from the manifest",
    "cannot_install_an_org_installed_app": "The app is installed for a whole organization ({code}): remove it there,"
    " then install it into one workspace",
    "user_email_unverified": "Slack wants your e-mail address confirmed first ({code}): do that,"
    " then press Connect again",
}


def authorize_url(ctx: Context, *, state: str, redirect_uri: str) -> str:
    """Slack's consent page for our scopes; a connection that is renewed is led to its own workspace."""
    client_id = ctx.app.get("client_id", "")
    if not client_id:
        raise Misconfigured("SLACK_CLIENT_ID is not set: take it from the Slack app's settings, Basic Information")
    query = {"client_id": client_id, "scope": ",".join(SCOPES), "redirect_uri": redirect_uri, "state": state}
    if ctx.account:
        query["team"] = ctx.account
    return f"{ctx.app.get('authorize_url') or AUTHORIZE_URL}?{urlencode(query)}"


def exchange(ctx: Context, *, query: Mapping[str, str], redirect_uri: str) -> Grant:
    """The bot token for the code that Slack sent back. Raises `Reject` with a sentence for the person."""
    if query.get("error"):
        raise _refused(errors.word(query["error"]) or "unknown")
    if not query.get("code"):
        raise Reject("Slack came back without an authorization code: start again with Connect", code="no_code")
    try:
        said = client.call_as_app(ctx, "oauth.v2.access", {"code": query["code"], "redirect_uri": redirect_uri})
    except VendorError as refusal:
        raise _refused(refusal.code, refusal) if refusal.code in _REFUSALS else refusal
    return _grant(said, ctx.now())


def refresh(ctx: Context) -> Secrets:
    """The next pair of tokens. Raises `Reauthorize` when the refresh token is dead."""
    arguments = {"grant_type": "refresh_token", "refresh_token": ctx.secrets.get("refresh_token")}
    if not arguments["refresh_token"]:
        raise Reauthorize("The bot token has expired and no refresh token is stored: install the app again")
    try:
        said = client.call_as_app(ctx, "oauth.v2.access", arguments)
    except VendorError as refusal:
        if refusal.code in ("invalid_refresh_token", "invalid_grant_type", "invalid_code"):
            raise Reauthorize(
                f"Slack refuses the stored refresh token ({refusal.code}): install the app again", code=refusal.code
            )
        if refusal.code in ("bad_client_secret", "invalid_client_id"):
            raise Misconfigured(_APP_SECRET.format(code=refusal.code), code=refusal.code)
        raise
    fresh = _secrets(said, ctx.now())
    return Secrets({**ctx.secrets.values, **fresh.values}, expires_at=fresh.expires_at)


def revoke(ctx: Context) -> None:
    """Ends the token at Slack; one that is dead already is as good."""
    try:
        client.read(ctx, "auth.revoke", {})
    except Reauthorize:
        return


def _grant(said: Said, now: dt.datetime) -> Grant:
    try:
        team, name = text(said.body, "team", "id"), text(said.body, "team", "name")
    except BadValue:
        team = name = ""
    if not team:
        raise Reject(
            "The app was installed for a whole Slack organization, which is not supported: install it into"
            " one workspace",
            code="org_install",
        )
    return Grant(secrets=_secrets(said, now), accounts=(Account(team, name),))


def _secrets(said: Said, now: dt.datetime) -> Secrets:
    try:
        kind, token = text(said.body, "token_type"), text(said.body, "access_token")
        renewal = text(said.body, "refresh_token")
        seconds = amount(said.body, "expires_in")
    except BadValue as error:
        raise Unknown(f"Slack's answer to the installation cannot be read: {error}", code="bad_grant")
    if not token or kind not in ("bot", ""):
        raise Reject("Slack gave no bot token: create the app from the manifest, with a bot user", code="no_bot_token")
    values = {"bot_token": token, **({"refresh_token": renewal} if renewal else {})}
    ends = now + dt.timedelta(seconds=min(float(seconds), 1e9)) if seconds is not None and seconds > 0 else None
    return Secrets(values, expires_at=ends)


def _refused(code: str, cause: VendorError | None = None) -> Reject:
    sentence = _REFUSALS.get(code, "Slack refused the installation ({code}): start again with Connect")
    return Reject(sentence.format(code=code), code=code, status=cause.status if cause else 0)
