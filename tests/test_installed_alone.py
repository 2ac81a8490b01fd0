"""Each package in `plugins/` installs with what it needs, keeps its contracts, leaves nothing."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.installed import environment

ROOT = Path(__file__).parents[1]
KIT = ROOT / "plugins/lightrec-testing"
FOLDERS = sorted({path.parent for path in ROOT.glob("plugins/*/pyproject.toml")} - {KIT})


def run(*command: object, cwd: Path | None = None) -> str:
    """Run a command, and give what it prints."""
    done = subprocess.run(map(str, command), cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def wheel(folder: Path, into: Path) -> Path:
    """Build a project's wheel without fetching anything."""
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", into, cwd=folder)
    (made,) = into.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """An environment that has what lightrec depends on, lightrec's own wheel, and the checks."""
    folder = tmp_path_factory.mktemp("alone")
    python, site = folder / "env/bin/python", environment(folder / "env", without="lightrec")
    wheels = [wheel(each, folder / each.name) for each in (ROOT, KIT)]
    pip(python, "install", "--no-deps", "--no-index", *wheels)
    return python, site


def pip(python: Path, *command: object) -> None:
    """Let pip change an environment."""
    run(sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python, *command)


LOOK = """
import importlib, os, sys, traceback
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
import lightrec.stages.evaluate, lightrec.stages.train
from lightrec.__main__ import main
from lightrec_testing import tiny

def look(name, run, printed):
    importlib.invalidate_caches()
    tiny.kit_run = lambda: Path(run)  # made once for all packages
    with open(printed, "w") as told, redirect_stdout(told), redirect_stderr(told):
        try:
            assert main(["plugins", "list", "--strict"]) == 0
            assert main(["plugins", "check", name]) == 0
        except BaseException:
            traceback.print_exc()
            return 1
    return 0

for line in sys.stdin:
    child = os.fork()
    if child == 0:
        os._exit(look(*line.rstrip("\\n").split("\\t")))
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.fixture(scope="module")
def look(bare, tiny_run, tmp_path_factory):
    """Lists and checks a package in a process of its own, and gives what that prints.

    It is forked from one that has imported what lightrec depends on, and no package.
    """
    folder = tmp_path_factory.mktemp("looks")
    command, pipe = [bare[0], "-I", "-c", LOOK], subprocess.PIPE
    with subprocess.Popen(command, cwd=folder, stdin=pipe, stdout=pipe, text=True) as parent:

        def look(name: str) -> str:
            printed = folder / name
            parent.stdin.write(f"{name}\t{tiny_run}\t{printed}\n")
            parent.stdin.flush()
            status = parent.stdout.readline()
            assert status == "0\n", printed.read_text()
            return printed.read_text()

        yield look


@pytest.mark.slow
@pytest.mark.parametrize("folder", FOLDERS, ids=[folder.name for folder in FOLDERS])
def test_a_plugin_alone(folder, bare, look, tmp_path):
    """Installed it is listed and keeps its contracts; uninstalled nothing of it remains."""
    python, site = bare
    before = {path.name for path in site.iterdir()}
    needed = tomllib.loads((folder / "pyproject.toml").read_text())["project"]["dependencies"]
    wanted = [each for each in FOLDERS if any(each.name in one for one in needed) or each == folder]
    wheels = [wheel(each, tmp_path / each.name) for each in wanted]
    pip(python, "install", "--no-deps", "--no-index", *wheels)
    try:
        listed = look(folder.name)
    finally:
        pip(python, "uninstall", "-y", *(each.name for each in wanted))
    # With its version: warnings name packages that a recipe could use.
    assert [each for each in FOLDERS if f"{each.name} 0." in listed] == wanted
    assert {path.name for path in site.iterdir()} - before <= {"__pycache__"}
