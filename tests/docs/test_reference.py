"""Nothing public is undocumented, and every page and listed package is what the code says."""

import importlib
import inspect
import tomllib
from importlib.metadata import version

import pytest

from docs.generated import fill, hook_names, packages, pages, recipe_files, submodules
from lightrec import hookspecs, plugins
from tests.docs.pages import ROOT, anchors, name

REFERENCE = ROOT / "docs" / "reference"
INTERNAL = (
    "lightrec.cli",
    "lightrec.__main__",
    "lightrec.builtin",
    "lightrec.api",
    "lightrec.stub",
)
"""Modules that no page is made from: their commands and parts have pages; `api.md` is by hand."""


def reference(title: str) -> str:
    return (REFERENCE / f"{title}.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", pages(), ids=name)
def test_a_page_is_as_new_as_the_code_and_the_results(page):
    text = page.read_text(encoding="utf-8")
    if text != fill(text):
        older = f"{name(page)} is older than the code or the results: run `make pages`."
        pytest.fail(older, pytrace=False)


@pytest.mark.parametrize("hook", hook_names())
def test_every_hook_is_documented(hook):
    assert hook in anchors(reference("hooks"))
    assert hook in (ROOT / "docs" / "how-to" / "plugin.md").read_text(encoding="utf-8")
    assert ":returns:" in (inspect.getdoc(getattr(hookspecs, hook)) or "")


@pytest.mark.parametrize(("name", "path"), recipe_files(), ids=lambda value: str(value))
def test_every_recipe_is_documented(name, path):
    assert f"### {name}\n" in reference("recipes")
    first = path.read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith("# "), f"{path} must begin with a comment that says what it does"


def test_every_public_module_is_in_the_reference():
    listed = "".join(path.read_text(encoding="utf-8") for path in (REFERENCE / "api").glob("*.md"))
    assert not [
        name
        for name in submodules("lightrec")[1:]
        if not name.startswith(INTERNAL)
        and f"[`{name}`]" not in listed
        and not hasattr(importlib.import_module(name), "__path__")
    ]


TOPIC = "lightrec-plugin"
"""The topic on GitHub, and the keyword on PyPI, by which others find packages for lightrec."""


def test_every_package_of_the_repository_is_listed_as_it_is():
    every = (ROOT / "plugins").glob("lightrec-*")
    folders = [folder for folder in every if folder.name != "lightrec-hello"]
    listed = {package["name"]: package for package in packages() if package.get("first_party")}
    assert {*listed} == {folder.name for folder in folders}
    for folder in folders:
        project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
        package = listed[folder.name]
        described = (project["description"], f"plugins/{folder.name}")
        assert (package["about"], package["address"]) == described
        assert package["checked"] == version("lightrec")
        assert project["keywords"] == [TOPIC]


@pytest.mark.parametrize("package", packages(), ids=lambda package: package["name"])
def test_a_listed_package_fills_the_slots_that_the_list_says(package):
    installed = plugins.installed()
    if (found := installed.package(package["name"])) is None:
        pytest.skip("it is not installed")
    assert sorted({part.slot for part in installed.parts_of(found)}) == package["kinds"]
