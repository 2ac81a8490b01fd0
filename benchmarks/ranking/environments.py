"""An environment for each peer, made from the pins in ``requirements/`` and kept."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ENVIRONMENTS = HERE.parent / "environments"


def environment(name: str, pins: Path | None = None) -> str:
    """Give the Python of a peer's environment, which is made anew where its pins have changed.

    :param pins: the file of pins; by default the ranking benchmark's of this name.
    :raises RuntimeError: where the pins cannot be installed.
    """
    pins = pins or HERE / "requirements" / f"{name}.txt"
    folder = ENVIRONMENTS / name
    stamp = folder / "pins.txt"
    if not stamp.is_file() or stamp.read_text() != pins.read_text():
        print(f"environment of {name}: installing", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        python = str(folder / "bin" / "python")
        install = [python, "-m", "pip", "install", "--quiet", "-r", str(pins)]
        for command in ([sys.executable, "-m", "venv", str(folder)], install):
            if subprocess.run(command).returncode:
                raise RuntimeError(f"The environment of {name} could not be made from {pins}.")
        shutil.copyfile(pins, stamp)
    return os.path.relpath(folder / "bin" / "python")
