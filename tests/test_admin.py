"""The admin as a person meets it: what it shows, what it hides, and what its buttons do."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django import forms
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import AnonymousUser, Permission, User
from django.http import QueryDict
from django.test import Client
from django.urls import reverse
from django_otp.oath import TOTP
from django_otp.plugins.otp_totp.models import TOTPDevice

from connector.access import visible_to
from connector.admin.base import ReadOnlyPage
from connector.admin.connection_form import merged_settings, setting_input, setting_name
from connector.kernel.contracts import Field
from connector.models import (
    AuditEntry,
    Connection,
    ConnectionState,
    Credential,
    Delivery,
    DeliveryState,
    DirectoryName,
    EventState,
    InboxEvent,
    Mailbox,
    Message,
    NameOverride,
    Organization,
    Route,
)
from connector.pipeline import audit, credentials
from sinks.slack.standin import SlackStandIn
from sources.quickbooks_online.standin import IntuitStandIn
from tests import world
from tests.world import PARTY, REALM, SECRETS

Html = str


@pytest.fixture
def acme(db: None) -> Organization:
    return world.build()


@pytest.fixture
def ada(client: Client, db: None) -> Client:
    """A superuser at the browser."""
    client.force_login(User.objects.create_superuser("ada", password="fake-password"))
    return client


def page(browser: Client, path: str, status: int = 200) -> Html:
    answer = browser.get(path)
    assert answer.status_code == status, path
    return answer.content.decode()


def post(browser: Client, path: str, fields: dict[str, Any] | None = None) -> Html:
    """The page that a form leads to."""
    answer = browser.post(path, fields or {}, follow=True)
    assert answer.status_code == 200, path
    return answer.content.decode()


def path_of(row: Any, view: str = "change") -> str:
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_{view}", args=[row.pk])


def list_of(model: Any, query: str = "") -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist") + query


def fields_of(browser: Client, path: str) -> dict[str, Any]:
    """The form of a page as a browser would send it back unchanged."""
    form = browser.get(path).context["adminform"].form
    sent = {}
    for name in form.fields:
        value = form[name].value()
        if value is not None and value is not False:
            sent[name] = "on" if value is True else value
    return sent


# --- what is shown and what is not -----------------------------------------------------------------------------------


def every_page(browser: Client) -> dict[str, Html]:
    """Every page of the admin that a link could lead to, by its path."""
    page(browser, "/admin/")  # the first request puts the pages on the site
    paths = [
        "/admin/",
        "/admin/connector/",
        "/admin/second-factor/setup/",
        "/admin/connector/connection/add/?system=slack",
    ]
    for model, model_admin in admin.site._registry.items():
        paths.append(list_of(model))
        request = type("Request", (), {"user": User.objects.get(username="ada"), "GET": {}})()
        if model_admin.has_add_permission(request):  # type: ignore[arg-type]
            paths.append(reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_add"))
        for row in model._default_manager.all():
            paths += [path_of(row), path_of(row, "history")]
            if model_admin.has_delete_permission(request, row):  # type: ignore[arg-type]
                paths.append(path_of(row, "delete"))
    paths += [path_of(row, "preview") for row in Route.objects.all()]
    paths += [path_of(row, "disconnect") for row in Connection.objects.all()]
    return {path: page(browser, path) for path in paths}


def test_no_page_shows_a_secret_and_few_show_a_record(acme: Organization, ada: Client) -> None:
    pages = every_page(ada)
    assert len(pages) > 100
    sealed = list(Credential.objects.values_list("secrets_sealed", flat=True))
    for path, html in pages.items():
        for secret in (*SECRETS.values(), *sealed, "gAAAAA"):
            assert secret not in html, path
    shown = {re.sub(r"[0-9a-f-]{36}", "ID", path) for path, html in pages.items() if PARTY in html}
    assert shown == {
        "/admin/connector/inboxevent/ID/change/",
        "/admin/connector/message/ID/change/",
        "/admin/connector/directoryname/ID/change/",
        "/admin/connector/route/ID/change/",
        "/admin/connector/route/ID/preview/",
    }


def test_no_page_needs_what_the_content_policy_forbids(acme: Organization, ada: Client) -> None:
    for path, html in every_page(ada).items():
        # The vendor's own markup stands escaped; what is left is ours.
        assert re.search(r"<script(?![^>]*\b(src|type=.application/json))|<style|\sstyle=|\son\w+=", html) is None, path
    policy = ada.get("/admin/").headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy


def test_the_overview_names_what_is_wrong(acme: Organization, ada: Client) -> None:
    Connection.objects.filter(slug="acme-books").update(state=ConnectionState.NEEDS_REAUTHORIZATION)
    html = page(ada, "/admin/")
    assert "is_archived: the channel is archived" in html
    assert "Needs re-authorization" in html
    assert 'href="/oauth/quickbooks-online/start/?organization=acme&amp;connection=acme-books">Re-authorize<' in html
    assert 'href="/oauth/quickbooks-online/start/?organization=acme">Connect QuickBooks Online<' in html
    assert 'href="/oauth/slack/start/?organization=acme">Connect Slack<' in html
    assert '<a href="/admin/connector/delivery/?state__exact=parked"><strong>1</strong>' in html


def test_an_empty_installation_says_where_to_begin(ada: Client) -> None:
    assert "Add an organization" in page(ada, "/admin/")
    assert "There is no organization yet" in page(ada, "/admin/connector/connection/add/")


def test_only_the_staff_sees_anything(acme: Organization, client: Client) -> None:
    guest = User.objects.create(username="guest")
    former = User.objects.create(username="former", is_staff=True, is_active=False)
    for user in (AnonymousUser(), guest, former):
        assert visible_to(user, Connection).count() == 0
        assert visible_to(user, Connection.objects.filter(slug="acme-books")).count() == 0
    clerk = User.objects.create(username="clerk", is_staff=True)
    assert visible_to(clerk, Connection).count() == 3
    client.force_login(guest)
    assert client.get("/admin/").status_code == 302


def test_a_clerk_who_may_look_may_not_do(acme: Organization, client: Client, slack: SlackStandIn) -> None:
    clerk = User.objects.create(username="clerk", is_staff=True)
    clerk.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    client.force_login(clerk)
    connection = Connection.objects.get(slug="acme-slack")
    assert "Ping now" not in page(client, path_of(connection))
    event, delivery = InboxEvent.objects.filter(state="failed").get(), Delivery.objects.get(state="parked")
    assert ">Replay</button>" not in page(client, path_of(event))
    for path in (path_of(connection, "ping"), path_of(connection, "disconnect"), path_of(event, "replay")):
        assert client.post(path).status_code == 403
    client.post(list_of(Delivery), {"action": "release", "_selected_action": [delivery.pk]})
    assert Delivery.objects.get(pk=delivery.pk).state == DeliveryState.PARKED
    assert slack.count("auth") == 0


def columns(model: Any) -> dict[str, Any]:
    """Every row of a table by its key."""
    return {str(row[model._meta.pk.attname]): row for row in model._default_manager.values()}


def test_what_the_pipeline_writes_cannot_be_edited(acme: Organization, ada: Client) -> None:
    read_only = {model for model, model_admin in admin.site._registry.items() if isinstance(model_admin, ReadOnlyPage)}
    names = {model.__name__ for model in read_only}
    assert names == {
        "Attempt", "AuditEntry", "Credential", "Cursor", "Delivery", "DirectoryName", "Feedback", "InboxEvent",
        "Link", "Mailbox", "Message", "RecordState", "Report", "Subscription", "TOTPDevice", "VendorCalls", "Watched",
    }  # fmt: skip
    for model in read_only - {TOTPDevice}:
        before = columns(model)
        row = model._default_manager.all()[0]
        assert ada.get(list_of(model) + "add/").status_code == 403
        assert ada.post(list_of(model) + "add/", {}).status_code == 403
        assert ada.post(path_of(row), {"reason": "forged", "_save": "1"}).status_code == 403
        assert ada.post(path_of(row, "delete"), {"post": "yes"}).status_code == 403
        ada.post(list_of(model), {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"})
        after = columns(model)
        assert {key: after[key] for key in before} == before


# --- connections -----------------------------------------------------------------------------------------------------


def stored(slug: str) -> dict[str, str]:
    connection = Connection.objects.select_related("credential").get(slug=slug)
    return dict(credentials.opened(connection.credential).values)


def test_an_empty_secret_keeps_and_a_given_one_is_stored(acme: Organization, ada: Client) -> None:
    connection = Connection.objects.get(slug="acme-slack")
    html = page(ada, path_of(connection))
    inputs = {
        name: re.search(rf'<input type="password" name="{name}"[^>]*>', html) for name in ("bot_token", "refresh_token")
    }
    assert 'placeholder="stored \N{EN DASH} leave empty to keep"' in inputs["bot_token"].group()  # type: ignore[union-attr]
    assert 'placeholder="not set"' in inputs["refresh_token"].group()  # type: ignore[union-attr]
    assert not any("value=" in found.group() for found in inputs.values() if found)

    fields = fields_of(ada, path_of(connection))
    post(ada, path_of(connection), {**fields, "setting_when_unreadable": "repost"})
    before = stored("acme-slack")
    assert before == {"bot_token": SECRETS["bot_token"], "signing_secret": SECRETS["signing_secret"]}
    connection.refresh_from_db()
    assert (connection.settings, connection.state) == ({"when_unreadable": "repost"}, ConnectionState.OK)

    Connection.objects.filter(pk=connection.pk).update(state=ConnectionState.NEEDS_REAUTHORIZATION)
    html = post(ada, path_of(connection), fields_of(ada, path_of(connection)) | {"bot_token": " xoxb-fake-new "})
    assert stored("acme-slack") == {**before, "bot_token": "xoxb-fake-new"}
    assert "xoxb-fake-new" not in html
    connection.refresh_from_db()
    assert (connection.state, connection.checked_at) == (ConnectionState.UNKNOWN, None)
    said = [entry.get_change_message() for entry in LogEntry.objects.order_by("pk")]
    assert said == ["Changed When an uncertain message cannot be looked up.", "Changed Bot token."]
    assert list(
        AuditEntry.objects.filter(actor="ada").order_by("pk").values_list("action", "connection", "reason")
    ) == [
        ("connection.changed", "acme-slack", "setting_when_unreadable"),
        ("connection.changed", "acme-slack", "bot_token"),
        ("credential.stored", "acme-slack", ""),
    ]
    assert audit.verify()[1] == []


def test_a_connection_is_added_with_the_inputs_of_its_system(acme: Organization, ada: Client) -> None:
    choice = page(ada, "/admin/connector/connection/add/")
    assert '<a href="?system=slack">Slack</a>' in choice
    path = "/admin/connector/connection/add/?system=slack"
    fields = {"organization": acme.pk, "slug": "other", "account": "T00000002", "is_active": "on"}
    fields |= {"bot_token": "xoxb-fake-other", "setting_when_unreadable": "park"}
    assert "This account is connected already: acme-slack." in post(ada, path, {**fields, "account": "T00000001"})
    assert Connection.objects.count() == 3
    post(ada, path, fields)
    made = Connection.objects.get(slug="other")
    assert (made.system, made.account, made.settings, stored("other")) == (
        "slack", "T00000002", {}, {"bot_token": "xoxb-fake-other"},
    )  # fmt: skip
    assert ada.get("/admin/connector/connection/add/?system=nope").status_code == 200


def test_a_deleted_connection_takes_its_credential_along(acme: Organization, ada: Client) -> None:
    path = "/admin/connector/connection/add/?system=slack"
    fields = {"organization": acme.pk, "slug": "gone", "account": "T9", "setting_when_unreadable": "park"}
    post(ada, path, {**fields, "bot_token": "xoxb-fake-gone"})
    gone = Connection.objects.get(slug="gone")
    post(ada, path_of(gone, "delete"), {"post": "yes"})
    assert not Connection.objects.filter(slug="gone").exists()
    assert Credential.objects.count() == 2
    # One that has told something is kept, with what protects it named.
    kept = Connection.objects.get(slug="acme-books")
    assert "Cannot delete connection" in page(ada, path_of(kept, "delete"))


def test_a_ping_says_what_the_vendor_said(ada: Client, slack: SlackStandIn, intuit: IntuitStandIn) -> None:
    world.build(slack={"bot_token": slack.issue_token()})
    good, bad = Connection.objects.get(slug="acme-slack"), Connection.objects.get(slug="acme-books")
    assert "Ping of acme-slack: Connected to the Slack workspace" in post(ada, path_of(good, "ping"))
    html = post(ada, path_of(bad, "ping"), {"back": "overview"})
    assert '<li class="error">Ping of acme-books: ' in html
    assert "<title>Overview" in html
    good.refresh_from_db()
    bad.refresh_from_db()
    assert (good.state, bad.state) == (ConnectionState.OK, ConnectionState.NEEDS_REAUTHORIZATION)
    assert ada.get(path_of(good, "ping")).status_code == 405
    assert AuditEntry.objects.filter(action="connection.pinged", actor="ada").count() == 2


def test_disconnecting_ends_the_authorization_here_and_there(ada: Client, intuit: IntuitStandIn) -> None:
    intuit.add_company(REALM, "Acme Books")
    tokens = intuit.issue_tokens(REALM)
    world.build(books={name: tokens[name] for name in ("access_token", "refresh_token")})
    books = Connection.objects.get(slug="acme-books")
    assert "is asked to end the authorization" in page(ada, path_of(books, "disconnect"))
    assert intuit.count("POST /v2/oauth2/tokens/revoke") == 0
    html = post(ada, path_of(books, "disconnect"))
    assert "Disconnected acme-books. The authorization was ended at QuickBooks Online." in html
    books.refresh_from_db()
    assert (books.state, books.is_active, stored("acme-books")) == (ConnectionState.NEEDS_REAUTHORIZATION, True, {})
    assert intuit.count("POST /v2/oauth2/tokens/revoke") == 1
    assert "Connect</a>" in html


def test_disconnecting_leaves_a_shared_login_to_the_others(
    acme: Organization, ada: Client, intuit: IntuitStandIn
) -> None:
    books = Connection.objects.get(slug="acme-books")
    second = Connection.objects.create(
        organization=acme, slug="second", system=books.system, account="2", credential=books.credential, state="ok"
    )
    assert "because these connections use it, too: second" in page(ada, path_of(books, "disconnect"))
    assert "The log-in itself still serves second." in post(ada, path_of(books, "disconnect"))
    second.refresh_from_db()
    assert (second.state, stored("second"), stored("acme-books")) == (
        ConnectionState.OK, {name: SECRETS[name] for name in ("access_token", "refresh_token")}, {},
    )  # fmt: skip
    assert intuit.count("revoke") == 0


@pytest.mark.parametrize(
    ("field", "value", "sent", "kept"),
    [
        (Field("entity", "Entity"), "", {"setting_entity": " main "}, {"entity": "main"}),
        (Field("entity", "Entity", default="main"), "other", {"setting_entity": "main"}, {}),
        (Field("minutes", "Minutes", default=5), 5, {"setting_minutes": "15"}, {"minutes": 15}),
        (Field("minutes", "Minutes", default=5), 9, {"setting_minutes": ""}, {}),
        (Field("strict", "Strict", default=False), False, {"setting_strict": "on"}, {"strict": True}),
        (Field("strict", "Strict", default=True), True, {}, {"strict": False}),
        (Field("names", "Names", default=[]), [], {"setting_names": "one\n\ntwo"}, {"names": ["one", "two"]}),
        (Field("kinds", "Kinds", default=[], choices=("a", "b")), [], {"setting_kinds": ["b"]}, {"kinds": ["b"]}),
        (Field("mode", "Mode", choices=("a", "b")), "", {"setting_mode": ""}, {}),
        (Field("mode", "Mode", default="a", choices=("a", "b")), "a", {"setting_mode": "b"}, {"mode": "b"}),
    ],
)
def test_a_setting_has_an_input_of_its_kind(
    field: Field, value: Any, sent: dict[str, Any], kept: dict[str, Any]
) -> None:
    document = QueryDict(mutable=True)
    for name, given in sent.items():
        document.setlist(name, given if isinstance(given, list) else [given])
    form = type("SettingForm", (forms.Form,), {setting_name(field): setting_input(field, value)})(document)
    assert form.is_valid(), form.errors
    assert merged_settings((field,), form.cleaned_data, {field.name: value, "other": 1}) == {"other": 1, **kept}


# --- routes ----------------------------------------------------------------------------------------------------------


def route_fields(**changed: Any) -> dict[str, Any]:
    source, sink = Connection.objects.get(slug="acme-books"), Connection.objects.get(slug="acme-slack")
    fields = {
        "name": "New", "source": source.pk, "sink": sink.pk, "target": "C0NEW0001", "digest_after": "30",
        "events": "bill.created\n\n *.deleted ", "min_amount": "", "max_amount": " 900.50 ", "above_amount": "",
        "currency": "usd", "parties": "Vendor One\nVendor Two", "is_active": "on", "thread_updates": "on",
    }  # fmt: skip
    return fields | changed


def test_a_route_is_written_as_the_configuration_file_would(acme: Organization, ada: Client) -> None:
    post(ada, "/admin/connector/route/add/", route_fields(exclude_internal="on"))
    made = Route.objects.get(name="New")
    assert (made.organization, made.events, made.target, made.thread_updates, made.digest_after) == (
        acme, ["bill.created", "*.deleted"], "C0NEW0001", True, 30,
    )  # fmt: skip
    assert made.conditions == {
        "max_amount": "900.50", "currency": "USD", "parties": ["Vendor One", "Vendor Two"], "exclude_internal": True,
    }  # fmt: skip
    assert Mailbox.objects.filter(target="C0NEW0001").exists()
    entry = LogEntry.objects.get()
    assert (entry.object_repr, entry.get_change_message()) == (str(made.pk), "Added.")

    fields = fields_of(ada, path_of(made))
    assert (fields["parties"], fields["events"]) == ("Vendor One\nVendor Two", "bill.created\n*.deleted")
    post(ada, path_of(made), route_fields(parties="", currency="", max_amount=""))
    made.refresh_from_db()
    assert made.conditions is None
    assert "Vendor" not in "".join(LogEntry.objects.values_list("change_message", flat=True))


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"events": "bill.exploded"}, "there is no operation"),
        ({"events": " \n"}, "This field is required."),
        ({"min_amount": "lots"}, "min_amount must be a number"),
        ({"currency": "US"}, "currency must be a three-letter code"),
        ({"target": ""}, "Say which Slack channel."),
        ({"name": "Large bills"}, "Another route of this organization has this name."),
    ],
)
def test_a_mistake_in_a_route_is_said_and_nothing_saved(
    acme: Organization, ada: Client, changed: dict[str, str], text: str
) -> None:
    html = post(ada, "/admin/connector/route/add/", route_fields(**changed)).replace("&#x27;", "'")
    assert text in html
    assert Route.objects.count() == 2


def test_a_route_stays_within_its_organization(acme: Organization, ada: Client) -> None:
    twin = Organization.objects.create(slug="twin", name="Twin")
    foreign = Connection.objects.create(organization=twin, slug="twin-slack", system="slack", account="T2")
    html = post(ada, "/admin/connector/route/add/", route_fields(sink=foreign.pk))
    assert "belongs to another organization" in html
    books = Connection.objects.get(slug="acme-books")
    assert "debit_account is missing" in post(ada, "/admin/connector/route/add/", route_fields(sink=books.pk))
    assert Route.objects.count() == 2


def test_a_change_is_tried_over_past_events_before_it_is_saved(acme: Organization, ada: Client) -> None:
    route = Route.objects.get(name="Large bills")
    html = page(ada, path_of(route, "preview"))
    assert "1 of the last 3 events of acme-books match" in html
    assert f"Bill B-1002 created: {PARTY}, $2,500.00" in html
    fields = fields_of(ada, path_of(route)) | {"above_amount": "50", "parties": "", "_preview": "Preview"}
    tried = post(ada, path_of(route), fields)
    assert "3 of the last 3 events of acme-books match" in tried
    assert "Not saved yet" in tried
    route.refresh_from_db()
    assert route.conditions == {"above_amount": "100", "parties": [PARTY]}
    # The page carries the form along, so that it can be saved from there.
    kept = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', tried))
    post(ada, path_of(route), {**kept, "_save": ""})
    route.refresh_from_db()
    assert route.conditions == {"above_amount": "50"}
    assert Delivery.objects.count() == 4


# --- events, deliveries, audit ---------------------------------------------------------------------------------------


def test_the_page_of_an_event_answers_why(acme: Organization, ada: Client) -> None:
    event = InboxEvent.objects.get(record_id="1001")
    html = page(ada, path_of(event))
    rows = [re.sub(r"<[^>]+>|\s+", " ", row) for row in re.findall(r"<tr>.*?</tr>", html, re.DOTALL)]
    cells = [" ".join(row.split()) for row in rows]
    assert "max_amount 5000 75 USD Yes" in cells
    assert "above_amount 100 75 USD No" in cells
    assert any(cell.startswith("Bills to AP C0AP00001 Delivered 1762192800.000100 delivered") for cell in cells)
    assert "&lt;script&gt;alert(&#x27;note&#x27;)&lt;/script&gt;" in html
    assert "<script>alert" not in html
    viewed = AuditEntry.objects.get(action="payload.viewed")
    assert (viewed.chain, viewed.actor, viewed.connection, viewed.event) == ("acme", "ada", "acme-books", str(event.pk))
    message = Message.objects.exclude(ts="").get()
    assert f"Bill B-1001 of {PARTY}: $75.00" in page(ada, path_of(message))
    assert AuditEntry.objects.filter(action="payload.viewed", event=str(event.pk)).count() == 2
    assert audit.verify()[1] == []


@pytest.mark.parametrize("text", ["zebulon", PARTY, "b-1002", "1002"])
def test_events_deliveries_and_audit_are_found_by_their_words(acme: Organization, ada: Client, text: str) -> None:
    event = InboxEvent.objects.get(record_id="1002")
    for model, wanted in ((InboxEvent, event), (Delivery, Delivery.objects.get(state="parked"))):
        html = page(ada, list_of(model, f"?q={text}"))
        assert path_of(wanted) in html
        assert path_of(InboxEvent.objects.get(account="1")) not in html
    assert str(event.pk)[:8] in page(ada, list_of(AuditEntry, f"?q={text}"))
    assert "0 inbox events" in page(ada, list_of(InboxEvent, "?q=nobody"))
    page(ada, list_of(InboxEvent, "?q=%00"))


def test_a_failed_event_is_replayed(acme: Organization, ada: Client) -> None:
    event = InboxEvent.objects.get(record_id="1003")
    Delivery.objects.filter(event=event).delete()
    assert "1 set free." in post(ada, path_of(event, "replay"))
    event.refresh_from_db()
    assert (event.state, event.reason) == (EventState.RECEIVED, "")
    assert AuditEntry.objects.get(action="event.replayed").actor == "ada"
    InboxEvent.objects.filter(pk=event.pk).update(state=EventState.FAILED)
    chosen = {"action": "replay_failed", "_selected_action": [event.pk]}
    assert "1 set free." in post(ada, list_of(InboxEvent), chosen)


def test_deliveries_are_released_and_told_again_only_when_sure(acme: Organization, ada: Client) -> None:
    parked, told = Delivery.objects.get(state="parked"), Delivery.objects.get(state="delivered")
    both = {"_selected_action": [parked.pk, told.pk]}
    html = post(ada, list_of(Delivery), {"action": "release", **both})
    assert "1 set free, 1 left alone (delivered before, or on their way)." in html
    parked.refresh_from_db()
    assert (parked.state, parked.replayed_by, parked.mailbox.hold) == (DeliveryState.WAITING, "ada", "")

    html = post(ada, list_of(Delivery), {"action": "tell_again", "_selected_action": [told.pk]})
    assert "posted as a <strong>new message</strong>" in html
    told.refresh_from_db()
    assert told.state == DeliveryState.DELIVERED
    html = post(ada, list_of(Delivery), {"action": "tell_again", "_selected_action": [told.pk], "is_sure": "1"})
    assert "1 set free." in html
    told.refresh_from_db()
    assert (told.state, told.message) == (DeliveryState.WAITING, None)


def test_a_mailbox_is_released(acme: Organization, ada: Client) -> None:
    mailbox = Mailbox.objects.exclude(hold="").get()
    html = post(ada, list_of(Mailbox), {"action": "release", "_selected_action": [mailbox.pk]})
    assert "Released; 1 deliveries go on." in html
    mailbox.refresh_from_db()
    assert (mailbox.hold, mailbox.reason) == ("", "")
    assert AuditEntry.objects.get(action="mailbox.release_asked").actor == "ada"


def test_names_are_overridden_and_sealed(acme: Organization, ada: Client) -> None:
    override = NameOverride.objects.get()
    assert fields_of(ada, path_of(override))["name"] == "Ads"
    post(ada, path_of(override), fields_of(ada, path_of(override)) | {"name": "Cash on hand"})
    override.refresh_from_db()
    assert override.name == "Cash on hand"
    assert "Cash on hand" not in override.name_sealed
    assert "Cash" not in "".join(LogEntry.objects.values_list("change_message", flat=True))
    assert PARTY in page(ada, path_of(DirectoryName.objects.get()))


def test_an_organization_has_a_real_time_zone_and_locale(ada: Client) -> None:
    fields = {"name": "New", "slug": "new", "timezone": "Mars/Base", "locale": "xx_YY"}
    html = post(ada, "/admin/connector/organization/add/", fields)
    assert "Select a valid choice. Mars/Base" in html
    assert "There is no such language and country" in html
    post(
        ada,
        "/admin/connector/organization/add/",
        {**fields, "timezone": "Europe/Berlin", "locale": "de-DE".replace("-", "_")},
    )
    made = Organization.objects.get()
    assert (made.slug, made.timezone, made.locale) == ("new", "Europe/Berlin", "de_DE")
    assert "Connect Slack" in page(ada, path_of(made))


# --- the second factor -----------------------------------------------------------------------------------------------


def code_for(device: TOTPDevice, *, steps: int = 0) -> str:
    totp = TOTP(device.bin_key, device.step, device.t0, device.digits, device.drift)
    return f"{totp.token() if not steps else _shifted(totp, steps):06d}"


def _shifted(totp: TOTP, steps: int) -> int:
    totp.time = totp.time + steps * totp.step
    return int(totp.token())


def test_a_second_factor_is_asked_for_once_it_is_set_up(acme: Organization, ada: Client) -> None:
    assert ada.get("/admin/connector/connection/").status_code == 200
    html = page(ada, "/admin/second-factor/setup/")
    device = TOTPDevice.objects.get()
    assert not device.confirmed
    assert "otpauth://totp/" in html
    assert "does not fit" in post(ada, "/admin/second-factor/setup/", {"code": "000000"})
    TOTPDevice.objects.update(throttling_failure_count=0, throttling_failure_timestamp=None)
    used = code_for(device)
    assert "The second factor is set up" in post(ada, "/admin/second-factor/setup/", {"code": used})
    assert device.key not in page(ada, "/admin/second-factor/setup/")

    later = Client()
    later.force_login(User.objects.get(username="ada"))
    for path in ("/admin/", "/admin/connector/connection/", "/admin/second-factor/setup/", "/oauth/slack/start/"):
        assert later.get(path)["Location"].startswith("/admin/second-factor/?next="), path
    ask = later.get("/admin/connector/route/")["Location"]
    assert "Enter the code" in page(later, ask)
    assert "wrong or was used before" in post(later, ask, {"code": used})
    assert later.get("/admin/").status_code == 302
    TOTPDevice.objects.update(throttling_failure_count=0, throttling_failure_timestamp=None)
    answer = later.post(ask, {"code": code_for(device, steps=1), "next": "/admin/connector/route/"})
    assert answer["Location"] == "/admin/connector/route/"
    assert later.get("/admin/connector/route/").status_code == 200
    actions = AuditEntry.objects.filter(chain="", action__startswith="second_factor").order_by("pk")
    assert list(actions.values_list("action", "actor")) == [
        ("second_factor.set_up", "ada"),
        ("second_factor.refused", "ada"),
    ]


def test_the_code_page_leads_nowhere_else(ada: Client) -> None:
    device = TOTPDevice.objects.create(user=User.objects.get(username="ada"), confirmed=True)
    answer = ada.post("/admin/second-factor/", {"code": code_for(device), "next": "https://evil.example/"})
    assert answer["Location"] == "/admin/"


def test_an_administrator_removes_a_lost_second_factor(ada: Client) -> None:
    device = TOTPDevice.objects.create(user=User.objects.create(username="bob"), confirmed=True)
    html = page(ada, path_of(device))
    assert device.key not in html
    post(ada, path_of(device, "delete"), {"post": "yes"})
    assert TOTPDevice.objects.count() == 0
