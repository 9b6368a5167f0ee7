"""Connecting accounts by OAuth: whole round trips over HTTP against the vendors' stand-ins, and every way to refuse."""

from __future__ import annotations

import datetime as dt
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib.auth.models import User
from django.test import Client

from connector import oauth_views, registry
from connector.kernel.contracts import Account, Grant, Secrets
from connector.models import (
    AuditEntry,
    Connection,
    ConnectionState,
    Credential,
    EventState,
    InboxEvent,
    OAuthState,
    Organization,
)
from connector.pipeline import clock, credentials
from sinks.slack.standin import SlackStandIn
from sources.quickbooks_online.standin import IntuitStandIn

REALM, OTHER_REALM = "9130350000000001", "9130350000000002"
BOOKS, SLACK = "/oauth/quickbooks-online", "/oauth/slack"
EXCHANGE = r"POST /oauth2/v1/tokens/bearer"


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any) -> None:
        return None


def consent(url: str) -> str:
    """What the browser brings back from the vendor's consent page: the callback's path and query."""
    try:
        urllib.request.build_opener(_Stay).open(url, timeout=5)
    except urllib.error.HTTPError as answer:
        with answer:
            assert answer.code == 302, answer.read()
            location = urlsplit(answer.headers["Location"])
    assert f"{location.scheme}://{location.netloc}" == "http://127.0.0.1:8000"
    return f"{location.path}?{location.query}"


@pytest.fixture
def acme(db: None) -> Organization:
    return Organization.objects.create(slug="acme", name="Acme Services LLC")


def log_in(client: Client, name: str = "ada") -> Client:
    client.force_login(User.objects.get_or_create(username=name, is_staff=True, is_superuser=True)[0])
    return client


@pytest.fixture
def browser(acme: Organization, client: Client) -> Client:
    """A member of the staff at the browser."""
    return log_in(client)


@pytest.fixture
def books(intuit: IntuitStandIn) -> IntuitStandIn:
    """Intuit with one company, whose owner consents."""
    intuit.add_company(REALM, "Acme Books")
    intuit.consent = REALM
    return intuit


def begin(browser: Client, base: str = BOOKS, query: str = "organization=acme") -> str:
    answer = browser.get(f"{base}/start/?{query}")
    assert answer.status_code == 302, answer.content
    return str(answer["Location"])


def secrets_of(slug: str) -> Mapping[str, str]:
    connection = Connection.objects.select_related("credential").get(slug=slug)
    return credentials.opened(connection.credential).values


def assert_refused(answer: Any, status: int, text: str) -> None:
    assert (answer.status_code, answer.templates[0].name) == (status, "oauth/problem.html")
    assert text in answer.content.decode()


def test_start_is_for_the_staff_alone(acme: Organization, client: Client) -> None:
    answer = client.get(f"{BOOKS}/start/?organization=acme")
    assert (answer.status_code, answer["Location"]) == (
        302,
        "/admin/login/?next=/oauth/quickbooks-online/start/%3Forganization%3Dacme",
    )
    client.force_login(User.objects.create(username="guest"))
    assert client.get(f"{BOOKS}/start/?organization=acme")["Location"].startswith("/admin/login/")
    assert client.post(f"{BOOKS}/start/?organization=acme").status_code == 405
    assert OAuthState.objects.count() == 0


def test_quickbooks_round_trip_makes_a_connection(browser: Client, books: IntuitStandIn) -> None:
    url = begin(browser)
    asked = {key: values[0] for key, values in parse_qs(urlsplit(url).query).items()}
    state = asked.pop("state")
    assert asked == {
        "client_id": "fake-client-id",
        "response_type": "code",
        "scope": "com.intuit.quickbooks.accounting",
        "redirect_uri": "http://127.0.0.1:8000/oauth/quickbooks-online/callback/",
    }
    row = OAuthState.objects.get()
    assert state not in (row.state_hash, row.session_hash)
    assert dt.timedelta(minutes=9) < row.expires_at - clock.now() <= dt.timedelta(minutes=10)

    answer = browser.get(consent(url))

    made = Connection.objects.select_related("organization", "credential").get()
    assert (answer.status_code, answer["Location"]) == (302, f"/admin/connector/connection/{made.pk}/change/")
    assert (made.slug, made.system, made.account, made.organization.slug, made.state, made.is_active) == (
        "acme-books-quickbooks-online", "quickbooks_online", REALM, "acme", "ok", True,
    )  # fmt: skip
    assert set(secrets_of(made.slug)) == {"access_token", "refresh_token"}
    assert made.credential is not None
    assert made.credential.refresh_expires_at is not None
    assert (
        "Connected to QuickBooks Online as acme-books-quickbooks-online."
        in browser.get(answer["Location"]).content.decode()
    )
    entry = AuditEntry.objects.get(action="connection.authorized")
    assert (entry.chain, entry.actor, entry.connection) == ("acme", "ada", "acme-books-quickbooks-online")
    assert (books.count(EXCHANGE), books.violations) == (1, [])


