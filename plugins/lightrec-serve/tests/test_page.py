"""The page in a browser, on a service of a small run that has two arms."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, redirect_stderr, redirect_stdout
from io import StringIO

import polars as pl
import pytest

from lightrec.testing import tiny

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from playwright.sync_api import Browser, Page, Route, expect, sync_playwright

expect.set_options(timeout=30_000)  # where cores are busy
CHROMIUM = os.environ.get("LIGHTREC_TEST_CHROMIUM") or shutil.which("chromium")
pytestmark = pytest.mark.skipif(
    not CHROMIUM, reason="no chromium is found; LIGHTREC_TEST_CHROMIUM may name one"
)

TOKEN = "a-token-of-the-tests"
BROKEN = """ <img src="x" onerror="document.title='broken'">"""
"""What is in the titles of teas."""
LONG = " Größe縄" * 8 + "Donaudampfschifffahrt" * 8
"""What is in the titles of ropes."""
CONTRASTS = """() => {
  const light = (color) => color.map((part) => part / 255)
    .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
    .reduce((sum, part, place) => sum + part * [0.2126, 0.7152, 0.0722][place], 0);
  const parts = (color) => color.match(/[0-9.]+/g).map(Number);
  const behind = (element) => {
    for (let each = element; each; each = each.parentElement) {
      const color = parts(getComputedStyle(each).backgroundColor);
      if ((color[3] ?? 1) === 1) return color.slice(0, 3);
    }
    throw new Error("nothing is behind");
  };
  const found = [];
  for (const element of document.body.querySelectorAll("*")) {
    if (!element.checkVisibility()) continue;
    const own = [...element.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
    const filled = element.placeholder || element.tagName === "SELECT";
    if (!own && !filled) continue;
    const style = getComputedStyle(element, element.placeholder ? "::placeholder" : null);
    const lights = [light(parts(style.color).slice(0, 3)), light(behind(element))];
    const ratio = (Math.max(...lights) + 0.05) / (Math.min(...lights) + 0.05);
    found.push([`${element.tagName} ${element.className} ${element.textContent}`, ratio]);
  }
  return found;
}"""
"""The contrast of all text that is seen (WCAG 2.2, 1.4.3)."""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A service that asks for a token, of a run that is trained here and stands in both arms."""
    from lightrec.stages.run import run

    folder = tmp_path_factory.mktemp("page")
    log, items = tiny.write_log(folder)
    kind, title = pl.col("kind"), pl.col("title")
    named = title + pl.when(kind == "tea").then(pl.lit(BROKEN)).otherwise(pl.lit(""))
    named += pl.when(kind == "rope").then(pl.lit(LONG)).otherwise(pl.lit(""))
    pl.read_csv(items).with_columns(title=named).write_csv(items)
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        path = run(
            "generic",
            out=folder / "tiny",
            log=log,
            items=items,
            overrides=tiny.FAST,
            until="ranker",
        )
    (folder / "tokens.yaml").write_text(f"feedback: [{TOKEN}]")
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "lightrec", "serve", path, path, "--port", str(port)]
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
def browser(address: str) -> Iterator[Browser]:
    quiet = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    quiet += ["--disable-background-networking", "--disable-extensions"]
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=quiet)
        yield browser
        browser.close()


class Seen:
    """A tab of somebody who has a token, and what its console said."""

    def __init__(self, browser: Browser, address: str, token: str = TOKEN, **options) -> None:
        self.context = browser.new_context(reduced_motion="reduce", **options)
        if token:
            self.context.add_init_script(f"sessionStorage.setItem('token', '{token}')")
        self.page, self.said = self.context.new_page(), []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.goto(address)

    def titles(self, column: int = 0) -> list[str]:
        return self.page.locator(".column").nth(column).locator("h3").all_inner_texts()

    def click(self, rank: int, what: str, column: int = 0) -> str:
        """Press a button, wait for what it brings, and give the title."""
        root = self.page.locator(".column").nth(column)
        expect(root).not_to_have_attribute("aria-busy", "true")  # a new slate may be on its way
        card = root.locator(".card").nth(rank - 1)
        title = card.locator("h3").inner_text()
        card.get_by_role("button", name=what, exact=True).click()
        expect(root.locator(".did li").last).to_contain_text(title)
        expect(root).not_to_have_attribute("aria-busy", "true")
        return title


