"""OAuth 2.0 client credentials with one Salesforce org, on its My Domain address.

Source: Salesforce Help, "OAuth 2.0 Client Credentials Flow for Server-to-Server Integration". The answer has no refresh
token and no end: a token is a session that ends after some idle time set by the org, or when somebody revokes it. A
new one may be asked for at any time, so a lost answer costs nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

from connector.kernel.contracts import Context, Secrets
from connector.kernel.errors import Misconfigured, Reauthorize, Reject, Retry, Unknown, Unreachable, VendorError
from connector.kernel.http import Answer, check_url
from connector.kernel.values import BadValue, parse_json, text
from sources.salesforce.errors import NoAnswer

#: Hosts on which the flow does not work, whatever the keys.
_WRONG_HOST = re.compile(
    r"(login|test)\.salesforce\.com|.*\.lightning\.force\.com|.*\.salesforce-setup\.com|.*\.my\.salesforce-sites\.com"
)
_DOMAIN = (
    "set instance_url to the org's My Domain address, such as https://acme.my.salesforce.com (Setup > My Domain): "
    "this log-in works on no other host"
)
_KEYS = "Salesforce does not know this client ID: copy the consumer key again (a new app takes ten minutes to be known)"
_SECRET = "Salesforce refuses the client secret: it is wrong or was rotated; enter the current one"  # noqa: S105
_FLOW = "Salesforce does not allow this log-in: tick Enable Client Credentials Flow in the app and in its policies"
_RUN_AS = "the Salesforce app has no user to run as: set Run As in its policies (the Username, not the e-mail address)"
_POLICY = "the run-as user may not use the Salesforce app: admit them in its policies, by permission set"

#: The token endpoint's `error` -> verdict and what to do. Unlisted words are `Misconfigured`.
VERDICTS: dict[str, tuple[type[VendorError], str]] = {
    "invalid_client_id": (Reauthorize, _KEYS),
    "invalid_client": (Reauthorize, _SECRET),
    "invalid_grant": (Misconfigured, _FLOW),
    "unsupported_grant_type": (Misconfigured, _FLOW),
    "invalid_app_access": (Misconfigured, _POLICY),
    "inactive_user": (Reauthorize, "the Salesforce run-as user is deactivated: activate them or choose another"),
    "inactive_org": (Misconfigured, "the Salesforce org is locked or closed: ask Salesforce"),
    "temporarily_unavailable": (Retry, "Salesforce's log-in service is unavailable"),
    "server_error": (Retry, "Salesforce's log-in service had an error of its own"),
}
#: `invalid_grant` says in its description what is meant.
GRANTS: tuple[tuple[str, str], ...] = (("no client credentials user", _RUN_AS), ("domain", _DOMAIN))


def base_of(settings: Mapping[str, Any]) -> str:
    """The org's address from the settings, scheme and host alone. Raises `Misconfigured` with what to set."""
    parts = urlsplit(str(settings.get("instance_url") or "").strip())
    host = (parts.hostname or "").lower()
    if not host or _WRONG_HOST.fullmatch(host):
        raise Misconfigured(_DOMAIN, code="instance_url")
    base = f"{parts.scheme}://{parts.netloc}"
    check_url(base)
    return base


def refresh(ctx: Context) -> Secrets:
    """A new access token beside what is stored, with the org's address, its ID and that of the run-as user.

    `renewed_at` is when it was asked for. Secrets have no end here: Salesforce tells none.
    """
    asked_at = ctx.now()
    client_id, client_secret = (ctx.secrets.get(name) for name in ("client_id", "client_secret"))
    if not client_id or not client_secret:
        raise Reauthorize("there is no client ID or client secret: enter both", code="no_keys")
    form = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": client_secret}
    document = _document(_post(ctx, "token", form))
    try:
        token, instance = text(document, "access_token"), text(document, "instance_url")
        user = _user(text(document, "id"))
    except BadValue:
        token, instance, user = "", "", {}
    if not token:
        raise Retry("Salesforce's log-in service answered without a token", code="no_token")
    instance = instance.rstrip("/") or base_of(ctx.settings)
    check_url(instance)
    found = {"access_token": token, "instance_url": instance, "renewed_at": asked_at.isoformat()}
    found |= user or _user_by_asking(ctx, instance, token)
    return Secrets(values={**ctx.secrets.values, **found})


def revoke(ctx: Context) -> None:
    """Ends the session of the stored access token."""
    token = ctx.secrets.get("access_token")
    if not token:
        raise Reject("there is no token to revoke")
    answer = _post(ctx, "revoke", {"token": token})
    if not 200 <= answer.status < 300:
        raise _verdict(answer)


def _user(url: str) -> dict[str, str]:
    """The org and the user in the identity URL, `…/id/<org>/<user>`; nothing when it has another form."""
    found = re.search(r"/id/(00D[A-Za-z0-9]{12,15})/(005[A-Za-z0-9]{12,15})/?$", url)
    return {"org_id": found[1], "user_id": found[2]} if found else {}


def _user_by_asking(ctx: Context, instance: str, token: str) -> dict[str, str]:
    headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
    document = _document(_sent(ctx, "GET", f"{instance}/services/oauth2/userinfo", headers, None))
    try:
        found = {"org_id": text(document, "organization_id"), "user_id": text(document, "user_id")}
    except BadValue:
        found = {}
    if not found.get("org_id"):
        raise Retry("Salesforce does not say which org the token is for", code="no_org")
    return found


def _post(ctx: Context, path: str, form: Mapping[str, str]) -> Answer:
    headers = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}
    url = f"{base_of(ctx.settings)}/services/oauth2/{path}"
    return _sent(ctx, "POST", url, headers, urlencode(form).encode())


def _sent(ctx: Context, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
    try:
        return ctx.http.call(method, url, headers={**headers, "User-Agent": "ml-connector"}, body=body)
    except Unreachable as error:
        raise Unreachable(f"{error.text}: check instance_url", code=error.code) from None
    except Unknown as error:
        raise NoAnswer(error.text, code=error.code) from None


def _document(answer: Answer) -> Any:
    if not 200 <= answer.status < 300:
        raise _verdict(answer)
    try:
        return parse_json(answer.body)
    except BadValue:
        raise Retry("Salesforce's log-in service answered without a JSON document", code="unreadable") from None


def _verdict(answer: Answer) -> VendorError:
    try:
        document = parse_json(answer.body)
        word, told = text(document, "error"), text(document, "error_description")
    except BadValue:
        word = told = ""
    status = answer.status
    if status == 429 or status >= 500 or (not word and status not in (301, 302, 307, 308)):
        return Retry(f"Salesforce's log-in service could not answer (HTTP {status})", code=word[:60], status=status)
    kind, sentence = VERDICTS.get(word, (Misconfigured, _FLOW if word else _DOMAIN))
    if word == "invalid_grant":
        sentence = next((meant for part, meant in GRANTS if part in told.lower()), sentence)
    return kind(sentence, code=word[:60], status=status, detail=told)
