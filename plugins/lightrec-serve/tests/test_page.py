"""The page in a browser, on a service of a small run."""

import os
import shutil
import socket
import subprocess
import sys
import time

import polars as pl
import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from playwright.sync_api import expect, sync_playwright

from tests.changed import changed
from tests.processes import free_port

expect.set_options(timeout=30_000)  # where cores are busy
CHROMIUM = os.environ.get("LIGHTREC_TEST_CHROMIUM") or shutil.which("chromium")
pytestmark = pytest.mark.skipif(
    not CHROMIUM, reason="no chromium is found; LIGHTREC_TEST_CHROMIUM may name one"
)

TOKEN = "a-token-of-the-tests"
BROKEN = """ <img src="x" onerror="document.title='broken'">"""
"""What is in the titles of teas."""


@pytest.fixture(scope="module")
def address(tiny_run, tmp_path_factory):
    """A service that asks for a token, of a run without a policy."""
    folder = tmp_path_factory.mktemp("page")
    tea = pl.when(pl.col("kind") == "tea").then(pl.lit(BROKEN)).otherwise(pl.lit(""))
    path = changed(tiny_run, folder / "tiny", catalog={"title": pl.col("title") + tea})
    shutil.rmtree(path / "policy")
    (folder / "tokens.yaml").write_text(f"feedback: [{TOKEN}]")
    port = free_port()
    command = [sys.executable, "-m", "lightrec", "serve", path, "--port", str(port)]
    command += ["--tokens", folder / "tokens.yaml"]
    with (folder / "log").open("w") as said:
        service = subprocess.Popen(command, stdout=said, stderr=said)
    try:
        while True:
            assert service.poll() is None, (folder / "log").read_text()
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                time.sleep(0.05)  # nothing tells when a service has come up
        yield f"http://127.0.0.1:{port}/"
    finally:
        service.terminate()
        service.wait()


@pytest.fixture(scope="module")
def browser(address):
    quiet = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    quiet += ["--disable-background-networking", "--disable-extensions"]
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=quiet)
        yield browser
        browser.close()


class Seen:
    """A tab of somebody who has a token, and what its console said."""

    def __init__(self, browser, address, token=TOKEN):
        self.context = browser.new_context(reduced_motion="reduce")
        if token:
            self.context.add_init_script(f"sessionStorage.setItem('token', '{token}')")
        self.page, self.said = self.context.new_page(), []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.goto(address)

    def titles(self):
        return self.page.locator(".column").locator("h3").all_inner_texts()

    def click(self, rank, what):
        """Press a button, and wait for what it brings."""
        root = self.page.locator(".column")
        expect(root).not_to_have_attribute("aria-busy", "true")  # a new slate may be on its way
        card = root.locator(".card").nth(rank - 1)
        title = card.locator("h3").inner_text()
        card.get_by_role("button", name=what, exact=True).click()
        expect(root.locator(".did li").last).to_contain_text(title)
        expect(root).not_to_have_attribute("aria-busy", "true")


@pytest.fixture
def tab(browser, address):
    seen = Seen(browser, address)
    expect(seen.page.locator(".card")).to_have_count(10)
    yield seen
    seen.context.close()
    assert not seen.said


def test_a_slate_is_there_at_once_and_a_user_of_the_log_gets_what_comes_next(tab):
    expect(tab.page.locator(".about")).to_contain_text("popular items that differ")
    expect(tab.page.locator("#people option")).to_have_count(20)
    expect(tab.page.locator(".card").first.locator(".value")).to_contain_text(
        "100\xa0% of the best"
    )
    tab.page.fill("#user", "u3")
    tab.page.press("#user", "Enter")
    expect(tab.page.locator(".about")).to_contain_text("the blend")
    # The log's users walk through the songs in order; this one has two of twelve left.
    assert all(title.startswith("song") for title in tab.titles()[:2])
    card = tab.page.locator(".card").first
    expect(tab.page.locator("#past")).to_contain_text("Last in the log: song")
    card.get_by_role("button", name="Why?").click()
    expect(card.locator(".reasons li").first).to_contain_text("as likely")
    for reason in card.locator(".reasons li").filter(has_text="as likely").all():
        assert reason.inner_text().split("\n")[0] in card.locator(".why").inner_text()
    tab.page.check("#explore")
    expect(tab.page.locator(".propensity").first).to_contain_text("drawn with probability")


