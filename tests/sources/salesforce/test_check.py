"""The ping and the marks on records, against the stand-in org."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest

from connector.kernel.contracts import Context, Feedback
from connector.kernel.errors import Misconfigured, Reject
from sources.salesforce.errors import Duplicate
from sources.salesforce.standin import SalesforceStandIn
from tests.sources.salesforce.org import SALESFORCE, context


@pytest.fixture
def org() -> Iterator[SalesforceStandIn]:
    with SalesforceStandIn() as standin:
        yield standin
        assert standin.violations == []


def missing(ctx: Context) -> str:
    with pytest.raises(Misconfigured) as caught:
        SALESFORCE.check(ctx)
    return caught.value.text


def test_everything_is_there(org: SalesforceStandIn) -> None:
    ctx = context(org)
    sentence = SALESFORCE.check(ctx)
    assert sentence.startswith(
        f"Connected to the org 00D000000000001EAA as the user {ctx.secrets.get('user_id')}, API 67.0. "
        "This edition has no Invoice and no Payment object; invoices are kept as Opportunities. "
    )
    assert sentence.endswith(" of 100000 API calls are used in 24 hours")
    org.reveal("Invoice")
    assert "no Payment object" in SALESFORCE.check(ctx)
    assert "no Invoice" not in SALESFORCE.check(ctx)


def test_everything_that_is_missing_is_named_at_once(org: SalesforceStandIn) -> None:
    org.hide("OrderItem")
    org.remove_field("Account", "QBO_Customer_Id__c")
    org.add_field("Account", "QBO_Customer_Id__c")
    org.hide_field("Order", "QBO_JournalEntry_Id__c")
    assert missing(context(org)) == (
        "Salesforce lacks the object OrderItem, the External ID mark of Account.QBO_Customer_Id__c, the field "
        "Order.QBO_JournalEntry_Id__c (or hides it from the run-as user): install the connector's package, assign its "
        "permission set, and switch Orders on in Setup"
    )


def test_a_field_that_cannot_be_written(org: SalesforceStandIn) -> None:
    org.lock_field("Order", "QBO_JournalEntry_Id__c")
    assert "the right to write Order.QBO_JournalEntry_Id__c" in missing(context(org))


def test_optional_fields_are_only_mentioned(org: SalesforceStandIn) -> None:
    org.hide_field("OrderItem", "QBO_Class__c")
    org.hide_field("Order", "QBO_Sync_Status__c")
    found = SALESFORCE.check(context(org))
    assert "Done without OrderItem.QBO_Class__c, Order.QBO_Sync_Status__c, which are not there" in found


def test_a_version_or_an_org_that_is_another(org: SalesforceStandIn) -> None:
    ctx = context(org)
    assert "SALESFORCE_API_VERSION" in missing(dataclasses.replace(ctx, app={"api_version": "12.0"}))
    assert "not 00D999999999999" in missing(dataclasses.replace(ctx, account="00D999999999999"))
    assert SALESFORCE.check(dataclasses.replace(ctx, account="00D000000000001EAA"))


def order_of(org: SalesforceStandIn) -> str:
    account = org.create("Account", Name="Zed")
    return org.add_order(account, [(org.add_product("A", 5), 1, 5)], activate=True)


def test_a_mark_is_left_once(org: SalesforceStandIn) -> None:
    order, ctx = order_of(org), context(org)
    feedback = Feedback("order", order, "posted", "145", "Journal entry SF-00000100")
    SALESFORCE.note(ctx, feedback)
    SALESFORCE.note(ctx, feedback)
    row = org.record("Order", order)
    assert (row["QBO_JournalEntry_Id__c"], row["QBO_Sync_Status__c"]) == ("145", "Posted: Journal entry SF-00000100")
    assert row["StatusCode"] == "Activated"
    SALESFORCE.note(ctx, Feedback("order", order, "reversed"))
    row = org.record("Order", order)
    assert (row["QBO_JournalEntry_Id__c"], row["QBO_Sync_Status__c"]) == ("145", "Reversed")


def test_a_customer_gets_the_other_records_id(org: SalesforceStandIn) -> None:
    account, ctx = org.create("Account", Name="Zed"), context(org)
    SALESFORCE.note(ctx, Feedback("customer", account, "created", "58"))
    assert org.record("Account", account)["QBO_Customer_Id__c"] == "58"
    other = org.create("Account", Name="Other")
    with pytest.raises(Duplicate) as caught:
        SALESFORCE.note(ctx, Feedback("customer", other, "created", "58"))
    assert caught.value.record_ids == (account,)


def test_fields_of_the_route_go_before_those_of_the_connection(org: SalesforceStandIn) -> None:
    org.add_field("Order", "Ledger__c", external_id=True)
    order, ctx = order_of(org), context(org)
    SALESFORCE.note(ctx, Feedback("order", order, "posted", "9", settings={"journal_entry_id_field": "Ledger__c"}))
    assert org.record("Order", order)["Ledger__c"] == "9"
    with pytest.raises(Misconfigured, match="Nope__c"):
        SALESFORCE.note(ctx, Feedback("order", order, "posted", "9", settings={"journal_entry_id_field": "Nope__c"}))


def test_long_reasons_are_cut_to_the_field(org: SalesforceStandIn) -> None:
    order, ctx = order_of(org), context(org)
    SALESFORCE.note(ctx, Feedback("order", order, "refused", text="no " * 200))
    status = org.record("Order", order)["QBO_Sync_Status__c"]
    assert status == ("Refused: " + "no " * 200)[: len(status) - 1] + "…"
    assert len(status) == 255


def test_where_there_is_nothing_to_mark_nothing_is_written(org: SalesforceStandIn) -> None:
    order, ctx = order_of(org), context(org)
    org.delete("Order", order, force=True)
    SALESFORCE.note(ctx, Feedback("order", order, "reversed", "9"))
    account = org.create("Account", Name="Zed")
    org.clear()
    SALESFORCE.note(ctx, Feedback("customer", account, "refused", text="no currency"))
    SALESFORCE.note(ctx, Feedback("invoice", account, "posted", "1"))
    assert org.writes == []
    assert org.count("PATCH") == 0
    with pytest.raises(Reject):
        SALESFORCE.note(ctx, Feedback("order", "not-an-id", "posted", "1"))
