"""Every page is what the code and the benchmarks' results say."""

import re

import pytest

from docs.generated import MARKED, fill, pages
from tests.docs.pages import INLINE, ROOT, name, prose

MEASURED = [
    ROOT / "docs" / "reference" / "benchmarks.md",
    ROOT / "docs" / "tutorials" / "demo.md",
    *sorted((ROOT / "docs" / "explanation").glob("*.md")),
]
"""Pages whose running text holds no number with a decimal point but between marks; settings, such
as `γ = 0.9`, stand as code."""


@pytest.mark.parametrize("page", pages(), ids=name)
def test_a_page_is_as_new_as_the_code_and_the_results(page):
    text = page.read_text(encoding="utf-8")
    if text != fill(text):
        older = f"{name(page)} is older than the code or the results: run `make pages`."
        pytest.fail(older, pytrace=False)


@pytest.mark.parametrize("page", MEASURED, ids=name)
def test_a_number_in_running_text_is_marked(page):
    text = MARKED.sub("", prose(page.read_text(encoding="utf-8")))
    formulas = re.compile(r"^    .*$", re.MULTILINE)
    found = re.findall(r"^.*\.\d.*$", INLINE.sub("", formulas.sub("", text)), re.MULTILINE)
    assert not found
