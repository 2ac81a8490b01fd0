"""Every link leads somewhere, and those of the architecture to what they name."""

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.docs.pages import PAGES, ROOT, anchors, links, name


def problem(page: Path, target: str) -> str | None:
    if "://" in target or target.startswith("mailto:"):
        parts = urlsplit(target)
        good = parts.scheme == "https" and "." in parts.netloc
        return None if good else f"{target} is not a whole https address"
    path, _, anchor = target.partition("#")
    file = (page.parent / path).resolve() if path else page
    if not file.exists():
        return f"{target}: there is no {path}"
    if not file.is_relative_to(ROOT):
        return f"{target} leads out of the repository"
    if anchor and anchor not in anchors(file.read_text(encoding="utf-8")):
        return f"{target}: {file.name} has no heading {anchor!r}"
    return None


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_resolve(page):
    text = page.read_text(encoding="utf-8")
    problems = [problem(page, target) for target in links(text)]
    assert not [sentence for sentence in problems if sentence]


def test_every_page_is_in_the_table_of_contents():
    front = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    pages = [p for p in PAGES if p.is_relative_to(ROOT / "docs") and p.parent.name != "api"]
    missing = [p for p in pages[1:] if f"({p.relative_to(ROOT / 'docs')})" not in front]
    assert [name(page) for page in missing if page.name != "README.md"] == []
