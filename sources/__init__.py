"""The accounting systems that say what happened: one package each, pure (wire to values).

`SYSTEMS` maps a system's key to its class; a new source is one package and one line here.
"""

from __future__ import annotations

SYSTEMS: dict[str, str] = {
    "freshbooks": "sources.freshbooks.source.FreshBooks",
    "quickbooks_desktop": "sources.quickbooks_desktop.source.QuickBooksDesktop",
    "quickbooks_online": "sources.quickbooks_online.source.QuickBooksOnline",
    "sage_intacct": "sources.sage_intacct.source.SageIntacct",
    "salesforce": "sources.salesforce.source.Salesforce",
}
