"""The ping: whether the reports could be read now, in two small requests.

The first looks whether the user may read every object that the reports need, the second at the user's own time format.
"""

from __future__ import annotations

from connector.kernel.contracts import Context
from connector.kernel.errors import Misconfigured, VendorError
from sources.sage_intacct import formatting as formats
from sources.sage_intacct import reports
from sources.sage_intacct.envelope import Function
from sources.sage_intacct.errors import RIGHTS
from sources.sage_intacct.queries import Query
from sources.sage_intacct.reading import Gateway


def check(ctx: Context) -> str:
    """Who is connected to what. Raises `Misconfigured` naming every object that may not be read."""
    reports.settings_of(ctx)
    keys = {name: "VENDORID" if name == "VENDOR" else "RECORDNO" for name in RIGHTS}
    functions = [
        Function(name.lower(), Query(name, (key,), order=key, page=1).verb(), name) for name, key in keys.items()
    ]
    gateway, user = Gateway(ctx), reports.user_read(ctx)
    reply = gateway.call([*functions, user.function()])
    failures = {name: reply.results[name.lower()].failure for name in RIGHTS}
    found = {name: failure for name, failure in failures.items() if failure is not None}
    if found:
        raise _joined(found)
    user.take(reply.results[user.name])
    if (wanted := reports.formatting_read(user)) is not None:
        gateway.read([wanted])
        if wanted.rows:
            formats.from_row(wanted.rows[0], ctx.now())
    where = f"in the entity {reply.entity}" if reply.entity else "at the top level"
    return f"Connected to the company {reply.company} as {reply.user or ctx.secrets.get('user_id')}, {where}"


def _joined(found: dict[str, VendorError]) -> VendorError:
    """Missing rights together, else the first failure."""
    denied = {name: error for name, error in found.items() if isinstance(error, Misconfigured)}
    if len(denied) < len(found):
        return next(error for name, error in found.items() if name not in denied)
    if len(denied) == 1:
        return next(iter(denied.values()))
    rights = ", ".join(dict.fromkeys(RIGHTS[name] for name in denied))
    first = next(iter(denied.values()))
    return Misconfigured(
        f"the role of the Intacct user may not read {', '.join(denied)}: give it List and View of {rights}",
        code=first.code,
        detail="; ".join(error.detail for error in denied.values() if error.detail),
    )
