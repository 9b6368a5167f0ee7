"""A person's tour through the admin in a real browser, against the whole product and the vendors' stand-ins."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.stack import REALM, Stack, acme, bill, wait_for

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
if CHROMIUM is None:
    pytest.skip("browser tests: no Chromium on this machine", allow_module_level=True)
playwright = pytest.importorskip("playwright.sync_api", reason="browser tests: playwright is not installed")

PASSWORD = "fake-password-of-ada"
#: Where to leave pictures of the pages, for eyes.
PICTURES = os.environ.get("BROWSER_PICTURES", "")
#: Inputs that a screen reader could not name.
NAMELESS = """() => [...document.querySelectorAll('input, select, textarea, button')]
    .filter(each => each.type !== 'hidden' && each.offsetParent !== null)
    .filter(each => !(each.labels?.length || each.ariaLabel || each.getAttribute('aria-labelledby') || each.title
        || (each.innerText || '').trim() || (['submit', 'button'].includes(each.type) && each.value)))
    .map(each => each.outerHTML)"""


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """The product with one organization, one bill told, and Ada's account."""
    stack = Stack()
    try:
        stack.slack.add_channel("C0AP00001", "ap", is_member=True)
        stack.start()
        stack.configure(acme(stack, {"name": "Bills to AP", "channel": "C0AP00001", "events": ["bill.*"]}))
        stack.manage(
            "createsuperuser", "--noinput", "--username=ada", "--email=", DJANGO_SUPERUSER_PASSWORD=PASSWORD
        )  # fmt: skip
        stack.intuit.put(REALM, "Bill", {"Id": "1001", **bill("B-1001", 75)})
        stack.notify(("Bill", "1001", "Create"))
        stack.wait_for_posts(1)
        wait_for(lambda: stack.status()["deliveries"]["delivered"] == 1, what="the delivery")
        yield stack
    finally:
        stack.close()


@pytest.fixture
def page(stack: Stack) -> Iterator[Any]:
    """A page of a fresh browser, logged in. What its console complains of fails the test."""
    complaints: list[str] = []
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(15_000)
        page.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(f"{stack.url}/admin/")
        page.get_by_label("Username").fill("ada")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Log in").click()
        page.get_by_role("heading", name="Overview").wait_for()
        yield page
        browser.close()
    # A page that says no with status 400 is meant; everything else is not.
    assert [text for text in complaints if "400 (Bad Request)" not in text] == []


def look(page: Any, name: str) -> None:
    """Checks that every input on the page has a name, and leaves a picture where one is wanted."""
    assert page.evaluate(NAMELESS) == [], name
    if PICTURES:
        page.screenshot(path=str(Path(PICTURES) / f"{name}.png"), full_page=True)


def test_the_overview_pings_a_connection(page: Any) -> None:
    look(page, "overview")
    page.get_by_role("button", name="Ping acme-slack").click()
    page.get_by_text("Ping of acme-slack: Connected to the Slack workspace").wait_for()
    page.get_by_role("link", name="acme-slack").first.click()
    page.get_by_role("button", name="Ping now").wait_for()
    assert page.get_by_label("Bot token").input_value() == ""
    look(page, "connection")


def test_an_account_is_connected_at_the_vendor_and_back(page: Any, stack: Stack) -> None:
    stack.intuit.add_company("9130350000000009", "Second Company")
    stack.intuit.consent = "9130350000000009"
    page.get_by_role("link", name="Connect QuickBooks Online").click()
    page.get_by_text("Connected to QuickBooks Online as second-company-quickbooks-online.").wait_for()
    assert page.url.startswith(f"{stack.url}/admin/connector/connection/")
    stack.intuit.consent = None
    page.get_by_role("link", name="Re-authorize").click()
    page.get_by_text("Access was denied at QuickBooks Online").wait_for()
    look(page, "denied")
    stack.intuit.consent = REALM
    page.get_by_role("link", name="Try again").click()
    page.get_by_text("belongs to the QuickBooks Online account 9130350000000009").wait_for()


def test_a_route_is_tried_and_changed(page: Any) -> None:
    page.goto(f"{page.url}connector/route/")
    page.get_by_role("link", name="Bills to AP").click()
    page.get_by_label("More than").fill("5000")
    look(page, "route")
    page.get_by_role("button", name="Preview without saving").click()
    page.get_by_text("0 of the last 1 events of acme-books match.").wait_for()
    page.get_by_text("above_amount: wanted 5000, met 75").wait_for()
    look(page, "preview")
    page.get_by_role("button", name="Save this route").click()
    page.get_by_text("was changed successfully").wait_for()
    page.get_by_role("link", name="Bills to AP").click()
    assert page.get_by_label("More than").input_value() == "5000"
    page.get_by_label("More than").fill("")
    page.get_by_role("button", name="Save", exact=True).click()


def test_an_event_tells_why_it_posted(page: Any) -> None:
    page.goto(f"{page.url}connector/inboxevent/")
    page.get_by_role("textbox", name="Search").fill("bessie")
    page.get_by_role("button", name="Search").click()
    look(page, "events")
    page.get_by_role("link", name="bill.created").click()
    page.get_by_role("heading", name="Why did this (not) post?").wait_for()
    page.get_by_text("Books by Bessie").first.wait_for()
    page.get_by_text("payload.viewed").wait_for()
    look(page, "event")
