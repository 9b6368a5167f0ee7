"""What the stand-in lets a client write, and each of the vendor's refusals."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from sources.quickbooks_online.standin import IntuitStandIn
from tests.sources.quickbooks_online.standin_client import OTHER, REALM, Client, fault, sample, without

JOURNAL = sample("write/journalentry_create_request.json")
OWN = ("Id", "MetaData", "SyncToken")


def test_customer_is_created_as_in_the_sample(client: Client) -> None:
    reply = client.post("customer?minorversion=75", sample("write/customer_create_request.json"))
    expected = sample("write/customer_create_response.json")["Customer"]
    created = reply.document["Customer"]
    assert without(created, *OWN) == without(expected, *OWN)
    stamp = "2026-11-05T12:00:00-08:00"
    assert (created["SyncToken"], created["MetaData"]) == ("0", {"CreateTime": stamp, "LastUpdatedTime": stamp})


def test_journal_entry_is_created_as_in_the_sample(client: Client, books: IntuitStandIn) -> None:
    created = client.post("journalentry", JOURNAL).document["JournalEntry"]
    expected = sample("entities/journalentry_departments_totalamt_zero.json")["JournalEntry"]
    mine = (*OWN, "PrivateNote")
    assert without(created, *mine) == without(expected, *mine)
    assert client.get(f"journalentry/{created['Id']}").document["JournalEntry"] == created
    reversal = client.post("journalentry", sample("write/journalentry_reversal_request.json")).document["JournalEntry"]
    assert client.ids("select * from JournalEntry where DocNumber = 'SF-00000123-R'") == [reversal["Id"]]


def _line(number: int, **changes: Any) -> Callable[[dict[str, Any]], None]:
    def change(entry: dict[str, Any]) -> None:
        line = entry["Line"][number]
        for name, value in changes.items():
            target = line if name in ("Amount", "DetailType") else line["JournalEntryLineDetail"]
            target[name] = value

    return change


def _top(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda entry: entry.update(changes)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (_line(0, Amount=899.99), "6000"),
        (_line(0, Amount=-900), "6000"),
        (_line(0, Amount=900.001), "6000"),
        (_line(0, Amount="900.00"), "2080"),
        (_line(0, Amount=None), "2020"),
        (_line(0, PostingType="debit"), "2170"),
        (_line(0, DetailType="SalesItemLineDetail"), "2170"),
        (_line(0, AccountRef={"value": "999"}), "2500"),
        (_line(0, AccountRef={}), "2500"),
        (_line(0, AccountRef={"value": "84"}), "6000"),
        (_line(0, Entity={"Type": "Client", "EntityRef": {"value": "5"}}), "2170"),
        (_line(0, Entity={"Type": "Customer", "EntityRef": {"value": "6"}}), "2500"),
        (_line(0, ClassRef={"value": "6"}), "2500"),
        (_top(Line=[]), "2020"),
        (_top(Line="none"), "2010"),
        (_top(Memo="x"), "2010"),
        (_top(TxnDate="05/11/2026"), "2010"),
        (_top(PrivateNote="x" * 4001), "2050"),
        (_top(CurrencyRef={"value": "GBP"}), "6000"),
        (_top(Id="999", SyncToken="0"), "610"),
    ],
)
def test_journal_entry_refused(
    client: Client, books: IntuitStandIn, change: Callable[[dict[str, Any]], None], code: str
) -> None:
    entry = copy.deepcopy(JOURNAL)
    change(entry)
    assert client.post("journalentry", entry).codes == (400, [code])
    assert books.companies[REALM].rows("JournalEntry") == []


def test_journal_entry_refused_in_the_words_of_the_samples(client: Client, books: IntuitStandIn) -> None:
    def refused(**changes: Any) -> Any:
        return client.post("journalentry", {**copy.deepcopy(JOURNAL), **changes}).document["Fault"]

    zero = copy.deepcopy(JOURNAL["Line"])
    for line in zero:
        line["Amount"] = 0
    assert refused(Line=zero) == fault("400_6000_business_validation")
    assert refused(Line=None) == fault("400_2020_required_parameter")
    assert refused(DocNumber="x" * 34) == fault("400_2050_length")
    books.companies[REALM].warns_on_duplicate_numbers = True
    books.put(REALM, "JournalEntry", {"DocNumber": "SF-00000123", "TxnDate": "2026-11-01"})
    assert refused() == fault("400_6140_duplicate_doc_number")
    books.deactivate(REALM, "Account", "82")
    assert refused(DocNumber="SF-2") == fault("400_2500_invalid_reference")
    books.change(REALM, "Preferences", "1", AccountingInfoPrefs={"BookCloseDate": "2026-11-05"})
    books.change(REALM, "Account", "82", Active=True)
    assert refused(DocNumber="SF-2") == fault("400_6210_account_period_closed")


def test_multicurrency_wants_a_currency_and_receivables_a_customer(client: Client, books: IntuitStandIn) -> None:
    entry = copy.deepcopy(JOURNAL)
    party = {"Type": "Customer", "EntityRef": {"value": "5"}}
    _line(0, AccountRef={"value": "84"}, Entity=party)(entry)
    created = client.post("journalentry", entry).document["JournalEntry"]
    detail = created["Line"][0]["JournalEntryLineDetail"]
    assert detail["Entity"]["EntityRef"] == {"value": "5", "name": "Dukes Basketball Camp"}
    books.change(REALM, "Preferences", "1", CurrencyPrefs={"MultiCurrencyEnabled": True})
    assert client.post("journalentry", {**entry, "CurrencyRef": None}).codes == (400, ["2020"])
    assert client.post("journalentry", {**entry, "CurrencyRef": {"value": "GBP"}}).status == 200


def test_sync_token_guards_updates_and_sparse_ones_keep_the_rest(client: Client, books: IntuitStandIn) -> None:
    before = client.get("customer/5").document["Customer"]
    change = {"Id": "5", "SyncToken": "1", "sparse": True, "CompanyName": "Dukes"}
    after = client.post("customer", change).document["Customer"]
    stamp = {**before["MetaData"], "LastUpdatedTime": "2026-11-05T12:00:00-08:00"}
    assert after == {**before, "CompanyName": "Dukes", "SyncToken": "2", "MetaData": stamp}
    stale = client.post("customer", change)
    assert (stale.status, stale.document["Fault"]) == (400, fault("400_5010_stale_object"))
    assert client.post("customer", {"Id": "5", "sparse": True}).codes == (400, ["2020"])
    full = client.post("customer", {"Id": "5", "SyncToken": "2", "DisplayName": "Dukes"}).document["Customer"]
    assert (full["SyncToken"], full["FullyQualifiedName"], "BillAddr" in full) == ("3", "Dukes", False)
    gone = client.post("customer", {"Id": "5", "SyncToken": "3", "sparse": True, "Active": False}).document["Customer"]
    assert (gone["Active"], gone["DisplayName"]) == (False, "Dukes (deleted)")
    assert client.ids("select * from Customer") == []


def test_names_are_unique_among_customers_vendors_and_employees(client: Client, books: IntuitStandIn) -> None:
    books.put(REALM, "Vendor", {"DisplayName": "Acme", "Active": True})
    taken = client.post("customer", {"DisplayName": "ACME"})
    assert (taken.status, taken.document["Fault"]) == (400, fault("400_6240_duplicate_name"))
    assert client.post("customer", {"Notes": "nameless"}).codes == (400, ["2020"])
    assert client.post("customer", {"DisplayName": "A:B"}).codes == (400, ["6000"])
    assert client.post("customer", {"DisplayName": "x" * 501}).codes == (400, ["2050"])
    assert client.post("customer", {"DisplayName": "New", "Website": "x"}).codes == (400, ["2010"])
    job = {"DisplayName": "Court", "Job": True, "ParentRef": {"value": "5"}}
    assert client.post("customer", job).document["Customer"]["FullyQualifiedName"] == "Dukes Basketball Camp:Court"
    assert Client(client.intuit, OTHER).post("customer", {"DisplayName": "Acme"}).status == 200


def test_requestid_gives_the_first_answer_again(client: Client, books: IntuitStandIn) -> None:
    first, second = (client.post("journalentry?requestid=fake-request-1", JOURNAL) for _ in range(2))
    assert first.body == second.body
    assert len(books.companies[REALM].rows("JournalEntry")) == 1
    (written,) = books.writes
    assert (written.realm, written.entity, written.operation) == (REALM, "JournalEntry", "create")
    assert (written.id, written.body["DocNumber"]) == (first.document["JournalEntry"]["Id"], "SF-00000123")
    other = {**JOURNAL, "DocNumber": "SF-2"}
    assert client.post("journalentry?requestid=fake-request-1", other).body == first.body
    assert books.violations == ["requestid fake-request-1 was used for different content"]
    unbalanced = {**JOURNAL, "Line": JOURNAL["Line"][:2]}
    assert client.post("journalentry?requestid=fake-request-2", unbalanced).status == 400
    assert client.post("journalentry?requestid=fake-request-2", JOURNAL).status == 200
    assert client.post("journalentry?requestid=" + "x" * 51, JOURNAL).codes == (400, ["2050"])


def test_delete_and_void(client: Client, books: IntuitStandIn) -> None:
    entry = client.post("journalentry", JOURNAL).document["JournalEntry"]
    named = {"Id": entry["Id"], "SyncToken": "0"}
    noop = client.post("journalentry?operation=void", named)
    expected = sample("write/journalentry_void_response_noop_http_200.json")
    assert (noop.status, without(noop.document, "time")) == (200, without(expected, "time"))
    deleted = client.post("journalentry?operation=delete", named).document["JournalEntry"]
    assert deleted == {**sample("write/journalentry_delete_response.json")["JournalEntry"], "Id": entry["Id"]}
    assert client.post("journalentry?operation=delete", named).codes == (400, ["610"])
    assert client.post("customer?operation=delete", {"Id": "5", "SyncToken": "1"}).codes == (400, ["500"])
    books.load(REALM, "Invoice", sample("entities/invoice_created.json")["Invoice"])
    voided = client.post("invoice?operation=void", {"Id": "266", "SyncToken": "0"}).document["Invoice"]
    expected = sample("entities/invoice_voided.json")["Invoice"]
    mine = (*OWN, "DocNumber")
    assert without(voided, *mine) == without(expected, *mine)
    books.put(REALM, "Bill", {"Id": "19"})
    refused = client.post("bill?operation=void", {"Id": "19", "SyncToken": "0"})
    assert (refused.status, refused.document["Fault"]) == (400, fault("400_500_unsupported_operation"))


def test_other_bodies_are_refused(client: Client, books: IntuitStandIn) -> None:
    assert client.post("journalentry", b"{").codes == (400, ["2010"])
    assert client.post("journalentry", b'{"Line": NaN}').codes == (400, ["2010"])
    assert client.post("journalentry", []).codes == (400, ["2010"])
    assert client.api("POST", "journalentry", JOURNAL, Content_Type="text/plain").codes == (400, ["2010"])
    assert client.post("query", "select * from Bill").codes == (400, ["2010"])
    assert client.post("journalentry/1", JOURNAL).codes == (400, ["500"])
    assert client.post("preferences", {}).codes == (400, ["500"])
    assert client.post("bill", {"VendorRef": {"value": "1"}, "Line": [{"Amount": 5}]}).codes == (400, ["2500"])
    vendor = books.put(REALM, "Vendor", {"DisplayName": "Acme", "Active": True})["Id"]
    bill = {"VendorRef": {"value": vendor}, "Line": [{"Amount": 5.25}, {"Amount": 1}]}
    created = client.post("bill", bill).document["Bill"]
    assert (str(created["TotalAmt"]), created["TxnDate"], created["VendorRef"]["name"]) == (
        "6.25",
        "2026-11-05",
        "Acme",
    )