def test_slack_round_trip_keeps_the_signing_secret(browser: Client, acme: Organization, slack: SlackStandIn) -> None:
    first = Connection.objects.create(organization=acme, slug="chat", system="slack", account="T00000001")
    credentials.store(
        first,
        Secrets({"bot_token": "xoxb-fake-old", "signing_secret": "fake-own-secret"}),
        actor="ada",
        action="credential.stored",
    )
    answer = browser.get(consent(begin(browser, SLACK)))
    assert answer.status_code == 302
    assert Connection.objects.get() == first
    kept = secrets_of("chat")
    assert kept["signing_secret"] == "fake-own-secret"
    assert kept["bot_token"].startswith("xoxb-")
    assert kept["bot_token"] != "xoxb-fake-old"


def test_a_callback_works_once(browser: Client, books: IntuitStandIn) -> None:
    back = consent(begin(browser))
    assert browser.get(back).status_code == 302
    assert_refused(browser.get(back), 400, "was used already")
    assert (books.count(EXCHANGE), Connection.objects.count(), books.violations) == (1, 1, [])


@pytest.mark.parametrize("query", ["", "?state=", "?state=guess&code=c&realmId=1", "?state=%00%FF&code=x", "?code=c"])
def test_an_unknown_state_exchanges_nothing(browser: Client, books: IntuitStandIn, query: str) -> None:
    begin(browser)
    assert_refused(browser.get(f"{BOOKS}/callback/{query}"), 400, "Nothing was connected")
    assert (books.count(EXCHANGE), Connection.objects.count()) == (0, 0)


def test_the_state_belongs_to_the_browser_that_began(browser: Client, books: IntuitStandIn) -> None:
    back = consent(begin(browser))
    for stranger in (Client(), log_in(Client()), log_in(Client(), "bob")):
        assert_refused(stranger.get(back), 400, "was not begun in this browser")
    # Bob at Ada's browser, with her cookies gone as a log-in of another person makes them go.
    assert_refused(log_in(browser, "bob").get(back), 400, "was not begun in this browser")
    assert (books.count(EXCHANGE), Connection.objects.count()) == (0, 0)
    assert OAuthState.objects.filter(used_at=None).count() == 1


def test_a_state_is_of_one_system(browser: Client, books: IntuitStandIn, slack: SlackStandIn) -> None:
    back = consent(begin(browser))
    assert_refused(browser.get(back.replace("quickbooks-online", "slack")), 400, "Nothing was connected")
    assert (books.count(EXCHANGE), slack.count("oauth"), Connection.objects.count()) == (0, 0, 0)


def test_a_state_lives_ten_minutes(browser: Client, books: IntuitStandIn) -> None:
    back = consent(begin(browser))
    OAuthState.objects.update(expires_at=clock.after(-1))
    assert_refused(browser.get(back), 400, "older than ten minutes")
    assert (books.count(EXCHANGE), Connection.objects.count()) == (0, 0)


def test_a_refusal_is_said_in_words(browser: Client, books: IntuitStandIn) -> None:
    books.consent = None
    back = consent(begin(browser))
    assert "error=access_denied" in back
    answer = browser.get(back)
    assert_refused(answer, 400, "Access was denied at QuickBooks Online, so nothing was connected.")
    assert 'href="/oauth/quickbooks-online/start/?organization=acme"' in answer.content.decode()
    assert (books.count(EXCHANGE), Connection.objects.count()) == (0, 0)
    assert_refused(browser.get(back), 400, "was used already")


@pytest.mark.parametrize(("kind", "status"), [("cut_after", 502), ("cut_before", 502)])
def test_a_vendor_that_breaks_off_is_no_error_of_ours(
    browser: Client, books: IntuitStandIn, kind: str, status: int
) -> None:
    back = consent(begin(browser))
    books.fail(EXCHANGE, kind)
    assert_refused(browser.get(back), status, "Try again")
    assert Connection.objects.count() == 0


def test_a_wrong_code_is_refused_with_the_vendors_reason(browser: Client, books: IntuitStandIn) -> None:
    back = consent(begin(browser)).replace("code=fake", "code=wrong")
    assert_refused(browser.get(back), 400, "Start again.")
    assert Connection.objects.count() == 0


def test_nobody_connects_what_is_not_there(browser: Client) -> None:
    assert_refused(browser.get(f"{BOOKS}/start/?organization=nope"), 404, "Say for which organization")
    assert_refused(browser.get(f"{BOOKS}/start/"), 400, "Say for which organization")
    assert_refused(browser.get(f"{BOOKS}/start/?organization=%00"), 400, "Say for which organization")
    assert_refused(browser.get(f"{BOOKS}/start/?connection=nope"), 404, "no such QuickBooks Online connection")
    assert_refused(browser.get("/oauth/nope/start/?organization=acme"), 404, "no such system")
    assert_refused(browser.get("/oauth/nope/callback/?state=x"), 404, "no such system")
    assert OAuthState.objects.count() == 0


