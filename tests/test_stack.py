"""The product as a user runs it, through its public doors: real web, workers, beat, Redis and database."""

from __future__ import annotations

import contextlib
import copy
import itertools
import os
import re
import signal
import sqlite3
import threading
import time
import urllib.request
from collections.abc import Iterator
from http.cookiejar import CookieJar
from typing import Any
from urllib.parse import urlencode, urljoin

import pytest

from connector.kernel.standin import Answer
from tests.stack import REALM, Stack, acme, bill, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
AP, AR, EXEC, OPS = "C0AP00001", "C0AR00001", "C0EXEC001", "C0OPS0001"


@pytest.fixture(scope="module")
def running() -> Iterator[Stack]:
    stack = Stack(HTTP_TIMEOUT_SECONDS="5", DELIVERY_LEASE_SECONDS="15")
    try:
        yield stack.start()
    finally:
        stack.close()


@pytest.fixture
def stack(running: Stack) -> Stack:
    """The running installation with its stand-ins as new, and one organization with the usual routes."""
    for standin in (running.intuit, running.slack):
        standin.clear()
    running.slack.team.posts.clear()
    for number, channel in enumerate((AP, AR, EXEC, OPS)):
        running.slack.add_channel(channel, f"channel{number}")
    everything = ["bill.*", "invoice.*", "payment.*", "bill_payment.*", "journal_entry.*", "vendor.*"]
    document = acme(
        running,
        {"name": "All to AP", "channel": AP, "events": everything, "thread_updates": True},
        {"name": "Large to exec", "channel": EXEC, "events": ["invoice.*"], "where": {"above_amount": "5000"}},
        {"name": "Alerts", "channel": OPS, "events": ["connection.*"]},
    )
    running.configure(document, "--force-credentials")
    wait_for(lambda: all(row["state"] == "ok" for row in running.status()["connections"]), what="connected")
    running.slack.team.posts.clear()
    running.intuit.clear()
    return running


def new_bills(stack: Stack, count: int, prefix: str) -> list[tuple[str, str, str]]:
    rows = [stack.intuit.put(REALM, "Bill", bill(f"{prefix}-{number}")) for number in range(count)]
    return [("Bill", row["Id"], "created") for row in rows]


def test_twelve_messages_keep_their_second_and_their_order_and_channels_do_not_slow_each_other(stack: Stack) -> None:
    channels = [f"C0PAR000{number}" for number in range(5)]
    for channel in channels:
        stack.slack.add_channel(channel, channel.lower())
    routes = [{"name": channel, "channel": channel, "events": ["bill.created"]} for channel in channels]
    document = acme(stack, {"name": "All to AP", "channel": AP, "events": ["bill.created"]}, *routes)
    stack.configure(document)
    started = time.monotonic()
    assert stack.notify(*new_bills(stack, 12, "P")) == 200
    stack.wait_for_posts(72, seconds=30)
    assert time.monotonic() - started < 12 * 1.15 + 1
    assert not stack.slack.violations
    for channel in (AP, *channels):
        posts = stack.posts(channel)
        assert [post.text.split()[1] for post in posts] == [f"P-{number}" for number in range(12)]
        gaps = [later.at - earlier.at for earlier, later in itertools.pairwise(posts)]
        assert min(gaps) >= 1.0
        assert posts[-1].at - posts[0].at < 12 * 1.15


def test_an_invoice_over_the_threshold_goes_to_both_channels(stack: Stack) -> None:
    for number, total in (("1001", 5000), ("1002", 5000.01)):
        amounts = {"TotalAmt": total, "Balance": total, "CurrencyRef": {"value": "USD"}}
        customer = {"value": "1", "name": "Amy's Bird Sanctuary"}
        invoice = stack.intuit.put(REALM, "Invoice", {"CustomerRef": customer, "DocNumber": number, **amounts})
        assert stack.notify(("Invoice", invoice["Id"], "created")) == 200
    stack.wait_for_posts(3)
    assert [post.text.split()[1] for post in stack.posts(AP)] == ["1001", "1002"]
    assert [post.text.split()[1] for post in stack.posts(EXEC)] == ["1002"]


