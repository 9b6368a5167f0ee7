"""Sage Intacct's part of the day: a posting run, an entry that does not balance, and a batch of payments.

Nothing waits for a schedule here: Intacct itself calls each time, and asks to be read.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import http.client
import time
from typing import Any
from zoneinfo import ZoneInfo

from connector.demo.day import ORGANIZATION, Cut, Expected, Play, Scene, Stage
from connector.demo.slack import route
from connector.demo.stack import HOST
from sources.sage_intacct.standin import IntacctStandIn, credit, debit

CONNECTION = "acme-intacct"
COMPANY = "ACME-COMPANY"
_TRIGGER = f"/webhooks/sage-intacct/{CONNECTION}/"
_SECRET = "fake-trigger-secret"  # noqa: S105 - the demonstration's own
#: What is younger than two minutes may not be whole yet, and no alarm is raised over it.
_AGE = dt.timedelta(minutes=2, seconds=1)
_ACCOUNTS = {
    "1010": "Checking", "1110": "Prepaid rent", "2010": "Accounts payable", "6100": "Salaries", "6300": "Rent",
    "6410": "Travel", "9100": "Headcount",
}  # fmt: skip
_REGAL, _TEXTILES, _SHARPE, _FREIGHT = "20001", "20003", "20024", "20031"
_VENDORS = {
    _REGAL: "Regal Services", _TEXTILES: "Burlington Textiles", _SHARPE: "Sharpe & Daughters Interiors",
    _FREIGHT: "Cascade Freight",
}  # fmt: skip
_BATCH = "Payments(Bank-BA1143): Monday's run"

#: How the messages begin, by what brings them about; {} is the name of a vendor.
_TEXTS = {
    "run": ("finance", "GL posting of 3 batches completed: $52,908.52"),
    "second run": ("finance", "GL posting of 1 batch completed: $1,200.00"),
    "unbalanced": ("finance", "GL posting GJ 252 is out of balance: $200.00"),
    "batch": ("ap", "Payment batch 321 completed: $2,345.00"),
    "voided": ("ap", "Payment 10022 voided: {}, $500.00"),
    "rejected": ("ap", "Payment 10023 rejected: {}, $96.20"),
    "vendor": ("ap", "Vendor 20031 has an exception: {}"),
    "grown batch": ("ap", "Payment batch 321 completed: $2,425.61"),
}


def open_company(intacct: IntacctStandIn) -> dict[str, str]:
    """The company before the day began; the variables that hold its credentials."""
    intacct.entered_ago = dt.timedelta(days=30)
    for symbol, title in (("GJ", "General journal"), ("PYRJ", "Payroll journal"), ("STAT", "Statistical journal")):
        intacct.add_journal(symbol, title, is_statistical=symbol == "STAT")
    for number, title in _ACCOUNTS.items():
        intacct.add_account(number, title)
    for number, name in _VENDORS.items():
        intacct.add_vendor(number, name)
    intacct.entered_ago = _AGE
    user, password = intacct.user
    return {"SAGE_USER": user, "SAGE_PASSWORD": password, "SAGE_TRIGGER_SECRET": _SECRET}


class IntacctScene(Scene):
    """One company. Each run tells what is new in it, once; whoever calls without the secret brings nothing about."""

    label = "Sage Intacct"

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        standin = stage.standins["sage_intacct"]
        assert isinstance(standin, IntacctStandIn)
        self.intacct = standin

    def connections(self) -> list[dict[str, Any]]:
        # Far from now, so that the day is read when Intacct asks, and only then.
        hour = (dt.datetime.now(ZoneInfo(ORGANIZATION["timezone"])).hour + 12) % 24
        schedules = [
            {"report": "gl_postings", "cron": f"0 {hour} * * *"},
            {"report": "payment_batches", "cron": f"30 {hour} * * *"},
            {"report": "gl_postings", "cron": f"45 {hour} * * *", "window": {"last": 2, "first": 5}},
        ]
        credentials = {
            "user_id": "env:SAGE_USER",
            "user_password": "env:SAGE_PASSWORD",
            "trigger_secret": "env:SAGE_TRIGGER_SECRET",
        }
        return [
            {
                "slug": CONNECTION,
                "system": "sage_intacct",
                "account": COMPANY,
                "credentials": credentials,
                "settings": {"lookback_hours": 24},
                "schedules": schedules,
            }
        ]

    def routes(self) -> list[dict[str, Any]]:
        rows = (
            ("Intacct postings to finance", "finance", ["gl_posting.*"]),
            ("Intacct payments to AP", "ap", ["payment_batch.*", "payment.*", "vendor.*"]),
        )
        told = [route(name, CONNECTION, channel, events, thread_updates=True) for name, channel, events in rows]
        return [*told, route("Intacct troubles to ops", CONNECTION, "ops", ["connection.*"])]

    def play(self) -> Play:
        self._forged()
        self._post()
        yield self._read(self._expect("run"))
        self.intacct.post_batch(
            title="Reclass rent", lines=[debit("6300", "1200.00"), credit("1110", "1000.00")], may_be_unbalanced=True
        )
        self.say("an entry is posted that does not balance")
        yield self._read(self._expect("second run"), self._expect("unbalanced"))
        self.intacct.expire_sessions()
        self.say("Intacct ends the session")
        self._pay()
        first = self._expect("batch")
        wrong = self._expect("voided", _TEXTILES), self._expect("rejected", _SHARPE), self._expect("vendor", _FREIGHT)
        yield self._read(first, *wrong)
        self.intacct.add_payment(_SHARPE, "80.61", batch=_BATCH, method="EFT")
        self.say("a late payment joins the batch")
        yield self._read(self._expect("grown batch", thread=first))

    def problems(self) -> list[str]:
        intacct = self.intacct
        found = [f"Intacct was treated badly: {text}" for text in intacct.violations]
        if intacct.overlaps:
            found.append(f"{intacct.overlaps} requests came to Intacct while another was in flight")
        if (intacct.logins, intacct.refused_logins) != (2, 0):
            found.append(f"Intacct saw {intacct.logins} log-ins ({intacct.refused_logins} refused) instead of 2")
        return found

    # --- what the bookkeepers do -------------------------------------------------------------------------------------

    def _post(self) -> None:
        intacct = self.intacct
        intacct.post_batch("PYRJ", "Payroll", [debit("6100", "50000.00"), credit("1010", "50000.00")])
        intacct.post_batch("GJ", "Rent", [debit("6300", "2800.00"), credit("1110", "2800.00")])
        euros = {"currency": "EUR", "trx_amount": "100.00"}
        intacct.post_batch("GJ", "Trip to Lyon", [debit("6410", "108.52", **euros), credit("2010", "108.52", **euros)])
        self.say("three journal entries are posted, one of them in euros")
        intacct.post_batch("STAT", "Heads", [debit("9100", "42")], is_statistical=True)
        intacct.post_batch("GJ", "Accruals", [debit("6410", "75.00")], state="Draft")
        self.say("a statistical entry is posted, and a draft is begun")

    def _pay(self) -> None:
        intacct = self.intacct
        intacct.add_payment(_REGAL, "1475.00", batch=_BATCH, number="10021")
        voided = intacct.add_payment(_TEXTILES, "500.00", batch=_BATCH, number="10022")
        declined = intacct.add_payment(_SHARPE, "96.20", state="S", batch=_BATCH, number="10023")
        intacct.set_vendor(_FREIGHT, is_on_hold=True)
        intacct.add_payment(_FREIGHT, "870.00", batch=_BATCH, number="10024")
        self.say("a batch of four checks is paid, one to a vendor on hold")
        intacct.set_payment_state(voided, "V")
        intacct.set_payment_state(declined, "U")
        self.say("one check is voided, and one payment is declined")

    # --- expecting and calling ---------------------------------------------------------------------------------------

    def _expect(self, key: str, vendor: str = "", thread: Expected | None = None) -> Expected:
        channel, text = _TEXTS[key]
        name = _VENDORS.get(vendor, "").replace("&", "&amp;")
        return self.stage.expect(Expected(channel, text.format(name), thread, is_delayed=True))

    def _read(self, *expected: Expected) -> Any:
        status = self._call(_SECRET)
        self.say(f"Intacct asks to be read: {status}")
        if status >= 300:
            raise Cut(f"Intacct's call was answered with {status}")
        return self.stage.until(*expected)

    def _forged(self) -> None:
        """Raises `Cut` when a stranger is believed."""
        status = self._call("fake-guess")
        self.say(f"a stranger asks for a reading: {status}")
        if status != 401:
            raise Cut("a forged call was not refused")

    def _call(self, secret: str) -> int:
        """What Platform Services does when something was posted; the answer's status."""
        body, stamp = b'{"object": "GLBATCH"}', str(int(time.time()))
        digest = hmac.new(secret.encode(), stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
        headers = {"Content-Type": "application/json", "X-Connector-Signature": f"t={stamp},v1={digest}"}
        wire = http.client.HTTPConnection(HOST, self.stage.connector.port, timeout=10)
        try:
            wire.request("POST", _TRIGGER, body, headers)
            return wire.getresponse().status
        finally:
            wire.close()
