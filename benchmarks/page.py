"""Pictures of the service's page: `lightrec serve runs/video`, then `python -m benchmarks.page`.

It needs playwright and chromium. The address is http://127.0.0.1:8000/ where none is given; users,
titles and clicks are for MovieLens-100K.
"""

import shutil
import sys
from pathlib import Path

from playwright.sync_api import Browser, Page, expect, sync_playwright

IMAGES = Path(__file__).parents[1] / "docs" / "images"
DESKTOP = {"viewport": {"width": 1100, "height": 780}}
TOP = {"x": 0, "y": 0, "width": 1100, "height": 480}
PHONE = {
    "viewport": {"width": 390, "height": 844},
    "is_mobile": True,
    "has_touch": True,
    "color_scheme": "dark",
}


def opened(browser: Browser, address: str, options: dict) -> Page:
    page = browser.new_context(
        device_scale_factor=1.5, reduced_motion="reduce", **options
    ).new_page()
    page.goto(address)
    expect(page.locator(".card")).to_have_count(10)
    return page


def draw(address: str) -> None:
    """Draw a slate after a click, the operator's view, and on a phone a slate for a title."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        page = opened(browser, address, DESKTOP)
        page.fill("#user", "50")
        page.press("#user", "Tab")
        expect(page.locator(".about")).to_contain_text("blend")
        page.locator(".card").nth(1).get_by_role("button", name="Take").click()
        expect(page.locator(".moved.new").first).to_be_visible()
        page.mouse.move(5, 600)
        page.screenshot(path=IMAGES / "serve.png")
        page.goto(f"{address}#operator")
        page.check("#trials")
        expect(page.locator(".arm dl").first).to_contain_text("People")
        page.screenshot(path=IMAGES / "serve-operator.png", clip=TOP)
        page = opened(browser, address, PHONE)
        page.locator("#whom > summary").click()
        page.fill("#title", "Godfather")
        page.press("#title", "Enter")
        expect(page.locator(".why").first).to_contain_text("Godfather")
        page.locator("#title").blur()
        page.locator("#whom > summary").click()
        page.screenshot(path=IMAGES / "serve-phone.png")
        browser.close()


if __name__ == "__main__":
    draw(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000/")