def test_a_known_connection_is_renewed_and_what_waited_goes_on(
    browser: Client, acme: Organization, books: IntuitStandIn
) -> None:
    known = Connection.objects.create(
        organization=acme, slug="books", system="quickbooks_online", account=REALM, state="needs_reauthorization"
    )
    waiting = InboxEvent.objects.create(
        connection=known, system=known.system, account=REALM, record="bill", record_id="1", operation="created",
        received_at=clock.now(), state=EventState.RECEIVED, state_at=clock.now(), next_attempt_at=clock.after(86400),
    )  # fmt: skip
    answer = browser.get(consent(begin(browser, query="organization=acme&connection=books")))
    assert answer["Location"] == f"/admin/connector/connection/{known.pk}/change/"
    known.refresh_from_db()
    waiting.refresh_from_db()
    assert known.state == ConnectionState.OK
    assert waiting.next_attempt_at is not None
    assert waiting.next_attempt_at <= clock.now()
    assert set(secrets_of("books")) == {"access_token", "refresh_token"}


def test_a_renewal_must_end_in_the_same_account(browser: Client, acme: Organization, books: IntuitStandIn) -> None:
    Connection.objects.create(organization=acme, slug="books", system="quickbooks_online", account=OTHER_REALM)
    answer = browser.get(consent(begin(browser, query="connection=books")))
    assert_refused(answer, 400, f"The connection books belongs to the QuickBooks Online account {OTHER_REALM}")
    assert (Connection.objects.count(), Credential.objects.count()) == (1, 0)


def test_an_account_may_be_connected_in_two_organizations(browser: Client, books: IntuitStandIn) -> None:
    Organization.objects.create(slug="twin", name="Twin")
    for slug in ("acme", "twin"):
        assert browser.get(consent(begin(browser, query=f"organization={slug}"))).status_code == 302
    found = list(Connection.objects.order_by("slug").values_list("slug", "organization__slug", "account"))
    assert found == [
        ("acme-books-quickbooks-online", "acme", REALM),
        ("acme-books-quickbooks-online-2", "twin", REALM),
    ]
    assert Credential.objects.count() == 2


class TestSeveralAccounts:
    """One log-in that owns several companies: the callback page lists them, and one is chosen."""

    grant = Grant(
        Secrets({"access_token": "fake-access-of-two", "refresh_token": "fake-refresh-of-two"}, clock.now()),
        (Account("A1", "First <b>Ltd</b>"), Account("A2", "Second Ltd", {"business_id": "77128"})),
        owner="owner-1",
    )

    @pytest.fixture
    def page(self, browser: Client, rf: Any) -> Any:
        """The choice as the callback shows it, in the browser's own session."""
        state = parse_qs(urlsplit(begin(browser)).query)["state"][0]
        OAuthState.objects.update(used_at=clock.now())
        request = rf.get(f"{BOOKS}/callback/", {"state": state})
        request.session, request.user = browser.session, User.objects.get(username="ada")
        system = registry.system("quickbooks_online")
        row = OAuthState.objects.select_related("organization").get()
        shown = oauth_views._choice_page(request, system, row, self.grant)
        return state, shown.content.decode()

    def test_the_page_lists_them_and_holds_no_secret(self, page: Any) -> None:
        _, html = page
        assert 'name="account" value="A1"' in html
        assert 'name="account" value="A2"' in html
        assert "First &lt;b&gt;Ltd&lt;/b&gt;" in html
        assert "fake-access-of-two" not in html
        row = OAuthState.objects.get()
        assert "fake-access-of-two" not in row.grant_sealed

    def test_the_choice_is_taken_once(self, browser: Client, page: Any) -> None:
        chosen = {"state": page[0], "account": "A2"}
        answer = browser.post(f"{BOOKS}/callback/", chosen)
        made = Connection.objects.get()
        assert (made.account, made.slug, made.settings) == (
            "A2", "second-ltd-quickbooks-online", {"business_id": "77128"},
        )  # fmt: skip
        assert answer["Location"] == f"/admin/connector/connection/{made.pk}/change/"
        assert secrets_of(made.slug) == self.grant.secrets.values
        assert OAuthState.objects.get().grant_sealed == ""
        assert_refused(browser.post(f"{BOOKS}/callback/", chosen), 400, "was used already")
        assert Connection.objects.count() == 1

    def test_nothing_else_can_be_chosen(self, browser: Client, page: Any) -> None:
        assert_refused(
            browser.post(f"{BOOKS}/callback/", {"state": page[0], "account": "A3"}), 400, "Choose one of the accounts"
        )
        chosen = {"state": page[0], "account": "A1"}
        assert_refused(log_in(Client()).post(f"{BOOKS}/callback/", chosen), 400, "was not begun in this browser")
        assert_refused(browser.post(f"{SLACK}/callback/", chosen), 400, "Nothing was connected")
        careful = Client(enforce_csrf_checks=True)
        careful.cookies = browser.cookies
        assert careful.post(f"{BOOKS}/callback/", chosen).status_code == 403
        assert Connection.objects.count() == 0

    def test_companies_of_one_log_in_share_its_credential(self, acme: Organization) -> None:
        system = registry.system("quickbooks_online")
        for account in self.grant.accounts:
            oauth_views.connect(system, acme, self.grant, account, actor="ada")
        assert (Connection.objects.count(), Credential.objects.count()) == (2, 1)
