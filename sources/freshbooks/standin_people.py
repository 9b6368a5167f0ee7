"""The stand-in's people: who may log in, and in which businesses they work (GET /auth/api/v1/users/me)."""

from __future__ import annotations

import dataclasses
from typing import Any

from sources.freshbooks.standin_books import Business

_NO_ADDRESS = {"id": 76433, "street": "", "city": "Toronto", "province": "Ontario", "country": "Canada"}


@dataclasses.dataclass(slots=True)
class Person:
    """A FreshBooks identity; `memberships` are the businesses with the person's role in each."""

    identity_id: int
    email: str
    first_name: str
    last_name: str
    memberships: list[tuple[str, Business]] = dataclasses.field(default_factory=list)

    def may_open(self, account_id: str) -> bool:
        return any(business.account_id == account_id for _, business in self.memberships)

    def document(self) -> dict[str, Any]:
        """The whole answer about the person."""
        accounts = [business.account_id for _, business in self.memberships if business.account_id]
        names = {"first_name": self.first_name, "last_name": self.last_name}
        profile: dict[str, Any] = {
            "setup_complete": True,
            **names,
            "phone_number": None,
            "address": None,
            "professions": [],
        }
        return {
            "response": {
                "id": self.identity_id,
                "profile": {**profile, "setup_complete": True, "has_password": True},
                "identity_id": self.identity_id,
                "identity_uuid": _uuid(self.identity_id),
                **names,
                "email": self.email,
                "language": "en",
                "confirmed_at": "2017-05-23T05:57:24Z",
                "created_at": "2017-05-23T05:42:42Z",
                "unconfirmed_email": None,
                "setup_complete": True,
                "phone_numbers": [{"title": "", "phone_number": None}],
                "addresses": [None],
                "profession": None,
                "links": {"me": f"/service/auth/api/v1/users?id={self.identity_id}"},
                "permissions": {account: {} for account in accounts},
                "groups": [self._group(*membership) for membership in self.memberships],
                "subscription_statuses": dict.fromkeys(accounts, "active"),
                "integrations": {},
                "business_memberships": [_membership(*membership) for membership in self.memberships],
                "identity_origin": None,
                "roles": [],
            }
        }

    def _group(self, role: str, business: Business) -> dict[str, Any]:
        return {
            "id": business.business_id + 1,
            "group_id": business.business_id + 2,
            "role": role,
            "identity_id": self.identity_id,
            "identity_uuid": _uuid(self.identity_id),
            "business_id": business.business_id,
            "active": True,
        }


def _membership(role: str, business: Business) -> dict[str, Any]:
    return {
        "id": business.business_id + 3,
        "role": role,
        "unacknowledged_change": False,
        "business": {
            "id": business.business_id,
            "business_uuid": _uuid(business.business_id),
            "name": business.name,
            "account_id": business.account_id,
            "date_format": "mm/dd/yyyy",
            "address": {**_NO_ADDRESS, "postal_code": ""},
            "phone_number": None,
            "business_clients": [],
        },
    }


def _uuid(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012d}"
