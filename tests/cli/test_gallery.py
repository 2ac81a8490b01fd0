"""`lightrec plugins search`: the list of packages is true, and read only when it is asked for."""

import socket
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

from lightrec import plugins
from lightrec.__main__ import main
from lightrec.cli.gallery import TOPIC, packages
from lightrec.errors import DataError, FetchError

ROOT = Path(__file__).parents[2] / "plugins"
ENTRY = "- {name: lightrec-chess, about: Chess., kinds: [domains], address: here, checked: '0.1'}\n"


def test_every_package_of_the_repository_is_listed_as_it_is():
    folders = [folder for folder in ROOT.glob("lightrec-*") if folder.name != "lightrec-hello"]
    listed = {package.name: package for package in packages() if package.first_party}
    assert {*listed} == {folder.name for folder in folders}
    for folder in folders:
        project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
        package = listed[folder.name]
        described = (project["description"], f"plugins/{folder.name}")
        assert (package.about, package.address) == described
        assert package.checked == version("lightrec")
        assert project["keywords"] == [TOPIC]


@pytest.mark.parametrize("package", packages(), ids=lambda package: package.name)
def test_a_listed_package_fills_the_slots_that_the_list_says(package):
    installed = plugins.installed()
    if (found := installed.package(package.name)) is None:
        pytest.skip("it is not installed")
    assert sorted({part.slot for part in installed.parts_of(found)}) == [*package.kinds]


def test_search_finds_packages_by_all_words_without_a_network(monkeypatch, capsys):
    monkeypatch.setattr(socket, "socket", None)
    assert main(["plugins", "search", "Music", "readers"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("lightrec-music: ")
    assert printed.count("checked with lightrec") == 1
    assert main(["plugins", "search", "music", "elephants"]) == 0
    assert "No known package has music and elephants" in capsys.readouterr().out


def test_another_list_is_searched_where_it_is_named(tmp_path, capsys):
    index = tmp_path / "packages.yaml"
    index.write_text(ENTRY.replace("Chess.", '"Chess \\e[2Jfor you."'))
    assert main(["plugins", "search", "chess", "--index", str(index)]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("lightrec-chess: Chess [2Jfor you.\n")  # without the escape
    assert "here, of others, checked with lightrec 0.1" in printed


def test_what_is_no_list_or_does_not_answer_is_refused(tmp_path):
    index = tmp_path / "packages.yaml"
    for content in ("- 3", "7", "a: b", ENTRY.replace("about", "what"), "- {", "\xff"):
        index.write_bytes(content.encode("latin-1"))
        with pytest.raises(DataError, match=r"is no list of packages: .*Each entry has a `name`"):
            packages(str(index))
    with pytest.raises(FetchError, match="Without --index the list that lightrec brings"):
        packages("http://127.0.0.1:9/packages.yaml")
    with pytest.raises(DataError, match="cannot be read"):
        packages(str(tmp_path / "gone.yaml"))
