"""`lightrec plugins`: what it says of good packages, and of bad ones."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from lightrec import plugins
from lightrec.__main__ import main
from lightrec.cli.plugins import KINDS
from tests.installed import install, register

BROKEN = (
    "The plugin lightrec-crash 1.0 cannot be loaded from lightrec_crash.hooks: "
    "ModuleNotFoundError: No module named 'no_such_module_here'"
)
TAKER = """lightrec_encoders = hookimpl(
    lambda: {n: f"lightrec_taker.encoder:{n}" for n in ("TextEncoder", "Braille")}
)"""
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


@pytest.fixture
def new(tmp_path, monkeypatch, capsys):
    """Writes a package board-games, and puts it on the path as pip would."""
    monkeypatch.chdir(tmp_path)

    def write(*options):
        status, text = said(capsys, "new", "board-games", *options)
        assert status == 0, text
        assert "pip install -e 'lightrec-board-games[test]'" in text
        folder = tmp_path / "lightrec-board-games"
        register(folder, "board_games", "0.1.0")
        monkeypatch.syspath_prepend(folder)
        plugins.installed.cache_clear()
        return folder

    yield write
    for name in [name for name in sys.modules if name.startswith("lightrec_board_games")]:
        del sys.modules[name]


def files(folder):
    paths = (path for path in folder.rglob("*") if path.is_file() and "info" not in str(path))
    return {str(path.relative_to(folder)): path.read_text() for path in paths}


def test_new_writes_a_package_that_passes_its_own_checks(new, capsys):
    package, written = "lightrec_board_games", files(new())
    own = [f"{n}.py" for n in ("__init__", "hooks", "encoder", "reward", "domain")]
    own += ["py.typed", *(f"recipes/board_games/{n}.yaml" for n in ("set", "data", "policy"))]
    assert {*written} == {
        "README.md", "pyproject.toml", "tests/test_contract.py", ".github/workflows/test.yml",
        *(f"{package}/{name}" for name in own),
    }  # fmt: skip
    assert not any("ello" in text for text in written.values())
    status, text = said(capsys, "check", "board_games")
    assert status == 0, text
    assert "ok      BoardGamesEncoder: " in text


@pytest.mark.parametrize("kind", KINDS)
def test_a_package_of_one_kind_names_that_kind_alone(kind, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert said(capsys, "new", "chess", "--with", kind)[0] == 0
    written = files(tmp_path / "lightrec-chess")
    code = "".join(written.values())
    defined = {*re.findall(r"^class (Chess\w+)", code, re.MULTILINE)}
    assert {*re.findall(r"\bChess\w+", code)} == defined
    named = {*re.findall(r"lightrec_chess[./](\w+)\b(?!/)", code)} - {"hooks", "recipes"}
    assert named == {kind.replace("-", "_")}
    for path in (path for path in written if path.endswith(".yaml")):
        assert isinstance(yaml.safe_load(written[path]), dict), path


@pytest.mark.slow
def test_a_package_of_every_kind_passes_its_checks_is_typed_and_runs_off_line(new, capsys):
    folder = new("--with", ",".join(KINDS))
    status, text = said(capsys, "check", "board_games")
    assert status == 0, text
    status, text = said(capsys, "show", "board_games")
    assert len(re.findall(r"^\w+ \(\w+, lightrec-board-games", text, re.MULTILINE)) == 13
    typed = [sys.executable, "-m", "mypy", "--strict", "lightrec_board_games"]
    done = subprocess.run(typed, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert main(["run", "board_games", "--offline", "--fast-dev-run"]) == 0
    run = Path("runs/board_games-offline-fast-dev-run")
    assert json.loads((run / "metrics.json").read_text())["board_games/chosen"] == 1
    assert (run / "tally" / "tally.csv").read_text().startswith("item,events\n")


def test_the_workflow_tries_the_oldest_lightrec_that_a_new_package_allows():
    skeleton = Path(__file__).parents[2] / "plugins" / "lightrec-hello"
    workflow = yaml.safe_load((skeleton / ".github/workflows/test.yml").read_text())
    oldest, newest = workflow["jobs"]["test"]["strategy"]["matrix"]["lightrec"]
    (needed,) = tomllib.loads((skeleton / "pyproject.toml").read_text())["project"]["dependencies"]
    assert needed.startswith(oldest.replace("==", ">=") + ",")
    assert newest == "lightrec"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["../up"], "small letter"),
        (["generic"], "installed already"),
        (["chess", "--with", "encoder,rewad"], "'rewad' is not a part"),
    ],
)
def test_new_refuses_bad_names(tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    status, text = said(capsys, "new", *words)
    assert status == 2
    assert message in text
    assert not list(tmp_path.iterdir())