@pytest.fixture
def tab(browser: Browser, address: str) -> Iterator[Seen]:
    seen = Seen(browser, address)
    expect(seen.page.locator(".card")).to_have_count(10)
    yield seen
    seen.context.close()
    assert not seen.said


def wider(page: Page) -> int:
    """Give by how much a page is wider than its window, in pixels."""
    return page.evaluate("document.documentElement.scrollWidth - innerWidth")


def test_a_slate_is_there_at_once_and_says_for_whom(tab):
    expect(tab.page.locator(".about")).to_contain_text("popular items that differ")
    expect(tab.page.locator("#user option")).to_have_count(21)
    assert len(set(tab.titles())) == 10
    expect(tab.page.locator(".card").first.locator(".value")).to_contain_text("score")


def test_a_user_of_the_log_gets_what_comes_next(tab):
    tab.page.select_option("#user", "u3")
    expect(tab.page.locator(".about")).to_contain_text("the blend")
    # The log's users walk through the songs in order; this one has two of twelve left.
    assert all(title.startswith("song") for title in tab.titles()[:2])


def test_a_click_changes_the_slate_and_the_keyboard_stays_in_its_place(tab):
    before = tab.titles()
    taken = tab.page.locator(".card").nth(2).get_by_role("button", name="Take")
    taken.focus()
    tab.page.keyboard.press("Enter")
    expect(tab.page.locator(".did li")).to_have_text([f"Taken: {before[2]}"])
    expect(tab.page.locator(".changed")).to_contain_text("New here: ")
    after = tab.titles()
    assert after != before
    assert before[2] not in after
    expect(tab.page.locator(".card").nth(2).get_by_role("button", name="Take")).to_be_focused()
    fresh = tab.page.locator(".card", has=tab.page.locator(".moved.new")).locator("h3")
    assert set(fresh.all_inner_texts()) == set(after) - set(before)


def test_what_was_dismissed_does_not_come_again(tab):
    dismissed = [tab.click(1, "Not this"), tab.click(1, "Not this")]
    tab.click(1, "Take")
    assert not set(dismissed) & set(tab.titles())
    tab.page.get_by_role("button", name="Reset").click()
    expect(tab.page.locator(".did li")).to_have_count(0)
    expect(tab.page.locator("h3", has_text=dismissed[0])).to_have_count(1)


def test_a_wish_changes_the_slate(tab):
    tab.page.fill("#wish", "song")
    tab.page.get_by_role("button", name="Ask").click()
    expect(tab.page.locator(".about")).to_have_text("Ranked by the wish. Arm: " + arm(tab))
    assert all(title.startswith("song") for title in tab.titles())
    tab.click(1, "Take")
    expect(tab.page.locator(".about")).to_contain_text("the wish and the blend")


def arm(tab: Seen) -> str:
    return tab.page.locator(".about").inner_text().rpartition("Arm: ")[2]


def test_titles_change_the_slate(tab):
    field, chips = tab.page.locator("#title"), tab.page.locator("#titles li span")
    field.press_sequentially("song number 3,")
    expect(chips).to_have_text(["song number 3"])
    expect(tab.page.locator("h3").first).to_have_text("song number 4")
    # A comma that is pasted may be a part of a title.
    field.fill("Lamp, number 5")
    field.press("Enter")
    expect(chips).to_have_text(["song number 3", "Lamp, number 5"])
    expect(tab.page.locator("h3").first).to_have_text("lamp number 6")
    tab.page.get_by_role("button", name="Remove Lamp, number 5").click()
    expect(tab.page.locator("h3").first).to_have_text("song number 4")


def test_a_title_that_is_not_known_goes_back_with_what_the_service_says(tab):
    before = tab.titles()
    tab.page.fill("#title", "xyzzy")
    tab.page.press("#title", "Enter")
    expect(tab.page.get_by_role("alert").first).to_contain_text("There is no item 'xyzzy'.")
    expect(tab.page.locator("#title")).to_have_value("xyzzy")
    expect(tab.page.locator("#titles li")).to_have_count(0)
    assert tab.titles() == before
    tab.page.fill("#title", "song number 3")
    tab.page.press("#title", "Enter")
    expect(tab.page.locator("h3").first).to_have_text("song number 4")
    expect(tab.page.locator(".problem:visible")).to_have_count(0)
    assert all("422" in line for line in tab.said)
    tab.said.clear()


