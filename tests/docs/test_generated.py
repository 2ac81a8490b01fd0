"""Every page is what the code and the benchmarks' results say."""

import pytest

from docs.generated import fill, pages
from tests.docs.pages import name


@pytest.mark.parametrize("page", pages(), ids=name)
def test_a_page_is_as_new_as_the_code_and_the_results(page):
    text = page.read_text(encoding="utf-8")
    if text != fill(text):
        older = f"{name(page)} is older than the code or the results: run `make pages`."
        pytest.fail(older, pytrace=False)