def test_a_thousand_bills_cost_few_calls_and_are_all_visible_within_a_minute(stack: Stack) -> None:
    route = {"name": "All to AP", "channel": AP, "events": ["bill.*"], "digest_after": 30}
    stack.configure(acme(stack, route))
    changes = new_bills(stack, 1000, "K")
    stack.intuit.clear()
    started = time.monotonic()
    for start in range(0, 1000, 50):
        assert stack.notify(*changes[start : start + 50]) == 200
    told: list[str] = []

    def is_complete() -> bool:
        told[:] = [number for post in stack.posts(AP) for number in re.findall(r"\bK-\d+\b", post.text)]
        return len(told) >= 1000

    wait_for(is_complete, 70, what="a thousand bills in Slack")
    assert time.monotonic() - started < 60
    assert sorted(told) == sorted(f"K-{number}" for number in range(1000))
    assert stack.intuit.count("/v3/company/") <= 60
    assert not stack.intuit.violations and not stack.slack.violations
    assert stack.notify(*new_bills(stack, 1, "single")) == 200
    wait_for(lambda: stack.posts(AP)[-1].text.startswith("Bill single-0 created"), what="a single message again")


@pytest.fixture
def frozen_redis(stack: Stack) -> Iterator[None]:
    pids = stack.pids("valkey-server") + stack.pids("redis-server")
    assert pids
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    yield
    for pid in pids:
        os.kill(pid, signal.SIGCONT)


def test_with_redis_frozen_webhooks_are_answered_at_once_and_told_when_it_is_back(
    stack: Stack, request: pytest.FixtureRequest
) -> None:
    """`REDIS_DOWN` is how long, in seconds; a webhook comes in each of them."""
    changes = new_bills(stack, max(3, int(os.environ.get("REDIS_DOWN", "3"))), "F")
    request.getfixturevalue("frozen_redis")
    slowest = 0.0
    for change in changes:
        started = time.monotonic()
        assert stack.notify(change) == 200
        slowest = max(slowest, time.monotonic() - started)
        time.sleep(max(0.0, 1 - (time.monotonic() - started)))
    assert slowest < 1.0
    wait_for(lambda: stack.get("/readyz")[0] == 503, 10, what="not ready")
    assert not stack.posts()
    for pid in stack.pids("valkey-server") + stack.pids("redis-server"):
        os.kill(pid, signal.SIGCONT)
    stack.wait_for_posts(len(changes), seconds=40 + 2 * len(changes))
    print(f"{len(changes)} webhooks, the slowest answered in {slowest:.2f} s; {len(stack.posts())} messages")


def test_with_redis_killed_nothing_is_lost(stack: Stack) -> None:
    (pid, *_) = stack.pids("valkey-server") + stack.pids("redis-server")
    changes = new_bills(stack, 3, "R")
    os.kill(pid, signal.SIGKILL)
    started = time.monotonic()
    assert stack.notify(*changes) == 200
    assert time.monotonic() - started < 1.0
    stack.wait_for_posts(3, seconds=40)


