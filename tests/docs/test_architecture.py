"""The page on the architecture says what the code and the import contract say."""

import inspect
import re
import tomllib
from importlib import import_module

import pytest

from docs.generated import hook_names
from lightrec import testing
from tests.docs.pages import ROOT

PAGE = ROOT / "docs" / "explanation" / "architecture.md"
TEXT = PAGE.read_text(encoding="utf-8")
LINKED = re.compile(r"\[`([\w.]+)`\]\(\.\./\.\./([\w/.]+\.py)\)")
SECTION = TEXT.split("\n## Three walks\n")[1].split("\n## ")[0]
WALKS = re.split(r"^### ", SECTION, flags=re.MULTILINE)[1:]


def found(name: str) -> tuple[str, object]:
    """The file of what `room.module.Class.function` names, and what it names."""
    words = name.split(".")
    for end in range(len(words), 0, -1):
        module = ".".join(["lightrec", *words[:end]])
        if (ROOT / f"{module.replace('.', '/')}.py").is_file():
            thing: object = import_module(module)
            for word in words[end:]:
                thing = inspect.getattr_static(thing, word)
            return f"{module.replace('.', '/')}.py", thing
    raise AssertionError(f"no module of lightrec is in {name}")


def rows(heading: str) -> list[list[str]]:
    """The rows of the tables below a heading, without the heads."""
    part = TEXT.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in part.splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return [row for row in cells if row[0] not in ("---", "kind", "stage")]


def code(cell: str) -> set[str]:
    return set(re.findall(r"`([\w ]+)`", cell))


@pytest.mark.parametrize(("name", "file"), LINKED.findall(TEXT))
def test_what_the_page_names_is_in_the_file_that_it_links(name, file):
    assert found(name)[0] == file


@pytest.mark.parametrize("walk", WALKS, ids=lambda walk: walk.split("\n")[0])
def test_a_walk_has_few_calls(walk):
    assert len(WALKS) == 3
    steps = re.findall(r"^\d+\. (.*)$", walk, re.MULTILINE)
    calls = [LINKED.match(step) for step in steps]
    assert 1 <= len(calls) <= 7
    assert all(calls), "a step of a walk begins with a linked call"


def layers() -> list[list[str]]:
    """The rooms of the import contract, from top to bottom."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (contract,) = settings["tool"]["importlinter"]["contracts"]
    return [layer.replace("lightrec.", "").split(" | ") for layer in contract["layers"]]


CONTRACTS = rows("The plugin author's map of contracts")


@pytest.mark.parametrize("row", [r for r in CONTRACTS if LINKED.search(r[0])], ids=lambda r: r[0])
def test_a_contract_names_what_its_base_class_has(row):
    kind = found(LINKED.search(row[0])[1])[1]
    annotated = {name for cls in kind.__mro__ for name in vars(cls).get("__annotations__", {})}
    must, may = code(row[1]), code(row[2])
    assert {name for name in must | may if not hasattr(kind, name)} <= annotated
    abstract = {n for n in dir(kind) if getattr(getattr(kind, n), "__isabstractmethod__", False)}
    assert {name for name in abstract if not name.startswith("_")} <= must
    assert not may & abstract


def test_the_map_of_contracts_has_every_hook_and_all_checks():
    said = set().union(*(code(cell) for row in CONTRACTS for cell in row))
    assert set(hook_names()) <= said
    assert {name for name in testing.__all__ if name.endswith("Checks")} <= said
