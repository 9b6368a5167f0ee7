"""FreshBooks: a business whose callbacks go astray, and a person who connects it again when Slack says so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import yaml

from sources.freshbooks.standin import FreshBooksStandIn
from sources.freshbooks.standin_faults import ANSWERS
from tests.gauntlet.courier import RoughCourier
from tests.gauntlet.happenings import Batch, Happening
from tests.gauntlet.schedule import Fault
from tests.gauntlet.traffic import Traffic
from tests.stack import Stack, wait_for

ACCOUNT, BUSINESS_ID = "6BApk", 77128
APP = {"FRESHBOOKS_CLIENT_ID": "fake-client-id", "FRESHBOOKS_CLIENT_SECRET": "fake-client-secret"}
#: Three verbs of each of four nouns, and invoices that are emailed.
CALLBACKS = 13
READ, TOKEN = "GET /accounting/", "POST /auth/oauth/token"
#: Slower than HTTP_TIMEOUT_SECONDS of the gauntlet's stack.
SLOW = 4.0
KINDS = {"invoice": "invoices", "bill": "bills", "expense": "expenses", "payment": "payments"}
#: Seconds between two looks of the person, and two readings of what was lost.
LOOK, PAUSE = 1.0, 4.0


def money(amount: int) -> dict[str, str]:
    return {"amount": f"{amount}.00", "code": "USD"}


def document(happening: Happening) -> dict[str, Any]:
    """What a new record holds."""
    amount, number = money(happening.amount), happening.number
    return {
        "invoice": {"invoice_number": number, "customerid": 5001, "amount": amount, "create_date": "2026-11-03"},
        "bill": {"bill_number": number, "vendorid": 7001, "amount": amount, "issue_date": "2026-11-03"},
        "expense": {"vendor": happening.name, "amount": amount, "date": "2026-11-03", "categoryid": 9001},
    }[happening.noun]


def changed(happening: Happening) -> dict[str, Any]:
    """What an update sets."""
    amount = money(happening.amount)
    more = {"invoice": ("outstanding",), "bill": ("total_amount", "outstanding"), "expense": ()}[happening.noun]
    return dict.fromkeys(("amount", *more), amount)


class FreshBooksTraffic(Traffic):
    """One business. `courier` is how its callbacks travel."""

    system = "freshbooks"

    def __init__(self, stack: Stack, batches: Sequence[Batch], seed: int) -> None:
        super().__init__(stack, batches)
        self.freshbooks = FreshBooksStandIn(APP["FRESHBOOKS_CLIENT_ID"], APP["FRESHBOOKS_CLIENT_SECRET"]).start()
        self.freshbooks.courier.stop()
        self.courier = RoughCourier(lambda callback: callback.number in self.freshbooks.callbacks, seed)
        self.freshbooks.courier = self.courier
        self.reconnected = 0
        self._ids: dict[int, int] = {}
        self._is_kept = self._is_swept = False
        stack.env |= {**APP, "FRESHBOOKS_API_URL": self.freshbooks.url}
        business = self.freshbooks.add_business(ACCOUNT, "Acme Workshop", business_id=BUSINESS_ID)
        business.put("clients", {"id": 5001, "organization": "Hooli"})
        business.put("bill_vendors", {"vendorid": 7001, "vendor_name": "Tidewater Timber"})
        business.put("categories", {"id": 9001, "category": "Meals"})
        business.updates_after_create = 1

    @property
    def connection(self) -> dict[str, Any]:
        tokens = self.freshbooks.issue_tokens()
        credentials = {name: tokens[name] for name in ("access_token", "refresh_token")}
        return {
            "slug": self.slug,
            "system": self.system,
            "account": ACCOUNT,
            "credentials": {**credentials, "expires_at": "2099-01-01T00:00:00Z"},
            "settings": {"business_id": str(BUSINESS_ID), "settle_seconds": 1},
        }

    @property
    def violations(self) -> list[str]:
        return self.freshbooks.violations

    @property
    def notes(self) -> list[tuple[str, str]]:
        fates = ", ".join(f"{count} {fate}" for fate, count in sorted(self.courier.fates.items()))
        return [("callbacks of FreshBooks", fates), ("FreshBooks connected again", str(self.reconnected))]

    @property
    def is_over(self) -> bool:
        return self._is_swept

    def settle_in(self) -> None:
        def is_met() -> bool:
            callbacks = list(self.freshbooks.callbacks.values())
            return len(callbacks) >= CALLBACKS and all(each.is_verified for each in callbacks)

        wait_for(is_met, 60, what="the callbacks of FreshBooks")
        self._stack.manage("poll", self.slug)  # what is lost from now on will be found

    def stop(self) -> None:
        super().stop()
        self.refused, self.slowest = self.courier.refused, self.courier.slowest

    def close(self) -> None:
        self.freshbooks.stop()

    def suffer(self, fault: Fault, kill: Callable[[str], bool]) -> None:
        name, _, refresh = fault.target.partition(", ")
        if name == "token expired":
            # FreshBooks may take the old refresh token once more, or never again.
            self.freshbooks.forgives_lost_answer = refresh != "refresh lost"
            if refresh:
                kind = "answer" if refresh == "refresh 503" else "cut_after"
                self.freshbooks.fail(TOKEN, kind, answer=ANSWERS["outage"]())
            self.freshbooks.expire_access_tokens()
            return
        kind, times, word = {
            "503": ("answer", 3, "outage"),
            "429": ("answer", 3, "throttle"),
            "500": ("answer", 2, "server_error"),
            "401": ("answer", 1, "unauthorized"),
            "truncated": ("truncate", 2, ""),
            "slow": ("slow", 2, ""),
            "cut": ("cut_after", 2, ""),
        }[name]
        answer = ANSWERS[word]() if word else None
        self.freshbooks.fail(READ, kind, times=times, answer=answer, seconds=SLOW)

    def make_peace(self) -> None:
        self.freshbooks.faults.clear()

    def _works(self) -> Sequence[Callable[[], None]]:
        def keep() -> None:
            self._keep()
            self._is_kept = True

        return [keep, self._mind]

    def _mind(self) -> None:
        """Connects again as often as Slack asks for it; reads what was lost once all callbacks have travelled.

        Something may still wait for a message then that only this reading brings about: it goes on until all is in.
        """
        while not self._stopping.wait(LOOK):
            asked = sum(f"{self.slug} must be connected again" in post.text for post in self._stack.posts())
            if asked > self.reconnected and self._reconnect():
                self.reconnected += 1
            is_kept = self._is_kept
            if not self._is_swept and not self._waiting and self.courier.is_settled:
                is_read = self._stack.manage("poll", self.slug, status=None).returncode == 0
                self._is_swept = is_kept and is_read
                self._stopping.wait(0.0 if self._is_swept else PAUSE)

    def _reconnect(self) -> bool:
        """Whether fresh tokens could be stored; the other connections are left alone."""
        organization = {"slug": "acme", "name": "Acme Services LLC", "connections": [self.connection]}
        path = self._stack.var / "again.yaml"
        path.write_text(yaml.safe_dump({"version": 1, "organizations": [organization]}))
        done = self._stack.manage("config", "apply", str(path), "--force-credentials", status=None)
        return done.returncode == 0

    def _enter(self, happening: Happening) -> None:
        books, record, noun = self.freshbooks, happening.record, happening.noun
        if happening.operation == "created":
            self._ids[record] = books.put(ACCOUNT, KINDS[noun], document(happening))["id"]
        elif happening.operation == "updated":
            books.change(ACCOUNT, KINDS[noun], self._ids[record], **changed(happening))
        elif happening.operation == "emailed":
            books.send(ACCOUNT, self._ids[record])
        elif happening.operation == "deleted":
            books.delete(ACCOUNT, KINDS[noun], self._ids[record])
        else:
            self._pay(happening)

    def _pay(self, happening: Happening) -> None:
        number, amount = self._ids[happening.record], money(happening.amount)
        if happening.noun == "bill":
            paid = {"billid": number, "amount": amount, "paid_date": "2026-11-04", "payment_type": "Check"}
            self.freshbooks.put(ACCOUNT, "bill_payments", paid)
            return
        payment = Happening(self.system, happening.payer, "payment", "created", happening.amount)
        client = 600_000 + happening.payer
        self.freshbooks.put(ACCOUNT, "clients", {"id": client, "organization": payment.name})
        paid = {"invoiceid": number, "clientid": client, "amount": amount, "date": "2026-11-04", "type": "Check"}
        self._ids[happening.payer] = self.freshbooks.put(ACCOUNT, "payments", paid)["id"]
