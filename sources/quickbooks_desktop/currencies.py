"""QuickBooks names currencies in words ("Euro", "US Dollar"); messages and routes speak ISO 4217."""

from __future__ import annotations

import functools

from babel import Locale
from babel.numbers import list_currencies

#: QuickBooks' own names where they differ from the common English ones.
_OWN = {
    "us dollar": "USD", "united states dollar": "USD", "canadian dollar": "CAD", "pound sterling": "GBP",
    "british pound sterling": "GBP", "uk pound sterling": "GBP", "euro": "EUR", "australian dollar": "AUD",
    "new zealand dollar": "NZD", "chinese yuan renminbi": "CNY", "yuan renminbi": "CNY", "indian rupee": "INR",
    "japanese yen": "JPY", "mexican peso": "MXN", "swiss franc": "CHF", "russian rouble": "RUB",
    "uae dirham": "AED", "emirati dirham": "AED", "saudi arabian riyal": "SAR", "turkish new lira": "TRY",
    "new taiwan dollar": "TWD", "taiwan dollar": "TWD", "korean won": "KRW", "south korean won": "KRW",
    "brazilian real": "BRL", "vietnamese dong": "VND", "israeli new shekel": "ILS", "israeli shekel": "ILS",
}  # fmt: skip


def code_of(name: str) -> str:
    """The ISO code of a currency's name (or the code itself); the name as it is when nobody knows it."""
    words = " ".join(name.split())
    return _codes().get(words.casefold(), words)


@functools.cache
def _codes() -> dict[str, str]:
    """Names and codes. Historic currencies give way to those of today that share a name."""
    names = Locale("en").currencies
    found: dict[str, str] = {}
    for code in sorted(list_currencies("en")):
        found.setdefault(str(names.get(code, code)).casefold(), code)
        found[code.casefold()] = code
    return found | _OWN
