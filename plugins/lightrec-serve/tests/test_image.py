"""The image of the service: what can be seen without an engine that builds it."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

SERVE = Path(__file__).parents[1]
ROOT = SERVE.parents[1]


def test_the_linter_finds_nothing():
    linter = shutil.which("hadolint", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if linter is None:
        pytest.skip("hadolint is not installed")
    done = subprocess.run([linter, SERVE / "Dockerfile"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_every_package_of_lightrec_that_is_needed_is_installed_with_it():
    """No index has them: pip would find none."""
    words = (SERVE / "Dockerfile").read_text()
    field = re.search(r"ARG FIELD=(\S+)", words)[1]
    named = {*re.findall(r"\./plugins/(lightrec-[\w-]+)", words), field}
    needed = set()
    for name in named:
        project = tomllib.loads((ROOT / "plugins" / name / "pyproject.toml").read_text())["project"]
        needed |= {re.match(r"[\w-]+", each)[0] for each in project["dependencies"]}
    assert {each for each in needed if each.startswith("lightrec-")} <= named


def test_what_is_installed_has_one_version_and_memory_has_a_limit():
    lines = (SERVE / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", pin) for pin in pins)
    held = {pin.partition("==")[0].replace("_", "-") for pin in pins}
    assert {"torch", "fastapi", "sqlalchemy", "psycopg", "limits"} <= held
    services = yaml.safe_load((SERVE / "compose.yaml").read_text())["services"]
    assert all("mem_limit" in service for service in services.values())
