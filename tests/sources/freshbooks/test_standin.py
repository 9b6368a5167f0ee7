"""The stand-in's doors and its books: who gets a token, who may read what, and in which shape it comes."""

from __future__ import annotations

import datetime as dt
import json
import urllib.parse
from collections.abc import Iterator
from typing import Any

import pytest

from sources.freshbooks.standin import FreshBooksStandIn
from sources.freshbooks.standin_documents import RESOURCES
from sources.freshbooks.standin_faults import throttle
from tests.sources.freshbooks.standin_client import (
    ACCOUNT,
    APP,
    NOON,
    OTHER,
    REDIRECT,
    Client,
    Reply,
    dollars,
    record,
    sample,
)


@pytest.fixture
def books() -> Iterator[FreshBooksStandIn]:
    standin = FreshBooksStandIn()
    standin.now = lambda: NOON
    standin.add_business(ACCOUNT, "Acme Services LLC")
    with standin:
        yield standin


@pytest.fixture
def client(books: FreshBooksStandIn) -> Client:
    return Client(books)


def code_of(reply: Reply) -> str:
    query = urllib.parse.urlsplit(reply.headers["Location"]).query
    return urllib.parse.parse_qs(query)["code"][0]


# Consent and tokens


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": "fake-other"},
        {"response_type": "token"},
        {"redirect_uri": "http://connector.example/callback/"},
        {"redirect_uri": REDIRECT + "?next=1"},
        {"redirect_uri": REDIRECT + "other/"},
    ],
)
def test_consent_page_refuses(client: Client, changes: dict[str, str]) -> None:
    client.books.redirect_uris = {REDIRECT}
    reply = client.authorize(**changes)
    assert (reply.status, reply.headers["Location"], len(client.books.violations)) == (400, None, 1)


def test_consent_sends_back_a_code_or_why_there_is_none(client: Client) -> None:
    granted = urllib.parse.urlsplit(client.authorize().headers["Location"])
    assert granted._replace(query="").geturl() == REDIRECT
    query = dict(urllib.parse.parse_qsl(granted.query))
    assert list(query) == ["code", "state"]
    assert query["state"] == "fake-state-0001"
    assert "error=invalid_scope&" in client.authorize(scope="user:invoices:write").headers["Location"]
    client.books.consent = None
    assert "error=access_denied&" in client.authorize().headers["Location"]
    assert client.books.violations == []


def test_code_is_good_once_for_five_minutes_and_for_its_address(client: Client) -> None:
    def exchange(code: str, **changes: str) -> Reply:
        return client.tokens(**{"grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT, **changes})

    refused = (400, sample("oauth_error_invalid_grant.json"))
    elsewhere = exchange(code_of(client.authorize()), redirect_uri=REDIRECT + "x")
    assert (elsewhere.status, elsewhere.document) == refused
    late = code_of(client.authorize())
    client.books.now = lambda: NOON + dt.timedelta(minutes=5)
    assert exchange(late).document == refused[1]
    code = code_of(client.authorize())
    wrong = exchange(code, client_secret="fake-other")
    assert (wrong.status, wrong.document["error"]) == (401, "invalid_client")
    answer = exchange(code).document
    assert answer.keys() == sample("oauth_token.json").keys()
    assert (answer["expires_in"], answer["scope"]) == (43199, "user:profile:read user:invoices:read")
    assert answer["created_at"] == int(client.books.now().timestamp())
    assert exchange(code).document == refused[1]
    assert exchange("fake", grant_type="password").document["error"] == "unsupported_grant_type"


def test_token_request_may_be_json(client: Client) -> None:
    first = client.books.issue_tokens()
    asked = APP | {"grant_type": "refresh_token", "refresh_token": first["refresh_token"]}
    reply = client.send("POST", "/auth/oauth/token", json.dumps(asked), {"Content-Type": "application/json"})
    assert (reply.status, reply.document["scope"]) == (200, first["scope"])


def test_scope_left_out_means_all_that_the_app_has(client: Client) -> None:
    client.books.app_scopes = ("user:profile:read", "user:bills:read")
    code = code_of(client.authorize(scope=""))
    answer = client.tokens(grant_type="authorization_code", code=code, redirect_uri=REDIRECT)
    assert answer.document["scope"] == "user:profile:read user:bills:read"


def test_each_refresh_ends_the_tokens_before_it_and_a_second_use_ends_the_chain(client: Client) -> None:
    first = client.books.issue_tokens()
    second = client.refresh(first["refresh_token"]).document
    client.token = first["access_token"]
    assert client.me().status == 401
    client.token = second["access_token"]
    assert client.me().status == 200
    again = client.refresh(first["refresh_token"])
    assert (again.status, again.document) == (400, sample("oauth_error_invalid_grant.json"))
    assert client.books.violations == ["a refresh token was used twice, although the answer had arrived"]
    assert client.refresh(second["refresh_token"]).status == 400
    assert client.me().status == 401


def test_refresh_whose_answer_was_lost(client: Client) -> None:
    first = client.books.issue_tokens()
    assert client.refresh(first["refresh_token"]).status == 200
    assert client.refresh(first["refresh_token"]).status == 400
    lenient = client.books.issue_tokens()
    client.books.forgives_lost_answer = True
    client.refresh(lenient["refresh_token"])
    survived = client.refresh(lenient["refresh_token"])
    client.token = survived.document["access_token"]
    assert (survived.status, client.me().status) == (200, 200)
    assert client.books.violations == []


def test_one_chain_for_each_person(client: Client) -> None:
    books = client.books
    books.add_business(OTHER, "Bayern Corporation")
    books.add_business("XYZ321", "Somebody else", identity_id=99)
    first, stranger = books.issue_tokens(), books.issue_tokens(99)
    assert [client.get("users/clients").status, Client(books, OTHER).get("users/clients").status] == [401, 200]
    assert client.refresh(first["refresh_token"]).status == 400
    client.token = stranger["access_token"]
    assert client.get("users/clients").status == 403


def test_access_token_runs_out_and_a_disconnected_or_revoked_chain_is_dead(client: Client) -> None:
    books = client.books
    books.now = lambda: NOON + dt.timedelta(seconds=43199)
    assert client.get("users/clients").status == 401
    tokens = books.issue_tokens()
    books.expire_access_tokens()
    client.token = tokens["access_token"]
    assert client.me().document["error"] == "invalid_token"
    tokens = client.refresh(tokens["refresh_token"]).document
    books.revoke()
    assert client.refresh(tokens["refresh_token"]).status == 400
    tokens = books.issue_tokens()
    form = urllib.parse.urlencode(APP | {"token": tokens["refresh_token"]})
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    assert client.send("POST", "/auth/oauth/revoke", form, headers).status == 200
    assert client.refresh(tokens["refresh_token"]).status == 400


def test_me_names_the_person_and_all_businesses(client: Client) -> None:
    expected = sample("users_me.json")["response"]
    client.books.add_business(OTHER, "Bayern Corporation", role="business_employee", business_id=438000)
    client.books.add_business(None, "No books here")
    found = client.me().document["response"]
    assert found.keys() == expected.keys()
    [first, second, third] = found["business_memberships"]
    assert first.keys() == expected["business_memberships"][0].keys()
    assert first["business"].keys() == expected["business_memberships"][0]["business"].keys()
    assert (found["id"], found["identity_id"]) == (1234, 1234)
    assert [each["business"]["account_id"] for each in (first, second, third)] == [ACCOUNT, OTHER, None]
    assert (second["role"], second["business"]["id"]) == ("business_employee", 438000)
    unauthenticated = client.send("GET", "/auth/api/v1/users/me")
    assert (unauthenticated.status, unauthenticated.document) == (401, sample("users_me_unauthenticated.json"))
    client.token = client.books.issue_tokens(scopes=["user:bills:read"])["access_token"]
    assert client.me().status == 403


# Refusals


def test_refusals_in_every_shape(client: Client) -> None:
    missing = "users/clients/12345"
    assert client.get(missing).document == sample("error_old_404.json")
    assert client.get(missing, x_api_version="2026-01-01").document == sample("error_new_404.json")
    client.books.error_shape = "new"
    reply = client.get(missing)
    assert (reply.status, reply.document) == (404, sample("error_new_404.json"))
    client.books.error_shape = "old_200"
    reply = client.get(missing)
    assert (reply.status, reply.document) == (200, sample("error_old_404.json"))
    client.books.error_shape = "old_object"
    reply = client.get(missing)
    error = sample("error_old_404.json")["response"]["errors"][0]
    assert (reply.status, reply.document) == (404, {"response": {"errors": error}})
    client.token = "fake-unknown"
    client.books.error_shape = "new"
    reply = client.get(missing)
    assert (reply.status, reply.document) == (401, sample("error_new_401.json"))


def test_who_may_read_what(client: Client) -> None:
    client.token = client.books.issue_tokens(scopes=["user:invoices:read"])["access_token"]
    statuses = {path: client.get(path).status for path in (each.path for each in RESOURCES.values())}
    assert {path for path, status in statuses.items() if status == 200} == {"invoices/invoices"}
    assert set(statuses.values()) == {200, 403}
    assert [client.get(path).status for path in ("invoices/estimates", "invoices/invoices/x")] == [404, 404]
    assert Client(client.books, ACCOUNT.lower()).get("users/clients").status == 403
    client = Client(client.books)
    path = f"/accounting/account/{ACCOUNT}/invoices/invoices/1"
    assert client.send("PUT", path, "{}", {"Authorization": f"Bearer {client.token}"}).status == 403
    assert client.books.violations == [f"PUT {path}: the app may only read"]


def test_too_many_requests_and_scripted_faults(client: Client) -> None:
    client.books.limit = (2, 60.0)
    assert [client.get("users/clients").status for _ in range(3)] == [200, 200, 429]
    client.books.limit = None
    client.books.fail("GET /accounting/", "answer", answer=throttle(None))
    reply = client.get("users/clients")
    assert (reply.status, reply.headers["Retry-After"]) == (429, None)
    assert client.get("users/clients").status == 200


# Records


SAMPLES = {
    "invoices": ["invoice_draft.json", "invoice_partial.json"],
    "payments": ["payment_check.json"],
    "bills": ["bill_unpaid.json"],
    "bill_payments": ["bill_payment.json"],
    "bill_vendors": ["bill_vendor.json"],
    "expenses": ["expense_with_tax.json"],
    "categories": ["expense_category.json"],
    "clients": ["client.json"],
}
#: Fields of a fixture that its SDK's authors made up, or that are of an old account.
ODD = {"test_amount", "basecampid", "uuid", "presentation"}


@pytest.mark.parametrize("kind", SAMPLES)
def test_samples_come_back_as_they_are_and_new_records_have_their_fields(client: Client, kind: str) -> None:
    resource = RESOURCES[kind]
    for name in SAMPLES[kind]:
        document = record(name)
        client.books.load(ACCOUNT, kind, document)
        number = document[resource.keys[-1]]
        shown = client.get(f"{resource.path}/{number}").result
        left_out = set(resource.included)
        assert shown == {resource.single: {key: value for key, value in document.items() if key not in left_out}}
    made = client.books.put(ACCOUNT, kind, {"amount": dollars("5.00")} if "amount" in document else {})
    for name in SAMPLES[kind]:
        assert record(name).keys() - made.keys() <= ODD | {"net_paid_amount"}


def test_lists_as_in_the_samples(client: Client) -> None:
    for kind, name in (("invoices", "invoices_list.json"), ("payments", "payments_list.json")):
        expected = sample(name)["response"]["result"]
        assert client.get(RESOURCES[kind].path).result == {kind: [], "page": 1, "pages": 0, "per_page": 15, "total": 0}
        for document in expected[kind]:
            client.books.load(ACCOUNT, kind, document)
        found = client.get(RESOURCES[kind].path + "?sort=id_asc").result
        assert found == expected


def test_what_comes_only_when_asked_for(client: Client) -> None:
    client.books.load(ACCOUNT, "invoices", record("invoice_partial.json"))
    lines = client.get("invoices/invoices/987654?include[]=lines").result["invoice"]["lines"]
    assert [line["name"] for line in lines] == ["Bowls", "Mugs"]
    category = client.books.put(ACCOUNT, "categories", {"category": "Airfare"})
    paid = {"amount": dollars("5.00"), "categoryid": category["id"], "vendor": "Serano Bakery"}
    number = client.books.put(ACCOUNT, "expenses", paid)["id"]
    assert "category" not in client.get(f"expenses/expenses/{number}").result["expense"]
    assert client.get("expenses/expenses?include[]=category").result["expenses"][0]["category"] == category
    client.get("bills/bills?include[]=lines")
    assert client.books.violations == ["include[]=lines means nothing to bills"]


def test_pages(client: Client) -> None:
    numbers = [client.books.put(ACCOUNT, "clients", {"lname": str(n)})["id"] for n in range(120)]

    def page(query: str) -> tuple[list[int], dict[str, int]]:
        result = client.get(f"users/clients?sort=id_asc&{query}").result
        return [each["id"] for each in result.pop("clients")], result

    assert page("") == (numbers[:15], {"page": 1, "pages": 8, "per_page": 15, "total": 120})
    assert page("page=2&per_page=500") == (numbers[100:], {"page": 2, "pages": 2, "per_page": 100, "total": 120})
    assert page("page=0")[0] == numbers[:15]
    assert page("page=9")[0] == []
    assert client.get("users/clients?page=-1").status == 400
    assert client.get("users/clients?per_page=many").status == 400


def test_changes_are_found_in_the_zone_of_the_field(client: Client) -> None:
    evening = dt.datetime(2026, 11, 21, 4, 30, tzinfo=dt.UTC)  # still the 20th in New York
    client.books.now = lambda: evening
    paid = client.books.put(ACCOUNT, "expenses", {"amount": dollars("5.00")})
    bill = client.books.put(ACCOUNT, "bills", {"amount": dollars("5.00")})
    assert (paid["updated"], bill["updated_at"]) == ("2026-11-20 23:30:00", "2026-11-21 04:30:00")
    assert client.ids("expenses/expenses", "search[updated_min]=2026-11-20") == [paid["id"]]
    assert client.ids("expenses/expenses", "search[updated_min]=2026-11-21") == []
    assert client.ids("expenses/expenses", "search[updated_max]=2026-11-20") == []
    assert client.ids("bills/bills", "search[updated_min]=2026-12-01") == [bill["id"]]
    client.books.bills_filter_by_change = True
    assert client.ids("bills/bills", "search[updated_min]=2026-12-01") == []
    assert client.ids("bills/bills", "search[updated_min]=2026-11-21") == [bill["id"]]
    assert client.books.violations == []


def test_filters_order_and_what_is_passed_over(client: Client) -> None:
    amounts = ("30.00", "4.00", "100.00")
    numbers = [client.books.put(ACCOUNT, "invoices", {"amount": dollars(each)})["id"] for each in amounts]
    path = "invoices/invoices"
    assert client.ids(path, "sort=amount_desc") == [numbers[2], numbers[0], numbers[1]]
    assert client.ids(path, f"search[ids][]={numbers[1]}") == [numbers[1]]
    assert client.ids(path, "search[v3_status]=sent") == []
    assert len(client.ids(path, "search[updated_since]=2030-01-01&search[updated_min]=2026-11-20T00:00:00Z")) == 3
    client.ids(path, "sort=shoe_size_asc&limit=5")
    assert client.books.violations == [
        "search[updated_since]=2030-01-01 filters nothing in invoices",
        "search[updated_min]=2026-11-20T00:00:00Z filters nothing in invoices",
        "limit means nothing to a list of invoices",
        "sort=shoe_size_asc orders nothing in invoices",
    ]


def test_deleted_records_can_be_read_but_are_not_listed_unless_asked_for(client: Client) -> None:
    kept, gone, old = (client.books.put(ACCOUNT, "payments", {"amount": dollars("1.00")})["id"] for _ in range(3))
    client.books.delete(ACCOUNT, "payments", gone)
    client.books.archive(ACCOUNT, "payments", old)
    path = "payments/payments"
    assert client.ids(path, "sort=id_asc") == [kept, old]
    by_state = [client.ids(path, f"search[vis_state]={state}") for state in (0, 1, 2)]
    assert by_state == [[kept], [gone], [old]]
    assert client.get(f"{path}/{gone}").result["payment"]["vis_state"] == 1
    client.books.vanish(ACCOUNT, "payments", gone)
    assert client.get(f"{path}/{gone}").status == 404


def test_money_may_be_numbers(client: Client) -> None:
    number = client.books.put(ACCOUNT, "payments", {"amount": dollars("1222.50")})["id"]
    client.books.money_as_numbers = True
    assert b'"amount": {"amount": 1222.5, "code": "USD"}' in client.get(f"payments/payments/{number}").body


def test_what_freshbooks_fills_in(client: Client) -> None:
    books = client.books
    hooli = books.put(ACCOUNT, "clients", {"organization": "Hooli", "fname": "Gavin", "lname": "Belson"})
    made = books.put(ACCOUNT, "invoices", {"customerid": hooli["id"], "amount": dollars("100.00", "CAD")})
    assert (made["current_organization"], made["currency_code"], made["outstanding"]) == (
        "Hooli",
        "CAD",
        dollars("100.00", "CAD"),
    )
    assert (made["updated"], made["version"]) == ("2026-11-20 15:04:05", "2026-11-20 15:04:05.123456")
    paid = books.put(ACCOUNT, "payments", {"invoiceid": made["id"], "amount": dollars("40.00", "CAD")})
    assert paid["clientid"] == hooli["id"]
    invoice = client.get(f"invoices/invoices/{made['id']}").result["invoice"]
    assert (invoice["v3_status"], invoice["outstanding"]) == ("partial", dollars("60.00", "CAD"))
    ikea = books.put(ACCOUNT, "bill_vendors", {"vendor_name": "IKEA"})
    whole = {"vendorid": ikea["vendorid"], "amount": dollars("90.00"), "total_amount": dollars("100.00")}
    bill = books.put(ACCOUNT, "bills", whole)
    assert (bill["vendor"]["vendor_name"], bill["tax_amount"], bill["status"]) == ("IKEA", dollars("10.00"), "unpaid")
    books.put(ACCOUNT, "bill_payments", {"billid": bill["id"], "amount": dollars("100.00")})
    bill = client.get(f"bills/bills/{bill['id']}").result["bill"]
    assert (bill["status"], bill["outstanding"]["amount"], len(bill["bill_payments"])) == ("paid", "0.00", 1)


def test_control_over_http(client: Client) -> None:
    def control(path: str, **asked: Any) -> Reply:
        return client.send("POST", f"/_control/{path}", json.dumps(asked))

    assert control("NEW01/business", name="New Ltd", identity_id=77).status == 200
    made = control("NEW01/put", kind="clients", document={"organization": "Hooli"}).document["result"]
    assert control("NEW01/change", kind="clients", id=made["id"], fields={"organization": "H"}).status == 200
    tokens = control("NEW01/tokens").document["result"]
    new = Client(client.books, "NEW01")
    new.token = tokens["access_token"]
    assert new.get(f"users/clients/{made['id']}").result["client"]["organization"] == "H"
    control("fault", pattern="GET /accounting", answer="outage")
    assert [new.get("users/clients").status for _ in range(2)] == [503, 200]
    assert (control("NEW01/nonsense").status, control("NEW01/delete", kind="bills", id=5).status) == (404, 400)
    calls = client.send("GET", "/_control/calls").document
    assert [call["path"] for call in calls["calls"]][-1] == "/accounting/account/NEW01/users/clients"
