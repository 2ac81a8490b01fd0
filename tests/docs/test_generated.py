"""Every page is what the code and the benchmarks' results say."""

import json
import re

import pytest

from benchmarks import store
from benchmarks.store import RESULTS
from docs.generated import MARKED, fill, pages
from tests.docs.pages import INLINE, ROOT, name, prose

MEASURED = [
    ROOT / "docs" / "reference" / "benchmarks.md",
    ROOT / "docs" / "tutorials" / "demo.md",
    *sorted((ROOT / "docs" / "explanation").glob("*.md")),
]
"""Pages whose running text holds no number with a decimal point but between marks; settings, such
as `γ = 0.9`, stand as code."""


@pytest.fixture
def results(tmp_path, monkeypatch):
    """A results file of two seeds."""
    cells = {
        f"log/seed-{seed}": {"seed": seed, "cpu_seconds": 10.0 + seed, "metrics": {"gain": gain}}
        for seed, gain in enumerate((0.25, -1.5))
    }
    (tmp_path / "made.json").write_text(json.dumps(cells | {"flat": 1.0}))
    monkeypatch.setattr(store, "RESULTS", tmp_path)


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


def test_cells_were_made_with_committed_code():
    files = {path.stem: json.loads(path.read_text()) for path in RESULTS.glob("*.json")}
    changed = [
        f"{file}: {key}"
        for file, cells in files.items()
        for key, cell in cells.items()
        if isinstance(cell, dict) and cell["commit"].endswith("+changes")
    ]
    assert not changed


@pytest.mark.parametrize(
    ("asked", "written"),
    [
        ("value log/seed-1 gain +.2f", "−1.50"),
        ("mean log/seed-* gain .3f", "−0.625"),
        ("lowest log/seed-* cpu_seconds .0f", "10"),
        ("highest log/* gain .1%", "25.0%"),
    ],
)
def test_marks_are_filled_in_place(results, asked, written):
    page = f"a gain of <!-- from made: {asked} -->0.3<!-- end --> here"
    assert fill(page) == f"a gain of <!-- from made: {asked} -->{written}<!-- end --> here"


def test_a_mark_on_a_line_of_its_own_holds_lines(results):
    page = "<!-- from made: value log/seed-0 gain .2f -->\nold\n<!-- end -->\n"
    assert fill(page) == page.replace("old", "0.25")


@pytest.mark.parametrize(
    "asked",
    [
        "other: value log/seed-0 gain .2f",
        "made: value log/seed-* gain .2f",
        "made: mean log/seed-9 gain .2f",
        "made: mean log/seed-0 loss .2f",
        "made: table none",
        "other: kept",
        "made: nothing",
        "code: nothing",
        "code: modules lightrec.nothing",
    ],
)
def test_what_is_not_there_is_refused(results, asked):
    with pytest.raises(ValueError, match=re.escape(f"The mark `from {asked}` asks in vain")):
        fill(f"x <!-- from {asked} --><!-- end -->")


def test_a_mark_in_a_sentence_does_not_begin_a_line(results):
    with pytest.raises(ValueError, match="would end its paragraph"):
        fill("a gain of\n<!-- from made: value log/seed-0 gain .2f -->0.25<!-- end -->")
