"""`lightrec plugins`: what it says of good packages, and of bad ones."""

import json

import pytest
from lightrec_testing import encoders

from lightrec import plugins
from lightrec.__main__ import main
from tests.installed import install
from tests.processes import run_python

BROKEN = (
    "The plugin lightrec-crash 1.0 cannot be loaded from lightrec_crash.hooks: "
    "ModuleNotFoundError: No module named 'no_such_module_here'"
)
TAKER = """
    @hookimpl
    def lightrec_encoders():
        return {n: f"lightrec_taker.encoder:{n}" for n in ("TextEncoder", "Braille")}
"""
TAKEN = (
    "The name 'TextEncoder' among the encoders is taken: lightrec 0.1.0 "
    "(lightrec.encoders.text:TextEncoder) and lightrec-taker 1.0 "
    "(lightrec_taker.encoder:TextEncoder) both give it, and lightrec's own is used; give the other "
    "one another name."
)


@pytest.fixture(autouse=True)
def anew():
    """What is installed is looked up in each test."""
    plugins.installed.cache_clear()
    yield
    plugins.installed.cache_clear()


def said(capsys, *arguments) -> tuple[int, str]:
    status = main(["plugins", *arguments])
    streams = capsys.readouterr()
    return status, streams.out + streams.err


def test_list_says_what_is_broken_or_taken_and_shows_everything_else(tmp_path, monkeypatch, capsys):
    install(tmp_path, "crash", "import no_such_module_here\n")
    install(tmp_path, "taker", TAKER)
    monkeypatch.syspath_prepend(tmp_path)
    status, text = said(capsys, "list")
    assert status == 0
    assert text.count(f"broken: {BROKEN}\n") == 1
    assert text.count(f"refused: {TAKEN}\n") == 1
    assert "TextEncoder          lightrec 0.1.0" in text
    assert "Braille              lightrec-taker 1.0" in text
    assert said(capsys, "list", "--strict")[0] == 2
    listed = json.loads(said(capsys, "list", "--json")[1])
    assert listed["broken"]["lightrec-crash 1.0"] == BROKEN
    assert [each["why"] for each in listed["refused"]] == [TAKEN]


def test_show_tells_of_a_part_and_its_arguments(capsys):
    status, text = said(capsys, "show", "TextEncoder")
    assert status == 0
    assert "TextEncoder (encoders, lightrec 0.1.0)" in text
    assert "batch_size: int = 64" in text
    assert "Far(batch_size: int, " in said(capsys, "show", "Far")[1]
    assert "EngagementReward()\n" in said(capsys, "show", "EngagementReward")[1]
    assert said(capsys, "show", "NoSuchThing")[0] == 2


def test_new_writes_a_package_that_passes_its_own_checks(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    status, text = said(capsys, "new", "board-games")
    assert status == 0
    assert "pip install -e lightrec-board-games" in text
    folder = tmp_path / "lightrec-board-games"
    written = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    package = "lightrec_board_games"
    assert written == {
        "README.md", "pyproject.toml", "tests/test_contract.py",
        *(f"{package}/{n}.py" for n in ("__init__", "hooks", "encoder", "reward", "domain")),
    }  # fmt: skip
    assert not any("ello" in path.read_text() for path in folder.rglob("*") if path.is_file())
    # What pip would note of it, without pip.
    info = folder / "lightrec_board_games-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: lightrec-board-games\nVersion: 0.1.0\n"
    )
    (info / "entry_points.txt").write_text(f"[lightrec]\nboard_games = {package}.hooks\n")
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setattr(encoders, "run_python", run_python)
    plugins.installed.cache_clear()
    status, text = said(capsys, "check", "board_games")
    assert status == 0, text
    assert "ok      BoardGamesEncoder: " in text
    assert "BoardGamesEncoder" in (folder / package / "hooks.py").read_text()


@pytest.mark.parametrize(
    ("name", "message"), [("../up", "small letter"), ("generic", "installed already")]
)
def test_new_refuses_bad_names(tmp_path, monkeypatch, capsys, name, message):
    monkeypatch.chdir(tmp_path)
    status, text = said(capsys, "new", name)
    assert status == 2
    assert message in text
    assert not list(tmp_path.iterdir())
