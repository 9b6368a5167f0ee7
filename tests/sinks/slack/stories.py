"""Financial events as the sources tell them, one for each kind of message; each has a golden file of its name."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

from connector.kernel.contracts import Change, Style
from connector.kernel.events import Fact, FinancialEvent, Line, Money, Ref, Settled, Unusual

QBO = Style(organization="Acme Services LLC", source="QuickBooks Online")
APP = "https://qbo.intuit.com/app"
AT = dt.datetime(2026, 11, 20, 14, 0, tzinfo=dt.UTC)

BESSIE = Ref("vendor", "30", "Books by Bessie")
AMY = Ref("customer", "1", "Amy's Bird Sanctuary")
EXPENSES = Ref("account", "7", "Legal & Professional Fees")
CHECKING = Ref("account", "35", "Checking")


def usd(amount: str) -> Money:
    return Money(Decimal(amount), "USD")


def day(month: int, number: int) -> dt.date:
    return dt.date(2026, month, number)


BILL = FinancialEvent(
    "bill",
    "created",
    "25",
    number="INV-7731",
    party=BESSIE,
    amount=usd("1240.50"),
    balance=usd("1240.50"),
    day=day(11, 3),
    due=day(12, 3),
    status="open",
    memo="Opening hours\n\n  <shelves> & stock",
    lines=(
        Line("Contract review", usd("1000.00"), account=EXPENSES, class_=Ref("class", "2", "Retail")),
        Line(
            "",
            usd("240.50"),
            account=Ref("account", "58", "Job Materials"),
            item=Ref("item", "11", "Pump"),
            entity=AMY,
            quantity=Decimal("2.00"),
        ),
    ),
    departments=(Ref("department", "1", "East"),),
    classes=(Ref("class", "2", "Retail"), Ref("class", "3", "Wholesale")),
    accounts=(EXPENSES, Ref("account", "58", "Job Materials")),
    facts=(Fact("Terms", "Net 30"),),
    link=f"{APP}/bill?txnId=25&companyId=46",
    occurred_at=AT,
)
BILL_UPDATED = FinancialEvent(
    "bill",
    "updated",
    "25",
    number="INV-7731",
    party=BESSIE,
    amount=usd("1240.50"),
    balance=usd("200.00"),
    due=day(12, 10),
    status="partly paid",
    unusual=Unusual(usd("85.5"), usd("115.5"), 8),
    occurred_at=AT,
)
INVOICE = FinancialEvent(
    "invoice",
    "created",
    "130",
    number="1043",
    party=AMY,
    amount=usd("362.07"),
    balance=usd("362.07"),
    day=day(11, 20),
    due=day(12, 20),
    status="emailed",
    lines=(
        Line("Custom Design", usd("350.00"), item=Ref("item", "4", "Design"), quantity=Decimal("3.5")),
        Line("Discount 5%", usd("-17.50")),
    ),
    facts=(Fact("Customer memo", "Thank you!"), Fact("Tax", money=usd("29.57"))),
    link=f"{APP}/invoice?txnId=130",
    occurred_at=AT,
)
PAYMENT = FinancialEvent(
    "payment",
    "created",
    "160",
    number="Check 5055",
    party=AMY,
    amount=usd("500.00"),
    day=day(11, 20),
    settles=(
        Settled("invoice", "130", "1043", usd("362.07")),
        Settled("invoice", "131", "1044", usd("100")),
        Settled("journal_entry", "9"),
    ),
    accounts=(CHECKING,),
    facts=(Fact("Unapplied", money=usd("37.93")), Fact("Deposited to", "Checking")),
    occurred_at=AT,
)
BILL_PAYMENT = FinancialEvent(
    "bill_payment",
    "created",
    "236",
    number="45",
    party=BESSIE,
    amount=usd("1240.50"),
    day=day(11, 20),
    settles=(Settled("bill", "25", "INV-7731", usd("1240.50")),),
    facts=(Fact("Paid from", "Checking"), Fact("Method", "Check")),
    occurred_at=AT,
)
JOURNAL = FinancialEvent(
    "journal_entry",
    "created",
    "227",
    number="53",
    amount=usd("1100.00"),
    day=day(11, 30),
    lines=(
        *(
            Line(
                f"Allocation {number}",
                usd("100.00"),
                account=Ref("account", f"{number}", f"Expense {number}"),
                department=Ref("department", "1", "East"),
                posting="debit",
            )
            for number in range(1, 12)
        ),
        Line("Month end", usd("1100.00"), account=CHECKING, entity=BESSIE, posting="credit"),
    ),
    accounts=(*(Ref("account", f"{number}", f"Expense {number}") for number in range(1, 12)), CHECKING),
    departments=(Ref("department", "1", "East"),),
    facts=(Fact("Adjustment", "Yes"),),
    occurred_at=AT,
)
VENDOR = FinancialEvent(
    "vendor",
    "created",
    "30",
    party=BESSIE,
    balance=usd("0"),
    facts=(Fact("Email", "books@example.com"), Fact("Phone", "(650) 555-7745")),
    occurred_at=AT,
)
CUSTOMER = FinancialEvent("customer", "created", "1", number="A-100", party=AMY, balance=usd("239.00"), occurred_at=AT)
ACCOUNT = FinancialEvent(
    "account",
    "created",
    "80",
    number="1010",
    party=Ref("account", "80", "Petty cash"),
    balance=usd("0"),
    facts=(Fact("Type", "Bank"),),
    accounts=(Ref("account", "80", "Petty cash"),),
    occurred_at=AT,
)


def _gone(record: str, record_id: str) -> FinancialEvent:
    return FinancialEvent(record, "deleted", record_id, status="deleted", occurred_at=AT)


#: Name of the golden file -> the event and its style.
STORIES: dict[str, tuple[FinancialEvent, Style]] = {
    "bill_created": (BILL, QBO),
    "bill_updated": (
        BILL_UPDATED,
        Style(
            organization="Acme Services LLC",
            source="QuickBooks Online",
            mention="<!here>",
            notes=("Late: a newer state of this record was posted before.",),
            changes=(
                Change("due date", day(12, 3), day(12, 10)),
                Change("balance", usd("1240.50"), usd("200")),
                Change("memo", None, "for <Amy>"),
                Change("line removed", "Job Materials, Pump, 240.50 USD", None),
            ),
        ),
    ),
    "bill_paid": (
        FinancialEvent(
            "bill",
            "updated",
            "25",
            number="INV-7731",
            party=BESSIE,
            amount=usd("1240.50"),
            balance=usd("0"),
            due=day(12, 3),
            status="paid",
        ),
        QBO,
    ),
    "bill_deleted_known": (
        FinancialEvent("bill", "deleted", "25", number="INV-7731", party=BESSIE, status="deleted"),
        QBO,
    ),
    "bill_deleted_unknown": (_gone("bill", "25"), QBO),
    "invoice_created": (INVOICE, QBO),
    "invoice_paid": (
        FinancialEvent(
            "invoice",
            "updated",
            "130",
            number="1043",
            party=AMY,
            amount=usd("362.07"),
            balance=usd("0"),
            day=day(11, 20),
            status="paid",
        ),
        QBO,
    ),
    "invoice_emailed": (
        FinancialEvent(
            "invoice",
            "emailed",
            "130",
            number="1043",
            party=AMY,
            amount=usd("362.07"),
            balance=usd("362.07"),
            due=day(12, 20),
            status="emailed",
        ),
        QBO,
    ),
    "invoice_voided": (
        FinancialEvent(
            "invoice",
            "voided",
            "130",
            number="1043",
            party=AMY,
            amount=usd("0"),
            balance=usd("0"),
            day=day(11, 20),
            status="voided",
            memo="Voided - wrong customer",
        ),
        QBO,
    ),
    "invoice_in_yen_for_a_german_reader": (
        FinancialEvent(
            "invoice",
            "created",
            "140",
            number="1050",
            party=Ref("customer", "9", "Kyoto Tea"),
            amount=Money(Decimal("124050"), "JPY"),
            balance=Money(Decimal("124050"), "JPY"),
            day=day(11, 20),
            due=day(12, 3),
            status="open",
            facts=(Fact("Exchange rate", "0.0063"), Fact("Home total", money=usd("781.52"))),
        ),
        Style(organization="Acme GmbH", source="QuickBooks Online", locale="de_DE"),
    ),
    "payment_created": (PAYMENT, QBO),
    "payment_voided": (
        FinancialEvent("payment", "voided", "160", number="Check 5055", party=AMY, amount=usd("0"), status="voided"),
        QBO,
    ),
    "bill_payment_created": (BILL_PAYMENT, QBO),
    "bill_payment_deleted": (_gone("bill_payment", "236"), QBO),
    "journal_entry_created": (JOURNAL, QBO),
    "journal_entry_updated": (
        FinancialEvent(
            "journal_entry",
            "updated",
            "227",
            number="53",
            amount=usd("50"),
            day=day(11, 30),
            lines=JOURNAL.lines[:1],
            accounts=JOURNAL.accounts[:1],
        ),
        QBO,
    ),
    "vendor_created": (VENDOR, QBO),
    "vendor_updated": (FinancialEvent("vendor", "updated", "30", party=BESSIE), QBO),
    "vendor_made_inactive": (FinancialEvent("vendor", "deleted", "30", party=BESSIE, status="inactive"), QBO),
    "vendor_deleted": (_gone("vendor", "30"), QBO),
    "customer_created": (CUSTOMER, QBO),
    "customer_merged": (
        FinancialEvent("customer", "merged", "1", party=AMY, facts=(Fact("Merged with", "Amy's Birds"),)),
        QBO,
    ),
    "account_created": (ACCOUNT, QBO),
    "account_made_inactive": (
        FinancialEvent("account", "deleted", "80", party=Ref("account", "80", "Petty cash"), status="inactive"),
        QBO,
    ),
    "purchase_order_created": (
        FinancialEvent(
            "purchase_order",
            "created",
            "5-1",
            number="PO-9",
            party=BESSIE,
            amount=usd("80"),
            day=day(11, 1),
            due=day(11, 28),
            status="open",
        ),
        Style(organization="Acme Services LLC", source="QuickBooks Desktop"),
    ),
    "expense_created": (
        FinancialEvent(
            "expense",
            "created",
            "77",
            party=Ref("vendor", "", "Uber"),
            amount=Money(Decimal("18.4"), "CAD"),
            day=day(11, 19),
            accounts=(Ref("account", "3", "Travel"),),
            status="outstanding",
        ),
        Style(organization="Acme Services LLC", source="FreshBooks"),
    ),
    "order_voided": (
        FinancialEvent(
            "order",
            "voided",
            "801",
            number="00000100",
            party=Ref("customer", "001", "Hooli"),
            amount=usd("9000"),
            day=day(11, 18),
            status="Draft",
        ),
        Style(organization="Acme Services LLC", source="Salesforce"),
    ),
    "gl_posting_completed": (
        FinancialEvent(
            "gl_posting",
            "completed",
            "run-1",
            number="of 3 batches",
            amount=usd("10500"),
            accounts=tuple(Ref("account", f"{number}", f"{number} Cash") for number in (1000, 1010, 1020, 1030)),
            facts=(
                Fact("Out of balance", "GJ 252 by 500.00 USD"),
                Fact("Debits", money=usd("10500")),
                Fact("Credits", money=usd("10000")),
                Fact("Batches", "3 in GJ"),
                Fact("Lines", "120"),
            ),
            lines=(
                Line("1000 Cash, 40 entries", usd("10500"), account=Ref("account", "1000", "Cash"), posting="debit"),
            ),
        ),
        Style(organization="Acme Services LLC", source="Sage Intacct"),
    ),
    "gl_posting_unbalanced": (
        FinancialEvent(
            "gl_posting",
            "unbalanced",
            "812",
            number="812",
            amount=usd("0.01"),
            day=day(11, 20),
            memo="Debits exceed credits by $0.01",
        ),
        Style(organization="Acme Services LLC", source="Sage Intacct", mention="<@U0AP00001>"),
    ),
    "payment_batch_completed": (
        FinancialEvent(
            "payment_batch",
            "completed",
            "55",
            number="55",
            amount=usd("4200"),
            day=day(11, 20),
            facts=(
                Fact("Voided USD", "1 payment,", usd("12")),
                Fact("Processed", "7 payments by Check,", usd("4200")),
                Fact("Payments", "8 to 5 vendors"),
            ),
            lines=(Line("", usd("4200"), entity=BESSIE),),
        ),
        Style(organization="Acme Services LLC", source="Sage Intacct"),
    ),
    "payment_rejected": (
        FinancialEvent(
            "payment",
            "rejected",
            "9",
            number="9",
            party=BESSIE,
            amount=usd("300"),
            day=day(11, 20),
            status="rejected",
            memo="Bank account closed",
        ),
        Style(organization="Acme Services LLC", source="Sage Intacct"),
    ),
    "vendor_exception": (
        FinancialEvent(
            "vendor",
            "failed",
            "V-3",
            number="V-3",
            party=Ref("vendor", "V-3", "Acme Freight"),
            memo="On hold with open bills",
        ),
        Style(organization="Acme Services LLC", source="Sage Intacct"),
    ),
    "connection_needs_reauthorization": (
        FinancialEvent(
            "connection",
            "needs_reauthorization",
            "acme-books",
            number="acme-books",
            memo="Open the connection and press Connect: QuickBooks refuses the refresh token",
            link="https://connector.example/admin/connector/connection/1/change/",
            occurred_at=AT,
        ),
        QBO,
    ),
    "connection_failed": (
        FinancialEvent(
            "connection",
            "failed",
            "acme-desktop",
            number="acme-desktop",
            memo="The Web Connector has not called since 9:00 AM: is the PC on and QuickBooks open?",
        ),
        Style(organization="Acme Services LLC", source="QuickBooks Desktop"),
    ),
}
