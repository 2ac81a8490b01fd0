"""`lightrec plugins`: what it says of good packages, and of bad ones."""

import json
from pathlib import Path

import pytest

from lightrec import plugins
from lightrec.__main__ import main
from lightrec.testing import modules
from tests.installed import install
from tests.processes import run_python

BROKEN = {
    "crash": (
        "import no_such_module_here\n",
        "The plugin lightrec-crash 1.0 cannot be loaded from lightrec_crash.hooks: "
        "ModuleNotFoundError: No module named 'no_such_module_here'",
    ),
}
TAKER = """
    @hookimpl
    def lightrec_encoders():
        return {"TextEncoder": "lightrec_taker.encoder:TextEncoder"}

    @hookimpl
    def lightrec_domains():
        return {"chess": "lightrec_taker.domain:Chess"}
"""
TAKEN = (
    "The name 'TextEncoder' among the encoders is taken: lightrec 0.1.0 "
    "(lightrec.encoders.text:TextEncoder) and lightrec-taker 1.0 "
    "(lightrec_taker.encoder:TextEncoder) both give it, and lightrec's own is used; give the other "
    "one another name."
)
CHESS = "from lightrec.data.domain import Domain\nclass Chess(Domain):\n    '''Moves.'''\n"


@pytest.fixture
def bad_plugins(tmp_path, monkeypatch):
    """A broken import, and a class name that is taken."""
    for name, (hooks, _) in BROKEN.items():
        install(tmp_path, name, hooks)
    install(tmp_path, "taker", TAKER, domain=CHESS + "    name = 'chess'\n")
    monkeypatch.syspath_prepend(tmp_path)
    plugins.installed.cache_clear()
    yield
    plugins.installed.cache_clear()


def said(capsys, *arguments) -> tuple[int, str]:
    status = main(["plugins", *arguments])
    streams = capsys.readouterr()
    return status, streams.out + streams.err


@pytest.mark.usefixtures("bad_plugins")
def test_list_says_so_in_one_sentence_each_and_shows_everything_else(capsys):
    status, text = said(capsys, "list")
    assert status == 0
    for _, sentence in BROKEN.values():
        assert text.count(f"broken: {sentence}\n") == 1
    assert text.count(f"refused: {TAKEN}\n") == 1
    assert "TextEncoder          lightrec 0.1.0" in text
    assert "chess                lightrec-taker 1.0" in text
    assert said(capsys, "list", "--strict")[0] == 2
    listed = json.loads(said(capsys, "list", "--json")[1])
    assert set(listed["broken"]) >= {f"lightrec-{name} 1.0" for name in BROKEN}
    assert [r["why"] for r in listed["refused"]] == [TAKEN]


def test_show_tells_of_a_part_and_its_arguments(capsys):
    status, text = said(capsys, "show", "TextEncoder")
    assert status == 0
    assert "TextEncoder (encoders, lightrec 0.1.0)" in text
    assert "batch_size: int = 64" in text
    assert "Greed(batch_size: int, " in said(capsys, "show", "Greed")[1]
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
    monkeypatch.setattr(modules, "run_python", run_python)
    plugins.installed.cache_clear()
    status, text = said(capsys, "check", "board_games")
    plugins.installed.cache_clear()
    assert status == 0, text
    assert "ok      BoardGamesEncoder: " in text
    assert "BoardGamesEncoder" in (folder / package / "hooks.py").read_text()


@pytest.mark.parametrize(
    ("name", "told"),
    [("Chess", "small letter"), ("../up", "small letter"), ("generic", "installed already")],
)
def test_new_refuses_bad_names(tmp_path, monkeypatch, capsys, name, told):
    monkeypatch.chdir(tmp_path)
    status, text = said(capsys, "new", name)
    assert status == 2
    assert told in text
    assert not list(Path(tmp_path).iterdir())
