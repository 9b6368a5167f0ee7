"""The stand-in's doors: who gets a token, who may call how often, and what it sends by itself."""

from __future__ import annotations

import datetime as dt
import json
import threading
import urllib.parse
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from sources.quickbooks_online import standin_faults
from sources.quickbooks_online.standin import IntuitStandIn
from sources.quickbooks_online.standin_webhooks import Change
from tests.sources.quickbooks_online.standin_client import (
    BASIC,
    FIXTURES,
    NOON,
    OTHER,
    REALM,
    REDIRECT,
    Client,
    Reply,
    sample,
    without,
)

# Consent and tokens


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": "fake-other"},
        {"response_type": "token"},
        {"scope": ""},
        {"scope": "com.intuit.quickbooks.everything"},
        {"state": ""},
        {"redirect_uri": "http://connector.example/callback/"},
        {"redirect_uri": REDIRECT + "?next=1"},
    ],
)
def test_consent_page_refuses(client: Client, changes: dict[str, str]) -> None:
    client.intuit.redirect_uris = {REDIRECT}
    reply = client.authorize(**changes)
    assert (reply.status, reply.headers["Location"], len(client.intuit.violations)) == (400, None, 1)


def test_consent_sends_back_code_state_and_realm_or_the_denial(client: Client) -> None:
    expected = sample("oauth/callback_queries.json")
    granted = urllib.parse.urlsplit(client.authorize().headers["Location"])
    query = dict(urllib.parse.parse_qsl(granted.query))
    assert list(query) == list(dict(urllib.parse.parse_qsl(expected["granted"][1:])))
    assert (query["state"], query["realmId"]) == ("fake-state-0001", REALM)
    client.intuit.consent = None
    denied = client.authorize()
    assert (denied.status, denied.headers["Location"]) == (302, REDIRECT + expected["denied"])


def test_code_is_exchanged_once_by_this_client_for_this_address(client: Client) -> None:
    def code() -> str:
        return urllib.parse.parse_qs(urllib.parse.urlsplit(client.authorize().headers["Location"]).query)["code"][0]

    def exchange(text: str, **changes: Any) -> Reply:
        return client.bearer(**{"grant_type": "authorization_code", "code": text, "redirect_uri": REDIRECT, **changes})

    refused = sample("oauth/error_400_invalid_authorization_code.json")
    unknown_client = exchange(code(), basic={"Authorization": "Basic ZmFrZTpmYWtl"})
    assert (unknown_client.status, unknown_client.document) == (401, sample("oauth/error_401_invalid_client.json"))
    assert exchange(code(), redirect_uri=REDIRECT + "x").document == refused
    assert exchange(code(), grant_type="password").document == {"error": "unsupported_grant_type"}
    late = code()
    client.intuit.now = lambda: NOON + dt.timedelta(minutes=10)
    assert exchange(late).document == refused
    once = code()
    tokens = exchange(once).document
    expected = sample("oauth/token_exchange_response.json")
    assert list(tokens) == list(expected)
    assert without(tokens, "access_token", "refresh_token") == without(expected, "access_token", "refresh_token")
    client.token = tokens["access_token"]
    assert client.get("preferences").status == 200
    assert exchange(once).document == refused
    assert client.get("preferences").status == 401


def test_refresh_token_rotates_and_its_old_value_ends_everything(client: Client) -> None:
    first = client.intuit.issue_tokens(REALM)
    client.intuit.now = lambda: NOON + dt.timedelta(seconds=5015)
    same = client.refresh(first["refresh_token"]).document
    expected = {**sample("oauth/refresh_response_same_refresh_token.json"), "refresh_token": first["refresh_token"]}
    assert without(same, "access_token") == without(expected, "access_token")
    client.intuit.now = lambda: NOON + dt.timedelta(hours=24)
    rotated = client.refresh(first["refresh_token"], hard="true").document
    assert rotated.keys() == sample("oauth/refresh_response_with_hard_expiry.json").keys()
    assert rotated["refresh_token"] != first["refresh_token"]
    assert (rotated["x_refresh_token_expires_in"], rotated["x_refresh_token_hard_expires_in"]) == (8726400, 157593600)
    client.token = rotated["access_token"]
    assert client.get("preferences").status == 200
    reused = client.refresh(first["refresh_token"])
    assert (reused.status, reused.document) == (400, sample("oauth/error_400_invalid_grant_described.json"))
    assert client.intuit.violations == ["a superseded refresh token was used"]
    assert client.get("preferences").status == 401
    assert client.refresh(rotated["refresh_token"]).document["error"] == "invalid_grant"