def test_an_expired_token_is_renewed_once_however_many_need_it(stack: Stack) -> None:
    stack.intuit.expire_access_tokens(REALM)
    changes = new_bills(stack, 4, "E")
    threads = [threading.Thread(target=stack.notify, args=(change,)) for change in changes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stack.wait_for_posts(4, AP)
    assert stack.intuit.count("POST /oauth2/v1/tokens/bearer") == 1
    assert not stack.intuit.violations


def test_a_revoked_authorization_is_told_and_what_waited_goes_on_after_the_new_one(stack: Stack) -> None:
    stack.intuit.revoke(REALM)
    assert stack.notify(*new_bills(stack, 2, "A")) == 200
    (alert,) = stack.wait_for_posts(1, OPS)
    assert "acme-books" in alert.text
    states = {row["slug"]: row["state"] for row in stack.status()["connections"]}
    assert states == {"acme-books": "needs_reauthorization", "acme-slack": "ok"}
    assert stack.intuit.count("POST /oauth2/v1/tokens/bearer") <= 3
    assert stack.answer("audit", "search", "needs_reauthorization")[0]["connection"] == "acme-books"
    assert [row["state"] for row in stack.answer("ping", "acme-books", status=1)] == ["needs_reauthorization"]
    document = acme(stack)
    del document["organizations"][0]["routes"]
    stack.configure(document, "--force-credentials")
    stack.wait_for_posts(2, AP, seconds=40)


def test_a_vendor_outage_delays_and_loses_nothing(stack: Stack) -> None:
    stack.intuit.fail(
        "/v3/company/", "answer", times=3, answer=Answer(503, b"<html>busy</html>", content_type="text/html")
    )
    assert stack.notify(*new_bills(stack, 2, "O")) == 200
    stack.wait_for_posts(2, AP, seconds=60)


def test_an_archived_channel_parks_alerts_and_is_replayed(stack: Stack) -> None:
    # The alerts of a sink are routed from the sink.
    document = acme(stack, {"name": "All to AP", "channel": AP, "events": ["bill.*"]})
    document["organizations"][0]["routes"].append(
        {"name": "Slack alerts", "from": "acme-slack", "to": "acme-slack", "channel": OPS, "events": ["connection.*"]}
    )
    stack.configure(document)
    stack.slack.archive(AP)
    assert stack.notify(*new_bills(stack, 3, "X")) == 200
    (alert,) = stack.wait_for_posts(1, OPS)
    assert AP in alert.text
    wait_for(lambda: stack.status()["deliveries"]["parked"] == 3, what="three parked")
    stack.slack.unarchive(AP)
    assert stack.answer("replay", "--channel", AP, "--status", "parked", "--dry-run")["matched"] == 3
    assert stack.answer("replay", "--channel", AP, "--status", "parked") == {"matched": 3, "released": 3, "skipped": 0}
    posts = stack.wait_for_posts(3, AP)
    assert [post.text.split()[1] for post in posts] == ["X-0", "X-1", "X-2"]
    assert stack.answer("replay", "--channel", AP, "--status", "parked")["matched"] == 0


@pytest.fixture
def stack_of_its_own() -> Iterator[Stack]:
    """For a test whose connections would stay in the way of the others."""
    with contextlib.closing(Stack().start()) as stack:
        stack.slack.add_channel(AP, "ap")
        yield stack


def test_organizations_do_not_mix_though_they_share_a_company_and_a_channel(stack_of_its_own: Stack) -> None:
    stack = stack_of_its_own
    document = acme(stack, {"name": "Bills", "channel": AP, "events": ["bill.*"]})
    (organization,) = document["organizations"]
    twin = copy.deepcopy(organization)
    override = {"connection": "twin-books", "kind": "vendor", "id": "30", "name": "Bessie"}
    twin.update(slug="twin", name="Twin LLC", names=[override])
    for connection in twin["connections"]:
        connection["slug"] = connection["slug"].replace("acme", "twin")
    twin["routes"] = [{"name": "Bills", "from": "twin-books", "to": "twin-slack", "channel": AP, "events": ["bill.*"]}]
    stack.configure({"version": 1, "organizations": [organization, twin]}, "--force-credentials")
    assert stack.notify(*new_bills(stack, 3, "T")) == 200
    posts = stack.wait_for_posts(6, AP)
    told = sorted(post.text.split(":")[1].split(",")[0].strip() for post in posts)
    assert told == ["Bessie"] * 3 + ["Books by Bessie"] * 3
    assert not stack.slack.violations


@contextlib.contextmanager
def locked_database(stack: Stack) -> Iterator[None]:
    """Somebody holds what every write needs."""
    if url := stack.env.get("DATABASE_URL"):
        import psycopg

        with psycopg.connect(url) as connection:
            connection.execute("LOCK TABLE connector_inboxevent IN ACCESS EXCLUSIVE MODE")
            yield
            connection.rollback()
    else:
        with contextlib.closing(sqlite3.connect(stack.var / "connector.sqlite3", isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield
            connection.execute("ROLLBACK")


def test_while_the_database_cannot_store_the_vendor_is_told_to_come_again(stack: Stack) -> None:
    (change,) = new_bills(stack, 1, "D")
    body, headers = stack.intuit.build_notification([(REALM, *change)])
    with locked_database(stack):
        started = time.monotonic()
        status, _, answered = stack.request("POST", "/webhooks/quickbooks-online/", body, headers)
        assert (status, "Retry-After" in answered) == (503, True)
        assert time.monotonic() - started < 3
    status, _, _ = stack.request("POST", "/webhooks/quickbooks-online/", body, headers)
    assert status == 200
    stack.wait_for_posts(1, AP)


# --- secrets ---

CANARIES = ("Canary Vendor Ltd", "CANARY-DOC-77", "4242.42", "canary memo text", "Canary account name")


def browser(stack: Stack) -> Any:
    """A logged-in person's HTTP client."""
    stack.manage("createsuperuser", "--noinput", "--username", "boss", "--email", "", status=None,
                 DJANGO_SUPERUSER_PASSWORD="fake-Password-77")  # fmt: skip
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
    login = f"{stack.url}/admin/login/"
    page = opener.open(login).read().decode()
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
    assert token
    form = {"csrfmiddlewaretoken": token[1], "username": "boss", "password": "fake-Password-77", "next": "/admin/"}
    answer = opener.open(urllib.request.Request(login, urlencode(form).encode(), {"Referer": login}))
    assert answer.url.endswith("/admin/"), answer.url
    return opener


def crawl(stack: Stack, opener: Any, *, limit: int = 150) -> Iterator[tuple[str, str]]:
    """Every page of the admin that can be reached by links."""
    pending, seen = [f"{stack.url}/admin/"], set()
    while pending and len(seen) < limit:
        url = pending.pop(0)
        path = url.partition("#")[0]
        if path in seen or not path.startswith(f"{stack.url}/admin/") or "logout" in path or "jsi18n" in path:
            continue
        seen.add(path)
        try:
            with opener.open(path) as answer:
                html = answer.read().decode(errors="replace")
        except urllib.error.HTTPError as error:
            assert error.code < 500, path
            continue
        yield path, html
        pending += [urljoin(path, link.replace("&amp;", "&")) for link in re.findall(r'href="([^"]+)"', html)]


def test_nothing_at_rest_tells_a_secret_or_what_the_books_say(stack: Stack) -> None:
    tokens = [token for row in acme(stack)["organizations"][0]["connections"] for token in row["credentials"].values()]
    route = {"name": "All to AP", "channel": AP, "events": ["bill.*"], "where": {"parties": ["Canary Vendor Ltd"]}}
    name = {"connection": "acme-books", "kind": "account", "id": "7", "name": "Canary account name"}
    document = acme(stack, route, names=[name])
    stack.configure(document, "--force-credentials")
    tokens += [token for row in document["organizations"][0]["connections"] for token in row["credentials"].values()]
    secrets = [token for token in tokens if not token.startswith("20")]
    row = stack.intuit.put(
        REALM, "Bill", bill("CANARY-DOC-77", 4242.42, VendorRef={"value": "66", "name": "Canary Vendor Ltd"},
                            PrivateNote="canary memo text"))  # fmt: skip
    assert stack.notify(("Bill", row["Id"], "created")) == 200
    (post,) = stack.wait_for_posts(1, AP)
    assert "Canary Vendor Ltd" in post.text and "Canary account name" in str(post.blocks)
    stack.intuit.fail("/v3/company/", "answer", times=1, answer=Answer(500, f"{secrets[0]} Canary Vendor Ltd".encode()))
    stack.notify(("Bill", row["Id"], "updated"))
    stack.manage("ping", status=None)
    for number in CANARIES[:2]:
        assert stack.answer("audit", "search", number), number
    # The configuration file is the user's own; everything else under VAR_DIR is ours.
    (stack.var / "connector.yaml").unlink()
    for path in stack.var.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            for canary in (*CANARIES, *secrets):
                assert canary.encode() not in content, (path, canary)
    if "DATABASE_URL" in stack.env:
        assert_not_in_postgres(stack, (*CANARIES, *secrets))
    for path, html in crawl(stack, browser(stack)):
        for secret in (*secrets, stack.env["SECRET_KEY"], stack.env["ENCRYPTION_KEYS"], "fake-verifier-token"):
            assert secret not in html, (path, secret)


def assert_not_in_postgres(stack: Stack, canaries: tuple[str, ...]) -> None:
    import psycopg

    with psycopg.connect(stack.env["DATABASE_URL"]) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        for (table,) in tables:
            content = "\n".join(str(row) for row in connection.execute(f'SELECT t::text FROM "{table}" t').fetchall())
            for canary in canaries:
                assert canary not in content, (table, canary)


def test_the_pages_for_machines_answer(stack: Stack) -> None:
    assert stack.get("/healthz")[:2] == (200, b"ok\n")
    status, body, _ = stack.get("/metrics")
    assert status == 200
    names = {line.split("{")[0].split(" ")[0] for line in body.decode().splitlines() if not line.startswith("#")}
    assert {
        "connector_events",
        "connector_deliveries",
        "connector_vendor_calls_total",
        "connector_connection_state",
    } <= names
    status, body, _ = stack.request("POST", "/webhooks/quickbooks-online/", b"", {"intuit-signature": "x"})
    assert status == 401
    assert stack.answer("audit", "verify")["findings"] == []
