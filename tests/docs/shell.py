"""Where the commands of a page run: in this process, or in an environment of its own."""

import importlib
import os
import shlex
import site
import subprocess
import sys
from pathlib import Path

import pytest

from lightrec import plugins
from lightrec.__main__ import main
from tests.docs.pages import ROOT
from tests.installed import environment
from tests.processes import apart, run_pytest

LEFT_OUT = "lightrec_hello"
"""What a tutorial installs must not be there already."""
TUTORIALS = (LEFT_OUT, "lightrec_courses")
"""Packages that tutorials write, and change under the feet of whoever has imported them."""


class Here:
    """Runs lightrec in this process, which has imported torch already; other programs beside it."""

    def __init__(self, capture: pytest.CaptureFixture[str], folder: Path) -> None:
        self.capture = capture
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        self.variables = {"PATH": path, "CHECKOUT": str(ROOT)}

    def run(self, command: str) -> tuple[int, str]:
        words = shlex.split(command, comments=True)
        if words[0] != "lightrec":
            return run(command, self.variables)
        self.capture.readouterr()
        try:
            status = main(words[1:])
        except SystemExit as stopped:
            status = int(stopped.code or 0)
        return status, "".join(self.capture.readouterr())


class Environment(Here):
    """A throw-away environment in which packages can be installed and removed.

    It sees the packages of this one, without their being copied. `pip` and `lightrec plugins list`
    run in it as any program does; all other commands of lightrec run here, where its packages are
    imported anew, and pytest in a process that has imported torch already.
    """

    def __init__(self, capture: pytest.CaptureFixture[str], folder: Path) -> None:
        super().__init__(capture, folder)
        self.site = environment(folder, without=LEFT_OUT)
        for module in ("pip", "lightrec", "mypy"):
            script = folder / "bin" / module
            script.write_text(f'#!/bin/sh\nexec {folder}/bin/python -m {module} "$@"\n')
            script.chmod(0o755)
        self.variables = {
            "PATH": f"{folder}/bin:{os.environ['PATH']}",
            "VIRTUAL_ENV": "",
            # The backend that builds packages is installed here, and need not be fetched.
            "PIP_NO_BUILD_ISOLATION": "0",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        }

    def run(self, command: str) -> tuple[int, str]:
        if command == "lightrec plugins list":
            return run(command, self.variables)
        for name in [name for name in sys.modules if name.partition(".")[0] in TUTORIALS]:
            del sys.modules[name]
        site.addsitedir(str(self.site))
        importlib.invalidate_caches()
        plugins.installed.cache_clear()
        program, *words = shlex.split(command)
        if program == "pytest":
            return apart(run_pytest, (words, sys.path, os.getcwd()))[0]
        return super().run(command)


def run(command: str, variables: dict[str, str]) -> tuple[int, str]:
    done = subprocess.run(
        ["bash", "-c", command],
        env=os.environ | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout
