"""The stand-in's events: callbacks registered and verified, and what is sent to them, to the byte."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from sources.freshbooks.standin import FreshBooksStandIn
from sources.freshbooks.standin_webhooks import DOCUMENTED, SEEN, build, sign
from tests.sources.freshbooks.standin_client import ACCOUNT, NOON, OTHER, Client, Form, Receiver, dollars, raw, sample

CASES = {case["id"]: case for case in sample("webhook_cases.json")}
PAID = {"amount": dollars("5.00")}


@pytest.fixture
def books() -> Iterator[FreshBooksStandIn]:
    standin = FreshBooksStandIn()
    standin.now = lambda: NOON
    standin.add_business(ACCOUNT, "Acme Services LLC", business_id=6543)
    with standin:
        yield standin


@pytest.fixture
def client(books: FreshBooksStandIn) -> Client:
    return Client(books)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.stop()


def subscribe(client: Client, receiver: Receiver, event: str) -> int:
    """A verified callback with an address of its own."""
    number: int = client.register(event, f"{receiver.url}/{event}").result["callback"]["callbackid"]
    assert client.books.settle()
    reply = client.verify(number, receiver.forms[-1].fields["verifier"])
    assert reply.result["callback"]["verified"] is True
    receiver.forms.clear()
    return number


# The signature


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_signature_vectors(case: dict[str, Any]) -> None:
    verifier = case["verifier_on_file"] or "fake-verifier-0001-not-a-secret"
    is_right = case["headers"].get("X-FreshBooks-Hmac-SHA256") == sign(case["body"], verifier)
    assert is_right is bool(case["expect_signature_valid"])


def test_forms_are_built_to_the_byte() -> None:
    case = CASES["extra-keys"]
    fields = {
        "system": "https://acme.freshbooks.com",
        "object_id": 987654,
        "account_id": "ACM123",
        "business_id": 6543,
        "identity_id": 1234,
        "user_id": 1,
        "name": "invoice.update",
        "verified": True,
    }
    order = (*DOCUMENTED, "verified", "system")
    assert build(fields, case["verifier_on_file"], order) == (case["body"].encode(), case["headers"])
    seen = {
        "name": "callback.verify",
        "object_id": 778599,
        "account_id": "xazq5",
        "user_id": 214214,
        "verifier": "FAKEVERIFIERFAKEVERIFIERFAKE0001",
        "system": "https://example.freshbooks.com",
    }
    assert build(seen, "fake", SEEN)[0] == raw("webhook_handshake_seen_in_the_wild.txt").strip()


# Registration and verification


def test_registration_in_the_words_of_the_samples(client: Client) -> None:
    client.books.handshakes = "lost"
    expected = sample("callback_create_response.json")["response"]["result"]["callback"]
    reply = client.callbacks("POST", body=sample("callback_create_request.json"))
    assert reply.result == {"callback": {**expected, "updated_at": "2026-11-20 15:04:05"}}
    [callback] = client.books.callbacks.values()
    callback.verifier = sample("callback_verify_request.json")["callback"]["verifier"]
    verified = client.callbacks("PUT", "/2001", sample("callback_verify_request.json"))
    expected = sample("callback_verified_response.json")["response"]["result"]["callback"]
    assert verified.result == {"callback": {**expected, "updated_at": "2026-11-20 15:04:05"}}
    assert client.callbacks("GET", "/2001").result == verified.result
    gone = client.callbacks("DELETE", "/2001")
    assert (gone.status, gone.body) == (204, b"")
    missing = client.callbacks("GET", "/2001")
    assert (missing.status, missing.document) == (404, sample("events_error_404.json"))


def test_registration_that_is_refused(client: Client) -> None:
    wrong = client.register("invoice.explode", "/webhooks/")
    assert (wrong.status, wrong.document) == (422, sample("callback_error_errno422.json"))
    client.books.error_shape = "new"
    wrong = client.register("bill_payment.create", "ftp://connector.example/")
    assert (wrong.status, wrong.document) == (400, sample("callback_error_grpc_badrequest.json"))
    client.books.error_shape = "old"
    for uri in ("http://", "https://[::1/", "https://connector.example:99999/"):
        assert client.register("invoice.create", uri).document["details"] == [
            sample("callback_error_errno422.json")["details"][1]
        ]
    assert client.callbacks("POST", body={"event": "invoice"}).status == 422
    client.token = client.books.issue_tokens(scopes=["user:bills:read"])["access_token"]
    assert client.register("invoice.create", "https://connector.example/").status == 403
    assert Client(client.books, OTHER).register("bill", "https://connector.example/").status == 403
    client.token = "fake-unknown"
    refused = client.callbacks("GET")
    assert (refused.status, refused.document) == (401, sample("events_error_401.json"))
    assert client.books.callbacks == {}


def test_handshake_carries_the_verifier_and_only_the_right_one_counts(client: Client, receiver: Receiver) -> None:
    number = client.register("invoice.create", f"{receiver.url}/webhooks/freshbooks/a/1/").result["callback"][
        "callbackid"
    ]
    assert client.books.settle()
    [form] = receiver.forms
    verifier = form.fields["verifier"]
    assert form.fields == {
        "name": "callback.verify",
        "object_id": "2001",
        "account_id": ACCOUNT,
        "business_id": "6543",
        "identity_id": "1234",
        "user_id": "1",
        "verifier": verifier,
    }
    assert list(form.fields) == list(DOCUMENTED)
    assert (form.path, form.kind) == ("/webhooks/freshbooks/a/1/", "application/x-www-form-urlencoded")
    assert form.signature == sign(form.body, verifier)
    refused = client.verify(number, "fake-guess")
    assert (refused.status, refused.document["details"]) == (422, ["verifier: Value error, Incorrect verifier."])
    client.books.put(ACCOUNT, "invoices", PAID)
    assert client.callbacks("GET", f"/{number}").result["callback"]["verified"] is False
    client.callbacks("PUT", f"/{number}", sample("callback_resend_request.json"))
    assert client.verify(number, verifier).status == 200
    assert client.callbacks("PUT", f"/{number}", sample("callback_resend_request.json")).status == 200
    assert client.books.settle()
    # Nothing for the invoice, and no second resend once it was verified.
    assert [each.body for each in receiver.forms] == [form.body] * 2


def test_handshake_may_come_before_the_answer_to_the_registration(client: Client, receiver: Receiver) -> None:
    answered = threading.Event()
    met: list[bool] = []

    def meanwhile(form: Form) -> None:
        reply = client.verify(int(form.fields["object_id"]), form.fields["verifier"])
        met.append(reply.result["callback"]["verified"] and not answered.is_set())

    receiver.meanwhile = meanwhile
    client.books.handshakes = "first"
    reply = client.register("bill.create", receiver.url)
    answered.set()
    assert (reply.result["callback"]["verified"], met) == (False, [True])


def test_callbacks_are_listed_by_page_and_by_event(client: Client) -> None:
    client.books.handshakes = "lost"
    for event in ("invoice.create", "invoice", "payment.create"):
        client.register(event, "https://connector.example/")
    result = client.callbacks("GET").result
    assert result.keys() == sample("callbacks_list.json")["response"]["result"].keys()
    assert [each["callbackid"] for each in result["callbacks"]] == [2001, 2002, 2003]
    found = client.callbacks("GET", "?search%5Bevent%5D=invoice.create&per_page=1&page=2").result
    assert [each["event"] for each in found.pop("callbacks")] == ["invoice"]
    assert found == {"page": 2, "pages": 2, "per_page": 1, "total": 2}
    client.books.add_business(OTHER, "Bayern Corporation")
    other = Client(client.books, OTHER)
    assert other.callbacks("GET").result["callbacks"] == []
    assert other.callbacks("DELETE", "/2001").status == 404


# Events


def test_events_go_to_the_callbacks_that_want_them(client: Client, receiver: Receiver) -> None:
    numbers = {event: subscribe(client, receiver, event) for event in ("invoice", "invoice.create", "bill.update")}
    made = client.books.put(ACCOUNT, "invoices", PAID)
    client.books.send(ACCOUNT, made["id"])
    bill = client.books.put(ACCOUNT, "bills", PAID)
    client.books.put(ACCOUNT, "bill_payments", {"billid": bill["id"], **PAID})
    client.books.delete(ACCOUNT, "invoices", made["id"])
    assert client.books.settle()
    assert [(form.path, form.fields["name"]) for form in receiver.forms] == [
        ("/invoice", "invoice.create"),
        ("/invoice.create", "invoice.create"),
        ("/invoice", "invoice.sendByEmail"),
        ("/invoice", "invoice.update"),
        ("/bill.update", "bill.update"),
        ("/invoice", "invoice.delete"),
    ]
    first, second = receiver.forms[:2]
    by_event = {callback.event: callback for callback in client.books.callbacks.values()}
    assert first.body == (
        f"name=invoice.create&object_id={made['id']}&account_id={ACCOUNT}&business_id=6543&identity_id=1234&user_id=1"
    )
    assert second.body == first.body
    assert first.signature == sign(first.body, by_event["invoice"].verifier)
    assert second.signature == sign(first.body, by_event["invoice.create"].verifier)
    client.callbacks("DELETE", f"/{numbers['invoice']}")
    client.books.change(ACCOUNT, "invoices", made["id"], notes="x")
    assert client.books.settle()
    assert len(receiver.forms) == 6


def test_burst_after_a_create_another_order_and_extra_fields(client: Client, receiver: Receiver) -> None:
    subscribe(client, receiver, "expense")
    client.books.business(ACCOUNT).updates_after_create = 2
    client.books.field_order, client.books.extra_fields = SEEN, {"system": "https://acme.freshbooks.com", "note": ""}
    client.books.put(ACCOUNT, "expenses", PAID)
    assert client.books.settle()
    assert receiver.names == ["expense.create", "expense.update", "expense.update"]
    form = receiver.forms[0]
    assert list(form.fields) == [*(name for name in SEEN if name != "verifier"), "system", "note"]
    assert form.body.endswith("&system=https%3A%2F%2Facme.freshbooks.com&note=")
    [callback] = client.books.callbacks.values()
    assert form.signature == sign(form.body, callback.verifier)


def test_lost_and_repeated_deliveries(client: Client, receiver: Receiver) -> None:
    subscribe(client, receiver, "payment.create")
    client.books.courier.loses = True
    client.books.put(ACCOUNT, "payments", PAID)
    client.books.courier.loses = False
    receiver.answers = [500, 200]
    number = client.books.put(ACCOUNT, "payments", PAID)["id"]
    assert client.books.settle()
    assert [each.answers for each in client.books.deliveries[-2:]] == [[], [500]]
    client.books.courier.retry_seconds = (0.01, 0.01)
    receiver.answers = [503, 204]
    [again] = client.books.announce(ACCOUNT, "payment.create", number)
    assert client.books.settle()
    assert again.answers == [503, 204]
    assert len({form.body for form in receiver.forms}) == 1
