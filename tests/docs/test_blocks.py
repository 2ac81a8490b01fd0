"""Every block of code in the documentation passes: Python and consoles run, YAML and TOML parse.

What a console prints is compared only where the page says so. Python keeps its names for a page;
all blocks of a page work in one folder, which holds a finished run as the demo leaves it. What the
pages train, they train for one epoch here.
"""

import shutil
import tomllib
from pathlib import Path

import polars as pl
import pytest
import yaml

from lightrec import plugins
from lightrec.data.store import EventStore
from lightrec.stages import recipes
from lightrec.stages.run import check
from lightrec.stages.stage import Stage
from lightrec.stages.train import RecipeCLI
from tests.changed import changed
from tests.docs.pages import PAGES, ROOT, blocks, commands, lines, name
from tests.docs.shell import Environment, Here

FRONTS = (ROOT / "README.md", *sorted((ROOT / "docs" / "zh").glob("*.md")))
"""Their Python makes a whole run, or is a tutorial's in Chinese; tutorials run the same on less."""
RUN_PAGES = [
    page
    for page in PAGES
    if page not in FRONTS and any(b.language in ("python", "console") for b in blocks(page))
]
EVERY_BLOCK = [block for page in PAGES for block in blocks(page)]
NOT_RUN = 26
"""How many blocks cannot run here; a new one wants a reason and a change of this number."""
FILMS = {"Toy Story": "Comedy", "Fargo": "Crime", "Star Wars": "Action", "Clueless": "Comedy"}


@pytest.fixture(scope="session")
def demo_run(tiny_run, tmp_path_factory) -> Path:
    """A finished run over a tiny log whose users and films are called as in the pages."""
    catalog = EventStore(tiny_run / "data").catalog
    films = list(FILMS.items())
    titles = [f for f, _ in films] + catalog["title"].to_list()[len(films) :]
    genres = [[g] for _, g in films] + [["Drama"]] * (catalog.height - len(films))
    films = {"title": pl.Series(titles), "genres": pl.Series(genres), "year": 1996}
    facts = {"item_kinds": {"genres": "list", "year": "number"}}
    users = {"user": pl.col("user").str.strip_prefix("u")}
    folder = tmp_path_factory.mktemp("demo") / "video"
    return changed(tiny_run, folder, facts, catalog=films, users=users)


@pytest.fixture(autouse=True)
def quickly(monkeypatch):
    """Trainings of the pages' commands end after an epoch."""
    whole = RecipeCLI.instantiate_trainer
    monkeypatch.setattr(RecipeCLI, "instantiate_trainer", lambda cli: whole(cli, max_epochs=1))


@pytest.mark.slow
@pytest.mark.parametrize("page", RUN_PAGES, ids=name)
def test_page_runs(page, demo_run, tmp_path, monkeypatch, capsys, request):
    folder = tmp_path / "work"
    shutil.copytree(demo_run, folder / "runs" / "video")
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    installs = any(line.startswith("pip ") for b in blocks(page) for line in lines(b))
    consoles = any(b.language == "console" for b in blocks(page))
    shell = (Environment if installs and consoles else Here)(capsys, tmp_path / "environment")
    request.addfinalizer(plugins.installed.cache_clear)
    names: dict[str, object] = {"__name__": "__page__"}
    for block in blocks(page):
        if "not run" in block.marks or "file" in block.marks:
            continue
        if "made" in block.marks:
            text = Path(block.marks["made"]).read_text(encoding="utf-8")
            assert block.text == text, f"copy {block.marks['made']} into {block.where}"
        elif "write" in block.marks:
            path = Path(block.marks["write"])
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")
        elif block.language == "python":
            exec(compile(block.text, block.where, "exec"), names)
        elif block.language == "console":
            for command, shown in commands(block):
                status, printed = shell.run(command)
                expected = 2 if "fails" in block.marks else 0
                said = f"{block.where}: {command} ended with {status}:\n{printed}"
                assert status == expected, said
                assert "compared" not in block.marks or printed == shown, said


SETTINGS = [
    b for b in EVERY_BLOCK if b.language in ("yaml", "toml") and b.page.name != "recipes.md"
]
"""Recipes have tests of their own."""


@pytest.mark.parametrize("block", SETTINGS, ids=lambda b: b.where)
def test_settings_parse(block, tmp_path):
    parsed = tomllib.loads(block.text) if block.language == "toml" else yaml.safe_load(block.text)
    assert isinstance(parsed, dict)
    if "write" not in block.marks and parsed.keys() & {"model", "function"}:
        path = tmp_path / "recipe.yaml"
        path.write_text(block.text, encoding="utf-8")
        if "function" in parsed or "data" in parsed:  # else a piece that is laid over a recipe
            check(Stage("any", recipes.find(str(path))[1], tmp_path / "any"))


@pytest.mark.parametrize(
    "block", [b for b in EVERY_BLOCK if "file" in b.marks], ids=lambda b: b.where
)
def test_a_file_that_is_shown_is_the_file(block):
    file = ROOT / block.marks["file"]
    assert block.text == file.read_text(encoding="utf-8"), f"copy {file} into {block.where}"


def test_blocks_that_are_not_run_are_few_and_say_why():
    reasons = [b.marks["not run"] for b in EVERY_BLOCK if "not run" in b.marks]
    assert all(reasons)
    assert len(reasons) + sum(b.language == "python" for p in FRONTS for b in blocks(p)) == NOT_RUN
