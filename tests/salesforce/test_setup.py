"""The contract's configuration, what a ping finds missing, and a dry run of routes between the two."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import CommandError, call_command

from connector.models import Connection, Route
from connector.pipeline import connections, listening
from tests.salesforce.books import CUSTOMER
from tests.salesforce.world import CHANNEL, TwoWays

EXAMPLE = """
version: 1
organizations:
  - slug: contract
    name: Acme Services LLC
    timezone: America/Chicago
    locale: en_US
    connections:
      - slug: contract-books
        system: quickbooks_online
        account: "4620816365000000000"
        credentials: {access_token: a, refresh_token: r, expires_at: 2099-11-20T12:00:00Z}
      - slug: contract-salesforce
        system: salesforce
        account: 00D000000000001
        credentials: {client_id: fake-client-id, client_secret: fake-client-secret}
        settings: {instance_url: https://acme.my.salesforce.com}
    routes:
      - name: Customers and invoices to Salesforce
        from: contract-books
        to: contract-salesforce
        events: [customer.created, customer.updated, invoice.created, invoice.updated]
      - name: Orders and customers to the ledger
        from: contract-salesforce
        to: contract-books
        events: [order.created, order.updated, order.voided, order.deleted, customer.created]
        settings: {debit_account: "84", credit_account: "", create_customers: all}
"""


def run(command: str, *arguments: str) -> Any:
    out = io.StringIO()
    call_command(command, *arguments, "--json", stdout=out)
    return json.loads(out.getvalue())


def test_the_contracts_example_applies_twice_and_starts_the_streams(world: TwoWays, tmp_path: Path) -> None:
    file = tmp_path / "example.yaml"
    file.write_text(EXAMPLE)
    for _ in range(2):
        run("config", "apply", str(file))
    route = Route.objects.get(name="Orders and customers to the ledger", organization__slug="contract")
    assert route.settings == {"debit_account": "84", "credit_account": "", "create_customers": "all"}
    topics = {each.topic for each in listening.wanted("contract-salesforce")}
    assert topics == {f"/data/{name}ChangeEvent" for name in ("Account", "Order", "OrderItem")}


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        ({"credit_account": ""}, "debit_account is missing"),
        ({"debit_account": "84", "create_customers": "some"}, "create_customers"),
        ({"debit_account": "84", "debit_acount": "84"}, "debit_acount"),
    ],
)
def test_a_wrong_setting_of_a_route_is_said_with_its_line(
    world: TwoWays, tmp_path: Path, capsys: pytest.CaptureFixture[str], wanted: dict[str, str], text: str
) -> None:
    document = yaml.safe_load(EXAMPLE)
    document["organizations"][0]["routes"][1]["settings"] = wanted
    file = tmp_path / "example.yaml"
    file.write_text(yaml.safe_dump(document))
    with pytest.raises(CommandError):
        call_command("config", "check", str(file))
    (said,) = [line for line in "".join(capsys.readouterr()).splitlines() if ".yaml:" in line]
    assert text in said


def test_a_missing_external_id_is_misconfigured_in_the_ping_and_mends_by_itself(world: TwoWays) -> None:
    world.org.remove_field("Order", "QBO_JournalEntry_Id__c")
    world.org.hide_field("Account", CUSTOMER)
    world.org.revoke_tokens()  # what an org has is asked for anew with each token
    with pytest.raises(CommandError):
        call_command("ping", world.crm.slug)
    row = Connection.objects.get(pk=world.crm.pk)
    assert (row.state, row.detail) == (
        "misconfigured",
        f"Salesforce lacks the field Account.{CUSTOMER}, the field Order.QBO_JournalEntry_Id__c (or hides it from the "
        "run-as user): install the connector's package, assign its permission set, and switch Orders on in Setup",
    )
    world.org.add_field("Order", "QBO_JournalEntry_Id__c", length=64, external_id=True, unique=True)
    world.org.reveal_field("Account", CUSTOMER)
    connections.recheck(str(world.crm.pk))
    row.refresh_from_db()
    assert row.state == "ok"
    assert "This edition has no Invoice and no Payment object; invoices are kept as Opportunities" in row.detail


def test_a_field_taken_away_in_use_stops_the_connection_and_goes_on_when_it_is_back(world: TwoWays) -> None:
    world.tell_in_slack()
    world.org.hide_field("Account", CUSTOMER)
    world.org.revoke_tokens()
    customer = world.put("Customer", DisplayName="Northwind")
    world.work()
    assert world.deliveries() == [("customer.created", "parked", "connection")]
    assert Connection.objects.get(pk=world.crm.pk).state == "misconfigured"
    assert "Account has no external ID field QBO_Customer_Id__c" in world.texts[0]
    world.org.reveal_field("Account", CUSTOMER)
    connections.recheck(str(world.crm.pk))
    world.make_due()
    world.work()
    assert [row[CUSTOMER] for row in world.org.all_of("Account")] == [customer["Id"]]
    assert world.deliveries()[0] == ("customer.created", "delivered", "")


def test_preview_says_what_a_record_route_would_have_written(world: TwoWays) -> None:
    account = world.linked_account()
    order = world.order(account)
    world.work()
    world.org.deactivate(order)
    world.work()
    number = world.number(order)
    shown = [(row["type"], row["matched"], row["text"]) for row in run("preview", "--route", world.back.name)]
    assert [row for row in shown if row[0].startswith("order") and row[1]] == [
        ("order.voided", True, f"Order {number} of Northwind: reversing entry in QuickBooks Online"),
        ("order.created", True, f"Order {number} of Northwind over 300.50 USD: journal entry in QuickBooks Online"),
    ]
    assert ("customer.created", True, "Account Northwind: customer in QuickBooks Online") in shown
    there = [row["text"] for row in run("preview", "--route", world.there.name) if row["matched"]]
    assert there == ["Customer Northwind: Account in Salesforce"]
    world.route("Bills", world.books, world.chat, ["bill.*"], target=CHANNEL)
    assert {row["matched"] for row in run("preview", "--route", "Bills")} == {False}
