"""An environment for each peer, made from the pins in ``requirements/`` and kept."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
ENVIRONMENTS = CACHE / "lightrec" / "environments"
OLDER = {"recsim": "3.7"}
"""Peers that run on an older Python; they are installed without what they say that they need."""


def environment(name: str) -> str:
    """Find the Python of a peer's environment, which is made anew where its pins have changed.

    :raises RuntimeError: where the pins cannot be installed.
    """
    pins = HERE / "requirements" / f"{name}.txt"
    folder = ENVIRONMENTS / name
    stamp = folder / "pins.txt"
    if not stamp.is_file() or stamp.read_text() != pins.read_text():
        print(f"environment of {name}: installing", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        python = interpreter(OLDER[name]) if name in OLDER else sys.executable
        options = ["--no-deps"] if name in OLDER else []
        inside = str(folder / "bin" / "python")
        install = [inside, "-m", "pip", "install", "--quiet", *options, "-r", str(pins)]
        for command in ([python, "-m", "venv", str(folder)], install):
            if subprocess.run(command).returncode:
                raise RuntimeError(f"The environment of {name} could not be made from {pins}.")
        shutil.copyfile(pins, stamp)
    return str(folder / "bin" / "python")


def interpreter(version: str) -> str:
    """Find another Python, on the PATH or among pyenv's.

    :param version: such as ``3.7``.
    :raises RuntimeError: where there is none.
    """
    candidates = [f"python{version}"]
    if pyenv := shutil.which("pyenv"):
        root = subprocess.run([pyenv, "root"], capture_output=True, text=True).stdout.strip()
        candidates += map(str, sorted(Path(root).glob(f"versions/{version}.*/bin/python")))
    for candidate in candidates:
        # Asked, not only looked for: pyenv's own commands are there whether a Python is or not.
        ask = [candidate, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
        if shutil.which(candidate):
            answer = subprocess.run(ask, capture_output=True, text=True)
            if answer.stdout.strip() == version:
                return candidate
    raise RuntimeError(
        f"No Python {version} was found on the PATH or among pyenv's versions, and this peer runs "
        f"on no later one. Install it, with `pyenv install {version}` say."
    )
