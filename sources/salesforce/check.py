"""The ping: whether the org has everything that the connector reads and writes, and who it is logged in as."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from connector.kernel.contracts import Context
from connector.kernel.errors import Misconfigured
from sources.salesforce import layout
from sources.salesforce.client import Client
from sources.salesforce.describe import ObjectShape

#: Objects that only some editions have; the connector works without them.
EDITION = ("Invoice", "Payment")
NEEDED = (layout.ACCOUNT, layout.ORDER, layout.ITEM, layout.PRODUCT)


def check(ctx: Context) -> str:
    """A sentence about what was found. Raises `Misconfigured` with everything that is missing in one sentence."""
    client, names = Client(ctx), layout.names_in(ctx.settings)
    if client.version not in client.versions():
        raise Misconfigured(
            f"the Salesforce org does not know API version {client.version}: set SALESFORCE_API_VERSION to one it has",
            code="api_version",
        )
    client.forget_describes()  # somebody may just have mended what the last ping found
    visible = client.sobjects()
    if client.org_id and ctx.account and client.org_id[:15] != ctx.account[:15]:
        raise Misconfigured(
            f"these credentials open the org {client.org_id}, not {ctx.account}: correct the account or the address",
            code="wrong_account",
        )
    shapes = {obj: client.describe(obj) for obj in NEEDED if obj in visible}
    if missing := list(_missing(shapes, names)):
        raise Misconfigured(
            f"Salesforce lacks {', '.join(missing)} (or hides it from the run-as user): install the connector's "
            "package, assign its permission set, and switch Orders on in Setup",
            code="missing",
        )
    return ". ".join(_found(client, visible, shapes, names))


def _missing(shapes: Mapping[str, ObjectShape], names: layout.Names) -> Iterator[str]:
    yield from (f"the object {obj}" for obj in NEEDED if obj not in shapes)
    for obj, field in ((layout.ACCOUNT, names.customer_id), (layout.ORDER, names.journal_entry_id)):
        if obj not in shapes:
            continue
        shape = shapes[obj].fields.get(field)
        if shape is None:
            yield f"the field {obj}.{field}"
        elif not shape.is_external_id:
            yield f"the External ID mark of {obj}.{field}"
        elif not shape.can_update:
            yield f"the right to write {obj}.{field}"


def _found(
    client: Client, visible: Mapping[str, Any], shapes: Mapping[str, ObjectShape], names: layout.Names
) -> Iterator[str]:
    yield f"Connected to the org {client.org_id} as the user {client.user_id}, API {client.version}"
    optional = [(obj, field) for obj in shapes if obj != layout.PRODUCT for field in (names.department, names.class_)]
    optional.append((layout.ORDER, layout.STATUS_FIELD))
    if lacking := [f"{obj}.{field}" for obj, field in optional if not shapes[obj].has(field)]:
        yield f"Done without {', '.join(lacking)}, which are not there"
    if absent := [obj for obj in EDITION if obj not in visible]:
        yield f"This edition has no {' and no '.join(absent)} object; invoices are kept as Opportunities"
    used, allowed = client.usage
    if allowed:
        yield f"{used} of {allowed} API calls are used in 24 hours"