def test_what_is_typed_is_offered_and_filters_and_pages_hold(tab):
    tab.page.locator("#user").press_sequentially("u3")
    expect(tab.page.locator("#people option").first).to_have_attribute("value", "u3")
    tab.page.locator("#title").press_sequentially("tea number 1")
    expect(tab.page.locator("#found option")).to_have_count(3)
    tab.page.get_by_role("button", name="Reset").click()
    tab.page.locator(".filters summary").click()
    expect(tab.page.locator("#columns-known")).to_contain_text("kind=lamp")
    tab.page.fill("#only", "kind=lamp;")
    tab.page.press("#only", "Tab")
    expect(tab.page.locator("h3:visible").first).to_contain_text("lamp")
    first = tab.titles()
    assert all(title.startswith("lamp") for title in first)
    tab.page.get_by_role("button", name="Next page").click()
    expect(tab.page.locator(".card")).to_have_count(2)
    assert not {*first} & {*tab.titles()}
    assert "undefined" not in tab.page.inner_text("main")


def test_a_wish_changes_the_slate_and_data_is_never_read_as_html(tab):
    tab.page.fill("#wish", "tea")
    tab.page.get_by_role("button", name="Ask").click()
    expect(tab.page.locator("h3").first).to_contain_text(BROKEN.strip())
    expect(tab.page.locator(".about")).to_contain_text("Ranked by the request.")
    assert all(title.startswith("tea") for title in tab.titles())
    tab.click(1, "Take")
    expect(tab.page.locator(".about")).to_contain_text("the request and the blend")
    tab.page.fill("#title", "<img src=x onerror=alert(1)>")
    tab.page.press("#title", "Enter")
    expect(tab.page.locator(".problem:visible")).to_contain_text("onerror=alert(1)")
    assert tab.page.locator("main img").count() == 0
    assert tab.page.title() == "lightrec"
    tab.said.clear()  # what the service refused


def test_a_token_is_asked_for_once_and_kept_in_the_tab(browser, address):
    tab = Seen(browser, address, token="")
    door = tab.page.get_by_role("dialog", name="A token is needed")
    expect(door).to_be_visible()
    tab.page.fill("#token", "wrong")
    door.get_by_role("button", name="Continue").click()
    expect(door).to_contain_text("Send a token that is known")
    tab.page.fill("#token", TOKEN)
    door.get_by_role("button", name="Continue").click()
    expect(tab.page.locator(".card")).to_have_count(10)
    expect(tab.page.locator("#people option")).to_have_count(20)
    tab.page.reload()
    expect(tab.page.locator(".card")).to_have_count(10)
    assert tab.page.evaluate("localStorage.length + document.cookie.length") == 0
    assert all("401" in line for line in tab.said)
    tab.context.close()


def test_a_click_that_the_service_did_not_get_can_be_made_again(tab):
    sent = []

    def lost(route):
        sent.append(route.request.post_data_json["events"][0]["id"])
        route.abort() if len(sent) == 1 else route.continue_()

    tab.page.route("**/feedback", lost)
    tab.page.locator(".card").first.get_by_role("button", name="Take").click()
    expect(tab.page.locator(".problem:visible")).to_contain_text("cannot be reached")
    tab.click(1, "Take")
    assert len(sent) == 2
    assert len(set(sent)) == 1, "an event that is sent again should have the id it had"
    tab.said.clear()
