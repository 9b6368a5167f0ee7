"""The REST client against the vendor's samples: what is asked, and what is made of each answer."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest

from connector.kernel.contracts import Context, Secrets
from connector.kernel.errors import Misconfigured, Reauthorize, Refresh, Reject, Retry, Unknown, VendorError
from connector.kernel.http import Http
from connector.kernel.standin import Answer, json_answer
from sources.salesforce.answers import Saved, usage_in
from sources.salesforce.client import Client
from sources.salesforce.errors import Ambiguous, Duplicate, Gone, NoAnswer
from tests.sources.salesforce.org import NOW, Service, sample, sent, service_context

BASE = "/services/data/v67.0"
ACCOUNT = "001Sm00000Acct1IAA"
START, END = (dt.datetime(2026, 11, 20, hour, tzinfo=dt.UTC) for hour in (0, 4))


@pytest.fixture
def service() -> Iterator[Service]:
    with Service() as standin:
        yield standin


def client(service: Service, *answers: Answer) -> Client:
    service.answers = list(answers)
    return Client(service_context(service))


def refusal(work: Callable[[], Any]) -> VendorError:
    with pytest.raises(VendorError) as caught:
        work()
    return caught.value


def test_what_every_call_carries(service: Service) -> None:
    client(service, json_answer({}, Sforce_Limit_Info="api-usage=18/5000")).limits()
    call = service.calls[0]
    assert (call.method, call.path) == ("GET", f"{BASE}/limits")
    assert call.headers["authorization"] == f"Bearer {service.token}"
    assert call.headers["sforce-call-options"] == "client=ml-connector"
    assert "gzip" in call.headers["accept-encoding"]


@pytest.mark.parametrize("case", sample("describe")["limit_info_headers"], ids=lambda case: case["value"])
def test_the_usage_is_read_from_every_answer(service: Service, case: Any) -> None:
    asking = client(service, json_answer({}, Sforce_Limit_Info=case["value"]))
    assert asking.usage == (0, 0)
    asking.limits()
    assert asking.usage == (case["used"], case["max"])
    assert usage_in("per-app-api-usage=1/2") is None


def test_calls_are_slowed_down_when_most_of_the_day_is_used(service: Service) -> None:
    spent: list[str] = []
    service.answers = [json_answer({}, Sforce_Limit_Info=f"api-usage={used}/100") for used in (79, 80, 99)]
    ctx = service_context(service)
    asking = Client(Context("acme", "", {}, {}, ctx.secrets, ctx.http, lambda: NOW, spend=spent.append))
    for _ in range(3):
        asking.limits()
    assert spent == ["call", "call", "call", "slow"]


def test_without_a_token_nothing_is_called(service: Service) -> None:
    for values, kind in (({"client_id": "a", "client_secret": "b"}, Refresh), ({}, Reauthorize)):
        ctx = Context("acme", "", {"instance_url": service.url}, {}, Secrets(values), Http(), lambda: NOW)
        assert type(refusal(lambda ctx=ctx: Client(ctx).limits())) is kind  # type: ignore[misc]
    assert not service.calls


@pytest.mark.parametrize("version", ["67", "v67.0", "67.1", "67.0/x"])
def test_a_version_is_a_number_of_the_vendors(service: Service, version: str) -> None:
    ctx = service_context(service)
    with pytest.raises(Misconfigured):
        Client(Context("acme", "", {}, {"api_version": version}, ctx.secrets, ctx.http, lambda: NOW))


def test_versions_limits_and_objects(service: Service) -> None:
    samples = sample("describe")
    asking = client(service, *(sent(samples[name]) for name in ("versions", "limits_excerpt", "global_excerpt")))
    assert asking.versions() == ["67.0", "68.0"]
    assert asking.limits()["DailyApiRequests"] == {"Max": 100000, "Remaining": 99212}
    assert list(asking.sobjects()) == ["Account", "Order"]
    assert [call.path for call in service.calls] == ["/services/data/", f"{BASE}/limits", f"{BASE}/sobjects"]


def test_a_description_is_kept_until_it_is_forgotten(service: Service) -> None:
    asking = client(service, sent(sample("describe")["account_excerpt"]))
    shape = asking.describe("Account")
    assert (shape.name, list(shape.fields)) == ("Account", ["Name", "QBO_Customer_Id__c"])
    linked = shape.fields["QBO_Customer_Id__c"]
    assert (linked.length, linked.is_external_id, linked.can_update) == (64, True, True)
    assert not shape.fields["Name"].is_external_id
    assert shape.only(["Nope", "QBO_Customer_Id__c", "Name", "Name"]) == ["QBO_Customer_Id__c", "Name"]
    assert Client(service_context(service)).describe("Account") is shape
    assert len(service.calls) == 1
    asking.forget_describes()
    asking.describe("Account")
    assert len(service.calls) == 2
    # A new token may come with other rights.
    Client(service_context(service, access_token="fake-token-renewed")).describe("Account")
    assert len(service.calls) == 3


def test_an_object_that_is_not_there(service: Service) -> None:
    error = refusal(lambda: client(service, sent(sample("describe")["invoice_missing"])).describe("Invoice"))
    assert type(error) is Misconfigured


def test_a_query_follows_its_pages(service: Service) -> None:
    pages = sample("query")
    found = list(
        client(service, sent(pages["page1"]), sent(pages["page2"])).query("SELECT Id FROM Account WHERE a='b+c'")
    )
    assert [row["Name"] for row in found] == ["Northwind Bakery", "O'Hara", "Third Co"]
    first, second = service.calls
    assert (first.path, first.query["q"]) == (f"{BASE}/query", "SELECT Id FROM Account WHERE a='b+c'")
    assert second.path == "/services/data/v68.0/query/01gSm0000000001-2"


def test_child_rows_are_whole_and_numbers_exact(service: Service) -> None:
    order = sample("query")["order_with_items"]
    items = order["body"]["records"][0]["OrderItems"]
    rest = {"totalSize": 2, "done": True, "records": items["records"][1:]}
    items.update(done=False, nextRecordsUrl="/services/data/v68.0/query/01gSm-1", records=items["records"][:1])
    (row,) = client(service, sent(order), json_answer(rest)).query("SELECT Id FROM Order", with_deleted=True)
    assert row["TotalAmount"] == Decimal("362.07")
    assert [str(item["TotalPrice"]) for item in row["OrderItems"]["records"]] == ["302.07", "60.0"]
    assert row["OrderItems"]["done"] is True
    assert [call.path for call in service.calls] == [f"{BASE}/queryAll", "/services/data/v68.0/query/01gSm-1"]


@pytest.mark.parametrize(
    "page",
    [
        {}, {"records": []}, {"records": 3, "done": True}, {"done": False, "records": []},
        {"done": False, "records": [], "nextRecordsUrl": "https://elsewhere.example/"}, [], None,
    ],
)  # fmt: skip
def test_a_page_that_cannot_be_read_is_asked_for_again(service: Service, page: Any) -> None:
    error = refusal(lambda: list(client(service, json_answer(page)).query("SELECT Id FROM Account")))
    assert (type(error), error.code) == (Retry, "unreadable")


def test_one_record(service: Service) -> None:
    asking = client(service, json_answer({"Id": ACCOUNT, "Name": "Zed"}), sent(sample("describe")["invoice_missing"]))
    assert asking.get("Account", ACCOUNT, ["Id", "Name"])["Name"] == "Zed"
    assert (service.calls[0].path, service.calls[0].query) == (
        f"{BASE}/sobjects/Account/{ACCOUNT}",
        {"fields": "Id,Name"},
    )
    assert type(refusal(lambda: asking.get("Account", ACCOUNT, ["Id"]))) is Gone
    assert asking.find("Account", "QBO_Customer_Id__c", "58", ["Id"]) is None
    assert type(refusal(lambda: asking.get("Account", "../58", ["Id"]))) is Reject


def test_the_upsert_samples(service: Service) -> None:
    samples = sample("upsert")
    asking = client(service, sent(samples["created"]), sent(samples["updated"]))
    body = {"Name": "Northwind Bakery", "Phone": None, "Amount": Decimal("1.10")}
    assert asking.upsert("Account", "QBO_Customer_Id__c", "a/b #+?", body) == (ACCOUNT, True)
    assert asking.upsert("Account", "QBO_Customer_Id__c", "58", body, allow_duplicates=True) == (ACCOUNT, False)
    first, second = service.calls
    assert (first.method, first.path) == ("PATCH", f"{BASE}/sobjects/Account/QBO_Customer_Id__c/a%2Fb%20%23%2B%3F")
    assert first.body == b'{"Name":"Northwind Bakery","Phone":null,"Amount":1.10}'
    assert "sforce-duplicate-rule-header" not in first.headers
    assert second.headers["sforce-duplicate-rule-header"] == "allowSave=true"


def test_an_old_version_says_no_more_than_done(service: Service) -> None:
    answers = [sent(sample("upsert")["updated_before_v46"]), json_answer({"Id": ACCOUNT})]
    assert client(service, *answers).upsert("Account", "QBO_Customer_Id__c", "58", {}) == (ACCOUNT, False)


def test_several_records_of_one_external_id(service: Service) -> None:
    asking = client(service, sent(sample("upsert")["multiple"]))
    for work in (
        lambda: asking.upsert("Account", "QBO_Customer_Id__c", "58", {}),
        lambda: asking.find("Account", "QBO_Customer_Id__c", "58", ["Id"]),
    ):
        error = refusal(work)
        assert isinstance(error, Ambiguous)
        assert error.record_ids == (ACCOUNT, "001Sm00000Acct2IAA")
        assert error.reasons == ("several Account records in Salesforce hold the same QBO_Customer_Id__c: keep one",)


@pytest.mark.parametrize("name", ["wrong_external_field", "external_id_in_body"])
def test_upserts_that_are_set_up_wrongly(service: Service, name: str) -> None:
    asking = client(service, sent(sample("upsert")[name]))
    for update_only in (False, True):
        error = refusal(
            lambda u=update_only: asking.upsert("Account", "QBO_Customer_Id__c", "58", {}, update_only=u)  # type: ignore[misc]
        )
        assert type(error) is Misconfigured
    assert service.calls[1].query == {"updateOnly": "true"}


def test_update_only_of_a_missing_record_is_gone(service: Service) -> None:
    asking = client(service, sent(sample("describe")["invoice_missing"]))
    assert type(refusal(lambda: asking.upsert("Account", "X__c", "58", {}, update_only=True))) is Gone
    assert type(refusal(lambda: asking.upsert("Account", "X__c", "..", {}))) is Reject


def test_a_collection_in_which_one_fails(service: Service) -> None:
    samples = sample("collections_upsert")
    wanted = samples["request"]["body"]
    records = [{key: value for key, value in row.items() if key != "attributes"} for row in wanted["records"]]
    found = client(service, sent(samples["response"])).upsert_many("Account", "QBO_Customer_Id__c", records)
    assert (found[0], found[2]) == (Saved(ACCOUNT, False), Saved("001Sm00000Acct4IAA", True))
    error = found[1]
    assert isinstance(error, Reject)
    assert (error.code, error.status) == ("REQUIRED_FIELD_MISSING", 200)
    assert (service.calls[0].method, service.calls[0].path) == (
        "PATCH",
        f"{BASE}/composite/sobjects/Account/QBO_Customer_Id__c",
    )
    assert json.loads(service.calls[0].body) == wanted


def test_a_collection_that_was_rolled_back(service: Service) -> None:
    answer = sent(sample("collections_upsert")["all_or_none_response"])
    found = client(service, answer).upsert_many("Account", "QBO_Customer_Id__c", [{}, {}])
    assert [type(each) for each in found] == [Retry, Reject]


@pytest.mark.parametrize("body", [[], [{"success": True, "id": ACCOUNT}] * 2, {}, "<html>", [3]])
def test_a_collection_without_a_word_on_every_record_is_unknown(service: Service, body: Any) -> None:
    def work() -> list[Any]:
        return client(service, sent({"status": 200, "body": body})).upsert_many("Account", "X__c", [{}])

    if body == [3]:
        (item,) = work()
        assert type(item) in (Unknown, Reject)
    else:
        assert type(refusal(work)) is Unknown


def test_the_size_of_a_collection(service: Service) -> None:
    asking = client(service, Answer(500))
    assert asking.upsert_many("Account", "X__c", []) == []
    assert type(refusal(lambda: asking.upsert_many("Account", "X__c", [{}] * 201))) is Reject
    assert not service.calls


def test_updating_and_creating(service: Service) -> None:
    asking = client(service, Answer(204), sent(sample("upsert")["created"]))
    asking.update("Account", ACCOUNT, {"Name": "Zed"})
    assert asking.create("Account", {"Name": "Zed"}) == ACCOUNT
    assert [(call.method, call.path) for call in service.calls] == [
        ("PATCH", f"{BASE}/sobjects/Account/{ACCOUNT}"),
        ("POST", f"{BASE}/sobjects/Account"),
    ]


def test_a_deleted_record_cannot_be_updated(service: Service) -> None:
    deleted = next(case for case in sample("errors") if case["name"] == "deleted")
    assert type(refusal(lambda: client(service, sent(deleted)).update("Account", ACCOUNT, {}))) is Gone


def test_a_lost_answer_is_unknown_after_a_write_and_retried_after_a_read(service: Service) -> None:
    asking = client(service, json_answer({"Id": ACCOUNT}))
    service.fail(".*", "cut_after", times=4)
    assert type(refusal(lambda: asking.get("Account", ACCOUNT, ["Id"]))) is NoAnswer
    assert type(refusal(lambda: asking.update("Account", ACCOUNT, {}))) is Unknown
    assert type(refusal(lambda: asking.create("Account", {}))) is Unknown
    assert type(refusal(lambda: asking.upsert("Account", "X__c", "1", {}))) is Unknown


def test_a_page_from_a_gateway(service: Service) -> None:
    page = sent(next(case for case in sample("errors") if case["name"] == "gateway_html"))
    asking = client(service, page)
    assert type(refusal(lambda: asking.get("Account", ACCOUNT, ["Id"]))) is Retry
    assert type(refusal(lambda: asking.upsert("Account", "X__c", "1", {}))) is Retry
    assert type(refusal(lambda: asking.create("Account", {}))) is Unknown
    service.answers = [Answer(201, b"<html>")]
    assert type(refusal(lambda: asking.create("Account", {}))) is Unknown
    service.answers = [json_answer({"success": True}, status=201)]
    assert type(refusal(lambda: asking.create("Account", {}))) is Unknown


def test_the_replication_samples(service: Service) -> None:
    samples = sample("replication")
    asking = client(service, *(sent(samples[name]) for name in ("updated", "updated_empty", "deleted")))
    covered = dt.datetime(2026, 11, 20, 3, 59, tzinfo=dt.UTC)
    assert asking.updated("Account", START, END) == ([ACCOUNT, "001Sm00000Acct2IAA"], covered)
    assert asking.updated("Account", START, END) == ([], END)
    assert asking.deleted("Account", START, END) == (
        [("001Sm00000Acct3IAA", dt.datetime(2026, 11, 20, 2, 11, 7, tzinfo=dt.UTC))],
        covered,
        dt.datetime(2026, 11, 5, 1, tzinfo=dt.UTC),
    )
    window = {"start": "2026-11-20T00:00:00Z", "end": "2026-11-20T04:00:00Z"}
    assert [(call.path, call.query) for call in service.calls] == [
        (f"{BASE}/sobjects/Account/{kind}/", window) for kind in ("updated", "updated", "deleted")
    ]


def test_a_duplicate_tells_what_is_in_the_way(service: Service) -> None:
    rule = next(case for case in sample("errors") if case["name"] == "duplicate_rule")
    error = refusal(lambda: client(service, sent(rule)).create("Account", {"Name": "Zed"}))
    assert isinstance(error, Duplicate)
    assert error.record_ids == ("001Sm00000Acct9IAA",)


def test_an_ended_session_is_renewed(service: Service) -> None:
    expired = next(case for case in sample("errors") if case["name"] == "expired_session")
    asking = client(service, sent(expired))
    for work in (asking.limits, lambda: asking.update("Account", ACCOUNT, {})):
        assert type(refusal(work)) is Refresh