def test_two_slates_side_by_side_have_sessions_of_their_own(tab):
    tab.page.check("#compare")
    columns = tab.page.locator(".column")
    expect(columns.nth(1).locator(".card")).to_have_count(10)
    expect(columns.locator("h2")).to_have_text(["Slate A", "Slate B"])
    arms = [text.rpartition("Arm: ")[2] for text in columns.locator(".about").all_inner_texts()]
    assert sorted(arms) == ["tiny-1.", "tiny-2."]
    expect(tab.page.locator("#overlap")).to_have_text("In both slates: 10 of 10 items.")
    before = tab.titles(0)
    taken = tab.click(1, "Take", column=1)
    assert tab.titles(0) == before
    assert taken not in tab.titles(1)
    boxes = [columns.nth(place).bounding_box() for place in (0, 1)]
    assert boxes[0]["y"] == boxes[1]["y"]
    assert boxes[0]["x"] + boxes[0]["width"] <= boxes[1]["x"]
    tab.page.uncheck("#compare")
    expect(columns).to_have_count(1)


def test_another_ranker_begins_another_session_and_its_problem_is_said(tab):
    tab.click(1, "Take")
    tab.page.get_by_label("Ranked by").select_option("tiny-1 · Policy")
    expect(tab.page.locator(".problem:visible")).to_contain_text("no finished policy stage")
    expect(tab.page.locator(".card")).to_have_count(0)
    tab.page.get_by_label("Ranked by").select_option("tiny-2 · Blend")
    expect(tab.page.locator(".card")).to_have_count(10)
    expect(tab.page.locator(".did li")).to_have_count(0)
    assert arm(tab) == "tiny-2."
    assert all("422" in line for line in tab.said)
    tab.said.clear()


def test_a_slate_that_is_drawn_says_how_likely_each_place_was(tab):
    tab.page.check("#explore")
    drawn = tab.page.locator(".propensity")
    expect(drawn.first).to_contain_text("drawn with probability")
    assert len(drawn.all_inner_texts()) == 10


def test_items_like_an_item_open_and_close(tab):
    card = tab.page.locator(".card", has_text="lamp number").first
    button = card.get_by_role("button", name="More like this")
    button.click()
    expect(card.locator(".similar li")).to_have_count(5)
    expect(button).to_have_attribute("aria-expanded", "true")
    button.click()
    expect(card.locator(".similar")).to_be_hidden()


def test_why_an_item_came_is_told_at_length(tab):
    """By events of the history, and by none else: this user walks through the songs."""
    tab.page.select_option("#user", "u3")
    expect(tab.page.locator(".about")).to_contain_text("the blend")
    card = tab.page.locator(".card").first
    card.get_by_role("button", name="Why?").click()
    expect(card.locator(".reasons li")).not_to_have_count(0)
    told = card.locator(".reasons li").all_inner_texts()
    assert all(line.startswith(("song", "It would not come without “song")) for line in told)


def test_why_an_item_came_is_said(tab):
    def explained(route: Route) -> None:
        assert route.request.post_data_json["explain"]
        answer = route.fetch()
        slate = answer.json()
        slate["items"][0]["why"] = ["One <b>", "Two"]
        route.fulfill(response=answer, json=slate)

    tab.page.route("**/recommend", explained)
    tab.page.reload()
    expect(tab.page.locator(".why").first).to_have_text("Because of “One <b>” and “Two”")


def test_the_operator_sees_the_counts(tab, address):
    tab.click(1, "Take")
    tab.page.get_by_role("link", name="Operator").click()
    cards = tab.page.locator(".arm")
    expect(cards).to_have_count(2)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    for found in tab.page.request.get(f"{address}numbers", headers=headers).json():
        card = cards.filter(has_text=found["arm"])
        names, values = (card.locator(part).all_inner_texts() for part in ("dt", "dd"))
        about = dict(zip(names, values, strict=True))
        assert about["Answers"] == str(found["answers"])
        assert about["Items shown"] == str(found["shown"])
        assert about["Accepted"] == str(found["accepted"])
        assert about["Coverage"].startswith(f"{found['items']} of 48 (")
        label = card.get_by_role("img").get_attribute("aria-label")
        said = r"([\d.]+)\xa0% accepted, 95 % interval ([\d.]+)\xa0% to ([\d.]+)\xa0%"
        numbers = [float(number) for number in re.fullmatch(said, label).groups()]
        shares = [100 * found[name] for name in ("rate", "low", "high")]
        assert numbers == pytest.approx(shares, abs=0.051)  # browsers round halves otherwise
    assert tab.page.locator(".range").count() == 2


