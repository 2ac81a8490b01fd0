"""The list of known packages, which docs/plugins.md shows, is true."""

import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

from docs.generated import packages
from lightrec import plugins

ROOT = Path(__file__).parents[2] / "plugins"
TOPIC = "lightrec-plugin"
"""The topic on GitHub, and the keyword on PyPI, by which others find packages for lightrec."""


def test_every_package_of_the_repository_is_listed_as_it_is():
    folders = [folder for folder in ROOT.glob("lightrec-*") if folder.name != "lightrec-hello"]
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
