"""The stand-in's REST API: who gets a token, what is written and refused, and how it is read back."""

from __future__ import annotations

import datetime as dt
import gzip
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import requests

from sources.salesforce.standin import SalesforceStandIn
from sources.salesforce.standin_faults import ANSWERS, duplicates
from sources.salesforce.standin_types import case_marks, full_id
from tests.sources.salesforce.standin_client import APP, NOON, Client

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture
def org() -> Iterator[SalesforceStandIn]:
    standin = SalesforceStandIn()
    standin.now = lambda: NOON
    with standin:
        yield standin


@pytest.fixture
def client(org: SalesforceStandIn) -> Client:
    return Client(org)


# Tokens


def test_token_has_the_vendors_shape_and_opens_the_api(client: Client) -> None:
    answer = client.post_token(APP).document
    assert list(answer) == [
        "access_token", "signature", "token_format", "scope", "instance_url", "id", "token_type", "issued_at",
        "api_instance_url",
    ]  # fmt: skip
    assert answer["access_token"].startswith("00D000000000001!FAKE.")
    assert answer["instance_url"] == client.org.url
    assert answer["id"] == f"https://login.salesforce.com/id/00D000000000001EAA/{client.org.run_as}"
    assert (answer["token_type"], answer["issued_at"]) == ("Bearer", str(int(NOON.timestamp() * 1000)))
    client.token = answer["access_token"]
    assert client.get("limits").status == 200
    user = client.send("GET", "/services/oauth2/userinfo").document
    assert (user["organization_id"], user["user_id"]) == (client.org.org_id, client.org.run_as)


def test_token_by_basic_authorization_and_the_older_answer(client: Client) -> None:
    client.org.token_omits = {"token_format", "api_instance_url", "id"}
    session = requests.Session()
    session.auth = ("fake-client-id", "fake-client-secret")
    form = {"grant_type": "client_credentials"}
    answer = session.post(f"{client.org.url}/services/oauth2/token", form, timeout=5).json()
    assert set(answer) == {"access_token", "signature", "scope", "instance_url", "token_type", "issued_at"}
    assert client.org.token_requests == 1


@pytest.mark.parametrize(
    ("form", "problem", "error", "description"),
    [
        ({"client_id": "fake-other"}, "", "invalid_client_id", "client identifier invalid"),
        ({"client_secret": "fake-other"}, "", "invalid_client", "invalid client credentials"),
        ({"grant_type": "password"}, "", "unsupported_grant_type", "grant type not supported"),
        ({}, "no_run_as_user", "invalid_grant", "no client credentials user enabled"),
        ({}, "wrong_domain", "invalid_grant", "request not supported on this domain"),
        ({}, "not_approved", "invalid_app_access", "user is not admin approved to access this app"),
        ({}, "inactive_user", "inactive_user", "user is inactive"),
    ],
)
def test_token_refusals(client: Client, form: dict[str, str], problem: str, error: str, description: str) -> None:
    client.org.oauth_problem = problem
    reply = client.post_token(APP | form)
    assert (reply.status, reply.document) == (400, {"error": error, "error_description": description})