def test_data_is_never_read_as_html(tab):
    tab.page.fill("#wish", "tea")
    tab.page.press("#wish", "Enter")
    expect(tab.page.locator("h3").first).to_contain_text(BROKEN.strip())
    tab.page.fill("#title", "<img src=x onerror=alert(1)>")
    tab.page.press("#title", "Enter")
    expect(tab.page.locator(".problem:visible")).to_contain_text("onerror=alert(1)")
    assert tab.page.locator("main img").count() == 0
    assert tab.page.title() == "lightrec"
    tab.said.clear()  # what the service refused


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_all_of_it_and_all_can_be_read(browser, address, scheme):
    phone = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
    tab = Seen(browser, address, color_scheme=scheme, **phone)
    page = tab.page
    expect(page.locator("h3", has_text="Donau").first).to_be_visible()
    assert wider(page) <= 0
    box = page.locator(".card").first.bounding_box()
    assert box["y"] < 844 - 100, "the first card is not seen without scrolling"
    page.fill("#title", f"rope number 3{LONG}")
    page.press("#title", "Enter")
    expect(page.locator("#titles li")).to_have_count(1)
    page.check("#explore")
    page.check("#compare")
    expect(page.locator(".card")).to_have_count(20)
    tab.click(1, "Take")
    page.locator(".card").first.get_by_role("button", name="More like this").tap()
    expect(page.locator(".similar li")).to_have_count(5)
    page.get_by_label("Ranked by").nth(1).select_option("tiny-1 · Policy")
    expect(page.locator(".problem:visible")).to_have_count(1)
    assert wider(page) <= 0
    contrasts = page.evaluate(CONTRASTS)
    page.get_by_role("link", name="Operator").tap()
    expect(page.locator(".arm")).to_have_count(2)
    assert wider(page) <= 0
    contrasts += page.evaluate(CONTRASTS)
    assert len(contrasts) > 100
    assert [each for each in contrasts if each[1] < 4.5] == []
    tab.context.close()


def test_everything_has_a_name_for_those_who_do_not_see_it(tab):
    tab.page.check("#compare")
    expect(tab.page.locator(".card")).to_have_count(20)
    fields = tab.page.locator("main :is(input, select)")
    for field in fields.all():
        assert field.evaluate("(field) => field.labels.length"), field
    ids = tab.page.evaluate("[...document.querySelectorAll('[id]')].map((each) => each.id)")
    assert len(ids) == len(set(ids))


def test_a_token_is_asked_for_once_and_kept_in_the_tab(browser, address):
    tab = Seen(browser, address, token="")
    door = tab.page.get_by_role("dialog", name="A token, please")
    expect(door).to_be_visible()
    tab.page.fill("#token", "wrong")
    door.get_by_role("button", name="Go on").click()
    expect(door).to_contain_text("Send a token that is known")
    tab.page.fill("#token", TOKEN)
    door.get_by_role("button", name="Go on").click()
    expect(tab.page.locator(".card")).to_have_count(10)
    expect(tab.page.locator("#user option")).to_have_count(21)
    tab.page.reload()
    expect(tab.page.locator(".card")).to_have_count(10)
    assert tab.page.evaluate("localStorage.length + document.cookie.length") == 0
    assert all("401" in line for line in tab.said)
    tab.context.close()


def test_a_click_that_the_service_did_not_get_can_be_made_again(tab):
    sent = []

    def lost(route: Route) -> None:
        sent.append(route.request.post_data_json["events"][0]["id"])
        route.abort() if len(sent) == 1 else route.continue_()

    tab.page.route("**/feedback", lost)
    tab.page.locator(".card").first.get_by_role("button", name="Take").click()
    expect(tab.page.locator(".problem:visible")).to_contain_text("cannot be reached")
    tab.click(1, "Take")
    assert len(sent) == 2
    assert len(set(sent)) == 1, "an event that is sent again should have the id it had"
    tab.said.clear()
