"""Where the commands of a page run: in this process, or in an environment of its own."""

import os
import shlex
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from lightrec.__main__ import main

LEFT_OUT = "lightrec_hello"
"""What a tutorial installs must not be there already."""


class Here:
    """Runs lightrec in this process, which has imported torch already; other programs beside it."""

    def __init__(self, capture: pytest.CaptureFixture[str]) -> None:
        self.capture = capture

    def run(self, command: str) -> tuple[int, str]:
        words = shlex.split(command, comments=True)
        if words[0] != "lightrec":
            return run(command, {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"})
        self.capture.readouterr()
        try:
            status = main(words[1:])
        except SystemExit as stopped:
            status = int(stopped.code or 0)
        return status, "".join(self.capture.readouterr())


class Environment:
    """A throw-away environment in which packages can be installed and removed.

    It sees the packages of this one, without their being copied.
    """

    def __init__(self, folder: Path) -> None:
        venv.create(folder, with_pip=False)
        self.bin = folder / "bin"
        scheme = {"base": str(folder), "platbase": str(folder)}
        site = Path(sysconfig.get_path("purelib", vars=scheme))
        for path in Path(sysconfig.get_path("purelib")).iterdir():
            if LEFT_OUT not in path.name:
                (site / path.name).symlink_to(path)
        for module in ("pip", "lightrec", "pytest"):
            script = self.bin / module
            script.write_text(f'#!/bin/sh\nexec {self.bin}/python -m {module} "$@"\n')
            script.chmod(0o755)

    def run(self, command: str) -> tuple[int, str]:
        return run(command, {"PATH": f"{self.bin}:{os.environ['PATH']}", "VIRTUAL_ENV": ""})


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