def test_session_ends_by_idleness_and_by_revocation(client: Client) -> None:
    later = NOON
    client.org.now = lambda: later
    for _ in range(3):
        later += dt.timedelta(minutes=119)
        assert client.get("limits").status == 200
    later += dt.timedelta(minutes=121)
    expired = [{"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}]
    reply = client.get("limits")
    assert (reply.status, reply.document) == (401, expired)
    client.token = client.org.issue_token()
    client.org.revoke_tokens()
    assert (client.get("limits").status, client.get("query", q="").code) == (401, "INVALID_SESSION_ID")
    assert client.send("GET", "/services/oauth2/userinfo").text == "Bad_OAuth_Token"


def test_secret_in_the_query_string_is_noted(client: Client) -> None:
    requests.post(f"{client.org.url}/services/oauth2/token?client_secret=fake", APP, headers=FORM, timeout=5)
    assert len(client.org.violations) == 1


# Versions, limits, faults


def test_versions_need_no_token_and_are_not_counted(client: Client) -> None:
    listed = requests.get(f"{client.org.url}/services/data/", timeout=5).json()
    assert {"label": "Summer '26", "url": "/services/data/v67.0", "version": "67.0"} in listed
    assert client.get("/services/data/v99.0/limits").status == 404
    assert client.org.api_usage == 0


def test_every_data_answer_tells_the_usage(client: Client) -> None:
    client.org.limit_note = "api-bursts=1/750"
    assert client.get("limits").headers["Sforce-Limit-Info"] == "api-usage=1/100000; api-bursts=1/750"
    assert client.get("limits").document["DailyApiRequests"] == {"Max": 100000, "Remaining": 99998}
    client.org.api_limit = 2
    reply = client.get("limits")
    assert (reply.status, reply.document) == (
        403,
        [{"message": "TotalRequests Limit exceeded.", "errorCode": "REQUEST_LIMIT_EXCEEDED"}],
    )


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [
        ("concurrent_limit", 403, "REQUEST_LIMIT_EXCEEDED"),
        ("lock_row", 400, "UNABLE_TO_LOCK_ROW"),
        ("unavailable", 503, "SERVER_UNAVAILABLE"),
        ("server_error", 500, "UNKNOWN_EXCEPTION"),
        ("outage", 503, ""),
    ],
)
def test_scripted_answers(client: Client, name: str, status: int, code: str) -> None:
    client.org.fail(r"/sobjects/Account/QBO", "answer", answer=ANSWERS[name]())
    reply = client.upsert("Account", "QBO_Customer_Id__c", "58", Name="Northwind")
    assert (reply.status, reply.code if code else reply.text) == (
        status,
        code or "<html><body>Service Unavailable</body></html>",
    )
    assert client.org.writes == []


def test_cut_answer_has_written(client: Client) -> None:
    client.org.fail("PATCH", "cut_after")
    with pytest.raises(requests.ConnectionError):
        client.account()
    assert [write.fields for write in client.org.writes] == [{"Name": "Customer 58", "QBO_Customer_Id__c": "58"}]


def test_large_answers_are_compressed(client: Client) -> None:
    url = f"{client.org.url}/services/data/v68.0/sobjects/Account/describe"
    headers = {"Authorization": f"Bearer {client.token}", "Accept-Encoding": "gzip"}
    with requests.get(url, headers=headers, stream=True, timeout=5) as response:
        assert json.loads(gzip.decompress(response.raw.read(decode_content=False)))["name"] == "Account"


# Describe


def test_describe_tells_external_ids(client: Client) -> None:
    fields = {each["name"]: each for each in client.get("sobjects/Order/describe").document["fields"]}
    wanted = {"type": "string", "length": 64, "nillable": True, "createable": True, "updateable": True}
    wanted |= {"externalId": True, "idLookup": True, "unique": True, "custom": True}
    assert fields["QBO_JournalEntry_Id__c"].items() >= wanted.items()
    assert (fields["TotalAmount"]["createable"], fields["AccountId"]["referenceTo"]) == (False, ["Account"])


def test_missing_and_hidden_objects_and_fields(client: Client) -> None:
    missing = [{"message": "The requested resource does not exist", "errorCode": "NOT_FOUND"}]
    reply = client.get("sobjects/Invoice/describe")
    assert (reply.status, reply.document) == (404, missing)
    client.org.hide("Order")
    client.org.hide_field("Account", "QBO_Class__c")
    client.org.lock_field("Account", "QBO_Department__c")
    names = {each["name"] for each in client.get("sobjects").document["sobjects"]}
    assert {"Account", "Opportunity"} <= names
    assert not names & {"Order", "Invoice", "Payment"}
    fields = {each["name"]: each for each in client.get("sobjects/Account/describe").document["fields"]}
    assert ("QBO_Class__c" in fields, fields["QBO_Department__c"]["updateable"]) == (False, False)
    assert client.query("SELECT Id FROM Order").code == "INVALID_TYPE"
    assert client.query("SELECT QBO_Class__c FROM Account").code == "INVALID_FIELD"
    number = "QBO_Customer_Id__c", "58"
    assert client.upsert("Account", *number, Name="A", QBO_Class__c="x").document == [
        {"message": "No such column 'QBO_Class__c' on sobject of type Account", "errorCode": "INVALID_FIELD"}
    ]
    assert client.upsert("Account", *number, Name="A", QBO_Department__c="x").code == "INVALID_FIELD_FOR_INSERT_UPDATE"
    client.org.reveal("Invoice")
    assert client.get("sobjects/Invoice/describe").document["keyPrefix"] == "3tt"


def test_package_deploys_the_custom_fields_that_the_org_has(client: Client) -> None:
    objects = Path(__file__).parents[3] / "deploy/salesforce/force-app/main/default/objects"
    deployed = set()
    for file in objects.glob("*/fields/*.field-meta.xml"):
        found = {each.tag.rpartition("}")[2]: each.text for each in ElementTree.parse(file).getroot()}
        assert file.name == f"{found['fullName']}.field-meta.xml"
        is_key = (found["externalId"], found["unique"]) == ("true", "true")
        deployed.add((file.parts[-3], found["fullName"], int(found["length"] or 0), is_key))
    described = {
        (entity, field["name"], field["length"], field["externalId"] and field["unique"])
        for entity in ("Account", "Contact", "Opportunity", "Order", "OrderItem", "Product2")
        for field in client.get(f"sobjects/{entity}/describe").document["fields"]
        if field["custom"]
    }
    assert deployed == described


# Single records


def test_upsert_creates_then_updates_and_reads_back(client: Client) -> None:
    first = client.upsert("Account", "QBO_Customer_Id__c", "58", Name="Northwind Bakery", BillingCity="Austin")
    identifier = first.document["id"]
    assert (first.status, first.document) == (
        201,
        {"id": identifier, "success": True, "errors": [], "created": True},
    )
    again = client.upsert("Account", "QBO_Customer_Id__c", "58", Name="Northwind Bakery LLC", Phone="")
    assert (again.status, again.document) == (200, {**first.document, "created": False})
    read = client.get(f"sobjects/Account/{identifier[:15]}", fields="Id,Name,BillingCity,LastModifiedDate")
    assert read.document == {
        "attributes": {"type": "Account", "url": f"/services/data/v68.0/sobjects/Account/{identifier}"},
        "Id": identifier,
        "Name": "Northwind Bakery LLC",
        "BillingCity": "Austin",
        "LastModifiedDate": "2026-11-20T12:00:05.000+0000",
    }
    assert client.get("sobjects/Account/QBO_Customer_Id__c/58").document["LastModifiedById"] == client.org.run_as
    swapped = identifier[:15].swapcase()
    assert client.get(f"sobjects/Account/{swapped}").status == 404


def test_ids_carry_their_case_marks_and_neighbours_differ_by_case(org: SalesforceStandIn) -> None:
    assert full_id("001Sm00000Acct1") == "001Sm00000Acct1" + case_marks("001Sm00000Acct1")
    ids = [org.create("Account", Name=f"A{number}") for number in range(4)]
    assert {each[:3] + each[15:] for each in ids} == {"001IAA", "001IAQ"}
    assert len({each[:15].lower() for each in ids}) < 4 == len(set(ids))


@pytest.mark.parametrize(
    ("fields", "status", "code", "message"),
    [
        ({"QBO_Customer_Id__c": "58", "Name": "A"}, 400, "INVALID_FIELD",
         "The QBO_Customer_Id__c field should not be specified in the sobject data."),
        ({}, 400, "REQUIRED_FIELD_MISSING", "Required fields are missing: [Name]"),
        ({"Name": "A", "Nme": "B"}, 400, "INVALID_FIELD", "No such column 'Nme' on sobject of type Account"),
        ({"Name": "A" * 256}, 400, "STRING_TOO_LONG", f"Name: data value too large: {'A' * 256} (max length=255)"),
        ({"Name": 5}, 400, "JSON_PARSER_ERROR", "Cannot deserialize instance of string from VALUE_NUMBER_INT value 5"),
        ({"Name": "A", "CurrencyIsoCode": "USD"}, 400, "INVALID_FIELD",
         "No such column 'CurrencyIsoCode' on sobject of type Account"),
        ({"Name": "A", "OwnerId": "005Sm00000Nobody"}, 400, "MALFORMED_ID",
         "Owner ID: id value of incorrect type: 005Sm00000Nobody"),
        ({"Name": "A", "CreatedDate": "2026-11-20T12:00:00Z"}, 400, "INVALID_FIELD_FOR_INSERT_UPDATE",
         "Unable to create/update fields: CreatedDate. Please check the security settings of this field and verify "
         "that it is read/write for your profile or permission set."),
    ],
)  # fmt: skip
def test_upsert_refusals(client: Client, fields: dict[str, Any], status: int, code: str, message: str) -> None:
    reply = client.upsert("Account", "QBO_Customer_Id__c", "58", **fields)
    assert (reply.status, reply.code, reply.document[0]["message"]) == (status, code, message)
    assert (client.org.writes, client.org.all_of("Account"), client.org.events()) == ([], [], [])


def test_opportunity_names_stages_and_dates(client: Client) -> None:
    fields = {"Name": "Invoice 1037", "StageName": "Closed Won", "CloseDate": "2026-11-20", "Amount": 362.07}
    missing = client.upsert("Opportunity", "QBO_Invoice_Id__c", "130", Name="Invoice 1037", StageName="Closed Won")
    assert missing.document == [
        {
            "message": "Required fields are missing: [CloseDate]",
            "errorCode": "REQUIRED_FIELD_MISSING",
            "fields": ["CloseDate"],
        }
    ]
    billed = client.upsert("Opportunity", "QBO_Invoice_Id__c", "130", **fields | {"StageName": "Billed"})
    assert billed.document[0]["message"] == "StageName: bad value for restricted picklist field: Billed"
    long = client.upsert("Opportunity", "QBO_Invoice_Id__c", "130", **fields | {"Name": "x" * 121})
    assert long.document[0]["message"].endswith("(max length=120)")
    assert client.upsert("Opportunity", "QBO_Invoice_Id__c", "130", **fields | {"CloseDate": "20.11."}).status == 400
    done = client.upsert("Opportunity", "QBO_Invoice_Id__c", "130", **fields)
    record = client.get(f"sobjects/Opportunity/{done.document['id']}").document
    assert (record["IsClosed"], record["IsWon"], record["Amount"]) == (True, True, Decimal("362.07"))


def test_parent_by_external_id(client: Client) -> None:
    fields: dict[str, Any] = {"Name": "Invoice", "StageName": "Prospecting", "CloseDate": "2026-11-20"}
    fields |= {"Account": {"QBO_Customer_Id__c": "58"}}
    missing = client.upsert("Opportunity", "QBO_Invoice_Id__c", "130", **fields)
    text = "Foreign key external ID: 58 not found for field QBO_Customer_Id__c in entity Account"
    assert (missing.status, missing.code, missing.document[0]["message"]) == (400, "INVALID_FIELD", text)
    account = client.account()
    made = client.upsert("Opportunity", "QBO_Invoice_Id__c", "130", **fields)
    assert client.org.record("Opportunity", made.document["id"])["AccountId"] == account


def test_contact_role_is_made_with_the_opportunity_and_one_is_primary(client: Client) -> None:
    first = client.org.create("Contact", LastName="Baker", FirstName="Bo")
    second = client.org.create("Contact", LastName="Miller")
    fields = {"Name": "Invoice", "StageName": "Prospecting", "CloseDate": "2026-11-20", "ContactId": first}
    made = client.upsert("Opportunity", "QBO_Invoice_Id__c", "130", **fields).document["id"]
    role = {"OpportunityId": made, "ContactId": second, "IsPrimary": True}
    assert client.send("POST", "sobjects/OpportunityContactRole", role).status == 201
    found = client.query(f"SELECT ContactId, IsPrimary FROM OpportunityContactRole WHERE OpportunityId = '{made}'")
    roles = [(each["ContactId"], each["IsPrimary"]) for each in found.document["records"]]
    assert roles == [(first, False), (second, True)]
    again = client.upsert("Opportunity", "QBO_Invoice_Id__c", "130", ContactId=second)
    assert again.code == "INVALID_FIELD_FOR_INSERT_UPDATE"
    assert len(client.org.writes) == 2


def test_values_in_addresses_are_decoded_and_match_without_regard_to_case(client: Client) -> None:
    made = client.upsert("Account", "QBO_Customer_Id__c", "a%2Fb%20%2B%23", Name="Odd")
    assert client.org.record("Account", made.document["id"])["QBO_Customer_Id__c"] == "a/b +#"
    assert client.upsert("Account", "QBO_Customer_Id__c", "A%2FB%20%2B%23", Name="Odd").document["created"] is False


def test_several_matches_write_nothing(client: Client) -> None:
    client.org.allow_duplicates("Account", "QBO_Customer_Id__c")
    ids = [client.org.create("Account", Name=name, QBO_Customer_Id__c="58") for name in "AB"]
    reply = client.upsert("Account", "QBO_Customer_Id__c", "58", Name="C")
    assert (reply.status, reply.document) == (300, [f"/services/data/v68.0/sobjects/Account/{each}" for each in ids])
    assert client.org.writes == []


def test_unknown_external_field_and_update_only(client: Client) -> None:
    wrong = client.upsert("Account", "QBO_Custmer_Id__c", "58", Name="A")
    text = "Provided external ID field does not exist or is not accessible: QBO_Custmer_Id__c"
    assert (wrong.status, wrong.document) == (404, [{"message": text, "errorCode": "NOT_FOUND"}])
    only = client.send("PATCH", "sobjects/Account/QBO_Customer_Id__c/58?updateOnly=true", {"Name": "A"})
    assert (only.status, only.code) == (404, "NOT_FOUND")


def test_update_by_id_conflicts_and_deletions(client: Client) -> None:
    first, second = client.account("58"), client.account("59")
    reply = client.send("PATCH", f"sobjects/Account/{second}", {"QBO_Customer_Id__c": "58"})
    assert reply.document == [
        {
            "message": f"duplicate value found: QBO_Customer_Id__c duplicates value on record with id: {first[:15]}",
            "errorCode": "DUPLICATE_VALUE",
            "fields": [],
        }
    ]
    assert client.send("PATCH", f"sobjects/Account/{second}", {"Name": "New"}).status == 204
    assert client.send("DELETE", f"sobjects/Account/{second}").status == 204
    gone = client.send("PATCH", f"sobjects/Account/{second}", {"Name": "Newer"})
    assert (gone.status, gone.document) == (
        404,
        [{"message": "entity is deleted", "errorCode": "ENTITY_IS_DELETED", "fields": []}],
    )
    assert client.get("sobjects/Account/QBO_Customer_Id__c/59").status == 404


def test_refusals_on_demand_hit_single_records(client: Client) -> None:
    client.org.refuse("Account", duplicates("Account", "001Sm00000Acct9IAA"), when=lambda sent: sent["Name"] == "Twin")
    assert client.upsert("Account", "QBO_Customer_Id__c", "58", Name="Other").status == 201
    reply = client.upsert("Account", "QBO_Customer_Id__c", "59", Name="Twin")
    matches = reply.document[0]["duplicateResult"]["matchResults"]
    assert (reply.code, matches[0]["matchRecords"][0]["record"]["Id"]) == ("DUPLICATES_DETECTED", "001Sm00000Acct9IAA")
    assert client.upsert("Account", "QBO_Customer_Id__c", "59", Name="Twin").status == 201


def test_currencies(client: Client) -> None:
    client.org.enable_currencies("USD", "EUR")
    account = client.account(CurrencyIsoCode="EUR")
    assert client.org.record("Account", account)["CurrencyIsoCode"] == "EUR"
    refused = client.upsert("Account", "QBO_Customer_Id__c", "59", Name="B", CurrencyIsoCode="CHF")
    assert refused.code == "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"


# A person's view and control


def test_page_shows_the_records_escaped(client: Client) -> None:
    account = client.account("58", Name="<b>Northwind</b>")
    client.org.add_order(account, [(client.org.add_product("Design"), 2, "1234.5")])
    page = requests.get(client.org.url, timeout=5)
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert "&lt;b&gt;Northwind&lt;/b&gt;" in page.text
    assert "2,469.00" in page.text


def test_control_from_another_process(client: Client) -> None:
    url = f"{client.org.url}/_control"
    made = requests.post(f"{url}/create", json={"object": "Account", "fields": {"Name": "A"}}, timeout=5).json()
    assert client.org.record("Account", made["result"])["Name"] == "A"
    refused = requests.post(f"{url}/create", json={"object": "Account", "fields": {}}, timeout=5)
    assert (refused.status_code, "REQUIRED_FIELD_MISSING" in refused.json()["error"]) == (400, True)
    requests.post(f"{url}/fault", json={"pattern": "limits", "answer": "outage"}, timeout=5)
    assert client.get("limits").status == 503
    seen = requests.get(f"{url}/calls", timeout=5).json()
    assert ([call["path"] for call in seen["calls"]], seen["writes"]) == (["/services/data/v68.0/limits"], [])