def test_unused_refresh_token_runs_out_and_a_revoked_one_is_dead(client: Client) -> None:
    tokens = client.intuit.issue_tokens(REALM)
    body = json.dumps({"token": tokens["refresh_token"]})
    assert client.send("POST", "/v2/oauth2/tokens/revoke", body).status == 401
    assert client.send("POST", "/v2/oauth2/tokens/revoke", body, BASIC).status == 200
    assert client.send("POST", "/v2/oauth2/tokens/revoke", b"{}", BASIC).status == 400
    assert client.refresh(tokens["refresh_token"]).status == 400
    idle = client.intuit.issue_tokens(REALM)
    client.intuit.now = lambda: NOON + dt.timedelta(days=101)
    assert client.refresh(idle["refresh_token"]).status == 400
    assert client.intuit.violations == []


# Who may call, and how often


def test_tokens_that_do_not_open_the_company(client: Client) -> None:
    def refused(path: str = "preferences") -> tuple[int, Any]:
        reply = client.get(path)
        document = reply.document
        return reply.status, {**document, "time": 1601391072830}

    malformed = (401, sample("faults/401_3200_malformed_token_lowercase.json"))
    forbidden = (403, sample("faults/403_3100_application_authorization_failed_lowercase.json"))
    good, client.token = client.token, "fake-unknown"
    assert refused() == malformed
    client.token = ""
    assert refused() == malformed
    client.token = client.intuit.issue_tokens(OTHER)["access_token"]
    assert refused() == forbidden
    client.token = good
    assert client.get("preferences").status == 200
    client.intuit.expire_access_tokens(REALM)
    status, document = refused()
    expired = sample("faults/401_3200_token_expired_lowercase.json")
    expired["fault"]["error"][0]["detail"] = f"Token expired: {good[:24]}"
    assert (status, document) == (401, expired)
    client.token = client.intuit.issue_tokens(REALM)["access_token"]
    client.intuit.revoke(REALM)
    assert refused() == forbidden


def test_eleventh_request_in_a_second_and_forty_first_batch_are_throttled(client: Client) -> None:
    client.intuit.enforce_limits = True
    client.intuit.limits["second"] = (10, 30.0)
    replies = [client.get("preferences") for _ in range(11)]
    assert [reply.status for reply in replies] == [200] * 10 + [429]
    throttled = sample("faults/429_3001_throttle_lowercase.json")
    assert {**replies[-1].document, "time": throttled["time"]} == throttled
    assert client.intuit.violations == [f"{REALM}: over the vendor's request limit"]
    client.intuit.limits = {"second": (500, 1.0), "minute": (500, 60.0), "batch": (1, 60.0)}
    body = {"BatchItemRequest": [{"bId": "1", "Query": "select * from Bill"}]}
    assert [client.post("batch", body).status for _ in range(2)] == [200, 429]


def test_without_accept_the_answer_is_xml(client: Client) -> None:
    reply = client.api("GET", "preferences", Accept="*/*")
    assert (reply.status, reply.headers["Content-Type"]) == (200, "application/xml")
    assert ET.fromstring(reply.body).tag == "{http://schema.intuit.com/finance/v3}IntuitResponse"


# Webhooks


def test_notifications_are_the_samples_byte_for_byte(intuit: IntuitStandIn) -> None:
    def at(hour: int, minute: int, second: int, day: int = 4) -> dt.datetime:
        return dt.datetime(2026, 11, day, hour, minute, second, tzinfo=dt.UTC)

    legacy = [
        Change(REALM, "Vendor", "30", "merged", at(8, 0, 0), deleted_id="46"),
        Change(REALM, "Invoice", "264", "voided", at(8, 0, 10)),
        Change(REALM, "Bill", "19", "deleted", at(8, 0, 20)),
        Change(REALM, "Invoice", "266", "emailed", at(8, 0, 30)),
    ]
    event = "0b6f0f7e-1111-4c2a-9b1e-00000000000a"
    merged = [Change(REALM, "Customer", "2", "Merge", at(8, 2, 0), event, deleted_id="58")]
    vectors = {
        (vector["file"], vector["verifier_token"]): vector["intuit_signature"]
        for vector in sample("webhooks/signature_vectors.json")["vectors"]
    }
    for name, changes, style in (
        ("legacy_merge_void_delete_emailed.json", legacy, "legacy"),
        ("cloudevents_customer_merged.json", merged, "cloudevents"),
    ):
        token = "another-fake-verifier-token"
        body, headers = intuit.build_notification(changes, style, token)
        assert body == (FIXTURES / "webhooks" / name).read_bytes()
        assert headers["intuit-signature"] == vectors[name, token]
    documented = sample("webhooks/request_headers.json")["legacy_documented_sample"]
    headers = {name.lower(): value for name, value in intuit.build_notification(legacy, "legacy")[1].items()}
    assert documented.keys() - headers.keys() == {"content-length", "host", "proxy-connection"}
    assert headers["intuit-created-time"] == "2026-11-05T20:00:00+0000"


class _Receiver(BaseHTTPRequestHandler):
    bodies: list[bytes]
    refusals: int

    def do_POST(self) -> None:
        self.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
        type(self).refusals -= 1
        self.send_response(500 if self.refusals >= 0 else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[tuple[str, type[_Receiver]]]:
    handler = type("Receiver", (_Receiver,), {"bodies": [], "refusals": 0})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/hook?x=1", handler
        server.shutdown()


def test_every_change_is_sent_in_order_and_repeated_until_acknowledged(
    intuit: IntuitStandIn, receiver: tuple[str, type[_Receiver]]
) -> None:
    url, handler = receiver
    handler.refusals = 2
    sender = intuit.subscribe(url, retry_seconds=(0.0, 0.01))
    intuit.put(REALM, "Invoice", {"Id": "7", "TotalAmt": 5})
    assert sender.settle(3)
    intuit.change(REALM, "Invoice", "7", PrivateNote="late")
    intuit.void(REALM, "Invoice", "7")
    intuit.put(REALM, "CompanyInfo", {"Id": "1"})  # not one of the entities that have webhooks
    intuit.delete(OTHER, "Vendor", intuit.put(OTHER, "Vendor", {"DisplayName": "Acme"})["Id"])
    assert sender.settle(3)
    assert handler.bodies[0] == handler.bodies[1] == handler.bodies[2]
    events = [event for body in handler.bodies[2:] for event in json.loads(body)]
    assert [(event["intuitaccountid"], event["type"]) for event in events] == [
        (REALM, "qbo.invoice.created.v1"),
        (REALM, "qbo.invoice.updated.v1"),
        (REALM, "qbo.invoice.void.v1"),
        (OTHER, "qbo.vendor.created.v1"),
        (OTHER, "qbo.vendor.deleted.v1"),
    ]
    assert events[0]["time"] == "2026-11-05T20:00:00.123000000Z"
    assert len({event["id"] for event in events}) == 5


def test_one_notification_gives_the_status(intuit: IntuitStandIn, receiver: tuple[str, type[_Receiver]]) -> None:
    url, handler = receiver
    handler.refusals = 1
    changes = [(REALM, "Bill", "25", "created")]
    assert [intuit.notify(url, changes, style) for style in ("legacy", "cloudevents")] == [500, 200]
    assert intuit.notify("http://127.0.0.1:9/", changes) == 0


# Scripted faults and the control address


def test_ready_made_answers_are_the_samples(client: Client) -> None:
    for answer, name in (
        (standin_faults.system_fault, "200_10000_systemfault_with_http_200"),
        (standin_faults.subscription_lapsed, "400_6190_invalid_company_status"),
        (standin_faults.no_access, "401_120_authorization_failure"),
        (standin_faults.throttle, "429_3001_throttle_lowercase"),
    ):
        client.intuit.fail("GET .*/preferences", "answer", answer=answer())
        reply = client.get("preferences")
        assert (reply.status, without(reply.document, "time")) == (
            int(name[:3]),
            without(sample(f"faults/{name}.json"), "time"),
        )
    for answer, name in (
        (standin_faults.throttle_as_xml, "429_3001_throttle"),
        (standin_faults.general_authentication, "401_100_general_authentication"),
        (standin_faults.wrong_cluster, "401_130_wrong_cluster"),
    ):
        expected = ET.fromstring((FIXTURES / "faults" / f"{name}.xml").read_bytes())
        assert _flat(ET.fromstring(answer().body)) == _flat(expected)


def _flat(root: ET.Element) -> list[tuple[str, dict[str, str], str]]:
    return [(item.tag, item.attrib, (item.text or "").strip()) for item in root.iter() if item is not root]


def test_another_process_drives_it_by_http(client: Client) -> None:
    def control(path: str, **body: Any) -> Any:
        reply = client.send("POST", f"/_control/{path}", body)
        assert reply.status == 200, reply.body
        return reply.document.get("result")

    realm = control("777/company", name="Acme")
    client.realm, client.token = realm, control("777/tokens")["access_token"]
    bill = control("777/put", entity="Bill", document={"TotalAmt": 12.5})
    changed = control("777/change", entity="Bill", id=bill["Id"], fields={"PrivateNote": "x"})
    assert (
        client.get(f"bill/{bill['Id']}").document["Bill"] == changed == {**bill, "SyncToken": "1", "PrivateNote": "x"}
    )
    assert client.send("POST", "/_control/777/void", {"entity": "Bill", "id": bill["Id"]}).status == 400
    control("fault", pattern="GET .*/bill/", answer="outage")
    assert [client.get(f"bill/{bill['Id']}").status for _ in range(2)] == [503, 200]
    control("777/expire")
    assert client.get(f"bill/{bill['Id']}").status == 401
    seen = client.send("GET", "/_control/calls").document
    assert [call["path"] for call in seen["calls"]] == [f"/v3/company/777/bill/{bill['Id']}"] * 4
