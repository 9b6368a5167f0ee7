"""What stands in a fresh record of each kind: all fields that FreshBooks sends, with nothing in them."""

from __future__ import annotations

import dataclasses
from typing import Any
from zoneinfo import ZoneInfo

Document = dict[str, Any]

EASTERN = ZoneInfo("America/New_York")
UTC = ZoneInfo("UTC")


def _fields(value: Any, names: str) -> Document:
    return dict.fromkeys(names.split(), value)


_INVOICE = {
    **_fields(None, "autobill_status date_paid deposit_amount deposit_percentage discount_description dispute_status"),
    **_fields(None, "due_date fulfillment_date generation_date last_order_status po_number return_uri terms vat_name"),
    **_fields("", "address city code country current_organization description email fname invoice_number lname notes"),
    **_fields("", "organization payment_details province street street2 vat_number"),
    **_fields(0, "customerid due_offset_days estimateid ext_archive parent vis_state"),
    **_fields(False, "auto_bill gmail show_attachments"),
    **{"create_date": None, "deposit_status": "none", "discount_value": "0", "display_status": "draft"},
    **{"language": "en", "ownerid": 1, "payment_status": "unpaid", "sentid": 1, "status": 1},
    **{"template": "clean-grouped", "v3_status": "draft", "lines": []},
}
_PAYMENT = {
    **_fields(None, "bulk_paymentid creditid date gateway invoiceid note orderid overpaymentid"),
    **_fields(None, "send_client_notification transactionid type"),
    **{"clientid": 0, "from_credit": False, "vis_state": 0},
}
_BILL = {
    **_fields(None, "attachment bill_number due_date issue_date overall_category overall_description vendor vendorid"),
    **{"bill_payments": [], "due_offset_days": 0, "language": "en", "lines": [], "status": "unpaid", "vis_state": 0},
}
_BILL_PAYMENT = {**_fields(None, "billid note paid_date payment_type"), "vis_state": 0}
_BILL_VENDOR = {
    **_fields(None, "account_number city country note phone postal_code primary_contact_email"),
    **_fields(None, "primary_contact_first_name primary_contact_last_name province street street2 website"),
    **{"currency_code": "USD", "is_1099": False, "language": "en", "vendor_name": "", "vis_state": 0},
    **{"outstanding_balance": [], "overdue_balance": [], "tax_defaults": []},
}
_EXPENSE = {
    **_fields(None, "accountid attachment background_jobid bank_name converse_projectid date ext_accountid invoiceid"),
    **_fields(None, "modern_projectid taxAmount1 taxAmount2 taxName1 taxName2 taxPercent1 taxPercent2 transactionid"),
    **_fields(0, "categoryid clientid ext_invoiceid ext_systemid projectid status vis_state"),
    **_fields(False, "billable compounded_tax from_bulk_import has_receipt include_receipt is_cogs isduplicate"),
    **{"account_name": "", "bill_matches": [], "markup_percent": "0", "notes": "", "potential_bill_payment": False},
    **{"profileid": None, "staffid": 1, "vendor": None, "category": None},
}
_CATEGORY = {
    **{"category": "", "is_cogs": False, "is_editable": True, "parentid": None, "transaction_posted": False},
    **{"vis_state": 0},
}
_CLIENT = {
    **_fields("", "bus_phone email fax fname lname mob_phone organization p_city p_code p_country p_province p_street"),
    **_fields("", "p_street2 s_city s_code s_country s_province s_street s_street2 username"),
    **_fields(None, "company_industry company_size direct_link_token has_retainer home_phone last_activity last_login"),
    **_fields(None, "note retainer_id statement_token subdomain uuid vat_name vat_number"),
    **_fields(False, "allow_email_include_pdf allow_late_fees allow_late_notifications notified pref_gmail"),
    **{"currency_code": "USD", "grand_total_balance": [], "language": "en", "level": 0, "num_logins": 0},
    **{"pref_email": True, "role": "client", "vis_state": 0, "outstanding_balance": []},
}


@dataclasses.dataclass(frozen=True, slots=True)
class Resource:
    """One kind of record. The stamps are naive texts in `zone`; `noun` is empty when no event tells of it.

    `keys` are the fields that hold the record's number, `included` those that come only when asked for, and `system`
    the field that holds the account's ID.
    """

    path: str
    single: str
    listed: str
    keys: tuple[str, ...]
    scope: str
    template: Document
    noun: str = ""
    created: str = ""
    updated: str = ""
    zone: ZoneInfo = EASTERN
    included: tuple[str, ...] = ()
    system: str = ""

    @property
    def date(self) -> str:
        """The field that `search[date_min]` looks at."""
        return next((name for name in ("create_date", "issue_date", "paid_date") if name in self.template), "date")


#: By the name that lists carry.
RESOURCES = {
    resource.listed: resource
    for resource in (
        Resource(
            "invoices/invoices", "invoice", "invoices", ("id", "invoiceid"), "user:invoices:read", _INVOICE,
            noun="invoice", created="created_at", updated="updated", included=("lines", "presentation"),
            system="accounting_systemid",
        ),
        Resource(
            "payments/payments", "payment", "payments", ("id", "logid"), "user:payments:read", _PAYMENT,
            noun="payment", updated="updated", system="accounting_systemid",
        ),
        Resource(
            "bills/bills", "bill", "bills", ("id",), "user:bills:read", _BILL,
            noun="bill", created="created_at", updated="updated_at", zone=UTC,
        ),
        Resource(
            "bill_payments/bill_payments", "bill_payment", "bill_payments", ("id",), "user:bill_payments:read",
            _BILL_PAYMENT,
        ),
        Resource(
            "bill_vendors/bill_vendors", "bill_vendor", "bill_vendors", ("vendorid",), "user:bill_vendors:read",
            _BILL_VENDOR, noun="bill_vendor", created="created_at", updated="updated_at", zone=UTC,
        ),
        Resource(
            "expenses/expenses", "expense", "expenses", ("id", "expenseid"), "user:expenses:read", _EXPENSE,
            noun="expense", updated="updated", included=("category",), system="accounting_systemid",
        ),
        Resource(
            "expenses/categories", "category", "categories", ("id", "categoryid"), "user:expenses:read", _CATEGORY,
            noun="category", created="created_at", updated="updated_at", zone=UTC,
        ),
        Resource(
            "users/clients", "client", "clients", ("id", "userid"), "user:clients:read", _CLIENT,
            noun="client", updated="updated", included=("outstanding_balance",), system="accounting_systemid",
        ),
    )
}  # fmt: skip
PATHS = {resource.path: resource for resource in RESOURCES.values()}
